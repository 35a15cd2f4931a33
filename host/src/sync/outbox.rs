//! What is not acknowledged: where segments of it end, and its packages with their proofs.

use std::ops::Range;

use picket_ledger::mirror::{AddCheckpoint, MirrorError, Package};
use picket_ledger::segment::{MAX_SEGMENT_BYTES, MAX_SEGMENT_ENTRIES};
use picket_ledger::tree::TreeError;
use picket_store::{Reader, StoreError};

use picket_ledger::{Hash, Segment};

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

/// Why something of the outbox cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The store failed.
    #[error("reading the ledger")]
    Store(#[from] StoreError),
    /// Checkpoints lie too far apart: no segment can hold what is between two of them.
    #[error("the entries from {first} to the next checkpoint have more than a segment holds")]
    TooFar {
        /// First entry.
        first: u64,
    },
    /// An entry or a proof cannot be written.
    #[error("packing the entries from {first}")]
    Package {
        /// First entry.
        first: u64,
        /// What does not fit.
        source: MirrorError,
    },
    /// There is no proof: the ledger is damaged.
    #[error("no proof of the entries {first} to {end} under the checkpoint of size {size}; run `picket doctor`")]
    Proof {
        /// First entry.
        first: u64,
        /// The entry after the last.
        end: u64,
        /// Size of the checkpoint.
        size: u64,
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

    /// The size of the checkpoint to show to an auditor that holds `held` entries: the newest, or that of the next
    /// hand-over of the key, which the auditor must learn of before a later key means anything to it.
    ///
    /// # Errors
    /// [`OutboxError::Store`].
    pub fn shown(&self, held: u64) -> Result<Option<u64>, OutboxError> {
        match self.reader.boundaries(held.saturating_add(1)..u64::MAX, 1)?.pop() {
            Some(end) => Ok(self.reader.checkpoint_at_or_after(end)?.map(|found| found.size)),
            None => Ok(self.latest()?.map(|(size, _)| size)),
        }
    }

    /// The size of the hand-over checkpoint before `size`, for an auditor that does not know the key of that.
    ///
    /// # Errors
    /// [`OutboxError::Store`].
    pub fn shown_before(&self, size: u64) -> Result<Option<u64>, OutboxError> {
        let mut from = 1;
        let mut found = None;
        while let Some(last) = self.reader.boundaries(from..size, MAX_ENDS)?.last().copied() {
            (found, from) = (Some(last), last + 1);
        }
        Ok(found)
    }

    /// A value that is kept beside the ledger.
    pub(super) fn named(&self, name: &str) -> Result<Option<Vec<u8>>, OutboxError> {
        Ok(self.reader.named(name)?)
    }

    /// The signed checkpoint of exactly this size.
    ///
    /// # Errors
    /// [`OutboxError::NoCheckpoint`].
    pub fn checkpoint(&self, size: u64) -> Result<String, OutboxError> {
        let found = self.reader.checkpoint_at_or_after(size)?.filter(|found| found.size == size);
        Ok(found.ok_or(OutboxError::NoCheckpoint(size))?.text)
    }

    /// The request that shows the checkpoint of `size`, with the proof from `old` if that is not beyond it.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub fn request(&self, old: u64, size: u64) -> Result<AddCheckpoint, OutboxError> {
        let proof = if old == 0 || old >= size { Vec::new() } else { self.reader.consistency_proof(old, size)? };
        Ok(AddCheckpoint { old, proof, note: self.checkpoint(size)? })
    }

    /// The root of the first `size` entries; `None` beyond the end of the ledger.
    ///
    /// # Errors
    /// [`OutboxError::Store`].
    pub fn root(&self, size: u64) -> Result<Option<Hash>, OutboxError> {
        if size > self.reader.size() {
            return Ok(None);
        }
        Ok(Some(self.reader.tree_at(size)?.root()))
    }

    /// The largest size up to `size` that has a checkpoint, among the last few thousand before it.
    ///
    /// # Errors
    /// [`OutboxError::Store`].
    pub fn checkpoint_before(&self, size: u64) -> Result<Option<u64>, OutboxError> {
        let from = size.saturating_sub(MAX_ENDS as u64).max(1);
        Ok(self.sizes(from..size.saturating_add(1))?.pop())
    }

    /// Where the segment from `first` ends: at the last checkpoint within `limits`, or at the first one beyond `least` if
    /// that lies beyond them; never beyond `size`, nor behind a hand-over of the key. `None` if there is none.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub fn end(&self, first: u64, least: u64, size: u64, limits: CutLimits) -> Result<Option<u64>, OutboxError> {
        let least = least.max(first);
        let boundary = self.reader.boundaries(first.saturating_add(1)..size, 1)?.pop();
        let last = boundary.unwrap_or(size);
        let furthest = first.saturating_add(limits.entries.clamp(1, MAX_SEGMENT_ENTRIES as u64)).min(last);
        let mut ends = self.sizes(least.saturating_add(1)..furthest.saturating_add(1))?;
        if ends.is_empty() {
            let next = self.reader.checkpoint_at_or_after(least.saturating_add(1))?;
            ends.extend(next.map(|found| found.size).filter(|size| *size <= last));
        }
        let (Some(nearest), Some(last)) = (ends.first().copied(), ends.last().copied()) else { return Ok(None) };
        if nearest - first > MAX_SEGMENT_ENTRIES as u64 {
            return Err(OutboxError::TooFar { first });
        }
        // How many entries fit; a tile at a time is in memory.
        let (mut bytes, mut fits, mut next) = (0, first, first);
        'tiles: while next < last && (next < nearest || bytes <= limits.bytes) {
            for entry in self.tile(next..last)? {
                bytes += entry.len();
                next += 1;
                if bytes > limits.bytes && next > nearest {
                    break 'tiles;
                }
                if bytes > MAX_SEGMENT_BYTES && next < nearest {
                    return Err(OutboxError::TooFar { first });
                }
                if bytes <= limits.bytes {
                    fits = next;
                }
            }
        }
        Ok(ends.into_iter().take_while(|end| *end <= fits).last().or(Some(nearest)))
    }

    /// A package of entries of one tile, with its proof under the checkpoint of `size`.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub fn package(&self, range: Range<u64>, size: u64) -> Result<Package, OutboxError> {
        let (first, end) = (range.start, range.end);
        let entries = self.tile(range)?;
        if entries.len() as u64 != end - first {
            return Err(OutboxError::Short { end: first + entries.len() as u64, size });
        }
        Package::prove(&self.reader, first, entries, size).map_err(|error| match error {
            TreeError::Source(source) => OutboxError::Store(source),
            _ => OutboxError::Proof { first, end, size },
        })
    }

    /// The segment from the first entry to the checkpoint of `end`, whole, with that checkpoint.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub fn first_segment(&self, end: u64) -> Result<(String, Vec<u8>), OutboxError> {
        let checkpoint = self.checkpoint(end)?;
        let mut entries = Vec::new();
        while (entries.len() as u64) < end {
            entries.extend(self.tile(entries.len() as u64..end)?);
        }
        let origin = self.origin.clone();
        let segment = Segment { origin, first: 0, frontier: Vec::new(), entries, checkpoint };
        let bytes = segment.encode().map_err(|_| OutboxError::TooFar { first: 0 })?;
        Ok((segment.checkpoint, bytes))
    }

    fn sizes(&self, range: Range<u64>) -> Result<Vec<u64>, OutboxError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.reader.checkpoints(range, MAX_ENDS)?.into_iter().map(|found| found.size).collect())
    }

    /// The entries of `range` up to the end of a tile.
    fn tile(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>, OutboxError> {
        let end = range.end.min((range.start / TILE + 1) * TILE);
        let tile = self.reader.read(range.start..end)?;
        if tile.is_empty() && !range.is_empty() {
            return Err(OutboxError::Short { end: range.start, size: range.end });
        }
        Ok(tile)
    }
}
