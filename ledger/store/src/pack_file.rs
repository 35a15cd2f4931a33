//! The file of a pack: its layout, and that of the values in the index which point into it.
//!
//! Layout of `<first>-<last>.pack` (the sequences of the commits in it, 16 hexadecimal digits each), all
//! integers little-endian: magic `PKTPACK1`, length of the list in bytes (u32); the list, with for each write
//!
//! | bytes | field |
//! |---|---|
//! | 0 | 1 = put, 2 = delete |
//! | 1–2 | length of the key (u16) |
//! | 3–6 | length of the value (u32) |
//! | 7–10 | CRC-32 of the value (u32) |
//! | 11– | key |
//!
//! then the SHA-256 of all bytes so far; then the values, first the small ones, then the large ones, each in the order of
//! the list. Large are those of more than [`INLINE_BYTES`], and payloads and their salts of any size: large values that
//! are no longer pointed at are punched out of the file, everything else stays, and what is erased must not stay.

use std::fs::File;
use std::os::unix::fs::FileExt;

use picket_ledger::hash::sha256;

use crate::StoreError;
use crate::layout::is_payload_key;
use crate::store::Write;

const MAGIC: &[u8; 8] = b"PKTPACK1";
const PUT: u8 = 1;
const DELETE: u8 = 2;
/// Bytes before the list: magic and length.
const HEAD_BYTES: usize = 12;
const WRITE_HEADER_BYTES: usize = 11;
/// Values up to this size in bytes stay in the index.
const INLINE_BYTES: u32 = 1024;
/// Largest value in bytes: lengths are u32.
const MAX_VALUE_BYTES: usize = 0xffff_ffff;
/// In the index, the first byte of a value that follows.
pub(crate) const INLINE: u8 = 0;
/// In the index, the first byte of a small value with its pack in front: the pack (u64, its last sequence), the value.
/// Earlier versions wrote [`INLINE`], which does not tell the pack.
pub(crate) const PACKED: u8 = 2;
/// In the index, the first byte of a pointer: pack (u64, its last sequence), offset (u64), length (u32), CRC-32 (u32).
pub(crate) const POINTER: u8 = 1;
const POINTER_BYTES: usize = 1 + 8 + 8 + 4 + 4;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    pub(crate) pack: u64,
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) check: u32,
}

/// A pack's write without its value.
pub(crate) struct Listed {
    pub(crate) key: Vec<u8>,
    /// `None` removes the key.
    pub(crate) value: Option<Place>,
}

/// Where a value is in its pack.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) check: u32,
    /// Stays out of the index, and can be punched out of the pack.
    pub(crate) large: bool,
}

fn is_large(key: &[u8], length: u32) -> bool {
    length > INLINE_BYTES || is_payload_key(key)
}

impl Place {
    pub(crate) fn pointer(self, pack: u64) -> Pointer {
        Pointer { pack, offset: self.offset, length: self.length, check: self.check }
    }
}

/// A pack's file in parts, and what its writes become in the index.
pub(crate) struct Built<'a> {
    /// Magic, length and list.
    front: Vec<u8>,
    /// Their SHA-256.
    hash: [u8; 32],
    values: Vec<&'a [u8]>,
    pub(crate) index: Vec<Write>,
}

impl Built<'_> {
    /// The file's bytes, in order.
    pub(crate) fn parts(&self) -> Vec<&[u8]> {
        let front = [self.front.as_slice(), &self.hash];
        front.into_iter().chain(self.values.iter().copied()).collect()
    }

    /// Length of the file in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.parts().iter().map(|part| u64::try_from(part.len()).unwrap_or(u64::MAX)).sum()
    }
}

/// Lays out the pack that ends with commit `last`.
pub(crate) fn build(last: u64, writes: &[Write]) -> Result<Built<'_>, StoreError> {
    let mut list = Vec::new();
    for (key, value) in writes {
        let too_large = |what, bytes, limit| StoreError::TooLarge { what, bytes, limit };
        let key_length = u16::try_from(key.len()).map_err(|_| too_large("key", key.len(), usize::from(u16::MAX)))?;
        let content = value.as_deref().unwrap_or_default();
        let length = u32::try_from(content.len()).map_err(|_| too_large("value", content.len(), MAX_VALUE_BYTES))?;
        list.push(if value.is_some() { PUT } else { DELETE });
        list.extend_from_slice(&key_length.to_le_bytes());
        list.extend_from_slice(&length.to_le_bytes());
        list.extend_from_slice(&crc32fast::hash(content).to_le_bytes());
        list.extend_from_slice(key);
    }
    let length = u32::try_from(list.len()).map_err(|_| StoreError::TooLarge {
        what: "list of a pack",
        bytes: list.len(),
        limit: MAX_VALUE_BYTES,
    })?;
    let front = [MAGIC.as_slice(), &length.to_le_bytes(), &list].concat();
    let hash = sha256(&front);
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for (key, value) in writes {
        if let Some(value) = value.as_deref() {
            let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
            if is_large(key, length) { large.push(value) } else { small.push(value) }
        }
    }
    let index = parse_list(&list)
        .unwrap_or_default()
        .into_iter()
        .zip(writes)
        .map(|(listed, (key, value))| {
            let stored = match (listed.value, value) {
                (Some(place), Some(_)) if place.large => Some(place.pointer(last).encode()),
                (Some(_), Some(value)) => Some(packed(last, value)),
                _ => None,
            };
            (key.clone(), stored)
        })
        .collect();
    Ok(Built { front, hash, values: [small, large].concat(), index })
}

