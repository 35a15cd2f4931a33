//! Segments: a run of entries with what binds them to the log, shipped and archived as one unit.
//!
//! The frontier (the complete subtrees of the log before the first entry) and the hashes of the entries
//! give the root of the log after the last entry; the signed checkpoint must say the same. So one signature
//! covers every byte of a segment, and the root of the frontier ties it to the segment before. The byte
//! layout is in `docs/ledger-format.md`.

pub mod parts;

use crate::cbor::{CborError, Reader, Writer};
use crate::checkpoint::SignedCheckpoint;
use crate::entry::{Entry, EntryError, MAX_ENTRY_BYTES};
use crate::hash::{Hash, leaf_hash};
use crate::note::{MAX_NOTE_BYTES, NoteError, VerifyingKey, check_key_name};
use crate::tree::CompactRange;

/// The largest encoded segment, in bytes.
pub const MAX_SEGMENT_BYTES: usize = 16 * 1024 * 1024;

/// The most entries of a segment.
pub const MAX_SEGMENT_ENTRIES: usize = 65_536;

/// The media type of an encoded segment.
pub const MEDIA_TYPE: &str = "application/vnd.picket.segment";

const MAGIC: &str = "picket.segment";
const VERSION: u64 = 1;

/// Why bytes are no segment, or a segment does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// More bytes than [`MAX_SEGMENT_BYTES`].
    #[error("the segment has {0} bytes, at most {MAX_SEGMENT_BYTES} are allowed")]
    TooLarge(usize),
    /// No entries, or more than [`MAX_SEGMENT_ENTRIES`].
    #[error("the segment has {0} entries, 1 to {MAX_SEGMENT_ENTRIES} are allowed")]
    EntryCount(usize),
    /// An entry is empty or longer than [`MAX_ENTRY_BYTES`].
    #[error("entry {index} has {length} bytes, 1 to {MAX_ENTRY_BYTES} are allowed")]
    EntryLength {
        /// The entry's place in the log.
        index: u64,
        /// Its length.
        length: usize,
    },
    /// The bytes do not start as a segment does.
    #[error("not a segment")]
    Magic,
    /// A later version of the format.
    #[error("segment format version {0} is not known")]
    Version(u64),
    /// The bytes are not canonical CBOR of a segment's shape.
    #[error("malformed segment")]
    Cbor(#[from] CborError),
    /// The frontier has another number of hashes than the log before the segment has complete subtrees.
    #[error("the frontier of a log of size {size} has {} hashes, not {found}", size.count_ones())]
    Frontier {
        /// The size of the log before the segment.
        size: u64,
        /// How many hashes there are.
        found: usize,
    },
    /// The segment would end beyond 2^64 - 1 entries.
    #[error("the segment ends beyond the largest log")]
    Overflow,
    /// The checkpoint is malformed or not signed by the box's key.
    #[error("the checkpoint of the segment does not hold")]
    Note(#[from] NoteError),
    /// The checkpoint is of another log.
    #[error("a segment of {segment:?} with a checkpoint of {checkpoint:?}")]
    Origin {
        /// The origin that the segment names.
        segment: String,
        /// The origin that the checkpoint names.
        checkpoint: String,
    },
    /// The checkpoint is of another size than the log after the segment.
    #[error("the segment ends at size {segment}, its checkpoint is of size {checkpoint}")]
    Size {
        /// The size of the log after the segment.
        segment: u64,
        /// The size that the checkpoint says.
        checkpoint: u64,
    },
    /// Frontier and entries do not give the checkpoint's root: a byte of them is not what the box signed.
    #[error("the entries of the segment do not give the root of its checkpoint")]
    Root,
    /// An entry is malformed. A verified segment has such entries only if the box signed them.
    #[error("entry {index} is malformed")]
    Entry {
        /// Its place in the log.
        index: u64,
        /// What is wrong with it.
        source: EntryError,
    },
    /// An entry says that it has another place than it has.
    #[error("entry {index} says that it is entry {found}")]
    EntryIndex {
        /// Its place in the log.
        index: u64,
        /// The place it names.
        found: u64,
    },
}

/// A segment that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The log: the edge id of the box.
    pub origin: String,
    /// The index of the first entry, which is the size of the log before the segment.
    pub first: u64,
    /// The complete subtrees of the log of size `first`, largest first.
    pub frontier: Vec<Hash>,
    /// The encoded entries.
    pub entries: Vec<Vec<u8>>,
    /// The signed checkpoint of the log of size `first + entries.len()`.
    pub checkpoint: String,
}

