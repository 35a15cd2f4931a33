//! Proof bundles: C2SP `.tlog-proof` files (<https://c2sp.org/tlog-proof>), the proof of one entry that
//! anyone verifies offline with nothing but the box's public key.
//!
//! The entry itself travels in the `extra` line. That line is not authenticated by the format; it is here,
//! because verification computes the leaf hash from it.

use crate::checkpoint::{SignedCheckpoint, decimal};
use crate::entry::MAX_ENTRY_BYTES;
use crate::hash::{Hash, from_base64, hash_from_base64, leaf_hash, to_base64};
use crate::note::{MAX_NOTE_BYTES, NoteError, VerifyingKey};
use crate::proof::{ProofError, verify_inclusion};

/// The file name extension of a bundle, without the dot.
pub const FILE_EXTENSION: &str = "tlog-proof";

/// The longest bundle that is read, in bytes: an entry in base64, 63 hashes, a note.
pub const MAX_BUNDLE_BYTES: usize = MAX_ENTRY_BYTES / 3 * 4 + MAX_NOTE_BYTES + 8 * 1024;

pub(crate) const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// The longest inclusion proof: a tree of 2^64 - 1 leaves has 64 levels.
const MAX_PROOF_HASHES: usize = 64;

/// Why a bundle cannot be read or does not prove anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// More bytes than [`MAX_BUNDLE_BYTES`].
    #[error("the bundle has {0} bytes, at most {MAX_BUNDLE_BYTES} are read")]
    TooLarge(usize),
    /// The text is not a `.tlog-proof`.
    #[error("malformed bundle: {0}")]
    Malformed(&'static str),
    /// A line is not what its place demands.
    #[error("malformed bundle, line {line}: {reason}")]
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The bundle does not carry the entry, and none was given.
    #[error("the bundle does not hold the entry that it is about")]
    NoEntry,
    /// The entry that was given is not the one in the bundle.
    #[error("the bundle is about another entry")]
    OtherEntry,
    /// The checkpoint is malformed or not signed by the box's key.
    #[error("the checkpoint of the bundle does not hold")]
    Note(#[from] NoteError),
    /// The inclusion proof does not lead from the entry to the checkpoint.
    #[error("the proof of the bundle does not hold")]
    Proof(#[from] ProofError),
}

/// The proof that an entry stands in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The encoded entry; `None` in a bundle that somebody else wrote without it.
    pub entry: Option<Vec<u8>>,
    /// Its place in the log.
    pub index: u64,
    /// The inclusion proof in the tree of the checkpoint's size.
    pub proof: Vec<Hash>,
    /// The signed checkpoint: a note, cosignatures welcome.
    pub checkpoint: String,
}

impl Bundle {
    /// Writes the `.tlog-proof`.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!("{HEADER}\n");
        if let Some(entry) = &self.entry {
            text.push_str("extra ");
            text.push_str(&to_base64(entry));
            text.push('\n');
        }
        text.push_str(&format!("index {}\n", self.index));
        for hash in &self.proof {
            text.push_str(&to_base64(hash));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Reads a `.tlog-proof`. Nothing is verified yet.
    ///
    /// # Errors
    /// [`BundleError`] for what is malformed or beyond a limit.
    pub fn parse(text: &str) -> Result<Self, BundleError> {
        if text.len() > MAX_BUNDLE_BYTES {
            return Err(BundleError::TooLarge(text.len()));
        }
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or(BundleError::Malformed("no empty line before the checkpoint"))?;
        let mut lines = (1..).zip(head.split('\n')).peekable();
        if lines.next() != Some((1, HEADER)) {
            return Err(BundleError::Line { line: 1, reason: "not the header of a .tlog-proof" });
        }
        let extra = lines.next_if(|(_, line)| line.starts_with("extra "));
        let entry = match extra.and_then(|(_, line)| line.strip_prefix("extra ")) {
            None => None,
            Some(base64) => Some(
                from_base64(base64)
                    .ok_or(BundleError::Line { line: 2, reason: "the entry is not canonical base64" })?,
            ),
        };
        let (line, index) = lines.next().ok_or(BundleError::Malformed("no index line"))?;
        let index = index
            .strip_prefix("index ")
            .and_then(decimal)
            .ok_or(BundleError::Line { line, reason: "not `index` and a decimal number" })?;
        let mut proof = Vec::new();
        for (line, base64) in lines {
            if proof.len() == MAX_PROOF_HASHES {
                return Err(BundleError::Line { line, reason: "more hashes than a tree has levels" });
            }
            let hash = hash_from_base64(base64).ok_or(BundleError::Line { line, reason: "not a hash in base64" })?;
            proof.push(hash);
        }
        Ok(Self { entry, index, proof, checkpoint: checkpoint.to_owned() })
    }

    /// Verifies the entry that the bundle carries against the box's key.
    ///
    /// # Errors
    /// [`BundleError`] says what does not hold.
    pub fn verify(&self, key: &VerifyingKey) -> Result<VerifiedBundle, BundleError> {
        let entry = self.entry.as_deref().ok_or(BundleError::NoEntry)?;
        self.verify_entry(entry, key)
    }

    /// Verifies an entry that is already at hand. If the bundle carries one too, it must be the same.
    ///
    /// # Errors
    /// [`BundleError`] says what does not hold.
    pub fn verify_entry(&self, entry: &[u8], key: &VerifyingKey) -> Result<VerifiedBundle, BundleError> {
        if self.entry.as_deref().is_some_and(|carried| carried != entry) {
            return Err(BundleError::OtherEntry);
        }
        let checkpoint = SignedCheckpoint::open(&self.checkpoint, key)?;
        let leaf = leaf_hash(entry);
        let head = &checkpoint.checkpoint;
        verify_inclusion(self.index, head.size, &leaf, &self.proof, &head.root)?;
        Ok(VerifiedBundle { entry: entry.to_vec(), index: self.index, leaf, checkpoint })
    }
}

/// What a verified bundle proves: this entry is at this index of the log under this checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedBundle {
    /// The encoded entry.
    pub entry: Vec<u8>,
    /// Its place in the log.
    pub index: u64,
    /// Its leaf hash.
    pub leaf: Hash,
    /// The checkpoint that covers it.
    pub checkpoint: SignedCheckpoint,
}
