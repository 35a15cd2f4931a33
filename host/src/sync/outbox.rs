//! Cuts what is not acknowledged into segments.

use std::ops::Range;

use picket_ledger::Segment;
use picket_ledger::segment::{MAX_SEGMENT_BYTES, MAX_SEGMENT_ENTRIES, SegmentError};
use picket_store::{Reader, StoreError};

/// Entries are read to the end of a tile of the store at most.
const TILE: u64 = 256;

/// Checkpoints looked at for one segment.
const MAX_ENDS: usize = 4096;

/// Where segments are cut. A segment ends at a checkpoint, so it may pass both limits if the first
/// checkpoint lies beyond them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutLimits {
    /// Bytes of entries, default 1 MiB.
    pub bytes: usize,
    /// Entries, default 4096.
    pub entries: u64,
}

impl Default for CutLimits {
    fn default() -> Self {
        Self { bytes: 1 << 20, entries: 4096 }
    }
}

/// Why no segment could be cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The store failed.
    #[error("reading the ledger")]
    Store(#[from] StoreError),
    /// The parts do not fit a segment: checkpoints lie too far apart, or the ledger is damaged.
    #[error("cutting the segment from entry {first}")]
    Segment {
        /// First entry.
        first: u64,
        /// What does not fit.
        source: SegmentError,
    },
    /// There is no checkpoint where one is needed.
    #[error("no checkpoint of size {0} in the ledger")]
    NoCheckpoint(u64),
    /// The ledger ends before a checkpoint does: it is damaged.
    #[error("the ledger ends at {end}, before its checkpoint of size {size}; run `picket doctor`")]
    Short {
        /// First entry that is missing.
        end: u64,
        /// Size of the checkpoint.
        size: u64,
    },
}

/// The part of a ledger that the auditor has not acknowledged.
#[derive(Clone)]
pub struct Outbox {
    reader: Reader,
    origin: String,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Outbox").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Outbox {
    /// The outbox of the ledger behind `reader`, whose checkpoints name `origin`.
    #[must_use]
    pub fn new(reader: Reader, origin: &str) -> Self {
        Self { reader, origin: origin.to_owned() }
    }

    /// The newest checkpoint with its size.
    ///
    /// # Errors
    /// [`OutboxError::Store`].
    pub fn latest(&self) -> Result<Option<(u64, String)>, OutboxError> {
        Ok(self.reader.latest_checkpoint()?.map(|found| (found.size, found.text)))
    }

    /// The checkpoint to show to an auditor that holds `held` entries: the newest, or that of the next hand-over of
    /// the key, which the auditor must learn of before a later key means anything to it.
    ///
    /// # Errors
    /// [`OutboxError::Store`].
    pub(super) fn shown(&self, held: u64) -> Result<Option<(u64, String)>, OutboxError> {
        match self.reader.boundaries(held + 1..u64::MAX, 1)?.pop() {
            Some(end) => Ok(self.reader.checkpoint_at_or_after(end)?.map(|found| (found.size, found.text))),
            None => self.latest(),
        }
    }

    /// The hand-over checkpoint before the one of `size`, for an auditor that does not know the key of that.
    pub(super) fn shown_before(&self, size: u64) -> Result<Option<(u64, String)>, OutboxError> {
        let mut from = 1;
        let mut found = None;
        loop {
            let piece = self.reader.boundaries(from..size, MAX_ENDS)?;
            let Some(last) = piece.last().copied() else { break };
            (found, from) = (Some(last), last + 1);
        }
        let Some(end) = found else { return Ok(None) };
        Ok(self.reader.checkpoint_at_or_after(end)?.map(|found| (found.size, found.text)))
    }

    /// A value that is kept beside the ledger.
    pub(super) fn named(&self, name: &str) -> Result<Option<Vec<u8>>, OutboxError> {
        Ok(self.reader.named(name)?)
    }

