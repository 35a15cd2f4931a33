//! The proof of one entry, ready for whoever asks.

use picket_ledger::bundle::Bundle;
use picket_ledger::checkpoint::peek;

use super::{Evidence, EvidenceError};

/// Makes the bundle of entry `index`, whose bytes are `entry`, under the signed note `checkpoint`.
///
/// # Errors
/// [`EvidenceError::NotCovered`] if the checkpoint covers fewer entries; [`EvidenceError`] otherwise.
pub fn bundle_under(
    evidence: &Evidence,
    index: u64,
    entry: Vec<u8>,
    checkpoint: String,
) -> Result<Bundle, EvidenceError> {
    let size = note_size(&checkpoint)?;
    if size <= index {
        return Err(EvidenceError::NotCovered { index, size });
    }
    let proof = evidence.inclusion_proof(index, size)?;
    Ok(Bundle { entry: Some(entry), index, proof, checkpoint })
}

/// Makes the bundle of entry `index` under the newest receipt that covers it (it carries the auditor's
/// signature too), or else under the newest checkpoint.
///
/// # Errors
/// As [`bundle_under`].
pub fn bundle(evidence: &Evidence, index: u64, entry: Vec<u8>) -> Result<Bundle, EvidenceError> {
    let receipt = evidence.receipt()?;
    let covering = receipt.filter(|note| note_size(note).is_ok_and(|size| size > index));
    let checkpoint = match covering {
        Some(receipt) => receipt,
        None => newest_checkpoint(evidence, index)?,
    };
    bundle_under(evidence, index, entry, checkpoint)
}

/// The newest checkpoint, which must cover entry `index`.
///
/// # Errors
/// [`EvidenceError::NotCovered`].
pub fn newest_checkpoint(evidence: &Evidence, index: u64) -> Result<String, EvidenceError> {
    evidence.head()?.checkpoint.ok_or(EvidenceError::NotCovered { index, size: 0 })
}

/// The size in a signed note; nothing is verified.
fn note_size(note: &str) -> Result<u64, EvidenceError> {
    peek(note).map(|checkpoint| checkpoint.size).map_err(EvidenceError::Note)
}
