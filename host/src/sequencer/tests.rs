//! The writer, on a real ledger in a temporary folder.

mod rotation;

use super::test_support::{edge, open, settings};
use super::*;
use crate::config::Ledger;
use picket_ledger::checkpoint::SignedCheckpoint;
use picket_ledger::entry::{Drop, Entry, Heartbeat, Recovery};
use std::time::Duration;

fn note(number: u64) -> Pending {
    Body::Drop(Drop { count: number, reason: "test".into() }).into()
}

fn body(sequencer: &Sequencer, index: u64) -> Body {
    let bytes = sequencer.reader().entry(index).unwrap();
    let entry = Entry::decode(&bytes).unwrap();
    assert_eq!(entry.index, index);
    entry.body
}

fn recovery(sequencer: &Sequencer, index: u64) -> Recovery {
    match body(sequencer, index) {
        Body::Recovery(recovery) => recovery,
        other => panic!("entry {index} is {other:?}"),
    }
}

#[test]
fn entries_come_in_the_order_of_their_index_and_survive_a_clean_end() {
    let data = tempfile::tempdir().unwrap();
    let (sequencer, writer, opening) = open(data.path(), &settings());
    assert!(opening.fresh);
    for number in 1..=20 {
        let placed = sequencer.append_blocking(note(number)).unwrap();
        assert_eq!(placed.index, number);
        assert_eq!(placed.leaf, picket_ledger::hash::leaf_hash(&sequencer.reader().entry(number).unwrap()));
    }
    assert_eq!(sequencer.allocate(), Some(0));
    assert_eq!(sequencer.allocate(), Some(1));
    writer.stop();
    assert!(matches!(sequencer.append_blocking(note(0)), Err(SequencerError::Closed)));
    drop(sequencer);

    let (sequencer, writer, opening) = open(data.path(), &settings());
    assert!(!opening.fresh && opening.clean);
    let recovery = recovery(&sequencer, 22);
    assert_eq!((recovery.previous_size, recovery.first_invocation, recovery.clean), (22, 2, true));
    assert!(matches!(body(&sequencer, 21), Body::Heartbeat(Heartbeat { next_invocation: 2 })));
    assert_eq!(sequencer.allocate(), Some(2), "numbers go on without a gap");
    writer.stop();
}

#[test]
fn an_unclean_end_leaves_a_hole_that_the_next_start_tells() {
    let data = tempfile::tempdir().unwrap();
    let (sequencer, writer, _) = open(data.path(), &settings());
    let before = sequencer.allocate().unwrap();
    sequencer.append_blocking(note(1)).unwrap();
    // What SIGKILL leaves: the folder as it is, copied while the writer still holds it.
    let copy = tempfile::tempdir().unwrap();
    copy_folder(data.path(), copy.path());
    writer.stop();
    let (sequencer, writer, opening) = open(copy.path(), &settings());
    assert!(!opening.clean && !opening.fresh);
    let recovery = recovery(&sequencer, 2);
    assert!(!recovery.clean);
    assert!(recovery.first_invocation > before, "no number is given twice");
    assert_eq!(sequencer.allocate(), Some(recovery.first_invocation));
    writer.stop();
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_folder(&entry.path(), &target);
            std::fs::set_permissions(&target, entry.metadata().unwrap().permissions()).unwrap();
        } else if entry.file_name() != "place" {
            // Without the record of its place the copy passes for the original, as after a crash.
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn checkpoints_come_with_size_with_time_and_when_asked_for() {
    let data = tempfile::tempdir().unwrap();
    let by_size = Ledger { checkpoint_entries: 4, ..settings() };
    let (sequencer, writer, _) = open(data.path(), &by_size);
    let key = crate::keys::load_public(data.path()).unwrap();
    let newest = |sequencer: &Sequencer| {
        let checkpoint = sequencer.reader().latest_checkpoint().unwrap().unwrap();
        let opened = SignedCheckpoint::open(&checkpoint.text, &key).unwrap();
        assert_eq!(opened.checkpoint.root, sequencer.reader().tree_at(checkpoint.size).unwrap().root());
        checkpoint.size
    };
    assert_eq!(newest(&sequencer), 1, "the opening is signed at once");
    for number in 0..3 {
        sequencer.append_blocking(note(number)).unwrap();
    }
    assert_eq!(newest(&sequencer), 1);
    sequencer.append_blocking(note(3)).unwrap();
    assert_eq!(newest(&sequencer), 5);
    sequencer.append_blocking(note(4)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(sequencer.checkpoint_now()).unwrap(), 6);
    writer.stop();
    drop(sequencer);

    let by_time = Ledger {
        checkpoint_every: Duration::from_millis(30),
        heartbeat_every: Duration::from_millis(100),
        ..settings()
    };
    let (sequencer, writer, opening) = open(data.path(), &by_time);
    let placed = sequencer.append_blocking(note(5)).unwrap();
    let mut signed = sequencer.signed();
    wait_for(|| *signed.borrow_and_update() > placed.index);
    // Idle: a heartbeat follows, signed as well.
    wait_for(|| sequencer.reader().size() > placed.index + 1);
    assert!(matches!(body(&sequencer, placed.index + 1), Body::Heartbeat(_)));
    wait_for(|| newest(&sequencer) > placed.index + 1);
    assert!(opening.clean);
    writer.stop();
}

/// Waits for something that must come to pass; gives up after a time that no healthy machine needs.
fn wait_for(mut condition: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("it has not come to pass");
}

#[test]
fn an_entry_beyond_the_format_is_refused_and_the_others_stand() {
    let data = tempfile::tempdir().unwrap();
    let (sequencer, writer, _) = open(data.path(), &settings());
    let huge = Body::Drop(Drop { count: 1, reason: "x".repeat(100_000) });
    assert!(matches!(sequencer.append_blocking(huge.into()), Err(SequencerError::Entry(_))));
    assert_eq!(sequencer.append_blocking(note(1)).unwrap().index, 1);
    writer.stop();
}

/// What the store would refuse is refused alone: a commit is all or nothing, and others share it.
#[test]
fn something_too_large_does_not_take_its_group_down() {
    let data = tempfile::tempdir().unwrap();
    let (sequencer, writer, _) = open(data.path(), &settings());
    let large = Pending { payload: Some((0, vec![0; picket_store::MAX_PAYLOAD_BYTES + 1])), ..note(1) };
    let value = Some(vec![0; picket_store::MAX_NAMED_BYTES + 1]);
    let named = Pending { named: vec![("large".into(), value.clone())], ..note(2) };
    let (sender, receiver) = crossbeam_channel::unbounded();
    for (number, pending) in [note(3), large, note(4), named, note(5)].into_iter().enumerate() {
        let sender = sender.clone();
        sequencer.submit(pending, Box::new(move |placed| sender.send((number, placed.is_ok())).unwrap()));
    }
    assert!(sequencer.put_named_blocking(vec![("large".into(), value)]).is_err());
    let mut outcomes: Vec<_> = receiver.iter().take(5).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, [(0, true), (1, false), (2, true), (3, false), (4, true)]);
    writer.stop();
}

