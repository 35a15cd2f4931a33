//! What recovery makes of damaged journals.

use super::{Machine, assert_clean, commit};
use crate::StoreError;
use crate::findings::Findings;
use crate::journal::BLOCK_BYTES;

/// A machine whose log holds ten entries, the last five of them only in the journal.
fn crashed() -> Machine {
    let machine = Machine::new();
    let mut log = machine.open().unwrap();
    for _ in 0..5 {
        commit(&mut log, 1, 300).unwrap();
    }
    log.flush().unwrap();
    for _ in 0..5 {
        commit(&mut log, 1, 300).unwrap();
    }
    let copy = machine.copy();
    drop(log);
    copy
}

#[test]
fn commits_that_are_only_in_the_journal_are_found() {
    let machine = crashed();
    let (log, findings) = machine.open_finding().unwrap();
    assert_eq!(log.size(), 10);
    assert!(findings.repaired.is_empty(), "{:?}", findings.repaired);
    assert_clean(&log);
}

#[test]
fn a_flipped_bit_in_any_block_loses_nothing_silently() {
    let blocks = crashed().journal.length() / BLOCK_BYTES;
    let mut repaired = 0;
    let mut refused = 0;
    for block in 0..blocks {
        for place in [3, 30, 100] {
            let machine = crashed();
            machine.journal.alter(|bytes| bytes[block * BLOCK_BYTES + place] ^= 4);
            match machine.open_finding() {
                // The block held nothing that is needed, or the last record, which is told.
                Ok((log, findings)) => {
                    assert!(log.size() == 10 || (log.size() == 9 && !findings.repaired.is_empty()), "block {block}");
                    assert_clean(&log);
                    repaired += usize::from(!findings.repaired.is_empty());
                }
                Err(StoreError::Damaged { lost, .. }) => {
                    assert!(lost.contains("cannot be recovered"), "{lost}");
                    refused += 1;
                }
                Err(error) => panic!("block {block}: {error}"),
            }
        }
    }
    assert!(repaired > 0 && refused > 0, "repaired {repaired}, refused {refused}");
}

#[test]
fn with_losses_accepted_the_log_goes_on_from_what_is_left() {
    let machine = crashed();
    machine.journal.alter(|bytes| {
        // The record of the second commit that only the journal has.
        let half = (bytes.len() / BLOCK_BYTES - 1) / 2;
        bytes[(1 + half + 1) * BLOCK_BYTES + 100] ^= 1;
    });
    assert!(matches!(machine.open(), Err(StoreError::Damaged { .. })));
    let (mut log, findings) = machine.open_with(Findings { accept_loss: true, ..Findings::default() }).unwrap();
    assert_eq!(log.size(), 6);
    assert_eq!(findings.lost.len(), 2, "{:?}", findings.lost);
    commit(&mut log, 3, 10).unwrap();
    drop(log);
    let (log, findings) = machine.open_finding().unwrap();
    assert_eq!((log.size(), findings.lost.len()), (9, 0));
    assert_clean(&log);
}

#[test]
fn a_base_that_fell_back_is_brought_up_by_the_journal_or_noticed() {
    let machine = Machine::new();
    let mut log = machine.open().unwrap();
    commit(&mut log, 3, 10).unwrap();
    log.flush().unwrap();
    let old = machine.copy();
    for _ in 0..3 {
        commit(&mut log, 1, 10).unwrap();
    }
    drop(log);
    // Everything since is still in the journal.
    let fallen = machine.copy();
    fallen.base.inner.copy_from(&old.base.inner);
    assert_eq!(fallen.open().unwrap().size(), 6);
    // Now it is overwritten there.
    let mut log = machine.open().unwrap();
    for _ in 0..40 {
        commit(&mut log, 1, 300).unwrap();
    }
    drop(log);
    machine.base.inner.copy_from(&old.base.inner);
    let error = machine.open().err().unwrap().to_string();
    assert!(error.contains("cannot be recovered") && error.contains("restore the folder"), "{error}");
}

#[test]
fn a_journal_that_is_missing_or_of_another_log_is_refused() {
    let machine = crashed();
    machine.journal.alter(|bytes| {
        *bytes = crate::journal::empty(b"another identity", 4096);
    });
    let error = machine.open().err().unwrap().to_string();
    assert!(error.contains("belongs to another log"), "{error}");
    let machine = crashed();
    machine.journal.remove();
    let error = machine.open().err().unwrap().to_string();
    assert!(error.contains("is missing"), "{error}");
    let (log, findings) = machine.open_with(Findings { accept_loss: true, ..Findings::default() }).unwrap();
    assert_eq!((log.size(), findings.lost.len()), (5, 1));
    assert_clean(&log);
}

#[test]
fn bytes_of_a_payload_that_look_like_a_record_are_not_one() {
    let machine = crashed();
    let copied = machine.journal.length();
    let mut log = machine.open().unwrap();
    // A payload made of the journal's own blocks, with a sequence that lies ahead: the tag must not fit.
    let mut bytes = vec![0; copied];
    machine.journal.alter(|journal| bytes.copy_from_slice(journal));
    for start in (0..bytes.len()).step_by(BLOCK_BYTES) {
        if &bytes[start..start + 4] == b"PKTR" {
            bytes[start + 8] = 200;
        }
    }
    let identity = b"sixteen bytes !!";
    let records = crate::journal::Content::of(bytes).records(identity);
    assert!(records.complete.is_empty() && records.broken.is_empty());
    commit(&mut log, 1, 1).unwrap();
    assert_clean(&log);
}
