//! A budget of bytes for the inferences that are under way.

use std::sync::{Condvar, Mutex, PoisonError};

/// Bytes that may be under way at a time.
pub(super) struct Budget {
    limit: usize,
    /// Bytes under way; a waiter is woken whenever it shrinks.
    used: Mutex<usize>,
    shrunk: Condvar,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: Mutex::new(0), shrunk: Condvar::new() }
    }

    /// Takes `bytes`, and waits until they fit. More than the whole budget is let through when nothing else is under way.
    pub(super) fn take(&self, bytes: usize) {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |used: &mut usize| *used > 0 && used.saturating_add(bytes) > self.limit;
        let mut used = self.shrunk.wait_while(used, full).unwrap_or_else(PoisonError::into_inner);
        *used += bytes;
    }

    /// Gives `bytes` back.
    pub(super) fn give(&self, bytes: usize) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = used.saturating_sub(bytes);
        self.shrunk.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn taking_waits_until_there_is_room() {
        let budget = Arc::new(Budget::new(10));
        budget.take(100);
        let taken = Arc::new(AtomicBool::new(false));
        let waiter = {
            let (budget, taken) = (budget.clone(), taken.clone());
            std::thread::spawn(move || {
                budget.take(1);
                taken.store(true, Ordering::SeqCst);
            })
        };
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(!taken.load(Ordering::SeqCst), "there is no room yet");
        budget.give(100);
        waiter.join().unwrap();
        assert!(taken.load(Ordering::SeqCst));
    }
}
