//! What can be wrong with a chain of keys, or with evidence that is held against it.

use super::{MAX_CHAIN_BYTES, MAX_EPOCHS};
use crate::bundle::BundleError;
use crate::note::NoteError;
use crate::segment::SegmentError;

/// Why a key does not speak for something, or a chain of keys does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyChainError {
    /// A checkpoint over entries that its key does not speak for.
    #[error(
        "a checkpoint of size {size} cannot vouch for entry {first}: key {epoch} ({key_id}) speaks for the entries \
         {start} to {}, and the key was handed over behind them",
        end.saturating_sub(1)
    )]
    Spans {
        /// The first entry that the checkpoint was to vouch for.
        first: u64,
        /// The size of the checkpoint.
        size: u64,
        /// The epoch that entry `first` is in.
        epoch: u64,
        /// The id of its key.
        key_id: String,
        /// The first entry of the epoch.
        start: u64,
        /// The end of the epoch: the size of its hand-over checkpoint.
        end: u64,
    },
    /// A range of no entries.
    #[error("no entries: from {first} to {size}")]
    Empty {
        /// The first entry.
        first: u64,
        /// The size of the checkpoint.
        size: u64,
    },
    /// The checkpoint of a hand-over has another size than behind the rotation entry.
    #[error("the rotation entry {index} is not the last under its checkpoint, which is of size {size}")]
    NotLast {
        /// The place of the rotation entry.
        index: u64,
        /// The size of the checkpoint.
        size: u64,
    },
    /// A hand-over that is not the one that comes next.
    #[error("the hand-over at entry {index} is to key {found}, and key {expected} comes next")]
    Epoch {
        /// The place of the rotation entry.
        index: u64,
        /// The epoch that comes next.
        expected: u64,
        /// The epoch in the entry.
        found: u64,
    },
    /// A hand-over below the epoch of the key that signs it.
    #[error("the hand-over at entry {index} lies before the current key's first entry, {start}")]
    Before {
        /// The place of the rotation entry.
        index: u64,
        /// The first entry of the current epoch.
        start: u64,
    },
    /// The entry in a hand-over is no rotation.
    #[error("entry {index} hands no key over")]
    NotRotation {
        /// Its place.
        index: u64,
    },
    /// The new key is none, or of another name, or did not sign that it is held.
    #[error("the new key in the rotation entry {index} does not hold")]
    Rotation {
        /// The place of the rotation entry.
        index: u64,
        /// What is wrong.
        source: NoteError,
    },
    /// The new key was a key of this log before.
    #[error("the rotation entry {index} hands over to a key that was used before")]
    Reused {
        /// The place of the rotation entry.
        index: u64,
    },
    /// A rotation entry inside of a segment, or where the chain knows of none.
    #[error("entry {index} hands the key over, and is not the last of its segment and epoch")]
    Inside {
        /// The place of the rotation entry.
        index: u64,
    },
    /// The log before a segment is not the one under the hand-over checkpoint.
    #[error("the log before entry {first} is not the one under the hand-over checkpoint: the past was changed")]
    Past {
        /// The first entry of the segment and of its epoch.
        first: u64,
    },
    /// A segment does not hold under the key of its range.
    #[error("under key {epoch} ({key_id})")]
    Segment {
        /// The epoch.
        epoch: u64,
        /// The id of its key.
        key_id: String,
        /// What does not hold.
        source: SegmentError,
    },
    /// A bundle does not hold under the key of its range.
    #[error("under key {epoch} ({key_id})")]
    Bundle {
        /// The epoch.
        epoch: u64,
        /// The id of its key.
        key_id: String,
        /// What does not hold.
        source: BundleError,
    },
    /// More hand-overs than [`MAX_EPOCHS`] allows.
    #[error("more than {MAX_EPOCHS} keys of one log")]
    TooMany,
    /// A text of more than [`MAX_CHAIN_BYTES`].
    #[error("the chain of keys has {0} bytes, at most {MAX_CHAIN_BYTES} are read")]
    TooLarge(usize),
    /// The text is no chain of keys.
    #[error("malformed chain of keys, line {line}: {reason}")]
    Text {
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A hand-over in the text is no bundle.
    #[error("malformed chain of keys, the hand-over that starts at line {line}")]
    HandOver {
        /// The number of its first line, from 1.
        line: usize,
        /// What is wrong.
        source: BundleError,
    },
    /// The chain starts with another key than the trusted one.
    #[error("the chain starts with {found}, and {trusted} is trusted")]
    FirstKey {
        /// The first line of the chain, shortened.
        found: String,
        /// The key that is trusted.
        trusted: String,
    },
}