impl Segment {
    /// Encodes: the canonical bytes of the segment.
    ///
    /// # Errors
    /// [`SegmentError`] when a limit is passed. Whether the segment holds is not looked at.
    pub fn encode(&self) -> Result<Vec<u8>, SegmentError> {
        check_parts(
            &self.origin,
            self.first,
            self.frontier.len(),
            self.entries.iter().map(Vec::len),
            &self.checkpoint,
        )?;
        let payload: usize = self.entries.iter().map(|entry| entry.len() + 5).sum();
        let mut writer =
            Writer::with_capacity(payload + self.frontier.len() * 34 + self.origin.len() + self.checkpoint.len() + 64);
        writer.array(7);
        writer.text(MAGIC);
        writer.unsigned(VERSION);
        writer.text(&self.origin);
        writer.unsigned(self.first);
        writer.array(self.frontier.len());
        for hash in &self.frontier {
            writer.bytes(hash);
        }
        writer.array(self.entries.len());
        for entry in &self.entries {
            writer.bytes(entry);
        }
        writer.text(&self.checkpoint);
        let bytes = writer.into_bytes();
        if bytes.len() > MAX_SEGMENT_BYTES {
            return Err(SegmentError::TooLarge(bytes.len()));
        }
        Ok(bytes)
    }

    /// Reads a segment, canonical form only. Nothing is verified yet.
    ///
    /// # Errors
    /// [`SegmentError`] for what is malformed or beyond a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, SegmentError> {
        Ok(SegmentRef::parse(bytes)?.to_owned())
    }

    /// Verifies that the box's key signed exactly these entries at this place of its log.
    ///
    /// # Errors
    /// [`SegmentError`] says what does not hold.
    pub fn verify(&self, key: &VerifyingKey) -> Result<VerifiedSegment, SegmentError> {
        check_parts(
            &self.origin,
            self.first,
            self.frontier.len(),
            self.entries.iter().map(Vec::len),
            &self.checkpoint,
        )?;
        let frontier = self.frontier.clone();
        verify(&self.origin, self.first, frontier, self.entries.iter().map(Vec::as_slice), &self.checkpoint, key)
    }

    /// Decodes every entry and makes sure that each names its own place. Verify first: this shows what was
    /// signed, not that it was.
    ///
    /// # Errors
    /// [`SegmentError::Entry`] or [`SegmentError::EntryIndex`] for the first bad one.
    pub fn decode_entries(&self) -> Result<Vec<Entry>, SegmentError> {
        decode_entries(self.first, self.entries.iter().map(Vec::as_slice))
    }
}

/// A segment that borrows from its encoded bytes: to verify without copying any entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRef<'a> {
    /// As [`Segment::origin`].
    pub origin: &'a str,
    /// As [`Segment::first`].
    pub first: u64,
    /// As [`Segment::frontier`].
    pub frontier: Vec<Hash>,
    /// As [`Segment::entries`].
    pub entries: Vec<&'a [u8]>,
    /// As [`Segment::checkpoint`].
    pub checkpoint: &'a str,
}

impl<'a> SegmentRef<'a> {
    /// Reads a segment, canonical form only. Nothing is verified yet.
    ///
    /// # Errors
    /// [`SegmentError`] for what is malformed or beyond a limit.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SegmentError> {
        if bytes.len() > MAX_SEGMENT_BYTES {
            return Err(SegmentError::TooLarge(bytes.len()));
        }
        let mut reader = Reader::new(bytes);
        reader.array(7).map_err(|_| SegmentError::Magic)?;
        if reader.text() != Ok(MAGIC) {
            return Err(SegmentError::Magic);
        }
        match reader.unsigned()? {
            VERSION => (),
            other => return Err(SegmentError::Version(other)),
        }
        let origin = reader.text()?;
        let first = reader.unsigned()?;
        let found = reader.list()?;
        if found != first.count_ones() as usize {
            return Err(SegmentError::Frontier { size: first, found });
        }
        let frontier = (0..found).map(|_| reader.fixed()).collect::<Result<_, _>>()?;
        let count = reader.list()?;
        // Before anything is reserved for them.
        if count > MAX_SEGMENT_ENTRIES {
            return Err(SegmentError::EntryCount(count));
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(reader.bytes()?);
        }
        let checkpoint = reader.text()?;
        reader.finish()?;
        check_parts(origin, first, found, entries.iter().map(|entry| entry.len()), checkpoint)?;
        Ok(Self { origin, first, frontier, entries, checkpoint })
    }

    /// As [`Segment::verify`].
    ///
    /// # Errors
    /// [`SegmentError`] says what does not hold.
    pub fn verify(&self, key: &VerifyingKey) -> Result<VerifiedSegment, SegmentError> {
        let frontier = self.frontier.clone();
        verify(self.origin, self.first, frontier, self.entries.iter().copied(), self.checkpoint, key)
    }

    /// As [`Segment::decode_entries`].
    ///
    /// # Errors
    /// [`SegmentError::Entry`] or [`SegmentError::EntryIndex`] for the first bad one.
    pub fn decode_entries(&self) -> Result<Vec<Entry>, SegmentError> {
        decode_entries(self.first, self.entries.iter().copied())
    }

    /// As [`Segment::decode_entries`], for whoever needs to know that every entry is well formed and in its
    /// place, and not what it says: several times as fast.
    ///
    /// # Errors
    /// [`SegmentError::Entry`] or [`SegmentError::EntryIndex`] for the first bad one.
    pub fn check_entries(&self) -> Result<(), SegmentError> {
        (self.first..).zip(&self.entries).try_for_each(|(index, bytes)| {
            let header = Entry::check(bytes).map_err(|source| SegmentError::Entry { index, source })?;
            check_place(index, header.index)
        })
    }

    /// Copies it out of the bytes.
    #[must_use]
    pub fn to_owned(&self) -> Segment {
        Segment {
            origin: self.origin.to_owned(),
            first: self.first,
            frontier: self.frontier.clone(),
            entries: self.entries.iter().map(|entry| entry.to_vec()).collect(),
            checkpoint: self.checkpoint.to_owned(),
        }
    }
}

