//! Invocation ids: numbered without gaps, handed out *before* guards run.
//!
//! An id that no verdict entry carries is a visible hole. For that to hold across a crash, ids are handed out only below
//! a ceiling that is durable in the store; after a crash numbering goes on at the ceiling, and a recovery entry says so.
//! The ceiling stays close above the ids in use, so that a crash leaves few numbers unexplained.

use std::sync::atomic::{AtomicU64, Ordering};

/// A ceiling is moved when it has come this much closer: not with every commit, often enough to stay near.
const STEP: u64 = 32;

/// Shared between the gateway, which allocates, and the writer thread, which moves the ceiling.
#[derive(Debug)]
pub(super) struct Invocations {
    /// Next id to hand out. Never above `ceiling` once the compare-exchange has succeeded.
    next: AtomicU64,
    /// Ids below it may be handed out. Only the writer thread raises it, after the commit that made it durable.
    ceiling: AtomicU64,
    /// How far above the next id the ceiling is put.
    reserve: u64,
}

impl Invocations {
    /// Ids go on at `next`, once a first commit has made a ceiling above it durable. `in_flight` is the most that can be
    /// handed out between the making of one commit and the end of the next: with that much in reserve, a ledger that
    /// commits never makes anybody wait for a number, and a crash leaves no more than that unexplained.
    pub(super) fn new(next: u64, in_flight: u64) -> Self {
        Self { next: AtomicU64::new(next), ceiling: AtomicU64::new(next), reserve: in_flight + STEP }
    }

    /// The next id, or nothing while the ledger is too far behind to make a higher ceiling durable.
    pub(super) fn allocate(&self) -> Option<u64> {
        let ceiling = self.ceiling.load(Ordering::Acquire);
        self.next.try_update(Ordering::AcqRel, Ordering::Acquire, |next| (next < ceiling).then_some(next + 1)).ok()
    }

    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// The ceiling that the next commit should make durable, when the present one is getting close.
    pub(super) fn wanted_ceiling(&self) -> Option<u64> {
        let next = self.next();
        (self.ceiling.load(Ordering::Acquire) - next <= self.reserve - STEP).then_some(next + self.reserve)
    }

    pub(super) fn raise(&self, ceiling: u64) {
        self.ceiling.store(ceiling, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stop_at_the_ceiling_until_it_is_raised() {
        let ids = Invocations::new(7, 2);
        assert_eq!(ids.allocate(), None, "nothing is durable yet");
        assert_eq!(ids.wanted_ceiling(), Some(9 + STEP));
        ids.raise(9 + STEP);
        assert_eq!(ids.wanted_ceiling(), None);
        for id in 7..9 + STEP {
            assert_eq!(ids.allocate(), Some(id));
        }
        assert_eq!(ids.allocate(), None);
        assert_eq!(ids.wanted_ceiling(), Some(9 + STEP + 2 + STEP));
    }
}
