//! A writer process is killed at random moments: nothing that it acknowledged is lost.
//!
//! The writer is this test binary again, told by the environment to write. It prints each acknowledged size with its
//! root on a pipe; after the kill the log must hold at least the last of them, with that root.
//!
//! ```text
//! PICKET_KILLS=200 cargo test -p picket-store --test kill
//! ```
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{assert_clean, commit, open, options};
use picket_ledger::hash::{from_hex, to_hex};
use picket_store::{Log, StoreError};

const FOLDER: &str = "PICKET_TEST_KILL_FOLDER";

/// The process that is killed. Does nothing when run as a test.
#[test]
fn writer() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let mut log = open(Path::new(&folder));
    let mut out = std::io::stdout().lock();
    let mut seed = log.size();
    loop {
        seed = next(seed);
        // Small groups, full tiles, entries beyond a piece, commits beyond the journal, and pruning.
        let (count, bytes) = match seed % 16 {
            0 => (300, 200),
            1 => (2, 40_000),
            2 => (3, 60_000),
            _ => (1 + seed / 16 % 20, 250),
        };
        if seed % 64 == 5 {
            log.prune(log.size() / 2).unwrap();
        }
        let size = commit(&mut log, count, usize::try_from(bytes).unwrap()).unwrap();
        writeln!(out, "ack {size} {}", to_hex(&log.root())).unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn a_killed_writer_loses_nothing_that_it_acknowledged() {
    let kills: u64 = std::env::var("PICKET_KILLS").ok().map_or(20, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut seed = 1;
    let mut acknowledged = 0;
    let mut written = 0;
    for kill in 0..kills {
        seed = next(seed);
        let (last, locked) = write_and_kill(&path, Duration::from_millis(seed % 300));
        assert!(locked, "the folder is locked while the writer lives");
        let (log, opened) = Log::open(&path, &options()).unwrap_or_else(|error| panic!("kill {kill}: {error}"));
        if let Some((size, root)) = last {
            assert!(log.size() >= size, "kill {kill}: {size} were acknowledged, {} are there", log.size());
            assert_eq!(log.reader().tree_at(size).unwrap().root(), root, "kill {kill}");
            written += size - acknowledged;
        }
        assert!(log.size() >= acknowledged, "kill {kill}: an earlier acknowledgement was lost");
        assert!(opened.lost.is_empty());
        // A kill tears nothing that the kernel has: at most the record being copied is incomplete.
        assert!(opened.repaired.iter().all(|told| told.contains("incomplete record")), "kill {kill}: {opened:?}");
        assert_clean(&log);
        acknowledged = log.size();
    }
    assert!(acknowledged > 10 * kills, "the writers wrote: {acknowledged} entries");
    println!("{kills} kills, {acknowledged} entries, {written} of them acknowledged on the pipe, none lost");
}

/// Starts a writer, kills it some time after its first acknowledgement (or before, for a delay of less than 15 ms),
/// and returns the last that it acknowledged, and whether it locked others out.
fn write_and_kill(path: &Path, delay: Duration) -> (Option<(u64, [u8; 32])>, bool) {
    std::fs::create_dir_all(path).unwrap();
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--nocapture"])
        .env(FOLDER, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let (first, started) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        let mut last = None;
        for line in lines.map_while(Result::ok) {
            // A line that the kill cut off acknowledges nothing.
            let mut words = line.strip_prefix("ack ").unwrap_or_default().split(' ');
            let size = words.next().and_then(|size| size.parse().ok());
            if let (Some(size), Some(Ok(root))) = (size, words.next().map(from_hex)) {
                last = Some((size, root));
                let _ = first.send(());
            }
        }
        last
    });
    let mut locked = true;
    if delay >= Duration::from_millis(15) {
        started.recv_timeout(Duration::from_secs(60)).expect("the writer writes");
        locked =
            matches!(Log::open(path, &options()), Err(StoreError::Locked { pid: Some(pid), .. }) if pid == writer.id());
    }
    std::thread::sleep(delay);
    writer.kill().unwrap();
    writer.wait().unwrap();
    (reading.join().unwrap(), locked)
}

fn next(seed: u64) -> u64 {
    seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 7
}
