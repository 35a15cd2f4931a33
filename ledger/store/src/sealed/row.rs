//! What the index keeps of a sealed file, and the file's name.
//!
//! The row of the file that ends at size E has the key `s` E (u64, big-endian). Its value, integers little-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 0 | 1 = there, 2 = lost, and that was accepted |
//! | 1–8 | first (u64) |
//! | 9–12 | length of the file in bytes (u32) |
//! | 13–44 | SHA-256 of the file |
//! | 45–48 | where the entries end (u32) |
//! | 49–52 | where the text of the checkpoint starts (u32) |
//! | 53–56 | CRC-32 of that text |
//! | 57– | for each chunk of entries: index of its first entry minus `first`, where it starts, its CRC-32 (u32 each) |
//!
//! A chunk is what is read to get at one entry: up to a tile of entries and [`CHUNK_BYTES`]. The row is derived from the
//! file: lost rows are made again by reading it.

use picket_ledger::hash::{Hash, from_hex, sha256, to_hex};
use picket_ledger::segment::SegmentRef;

use crate::layout::TILE;

/// Bytes of entries after which a chunk ends.
pub(super) const CHUNK_BYTES: usize = 128 * 1024;
const THERE: u8 = 1;
const LOST: u8 = 2;

/// A sealed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) first: u64,
    pub(crate) end: u64,
    /// Length of the file.
    pub(crate) bytes: u32,
    /// SHA-256 of the file.
    pub(crate) hash: Hash,
    /// The file is not there or damaged, and that was accepted.
    pub(crate) lost: bool,
    pub(super) entries_end: u32,
    pub(super) text_at: u32,
    pub(super) text_check: u32,
    pub(super) chunks: Vec<Chunk>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Its first entry, counted from that of the file.
    pub(super) entry: u32,
    /// Where it starts in the file.
    pub(super) at: u32,
    pub(super) check: u32,
}

/// Name of the file with these entries and bytes.
pub(crate) fn file_name(first: u64, end: u64, hash: &Hash) -> String {
    format!("{first:020}-{end:020}-{}.segment", to_hex(hash))
}

/// First entry, end, and SHA-256 of a file's name; `None` for another kind of file.
pub(crate) fn parse_name(name: &str) -> Option<(u64, u64, Hash)> {
    let mut parts = name.strip_suffix(".segment")?.split('-');
    let first = parts.next()?.parse().ok()?;
    let end = parts.next()?.parse().ok()?;
    let hash = from_hex(parts.next()?).ok()?;
    (file_name(first, end, &hash) == name && first < end).then_some((first, end, hash))
}

pub(crate) fn row_key(end: u64) -> Vec<u8> {
    [b"s", end.to_be_bytes().as_slice()].concat()
}

/// The first key after all rows.
pub(crate) const ROWS_END: &[u8] = b"t";

impl Row {
    pub(crate) fn name(&self) -> String {
        file_name(self.first, self.end, &self.hash)
    }

    /// Lays out the chunks of a file. `None` unless it is a segment.
    pub(super) fn of(file: &[u8], segment: &SegmentRef<'_>) -> Option<Self> {
        let place = |part: &[u8]| u32::try_from(part.as_ptr().addr().checked_sub(file.as_ptr().addr())?).ok();
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut layout = Chunks::default();
        let mut end = 0;
        for (index, entry) in (segment.first..).zip(&segment.entries) {
            // Each is preceded by its head; the first starts behind the head of their array, which is never shown.
            let at = place(entry)? - u32::try_from(head_bytes(entry.len())).ok()?;
            if layout.starts(index, usize::try_from(at).ok()?) {
                let entry = u32::try_from(index - segment.first).ok()?;
                chunks.push(Chunk { entry, at, check: 0 });
            }
            end = place(entry)? + u32::try_from(entry.len()).ok()?;
        }
        let mut row = Self {
            first: segment.first,
            end: segment.first + u64::try_from(segment.entries.len()).ok()?,
            bytes: u32::try_from(file.len()).ok()?,
            hash: sha256(file),
            lost: false,
            entries_end: end,
            text_at: place(segment.checkpoint.as_bytes())?,
            text_check: crc32fast::hash(segment.checkpoint.as_bytes()),
            chunks,
        };
        row.check(file)?;
        Some(row)
    }

