//! Every step of commits × every fault, with fsck and a reopening after each; full disks; lost power.

use super::{Machine, assert_clean, commit, entry};
use crate::StoreError;
use crate::faulty::Fault;
use crate::log::{Commit, Log, Payload};

const FAULTS: [Fault; 4] = [Fault::Failed, Fault::FailedButPersisted, Fault::Torn, Fault::Full];

/// Commits that go through everything: small ones, turns of the journal, one larger than the journal.
fn script(log: &mut Log, acknowledged: &mut u64) -> Result<(), StoreError> {
    for round in 0..18 {
        *acknowledged = commit(log, 1 + round % 3, 1500)?;
    }
    let payload = Payload { invocation: 1, bytes: vec![1; 70_000] };
    let entries = vec![entry(log.size(), 10)];
    *acknowledged = log.commit(Commit { entries, payloads: vec![payload], ..Commit::default() })?.size;
    *acknowledged = commit(log, 1, 10)?;
    log.flush()
}

#[test]
fn every_step_may_fail() {
    let machine = Machine::new();
    let mut log = machine.open().unwrap();
    let first = machine.plan.steps();
    script(&mut log, &mut 0).unwrap();
    let steps = first..machine.plan.steps();
    assert!(steps.len() > 40, "{steps:?}");
    let mut failed = 0;
    for step in steps {
        for fault in FAULTS {
            let machine = Machine::new();
            let mut log = machine.open().unwrap();
            machine.plan.at(step, fault);
            let mut acknowledged = 0;
            let result = script(&mut log, &mut acknowledged);
            failed += usize::from(result.is_err());
            // Readers see what was acknowledged, no more and no less.
            assert_eq!(log.size(), acknowledged, "step {step} {fault:?}");
            assert_clean(&log);
            for crash in ["none", "kill", "power"] {
                let survivor = machine.copy();
                if crash == "power" {
                    survivor.lose_power(|| false);
                }
                let mut log = survivor.open().unwrap_or_else(|error| panic!("step {step} {fault:?} {crash}: {error}"));
                assert!(log.size() >= acknowledged, "step {step} {fault:?} {crash}: {} of {acknowledged}", log.size());
                assert!(log.size() <= acknowledged + 3, "step {step} {fault:?} {crash}");
                assert_clean(&log);
                commit(&mut log, 2, 100).unwrap();
                drop(log);
                assert_clean(&survivor.open().unwrap());
            }
        }
    }
    assert!(failed > 100, "the faults were met: {failed}");
}

#[test]
fn a_write_that_failed_may_be_tried_again() {
    for fault in FAULTS {
        let machine = Machine::new();
        let mut log = machine.open().unwrap();
        commit(&mut log, 1, 10).unwrap();
        // The next step is the write of a commit that fills most of the half; the one after goes to the other half.
        machine.plan.at(machine.plan.steps(), fault);
        commit(&mut log, 1, 20_000).unwrap_err();
        commit(&mut log, 2, 14_000).unwrap();
        assert_eq!(log.size(), 3);
        let survivor = machine.copy();
        survivor.lose_power(|| false);
        let log = survivor.open().unwrap();
        assert_eq!(log.size(), 3, "{fault:?}");
        assert_clean(&log);
    }
}

#[test]
fn after_a_failed_sync_only_opening_again_helps() {
    let machine = Machine::new();
    let mut log = machine.open().unwrap();
    commit(&mut log, 1, 10).unwrap();
    machine.plan.at(machine.plan.steps() + 1, Fault::Failed);
    commit(&mut log, 1, 10).unwrap_err();
    let error = commit(&mut log, 1, 10).unwrap_err();
    assert!(matches!(error, StoreError::Stopped { .. }), "{error}");
    assert_eq!(log.size(), 1);
    drop(log);
    let mut log = machine.open().unwrap();
    commit(&mut log, 1, 10).unwrap();
    assert_clean(&log);
}