/// What a verified segment proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSegment {
    /// The checkpoint after the last entry.
    pub checkpoint: SignedCheckpoint,
    /// The size of the log before the first entry.
    pub size_before: u64,
    /// The root of the log before the first entry. The segment continues the log that is known when this is
    /// the root known for `size_before`.
    pub root_before: Hash,
    /// The log after the last entry: the frontier of the next segment.
    pub after: CompactRange,
}

fn verify<'a>(
    origin: &str,
    first: u64,
    frontier: Vec<Hash>,
    entries: impl ExactSizeIterator<Item = &'a [u8]>,
    checkpoint: &str,
    key: &VerifyingKey,
) -> Result<VerifiedSegment, SegmentError> {
    // The signature first: what is not signed is not worth hashing.
    let checkpoint = SignedCheckpoint::open_alone(checkpoint, key)?;
    if checkpoint.checkpoint.origin != origin {
        let checkpoint = checkpoint.checkpoint.origin;
        return Err(SegmentError::Origin { segment: origin.to_owned(), checkpoint });
    }
    let end = first + entries.len() as u64;
    if checkpoint.checkpoint.size != end {
        return Err(SegmentError::Size { segment: end, checkpoint: checkpoint.checkpoint.size });
    }
    let mut range = CompactRange::from_parts(first, frontier)
        .map_err(|error| SegmentError::Frontier { size: first, found: error.found })?;
    let root_before = range.root();
    for entry in entries {
        range.push(leaf_hash(entry));
    }
    if range.root() != checkpoint.checkpoint.root {
        return Err(SegmentError::Root);
    }
    Ok(VerifiedSegment { checkpoint, size_before: first, root_before, after: range })
}

/// The limits that hold for every segment, written or read.
fn check_parts(
    origin: &str,
    first: u64,
    frontier: usize,
    lengths: impl ExactSizeIterator<Item = usize>,
    checkpoint: &str,
) -> Result<(), SegmentError> {
    check_key_name(origin)?;
    if frontier != first.count_ones() as usize {
        return Err(SegmentError::Frontier { size: first, found: frontier });
    }
    let count = lengths.len();
    if !(1..=MAX_SEGMENT_ENTRIES).contains(&count) {
        return Err(SegmentError::EntryCount(count));
    }
    if first.checked_add(count as u64).is_none() {
        return Err(SegmentError::Overflow);
    }
    for (index, length) in (first..).zip(lengths) {
        if !(1..=MAX_ENTRY_BYTES).contains(&length) {
            return Err(SegmentError::EntryLength { index, length });
        }
    }
    if checkpoint.len() > MAX_NOTE_BYTES {
        return Err(NoteError::TooLong(checkpoint.len()).into());
    }
    Ok(())
}

fn decode_entries<'a>(first: u64, entries: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Entry>, SegmentError> {
    (first..)
        .zip(entries)
        .map(|(index, bytes)| {
            let entry = Entry::decode(bytes).map_err(|source| SegmentError::Entry { index, source })?;
            check_place(index, entry.index).map(|()| entry)
        })
        .collect()
}

fn check_place(index: u64, found: u64) -> Result<(), SegmentError> {
    if found == index { Ok(()) } else { Err(SegmentError::EntryIndex { index, found }) }
}
