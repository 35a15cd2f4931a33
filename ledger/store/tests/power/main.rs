//! Losses of power, simulated on the real path of the store, sled included. It has over 400 lines because the recorded run,
//! its losses and the syncs that are forgotten on purpose read as one.
//!
//! A run of the store on real files is recorded: every call that changes a file, and every sync (`recorder.rs`, `calls.rs`). For
//! each of many moments of it, a disk is made up on which everything that was not synced may be lost, torn, or in
//! another order (`disk.rs`, `loss.rs`); the store opens the log there, and what was acknowledged until that moment must be in
//! it, with a clean fsck. Of a third of the openings the power is lost again; in another third the program is killed
//! first, and the power fails while the next one goes on with what the first had not synced. So one run serves many losses, and all of sled's
//! own writing is under test, with what its `sync_file_range` is taken to be worth: nothing.
//!
//! Which threads come first is the system's choice, so a seed repeats the work and not each step of it.
//!
//! What this cannot show: what a device does that lies about its cache, or damages what it is not writing; and
//! orders of calls that this run's threads did not happen to take.
//!
//! ```text
//! PICKET_POWER_LOSSES=1000 cargo test -p picket-store --test power -- --nocapture
//! PICKET_POWER_SEED=17 PICKET_POWER_LOSSES=25 cargo test -p picket-store --test power -- --nocapture
//! ```
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(unreachable_pub, reason = "it is all part of one test binary")]

#[path = "../common/mod.rs"]
mod common;

mod calls;
mod check;
mod disk;
mod loss;
mod random;
mod recorder;
mod work;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use picket_ledger::Checkpoint;
use picket_ledger::hash::Hash;
use picket_store::{Commit, Log};

use check::holds;
use disk::{Disk, Id, Op};
use random::Random;
use recorder::{Trace, record, record_from};
use work::{Step, Work};

/// Losses that one recorded run serves.
const LOSSES_OF_A_RUN: usize = 25;
const STEPS: usize = 150;

/// A folder in memory, where there is one: what is durable is decided here, not by the disk below.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn variable(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn recorded(seed: u64, steps: usize) -> (Trace, Work) {
    let folder = folder();
    let mut work = Work::new(seed);
    let (trace, ()) = record(folder.path(), || work.run(&folder.path().join("log"), steps));
    (trace, work)
}

/// A number of steps after which the power fails. One time of two anywhere; one of four not in the middle of what is
/// written most, which is the journal: what sled and the packs do is rarer; one of four just behind a rename, when a
/// file is there whose name is not durable.
fn moment(trace: &Trace, random: &mut Random) -> usize {
    let mut counts: BTreeMap<Id, usize> = BTreeMap::new();
    let written = |op: &Op| match op {
        Op::Write { id, .. } | Op::Sync { id, .. } => Some(*id),
        _ => None,
    };
    trace.ops.iter().filter_map(written).for_each(|id| *counts.entry(id).or_default() += 1);
    let busiest = counts.iter().max_by_key(|(_, count)| **count).map(|(id, _)| *id);
    let way = random.below(4);
    let is_candidate = |op: &Op| match way {
        0 | 1 => true,
        2 => !matches!(op, Op::Mark(_)) && written(op) != busiest,
        _ => matches!(op, Op::Rename { .. }),
    };
    let places: Vec<usize> = (0..trace.ops.len()).filter(|place| is_candidate(&trace.ops[*place])).collect();
    if places.is_empty() {
        return random.below(trace.ops.len() + 1);
    }
    places[random.below(places.len())] + if way == 3 { 1 } else { random.below(2) }
}

/// The steps that were acknowledged before this moment.
fn last_mark(ops: &[Op]) -> Option<usize> {
    ops.iter().rev().find_map(|op| if let Op::Mark(number) = op { Some(*number) } else { None })
}

/// The kind of repair that says that sled lost something, and that the packs had it.
const BEHIND: &str = "the index was brought up, or rebuilt, from the packs";

