//! What can be wrong with an entry.

use super::MAX_ENTRY_BYTES;
use crate::cbor::CborError;

/// Why an entry cannot be written, or bytes are no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The bytes are not canonical CBOR of an entry's shape.
    #[error("malformed entry")]
    Cbor(#[from] CborError),
    /// A later version of the format.
    #[error("entry format version {0} is not known")]
    Version(u64),
    /// A kind that this version does not know.
    #[error("entry kind {0} is not known")]
    UnknownKind(u64),
    /// A number without a meaning in an enumeration or a range.
    #[error("{value} has no meaning as {field}")]
    Value {
        /// Which field.
        field: &'static str,
        /// The number that is there.
        value: u64,
    },
    /// A text is longer than its field allows.
    #[error("{field} has {length} bytes, at most {limit} are allowed")]
    TextTooLong {
        /// Which field.
        field: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The longest that is allowed.
        limit: usize,
    },
    /// A name or an id is empty.
    #[error("{field} is empty")]
    Empty {
        /// Which field.
        field: &'static str,
    },
    /// A text has a control character that its field does not allow.
    #[error("{field} has a control character, U+{:04X}", u32::from(*.character))]
    ControlCharacter {
        /// Which field.
        field: &'static str,
        /// The character.
        character: char,
    },
    /// A list has more members than its field allows.
    #[error("{count} {field}, at most {limit} are allowed")]
    TooMany {
        /// Which field.
        field: &'static str,
        /// How many there are.
        count: usize,
        /// The most that are allowed.
        limit: usize,
    },
    /// Fields that contradict each other.
    #[error("{0}")]
    Contradiction(&'static str),
    /// More bytes than [`MAX_ENTRY_BYTES`].
    #[error("the entry has {0} bytes, at most {MAX_ENTRY_BYTES} are allowed")]
    TooLarge(usize),
    /// The bytes differ from what their own content encodes to.
    #[error("the entry is not in its canonical form")]
    NotCanonical,
}
