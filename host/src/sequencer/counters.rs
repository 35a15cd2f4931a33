//! What the writer counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Entries committed since the start.
    pub entries: AtomicU64,
    /// Commits since the start; `entries / commits` is the group size.
    pub commits: AtomicU64,
    /// Time spent in commits, in nanoseconds.
    pub commit_nanos: AtomicU64,
    /// Commits that failed.
    pub failures: AtomicU64,
    /// Verdicts that went out without an entry.
    pub dropped: AtomicU64,
    /// Payloads erased since the start.
    pub erased: AtomicU64,
}

impl Counters {
    pub(super) fn committed(&self, entries: u64, nanos: u64) {
        self.entries.fetch_add(entries, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.commit_nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}
