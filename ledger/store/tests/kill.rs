//! A writer process is killed at random moments: nothing that it acknowledged is lost.
//!
//! The writer is this test binary again, told by the environment to write. It prints on a pipe what is acknowledged:
//! sizes with their roots, payloads, erasures and prunings. After the kill the log must hold all of that, and fsck must
//! be clean. Every now and then a new log is begun, so that fsck has not more and more to read.
//!
//! ```text
//! PICKET_KILLS=1000 cargo test -p picket-store --test kill -- --nocapture
//! ```
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{assert_clean, entry, key, of, open, options, payload, verdict};
use picket_ledger::Checkpoint;
use picket_ledger::entry::Body;
use picket_ledger::hash::{Hash, from_hex, to_hex};
use picket_store::{Commit, Log, Payload, StoreError};

const FOLDER: &str = "PICKET_TEST_KILL_FOLDER";
/// Kills that one log sees.
const KILLS_OF_A_LOG: u64 = 50;

/// The process that is killed. Does nothing when run as a test.
#[test]
fn writer() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let mut log = open(Path::new(&folder));
    let mut out = std::io::stdout().lock();
    let mut say = |line: String| {
        writeln!(out, "{line}").unwrap();
        out.flush().unwrap();
    };
    let mut seed = log.size().wrapping_mul(31).wrapping_add(u64::from(std::process::id()));
    let mut kept = Vec::new();
    loop {
        seed = next(seed);
        // Small groups, full tiles, entries beyond a piece, commits beyond the journal.
        let (count, bytes) = match seed % 16 {
            0 => (300, 200),
            1 => (2, 40_000),
            2 => (3, 60_000),
            3 => (64, 100),
            _ => (1 + seed / 16 % 20, 250),
        };
        let with_payloads = seed / 64 % 2 == 0;
        let indices = log.size()..log.size() + count;
        let last = indices.end - 1;
        let sign = |size: u64, root: &Hash| Checkpoint::new("box-1", size, *root).sign(&key());
        let payloads = indices.clone().filter(|_| with_payloads);
        log.commit(Commit {
            entries: indices.map(|index| written(index, bytes)).collect(),
            payloads: payloads.map(|index| Payload { invocation: index, bytes: payload(index, bytes) }).collect(),
            named: vec![("size".into(), Some((last + 1).to_string().into_bytes()))],
            checkpoint: (seed / 128 % 4 > 0).then_some(&sign),
            boundary: seed / 512 % 32 == 0,
        })
        .unwrap();
        say(format!("ack {} {}", log.size(), to_hex(&log.root())));
        if with_payloads {
            say(format!("payload {last}"));
            kept.push(last);
        }
        match seed / 16384 % 64 {
            0..3 => {
                let to = log.prune(log.size() / 2).unwrap().pruned_to;
                say(format!("prune {to}"));
            }
            3..6 if !kept.is_empty() => {
                let invocation = kept.swap_remove(usize::try_from(seed / (1 << 20)).unwrap() % kept.len());
                // Said before as well: from here on it may be gone.
                say(format!("erasing {invocation}"));
                log.erase_payloads(&[invocation]).unwrap();
                say(format!("erased {invocation}"));
            }
            6 => log.flush().unwrap(),
            _ => {}
        }
    }
}

/// Two of three are verdicts, whose payloads go when they are pruned.
fn written(index: u64, bytes: usize) -> Vec<u8> {
    if index.is_multiple_of(3) || bytes > 1_000 {
        return entry(index, bytes);
    }
    let mut verdict = verdict();
    verdict.invocation = index;
    verdict.inference_id = "x".repeat(bytes.min(250));
    of(index, Body::Verdict(verdict))
}

