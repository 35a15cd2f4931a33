//! Sealed segments: runs of entries in immutable files that anyone can verify with the public key alone.
//!
//! Entries come from the journal into pieces in the base store, and once their tile is full and a signed checkpoint
//! stands at its end, into a file of their own in the format of a segment (`docs/ledger-format.md`). From then on they
//! are read from there, and the pieces are removed. The base keeps a row for each file (`row.rs`), derived from it.

mod folder;
mod opening;
mod row;
mod seal;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use picket_ledger::segment::parts::read_entries;

use crate::StoreError;
use crate::layout::TILE;
use crate::store::{Store, Write};

pub(crate) use folder::{SegmentFiles, SegmentFolder};
pub(crate) use row::Row;

/// What can be done about a sealed file that is lost.
const ADVICE: &str = "put the file back from a copy, or fetch the segment again: the auditor has the same entries; then \
                      run verify";

/// The sealed files of a log.
pub(crate) struct Sealed {
    folder: Box<dyn SegmentFolder>,
    /// By end. Each continues the one before; none is below what was pruned.
    files: RwLock<BTreeMap<u64, Arc<Row>>>,
    /// Counts the changes of `files`: whoever read pieces that were sealed meanwhile reads again.
    generation: AtomicU64,
    /// What goes to the base with files that are there already. Kept until the base has it.
    unwritten: Mutex<Vec<Write>>,
    /// Files that end here or before are removed once the base knows it durably.
    pruned_to: AtomicU64,
    /// Bytes that removed files gave back.
    freed: AtomicU64,
    /// Entries from this index on cannot be sealed: no signed checkpoint lies within reach.
    stuck: AtomicU64,
}

impl Sealed {
    pub(crate) fn new(folder: Box<dyn SegmentFolder>) -> Self {
        Self {
            folder,
            files: RwLock::default(),
            generation: AtomicU64::new(0),
            unwritten: Mutex::default(),
            pruned_to: AtomicU64::new(0),
            freed: AtomicU64::new(0),
            stuck: AtomicU64::new(u64::MAX),
        }
    }

