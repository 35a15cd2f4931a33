//! Reading evidence: nothing that comes from here is unverified.

use std::path::PathBuf;

use picket_ledger::hash::{empty_root, leaf_hash};
use picket_ledger::segment::{SegmentRef, VerifiedSegment};
use picket_ledger::tree::CompactRange;
use picket_ledger::{Hash, KeyChain};

use crate::archive::Archive;
use crate::error::{AuditorError, Result};
use crate::origin::Origin;

/// A segment of the archive that has been verified against the key that its box had then.
#[derive(Debug)]
pub struct Held {
    /// Its file.
    pub path: PathBuf,
    /// What it proves.
    pub verified: VerifiedSegment,
    bytes: Vec<u8>,
}

impl Held {
    /// The parts of the segment.
    pub fn segment(&self) -> SegmentRef<'_> {
        SegmentRef::parse(&self.bytes).expect("it was parsed when it was verified")
    }

    /// The size of the log after it.
    pub fn end(&self) -> u64 {
        self.verified.checkpoint.checkpoint.size
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no bytes, which no segment has.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The error that this file is not what it should be.
    pub fn damage(&self, message: String) -> AuditorError {
        AuditorError::Evidence { path: self.path.clone(), message }
    }
}

/// Reads and verifies the segment that starts at entry `first`.
///
/// # Errors
/// [`AuditorError::Evidence`] naming the file when it is missing or does not hold.
pub fn read(archive: &Archive, origin: &Origin, keys: &KeyChain, first: u64) -> Result<Held> {
    let path = archive.segment_path(origin, first);
    let damaged = |message: String| AuditorError::Evidence { path: path.clone(), message };
    let bytes = archive.segment(origin, first)?.ok_or_else(|| damaged("the file is missing".into()))?;
    let segment = SegmentRef::parse(&bytes).map_err(|error| damaged(crate::words(&error)))?;
    if segment.origin != origin.as_str() {
        return Err(damaged(format!("it is a segment of {:?}", segment.origin)));
    }
    if segment.first != first {
        return Err(damaged(format!("it starts at entry {}", segment.first)));
    }
    let verified = keys.verify_segment(&segment).map_err(|error| damaged(crate::words(&error)))?;
    Ok(Held { path, verified, bytes })
}

/// The first entry of the segment that holds entry `index`, going by the names in the archive.
pub fn covering(firsts: &[u64], index: u64) -> Option<u64> {
    let after = firsts.partition_point(|first| *first <= index);
    firsts.get(after.checked_sub(1)?).copied()
}

/// The root that the held evidence gives for the first `size` entries of a box.
///
/// # Errors
/// [`AuditorError::Evidence`] when the segment that ends or passes `size` is missing or does not hold.
pub fn root_at(archive: &Archive, origin: &Origin, keys: &KeyChain, size: u64) -> Result<Hash> {
    let Some(last) = size.checked_sub(1) else { return Ok(empty_root()) };
    let firsts = archive.firsts(origin)?;
    let first = covering(&firsts, last).ok_or_else(|| AuditorError::Evidence {
        path: archive.segment_path(origin, 0),
        message: format!("no segment holds entry {last}"),
    })?;
    let held = read(archive, origin, keys, first)?;
    root_within(&held.segment(), size)
        .ok_or_else(|| held.damage(format!("it ends before entry {last}, which no other segment holds")))
}

/// The root of the log at `size`, for `first <= size <= end` of this segment; `None` outside of it.
pub fn root_within(segment: &SegmentRef<'_>, size: u64) -> Option<Hash> {
    let count = usize::try_from(size.checked_sub(segment.first)?).ok()?;
    let entries = segment.entries.get(..count)?;
    let mut range = CompactRange::from_parts(segment.first, segment.frontier.clone()).ok()?;
    for entry in entries {
        range.push(leaf_hash(entry));
    }
    Some(range.root())
}
