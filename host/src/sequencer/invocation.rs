//! Invocation ids: numbered without gaps, handed out *before* guards run.
//!
//! An id that no verdict entry carries is a visible hole. For that to hold across a crash, ids are handed out only below
//! a ceiling that is durable in the store; after a crash numbering goes on at the ceiling, and a recovery entry says so.
//! The ceiling stays close above the ids in use, so that a crash leaves few numbers unexplained.

use std::sync::atomic::{AtomicU64, Ordering};

/// Ids between the durable ceiling and the next id to hand out, right after a commit.
///
/// Half of it must exceed what can be under way between two commits (the writer's queue and group, the workers and their
/// queue, see `QUEUE` in the parent module), so that a ledger that commits never makes anybody wait for a number.
const RESERVE: u64 = 2048;

/// Shared between the gateway, which allocates, and the writer thread, which moves the ceiling.
#[derive(Debug)]
pub(super) struct Invocations {
    /// Next id to hand out. Never above `ceiling` once the compare-exchange has succeeded.
    next: AtomicU64,
    /// Ids below it may be handed out. Only the writer thread raises it, after the commit that made it durable.
    ceiling: AtomicU64,
}

impl Invocations {
    pub(super) fn new(next: u64, ceiling: u64) -> Self {
        Self { next: AtomicU64::new(next), ceiling: AtomicU64::new(ceiling) }
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
        (self.ceiling.load(Ordering::Acquire) - next < RESERVE / 2).then_some(next + RESERVE)
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
        let ids = Invocations::new(7, 9);
        assert_eq!((ids.allocate(), ids.allocate(), ids.allocate()), (Some(7), Some(8), None));
        assert_eq!(ids.wanted_ceiling(), Some(9 + RESERVE));
        ids.raise(9 + RESERVE);
        assert_eq!(ids.allocate(), Some(9));
        assert_eq!(ids.wanted_ceiling(), None);
    }
}
