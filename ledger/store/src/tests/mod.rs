//! Tests of the log over memory stores, with and without faults. Those over files are in `tests/`.

mod faults;
mod journal;
mod model;

use std::sync::Arc;

use picket_ledger::entry::{Body, Heartbeat};
use picket_ledger::hash::Hash;
use picket_ledger::{Checkpoint, Entry, SigningKey};

use crate::faulty::{FaultyJournal, FaultySegments, FaultyStore, Plan};
use crate::findings::Findings;
use crate::log::{Commit, Log};
use crate::{StoreError, journaled::OpenBase, store::Store};

/// Small, so that some dozen commits fill it.
pub(crate) const HALF_BYTES: usize = 8 * 4096;

/// Everything that survives a process: what a log over memory stands on.
#[derive(Clone, Default)]
pub(crate) struct Machine {
    pub(crate) base: FaultyStore,
    pub(crate) journal: FaultyJournal,
    pub(crate) segments: FaultySegments,
    pub(crate) plan: Plan,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let plan = Plan::default();
        let mut machine = Self { plan: plan.clone(), ..Self::default() };
        machine.base.plan = plan.clone();
        machine.segments.plan = plan.clone();
        machine.journal.plan = plan;
        machine
    }

    /// The base and the journal count their steps apart.
    pub(crate) fn with_separate_plans() -> Self {
        let mut machine = Self::new();
        machine.base.plan = Plan::default();
        machine.segments.plan = machine.base.plan.clone();
        machine
    }

    pub(crate) fn open(&self) -> Result<Log, StoreError> {
        self.open_finding().map(|(log, _)| log)
    }

    pub(crate) fn open_finding(&self) -> Result<(Log, Findings), StoreError> {
        self.open_with(Findings::default())
    }

    pub(crate) fn open_with(&self, mut findings: Findings) -> Result<(Log, Findings), StoreError> {
        let base = self.base.clone();
        let open: OpenBase = Box::new(move |_| Ok(Box::new(base.clone()) as Box<dyn Store>));
        let (log, _) =
            Log::start(open, &self.journal, Box::new(self.segments.clone()), HALF_BYTES, &mut findings, None)?;
        Ok((log, findings))
    }

    /// The power fails: unsynced bytes of the journal survive as `keep` says, those of the base do not.
    pub(crate) fn lose_power(&self, keep: impl FnMut() -> bool) {
        self.base.inner.lose_power();
        self.journal.lose_power(keep);
    }

    /// A copy that does not see what happens to this one from now on, as a crash would find it.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        // The journal first: what is in the base by then is in it too, and what comes later only more so.
        copy.journal.copy_from(&self.journal);
        copy.base.inner.copy_from(&self.base.inner);
        *copy.segments.lock() = self.segments.lock().clone();
        copy
    }
}

/// An entry of at least `bytes` bytes that knows its index.
pub(crate) fn entry(index: u64, bytes: usize) -> Vec<u8> {
    let body = Body::Config(picket_ledger::entry::Config { digest: [7; 32], document: "x".repeat(bytes) });
    let body = if bytes == 0 { Body::Heartbeat(Heartbeat { next_invocation: index }) } else { body };
    let entry = Entry { incarnation: 1, index, wall_ms: 1, monotonic_ns: 2, boot: [3; 16], body };
    entry.encode().unwrap()
}

pub(crate) fn entries(first: u64, count: u64, bytes: usize) -> Vec<Vec<u8>> {
    (first..first + count).map(|index| entry(index, bytes)).collect()
}

pub(crate) fn key() -> Arc<SigningKey> {
    Arc::new(SigningKey::from_seed("box-1", &[9; 32]).unwrap())
}

pub(crate) fn signer(key: &SigningKey) -> impl Fn(u64, &Hash) -> String + '_ {
    |size, root| Checkpoint::new("box-1", size, *root).sign(key)
}

/// Commits entries with a checkpoint.
pub(crate) fn commit(log: &mut Log, count: u64, bytes: usize) -> Result<u64, StoreError> {
    let key = key();
    let sign = signer(&key);
    let entries = entries(log.size(), count, bytes);
    Ok(log.commit(Commit { entries, checkpoint: Some(&sign), ..Commit::default() })?.size)
}

#[track_caller]
pub(crate) fn assert_clean(log: &Log) {
    let report = log.fsck(Some(&key().verifier())).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!(report.size, log.size());
    assert_eq!(report.entries, log.size() - report.pruned_to);
}
