//! What many guards cost that do nothing: `thousand_guards COMPONENT [COUNT] [SETTINGS]`.
//!
//! Loads COMPONENT (a validator) COUNT times, each with settings of its own so that nothing is shared, first into an
//! empty cache, then, in an engine of its own, from the warm one. `{}` in SETTINGS is replaced by the number. Prints how long a load
//! took and how much memory a guard holds beyond its image, which is native code with the memory after `configure`.
#![expect(clippy::unwrap_used, reason = "a measurement has nobody to report to")]

use std::time::{Duration, Instant};

use picket_engine::{CacheOptions, Content, Engine, EngineOptions, Inference, Limits};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("a component");
    let count: usize = arguments.next().map_or(1000, |text| text.parse().unwrap());
    let settings = arguments.next().unwrap_or_else(|| r#"{"attack":"none","count":{}}"#.to_owned());
    let wasm = std::fs::read(path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let engine = || {
        let cache = Some(CacheOptions { folder: folder.path().to_owned(), key: [7; 32] });
        Engine::new(EngineOptions { cache, ..EngineOptions::default() }).unwrap()
    };
    let load = |engine: &Engine, number: usize| {
        let limits = Limits { deadline: Duration::from_secs(1), ..Limits::default() };
        engine.load_validator("guard", &wasm, &settings.replace("{}", &number.to_string()), limits).unwrap()
    };

    let started = Instant::now();
    let cold = engine();
    (0..count).for_each(|number| drop(load(&cold, number)));
    println!("cold: {:.1} ms a guard", started.elapsed().as_secs_f64() * 1e3 / count as f64);
    drop(cold);

    let warm = engine();
    // What the first of all costs once.
    drop(load(&warm, 0));
    let before = resident();
    let (mut guards, mut times) = (Vec::new(), Vec::new());
    for number in 0..count {
        let started = Instant::now();
        guards.push(load(&warm, number));
        times.push(started.elapsed());
    }
    let held = resident().saturating_sub(before);
    times.sort();
    let milliseconds = |at: usize| times[at].as_secs_f64() * 1e3;
    println!(
        "warm: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms a guard",
        milliseconds(count / 2),
        milliseconds(count * 99 / 100),
        milliseconds(count - 1)
    );
    let image: usize = guards.iter().map(|guard| guard.report().compiled_bytes).sum();
    let per_guard = |bytes: usize| bytes as f64 / count as f64 / 1024.0;
    println!(
        "memory: {:.0} KiB a guard, of it image {:.0} KiB, beyond it {:.0} KiB",
        per_guard(held),
        per_guard(image),
        per_guard(held.saturating_sub(image))
    );
    // They are there, and they work.
    let inference = Inference { output: Some(Content::Text("x".into())), ..Inference::default() };
    guards.iter().for_each(|guard| drop(guard.check(&inference).unwrap()));
    println!("after one check each: {:.0} KiB a guard", per_guard(resident().saturating_sub(before)));
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}
