//! The function that `fuzz/guards` gives to libFuzzer, for seconds and without it: random components and inferences that
//! are the same in every run. `PICKET_FUZZ_ROUNDS` sets how many (default 400).

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../../fuzz/guards/src/lib.rs"]
#[allow(unreachable_pub, missing_docs, reason = "a crate of its own, compiled as a module here")]
mod fuzz;

#[test]
fn random_components_harm_nobody() {
    let rounds = std::env::var("PICKET_FUZZ_ROUNDS").map_or(400, |text| text.parse().unwrap());
    let mut state = 7_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    for seed in fuzz::seeds() {
        fuzz::run(&seed);
    }
    for _ in 0..rounds {
        let bytes: Vec<u8> = (0..4096).map(|_| next()).collect();
        fuzz::run(&bytes);
    }
}

/// Writes the inputs to start from into the folder that `PICKET_FUZZ_SEEDS` names, for `fuzz/run`.
#[test]
fn write_seeds() {
    let Some(folder) = std::env::var_os("PICKET_FUZZ_SEEDS") else { return };
    let folder = std::path::Path::new(&folder).join("guard");
    std::fs::create_dir_all(&folder).unwrap();
    for (number, seed) in fuzz::seeds().into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
    }
}
