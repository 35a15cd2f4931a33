//! Writing a segment piece by piece, and reading a few of its entries: for a store that keeps segments as files and
//! must not hold one in memory to read an entry.

use super::{MAGIC, MAX_SEGMENT_BYTES, SegmentError, VERSION, check_parts};
use crate::cbor::{CborError, Reader, Writer};
use crate::hash::Hash;

/// Room in front of the entries for what precedes them: an origin of 256 bytes and 64 hashes fit.
const FRONT_BYTES: usize = 4096;

/// The entries of a segment that is being written, encoded.
#[derive(Debug)]
pub struct EntryList {
    /// Room for the front, then the entries.
    bytes: Vec<u8>,
}

/// A segment's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    buffer: Vec<u8>,
    start: usize,
    /// Where the first entry's item starts, in bytes from the start of the segment.
    pub entries_at: usize,
    /// Where the item of the checkpoint starts, which is where the entries end.
    pub entries_end: usize,
    /// Where the text of the checkpoint starts; it goes to the end.
    pub text_at: usize,
}

impl Encoded {
    /// The segment.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

impl Default for EntryList {
    fn default() -> Self {
        Self { bytes: vec![0; FRONT_BYTES] }
    }
}

impl EntryList {
    /// Appends an entry.
    pub fn push(&mut self, entry: &[u8]) {
        let mut writer = Writer::over(std::mem::take(&mut self.bytes));
        writer.bytes(entry);
        self.bytes = writer.into_bytes();
    }

    /// Bytes of the entries, with their heads.
    #[must_use]
    pub fn length(&self) -> usize {
        self.bytes.len() - FRONT_BYTES
    }

    /// Completes the segment with the first `count` entries, which take `length` bytes.
    ///
    /// # Errors
    /// [`SegmentError`] when a limit is passed. Whether the segment holds is not looked at.
    pub fn finish(
        self,
        origin: &str,
        first: u64,
        frontier: &[Hash],
        (count, length): (usize, usize),
        checkpoint: &str,
    ) -> Result<Encoded, SegmentError> {
        // The lengths of the entries are the caller's to keep: a segment of them is verified when it is read.
        check_parts(origin, first, frontier.len(), std::iter::repeat_n(1, count), checkpoint)?;
        let mut front = Writer::with_capacity(FRONT_BYTES);
        front.array(7);
        front.text(MAGIC);
        front.unsigned(VERSION);
        front.text(origin);
        front.unsigned(first);
        front.array(frontier.len());
        frontier.iter().for_each(|hash| front.bytes(hash));
        front.array(count);
        let front = front.into_bytes();
        let mut buffer = self.bytes;
        buffer.truncate(FRONT_BYTES + length);
        let start = FRONT_BYTES - front.len();
        buffer[start..FRONT_BYTES].copy_from_slice(&front);
        let mut writer = Writer::over(buffer);
        writer.text(checkpoint);
        let buffer = writer.into_bytes();
        if buffer.len() - start > MAX_SEGMENT_BYTES {
            return Err(SegmentError::TooLarge(buffer.len() - start));
        }
        let text_at = buffer.len() - start - checkpoint.len();
        Ok(Encoded { buffer, start, entries_at: front.len(), entries_end: front.len() + length, text_at })
    }
}

/// Reads entries that follow each other in a segment, from their bytes there.
///
/// # Errors
/// [`CborError`] unless the bytes are byte strings from the first to the last.
pub fn read_entries(bytes: &[u8]) -> Result<Vec<&[u8]>, CborError> {
    let mut reader = Reader::new(bytes);
    let mut entries = Vec::new();
    while reader.position() < bytes.len() {
        entries.push(reader.bytes()?);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Segment;

    #[test]
    fn a_segment_in_parts_is_the_segment() {
        let entries: Vec<Vec<u8>> = [1, 23, 24, 255, 256, 70_000].map(|length| vec![7; length]).to_vec();
        let segment = Segment {
            origin: "box-1".into(),
            first: 3,
            frontier: vec![[1; 32], [2; 32]],
            entries: entries.clone(),
            checkpoint: "note\n".into(),
        };
        let mut list = EntryList::default();
        entries.iter().for_each(|entry| list.push(entry));
        let length = list.length();
        list.push(b"one too many");
        let encoded = list.finish("box-1", 3, &segment.frontier, (entries.len(), length), "note\n").unwrap();
        let bytes = encoded.bytes();
        assert_eq!(bytes, segment.encode().unwrap());
        assert_eq!(&bytes[encoded.text_at..], b"note\n");
        assert_eq!(read_entries(&bytes[encoded.entries_at..encoded.entries_end]).unwrap(), entries);
        read_entries(&bytes[encoded.entries_at..encoded.entries_end - 1]).unwrap_err();
        assert_eq!(read_entries(&[]).unwrap(), Vec::<&[u8]>::new());
    }
}
