//! Proofs and reads in a ledger of a million entries, and opening it. How fast it is written, beside raw writes and other
//! stores, is in `benches/peers`.
//!
//! ```text
//! cargo bench --bench ledger
//! ```
#![allow(clippy::unwrap_used, reason = "a panic is how a benchmark fails")]
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use picket_store::{Commit, Log, Options};

const ENTRY_BYTES: usize = 300;

fn entries(count: usize) -> Vec<Vec<u8>> {
    let mut seed = 1u64;
    let mut byte = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed.to_be_bytes()[0]
    };
    (0..count).map(|_| (0..ENTRY_BYTES).map(|_| byte()).collect()).collect()
}

/// A folder on the disk of the build, since the system's may be in memory, or where the environment says.
fn folder() -> tempfile::TempDir {
    let parent = std::env::var("PICKET_BENCH_FOLDER").unwrap_or_else(|_| env!("CARGO_TARGET_TMPDIR").to_owned());
    tempfile::tempdir_in(parent).unwrap()
}

/// Proofs and reads in a log of a million entries.
fn million(criterion: &mut Criterion) {
    const SIZE: u64 = 1_000_000;
    let folder = folder();
    let mut log = Log::open(&folder.path().join("log"), &Options::default()).unwrap().0;
    let entries = entries(2000);
    while log.size() < SIZE {
        log.commit(Commit { entries: entries.clone(), ..Commit::default() }).unwrap();
    }
    log.flush().unwrap();
    let reader = log.reader();
    let mut index = 0;
    // A prime stride: each proof from another tile.
    let mut next = || {
        index = (index + 611_953) % SIZE;
        index
    };
    let mut measured = criterion.benchmark_group("a million entries");
    measured.sample_size(20).measurement_time(Duration::from_secs(2));
    measured.bench_function("inclusion proof", |b| b.iter(|| reader.inclusion_proof(next(), SIZE).unwrap()));
    measured.bench_function("consistency proof", |b| b.iter(|| reader.consistency_proof(1 + next(), SIZE).unwrap()));
    measured.bench_function("entry", |b| b.iter(|| reader.entry(next()).unwrap()));
    measured.finish();
    drop(reader);
    drop(log);
    let start = Instant::now();
    let log = Log::open(&folder.path().join("log"), &Options::default()).unwrap().0;
    println!("opening a log of {} entries: {} ms", log.size(), start.elapsed().as_millis());
    let mut bytes = 0;
    for part in ["packs", "index", "."] {
        for file in std::fs::read_dir(folder.path().join("log").join(part)).unwrap() {
            let metadata = file.unwrap().metadata().unwrap();
            bytes += if metadata.is_file() { metadata.len() } else { 0 };
        }
    }
    println!("bytes on disk per entry of {ENTRY_BYTES}: {}", bytes / SIZE);
}

criterion_group!(benches, million);
criterion_main!(benches);
