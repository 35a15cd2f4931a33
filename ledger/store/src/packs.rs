//! Packs: large values beside the index, and all that it takes to rebuild the index.
//!
//! sled writes each new value, and the whole leaf of up to 17 values again after each tenth and at a split: for
//! large values at growing keys that is four to five times the bytes. So each batch that reaches the base store becomes one immutable file, a pack,
//! with all of its writes, and the index keeps small values and pointers. A damaged index is rebuilt from the
//! packs, in their order, by the code that also applies a pack which a crash left unapplied.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use picket_ledger::hash::sha256;

use crate::StoreError;
use crate::disk::{quarantine, sync_folder, write_file};
use crate::findings::Findings;
use crate::pack_file::{INLINE, POINTER, Pointer, build, file_name, inline, parse_name, read_list};
use crate::sled::{APPLIED_KEY, SledStore};
use crate::store::{Pair, Store, Write};

/// Free space below which the index is not opened again after an error: sled writes a snapshot then, which takes
/// some bytes a page, and goes on in a new segment.
const REOPEN_BYTES: u64 = 2 * 1024 * 1024;
/// Packs kept open for reading.
const OPEN_FILES: usize = 64;
/// Pairs read from the index at once when it is walked.
const WALK: usize = 1024;

/// Above every key.
const END: &[u8] = &[0xff; 8];
/// In the index, the digest of what it holds.
const DIGEST_KEY: &[u8] = b"\0digest";

/// An index with its packs.
pub(crate) struct PackedStore {
    index: SledStore,
    folder: PathBuf,
    /// Packs by last sequence; the applier writes, readers look paths up.
    packs: Mutex<BTreeMap<u64, Known>>,
    files: Mutex<HashMap<u64, Arc<File>>>,
}

