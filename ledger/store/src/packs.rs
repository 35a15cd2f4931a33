//! Packs: large values beside the index, and all that it takes to rebuild the index.
//!
//! sled writes each new value, and the whole leaf of up to 17 values again after each tenth and at a split: for
//! large values at growing keys that is four to five times the bytes. So each batch that reaches the base store
//! becomes one immutable file, a pack, with all of its writes, and the index keeps small values and pointers. A
//! damaged index is rebuilt from the packs, in their order, by the code that also applies a pack which a crash
//! left unapplied.

mod index;
mod merge;
mod present;
mod punch;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::StoreError;
use crate::disk::{sync_folder, write_file};
use crate::findings::Findings;
use crate::pack_file::{INLINE, PACKED, POINTER, Pointer, build, file_name, inline, parse_name, unpacked};
use crate::sled::SledStore;
use crate::store::{DERIVED, Pair, Store, Write};

use index::{set_aside, suspect};
use present::{note, unnote};

/// Free space below which the index is not opened again after an error: sled writes a snapshot then, which takes
/// some bytes a page, and goes on in a new segment.
const REOPEN_BYTES: u64 = 2 * 1024 * 1024;
/// Packs kept open for reading.
const OPEN_FILES: usize = 64;
/// Pairs read from the index at once when it is walked.
const WALK: usize = 1024;

/// Above every key.
const END: &[u8] = &[0xff; 8];
/// An index with its packs.
pub(crate) struct PackedStore {
    index: SledStore,
    folder: PathBuf,
    /// Packs by last sequence; the applier writes, readers look paths up.
    packs: Mutex<BTreeMap<u64, Known>>,
    files: Mutex<HashMap<u64, Arc<File>>>,
    /// Bytes of keys and values in the index by the pack that they came with.
    live: Mutex<HashMap<u64, u64>>,
    /// Packs that nothing needs once the index is durable as it is.
    done: Mutex<Vec<u64>>,
}

/// What is known of a pack.
#[derive(Clone, Copy)]
struct Known {
    /// Its first sequence.
    first: u64,
    /// Its length in bytes; 0 before that was looked at.
    bytes: u64,
    /// Bytes of large values that are not punched out; `None` before that was looked at.
    large_bytes: Option<u64>,
}

impl PackedStore {
    /// Opens or creates `<path>/index` and `<path>/packs`. An index that cannot be read is moved aside and
    /// rebuilt from the packs.
    pub(crate) fn open(path: &Path, cache_bytes: u64, findings: &mut Findings) -> Result<Self, StoreError> {
        let index = path.join("index");
        if suspect(&index).exists() {
            set_aside(&index, "reading it failed earlier", findings)?;
        }
        match Self::try_open(path, cache_bytes, findings) {
            Err(StoreError::Damaged { path: damaged, lost, .. }) if damaged.starts_with(&index) => {
                set_aside(&index, &lost, findings)?;
                Self::try_open(path, cache_bytes, findings)
            }
            result => result,
        }
    }

    fn try_open(path: &Path, cache_bytes: u64, findings: &mut Findings) -> Result<Self, StoreError> {
        let folder = path.join("packs");
        std::fs::create_dir_all(&folder).map_err(|e| StoreError::io("create", &folder, e))?;
        // After this a crash keeps the folder's name; before it there is nothing in it yet.
        sync_folder(path)?;
        // The process before may have been killed between giving a pack its name and making that durable. From here on
        // the pack counts, and the journal, which has its commits too, is overwritten.
        sync_folder(&folder)?;
        let store = Self {
            index: SledStore::open(&path.join("index"), cache_bytes, &mut findings.repaired)?,
            packs: Mutex::new(list(&folder)?),
            folder,
            files: Mutex::new(HashMap::new()),
            live: Mutex::default(),
            done: Mutex::default(),
        };
        store.verify_index()?;
        store.verify_packs(findings)?;
        store.catch_up(findings)?;
        Ok(store)
    }

    fn path(&self, last: u64) -> Result<PathBuf, StoreError> {
        let first = lock(&self.packs).get(&last).map(|known| known.first).ok_or_else(|| {
            StoreError::damaged(
                &self.folder,
                format!("the pack that ends with commit {last} is missing"),
                "put it back from a copy of the folder",
            )
        })?;
        Ok(self.folder.join(file_name(first, last)))
    }

    /// The value that the index has for a key.
    fn resolve(&self, stored: &[u8]) -> Result<Vec<u8>, StoreError> {
        match stored.split_first() {
            Some((&INLINE, value)) => Ok(value.to_vec()),
            Some((&PACKED, _)) => Ok(unpacked(stored).ok_or_else(|| self.nonsense())?.to_vec()),
            Some((&POINTER, _)) => self.fetch(Pointer::decode(stored).ok_or_else(|| self.nonsense())?),
            _ => Err(self.nonsense()),
        }
    }

    fn fetch(&self, pointer: Pointer) -> Result<Vec<u8>, StoreError> {
        let file = self.file(pointer.pack)?;
        let length = usize::try_from(pointer.length).map_err(|_| self.nonsense())?;
        let mut value = vec![0; length];
        let read = file.read_exact_at(&mut value, pointer.offset);
        if read.is_err() || crc32fast::hash(&value) != pointer.check {
            return Err(StoreError::damaged(
                &self.path(pointer.pack)?,
                format!("{length} bytes at offset {} fail their checksum", pointer.offset),
                "entries that the auditor holds a receipt for are safe there; run verify to see which are affected",
            ));
        }
        Ok(value)
    }