/// What a writer said before it was killed.
#[derive(Default)]
struct Said {
    last: Option<(u64, Hash)>,
    pruned_to: u64,
    /// Whether each payload must be there; `None`: it may.
    payloads: BTreeMap<u64, Option<bool>>,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let mut words = line.split(' ');
        let (what, number) = (words.next(), words.next().and_then(|word| word.parse().ok()));
        match (what, number) {
            // Each line is one write, and short enough for a pipe to take it whole: a kill cuts none.
            (Some("ack"), Some(size)) => {
                if let Some(Ok(root)) = words.next().map(from_hex) {
                    self.last = Some((size, root));
                }
            }
            (Some("payload"), Some(invocation)) => drop(self.payloads.insert(invocation, Some(true))),
            (Some("erasing"), Some(invocation)) => drop(self.payloads.insert(invocation, None)),
            (Some("erased"), Some(invocation)) => drop(self.payloads.insert(invocation, Some(false))),
            (Some("prune"), Some(to)) => self.pruned_to = to,
            _ => {}
        }
    }

    fn assert_held(&self, log: &Log, kill: u64) {
        let reader = log.reader();
        if let Some((size, root)) = self.last {
            assert!(log.size() >= size, "kill {kill}: {size} were acknowledged, {} are there", log.size());
            assert_eq!(reader.tree_at(size).unwrap().root(), root, "kill {kill}");
        }
        assert_eq!(reader.named("size").unwrap(), Some(log.size().to_string().into_bytes()), "kill {kill}");
        assert!(reader.pruned_to() >= self.pruned_to, "kill {kill}: pruned entries are back");
        for (invocation, is_there) in &self.payloads {
            let found = reader.payload(*invocation).unwrap();
            let expected = format!("payload {invocation} ");
            match found {
                Some(bytes) => {
                    assert!(bytes.starts_with(expected.as_bytes()) && *is_there != Some(false), "kill {kill}")
                }
                None if *invocation < reader.pruned_to() => {}
                None => assert_ne!(*is_there, Some(true), "kill {kill}: payload {invocation} is lost"),
            }
        }
    }
}

#[test]
fn a_killed_writer_loses_nothing_that_it_acknowledged() {
    let kills: u64 = std::env::var("PICKET_KILLS").ok().map_or(20, |text| text.parse().unwrap());
    let began = Instant::now();
    let mut folder = tempfile::tempdir().unwrap();
    let mut seed = 1;
    let (mut acknowledged, mut entries, mut pruned) = (0, 0, 0);
    for kill in 0..kills {
        if kill > 0 && kill % KILLS_OF_A_LOG == 0 {
            folder = tempfile::tempdir().unwrap();
            entries += acknowledged;
            acknowledged = 0;
        }
        let path = folder.path().join("log");
        seed = next(seed);
        let (said, locked) = write_and_kill(&path, Duration::from_millis(seed % 300));
        assert!(locked, "the folder is locked while the writer lives");
        let (log, opened) = Log::open(&path, &options()).unwrap_or_else(|error| panic!("kill {kill}: {error}"));
        assert!(log.size() >= acknowledged, "kill {kill}: an earlier acknowledgement was lost");
        if log.size() > 0 {
            said.assert_held(&log, kill);
        }
        assert!(opened.lost.is_empty());
        // A kill tears nothing that the kernel has: at most the record being copied is incomplete.
        assert!(opened.repaired.iter().all(|told| told.contains("incomplete record")), "kill {kill}: {opened:?}");
        assert_clean(&log);
        acknowledged = log.size();
        pruned += u64::from(said.pruned_to > 0);
    }
    entries += acknowledged;
    assert!(entries > 10 * kills, "the writers wrote: {entries} entries");
    let seconds = began.elapsed().as_secs();
    println!(
        "{kills} kills in {seconds} s, {entries} entries, {pruned} writers pruned: nothing acknowledged lost, fsck clean"
    );
}

/// Starts a writer, kills it some time after its first acknowledgement (or before, for a delay of less than 15 ms),
/// and returns what it said, and whether it locked others out.
fn write_and_kill(path: &Path, delay: Duration) -> (Said, bool) {
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
        let mut said = Said::default();
        for line in lines.map_while(Result::ok) {
            said.hear(&line);
            if said.last.is_some() {
                let _ = first.send(());
            }
        }
        said
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
