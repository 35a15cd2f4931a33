//! The parts of the body of `add-entries`.

use super::{MAX_ORIGIN_BYTES, MAX_PROOF_HASHES, MAX_TICKET_BYTES, MirrorError, PACKAGE_ENTRIES};
use crate::entry::MAX_ENTRY_BYTES;
use crate::hash::Hash;
use crate::tree::{NodeSource, TreeError, subtree_consistency_proof};

/// What an upload is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The log.
    pub origin: String,
    /// The first entry that is sent.
    pub start: u64,
    /// The size of the checkpoint to which the proofs lead. Entries beyond it are not sent.
    pub end: u64,
    /// What the auditor gave in its last answer, or nothing.
    pub ticket: Vec<u8>,
}

impl Header {
    /// Appends its bytes.
    ///
    /// # Errors
    /// [`MirrorError::TooLong`] for the origin or the ticket; [`MirrorError::Header`] unless `start <= end`.
    pub fn encode(&self, into: &mut Vec<u8>) -> Result<(), MirrorError> {
        if self.start > self.end {
            return Err(MirrorError::Header("the upload ends before it starts"));
        }
        short(into, self.origin.as_bytes(), "the origin", MAX_ORIGIN_BYTES)?;
        into.extend_from_slice(&self.start.to_be_bytes());
        into.extend_from_slice(&self.end.to_be_bytes());
        short(into, &self.ticket, "the ticket", MAX_TICKET_BYTES)
    }
}

fn short(into: &mut Vec<u8>, bytes: &[u8], what: &'static str, limit: usize) -> Result<(), MirrorError> {
    let length = u16::try_from(bytes.len()).ok().filter(|_| bytes.len() <= limit);
    let length = length.ok_or(MirrorError::TooLong { what, found: bytes.len(), limit })?;
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(bytes);
    Ok(())
}

/// The end of the package that starts at `start` in an upload that ends at `end`: the next multiple of 256, or `end`.
#[must_use]
pub fn package_end(start: u64, end: u64) -> u64 {
    let aligned = (start / PACKAGE_ENTRIES + 1).checked_mul(PACKAGE_ENTRIES);
    aligned.map_or(end, |aligned| aligned.min(end))
}

/// Entries of one tile, with the proof that they belong to the tree of the upload's checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The index of its first entry.
    pub start: u64,
    /// The encoded entries, 1 to 256.
    pub entries: Vec<Vec<u8>>,
    /// The subtree consistency proof from the tile's entries up to this package's end to the checkpoint.
    pub proof: Vec<Hash>,
}

impl Package {
    /// The package of these entries in an upload to the checkpoint of size `size`, with its proof from `source`.
    ///
    /// # Errors
    /// What the source reports; [`TreeError::Subtree`] for entries of two tiles or beyond `size`.
    pub fn prove<S: NodeSource>(
        source: &S,
        start: u64,
        entries: Vec<Vec<u8>>,
        size: u64,
    ) -> Result<Self, TreeError<S::Error>> {
        let tile = start - start % PACKAGE_ENTRIES;
        let proof = subtree_consistency_proof(source, tile, start + entries.len() as u64, size)?;
        Ok(Self { start, entries, proof })
    }

    /// The index after its last entry.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start + self.entries.len() as u64
    }

    /// Appends its bytes.
    ///
    /// # Errors
    /// [`MirrorError`] for an entry or a proof beyond the limits.
    pub fn encode(&self, into: &mut Vec<u8>) -> Result<(), MirrorError> {
        for (index, entry) in (self.start..).zip(&self.entries) {
            let length = entry.len();
            let prefix = u32::try_from(length).ok().filter(|_| (1..=MAX_ENTRY_BYTES).contains(&length));
            let prefix = prefix.ok_or(MirrorError::EntryLength { index, length })?;
            into.extend_from_slice(&prefix.to_be_bytes());
            into.extend_from_slice(entry);
        }
        let count = u8::try_from(self.proof.len()).ok().filter(|_| self.proof.len() <= MAX_PROOF_HASHES);
        let count = count.ok_or(MirrorError::ProofLength { start: self.start, found: self.proof.len() })?;
        into.push(count);
        self.proof.iter().for_each(|hash| into.extend_from_slice(hash));
        Ok(())
    }
}
