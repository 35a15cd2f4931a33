//! Entries on their way: verified against a pending checkpoint, and not yet sealed into a segment.
//!
//! Each box has one file, `pending/<origin>`, of records, each with the entries of one package:
//!
//! | bytes | |
//! |---|---|
//! | 8 | index of the first entry, big-endian |
//! | 4 | number of entries |
//! | 4 | bytes of the entries with their lengths |
//! | 32 | SHA-256 of all of the above and of the entries |
//! | … | each entry with its length in 4 bytes before it |
//!
//! A crash may leave a record half written, or lose those since the last [`Pending::sync`]: what does not hold or does not
//! continue is cut off, and the box is told to go on from there. Nothing here is evidence: what becomes a segment is
//! verified again as a whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use picket_ledger::Hash;
use picket_ledger::hash::{leaf_hash, sha256};
use picket_ledger::tree::CompactRange;

use crate::durable;
use crate::error::{AuditorError, Result};

const HEADER_BYTES: usize = 48;

/// No record that is written has more: the longest package and the lengths of its entries.
const MAX_RECORD_BYTES: usize = picket_ledger::segment::MAX_SEGMENT_BYTES + 4 * 256;

/// The pending entries of one box.
#[derive(Debug)]
pub struct Pending {
    path: PathBuf,
    /// `None` until something is written.
    file: Option<File>,
    /// The log with everything that is here.
    tree: CompactRange,
    /// What the file holds, without a gap.
    records: Vec<Record>,
    /// Bytes of the file; what is behind them was never acknowledged.
    length: u64,
    synced: bool,
    /// The root of the checkpoint under which all that is here was verified; `None` when there were several, or when an
    /// earlier process wrote some.
    under: Option<Hash>,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    first: u64,
    end: u64,
    /// Where its header starts.
    at: u64,
    bytes: usize,
}

