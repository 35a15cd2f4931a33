//! Epochs of keys: which of a log's keys speaks for which entries.
//!
//! Key `i` speaks for the entries `start_i <= index < end_i` and for nothing else. Its epoch ends with a
//! rotation entry ([`KeyRotation`]), the last entry under a checkpoint that key `i` signed: the *hand-over*.
//! Behind it key `i + 1` signs, and key `i` is destroyed. So whoever steals the present key can write on, and
//! cannot say a word about entries below its start.
//!
//! A [`KeyChain`] starts from one key that is trusted, learns hand-overs, each of which it verifies, and says
//! which key evidence must be held against. It is carried as a text, `keys.chain`; the rules and the form are
//! in `docs/ledger-format.md`, "Epochs of keys".

mod error;
mod text;

pub use error::KeyChainError;

use crate::bundle::{Bundle, BundleError, VerifiedBundle};
use crate::checkpoint::{SignedCheckpoint, peek};
use crate::entry::{Body, Entry, Header, KeyRotation, Kind};
use crate::hash::{Hash, leaf_hash, to_hex};
use crate::note::{NoteError, VerifyingKey};
use crate::segment::{SegmentRef, VerifiedSegment};
use crate::tree::CompactRange;

/// The most keys of one log.
pub const MAX_EPOCHS: usize = 4096;

/// The longest text of a chain that is read, in bytes: every hand-over a usual one of some 2 KiB.
pub const MAX_CHAIN_BYTES: usize = 16 << 20;

/// One key and the entries that it speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Its number, from 0.
    pub number: u64,
    /// Its key.
    pub key: VerifyingKey,
    /// Its first entry.
    pub start: u64,
    /// The entry behind its last, which is the size of its hand-over checkpoint; `None` for the current key.
    pub end: Option<u64>,
    /// How the key came to speak; `None` for the first one, which is trusted by word of mouth.
    hand_over: Option<HandOver>,
}

impl Epoch {
    /// The bundle of the rotation entry that brought this key in, under the hand-over checkpoint of the key
    /// before it; `None` for the first key.
    #[must_use]
    pub fn hand_over(&self) -> Option<&Bundle> {
        self.hand_over.as_ref().map(|hand_over| &hand_over.bundle)
    }

    /// The id of the key, 8 hexadecimal characters.
    #[must_use]
    pub fn key_id(&self) -> String {
        to_hex(&self.key.key_id())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct HandOver {
    bundle: Bundle,
    /// The root of the log below the epoch.
    root: Hash,
}

/// The keys of one log, from one that is trusted to the newest one that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChain {
    /// Never empty; the last one alone has no end.
    epochs: Vec<Epoch>,
}

impl KeyChain {
    /// A chain of the first key alone, which is trusted.
    #[must_use]
    pub fn new(key: VerifyingKey) -> Self {
        Self { epochs: vec![Epoch { number: 0, key, start: 0, end: None, hand_over: None }] }
    }

    /// The log: the name of every key.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.first().name()
    }

    /// The first key, on which all trust in the others stands.
    #[must_use]
    pub fn first(&self) -> &VerifyingKey {
        &self.epochs[0].key
    }

    /// The newest key that is known.
    #[must_use]
    pub fn current(&self) -> &VerifyingKey {
        &self.current_epoch().key
    }

    /// The epoch of the newest key that is known.
    #[must_use]
    pub fn current_epoch(&self) -> &Epoch {
        &self.epochs[self.epochs.len() - 1]
    }

    /// All epochs, the oldest first.
    #[must_use]
    pub fn epochs(&self) -> &[Epoch] {
        &self.epochs
    }

    /// The epoch that entry `index` is in, as far as is known.
    #[must_use]
    pub fn epoch_of(&self, index: u64) -> &Epoch {
        &self.epochs[self.epochs.partition_point(|epoch| epoch.start <= index) - 1]
    }

    /// The key that a checkpoint of `size` entries must be signed with to vouch for the entries from `first`
    /// on: that of the one epoch that holds all of them.
    ///
    /// # Errors
    /// [`KeyChainError::Spans`] if no single key speaks for them, [`KeyChainError::Empty`] unless `first < size`.
    pub fn key_for(&self, first: u64, size: u64) -> Result<&VerifyingKey, KeyChainError> {
        self.epoch_for(first, size).map(|epoch| &epoch.key)
    }

    /// The key that signs the checkpoint of a log of `size` entries.
    #[must_use]
    pub fn key_at(&self, size: u64) -> &VerifyingKey {
        &self.epoch_of(size.saturating_sub(1)).key
    }

    /// Opens a checkpoint with the key of its size.
    ///
    /// # Errors
    /// [`NoteError`], also when another key of this log signed it.
    pub fn open(&self, note: &str) -> Result<SignedCheckpoint, NoteError> {
        SignedCheckpoint::open(note, self.key_at(peek(note)?.size))
    }

    fn epoch_for(&self, first: u64, size: u64) -> Result<&Epoch, KeyChainError> {
        if first >= size {
            return Err(KeyChainError::Empty { first, size });
        }
        let epoch = self.epoch_of(first);
        match epoch.end {
            Some(end) if size > end => Err(KeyChainError::Spans {
                first,
                size,
                epoch: epoch.number,
                key_id: epoch.key_id(),
                start: epoch.start,
                end,
            }),
            _ => Ok(epoch),
        }
    }

