//! SHA-256 in the roles that the ledger gives it.
//!
//! Leaves and nodes are hashed as in RFC 9162 section 2.1.1 (the same as RFC 6962): a leading byte keeps
//! the two apart, so that no entry can pose as an inner node.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// Domain separation of payload commitments; the zero byte ends it.
const COMMITMENT_DOMAIN: &[u8] = b"picket payload commitment v1\0";

/// SHA-256 of some bytes, without any prefix.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// The hash of a leaf: `SHA-256(0x00 ‖ entry)`, RFC 9162 section 2.1.1.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new_with_prefix([0]).chain_update(entry).finalize().into()
}

/// The hash of an inner node: `SHA-256(0x01 ‖ left ‖ right)`, RFC 9162 section 2.1.1.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    sha256(&bytes)
}

/// The root of the empty tree: SHA-256 of nothing, RFC 9162 section 2.1.1.
#[must_use]
pub fn empty_root() -> Hash {
    sha256(b"")
}

/// The salted commitment to a payload that an entry carries in its stead, so that the payload can be erased
/// while every proof stays valid.
///
/// `SHA-256("picket payload commitment v1" ‖ 0x00 ‖ salt ‖ sequence as 8 bytes, big-endian ‖ payload)`.
/// The salt is secret and random for each payload: without it, nobody can confirm a guess of the payload.
#[must_use]
pub fn commitment(salt: &[u8; 32], sequence: u64, payload: &[u8]) -> Hash {
    Sha256::new_with_prefix(COMMITMENT_DOMAIN)
        .chain_update(salt)
        .chain_update(sequence.to_be_bytes())
        .chain_update(payload)
        .finalize()
        .into()
}

/// Lower-case hexadecimal, two characters a byte.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Reads a hash from exactly 64 hexadecimal characters, upper or lower case.
///
/// # Errors
/// [`HexError`] when the length is another or a character is no hexadecimal digit.
pub fn from_hex(text: &str) -> Result<Hash, HexError> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return Err(HexError::Length(digits.len()));
    }
    let mut hash = [0; 32];
    for (position, digit) in digits.iter().enumerate() {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            b'A'..=b'F' => digit - b'A' + 10,
            _ => return Err(HexError::Digit(position)),
        };
        hash[position / 2] = hash[position / 2] << 4 | value;
    }
    Ok(hash)
}

/// A text that is not a hash in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HexError {
    /// The text is not 64 bytes long; holds how long it is.
    #[error("a hash has 64 hexadecimal characters, this has {0} bytes")]
    Length(usize),
    /// The byte at this position is no hexadecimal digit.
    #[error("no hexadecimal digit at position {0}")]
    Digit(usize),
}

/// Standard base64 with padding, RFC 4648 section 4.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads standard base64 in its one canonical form: padded, no stray bits, no white space.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    // The engine refuses missing padding and non-zero trailing bits; the comparison keeps that promise ours.
    let bytes = STANDARD.decode(text).ok()?;
    (STANDARD.encode(&bytes) == text).then_some(bytes)
}

/// Reads a hash from base64 in canonical form.
pub(crate) fn hash_from_base64(text: &str) -> Option<Hash> {
    from_base64(text)?.try_into().ok()
}

/// `serde(serialize_with)` helpers that show digests as hexadecimal.
pub(crate) mod as_hex {
    use serde::{Serialize as _, Serializer};

    pub(crate) fn bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::to_hex(bytes))
    }

    #[expect(clippy::ref_option, reason = "serde hands a reference to the field over")]
    pub(crate) fn option<S: Serializer>(hash: &Option<super::Hash>, serializer: S) -> Result<S::Ok, S::Error> {
        hash.as_ref().map(|hash| super::to_hex(hash)).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_agree_with_rfc_6962_test_values() {
        // From the certificate-transparency project's reference tree.
        assert_eq!(to_hex(&empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(to_hex(&leaf_hash(b"")), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        let left = leaf_hash(b"");
        let right = leaf_hash(&[0]);
        assert_eq!(
            to_hex(&node_hash(&left, &right)),
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
        );
    }

    #[test]
    fn commitment_depends_on_each_part() {
        let base = commitment(&[1; 32], 7, b"payload");
        assert_ne!(base, commitment(&[2; 32], 7, b"payload"));
        assert_ne!(base, commitment(&[1; 32], 8, b"payload"));
        assert_ne!(base, commitment(&[1; 32], 7, b"payloae"));
        let mut preimage = b"picket payload commitment v1\0".to_vec();
        preimage.extend([1; 32]);
        preimage.extend([0, 0, 0, 0, 0, 0, 0, 7]);
        preimage.extend(b"payload");
        assert_eq!(base, sha256(&preimage));
    }

    #[test]
    fn hexadecimal_round_trips_and_refuses_the_rest() {
        let hash = leaf_hash(b"x");
        assert_eq!(from_hex(&to_hex(&hash)), Ok(hash));
        assert_eq!(from_hex(&to_hex(&hash).to_uppercase()), Ok(hash));
        assert_eq!(from_hex("00"), Err(HexError::Length(2)));
        assert_eq!(from_hex(&format!("{}g", "0".repeat(63))), Err(HexError::Digit(63)));
        assert_eq!(from_hex(&"é".repeat(32)), Err(HexError::Digit(0)));
    }

    #[test]
    fn base64_is_accepted_in_canonical_form_only() {
        assert_eq!(from_base64("AAA="), Some(vec![0, 0]));
        for text in ["AAA", "AAB=", "AAA= ", " AAA=", "AAA\n=", "AA-_", "A===", "AAA=="] {
            assert_eq!(from_base64(text), None, "{text:?}");
        }
    }
}
