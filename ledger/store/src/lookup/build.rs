//! A run in memory: filled entry by entry, or from smaller runs, and written as a file.

use std::collections::BTreeMap;

use picket_ledger::Entry;
use picket_ledger::hash::Hash;

use super::BLOCK;
use super::terms::{Term, Terms};
use crate::layout::TILE;

/// Distinct values of one field in a run; with more the field is not indexed there, so that callers who make up a
/// model version for every inference do not make the index as large as the log.
const MAX_VALUES: usize = 1024;
/// Groups of ids: each is read and checked alone.
pub(super) const GROUPS: usize = 64;
/// Buckets of a group.
pub(super) const BUCKETS: usize = 64;
pub(super) const MAGIC: &[u8; 8] = b"PKTLOOK1";
/// Above so many members a bitmap of a block is smaller than a list.
pub(super) const DENSE: usize = 4096;
pub(super) const BITMAP_BYTES: usize = 8192;

/// The entries `start..end` of one block.
pub(super) struct Builder {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Of each tile from that of `start` on: the earliest and the latest wall clock.
    pub(super) zones: Vec<(u64, u64)>,
    pub(super) postings: BTreeMap<Term, Vec<u16>>,
    /// Fields with too many values: see [`MAX_VALUES`].
    pub(super) overflown: u8,
    pub(super) ids: Vec<(u32, u16)>,
}

impl Builder {
    pub(super) fn new(start: u64) -> Self {
        Self { start, end: start, zones: Vec::new(), postings: BTreeMap::new(), overflown: 0, ids: Vec::new() }
    }

    /// Adds the entry at `end`. What does not decode has no terms: no query that asks for any finds it.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let tile = usize::try_from(self.end / TILE - self.start / TILE).unwrap_or(usize::MAX);
        if self.zones.len() <= tile {
            self.zones.push((u64::MAX, 0));
        }
        let place = offset(self.end);
        self.end += 1;
        let Ok(entry) = Entry::decode(bytes) else { return };
        if let Some((earliest, latest)) = self.zones.last_mut() {
            *earliest = (*earliest).min(entry.wall_ms);
            *latest = (*latest).max(entry.wall_ms);
        }
        let Terms { terms, ids } = Terms::of(&entry);
        for term in terms {
            if self.overflown & term.0.bit() == 0 {
                self.postings.entry(term).or_default().push(place);
            }
        }
        self.ids.extend(ids.into_iter().map(|id| (id, place)));
    }

    /// Adds the run that follows.
    pub(super) fn join(&mut self, next: Self) {
        debug_assert_eq!(self.end, next.start);
        // Runs meet at tiles, so no tile has zones in both.
        self.zones.extend(next.zones);
        self.end = next.end;
        self.overflown |= next.overflown;
        for (term, places) in next.postings {
            self.postings.entry(term).or_default().extend(places);
        }
        self.ids.extend(next.ids);
    }

    fn bound_fields(&mut self) {
        for field in super::terms::Field::ALL {
            if self.postings.keys().filter(|term| term.0 == field).count() > MAX_VALUES {
                self.overflown |= field.bit();
            }
        }
        let overflown = self.overflown;
        self.postings.retain(|term, _| overflown & term.0.bit() == 0);
    }

    /// The file: magic, length of the header (u32), the header, its CRC-32 (u32), then the parts that it lists.
    /// All integers little-endian. A part in a list is offset (u32, from the end of the header's CRC), length (u32)
    /// and CRC-32 (u32).
    ///
    /// | header | |
    /// |---|---|
    /// | start, end | u64 each |
    /// | root | 32 bytes, of the tree of the first `end` entries: which log this is about |
    /// | overflown | u8, a bit a field |
    /// | zones | part: the earliest and the latest wall clock of each tile, u64 each |
    /// | ids | 64 parts, by the first 6 bits of the id's hash: the ends of 64 buckets (u32 each, by the next 6 bits), then for each id the next 16 bits and its place in the block (u16 each) |
    /// | terms | count (u32), then of each: field (u8), hash of the value (u64), number of places (u32), part |
    ///
    /// The places of a term are u16 each, or, of more than 4096, a bitmap of 8192 bytes.
    pub(super) fn encode(mut self, root: &Hash) -> Vec<u8> {
        self.bound_fields();
        let mut parts = Parts::default();
        let mut header = Vec::new();
        header.extend_from_slice(&self.start.to_le_bytes());
        header.extend_from_slice(&self.end.to_le_bytes());
        header.extend_from_slice(root);
        header.push(self.overflown);
        let zones: Vec<u8> =
            self.zones.iter().flat_map(|(from, to)| [from.to_le_bytes(), to.to_le_bytes()]).flatten().collect();
        parts.add(&mut header, &zones);
        self.ids.sort_unstable();
        self.ids.dedup();
        let mut rest = self.ids.as_slice();
        for group in 0..GROUPS {
            let (ids, behind) = rest.split_at(rest.partition_point(|(id, _)| split_id(*id).0 <= group));
            rest = behind;
            let mut part = Vec::with_capacity(BUCKETS * 4 + ids.len() * 4);
            for bucket in 0..BUCKETS {
                let ends = ids.partition_point(|(id, _)| split_id(*id).1 <= bucket);
                part.extend_from_slice(&narrow(ends).to_le_bytes());
            }
            for (id, place) in ids {
                part.extend_from_slice(&split_id(*id).2.to_le_bytes());
                part.extend_from_slice(&place.to_le_bytes());
            }
            parts.add(&mut header, &part);
        }
        header.extend_from_slice(&narrow(self.postings.len()).to_le_bytes());
        for ((field, hash), places) in &self.postings {
            header.push(*field as u8);
            header.extend_from_slice(&hash.to_le_bytes());
            header.extend_from_slice(&narrow(places.len()).to_le_bytes());
            parts.add(&mut header, &encode_places(places));
        }
        let mut file = MAGIC.to_vec();
        file.extend_from_slice(&narrow(header.len()).to_le_bytes());
        file.extend_from_slice(&header);
        let check = crc32fast::hash(&file);
        file.extend_from_slice(&check.to_le_bytes());
        file.extend_from_slice(&parts.bytes);
        file
    }
}

/// Its place in its block.
pub(super) fn offset(index: u64) -> u16 {
    u16::try_from(index % BLOCK).expect("a block has 2^16 entries")
}

/// Group, bucket, and the rest of an id's 28 bits.
pub(super) fn split_id(id: u32) -> (usize, usize, u16) {
    let six = |shift: u32| usize::try_from((id >> shift) & 0x3f).unwrap_or(0);
    (six(22), six(16), u16::try_from(id & 0xffff).unwrap_or(0))
}

fn encode_places(places: &[u16]) -> Vec<u8> {
    if places.len() <= DENSE {
        return places.iter().flat_map(|place| place.to_le_bytes()).collect();
    }
    let mut bitmap = vec![0; BITMAP_BYTES];
    for place in places {
        bitmap[usize::from(place / 8)] |= 1 << (place % 8);
    }
    bitmap
}

#[derive(Default)]
struct Parts {
    bytes: Vec<u8>,
}

impl Parts {
    fn add(&mut self, header: &mut Vec<u8>, part: &[u8]) {
        for number in [narrow(self.bytes.len()), narrow(part.len()), crc32fast::hash(part)] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        self.bytes.extend_from_slice(part);
    }
}

/// A block has at most 65,536 entries with at most 3 ids and some dozens of rules each: far below 4 GiB.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("a run is far below 4 GiB")
}