    /// Verifies a segment with the key of its range. One that starts an epoch must continue the very log
    /// under the hand-over checkpoint, and a rotation entry may only be its last.
    ///
    /// # Errors
    /// [`KeyChainError`] says what does not hold.
    pub fn verify_segment(&self, segment: &SegmentRef<'_>) -> Result<VerifiedSegment, KeyChainError> {
        let end = segment.first.saturating_add(segment.entries.len() as u64);
        let epoch = self.epoch_for(segment.first, end)?;
        let verified = segment.verify(&epoch.key).map_err(|source| KeyChainError::Segment {
            epoch: epoch.number,
            key_id: epoch.key_id(),
            source,
        })?;
        let begins = epoch.hand_over.as_ref().filter(|_| epoch.start == segment.first);
        if begins.is_some_and(|hand_over| hand_over.root != verified.root_before) {
            return Err(KeyChainError::Past { first: segment.first });
        }
        for (index, bytes) in (segment.first..).zip(&segment.entries) {
            // The last entry before a size that the chain knows as an end, or that it may still learn.
            let place = index + 1 == end && epoch.end.is_none_or(|known| known == end);
            if !place && is_rotation(bytes) {
                return Err(KeyChainError::Inside { index });
            }
        }
        Ok(verified)
    }

    /// Learns the hand-over that a segment ends with, if it does. The segment must have been verified with
    /// [`verify_segment`](Self::verify_segment). Returns whether there was something to learn.
    ///
    /// # Errors
    /// As [`learn`](Self::learn).
    pub fn learn_segment(
        &mut self,
        segment: &SegmentRef<'_>,
        verified: &VerifiedSegment,
    ) -> Result<bool, KeyChainError> {
        let Some((last, before)) = segment.entries.split_last() else { return Ok(false) };
        let size = verified.checkpoint.checkpoint.size;
        if !is_rotation(last) || size <= self.current_epoch().start {
            return Ok(false);
        }
        let mut tree = CompactRange::from_parts(segment.first, segment.frontier.clone())
            .map_err(|_| KeyChainError::Past { first: segment.first })?;
        for entry in before {
            tree.push(leaf_hash(entry));
        }
        let checkpoint = verified.checkpoint.text.clone();
        self.learn(&hand_over_bundle(last.to_vec(), &tree, checkpoint))?;
        Ok(true)
    }

    /// Learns a hand-over: the bundle of a rotation entry under the hand-over checkpoint.
    ///
    /// All of it is verified: the bundle with the current key; that the rotation entry is the last under its
    /// checkpoint and decodes; that its epoch is the next one; and the new key's proof of possession.
    ///
    /// # Errors
    /// [`KeyChainError`]; nothing is learned then.
    pub fn learn(&mut self, bundle: &Bundle) -> Result<(), KeyChainError> {
        if self.epochs.len() >= MAX_EPOCHS {
            return Err(KeyChainError::TooMany);
        }
        let current = self.current_epoch();
        let index = bundle.index;
        if index < current.start {
            return Err(KeyChainError::Before { index, start: current.start });
        }
        let verified = verify_bundle(bundle, current)?;
        let head = &verified.checkpoint.checkpoint;
        if head.size != index.saturating_add(1) {
            return Err(KeyChainError::NotLast { index, size: head.size });
        }
        let rotation = rotation(index, &verified.entry)?;
        let expected = current.number + 1;
        if rotation.epoch != expected {
            return Err(KeyChainError::Epoch { index, expected, found: rotation.epoch });
        }
        let key = rotation.verify(index, &current.key).map_err(|source| KeyChainError::Rotation { index, source })?;
        if self.epochs.iter().any(|epoch| epoch.key == key) {
            return Err(KeyChainError::Reused { index });
        }
        let hand_over = Some(HandOver { bundle: bundle.clone(), root: head.root });
        let start = head.size;
        let last = self.epochs.len() - 1;
        self.epochs[last].end = Some(start);
        self.epochs.push(Epoch { number: expected, key, start, end: None, hand_over });
        Ok(())
    }

    /// Verifies a bundle with the key of its entry's epoch.
    ///
    /// # Errors
    /// [`KeyChainError::Spans`] if its checkpoint is of a later epoch, [`KeyChainError::Bundle`] if it does not
    /// hold.
    pub fn verify_bundle(&self, bundle: &Bundle) -> Result<VerifiedBundle, KeyChainError> {
        let epoch = self.epoch_of(bundle.index);
        let peeked = peek(&bundle.checkpoint).map_err(|source| at(epoch, source.into()))?;
        if bundle.index < peeked.size {
            self.epoch_for(bundle.index, peeked.size)?;
        }
        verify_bundle(bundle, epoch)
    }
}

/// The bundle of the last entry of a log: `before` is the tree over the entries below it.
#[must_use]
pub fn hand_over_bundle(entry: Vec<u8>, before: &CompactRange, checkpoint: String) -> Bundle {
    // Every sibling on the way of the last leaf is a complete subtree to its left, the smallest first.
    let proof = before.peaks().iter().rev().copied().collect();
    Bundle { entry: Some(entry), index: before.size(), proof, checkpoint }
}

fn verify_bundle(bundle: &Bundle, epoch: &Epoch) -> Result<VerifiedBundle, KeyChainError> {
    bundle.verify(&epoch.key).map_err(|source| at(epoch, source))
}

fn at(epoch: &Epoch, source: BundleError) -> KeyChainError {
    KeyChainError::Bundle { epoch: epoch.number, key_id: epoch.key_id(), source }
}

fn is_rotation(entry: &[u8]) -> bool {
    Header::read(entry).is_ok_and(|header| header.kind == Kind::KeyRotation)
}

fn rotation(index: u64, bytes: &[u8]) -> Result<KeyRotation, KeyChainError> {
    match Entry::decode(bytes) {
        Ok(Entry { index: says, body: Body::KeyRotation(rotation), .. }) if says == index => Ok(rotation),
        _ => Err(KeyChainError::NotRotation { index }),
    }
}
