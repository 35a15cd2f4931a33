//! Durable appends of 300-byte entries in groups: the ledger beside raw writes, redb and SQLite, in one run.
//!
//! Disks differ and change their mind from minute to minute, so the table at the end takes turns between them and
//! gives ratios to the raw write. A ratio of 0.5 is half as many entries a second.
//!
//! ```text
//! cargo bench --manifest-path benches/peers/Cargo.toml                  # criterion, then the table
//! PICKET_BENCH_ROUNDS=40 cargo bench --manifest-path benches/peers/Cargo.toml -- none      # the table alone, longer
//! PICKET_BENCH_FOLDER=/dev/shm cargo bench --manifest-path benches/peers/Cargo.toml -- none  # without a disk: the code
//! ```
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use picket_peers::contestants;

const ENTRY_BYTES: usize = 300;
const GROUPS: [usize; 3] = [1, 16, 256];
/// Groups that a contestant writes before it is the next one's turn.
const TURN: usize = 100;

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
    tempfile::tempdir_in(parent).expect("the folder can be written")
}

fn durable_appends(criterion: &mut Criterion) {
    for group in GROUPS {
        let folder = folder();
        let entries = entries(group);
        let mut measured = criterion.benchmark_group(format!("durable append of {group}"));
        measured.throughput(Throughput::Elements(u64::try_from(group).expect("a group is small")));
        measured.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
        for (name, mut contestant) in contestants(folder.path()).expect("all can be set up") {
            measured.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter(|| contestant.write(&entries).expect("it can write"));
            });
        }
        measured.finish();
    }
}

/// How long each commit of a contestant took.
struct Times(Vec<Duration>);

impl Times {
    fn total(&self) -> f64 {
        self.0.iter().sum::<Duration>().as_secs_f64()
    }

    fn percentile(&mut self, percent: usize) -> Duration {
        self.0.sort();
        self.0[(self.0.len() - 1) * percent / 100]
    }
}

/// Takes turns, and prints entries a second, latencies, and their ratios to those of the first.
fn ratios(_: &mut Criterion) {
    let rounds = std::env::var("PICKET_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    println!("\n| group | contestant | entries/s | of raw | p50 µs | times raw | p99 µs | times raw |");
    println!("|---|---|---|---|---|---|---|---|");
    for group in GROUPS {
        let folder = folder();
        let entries = entries(group);
        let mut contestants = contestants(folder.path()).expect("all can be set up");
        let mut times: Vec<Times> = contestants.iter().map(|_| Times(Vec::new())).collect();
        // The first round warms up.
        for round in 0..=rounds {
            for ((_, contestant), times) in contestants.iter_mut().zip(&mut times) {
                for _ in 0..TURN {
                    let start = Instant::now();
                    contestant.write(&entries).expect("it can write");
                    if round > 0 {
                        times.0.push(start.elapsed());
                    }
                }
            }
        }
        let raw = (times[0].total(), [50, 99].map(|percent| times[0].percentile(percent).as_secs_f64()));
        for ((name, _), times) in contestants.iter().zip(&mut times) {
            #[expect(clippy::cast_precision_loss, reason = "a count of commits is small")]
            let per_second = (times.0.len() * group) as f64 / times.total();
            let [middle, worst] = [50, 99].map(|percent| times.percentile(percent));
            println!(
                "| {group} | {name} | {per_second:.0} | {:.2} | {} | {:.2} | {} | {:.2} |",
                raw.0 / times.total(),
                middle.as_micros(),
                middle.as_secs_f64() / raw.1[0],
                worst.as_micros(),
                worst.as_secs_f64() / raw.1[1],
            );
        }
    }
}

criterion_group!(benches, durable_appends, ratios);
criterion_main!(benches);
