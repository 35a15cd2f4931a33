//! Receipts: the auditor's signed word that everything under a checkpoint is durably stored.
//!
//! A receipt is the box's checkpoint with a C2SP tlog-cosignature (`cosignature/v1`, key type 0x04,
//! <https://c2sp.org/tlog-cosignature>) by the auditor: 8 bytes of time and an Ed25519 signature over
//! `cosignature/v1`, the time and the checkpoint's text.

use std::fmt;

use crate::checkpoint::{Checkpoint, open_parsed};
use crate::note::{Note, NoteError, PublicKey, SignatureType, SigningKey, VerifyingKey};

/// The latest time that a cosignature can carry: 2^63 - 1 seconds.
const MAX_TIME: u64 = i64::MAX.unsigned_abs();

/// The public key of an auditor's cosignatures: `<name>+<id>+<base64(0x04 ‖ key)>`.
///
/// It may share its Ed25519 key with the [`VerifyingKey`] of the auditor's own ledger: the signed messages
/// start differently, and the ids differ by the type byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignerKey(PublicKey);

impl CosignerKey {
    /// The public half of a key that cosigns.
    #[must_use]
    pub fn of(key: &SigningKey) -> Self {
        Self(key.public(SignatureType::Cosignature))
    }

    /// Reads `<name>+<id, 8 hexadecimal characters>+<base64(0x04 ‖ 32 bytes)>`.
    ///
    /// # Errors
    /// [`NoteError::Key`] or [`NoteError::KeyName`].
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        PublicKey::parse(text, SignatureType::Cosignature).map(Self)
    }

    /// The name of the key: the auditor's id.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The first four bytes of `SHA-256(name ‖ 0x0A ‖ 0x04 ‖ key)`.
    #[must_use]
    pub fn key_id(&self) -> [u8; 4] {
        self.0.id
    }

    /// The 32 bytes of the public key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl fmt::Display for CosignerKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::str::FromStr for CosignerKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        Self::parse(text)
    }
}

/// Adds a cosignature to a note that holds a checkpoint: the whole note with one more signature line.
///
/// The caller has verified the checkpoint and what it stands for; this only makes sure that it is one.
///
/// # Errors
/// [`NoteError`] when `note` is not a well-formed note with a checkpoint, already carries a cosignature by
/// this key, or the time is beyond 2^63 - 1.
pub fn cosign(note: &str, auditor: &SigningKey, unix_seconds: u64) -> Result<String, NoteError> {
    if unix_seconds > MAX_TIME {
        return Err(NoteError::Time(unix_seconds));
    }
    let parsed = Note::parse(note)?;
    Checkpoint::parse(parsed.text)?;
    if parsed.signature_by(&auditor.public(SignatureType::Cosignature)).is_ok() {
        return Err(NoteError::SignedTwice(auditor.name().to_owned()));
    }
    let mut signature = unix_seconds.to_be_bytes().to_vec();
    signature.extend(auditor.sign_bytes(message(unix_seconds, parsed.text).as_bytes()));
    Ok(format!("{note}{}", auditor.signature_line(SignatureType::Cosignature, &signature)))
}

/// A receipt whose two signatures have been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Up to where everything is stored.
    pub checkpoint: Checkpoint,
    /// When the auditor said so, in seconds since 1970-01-01T00:00:00Z by its clock.
    pub time: u64,
    /// The cosignature: 64 bytes of Ed25519.
    pub signature: [u8; 64],
    /// The whole note as it was read: the evidence to keep.
    pub text: String,
}

impl Receipt {
    /// Reads a receipt and verifies the box's signature and the auditor's cosignature.
    ///
    /// Whether it speaks of the checkpoint that was sent is for the caller to compare.
    ///
    /// # Errors
    /// [`NoteError`] for whatever is wrong with the note or either signature.
    pub fn open(note: &str, edge: &VerifyingKey, auditor: &CosignerKey) -> Result<Self, NoteError> {
        let parsed = Note::parse(note)?;
        let checkpoint = open_parsed(&parsed, edge)?;
        let bytes = parsed.signature_by(&auditor.0)?;
        let broken = || NoteError::Signature(auditor.0.name.clone());
        let (time, signature) = bytes.split_first_chunk::<8>().ok_or_else(broken)?;
        let signature: &[u8; 64] = signature.try_into().map_err(|_| broken())?;
        let time = u64::from_be_bytes(*time);
        if time > MAX_TIME {
            return Err(NoteError::Time(time));
        }
        auditor.0.verify(message(time, parsed.text).as_bytes(), signature)?;
        Ok(Self { checkpoint, time, signature: *signature, text: note.to_owned() })
    }
}

/// What a v1 cosignature signs, C2SP tlog-cosignature, "Ed25519 signed message".
fn message(unix_seconds: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {unix_seconds}\n{text}")
}