impl Pending {
    /// Reads what continues `head`, and cuts off what does not hold.
    pub fn open(path: &Path, head: &CompactRange) -> Result<Self> {
        let mut pending = Self {
            path: path.to_path_buf(),
            file: None,
            tree: head.clone(),
            records: Vec::new(),
            length: 0,
            synced: true,
            under: None,
        };
        let wrap = |error| AuditorError::io("reading", path, error);
        let mut file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(pending),
            Err(error) => return Err(wrap(error)),
        };
        while let Some((record, entries)) = read_record(&mut file, pending.length).map_err(wrap)? {
            let next = pending.tree.size();
            if record.first > next {
                break;
            }
            // What lies below the head was sealed; its record stays for the sake of those behind it.
            for entry in entries.iter().skip(usize::try_from(next - record.first).unwrap_or(usize::MAX)) {
                pending.tree.push(leaf_hash(entry));
            }
            pending.length += (HEADER_BYTES + record.bytes) as u64;
            if record.end > head.size() {
                pending.records.push(record);
            }
        }
        file.set_len(pending.length).map_err(wrap)?;
        pending.file = Some(file);
        if pending.records.is_empty() {
            pending.clear(head)?;
        }
        Ok(pending)
    }

    /// The log with all pending entries.
    pub fn tree(&self) -> &CompactRange {
        &self.tree
    }

    /// The first entry that is neither sealed nor here.
    pub fn next(&self) -> u64 {
        self.tree.size()
    }

    /// Bytes of the entries that are here.
    pub fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.bytes).sum()
    }

    /// Whether all that is here was verified under the checkpoint with this root.
    pub fn is_under(&self, root: &Hash) -> bool {
        self.under.as_ref() == Some(root)
    }

    /// Appends entries that were verified under the checkpoint with this root, with their leaf hashes. They start at
    /// [`Pending::next`]. Not durable before [`Pending::sync`].
    ///
    /// # Errors
    /// I/O errors; nothing was appended then.
    pub fn append(&mut self, entries: &[Vec<u8>], leaves: &[Hash], root: &Hash) -> Result<()> {
        let first = self.next();
        let record = encode(first, entries);
        if let Err(error) = self.write(&record) {
            // A full disk, mostly: what is half there is cut off, here or by the next one who opens it.
            if let Some(file) = &self.file {
                let _ = file.set_len(self.length);
            }
            return Err(AuditorError::io("writing", &self.path, error));
        }
        self.under = match self.records.is_empty() {
            true => Some(*root),
            false => self.under.filter(|under| under == root),
        };
        let end = first + entries.len() as u64;
        self.records.push(Record { first, end, at: self.length, bytes: record.len() - HEADER_BYTES });
        self.length += record.len() as u64;
        self.synced = false;
        leaves.iter().for_each(|leaf| self.tree.push(*leaf));
        Ok(())
    }

    /// Makes what was appended durable: what an answer names as the next entry is still the next after a loss of power.
    pub fn sync(&mut self) -> Result<()> {
        if let (false, Some(file)) = (self.synced, &self.file) {
            file.sync_data().map_err(|error| AuditorError::io("syncing", &self.path, error))?;
            self.synced = true;
        }
        Ok(())
    }

    /// The entries from `first` to below `end`, both of which lie within what is here.
    ///
    /// # Errors
    /// I/O errors; [`AuditorError::Evidence`] when the file is not what was written.
    pub fn entries(&mut self, first: u64, end: u64) -> Result<Vec<Vec<u8>>> {
        let path = self.path.clone();
        let wrap = |error| AuditorError::io("reading", &path, error);
        let damaged = |message: &str| AuditorError::Evidence { path: path.clone(), message: message.into() };
        let mut all = Vec::new();
        let Some(file) = &mut self.file else { return Err(damaged("it is empty")) };
        for record in self.records.iter().filter(|record| record.end > first && record.first < end) {
            let (found, entries) =
                read_record(file, record.at).map_err(wrap)?.ok_or_else(|| damaged("a record does not hold"))?;
            if found.first != record.first || found.end != record.end {
                return Err(damaged("a record is another one"));
            }
            let wanted = first.max(record.first)..end.min(record.end);
            let indexed = (record.first..).zip(entries);
            all.extend(indexed.filter(|(index, _)| wanted.contains(index)).map(|(_, entry)| entry));
        }
        if all.len() as u64 == end.saturating_sub(first) { Ok(all) } else { Err(damaged("entries are missing")) }
    }

    /// Forgets what has been sealed.
    pub fn advance(&mut self, head: &CompactRange) -> Result<()> {
        self.records.retain(|record| record.end > head.size());
        if self.records.is_empty() || self.next() <= head.size() { self.clear(head) } else { Ok(()) }
    }

    /// Forgets everything. Crash here: the file comes back, and its entries are sealed already, or sent again.
    pub fn clear(&mut self, head: &CompactRange) -> Result<()> {
        self.file = None;
        self.records.clear();
        self.length = 0;
        self.synced = true;
        self.under = None;
        self.tree = head.clone();
        durable::remove(&self.path)
    }

    fn write(&mut self, record: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                if let Some(folder) = self.path.parent() {
                    durable::create_folder(folder).map_err(io::Error::other)?;
                }
                let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&self.path)?;
                // Its name is durable before anything in it is.
                durable::sync_folder_of(&self.path).map_err(io::Error::other)?;
                none.insert(options)
            }
        };
        file.seek(SeekFrom::Start(self.length))?;
        file.write_all(record)
    }
}

fn encode(first: u64, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut payload = Vec::new();
    for entry in entries {
        payload.extend_from_slice(&u32::try_from(entry.len()).unwrap_or(u32::MAX).to_be_bytes());
        payload.extend_from_slice(entry);
    }
    let mut record = first.to_be_bytes().to_vec();
    record.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_be_bytes());
    record.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    let digest = digest(&record, &payload);
    record.extend_from_slice(&digest);
    record.extend_from_slice(&payload);
    record
}

fn digest(start: &[u8], payload: &[u8]) -> Hash {
    sha256(&[start, payload].concat())
}