    /// The next segment: the entries from `first` to the last checkpoint within `limits`, or to the first
    /// checkpoint if that lies beyond them. `None` if no checkpoint covers entry `first`.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub fn cut(&self, first: u64, limits: CutLimits) -> Result<Option<Segment>, OutboxError> {
        let furthest = first.saturating_add(limits.entries.clamp(1, MAX_SEGMENT_ENTRIES as u64));
        // Where the key was handed over, a segment ends: at most one key speaks for it.
        let boundary = self.reader.boundaries(first + 1..u64::MAX, 1)?.pop();
        let furthest = boundary.map_or(furthest, |end| furthest.min(end));
        let mut ends = self.sizes(first + 1..furthest.saturating_add(1))?;
        if ends.is_empty() {
            ends.extend(self.reader.checkpoint_at_or_after(first + 1)?.map(|found| found.size));
        }
        let (Some(nearest), Some(last)) = (ends.first().copied(), ends.last().copied()) else { return Ok(None) };
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut next = first;
        while next < last && (next < nearest || bytes <= limits.bytes) {
            bytes += self.read_tile(next..last, &mut entries)?;
            next = first + entries.len() as u64;
            if next < nearest && bytes > MAX_SEGMENT_BYTES {
                return Err(OutboxError::Segment { first, source: SegmentError::TooLarge(bytes) });
            }
        }
        let end = furthest_end(first, &ends, &entries, limits.bytes).unwrap_or(nearest);
        entries.truncate(usize::try_from(end - first).unwrap_or(usize::MAX));
        self.segment(first, end, entries).map(Some)
    }

    /// The segment of exactly `range`, whose end is a checkpoint's size; `None` if there is no such
    /// checkpoint or the range has more than a segment holds.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub fn cut_exactly(&self, range: Range<u64>) -> Result<Option<Segment>, OutboxError> {
        if range.is_empty() || range.end - range.start > MAX_SEGMENT_ENTRIES as u64 {
            return Ok(None);
        }
        if self.sizes(range.end..range.end + 1)?.is_empty()
            || !self.reader.boundaries(range.start + 1..range.end, 1)?.is_empty()
        {
            return Ok(None);
        }
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut next = range.start;
        while next < range.end {
            bytes += self.read_tile(next..range.end, &mut entries)?;
            next = range.start + entries.len() as u64;
            if bytes > MAX_SEGMENT_BYTES {
                return Ok(None);
            }
        }
        self.segment(range.start, range.end, entries).map(Some)
    }

    fn sizes(&self, range: Range<u64>) -> Result<Vec<u64>, OutboxError> {
        Ok(self.reader.checkpoints(range, MAX_ENDS)?.into_iter().map(|found| found.size).collect())
    }

    /// Appends the entries of `range` up to the end of a tile, and returns how many bytes they have.
    fn read_tile(&self, range: Range<u64>, entries: &mut Vec<Vec<u8>>) -> Result<usize, OutboxError> {
        let end = range.end.min((range.start / TILE + 1) * TILE);
        let tile = self.reader.read(range.start..end)?;
        if tile.is_empty() {
            return Err(OutboxError::Short { end: range.start, size: range.end });
        }
        let bytes = tile.iter().map(Vec::len).sum();
        entries.extend(tile);
        Ok(bytes)
    }

    fn segment(&self, first: u64, end: u64, entries: Vec<Vec<u8>>) -> Result<Segment, OutboxError> {
        let checkpoint = self.reader.checkpoint_at_or_after(end)?.filter(|found| found.size == end);
        let checkpoint = checkpoint.ok_or(OutboxError::NoCheckpoint(end))?.text;
        let frontier = self.reader.tree_at(first)?.peaks().to_vec();
        Ok(Segment { origin: self.origin.clone(), first, frontier, entries, checkpoint })
    }
}

/// The last of `ends` up to which the entries have at most `limit` bytes.
fn furthest_end(first: u64, ends: &[u64], entries: &[Vec<u8>], limit: usize) -> Option<u64> {
    let mut bytes = 0;
    let mut fits = first;
    for entry in entries {
        bytes += entry.len();
        if bytes > limit {
            break;
        }
        fits += 1;
    }
    ends.iter().copied().take_while(|end| *end <= fits).last()
}
