//! Verifying evidence that left the box: a segment or a proof bundle, offline, with nothing but a key.

use picket_ledger::bundle::{Bundle, BundleError, MAX_BUNDLE_BYTES};
use picket_ledger::hash::to_hex;
use picket_ledger::receipt::{CosignerKey, Receipt};
use picket_ledger::segment::{MAX_SEGMENT_BYTES, SegmentError, SegmentRef};
use picket_ledger::{Entry, KeyChain, KeyChainError, NoteError, VerifyingKey};
use serde::Serialize;

/// The first line of a bundle; anything else is taken for a segment.
const BUNDLE_HEADER: &[u8] = b"c2sp.org/tlog-proof@v1\n";

/// The most bytes that a file of evidence has.
pub const MAX_FILE_BYTES: usize =
    if MAX_SEGMENT_BYTES > MAX_BUNDLE_BYTES { MAX_SEGMENT_BYTES } else { MAX_BUNDLE_BYTES };

/// What was proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// `segment` or `bundle`.
    pub what: &'static str,
    /// The box that signed.
    pub origin: String,
    /// Index of the first entry.
    pub first: u64,
    /// Entries that were verified.
    pub entries: u64,
    /// Entries under the checkpoint.
    pub size: u64,
    /// Its root, in hexadecimal.
    pub root: String,
    /// Root of the log before the first entry, in hexadecimal; in a segment only.
    pub root_before: Option<String>,
    /// Number of the key that speaks for it.
    pub epoch: u64,
    /// That key.
    pub key: String,
    /// When the auditor signed for it, seconds since 1970; `None` without a cosignature that was asked for.
    pub received: Option<u64>,
}

/// Why evidence does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// As a segment.
    #[error("the segment does not hold")]
    Segment(#[from] SegmentError),
    /// As a bundle.
    #[error("the bundle does not hold")]
    Bundle(#[from] BundleError),
    /// Under the keys that are known.
    #[error("it does not hold")]
    Keys(#[from] KeyChainError),
    /// The proof holds, and what it proves is no entry of a ledger.
    #[error("entry {index} is malformed")]
    Entry {
        /// Its index.
        index: u64,
        /// What is wrong with it.
        source: picket_ledger::entry::EntryError,
    },
    /// The entry stands elsewhere than it says.
    #[error("entry {index} says that it is entry {says}")]
    Place {
        /// Where it stands.
        index: u64,
        /// What it says.
        says: u64,
    },
    /// The auditor's signature was asked for and is not there, or does not hold.
    #[error("the auditor's signature does not hold")]
    Receipt(#[source] NoteError),
}

/// Verifies a segment or bundle against the key that speaks for it and, in a bundle and if given, the auditor's. A segment
/// carries the box's signature alone, so that no byte of it is beyond that signature's reach.
///
/// # Errors
/// [`VerifyError`] says what does not hold, and where.
pub fn verify_file(bytes: &[u8], keys: &KeyChain, auditor: Option<&CosignerKey>) -> Result<Verified, VerifyError> {
    if bytes.starts_with(BUNDLE_HEADER) { verify_bundle(bytes, keys, auditor) } else { verify_segment(bytes, keys) }
}

fn verify_segment(bytes: &[u8], keys: &KeyChain) -> Result<Verified, VerifyError> {
    let segment = SegmentRef::parse(bytes)?;
    let verified = keys.verify_segment(&segment)?;
    let epoch = keys.epoch_of(segment.first);
    segment.check_entries()?;
    Ok(Verified {
        what: "segment",
        origin: segment.origin.to_owned(),
        first: segment.first,
        entries: segment.entries.len() as u64,
        size: verified.checkpoint.checkpoint.size,
        root: to_hex(&verified.checkpoint.checkpoint.root),
        root_before: Some(to_hex(&verified.root_before)),
        epoch: epoch.number,
        key: epoch.key.to_string(),
        received: None,
    })
}

fn verify_bundle(bytes: &[u8], keys: &KeyChain, auditor: Option<&CosignerKey>) -> Result<Verified, VerifyError> {
    let text = std::str::from_utf8(bytes).map_err(|_| BundleError::Malformed("it is no text"))?;
    let bundle = Bundle::parse(text)?;
    let verified = keys.verify_bundle(&bundle)?;
    let index = verified.index;
    let epoch = keys.epoch_of(index);
    let entry = Entry::decode(&verified.entry).map_err(|source| VerifyError::Entry { index, source })?;
    if entry.index != index {
        return Err(VerifyError::Place { index, says: entry.index });
    }
    let received = cosigned(&verified.checkpoint.text, &epoch.key, auditor)?;
    let checkpoint = verified.checkpoint.checkpoint;
    Ok(Verified {
        what: "bundle",
        origin: checkpoint.origin,
        first: index,
        entries: 1,
        size: checkpoint.size,
        root: to_hex(&checkpoint.root),
        root_before: None,
        epoch: epoch.number,
        key: epoch.key.to_string(),
        received,
    })
}

/// When the auditor signed; `None` if nobody asks.
fn cosigned(note: &str, key: &VerifyingKey, auditor: Option<&CosignerKey>) -> Result<Option<u64>, VerifyError> {
    let Some(auditor) = auditor else { return Ok(None) };
    Receipt::open(note, key, auditor).map(|receipt| Some(receipt.time)).map_err(VerifyError::Receipt)
}
