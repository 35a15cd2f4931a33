//! Payloads: what the ledger commits to without holding it.
//!
//! A verdict entry carries `SHA-256(domain ‖ salt ‖ invocation ‖ bytes)` of the inference as it was received and of the
//! output as it was released. The salt, 32 random bytes for each inference, stands beside the ledger with the payload
//! if that is kept, and without it if not: whoever has the payload from elsewhere can still show that it is the one.
//! Erasing the stored form leaves the commitment, which says nothing without its salt, and every proof stays valid.
//!
//! Stored form, deterministic CBOR: `[salt: bytes32, payload: bytes | null]`.

use picket_ledger::{Hash, hash};

/// A salt.
pub type Salt = [u8; 32];

/// Commits to `bytes` under `salt` for this invocation.
pub fn commit(salt: &Salt, invocation: u64, bytes: &[u8]) -> Hash {
    hash::commitment(salt, invocation, bytes)
}

/// The stored form.
pub fn encode(salt: &Salt, payload: Option<&[u8]>) -> Vec<u8> {
    let mut stored = Vec::with_capacity(44 + payload.map_or(0, <[u8]>::len));
    stored.extend([0x82, 0x58, 32]);
    stored.extend(salt);
    match payload {
        None => stored.push(0xf6),
        Some(bytes) => {
            head(&mut stored, bytes.len() as u64);
            stored.extend(bytes);
        }
    }
    stored
}

/// Reads the stored form; `None` when it is damaged.
pub fn decode(stored: &[u8]) -> Option<(Salt, Option<&[u8]>)> {
    let rest = stored.strip_prefix(&[0x82, 0x58, 32])?;
    let (salt, rest) = rest.split_first_chunk::<32>()?;
    if rest == [0xf6] {
        return Some((*salt, None));
    }
    let (&first, after) = rest.split_first()?;
    let (length, bytes) = match first {
        0x40..=0x57 => (u64::from(first & 0x1f), after),
        0x58 => after.split_first().map(|(length, bytes)| (u64::from(*length), bytes))?,
        0x59 => after.split_first_chunk().map(|(length, bytes)| (u64::from(u16::from_be_bytes(*length)), bytes))?,
        0x5a => after.split_first_chunk().map(|(length, bytes)| (u64::from(u32::from_be_bytes(*length)), bytes))?,
        _ => return None,
    };
    // Only the shortest form of a length is written, so only that is read.
    let canonical = encode(salt, Some(bytes)).len() == stored.len();
    (bytes.len() as u64 == length && canonical).then_some((*salt, Some(bytes)))
}

fn head(stored: &mut Vec<u8>, length: u64) {
    #[expect(clippy::cast_possible_truncation, reason = "each arm bounds the length")]
    match length {
        0..=23 => stored.push(0x40 | length as u8),
        24..=0xff => stored.extend([0x58, length as u8]),
        0x100..=0xffff => {
            stored.push(0x59);
            stored.extend((length as u16).to_be_bytes());
        }
        _ => {
            stored.push(0x5a);
            stored.extend((length as u32).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_of_every_length_form_come_back() {
        let salt = [7; 32];
        for length in [0, 1, 23, 24, 255, 256, 65_535, 65_536, 1 << 20] {
            let payload = vec![b'x'; length];
            assert_eq!(decode(&encode(&salt, Some(&payload))), Some((salt, Some(payload.as_slice()))), "{length}");
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