#[test]
fn invocation_ids_run_out_when_nothing_is_committed_and_go_on_after_a_commit() {
    let data = tempfile::tempdir().unwrap();
    let (sequencer, writer, _) = open(data.path(), &settings());
    let mut last = None;
    while let Some(id) = sequencer.allocate() {
        last = Some(id);
    }
    let last = last.unwrap();
    sequencer.append_blocking(note(1)).unwrap();
    wait_for(|| sequencer.allocate().is_some_and(|id| id > last));
    writer.stop();
}

#[test]
fn many_threads_share_commits_and_lose_nothing() {
    let data = tempfile::tempdir().unwrap();
    let (sequencer, writer, _) = open(data.path(), &settings());
    let indices: Vec<u64> = std::thread::scope(|scope| {
        let submit = |thread: u64| {
            let sequencer = sequencer.clone();
            scope.spawn(move || {
                (0..50)
                    .map(|number| sequencer.append_blocking(note(thread * 50 + number)).unwrap().index)
                    .collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = (0..8).map(submit).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let distinct: std::collections::BTreeSet<_> = indices.iter().collect();
    assert_eq!((distinct.len(), sequencer.reader().size()), (400, 401));
    writer.stop();
}

#[test]
fn a_clock_that_was_set_while_the_box_was_down_is_recorded_at_the_start() {
    let data = tempfile::tempdir().unwrap();
    let (sequencer, writer, _) = open(data.path(), &settings());
    sequencer.append_blocking(note(1)).unwrap();
    drop(sequencer);
    writer.stop();
    // An entry as a box would have made it whose clock ran an hour ahead.
    let key = std::fs::read_to_string(data.path().join("keys/box.key")).unwrap();
    let key = picket_ledger::SigningKey::parse(key.trim()).unwrap();
    let now = clock::Clock::new().read();
    let (mut log, _) = picket_store::Log::open(&data.path().join("ledger"), &picket_store::Options::default()).unwrap();
    let entry = Entry {
        incarnation: 1,
        index: log.size(),
        wall_ms: now.wall_ms + 3_600_000,
        monotonic_ns: now.monotonic_ns,
        boot: now.boot,
        body: note(2).body,
    };
    let sign = |size: u64, root: &Hash| {
        picket_ledger::Checkpoint { origin: "box-1".into(), size, root: *root, extensions: Vec::new() }.sign(&key)
    };
    let entries = vec![entry.encode().unwrap()];
    log.commit(picket_store::Commit { entries, checkpoint: Some(&sign), ..picket_store::Commit::default() }).unwrap();
    drop(log);
    let (sequencer, writer, _) = open(data.path(), &settings());
    let found = (0..sequencer.reader().size()).find_map(|index| match body(&sequencer, index) {
        Body::TimeAnchor(picket_ledger::entry::TimeAnchor::ClockStep { step_ms }) => Some((index, step_ms)),
        _ => None,
    });
    let (index, step_ms) = found.unwrap();
    assert!((-3_600_000 - 60_000..=-3_600_000 + 60_000).contains(&step_ms), "{step_ms}");
    assert!(matches!(body(&sequencer, index + 1), Body::Recovery(_)), "before what is dated by the new clock");
    writer.stop();
}
