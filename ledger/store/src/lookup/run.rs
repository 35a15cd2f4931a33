//! A run as a file: opened by its header, read part by part, each checked by its CRC-32.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use picket_ledger::hash::Hash;

use super::bits::Bits;
use super::build::{BITMAP_BYTES, BUCKETS, Builder, DENSE, GROUPS, MAGIC, offset, split_id};
use super::terms::{Field, Term};
use super::{BLOCK, Query};
use crate::layout::TILE;
use crate::reader::Reader;

/// The longest header that is read, in bytes: 7 fields of 1024 values, 25 bytes each, and the fixed parts.
const MAX_HEADER: usize = 512 * 1024;

/// A file that is not what was written, or is about another log. It is removed and built again.
#[derive(Debug)]
pub(super) struct Unsound;

#[derive(Clone, Copy)]
struct Part {
    offset: u64,
    length: usize,
    check: u32,
}

pub(super) struct Run {
    pub(super) path: PathBuf,
    pub(super) start: u64,
    pub(super) end: u64,
    root: Hash,
    overflown: u8,
    zones: Part,
    ids: Vec<Part>,
    terms: BTreeMap<Term, (usize, Part)>,
    file: File,
    length: u64,
    /// Where the parts begin.
    base: u64,
    /// Whether it is about this log, once that was looked at.
    of_this_log: OnceLock<bool>,
}

impl Run {
    pub(super) fn open(path: &Path) -> Result<Self, Unsound> {
        let file = File::open(path).map_err(|_| Unsound)?;
        let length = file.metadata().map_err(|_| Unsound)?.len();
        let mut front = [0; 12];
        file.read_exact_at(&mut front, 0).map_err(|_| Unsound)?;
        let (magic, header_length) = front.split_at(8);
        let header_length = header_length.first_chunk().copied().map_or(0, u32::from_le_bytes);
        let header_length = usize::try_from(header_length).map_err(|_| Unsound)?;
        if magic != MAGIC || header_length > MAX_HEADER {
            return Err(Unsound);
        }
        let mut header = vec![0; header_length + 4];
        file.read_exact_at(&mut header, 12).map_err(|_| Unsound)?;
        let (header, check) = header.split_at(header_length);
        let mut sum = crc32fast::Hasher::new();
        sum.update(&front);
        sum.update(header);
        if sum.finalize().to_le_bytes() != check {
            return Err(Unsound);
        }
        let base = u64::try_from(header_length + 16).map_err(|_| Unsound)?;
        Self::of_header(path, file, length, base, header).ok_or(Unsound)
    }

    fn of_header(path: &Path, file: File, length: u64, base: u64, mut header: &[u8]) -> Option<Self> {
        let header = &mut header;
        let (start, end, root) = (number(header)?, number(header)?, take::<32>(header)?);
        let [overflown] = take(header)?;
        let zones = part(header)?;
        let ids = (0..GROUPS).map(|_| part(header)).collect::<Option<Vec<_>>>()?;
        let count = u32::from_le_bytes(take(header)?);
        let mut terms = BTreeMap::new();
        for _ in 0..count {
            let [field] = take(header)?;
            let term = (Field::from_number(field)?, number(header)?);
            let places = usize::try_from(u32::from_le_bytes(take(header)?)).ok()?;
            terms.insert(term, (places, part(header)?));
        }
        let in_block = start < end && start / BLOCK == (end - 1) / BLOCK;
        let tiles = in_block.then(|| (end - 1) / TILE - start / TILE + 1)?;
        let fits = u64::try_from(zones.length).ok()? == tiles * 16 && header.is_empty();
        let path = path.to_owned();
        let of_this_log = OnceLock::new();
        fits.then_some(Self { path, start, end, root, overflown, zones, ids, terms, file, length, base, of_this_log })
    }

    /// Whether the entries that it speaks of are those of this log: its root is that of their tree.
    pub(super) fn is_of(&self, reader: &Reader) -> bool {
        let same = || reader.tree_at(self.end).is_ok_and(|tree| tree.root() == self.root);
        *self.of_this_log.get_or_init(same)
    }

    /// The places in the block that may fit; others do not.
    pub(super) fn candidates(&self, query: &Query) -> Result<Bits, Unsound> {
        let mut bits = Bits::of(offset(self.start), offset(self.end - 1));
        if let Some(id) = query.id_hash() {
            bits.and(&self.find(id)?);
        }
        for wanted in query.terms() {
            if wanted.iter().any(|term| self.overflown & term.0.bit() != 0) {
                continue;
            }
            let mut any = Bits::none();
            for place in wanted.iter().filter_map(|term| self.terms.get(term)) {
                self.add_places(place, &mut any)?;
            }
            bits.and(&any);
        }
        if query.times != (0..u64::MAX) && !bits.is_empty() {
            for (position, (from, to)) in self.zones()?.into_iter().enumerate() {
                if from >= query.times.end || to < query.times.start {
                    let tile = self.start / TILE + u64::try_from(position).map_err(|_| Unsound)?;
                    bits.clear_tile(offset(tile * TILE));
                }
            }
        }
        Ok(bits)
    }

