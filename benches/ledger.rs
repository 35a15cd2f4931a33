//! Durable appends to the ledger, against what the disk allows with the same bytes in the same run.
//!
//! `raw append` writes to the end of a growing file and calls `fdatasync`; `raw overwrite` does so within a file
//! that was filled before; `ledger` is `Log::commit`. Entries have 300 bytes. Disks differ and change their mind
//! from minute to minute, so the table at the end takes turns between the three and gives ratios:
//!
//! ```text
//! cargo bench --bench ledger
//! PICKET_BENCH_ROUNDS=40 cargo bench --bench ledger -- none      # the table alone, longer
//! PICKET_BENCH_FOLDER=/dev/shm cargo bench --bench ledger -- none  # without the disk: the cost of the code
//! ```
#![allow(clippy::unwrap_used, reason = "a panic is how a benchmark fails")]
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use picket_store::{Commit, Log, Options};

const ENTRY_BYTES: usize = 300;
const GROUPS: [usize; 3] = [1, 16, 256];
/// Size of the file that `raw overwrite` goes round in.
const RING_BYTES: u64 = 8 * 1024 * 1024;

/// Something that makes groups of entries durable.
trait Contestant {
    fn write(&mut self, entries: &[Vec<u8>]);
}

struct Append {
    file: File,
    end: u64,
}

impl Append {
    fn new(folder: &Path) -> Self {
        Self { file: File::create(folder.join("append")).unwrap(), end: 0 }
    }
}

impl Contestant for Append {
    fn write(&mut self, entries: &[Vec<u8>]) {
        let bytes = entries.concat();
        self.file.write_all_at(&bytes, self.end).unwrap();
        self.file.sync_data().unwrap();
        self.end += u64::try_from(bytes.len()).unwrap();
    }
}

struct Overwrite {
    file: File,
    place: u64,
}

impl Overwrite {
    fn new(folder: &Path) -> Self {
        let path = folder.join("overwrite");
        std::fs::write(&path, vec![0; usize::try_from(RING_BYTES).unwrap()]).unwrap();
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.sync_all().unwrap();
        Self { file, place: 0 }
    }
}

impl Contestant for Overwrite {
    fn write(&mut self, entries: &[Vec<u8>]) {
        let bytes = entries.concat();
        let length = u64::try_from(bytes.len()).unwrap();
        if self.place + length > RING_BYTES {
            self.place = 0;
        }
        self.file.write_all_at(&bytes, self.place).unwrap();
        self.file.sync_data().unwrap();
        // Whole pages, as a log that must not tear its neighbours would.
        self.place += length.next_multiple_of(4096);
    }
}

struct Ledger(Log);

impl Ledger {
    fn new(folder: &Path) -> Self {
        Self(Log::open(&folder.join("log"), &Options::default()).unwrap().0)
    }
}

impl Contestant for Ledger {
    fn write(&mut self, entries: &[Vec<u8>]) {
        let commit = Commit { entries: entries.to_vec(), ..Commit::default() };
        black_box(self.0.commit(commit).unwrap());
    }
}

fn entries(count: usize) -> Vec<Vec<u8>> {
    let mut seed = 1u64;
    let mut byte = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed.to_be_bytes()[0]
    };
    (0..count).map(|_| (0..ENTRY_BYTES).map(|_| byte()).collect()).collect()
}

fn contestants(folder: &Path) -> [(&'static str, Box<dyn Contestant>); 3] {
    [
        ("raw append", Box::new(Append::new(folder))),
        ("raw overwrite", Box::new(Overwrite::new(folder))),
        ("ledger", Box::new(Ledger::new(folder))),
    ]
}

/// A folder on the disk of the build, since the system's may be in memory, or where the environment says.
fn folder() -> tempfile::TempDir {
    let parent = std::env::var("PICKET_BENCH_FOLDER").unwrap_or_else(|_| env!("CARGO_TARGET_TMPDIR").to_owned());
    tempfile::tempdir_in(parent).unwrap()
}

fn durable_appends(criterion: &mut Criterion) {
    for group in GROUPS {
        let folder = folder();
        let entries = entries(group);
        let mut measured = criterion.benchmark_group(format!("durable append of {group}"));
        measured.throughput(Throughput::Elements(u64::try_from(group).unwrap()));
        measured.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
        for (name, mut contestant) in contestants(folder.path()) {
            measured.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter(|| contestant.write(&entries));
            });
        }
        measured.finish();
    }
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

/// What one contestant did in a table.
#[derive(Default)]
struct Times {
    commits: Vec<Duration>,
}

impl Times {
    fn total(&self) -> f64 {
        self.commits.iter().sum::<Duration>().as_secs_f64()
    }

    fn percentile(&mut self, percent: usize) -> Duration {
        self.commits.sort();
        self.commits[(self.commits.len() - 1) * percent / 100]
    }
}

/// Takes turns, and prints entries a second, latencies, and ratios.
fn ratios(_: &mut Criterion) {
    let rounds = std::env::var("PICKET_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    println!("\n| group | contestant | entries/s | p50 µs | p99 µs | of raw append | of raw overwrite |");
    println!("|---|---|---|---|---|---|---|");
    for group in GROUPS {
        let folder = folder();
        let entries = entries(group);
        let mut contestants = contestants(folder.path());
        let mut times: [Times; 3] = Default::default();
        for round in 0..rounds {
            for (number, (_, contestant)) in contestants.iter_mut().enumerate() {
                for _ in 0..200 {
                    let start = Instant::now();
                    contestant.write(&entries);
                    // The first round warms up.
                    if round > 0 {
                        times[number].commits.push(start.elapsed());
                    }
                }
            }
        }
        let totals = times.each_ref().map(Times::total);
        for (number, (name, _)) in contestants.iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "a count of commits is small")]
            let per_second = (times[number].commits.len() * group) as f64 / totals[number];
            println!(
                "| {group} | {name} | {per_second:.0} | {} | {} | {:.2} | {:.2} |",
                times[number].percentile(50).as_micros(),
                times[number].percentile(99).as_micros(),
                totals[0] / totals[number],
                totals[1] / totals[number],
            );
        }
    }
}

criterion_group!(benches, durable_appends, million, ratios);
criterion_main!(benches);
