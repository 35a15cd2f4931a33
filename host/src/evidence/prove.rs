//! The proof of one entry, ready for whoever asks.

use picket_ledger::KeyChain;
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
/// signature too), or else under the newest checkpoint; of the entry's own epoch in either case.
///
/// # Errors
/// As [`bundle_under`].
pub fn bundle(evidence: &Evidence, keys: &KeyChain, index: u64, entry: Vec<u8>) -> Result<Bundle, EvidenceError> {
    let receipt = evidence.receipt()?;
    let covering = receipt.filter(|note| note_size(note).is_ok_and(|size| keys.key_for(index, size).is_ok()));
    let checkpoint = match covering {
        Some(receipt) => receipt,
        None => newest_checkpoint(evidence, keys, index)?,
    };
    bundle_under(evidence, index, entry, checkpoint)
}

/// The newest checkpoint that can vouch for entry `index`: that with which its epoch ended, or the newest of all.
///
/// # Errors
/// [`EvidenceError::NotCovered`].
pub fn newest_checkpoint(evidence: &Evidence, keys: &KeyChain, index: u64) -> Result<String, EvidenceError> {
    let newest = match keys.epoch_of(index).end {
        None => evidence.head()?.checkpoint,
        Some(end) => evidence.checkpoint_at_or_after(end)?.filter(|note| note_size(note).is_ok_and(|size| size == end)),
    };
    newest.ok_or(EvidenceError::NotCovered { index, size: 0 })
}

/// The size in a signed note; nothing is verified.
fn note_size(note: &str) -> Result<u64, EvidenceError> {
    peek(note).map(|checkpoint| checkpoint.size).map_err(EvidenceError::Note)
}
