//! What the writer does to keep the ledger: erase payloads, remove entries, count what it could not record, and note
//! that the clock was set.

use super::writer::{Group, State};
use super::{Done, SequencerError};
use crate::config::OnFull;
use picket_ledger::entry::{Body, Drop, Erase, TimeAnchor};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Most ranges of one erasure.
pub const MAX_ERASE_RANGES: usize = 128;

/// Most invocations of one erasure.
pub const MAX_ERASE_INVOCATIONS: u64 = 65_536;

/// Named value: the ranges whose erasure is recorded and perhaps not finished, each two u64, big-endian.
const ERASING: &str = "retention/erasing";

/// Payloads to erase.
#[derive(Debug)]
pub(super) struct Erasure {
    pub(super) ranges: Vec<Range<u64>>,
    pub(super) reason: String,
}

/// What an erasure did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Erased {
    /// Payloads, or salts of payloads that were not retained, that are gone.
    pub payloads: u64,
    /// The entries that say so.
    pub entries: Vec<u64>,
}

impl State {
    /// Puts into a new group what happened since the last one: the clock was set, and, if wanted, how many verdicts were
    /// dropped. While the budget is reached that waits for a heartbeat or the end: an entry for each dropped verdict
    /// would take the space that the verdict may not.
    pub(super) fn tell(&mut self, group: &mut Group, drops: bool) {
        let now = self.clock.read();
        self.steps.observe(&now);
        let step_ms = std::mem::take(&mut self.steps.unrecorded);
        if step_ms != 0 {
            tracing::warn!(step_ms, "the wall clock was set");
            self.place(group, Body::TimeAnchor(TimeAnchor::ClockStep { step_ms }).into(), Box::new(|_| {}));
        }
        let count = if drops { std::mem::take(&mut self.dropped) } else { 0 };
        if count > 0 {
            let reason = "no space for verdict entries (ledger.on_full)".to_owned();
            self.place(group, Body::Drop(Drop { count, reason }).into(), Box::new(|_| {}));
        }
        (group.step_ms, group.dropped) = (step_ms, count);
    }

    /// Gives up the space that was set aside, so that what is written from now on, up to the end of the ledger, has room.
    pub(super) fn use_reserve(&mut self) {
        match self.log.release_reserve() {
            Ok(0) => {}
            Ok(bytes) => {
                self.reserve_released = true;
                tracing::warn!(bytes, "the disk is full: the reserve is released");
            }
            Err(error) => tracing::error!(%error, "the disk is full, and the reserve cannot be released"),
        }
    }

    /// Sets the space aside again, after a commit that went well with more than twice of it free.
    pub(super) fn renew_reserve(&mut self) {
        if !std::mem::take(&mut self.reserve_released) {
            return;
        }
        let room = self.log.disk_usage().is_ok_and(|usage| usage.free > self.settings.reserve.saturating_mul(2));
        self.reserve_released = !(room && self.log.restore_reserve().unwrap_or(false));
    }

    /// Answers for a verdict that cannot be recorded, as the policy says.
    pub(super) fn no_room(&mut self, done: Done, error: &SequencerError) {
        if self.settings.on_full == OnFull::Block {
            return done(Err(error.clone()));
        }
        self.dropped += 1;
        self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        done(Err(SequencerError::Dropped));
    }

    /// Records an erasure, then does it.
    pub(super) fn erase(&mut self, erasure: &Erasure) -> Result<Erased, SequencerError> {
        let ranges = checked(&erasure.ranges, self.invocations.next())?;
        let reader = self.log.reader();
        let mut group = Group::default();
        let first = self.log.size();
        let mut payloads = 0;
        let mut todo = Vec::new();
        for range in &ranges {
            let mut count = 0;
            for invocation in range.clone() {
                count += u64::from(reader.has_payload(invocation).map_err(store)?);
            }
            payloads += count;
            todo.extend(range.start.to_be_bytes().into_iter().chain(range.end.to_be_bytes()));
            let body = Erase { from: range.start, to: range.end, count, reason: erasure.reason.clone() };
            // The entry itself may be refused for its reason; then nothing is erased.
            let (sender, refused) = std::sync::mpsc::channel();
            self.place(&mut group, Body::Erase(body).into(), Box::new(move |placed| drop(sender.send(placed))));
            if let Ok(Err(error)) = refused.try_recv() {
                return Err(error);
            }
        }
        group.named.push((ERASING.to_owned(), Some(todo)));
        let entries = (first..first + group.entries.len() as u64).collect();
        // A crash before this commit: nothing was erased, nothing says so. After it: the next start finishes.
        self.commit(group, true, false)?;
        self.finish(&ranges)?;
        self.counters.erased.fetch_add(payloads, Ordering::Relaxed);
        Ok(Erased { payloads, entries })
    }

    /// Goes on with an erasure that a crash cut short.
    pub(super) fn finish_erasure(&mut self) -> Result<(), SequencerError> {
        let Some(todo) = self.log.reader().named(ERASING).map_err(store)? else { return Ok(()) };
        let (pairs, _) = todo.as_chunks::<16>();
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_be_bytes);
        let ranges: Vec<_> = pairs.iter().map(|pair| number(&pair[..8])..number(&pair[8..])).collect();
        self.finish(&ranges)
    }

    fn finish(&mut self, ranges: &[Range<u64>]) -> Result<(), SequencerError> {
        let invocations: Vec<u64> = ranges.iter().cloned().flatten().collect();
        self.log.erase_payloads(&invocations).map_err(store)?;
        let mut done = Group::default();
        done.named.push((ERASING.to_owned(), None));
        // A crash before this commit erases again what is gone, which does nothing.
        self.commit(done, false, false)
    }

    /// Removes entries that somebody else keeps.
    pub(super) fn prune(&mut self, index: u64) -> Result<u64, SequencerError> {
        self.log.prune(index).map(|pruned| pruned.pruned_to).map_err(store)
    }
}

fn store(error: picket_store::StoreError) -> SequencerError {
    SequencerError::Store(Arc::new(error))
}

/// The ranges in order and joined where they touch.
fn checked(ranges: &[Range<u64>], next: u64) -> Result<Vec<Range<u64>>, SequencerError> {
    let wrong = |message: String| Err(SequencerError::Entry(message));
    let mut sorted: Vec<_> = ranges.to_vec();
    sorted.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        if range.is_empty() {
            return wrong(format!("invocations {} to {} are no range", range.start, range.end));
        }
        if range.end > next {
            return wrong(format!("invocation {} was never given; the next is {next}", range.end - 1));
        }
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    let invocations = joined.iter().map(|range| range.end - range.start).sum::<u64>();
    if joined.is_empty() || joined.len() > MAX_ERASE_RANGES || invocations > MAX_ERASE_INVOCATIONS {
        return wrong(format!(
            "{invocations} invocations in {} ranges; 1 to {MAX_ERASE_INVOCATIONS} in at most {MAX_ERASE_RANGES} can be erased at a time",
            joined.len()
        ));
    }
    Ok(joined)
}
