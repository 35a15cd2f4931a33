//! A range of the ledger as a segment, for whoever wants evidence without the whole folder.

use picket_ledger::checkpoint::peek;
use picket_ledger::segment::{MAX_SEGMENT_BYTES, MAX_SEGMENT_ENTRIES, SegmentError};
use picket_ledger::{KeyChain, Segment};

use super::{Evidence, EvidenceError};

/// The segment from entry `first` to the first checkpoint that covers at least `to` entries, or to the newest
/// one without `to`; or to the end of the epoch that `first` is in, if that comes first.
///
/// # Errors
/// [`EvidenceError::NotCovered`] if no checkpoint reaches that far, [`EvidenceError::Segment`] if the range is
/// more than a segment holds.
pub fn export(evidence: &Evidence, keys: &KeyChain, first: u64, to: Option<u64>) -> Result<Segment, EvidenceError> {
    let head = evidence.head()?;
    let checkpoint = match to {
        Some(to) => evidence.checkpoint_at_or_after(to.max(first.saturating_add(1)))?,
        None => head.checkpoint,
    };
    // No segment spans a hand-over of the key: it ends there, at the checkpoint of the key that its entries are of.
    let epoch_end = keys.epoch_of(first).end;
    let beyond = |note: &String| peek(note).is_ok_and(|found| epoch_end.is_some_and(|end| found.size > end));
    let checkpoint = match (checkpoint, epoch_end) {
        (Some(note), Some(end)) if beyond(&note) => evidence.checkpoint_at_or_after(end)?,
        (checkpoint, _) => checkpoint,
    };
    let wanted = to.unwrap_or(first).saturating_sub(1).max(first);
    let checkpoint = checkpoint.ok_or(EvidenceError::NotCovered { index: wanted, size: 0 })?;
    let size = peek(&checkpoint).map_err(EvidenceError::Note)?.size;
    if size <= first {
        return Err(EvidenceError::NotCovered { index: first, size });
    }
    let count = usize::try_from(size - first).unwrap_or(usize::MAX);
    if count > MAX_SEGMENT_ENTRIES {
        return Err(EvidenceError::Segment(SegmentError::EntryCount(count)));
    }
    let mut entries = Vec::with_capacity(count);
    let mut bytes = 0;
    for next in evidence.entries(first..size) {
        let (_, entry) = next?;
        bytes += entry.len();
        if bytes > MAX_SEGMENT_BYTES {
            return Err(EvidenceError::Segment(SegmentError::TooLarge(bytes)));
        }
        entries.push(entry);
    }
    let frontier = evidence.frontier(first)?;
    Ok(Segment { origin: head.origin, first, frontier, entries, checkpoint })
}