/// What is known of a pack.
#[derive(Clone, Copy)]
struct Known {
    /// Its first sequence.
    first: u64,
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
        let store = Self {
            index: SledStore::open(&path.join("index"), cache_bytes, &mut findings.repaired)?,
            packs: Mutex::new(list(&folder)?),
            folder,
            files: Mutex::new(HashMap::new()),
        };
        store.verify_index()?;
        store.catch_up(findings)?;
        Ok(store)
    }

    /// Verifies that the index holds exactly what was put there.
    ///
    /// sled drops what follows a message that it cannot read, and also single pages, without a word; its own keys
    /// may survive that. So the whole of it is compared with a digest, which takes a read of some ten megabytes for
    /// ten million entries.
    fn verify_index(&self) -> Result<(), StoreError> {
        let mut found = Digest::default();
        let mut from = Vec::new();
        loop {
            let pairs = self.index.range(&from, END, WALK)?;
            let Some((last, _)) = pairs.last() else { break };
            from = [last.as_slice(), &[0]].concat();
            pairs.iter().filter(|(key, _)| !is_own(key)).for_each(|(key, value)| found.toggle(key, value));
        }
        let applied = self.index.applied()?;
        let said = self.index.get(DIGEST_KEY)?;
        let sound = match said {
            None => applied == 0 && found == Digest::default(),
            Some(said) => said == found.encode(applied),
        };
        if !sound {
            return Err(StoreError::damaged(
                &self.folder.with_file_name("index").join("db"),
                "values are missing in it, or are not those that were written",
                "open the log again: the index is rebuilt from the packs",
            ));
        }
        Ok(())
    }

    /// Writes to the index, with the digest of what it holds then.
    fn write_index(&self, sequence: u64, writes: &[Write]) -> Result<(), StoreError> {
        let mut digest = match self.index.get(DIGEST_KEY)? {
            None => Digest::default(),
            Some(said) => Digest::decode(&said).ok_or_else(|| self.nonsense())?,
        };
        let mut writes = writes.to_vec();
        for (key, value) in &writes {
            if let Some(before) = self.index.get(key)? {
                digest.toggle(key, &before);
            }
            if let Some(value) = value {
                digest.toggle(key, value);
            }
        }
        writes.push((DIGEST_KEY.to_vec(), Some(digest.encode(sequence))));
        self.index.apply(sequence, &writes)
    }

    /// Brings the index to the last pack: after a crash between a pack and its index, or from nothing.
    fn catch_up(&self, findings: &mut Findings) -> Result<(), StoreError> {
        let applied = self.index.applied()?;
        let mut end = 0;
        let mut behind = 0;
        let packs = lock(&self.packs).clone();
        for (last, Known { first, .. }) in packs {
            if first != end + 1 {
                self.missing(end + 1, first - 1, findings)?;
            }
            if last > applied {
                self.write_index(last, &self.read_pack(last)?)?;
                behind += 1;
            }
            end = last;
        }
        if applied > end {
            self.missing(end + 1, applied, findings)?;
        }
        if behind > 0 {
            // Not durable before this; a crash until then repeats it.
            self.index.sync()?;
        }
        // One is what a crash leaves behind.
        if behind > 1 {
            findings.repaired.push(format!(
                "{} ended with commit {applied}: brought to commit {end} from the packs",
                self.folder.with_file_name("index").display()
            ));
        }
        Ok(())
    }

    /// Packs are not there. When that is accepted, an empty one takes their place.
    fn missing(&self, first: u64, last: u64, findings: &mut Findings) -> Result<(), StoreError> {
        findings.loss(StoreError::damaged(
            &self.folder,
            format!("the packs with commits {first} to {last} are missing"),
            "put them back from a copy of the folder",
        ))?;
        write_file(&self.folder.join(file_name(first, last)), &build(last, &[])?.parts())?;
        lock(&self.packs).insert(last, Known { first, large_bytes: None });
        Ok(())
    }

    /// The writes that a pack makes in the index.
    fn read_pack(&self, last: u64) -> Result<Vec<Write>, StoreError> {
        let damaged = || {
            self.path(last).map_or_else(
                |error| error,
                |path| {
                    StoreError::damaged(
                        &path,
                        "its list of writes fails its checksum, so the index cannot be rebuilt from it",
                        "put it back from a copy of the folder",
                    )
                },
            )
        };
        let file = self.file(last)?;
        let list = read_list(&file).ok_or_else(damaged)?;
        list.into_iter()
            .map(|listed| match listed.value {
                None => Ok((listed.key, None)),
                Some(value) if value.is_large() => Ok((listed.key, Some(value.pointer(last).encode()))),
                Some(value) => Ok((listed.key, Some(inline(&self.fetch(value.pointer(last))?)))),
            })
            .collect()
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
        let stored = self.note(self.index.get(key))?;
        stored.map(|stored| self.note(self.resolve(&stored))).transpose()
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        let pairs = self.note(self.index.range(from, to, limit))?;
        pairs.into_iter().map(|(key, stored)| Ok((key, self.note(self.resolve(&stored))?))).collect()
    }

    fn apply(&self, sequence: u64, writes: &[Write]) -> Result<(), StoreError> {
        let first = self.note(self.index.applied())? + 1;
        let pack = build(sequence, writes)?;
        let path = self.folder.join(file_name(first, sequence));
        // A crash before the rename in here leaves nothing; after it, a pack that the next opening applies.
        write_file(&path, &pack.parts())?;
        lock(&self.packs).insert(sequence, Known { first, large_bytes: None });
        lock(&self.files).remove(&sequence);
        self.note(self.write_index(sequence, &pack.index))
    }

    fn applied(&self) -> Result<u64, StoreError> {
        self.note(self.index.applied())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.note(self.index.sync())
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

impl PackedStore {
    /// Gives the blocks of large values that nothing points at back to the file system. Returns how many bytes.
    fn punch(&self, pack: u64, live: &HashMap<u64, u32>) -> Result<u64, StoreError> {
        let path = self.path(pack)?;
        let needed: u64 = live.values().map(|length| u64::from(*length)).sum();
        if lock(&self.packs).get(&pack).is_some_and(|known| known.large_bytes == Some(needed)) {
            return Ok(0);
        }
        let failed = |e: std::io::Error| StoreError::io("free space in", &path, e);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        let before = allocated(&file).map_err(failed)?;
        // A pack whose list is damaged is kept as it is: evidence.
        let values = read_list(&file).unwrap_or_default().into_iter().filter_map(|listed| listed.value);
        let mut dead = values.filter(|value| value.is_large() && !live.contains_key(&value.offset)).peekable();
        while let Some(first) = dead.next() {
            let mut end = first.offset + u64::from(first.length);
            // Neighbours together: a file system frees only whole blocks.
            while let Some(next) = dead.next_if(|next| next.offset == end) {
                end += u64::from(next.length);
            }
            punch_hole(&file, first.offset, end - first.offset).map_err(failed)?;
        }
        if let Some(known) = lock(&self.packs).get_mut(&pack) {
            known.large_bytes = Some(needed);
        }
        Ok(before.saturating_sub(allocated(&file).map_err(failed)?))
    }
}

fn allocated(file: &File) -> std::io::Result<u64> {
    Ok(std::os::unix::fs::MetadataExt::blocks(&file.metadata()?) * 512)
}

/// A digest of a set of pairs: the exclusive or of SHA-256(key length (u64) ‖ key ‖ value). It shows what was lost by
/// accident, and can be kept up with each write; it is no defence against an attacker, which the tree is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Digest([u8; 32]);

impl Digest {
    /// Adds a pair that is not there, or takes one away that is.
    fn toggle(&mut self, key: &[u8], value: &[u8]) {
        let length = u64::try_from(key.len()).unwrap_or(u64::MAX).to_le_bytes();
        let hash = sha256(&[length.as_slice(), key, value].concat());
        self.0.iter_mut().zip(hash).for_each(|(sum, byte)| *sum ^= byte);
    }

    /// The sequence up to which it speaks (u64, little-endian), then the digest.
    fn encode(&self, sequence: u64) -> Vec<u8> {
        [sequence.to_le_bytes().as_slice(), &self.0].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.get(8..)?.try_into().ok().map(Self)
    }
}

/// True for the keys that the digest does not cover: itself, and the applied sequence, which it names.
fn is_own(key: &[u8]) -> bool {
    key == DIGEST_KEY || key == APPLIED_KEY
}

fn punch_hole(file: &File, offset: u64, length: u64) -> std::io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match fallocate(file, flags, offset, length) {
        // A file system without holes keeps the blocks; overwriting at least erases what was in them.
        Err(rustix::io::Errno::OPNOTSUPP) => {
            let zeros = vec![0; usize::try_from(length).map_err(std::io::Error::other)?];
            file.write_all_at(&zeros, offset)
        }
        result => result.map_err(Into::into),
    }
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
            packs.insert(last, Known { first, large_bytes: None });
        }
    }
    Ok(packs)
}

/// The file that says that the index is to be rebuilt.
fn suspect(index: &Path) -> PathBuf {
    index.with_file_name("index-unreadable")
}

fn set_aside(index: &Path, cause: &str, findings: &mut Findings) -> Result<(), StoreError> {
    if index.exists() {
        let kept = quarantine(index)?;
        findings.repaired.push(format!(
            "{} could not be read ({cause}): moved to {} and rebuilt from the packs",
            index.display(),
            kept.display()
        ));
    }
    // Only now: a crash before leaves the sign, and the next opening does this again.
    let sign = suspect(index);
    match std::fs::remove_file(&sign) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("remove", &sign, error)),
        _ => Ok(()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
