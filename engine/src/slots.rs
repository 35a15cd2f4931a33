//! Who may have an instance of the pool.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

/// A counted number of places. The pool of instances has as many, so that asking it never fails for want of one: a
/// caller waits here instead, for as long as it may.
pub(crate) struct Slots {
    free: Mutex<u32>,
    freed: Condvar,
}

/// One place, given back on drop.
pub(crate) struct Slot<'a>(&'a Slots);

impl Slots {
    pub(crate) fn new(count: u32) -> Self {
        Self { free: Mutex::new(count), freed: Condvar::new() }
    }

    /// A place, or `None` when none came free until `deadline`.
    pub(crate) fn acquire(&self, deadline: Instant) -> Option<Slot<'_>> {
        // The count is whole at every moment, so a panic elsewhere that poisoned the lock has broken nothing.
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            let left = deadline.checked_duration_since(Instant::now())?;
            free = self.freed.wait_timeout(free, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= 1;
        Some(Slot(self))
    }

    /// Gives back a place whose [`Slot`] was forgotten.
    pub(crate) fn release(&self) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.freed.notify_one();
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_more_places_than_counted_and_each_comes_back() {
        let slots = Slots::new(2);
        let soon = || Instant::now() + Duration::from_millis(1);
        let first = slots.acquire(soon());
        let second = slots.acquire(soon());
        assert!(first.is_some() && second.is_some());
        assert!(slots.acquire(soon()).is_none());
        drop(first);
        assert!(slots.acquire(soon()).is_some());
    }

    #[test]
    fn a_waiting_caller_gets_the_place_that_comes_free() {
        let slots = Slots::new(1);
        let held = slots.acquire(Instant::now());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| slots.acquire(Instant::now() + Duration::from_secs(60)).is_some());
            drop(held);
            assert!(waiting.join().is_ok_and(|got| got));
        });
    }
}
