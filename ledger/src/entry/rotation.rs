//! Kind 13: the hand-over from one signing key to the next.

use serde::Serialize;

use super::EntryError;
use crate::cbor::{Reader, Writer};
use crate::hash::as_hex;
use crate::note::{NoteError, SigningKey, VerifyingKey};

/// The first line of what the new key signs.
const DOMAIN: &str = "picket key rotation v1";

/// The key that signs from the next entry on. The old key vouches for it with the checkpoint that this entry
/// is the last of; the new one proves here that whoever rotates holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyRotation {
    /// The number of the new key; the first key of a log is number 0.
    pub epoch: u64,
    /// The new public key as `name+id+base64`. Its name is that of the log.
    pub key: String,
    /// The new key's Ed25519 signature over the place and both keys; see [`verify`](Self::verify).
    #[serde(serialize_with = "as_hex::bytes")]
    pub possession: [u8; 64],
}

impl KeyRotation {
    /// The rotation from the key `old` to the key `new` by the entry at `index`.
    #[must_use]
    pub fn new(epoch: u64, index: u64, old: &VerifyingKey, new: &SigningKey) -> Self {
        let key = new.verifier().to_string();
        let possession = new.sign_bytes(statement(old, epoch, index, &key).as_bytes());
        Self { epoch, key, possession }
    }

    /// Reads the new key and verifies its proof of possession: its signature over the lines `picket key
    /// rotation v1`, the origin, the epoch, the index of the entry, the old key, and the new key, each
    /// ending in a line feed.
    ///
    /// # Errors
    /// [`NoteError::Key`] for a key that is none, [`NoteError::Origin`] for one of another name,
    /// [`NoteError::Signature`] when possession is not proven.
    pub fn verify(&self, index: u64, old: &VerifyingKey) -> Result<VerifyingKey, NoteError> {
        let key = VerifyingKey::parse(&self.key)?;
        if key.name() != old.name() {
            return Err(NoteError::Origin { origin: old.name().to_owned(), name: key.name().to_owned() });
        }
        key.0.verify(statement(old, self.epoch, index, &self.key).as_bytes(), &self.possession)?;
        Ok(key)
    }

    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), EntryError> {
        writer.array(3);
        writer.unsigned(self.epoch);
        // A key is its name, of at most 256 bytes, and 54 bytes more.
        writer.path("key", &self.key)?;
        writer.bytes(&self.possession);
        Ok(())
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        reader.array(3)?;
        Ok(Self { epoch: reader.unsigned()?, key: reader.string()?, possession: reader.fixed()? })
    }
}

/// Names have no line feeds, so no two hand-overs have the same statement.
fn statement(old: &VerifyingKey, epoch: u64, index: u64, new: &str) -> String {
    format!("{DOMAIN}\n{}\n{epoch}\n{index}\n{old}\n{new}\n", old.name())
}
