//! What isolation costs: a check in a fresh instance against the same guard's code called natively, in one run.
//!
//! `over native` alternates the two and reports the difference, the figure that docs/benchmarks.md is held to. `floor`
//! is a guard that does nothing: the host's part alone.
#![expect(clippy::unwrap_used, reason = "a bench has nobody to report to")]

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use picket_engine::{Content, Engine, EngineOptions, Inference, Limits, Validator};
use picket_guard_pii::Pii;
use picket_sdk::Guard;

const SETTINGS: &str = r#"{"action":"redact"}"#;

fn component(name: &str) -> Vec<u8> {
    let folder = std::env::var_os("PICKET_GUARDS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/guards"), PathBuf::from);
    let path = folder.join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guards`", path.display()))
}

fn load(engine: &Engine, name: &str, settings: &str) -> Validator {
    let limits = Limits { deadline: Duration::from_secs(1), ..Limits::default() };
    engine.load_validator(name, &component(name), settings, limits).unwrap()
}

/// Prose of `bytes` bytes, clean or with an address in it.
fn prose(bytes: usize, find: bool) -> String {
    let sentence = "The applicant asked for a longer term; the committee saw no reason to refuse it. ";
    let start = if find { "Write to maria.lopez@example.org about it. " } else { "" };
    start.chars().chain(sentence.chars().cycle()).take(bytes).collect()
}

fn inference(text: &str) -> Inference {
    Inference { output: Some(Content::Text(text.to_owned())), ..Inference::default() }
}

fn pii(criterion: &mut Criterion) {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let isolated = load(&engine, "pii", SETTINGS);
    let native = Pii::configure(SETTINGS).unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut group = criterion.benchmark_group("guard");
    for (label, bytes, find) in
        [("1 KB", 1 << 10, false), ("1 KB with a find", 1 << 10, true), ("16 KB", 16 << 10, false)]
    {
        let text = prose(bytes, find);
        let inside = inference(&text);
        let outside = picket_sdk::Inference::of_text(&text);
        group.bench_function(format!("native, {label}"), |bencher| {
            bencher.iter(|| native.check(black_box(&outside)).unwrap());
        });
        group.bench_function(format!("fresh instance, {label}"), |bencher| {
            bencher.iter(|| isolated.check(black_box(&inside)).unwrap());
        });
        group.bench_function(format!("over native, {label}"), |bencher| {
            bencher.iter_custom(|rounds| {
                let (mut fresh, mut plain) = (Duration::ZERO, Duration::ZERO);
                for _ in 0..rounds {
                    let start = Instant::now();
                    black_box(isolated.check(black_box(&inside)).unwrap());
                    fresh += start.elapsed();
                    let start = Instant::now();
                    black_box(native.check(black_box(&outside)).unwrap());
                    plain += start.elapsed();
                }
                fresh.saturating_sub(plain)
            });
        });
    }
    let idle = load(&engine, "hostile", r#"{"attack":"none"}"#);
    let short = inference("x");
    group.bench_function("floor, 1 byte", |bencher| bencher.iter(|| idle.check(black_box(&short)).unwrap()));
    group.finish();
}

criterion_group!(benches, pii);
criterion_main!(benches);
