//! Writes a large log, is killed, opens it again, and says what it took: bytes on disk, memory, time to open.
//!
//! ```text
//! cargo run --release -p picket-store --example endurance -- FOLDER 10000000 256
//! ```
//!
//! The arguments are a new folder, the number of entries (300 bytes each), and the entries of a commit. Each commit has
//! a signed checkpoint.
#![allow(clippy::unwrap_used, reason = "a panic is how an experiment fails")]

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use picket_ledger::hash::Hash;
use picket_ledger::{Checkpoint, SigningKey};
use picket_store::{Commit, Log, Options};

const ENTRY_BYTES: usize = 300;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, entries, group, ..] = arguments.as_slice() else {
        eprintln!("usage: endurance FOLDER ENTRIES GROUP");
        std::process::exit(2);
    };
    let (entries, group): (u64, u64) = (entries.parse().unwrap(), group.parse().unwrap());
    if arguments.len() == 5 {
        write(Path::new(folder), entries, group);
    }
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args([folder, &arguments[2], &arguments[3], "write"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The writer says when it is done, and waits to be killed.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(writer.stdout.take().unwrap()));
    println!("{}", lines.next().unwrap().unwrap());
    writer.kill().unwrap();
    writer.wait().unwrap();
    let start = Instant::now();
    let (log, opened) = Log::open(Path::new(folder), &Options::default()).unwrap();
    println!("opened {} entries after SIGKILL in {} ms, {opened:?}", log.size(), start.elapsed().as_millis());
    assert_eq!(log.size(), entries.div_ceil(group) * group);
    let start = Instant::now();
    for step in 0..1000 {
        log.reader().entry(step * 7919 % log.size()).unwrap();
    }
    println!("an entry at random: {} us", start.elapsed().as_micros() / 1000);
    drop(log);
    let start = Instant::now();
    drop(Log::open(Path::new(folder), &Options::default()).unwrap());
    println!("opened and closed again in {} ms", start.elapsed().as_millis());
    let mut sum = 0;
    for part in ["segments", "packs", "index", ""] {
        let (bytes, files) = used(&Path::new(folder).join(part));
        sum += bytes;
        println!("{:9} {files} files, {bytes} bytes on disk", if part.is_empty() { "others" } else { part });
    }
    let whole = u64::try_from(ENTRY_BYTES).unwrap() * entries;
    println!("{sum} bytes on disk, {}.{:03} of the entries'", sum / whole, sum % whole * 1000 / whole);
}

fn used(folder: &Path) -> (u64, usize) {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap());
    let files: Vec<_> = files.filter(std::fs::Metadata::is_file).collect();
    (files.iter().map(|file| file.blocks() * 512).sum(), files.len())
}

fn write(folder: &Path, entries: u64, group: u64) -> ! {
    let key = SigningKey::from_seed("box-1", &[9; 32]).unwrap();
    let sign = |size: u64, root: &Hash| Checkpoint::new("box-1", size, *root).sign(&key);
    let (mut log, _) = Log::open(folder, &Options::default()).unwrap();
    let mut seed = 1u64;
    let mut times = Vec::new();
    let start = Instant::now();
    while log.size() < entries {
        let entry = |_| {
            let mut bytes = Vec::with_capacity(ENTRY_BYTES);
            while bytes.len() < ENTRY_BYTES {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                bytes.extend_from_slice(&seed.to_be_bytes()[..4]);
            }
            bytes
        };
        let batch = (0..group).map(entry).collect();
        let began = Instant::now();
        log.commit(Commit { entries: batch, checkpoint: Some(&sign), ..Commit::default() }).unwrap();
        if times.len() < 1_000_000 {
            times.push(began.elapsed());
        }
    }
    times.sort();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    println!(
        "wrote {} entries in {} s: p50 {} us, p99 {} us, most resident {}",
        log.size(),
        start.elapsed().as_secs(),
        times[times.len() / 2].as_micros(),
        times[times.len() * 99 / 100].as_micros(),
        peak.trim_start_matches("VmHWM:").trim()
    );
    std::io::stdout().flush().unwrap();
    loop {
        std::thread::park();
    }
}