    /// Fills the checksums of the chunks in.
    pub(super) fn check(&mut self, file: &[u8]) -> Option<()> {
        for number in 0..self.chunks.len() {
            let (start, end) = self.chunk_place(number)?;
            let bytes = file.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)?;
            self.chunks[number].check = crc32fast::hash(bytes);
        }
        Some(())
    }

    /// Where a chunk starts and ends in the file.
    pub(super) fn chunk_place(&self, number: usize) -> Option<(u32, u32)> {
        let start = self.chunks.get(number)?.at;
        Some((start, self.chunks.get(number + 1).map_or(self.entries_end, |next| next.at)))
    }

    /// The chunk that an entry is in.
    pub(super) fn chunk_of(&self, index: u64) -> Option<usize> {
        let entry = u32::try_from(index.checked_sub(self.first)?).ok()?;
        self.chunks.partition_point(|chunk| chunk.entry <= entry).checked_sub(1)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![if self.lost { LOST } else { THERE }];
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.bytes.to_le_bytes());
        bytes.extend_from_slice(&self.hash);
        for number in [self.entries_end, self.text_at, self.text_check] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for chunk in &self.chunks {
            for number in [chunk.entry, chunk.at, chunk.check] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        bytes
    }

    /// Reads what [`Row::encode`] wrote; `None` for anything else.
    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let end = u64::from_be_bytes(key.strip_prefix(b"s")?.try_into().ok()?);
        let (&state, rest) = value.split_first()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (bytes, rest) = rest.split_first_chunk()?;
        let (hash, rest) = rest.split_first_chunk::<32>()?;
        let (numbers, rest) = rest.as_chunks::<4>();
        let mut numbers = numbers.iter().map(|number| u32::from_le_bytes(*number));
        let (entries_end, text_at, text_check) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let numbers: Vec<u32> = numbers.collect();
        let (chunks, over) = numbers.as_chunks::<3>();
        let first = u64::from_le_bytes(*first);
        if !rest.is_empty() || !over.is_empty() || first >= end || ![THERE, LOST].contains(&state) {
            return None;
        }
        let chunks = chunks.iter().map(|[entry, at, check]| Chunk { entry: *entry, at: *at, check: *check }).collect();
        Some(Self {
            first,
            end,
            bytes: u32::from_le_bytes(*bytes),
            hash: *hash,
            lost: state == LOST,
            entries_end,
            text_at,
            text_check,
            chunks,
        })
    }

    /// The row of a file that is lost before anything is known of what is in it.
    pub(super) fn lost(first: u64, end: u64, hash: Hash) -> Self {
        let (entries_end, text_at, text_check) = (0, 0, 0);
        Self { first, end, bytes: 0, hash, lost: true, entries_end, text_at, text_check, chunks: Vec::new() }
    }
}

/// Decides where chunks start.
#[derive(Default)]
pub(super) struct Chunks {
    start: Option<usize>,
}

impl Chunks {
    /// Whether the entry at this index, which starts at this place, starts a chunk.
    pub(super) fn starts(&mut self, index: u64, at: usize) -> bool {
        let starts = index.is_multiple_of(TILE) || self.start.is_none_or(|start| at - start > CHUNK_BYTES);
        if starts {
            self.start = Some(at);
        }
        starts
    }
}

/// Bytes of the head of a byte string: RFC 8949 section 3.
fn head_bytes(length: usize) -> usize {
    match length {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use picket_ledger::Segment;
    use picket_ledger::segment::parts::read_entries;

    use super::*;

    #[test]
    fn a_row_survives_its_bytes_and_finds_each_entry() {
        let entries: Vec<Vec<u8>> = (0..700u32).map(|n| vec![1; usize::try_from(n % 7).unwrap() * 300 + 1]).collect();
        let segment = Segment {
            origin: "box-1".into(),
            first: 300,
            frontier: vec![[0; 32]; 4],
            entries: entries.clone(),
            checkpoint: "text".into(),
        };
        let file = segment.encode().unwrap();
        let row = Row::of(&file, &SegmentRef::parse(&file).unwrap()).unwrap();
        assert_eq!(Row::decode(&row_key(row.end), &row.encode()), Some(row.clone()));
        assert_eq!(parse_name(&row.name()), Some((300, 1000, sha256(&file))));
        for (index, entry) in (300..).zip(&entries) {
            let number = row.chunk_of(index).unwrap();
            let (start, end) = row.chunk_place(number).unwrap();
            let bytes = &file[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()];
            assert_eq!(crc32fast::hash(bytes), row.chunks[number].check);
            let skip = usize::try_from(index - 300).unwrap() - usize::try_from(row.chunks[number].entry).unwrap();
            assert_eq!(read_entries(bytes).unwrap()[skip], entry);
        }
        let text = &file[usize::try_from(row.text_at).unwrap()..];
        assert_eq!(text, b"text");
        for length in 0..row.encode().len() {
            let cut = Row::decode(&row_key(row.end), &row.encode()[..length]);
            assert_ne!(cut, Some(row.clone()));
        }
    }
}