/// The record at this place; `None` for the end, and for bytes that are none.
fn read_record(file: &mut File, at: u64) -> io::Result<Option<(Record, Vec<Vec<u8>>)>> {
    file.seek(SeekFrom::Start(at))?;
    let mut header = [0; HEADER_BYTES];
    if !fill(file, &mut header)? {
        return Ok(None);
    }
    let (start, sum) = header.split_at(16);
    let number = |range: std::ops::Range<usize>| {
        start.get(range).unwrap_or_default().iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let (first, count) = (number(0..8), number(8..12));
    let bytes = usize::try_from(number(12..16)).unwrap_or(usize::MAX);
    let Some(end) = first.checked_add(count).filter(|_| bytes <= MAX_RECORD_BYTES) else { return Ok(None) };
    let mut payload = vec![0; bytes];
    if !fill(file, &mut payload)? || digest(start, &payload) != *sum {
        return Ok(None);
    }
    let mut entries = Vec::new();
    let mut rest = payload.as_slice();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((entry, after)) = after.split_at_checked(length) else { return Ok(None) };
        entries.push(entry.to_vec());
        rest = after;
    }
    let whole = entries.len() as u64 == count && rest.is_empty();
    Ok(whole.then_some((Record { first, end, at, bytes }, entries)))
}

fn fill(file: &mut File, into: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Hash = [1; 32];

    fn entries(range: std::ops::Range<u8>) -> Vec<Vec<u8>> {
        range.map(|n| vec![n; 1 + usize::from(n)]).collect()
    }

    fn append(pending: &mut Pending, range: std::ops::Range<u8>, root: Hash) {
        let entries = entries(range);
        let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        pending.append(&entries, &leaves, &root).unwrap();
    }

    fn tree(size: u8) -> CompactRange {
        let mut tree = CompactRange::new();
        entries(0..size).iter().for_each(|entry| tree.push(leaf_hash(entry)));
        tree
    }

    #[test]
    fn what_was_appended_is_there_after_a_restart_up_to_what_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pending/box-17");
        let mut pending = Pending::open(&path, &CompactRange::new()).unwrap();
        assert!(!path.exists());
        for range in [0..5, 5..6, 6..20] {
            append(&mut pending, range, ROOT);
        }
        pending.sync().unwrap();
        assert!(pending.is_under(&ROOT) && !pending.is_under(&[2; 32]));
        assert_eq!(pending.entries(3, 11).unwrap(), entries(3..11));
        assert_eq!(pending.tree(), &tree(20));
        drop(pending);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut pending = Pending::open(&path, &CompactRange::new()).unwrap();
            let next = u8::try_from(pending.next()).unwrap();
            assert!([0, 5, 6, 20].contains(&next), "{cut}: {next}");
            assert_eq!(pending.tree(), &tree(next));
            assert!(!pending.is_under(&ROOT), "nobody knows any more");
            // It goes on from there, whatever was torn.
            append(&mut pending, next..30, ROOT);
            assert_eq!(pending.entries(0, 30).unwrap(), entries(0..30));
        }
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            let pending = Pending::open(&path, &CompactRange::new()).unwrap();
            assert_eq!(pending.tree(), &tree(u8::try_from(pending.next()).unwrap()));
            assert!(pending.next() < 20);
        }
    }

    #[test]
    fn what_is_sealed_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("box-17");
        let mut pending = Pending::open(&path, &CompactRange::new()).unwrap();
        append(&mut pending, 0..5, ROOT);
        append(&mut pending, 5..9, [2; 32]);
        assert!(!pending.is_under(&ROOT) && !pending.is_under(&[2; 32]));
        pending.advance(&tree(6)).unwrap();
        assert_eq!((pending.next(), pending.entries(6, 9).unwrap()), (9, entries(6..9)));
        pending.sync().unwrap();
        let mut again = Pending::open(&path, &tree(6)).unwrap();
        assert_eq!((again.next(), again.entries(6, 9).unwrap()), (9, entries(6..9)));
        again.advance(&tree(9)).unwrap();
        assert!(!path.exists() && again.bytes() == 0);
        append(&mut again, 9..12, ROOT);
        assert!(again.is_under(&ROOT));
        // Somebody brought more by hand meanwhile: what is here is of no use.
        drop(again);
        assert_eq!(Pending::open(&path, &tree(15)).unwrap().next(), 15);
        assert!(!path.exists());
    }
}
