//! Packs: large values beside the index, and all that it takes to rebuild the index.
//!
//! sled writes a leaf of up to 17 values again and again as it grows; measured on 300-byte entries that was
//! four to five times the bytes. So each batch that reaches the base store becomes one immutable file, a pack,
//! with all of its writes, and the index keeps small values and pointers. A damaged index is rebuilt from the
//! packs, in their order, by the code that also applies a pack which a crash left unapplied.
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
//! then the SHA-256 of all bytes so far; then the values, first those of at most [`INLINE_BYTES`], then the larger
//! ones, each in the order of the list. Larger values that are no longer pointed at are punched out of the file;
//! everything else stays.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use picket_ledger::hash::sha256;

use crate::StoreError;
use crate::disk::{quarantine, sync_folder, write_file};
use crate::findings::Findings;
use crate::sled::SledStore;
use crate::store::{Pair, Store, Write};

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
const INLINE: u8 = 0;
/// In the index, the first byte of a pointer: pack (u64, its last sequence), offset (u64), length (u32), CRC-32 (u32).
const POINTER: u8 = 1;
const POINTER_BYTES: usize = 1 + 8 + 8 + 4 + 4;
/// Free space below which the index is not opened again after an error: sled writes a snapshot then, which takes
/// some bytes a page, and goes on in a new segment.
const REOPEN_BYTES: u64 = 2 * 1024 * 1024;
/// Packs kept open for reading.
const OPEN_FILES: usize = 64;
/// Pairs read from the index at once when it is walked.
const WALK: usize = 1024;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pointer {
    pack: u64,
    offset: u64,
    length: u32,
    check: u32,
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
        store.catch_up(findings)?;
        Ok(store)
    }

    /// Brings the index to the last pack: after a crash between a pack and its index, or from nothing.
    fn catch_up(&self, findings: &mut Findings) -> Result<(), StoreError> {
        let applied = self.index.applied()?;
        let mut end = 0;
        let packs = lock(&self.packs).clone();
        for (last, Known { first, .. }) in packs {
            if first != end + 1 {
                self.missing(end + 1, first - 1, findings)?;
            }
            if last > applied {
                self.index.apply(last, &self.read_pack(last)?)?;
            }
            end = last;
        }
        if applied > end {
            self.missing(end + 1, applied, findings)?;
        }
        if end > applied {
            // Not durable before this; a crash until then repeats it.
            self.index.sync()?;
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
        let (front, ..) = build(last, &[])?;
        write_file(&self.folder.join(file_name(first, last)), &[&front[0], &front[1]])?;
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
        let (front, values, stored) = build(sequence, writes)?;
        let parts: Vec<&[u8]> = front.iter().map(Vec::as_slice).chain(values).collect();
        let path = self.folder.join(file_name(first, sequence));
        // A crash before the rename in here leaves nothing; after it, a pack that the next opening applies.
        write_file(&path, &parts)?;
        lock(&self.packs).insert(sequence, Known { first, large_bytes: None });
        lock(&self.files).remove(&sequence);
        self.note(self.index.apply(sequence, &stored))
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
            let pairs = self.note(self.index.range(&from, &[0xff; 8], WALK))?;
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

/// A pack's write without its value.
struct Listed {
    key: Vec<u8>,
    /// `None` removes the key.
    value: Option<Place>,
}

/// Where a value is in its pack.
#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    length: u32,
    check: u32,
}

impl Place {
    fn is_large(self) -> bool {
        self.length > INLINE_BYTES
    }

    fn pointer(self, pack: u64) -> Pointer {
        Pointer { pack, offset: self.offset, length: self.length, check: self.check }
    }
}

/// The parts of a pack's file (head with list, its hash, values), and what its writes become in the index.
fn build<'a>(last: u64, writes: &'a [Write]) -> Result<(Vec<Vec<u8>>, Vec<&'a [u8]>, Vec<Write>), StoreError> {
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
    let hash = sha256(&front).to_vec();
    let (small, large): (Vec<&[u8]>, Vec<&[u8]>) = writes
        .iter()
        .filter_map(|(_, value)| value.as_deref())
        .partition(|value| u32::try_from(value.len()).is_ok_and(|length| length <= INLINE_BYTES));
    let stored = parse_list(&list)
        .unwrap_or_default()
        .into_iter()
        .zip(writes)
        .map(|(listed, (key, value))| {
            let stored = match (listed.value, value) {
                (Some(place), Some(_)) if place.is_large() => Some(place.pointer(last).encode()),
                (Some(_), Some(value)) => Some(inline(value)),
                _ => None,
            };
            (key.clone(), stored)
        })
        .collect();
    Ok((vec![front, hash], [small, large].concat(), stored))
}

/// Reads and verifies a pack's list; `None` when it is damaged.
fn read_list(file: &File) -> Option<Vec<Listed>> {
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

fn parse_list(list: &[u8]) -> Option<Vec<Listed>> {
    let mut writes = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let (header, after) = rest.split_first_chunk::<WRITE_HEADER_BYTES>()?;
        let key_length = usize::from(u16::from_le_bytes(*header[1..].first_chunk()?));
        let length = u32::from_le_bytes(*header[3..].first_chunk()?);
        let check = u32::from_le_bytes(*header[7..].first_chunk()?);
        let (key, after) = after.split_at_checked(key_length)?;
        let value = match header[0] {
            PUT => Some(Place { offset: 0, length, check }),
            DELETE => None,
            _ => return None,
        };
        writes.push(Listed { key: key.to_vec(), value });
        rest = after;
    }
    let mut offset = u64::try_from(HEAD_BYTES + list.len() + 32).ok()?;
    for large in [false, true] {
        let places = writes.iter_mut().filter_map(|listed| listed.value.as_mut());
        for place in places.filter(|place| place.is_large() == large) {
            place.offset = offset;
            offset += u64::from(place.length);
        }
    }
    Some(writes)
}

impl Pointer {
    fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(POINTER_BYTES);
        bytes.push(POINTER);
        bytes.extend_from_slice(&self.pack.to_le_bytes());
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        bytes.extend_from_slice(&self.length.to_le_bytes());
        bytes.extend_from_slice(&self.check.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
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

fn inline(value: &[u8]) -> Vec<u8> {
    [&[INLINE], value].concat()
}

fn file_name(first: u64, last: u64) -> String {
    format!("{first:016x}-{last:016x}.pack")
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

fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (first, last) = name.strip_suffix(".pack")?.split_once('-')?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    Some((number(first)?, number(last)?)).filter(|(first, last)| file_name(*first, *last) == name)
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