    fn find(&self, id: u32) -> Result<Bits, Unsound> {
        let (group, bucket, key) = split_id(id);
        let part = self.read(self.ids[group])?;
        let (ends, pairs) = part.split_at_checked(BUCKETS * 4).ok_or(Unsound)?;
        let end_of = |bucket: usize| {
            let bytes = ends.get(bucket * 4..)?.first_chunk()?;
            usize::try_from(u32::from_le_bytes(*bytes)).ok()
        };
        let start = bucket.checked_sub(1).map_or(Some(0), end_of).ok_or(Unsound)?;
        let end = end_of(bucket).ok_or(Unsound)?;
        let (pairs, _) = pairs.as_chunks::<4>();
        let mut found = Bits::none();
        for [low, high, place_low, place_high] in pairs.get(start..end).ok_or(Unsound)? {
            if u16::from_le_bytes([*low, *high]) == key {
                found.set(u16::from_le_bytes([*place_low, *place_high]));
            }
        }
        Ok(found)
    }

    fn add_places(&self, (count, part): &(usize, Part), bits: &mut Bits) -> Result<(), Unsound> {
        let bytes = self.read(*part)?;
        if *count > DENSE {
            let bitmap: &[u8; BITMAP_BYTES] = bytes.as_slice().try_into().map_err(|_| Unsound)?;
            bits.or_bitmap(bitmap);
            return Ok(());
        }
        let (places, _) = bytes.as_chunks::<2>();
        for place in places {
            bits.set(u16::from_le_bytes(*place));
        }
        Ok(())
    }

    fn zones(&self) -> Result<Vec<(u64, u64)>, Unsound> {
        let bytes = self.read(self.zones)?;
        let (zones, _) = bytes.as_chunks::<16>();
        let half = |bytes: &[u8]| bytes.first_chunk().copied().map_or(0, u64::from_le_bytes);
        Ok(zones.iter().map(|zone| (half(&zone[..8]), half(&zone[8..]))).collect())
    }

    /// All of it, to be merged with others.
    pub(super) fn load(&self) -> Result<Builder, Unsound> {
        let mut builder = Builder::new(self.start);
        builder.end = self.end;
        builder.overflown = self.overflown;
        builder.zones = self.zones()?;
        for (term, place) in &self.terms {
            let mut bits = Bits::none();
            self.add_places(place, &mut bits)?;
            builder.postings.insert(*term, bits.places());
        }
        for (group, part) in self.ids.iter().enumerate() {
            let bytes = self.read(*part)?;
            let (ends, pairs) = bytes.split_at_checked(BUCKETS * 4).ok_or(Unsound)?;
            let (ends, _) = ends.as_chunks::<4>();
            let (pairs, _) = pairs.as_chunks::<4>();
            for (position, [low, high, place_low, place_high]) in pairs.iter().enumerate() {
                let position = u32::try_from(position).map_err(|_| Unsound)?;
                let bucket = ends.partition_point(|end| u32::from_le_bytes(*end) <= position);
                let above = u32::try_from(group * BUCKETS + bucket).map_err(|_| Unsound)?;
                let id = above << 16 | u32::from(u16::from_le_bytes([*low, *high]));
                builder.ids.push((id, u16::from_le_bytes([*place_low, *place_high])));
            }
        }
        Ok(builder)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.length
    }

    fn read(&self, part: Part) -> Result<Vec<u8>, Unsound> {
        let start = self.base + part.offset;
        // Before memory is taken for it.
        if start.saturating_add(u64::try_from(part.length).map_err(|_| Unsound)?) > self.length {
            return Err(Unsound);
        }
        let mut bytes = vec![0; part.length];
        self.file.read_exact_at(&mut bytes, start).map_err(|_| Unsound)?;
        if crc32fast::hash(&bytes) == part.check { Ok(bytes) } else { Err(Unsound) }
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_le_bytes)
}

fn part(bytes: &mut &[u8]) -> Option<Part> {
    let offset = u64::from(u32::from_le_bytes(take(bytes)?));
    let length = usize::try_from(u32::from_le_bytes(take(bytes)?)).ok()?;
    Some(Part { offset, length, check: u32::from_le_bytes(take(bytes)?) })
}
