//! Payloads: what the ledger commits to without holding it.
//!
//! A verdict entry carries `SHA-256(domain ‖ salt ‖ invocation ‖ bytes)` of the inference as it was received and of the
//! output as it was released. The salt, 32 random bytes for each inference, stands beside the ledger with the payload
//! if that is kept, and without it if not: whoever has the payload from elsewhere can still show that it is the one.
//! Erasing the stored form leaves the commitment, which says nothing without its salt, and every proof stays valid.
//!
//! Stored form, deterministic CBOR: `[salt: bytes32, payload: bytes | null]`.

use ciborium::Value;
use picket_ledger::{Hash, hash};

/// A salt.
pub type Salt = [u8; 32];

/// Commits to `bytes` under `salt` for this invocation.
pub fn commit(salt: &Salt, invocation: u64, bytes: &[u8]) -> Hash {
    hash::commitment(salt, invocation, bytes)
}

/// The stored form.
pub fn encode(salt: &Salt, payload: Option<&[u8]>) -> Vec<u8> {
    let payload = payload.map_or(Value::Null, |bytes| Value::Bytes(bytes.to_vec()));
    let mut stored = Vec::new();
    ciborium::into_writer(&Value::Array(vec![Value::Bytes(salt.to_vec()), payload]), &mut stored)
        .expect("a vector takes every byte, and the value has no part that CBOR lacks");
    stored
}

/// Reads the stored form; `None` when it is damaged.
pub fn decode(stored: &[u8]) -> Option<(Salt, Option<Vec<u8>>)> {
    let value: Value = ciborium::from_reader(stored).ok()?;
    let [salt, payload]: [Value; 2] = value.into_array().ok()?.try_into().ok()?;
    let salt: Salt = salt.into_bytes().ok()?.try_into().ok()?;
    let payload = match payload {
        Value::Null => None,
        Value::Bytes(bytes) => Some(bytes),
        _ => return None,
    };
    // The reader takes long forms of a length and bytes that follow; only what is written is read.
    (encode(&salt, payload.as_deref()) == stored).then_some((salt, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_of_every_length_form_come_back() {
        let salt = [7; 32];
        for length in [0, 1, 23, 24, 255, 256, 65_535, 65_536, 1 << 20] {
            let payload = vec![b'x'; length];
            assert_eq!(decode(&encode(&salt, Some(&payload))), Some((salt, Some(payload.clone()))), "{length}");
        }
        assert_eq!(decode(&encode(&salt, None)), Some((salt, None)));
    }

    #[test]
    fn cut_and_stretched_forms_are_refused() {
        let stored = encode(&[7; 32], Some(b"payload"));
        for end in 0..stored.len() {
            assert_eq!(decode(&stored[..end]), None, "cut at {end}");
        }
        let mut longer = stored.clone();
        longer.push(0);
        assert_eq!(decode(&longer), None);
        let mut long_form = encode(&[7; 32], None);
        long_form.pop();
        long_form.extend([0x58, 3, 1, 2, 3]);
        assert_eq!(decode(&long_form), None, "a length that fits into one byte less");
    }
}
