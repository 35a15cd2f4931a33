//! Rounds over a real ledger in a temporary folder.

use super::*;
use crate::evidence::RECEIPT_NAME;
use crate::sequencer::test_support::{open, settings, verdict};
use crate::sequencer::{Sequencer, SequencerError};
use picket_ledger::SigningKey;
use picket_ledger::entry::{Body, Entry, TimeAnchor};
use picket_ledger::receipt::{CosignerKey, cosign};
use std::path::Path;

fn auditor() -> SigningKey {
    SigningKey::from_seed("auditor", &[7; 32]).unwrap()
}

fn keeper(sequencer: &Sequencer, settings: &crate::config::Ledger, data: &Path) -> Keeper {
    Keeper::new(sequencer.clone(), settings.clone(), Some(CosignerKey::of(&auditor())), data.join("ledger"))
}

fn receipt(sequencer: &Sequencer, by: &SigningKey, time: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(sequencer.checkpoint_now()).unwrap();
    let note = sequencer.reader().latest_checkpoint().unwrap().unwrap().text;
    let text = cosign(&note, by, time).unwrap();
    sequencer.put_named_blocking(vec![(RECEIPT_NAME.to_owned(), Some(text.into_bytes()))]).unwrap();
}

#[test]
fn over_the_budget_payloads_go_first_then_what_a_true_receipt_covers_and_then_nothing() {
    let data = tempfile::tempdir().unwrap();
    let settings = crate::config::Ledger { disk_budget: Some(1), ..settings() };
    let (sequencer, writer, _) = open(data.path(), &settings);
    for _ in 0..600 {
        sequencer.append_blocking(verdict(&sequencer)).unwrap();
    }
    let mut keeper = keeper(&sequencer, &settings, data.path());
    let round = keeper.round().unwrap();
    assert_eq!((round.erased, round.pruned_to, round.over_budget), (600, 0, true), "no receipt, no entry goes");
    let refused = sequencer.append_blocking(verdict(&sequencer));
    assert!(matches!(refused, Err(SequencerError::OverBudget)), "{refused:?}");

    // A receipt by somebody else.
    receipt(&sequencer, &SigningKey::from_seed("auditor", &[8; 32]).unwrap(), 1);
    assert_eq!(keeper.round().unwrap().pruned_to, 0);
    // A true one for a ledger of the same key and another history.
    let note = picket_ledger::Checkpoint { origin: "box-1".into(), size: 512, root: [3; 32], extensions: Vec::new() }
        .sign(&SigningKey::parse(std::fs::read_to_string(data.path().join("keys/box.key")).unwrap().trim()).unwrap());
    let other = cosign(&note, &auditor(), 1).unwrap();
    sequencer.put_named_blocking(vec![(RECEIPT_NAME.to_owned(), Some(other.into_bytes()))]).unwrap();
    assert_eq!(keeper.round().unwrap().pruned_to, 0);
    // The true one.
    receipt(&sequencer, &auditor(), 10_000);
    let size = sequencer.reader().size();
    assert_eq!(keeper.round().unwrap().pruned_to, size / 256 * 256);
    assert!(sequencer.reader().fsck(None).unwrap().problems.is_empty());
    drop(keeper);
    drop(sequencer);
    writer.stop();
}

#[test]
fn an_auditors_time_is_recorded_at_most_once_an_hour() {
    let data = tempfile::tempdir().unwrap();
    let (sequencer, writer, _) = open(data.path(), &settings());
    let mut keeper = keeper(&sequencer, &settings(), data.path());
    let anchors = || -> Vec<(u64, u64)> {
        let reader = sequencer.reader();
        let entries = reader.read(0..reader.size()).unwrap();
        let anchor = |bytes: &Vec<u8>| match Entry::decode(bytes).unwrap().body {
            Body::TimeAnchor(TimeAnchor::Receipt { time, size, .. }) => Some((time, size)),
            _ => None,
        };
        entries.iter().filter_map(anchor).collect()
    };
    for time in [10_000, 10_001, 13_599, 13_600, 13_700] {
        sequencer.append_blocking(verdict(&sequencer)).unwrap();
        receipt(&sequencer, &auditor(), time);
        keeper.round().unwrap();
        keeper.round().unwrap();
    }
    let times: Vec<u64> = anchors().iter().map(|(time, _)| *time).collect();
    assert_eq!(times, [10_000, 13_600]);
    drop(keeper);
    drop(sequencer);
    writer.stop();
}

#[test]
fn entries_go_by_age_only_behind_the_receipt() {
    let data = tempfile::tempdir().unwrap();
    let old = crate::config::Ledger { keep_entries: Some(std::time::Duration::from_millis(1)), ..settings() };
    let (sequencer, writer, _) = open(data.path(), &old);
    for _ in 0..300 {
        sequencer.append_blocking(verdict(&sequencer)).unwrap();
    }
    receipt(&sequencer, &auditor(), 5);
    for _ in 0..300 {
        sequencer.append_blocking(verdict(&sequencer)).unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(3));
    let round = keeper(&sequencer, &old, data.path()).round().unwrap();
    assert_eq!(round.pruned_to, 256, "301 entries have a receipt");
    drop(sequencer);
    writer.stop();
}

/// The count is told once, and not in an entry for each: those would take the space that the verdicts may not.
#[test]
fn over_the_budget_dropped_verdicts_are_counted_in_one_entry() {
    let data = tempfile::tempdir().unwrap();
    let on_full = crate::config::OnFull::Drop;
    let settings = crate::config::Ledger { disk_budget: Some(1), on_full, ..settings() };
    let (sequencer, writer, _) = open(data.path(), &settings);
    assert!(keeper(&sequencer, &settings, data.path()).round().unwrap().over_budget);
    let before = sequencer.reader().size();
    for _ in 0..50 {
        let dropped = sequencer.append_blocking(verdict(&sequencer));
        assert!(matches!(dropped, Err(SequencerError::Dropped)), "{dropped:?}");
    }
    assert_eq!(sequencer.reader().size(), before);
    let reader = sequencer.reader();
    drop(sequencer);
    writer.stop();
    let entries = reader.read(before..reader.size()).unwrap();
    let counts: Vec<u64> = entries
        .iter()
        .filter_map(|bytes| match Entry::decode(bytes).unwrap().body {
            Body::Drop(drop) => Some(drop.count),
            _ => None,
        })
        .collect();
    assert_eq!(counts, [50]);
}