/// What openings told, in kinds, and how often.
#[derive(Default)]
struct Told(BTreeMap<&'static str, usize>);

impl Told {
    fn count(&mut self, repaired: &[String]) {
        for sentence in repaired {
            let kinds = [
                ("incomplete record", "the journal ended with an incomplete record"),
                ("from the packs", BEHIND),
                ("did not know", "sealed segments were not in the index, and were taken up again"),
                ("damaged header", "the journal's header was damaged"),
                ("snap.", "a snapshot of the index was moved aside"),
            ];
            let kind = kinds.iter().find(|(part, _)| sentence.contains(part)).map_or("other", |(_, kind)| kind);
            if kind == "other" {
                println!("told: {sentence}");
            }
            *self.0.entry(kind).or_default() += 1;
        }
    }

    fn count_of(&self, kind: &str) -> usize {
        self.0.get(kind).copied().unwrap_or(0)
    }
}

fn source(error: &dyn std::error::Error) -> String {
    error.source().map(|source| format!(" ({source})")).unwrap_or_default()
}

/// Opens the log on a disk that was left by a loss, and looks for what was acknowledged. `again`: the power fails a
/// second time while it is being opened; `live`: the log must go on afterwards.
fn survive(
    disk: &Disk,
    work: &Work,
    acknowledged: usize,
    again: Option<&mut Random>,
    live: bool,
    told: &mut Told,
) -> Result<(), String> {
    let folder = folder();
    disk.write_to(folder.path());
    let path = folder.path().join("log");
    let open =
        |path: &Path| Log::open(path, work.options()).map_err(|error| format!("opening: {error}{}", source(&error)));
    if let Some(random) = again {
        let (trace, opened) = record(folder.path(), || open(&path).map(drop));
        opened?;
        let place = moment(&trace, random);
        let (disk, manner) = trace.disk_after(place).lose(random);
        return survive(&disk, work, acknowledged, None, live, told).map_err(|complaint| {
            format!(
                "after a second loss at step {place} of {} of the opening ({manner:?}): {complaint}",
                trace.ops.len()
            )
        });
    }
    let (mut log, opened) = open(&path)?;
    told.count(&opened.repaired);
    let _: usize = holds(&log, &opened, work, acknowledged)?;
    if live {
        let size = log.size();
        let sign = |size: u64, root: &Hash| Checkpoint::new("box-1", size, *root).sign(&common::key());
        let entries = (size..size + 3).map(|index| common::entry(index, 300)).collect();
        let commit = Commit { entries, checkpoint: Some(&sign), ..Commit::default() };
        log.commit(commit).map_err(|error| format!("going on: {error}"))?;
        let root = log.root();
        drop(log);
        let (log, opened) = open(&path)?;
        let report = log.fsck(Some(&common::key().verifier())).map_err(|error| format!("fsck: {error}"))?;
        if log.root() != root || !opened.lost.is_empty() || !report.is_clean() {
            return Err(format!("after going on: {opened:?}, {:?}", report.problems));
        }
    }
    Ok(())
}

/// The program is killed, another goes on where it stopped, and then the power fails: what the first had not synced is
/// in the second's hands.
fn kill_then_lose(
    disk: &Disk,
    work: &Work,
    acknowledged: usize,
    random: &mut Random,
    told: &mut Told,
) -> Result<(), String> {
    let folder = folder();
    disk.kill().write_to(folder.path());
    let path = folder.path().join("log");
    let mut work = work.clone();
    let (trace, went) = record_from(folder.path(), disk.clone(), || {
        let (mut log, opened) = Log::open(&path, work.options()).map_err(|error| format!("opening: {error}"))?;
        let held = holds(&log, &opened, &work, acknowledged)?;
        let under_way = work.done.get(held).map(|(step, _)| step.clone());
        // These may be half done; a commit is not.
        let under_way = under_way.filter(|step| matches!(step, Step::Erase(_) | Step::Prune(_)));
        work.done.truncate(held);
        recorder::mark(held);
        work.go_on(&mut log, 1 + random.below(12), under_way);
        Ok(())
    });
    went.map_err(|complaint: String| format!("after a kill: {complaint}"))?;
    let place = moment(&trace, random);
    let (disk, manner) = trace.disk_after(place).lose(random);
    let acknowledged = last_mark(&trace.ops[..place]).unwrap_or(acknowledged);
    survive(&disk, &work, acknowledged, None, false, told).map_err(|complaint| {
        format!(
            "after a kill, and a loss at step {place} of {} of what followed ({manner:?}): {complaint}",
            trace.ops.len()
        )
    })
}

/// Loses the power `losses` times during one recorded run. The first complaint, or what openings told.
fn lose(trace: &Trace, work: &Work, losses: usize, told: &mut Told) -> Result<(), String> {
    let mut random = Random::new(work.seed ^ 0x10_55e5);
    let mut places: Vec<usize> = (0..losses).map(|_| moment(trace, &mut random)).collect();
    places.sort_unstable();
    let mut disk = trace.base.clone();
    let mut done = 0;
    for (number, place) in places.into_iter().enumerate() {
        trace.ops[done..place].iter().for_each(|op| disk.apply(op));
        done = place;
        let (left, manner) = disk.lose(&mut random);
        let acknowledged = last_mark(&trace.ops[..place]).unwrap_or(0);
        let mut second = random.clone();
        let again = (number % 3 == 2).then_some(&mut second);
        let survived = if number % 3 == 1 {
            kill_then_lose(&disk, work, acknowledged, &mut second, told)
        } else {
            survive(&left, work, acknowledged, again, number % 4 == 0, told)
        };
        survived.map_err(|complaint| {
            format!(
                "seed {}, loss {number}, after step {place} of {} ({acknowledged} commits acknowledged; {manner:?}): {complaint}",
                work.seed,
                trace.ops.len()
            )
        })?;
    }
    Ok(())
}

#[test]
fn nothing_acknowledged_is_lost_with_the_power() {
    let losses = variable("PICKET_POWER_LOSSES", 50);
    let first = variable("PICKET_POWER_SEED", 1);
    let began = Instant::now();
    let (mut told, mut done, mut runs, mut steps) = (Told::default(), 0, 0, 0);
    while done < losses {
        let (trace, work) = recorded(u64::try_from(first + runs).unwrap(), STEPS);
        let count = LOSSES_OF_A_RUN.min(losses - done);
        lose(&trace, &work, count, &mut told).unwrap();
        done += count;
        runs += 1;
        steps += trace.ops.len();
    }
    println!(
        "{done} losses of power in {runs} runs of {steps} recorded steps, seeds from {first}, {} s: nothing acknowledged lost, fsck clean",
        began.elapsed().as_secs()
    );
    told.0.iter().for_each(|(kind, count)| println!("{count} times {kind}"));
}

#[test]
fn what_is_recorded_is_what_happened() {
    for seed in [1, 2] {
        let folder = folder();
        let mut work = Work::new(seed);
        let (trace, ()) = record(folder.path(), || work.run(&folder.path().join("log"), STEPS));
        let said = trace.disk_after(trace.ops.len()).content();
        let real = Disk::scan(folder.path()).content();
        assert_eq!(said.keys().collect::<Vec<_>>(), real.keys().collect::<Vec<_>>());
        for (path, content) in &real {
            assert!(said[path] == *content, "{path:?} is not as it was recorded");
        }
    }
}

/// The next process took the pack for durable, and overwrote the journal that had its commits too.
#[test]
fn a_file_whose_name_a_kill_left_unsynced_survives_a_later_loss() {
    let (trace, work) = recorded(501, STEPS);
    let mut random = Random::new(1);
    for end in [".pack", ".segment"] {
        let named = |op: &Op| matches!(op, Op::Rename { to, .. } if to.to_string_lossy().ends_with(end));
        let places: Vec<usize> = (0..trace.ops.len()).filter(|place| named(&trace.ops[*place])).collect();
        assert!(!places.is_empty(), "{end}");
        for place in places.into_iter().step_by(3).take(8) {
            let acknowledged = last_mark(&trace.ops[..place]).unwrap_or(0);
            let disk = trace.disk_after(place + 1);
            kill_then_lose(&disk, &work, acknowledged, &mut random, &mut Told::default()).unwrap();
        }
    }
}

/// A segment that begins and ends inside of one tile was not noticed when the index lagged behind its pack, and the
/// checkpoint that the pack had removed for it was missed.
#[test]
fn a_kill_while_a_short_segment_is_sealed_loses_no_checkpoint() {
    let folder = folder();
    let mut work = Work::new(1);
    let commit = |indices: std::ops::Range<u64>, boundary| Step::Commit {
        entries: indices.map(|index| common::entry(index, 20)).collect(),
        payloads: Vec::new(),
        named: Vec::new(),
        checkpoint: true,
        boundary,
    };
    // None of them larger than the journal: those are not sealed.
    let tile = [commit(0..100, false), commit(100..200, false), commit(200..256, false), Step::Flush];
    let steps = tile.into_iter().chain([commit(256..280, true), Step::Flush]).collect();
    let (trace, ()) = record(folder.path(), || work.run_through(&folder.path().join("log"), steps));
    for place in 0..=trace.ops.len() {
        let acknowledged = last_mark(&trace.ops[..place]).unwrap_or(0);
        let killed = trace.disk_after(place).kill();
        survive(&killed, &work, acknowledged, None, false, &mut Told::default())
            .unwrap_or_else(|complaint| panic!("killed after step {place}: {complaint}"));
    }
}

/// Erasing punched holes, and did not sync them: a loss brought the bytes back.
#[test]
fn what_was_erased_does_not_come_back() {
    let holder = folder();
    let path = holder.path().join("log");
    let (trace, ()) = record(holder.path(), || {
        let mut log = common::open(&path);
        common::commit(&mut log, 3, 20_000).unwrap();
        log.flush().unwrap();
        log.erase_payloads(&[1]).unwrap();
        recorder::mark(1);
    });
    let marked = trace.ops.iter().position(|op| matches!(op, Op::Mark(_))).unwrap();
    let mut random = Random::new(1);
    for _ in 0..20 {
        let left = trace.disk_after(marked + 1).lose(&mut random).0.content();
        let packs = left.iter().filter(|(name, _)| name.to_string_lossy().ends_with(".pack"));
        let holds =
            |text: &str| packs.clone().any(|(_, bytes)| has(bytes.as_deref().unwrap_or_default(), text.as_bytes()));
        assert!(holds("payload 0 payload 0") && !holds("payload 1 payload 1"));
    }
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The same run of a store that forgets to sync what has such a name. `data_only`: with `fdatasync`.
fn forgetting(trace: &Trace, from_the_start: bool, forgets: impl Fn(&str, bool) -> bool) -> Trace {
    let mut names: BTreeMap<Id, Vec<String>> = BTreeMap::new();
    for op in &trace.ops {
        if let Op::Create { name, id, .. } | Op::Rename { to: name, id, .. } = op {
            names.entry(*id).or_default().push(name.to_string_lossy().into_owned());
        }
    }
    let mut acknowledged = from_the_start;
    let mut ops = trace.ops.clone();
    ops.retain(|op| match op {
        Op::Mark(_) => {
            acknowledged = true;
            true
        }
        Op::Sync { id, data_only } if acknowledged => {
            !names.get(id).is_some_and(|had| had.iter().any(|name| forgets(name, *data_only)))
        }
        _ => true,
    });
    Trace { base: trace.base.clone(), ops }
}

/// That the losses above find something when there is something: each sync that the promise rests on is left out.
#[test]
fn a_store_that_forgets_a_sync_is_found_out() {
    let (trace, work) = recorded(3, STEPS);
    let mut sound = Told::default();
    lose(&trace, &work, 2 * LOSSES_OF_A_RUN, &mut sound).unwrap();
    // Name, or how it ends, and whether it is forgotten from the start or only once something was acknowledged.
    let faults = [
        ("the journal", "journal", false),
        ("packs", ".pack", false),
        ("the names of packs", "packs", false),
        ("sealed segments", ".segment", false),
        ("the names of sealed segments", "segments", false),
        ("the names of journal and index", "log", true),
    ];
    for (what, end, from_the_start) in faults {
        let broken = forgetting(&trace, from_the_start, |name, _| name.ends_with(end));
        assert!(broken.ops.len() < trace.ops.len(), "{what}: never synced");
        let complaint = lose(&broken, &work, 8 * LOSSES_OF_A_RUN, &mut Told::default());
        println!("forgetting to sync {what}: {}", complaint.expect_err(what));
    }
    // sled syncs with `fsync` now and then, and the store with `fdatasync` each time. Without the latter sled loses what
    // it said to have flushed: packs that were removed for it are missed, and where all are there, the index is behind
    // far more often.
    let broken = forgetting(&trace, true, |name, data_only| name == "db" && data_only);
    let mut told = Told::default();
    let complaint = lose(&broken, &work, 2 * LOSSES_OF_A_RUN, &mut told);
    let (sound, behind) = (sound.count_of(BEHIND), told.count_of(BEHIND));
    println!("forgetting to sync the index: {complaint:?}; it was behind {behind} times instead of {sound}");
    assert!(complaint.is_err() || behind > sound, "{behind} times instead of {sound}");
}