#[test]
fn a_full_disk_stops_commits_and_freeing_space_lets_them_go_on() {
    // Only the base grows; the journal is there already. So only the base meets a full disk.
    let machine = Machine::with_separate_plans();
    let mut log = machine.open().unwrap();
    machine.base.plan.always(Some(Fault::Full));
    let mut acknowledged = 0;
    let error = loop {
        match commit(&mut log, 1, 2000) {
            Ok(size) => acknowledged = size,
            Err(error) => break error,
        }
        assert!(acknowledged < 1000, "a full disk must stop the commits");
    };
    assert!(error.is_full(), "{error}");
    assert!(acknowledged > 10);
    assert_eq!(log.size(), acknowledged);
    assert!(commit(&mut log, 1, 2000).unwrap_err().is_full());
    assert_clean(&log);
    // A crash in that state.
    let survivor = machine.copy();
    survivor.lose_power(|| false);
    assert_eq!(survivor.open().unwrap().size(), acknowledged);
    // Space again.
    machine.base.plan.always(None);
    for _ in 0..30 {
        commit(&mut log, 1, 2000).unwrap();
    }
    assert_eq!(log.size(), acknowledged + 30);
    assert_clean(&log);
    drop(log);
    assert_clean(&machine.open().unwrap());
}

/// Commits that are sealed, with a boundary inside of a tile, and what is sealed pruned.
fn sealing(log: &mut Log, acknowledged: &mut u64) -> Result<(), StoreError> {
    *acknowledged = commit(log, 300, 20)?;
    log.flush()?;
    let key = super::key();
    let sign = super::signer(&key);
    let entries = vec![entry(log.size(), 10)];
    *acknowledged = log.commit(Commit { entries, checkpoint: Some(&sign), boundary: true, ..Commit::default() })?.size;
    *acknowledged = commit(log, 150, 20)?;
    log.flush()?;
    *acknowledged = commit(log, 200, 20)?;
    log.prune(300)?;
    *acknowledged = commit(log, 200, 20)?;
    log.flush()
}

#[test]
fn every_step_of_sealing_may_fail() {
    let machine = Machine::new();
    let mut log = machine.open().unwrap();
    let first = machine.plan.steps();
    sealing(&mut log, &mut 0).unwrap();
    assert_eq!(log.reader().sealed_to(), 768);
    let segments = log.reader().sealed_segments(0..u64::MAX);
    assert_eq!(
        segments.iter().map(|one| (one.first, one.end)).collect::<Vec<_>>(),
        [(256, 301), (301, 512), (512, 768)]
    );
    let mut failed = 0;
    for step in first..machine.plan.steps() {
        for fault in FAULTS {
            let machine = Machine::new();
            let mut log = machine.open().unwrap();
            machine.plan.at(step, fault);
            let mut acknowledged = 0;
            failed += usize::from(sealing(&mut log, &mut acknowledged).is_err());
            assert_eq!(log.size(), acknowledged, "step {step} {fault:?}");
            assert_clean(&log);
            for power in [false, true] {
                let survivor = machine.copy();
                if power {
                    survivor.lose_power(|| false);
                }
                let (mut log, findings) = survivor
                    .open_finding()
                    .unwrap_or_else(|error| panic!("step {step} {fault:?} power {power}: {error}"));
                assert!(findings.lost.is_empty());
                assert!(log.size() >= acknowledged, "step {step} {fault:?} power {power}: {}", log.size());
                assert_clean(&log);
                // What is there beside the rows was removed.
                let sealed = log.reader().sealed_segments(0..u64::MAX).len();
                assert_eq!(survivor.segments.lock().len(), sealed, "step {step} {fault:?} power {power}");
                commit(&mut log, 300, 20).unwrap();
                log.flush().unwrap();
                assert_clean(&log);
                assert!(log.reader().sealed_to() >= log.size() / 256 * 256);
                drop(log);
                assert_clean(&survivor.open().unwrap());
            }
        }
    }
    assert!(failed > 50, "the faults were met: {failed}");
}