    fn files(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u64, Arc<Row>>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Entries below this index are in sealed files, if not pruned. 0 without any.
    pub(crate) fn end(&self) -> u64 {
        self.files().keys().next_back().copied().unwrap_or(0)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The files that hold entries of a range.
    pub(crate) fn within(&self, from: u64, to: u64) -> Vec<Arc<Row>> {
        let files = self.files();
        let rows = files.range(from.saturating_add(1)..).map(|(_, row)| row);
        rows.take_while(|row| row.first < to).map(Arc::clone).collect()
    }

    /// The file that holds an entry.
    pub(crate) fn find(&self, index: u64) -> Option<Arc<Row>> {
        let files = self.files();
        let (_, row) = files.range(index.checked_add(1)?..).next()?;
        (row.first <= index).then(|| Arc::clone(row))
    }

    /// The file that ends with the checkpoint of this size.
    pub(crate) fn ending(&self, size: u64) -> Option<Arc<Row>> {
        self.files().get(&size).map(Arc::clone)
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files().values().map(|row| u64::from(row.bytes)).sum()
    }

    /// The entries from `index` on that are read together.
    pub(crate) fn entries(&self, row: &Row, index: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        let damaged = || self.damaged(row, "its bytes fail their checksum");
        if row.lost {
            return Err(self.damaged(row, "it was lost, and that was accepted"));
        }
        let number = row.chunk_of(index).ok_or_else(damaged)?;
        let (start, end) = row.chunk_place(number).ok_or_else(damaged)?;
        let chunk = row.chunks[number];
        let length = usize::try_from(end.saturating_sub(start)).map_err(|_| damaged())?;
        let bytes = self.folder.read(&row.name(), u64::from(start), length)?;
        let bytes = bytes.ok_or_else(|| self.damaged(row, "it is missing or cut"))?;
        if crc32fast::hash(&bytes) != chunk.check {
            return Err(damaged());
        }
        let entries = read_entries(&bytes).map_err(|_| damaged())?;
        let before = index - row.first - u64::from(chunk.entry);
        let before = usize::try_from(before).map_err(|_| damaged())?;
        if entries.len() <= before {
            return Err(damaged());
        }
        Ok(entries.into_iter().skip(before).map(<[u8]>::to_vec).collect())
    }

    /// The checkpoint at the end of a file.
    pub(crate) fn checkpoint(&self, row: &Row) -> Result<Vec<u8>, StoreError> {
        if row.lost {
            return Err(self.damaged(row, "it was lost, and that was accepted"));
        }
        let length = usize::try_from(row.bytes.saturating_sub(row.text_at)).unwrap_or(usize::MAX);
        let text = self.folder.read(&row.name(), u64::from(row.text_at), length)?;
        match text {
            Some(text) if crc32fast::hash(&text) == row.text_check => Ok(text),
            Some(_) => Err(self.damaged(row, "its checkpoint fails its checksum")),
            None => Err(self.damaged(row, "it is missing or cut")),
        }
    }

    /// The bytes of a whole file, at most 16 MiB, which must have the SHA-256 of its name.
    pub(crate) fn read(&self, row: &Row) -> Result<Vec<u8>, StoreError> {
        if row.lost {
            return Err(self.damaged(row, "it was lost, and that was accepted"));
        }
        let length = usize::try_from(row.bytes).unwrap_or(usize::MAX);
        let bytes = self.folder.read(&row.name(), 0, length)?;
        match bytes {
            Some(bytes) if picket_ledger::hash::sha256(&bytes) == row.hash => Ok(bytes),
            Some(_) => Err(self.damaged(row, "its bytes do not have the SHA-256 of its name")),
            None => Err(self.damaged(row, "it is missing or cut")),
        }
    }

    fn damaged(&self, row: &Row, what: &str) -> StoreError {
        StoreError::damaged(
            &self.folder.path(&row.name()),
            format!("{what}, and with it are entries {} to {}", row.first, row.end - 1),
            ADVICE,
        )
    }

    /// Makes a file known to readers.
    fn publish(&self, row: Row) {
        self.files.write().unwrap_or_else(PoisonError::into_inner).insert(row.end, Arc::new(row));
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    fn unwritten(&self) -> MutexGuard<'_, Vec<Write>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The base has what [`Sealed::seal`] gave it.
    pub(crate) fn confirm(&self) {
        self.unwritten().clear();
    }

    /// Removes the files below what is pruned. The base must know that durably: a crash in here leaves files that the
    /// next opening removes.
    pub(crate) fn tidy(&self) {
        let pruned_to = self.pruned_to.load(Ordering::Acquire);
        let gone = {
            let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
            let kept = files.split_off(&(pruned_to + 1));
            std::mem::replace(&mut *files, kept)
        };
        if gone.is_empty() {
            return;
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        for row in gone.into_values() {
            // One that stays is removed by the next opening.
            if self.folder.remove(&row.name()).is_ok() {
                self.freed.fetch_add(u64::from(row.bytes), Ordering::AcqRel);
            }
        }
    }

    /// Bytes that removed files gave back since this was last asked.
    pub(crate) fn take_freed(&self) -> u64 {
        self.freed.swap(0, Ordering::AcqRel)
    }

    /// Whether all entries of a tile are in sealed files.
    pub(crate) fn has_tile(&self, tile: u64) -> bool {
        tile.checked_add(1).and_then(|next| next.checked_mul(TILE)).is_some_and(|end| end <= self.end())
    }
}

/// A store and writes that go to it, read as if they were there already.
struct Step<'a> {
    base: &'a dyn Store,
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<'a> Step<'a> {
    fn new(base: &'a dyn Store, writes: Vec<Write>) -> Self {
        Self { base, writes: writes.into_iter().collect() }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.writes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(key),
        }
    }
}