/// Reads and verifies a pack's list; `None` when it is damaged.
pub(crate) fn read_list(file: &File) -> Option<Vec<Listed>> {
    let mut head = [0; HEAD_BYTES];
    file.read_exact_at(&mut head, 0).ok()?;
    let (magic, length) = head.split_first_chunk::<8>()?;
    let length = usize::try_from(u32::from_le_bytes(*length.first_chunk()?)).ok()?;
    let end = u64::try_from(HEAD_BYTES + length + 32).ok()?;
    // Before it is believed for an allocation.
    if magic != MAGIC || end > file.metadata().ok()?.len() {
        return None;
    }
    let mut front = vec![0; HEAD_BYTES + length + 32];
    file.read_exact_at(&mut front, 0).ok()?;
    let (front, hash) = front.split_at(HEAD_BYTES + length);
    if sha256(front) != hash {
        return None;
    }
    parse_list(&front[HEAD_BYTES..])
}

/// Length in bytes of the file that has this list.
pub(crate) fn file_bytes(list: &[Listed]) -> u64 {
    let length = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let values = list.iter().filter_map(|listed| listed.value);
    let keys: u64 = list.iter().map(|listed| length(WRITE_HEADER_BYTES + listed.key.len())).sum();
    length(HEAD_BYTES + 32) + keys + values.map(|value| u64::from(value.length)).sum::<u64>()
}

pub(crate) fn parse_list(list: &[u8]) -> Option<Vec<Listed>> {
    let mut writes = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let (header, after) = rest.split_first_chunk::<WRITE_HEADER_BYTES>()?;
        let key_length = usize::from(u16::from_le_bytes(*header[1..].first_chunk()?));
        let length = u32::from_le_bytes(*header[3..].first_chunk()?);
        let check = u32::from_le_bytes(*header[7..].first_chunk()?);
        let (key, after) = after.split_at_checked(key_length)?;
        let value = match header[0] {
            PUT => Some(Place { offset: 0, length, check, large: is_large(key, length) }),
            DELETE => None,
            _ => return None,
        };
        writes.push(Listed { key: key.to_vec(), value });
        rest = after;
    }
    let mut offset = u64::try_from(HEAD_BYTES + list.len() + 32).ok()?;
    for large in [false, true] {
        let places = writes.iter_mut().filter_map(|listed| listed.value.as_mut());
        for place in places.filter(|place| place.large == large) {
            place.offset = offset;
            offset += u64::from(place.length);
        }
    }
    Some(writes)
}

impl Pointer {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(POINTER_BYTES);
        bytes.push(POINTER);
        bytes.extend_from_slice(&self.pack.to_le_bytes());
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        bytes.extend_from_slice(&self.length.to_le_bytes());
        bytes.extend_from_slice(&self.check.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != POINTER_BYTES || bytes[0] != POINTER {
            return None;
        }
        Some(Self {
            pack: u64::from_le_bytes(*bytes[1..].first_chunk()?),
            offset: u64::from_le_bytes(*bytes[9..].first_chunk()?),
            length: u32::from_le_bytes(*bytes[17..].first_chunk()?),
            check: u32::from_le_bytes(*bytes[21..].first_chunk()?),
        })
    }
}

pub(crate) fn inline(value: &[u8]) -> Vec<u8> {
    [&[INLINE], value].concat()
}

/// A small value as the index keeps it.
pub(crate) fn packed(pack: u64, value: &[u8]) -> Vec<u8> {
    [[PACKED].as_slice(), &pack.to_le_bytes(), value].concat()
}

/// The value of what [`packed`] made.
pub(crate) fn unpacked(stored: &[u8]) -> Option<&[u8]> {
    stored.split_first().filter(|(kind, _)| **kind == PACKED)?.1.get(8..)
}

/// The pack that a value of the index came with; `None` when it does not say.
pub(crate) fn pack_of(stored: &[u8]) -> Option<u64> {
    match stored.split_first() {
        Some((&(POINTER | PACKED), rest)) => rest.first_chunk().map(|pack| u64::from_le_bytes(*pack)),
        _ => None,
    }
}

pub(crate) fn file_name(first: u64, last: u64) -> String {
    format!("{first:016x}-{last:016x}.pack")
}

pub(crate) fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (first, last) = name.strip_suffix(".pack")?.split_once('-')?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    Some((number(first)?, number(last)?)).filter(|(first, last)| file_name(*first, *last) == name)
}
