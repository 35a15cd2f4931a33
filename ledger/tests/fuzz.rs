//! The functions that `fuzz/` gives to libFuzzer, for seconds and without it: every seed as it is, and mutations that
//! are the same in every run. `PICKET_FUZZ_ROUNDS` sets how many of each seed (default 40).

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../../fuzz/src/lib.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::cast_possible_truncation,
    reason = "a crate of its own, compiled as a module here"
)]
mod fuzz;

use fuzz::{TARGETS, Target};

/// SplitMix64, <https://prng.di.unimi.it/splitmix64.c>: the same sequence everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// One to four changes of the kinds that libFuzzer makes: bits, bytes, pieces cut, doubled, or taken from another seed.
fn mutated(seed: &[u8], seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(data.len());
        let length = random.below(16).min(data.len() - at);
        match random.below(7) {
            0 if !data.is_empty() => data[at] ^= 1 << random.below(8),
            1 if !data.is_empty() => data[at] = random.byte(),
            2 => drop(data.drain(at..at + length)),
            3 => data.insert(at, random.byte()),
            4 => {
                let piece = data[at..at + length].to_vec();
                data.splice(at..at, piece);
            }
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                let piece = other[from..(from + 1 + random.below(64)).min(other.len())].to_vec();
                let end = (at + piece.len()).min(data.len());
                data.splice(at..end, piece);
            }
            _ => data.truncate(data.len() - length),
        }
    }
    data
}

fn run(target: &Target) {
    let rounds: usize = std::env::var("PICKET_FUZZ_ROUNDS").map_or(40, |rounds| rounds.parse().unwrap());
    let seeds = (target.seeds)();
    assert!(seeds.len() > 3, "{} has {} seeds", target.name, seeds.len());
    let mut random = Random(u64::from_le_bytes(*b"picket 1"));
    (target.run)(&[]);
    for seed in &seeds {
        (target.run)(seed);
        for _ in 0..rounds {
            let data = mutated(seed, &seeds, &mut random);
            if let Err(panic) = std::panic::catch_unwind(|| (target.run)(&data)) {
                println!("{} fails on {data:02x?}", target.name);
                std::panic::resume_unwind(panic);
            }
        }
    }
}

fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap()
}

#[test]
fn entry() {
    run(target("entry"));
}

#[test]
fn segment() {
    run(target("segment"));
}

#[test]
fn checkpoint() {
    run(target("checkpoint"));
}

#[test]
fn proof() {
    run(target("proof"));
}

#[test]
fn keychain() {
    run(target("keychain"));
}

#[test]
fn sync() {
    run(target("sync"));
}

/// For `fuzz/run`: writes what each target starts from below the folder that `PICKET_FUZZ_SEEDS` names.
#[test]
fn write_seeds() {
    let Some(folder) = std::env::var_os("PICKET_FUZZ_SEEDS") else { return };
    for target in TARGETS {
        let corpus = std::path::Path::new(&folder).join(target.name);
        std::fs::create_dir_all(&corpus).unwrap();
        for (number, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(corpus.join(format!("seed-{number:04}")), seed).unwrap();
        }
    }
}

/// Each target is a binary, and has a test above.
#[test]
fn every_target_is_built_and_run() {
    let manifest = include_str!("../../fuzz/Cargo.toml");
    let here = include_str!("fuzz.rs");
    for Target { name, .. } in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name} is not in fuzz/Cargo.toml");
        assert!(here.contains(&format!("fn {name}() {{")), "{name} is not run here");
    }
}