    fn file(&self, pack: u64) -> Result<Arc<File>, StoreError> {
        if let Some(file) = lock(&self.files).get(&pack) {
            return Ok(Arc::clone(file));
        }
        let path = self.path(pack)?;
        let file = File::open(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                StoreError::damaged(&path, "it is missing", "put it back from a copy of the folder")
            }
            _ => StoreError::io("open", &path, e),
        })?;
        let file = Arc::new(file);
        let mut files = lock(&self.files);
        if files.len() >= OPEN_FILES {
            files.clear();
        }
        files.insert(pack, Arc::clone(&file));
        Ok(file)
    }

    fn nonsense(&self) -> StoreError {
        StoreError::damaged(
            &self.folder.with_file_name("index"),
            "a value in the index makes no sense",
            "open the log again: the index is rebuilt from the packs",
        )
    }

    /// Remembers that the index could not be read, so that the next opening rebuilds it.
    fn note<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        let index = self.folder.with_file_name("index");
        if let Err(StoreError::Damaged { path, .. }) = &result
            && path.starts_with(&index)
        {
            // Should this fail as well, the damage is found again when it is read again.
            let _ = write_file(&suspect(&index), &[]);
        }
        result
    }
}

impl Store for PackedStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut stored = self.note(self.index.get(key))?;
        loop {
            let found = stored.as_deref().map(|stored| self.resolve(stored)).transpose();
            if found.is_ok() {
                return found;
            }
            // The value may have moved to another pack, or have been removed, since the index was asked.
            let again = self.note(self.index.get(key))?;
            if again == stored {
                return self.note(found);
            }
            stored = again;
        }
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        let pairs = self.note(self.index.range(from, to, limit))?;
        let mut found = Vec::with_capacity(pairs.len());
        for (key, stored) in pairs {
            match self.resolve(&stored) {
                Ok(value) => found.push((key, value)),
                Err(_) => found.extend(self.get(&key)?.map(|value| (key, value))),
            }
        }
        Ok(found)
    }

    fn keys(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.note(self.index.keys(from, to, limit))
    }

    fn apply(&self, sequence: u64, writes: &[Write]) -> Result<(), StoreError> {
        let first = self.note(self.index.applied())? + 1;
        let (derived, writes): (Vec<Write>, Vec<Write>) = writes.iter().cloned().partition(is_derived);
        let merged = self.merge(writes)?;
        let pack = build(sequence, &merged.writes)?;
        let path = self.folder.join(file_name(first, sequence));
        // A crash before the rename in here leaves nothing; after it, a pack that the next opening applies.
        write_file(&path, &pack.parts())?;
        lock(&self.packs).insert(sequence, Known { first, bytes: pack.bytes(), large_bytes: None });
        lock(&self.files).remove(&sequence);
        let note = note(first, sequence, pack.bytes());
        let derived = derived.into_iter().map(in_index);
        let gone = merged.packs.iter().map(|pack| unnote(*pack));
        let writes: Vec<Write> = pack.index.into_iter().chain([note]).chain(derived).chain(gone).collect();
        self.note(self.write_index(sequence, &writes))?;
        lock(&self.done).extend(merged.packs);
        Ok(())
    }

    fn derive(&self, writes: &[Write]) -> Result<(), StoreError> {
        let writes: Vec<Write> = writes.iter().cloned().map(in_index).collect();
        self.note(self.write_index(self.index.applied()?, &writes))
    }

    fn applied(&self) -> Result<u64, StoreError> {
        self.note(self.index.applied())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.note(self.index.sync())?;
        self.remove_done();
        Ok(())
    }

    fn is_broken(&self) -> bool {
        self.index.is_broken()
    }

    fn may_reopen(&self) -> Result<(), StoreError> {
        let index = self.folder.with_file_name("index");
        let failed = |e: rustix::io::Errno| StoreError::io("look at the free space of", &index, e.into());
        let space = rustix::fs::statvfs(&index).map_err(failed)?;
        if space.f_bavail.saturating_mul(space.f_frsize) < REOPEN_BYTES {
            return Err(failed(rustix::io::Errno::NOSPC));
        }
        Ok(())
    }

    fn reclaim(&self) -> Result<u64, StoreError> {
        let mut live: HashMap<u64, HashMap<u64, u32>> = HashMap::new();
        let mut from = Vec::new();
        loop {
            let pairs = self.note(self.index.range(&from, END, WALK))?;
            let Some((last, _)) = pairs.last() else { break };
            from = [last.as_slice(), &[0]].concat();
            for pointer in pairs.iter().filter_map(|(_, stored)| Pointer::decode(stored)) {
                live.entry(pointer.pack).or_default().insert(pointer.offset, pointer.length);
            }
        }
        let none = HashMap::new();
        let packs: Vec<u64> = lock(&self.packs).keys().copied().collect();
        packs.into_iter().map(|pack| self.punch(pack, live.get(&pack).unwrap_or(&none))).sum()
    }
}

/// Derived values are in the index alone.
fn is_derived((key, _): &Write) -> bool {
    key.first() == Some(&DERIVED)
}

fn in_index((key, value): Write) -> Write {
    (key, value.map(|value| inline(&value)))
}

/// The packs in a folder, by last sequence. Removes what a crash left unfinished.
fn list(folder: &Path) -> Result<BTreeMap<u64, Known>, StoreError> {
    let mut packs = BTreeMap::new();
    let listing = std::fs::read_dir(folder).map_err(|e| StoreError::io("list", folder, e))?;
    for file in listing {
        let path = file.map_err(|e| StoreError::io("list", folder, e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".new") {
            // Its batch is still in the journal: a pack counts once it has its final name.
            std::fs::remove_file(&path).map_err(|e| StoreError::io("remove", &path, e))?;
        } else if let Some((first, last)) = parse_name(&name) {
            packs.insert(last, Known { first, bytes: 0, large_bytes: None });
        }
    }
    Ok(packs)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
