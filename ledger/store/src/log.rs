//! The log: one writer that appends, any number of readers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use picket_ledger::entry::Body;
use picket_ledger::entry::MAX_ENTRY_BYTES;
use picket_ledger::hash::{Hash, leaf_hash};
use picket_ledger::{Entry, VerifyingKey};

use crate::StoreError;
use crate::batch::Batch;
use crate::files;
use crate::findings::Findings;
use crate::fsck::{self, Report};
use crate::journaled::{JournalFile, Journaled, OpenBase};
use crate::layout::{
    HEAD_KEY, Head, TILE, checkpoint_key, entry_key, named_key, payload_key, write_hash, write_stream,
};
use crate::lock::FolderLock;
use crate::reader::Reader;

/// Largest payload in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 128 * 1024 * 1024;
/// Largest named value in bytes.
pub const MAX_NAMED_BYTES: usize = 16 * 1024 * 1024;
/// Longest name of a named value in bytes.
pub const MAX_NAME_BYTES: usize = 255;
/// Tiles that are pruned in one commit.
const PRUNE_TILES: u64 = 64;
/// Pieces of a stream that are removed at once.
const REMOVE_PIECES: usize = 64;

/// How a log is opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Memory for the index's pages, in bytes. Default 16 MiB; below 4 MiB reading suffers.
    pub cache_bytes: u64,
    /// Size of each of the journal's two halves, in bytes. Default 4 MiB. Commits up to this size are one
    /// sequential write; as many bytes of commits may be in memory twice. Fixed when the log is created.
    pub journal_bytes: usize,
    /// Go on without what is damaged and cannot be repaired, and tell it in [`Opened::lost`], instead of
    /// refusing with [`StoreError::Damaged`]. Default false. A log opened so may be shorter than what was
    /// acknowledged: the caller must open a new incarnation.
    pub accept_loss: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 16 * 1024 * 1024, journal_bytes: 4 * 1024 * 1024, accept_loss: false }
    }
}

/// What opening a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// The log was created.
    pub fresh: bool,
    /// What was damaged or incomplete and has been repaired without loss, a sentence each.
    pub repaired: Vec<String>,
    /// What was lost, a sentence each. Empty unless [`Options::accept_loss`] was set.
    pub lost: Vec<String>,
}

/// A payload that is kept apart from the entries, so that it can be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The invocation that it belongs to. A second payload of an invocation replaces the first.
    pub invocation: u64,
    /// At most [`MAX_PAYLOAD_BYTES`].
    pub bytes: Vec<u8>,
}

/// Signs a checkpoint of a size and root, and returns the note.
pub type Sign<'a> = dyn Fn(u64, &Hash) -> String + 'a;

/// What a commit makes durable together.
#[derive(Default)]
pub struct Commit<'a> {
    /// Entries in order, each at most [`MAX_ENTRY_BYTES`].
    pub entries: Vec<Vec<u8>>,
    /// Payloads.
    pub payloads: Vec<Payload>,
    /// Named values to set, or to remove with `None`.
    pub named: Vec<(String, Option<Vec<u8>>)>,
    /// Signs a checkpoint of the size and root after the entries are added; returns the note.
    pub checkpoint: Option<&'a Sign<'a>>,
}

/// Where the log stands after a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Index of the first entry that was added (the size before).
    pub first: u64,
    /// Entries in the log.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// The checkpoint, when one was asked for.
    pub checkpoint: Option<String>,
}

/// What pruning did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Entries below this index are gone: the largest multiple of 256 that is not above what was asked for.
    pub pruned_to: u64,
    /// Payloads that went with them.
    pub payloads: u64,
    /// Bytes given back to the file system.
    pub freed_bytes: u64,
}

/// The log, open for writing. There is one a folder, in one process.
pub struct Log {
    shared: Arc<Shared>,
    head: Head,
}

/// What the log has in common with its readers.
pub(crate) struct Shared {
    pub(crate) store: Journaled,
    /// The head that readers go by. Written by the log after a commit is durable and visible in the store.
    pub(crate) head: RwLock<Head>,
    /// Leaf hashes of the tile that a proof was last computed from.
    pub(crate) leaves: Mutex<Option<(u64, Arc<Vec<Hash>>)>>,
    /// Released last, after the store is closed.
    _lock: Option<Arc<FolderLock>>,
}

impl Log {
    /// Opens the log in a folder, or creates it there.
    ///
    /// Replays what a crash left in the journal, repairs what can be repaired, and verifies the tail against
    /// the head and the latest checkpoint.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process (or another `Log`) has it open; [`StoreError::Damaged`] for
    /// damage that cannot be repaired; [`StoreError::Full`]; [`StoreError::Io`].
    pub fn open(path: &Path, options: &Options) -> Result<(Self, Opened), StoreError> {
        let lock = Arc::new(files::prepare(path)?);
        let mut findings = Findings { accept_loss: options.accept_loss, ..Findings::default() };
        let journal = files::JournalPath::new(path);
        let mut start = || {
            let base = files::open_base(path, options.cache_bytes);
            let lock = Some(Arc::clone(&lock));
            Self::start(base, &journal, options.journal_bytes, &mut findings, lock)
        };
        let (log, fresh) = match start() {
            // Reading the index failed only now: opening it again rebuilds it.
            Err(StoreError::Damaged { path: damaged, .. }) if damaged.starts_with(path.join("index")) => start()?,
            result => result?,
        };
        let opened = Opened { fresh, repaired: findings.repaired, lost: findings.lost };
        Ok((log, opened))
    }

    /// Opens the log over any base store and journal.
    pub(crate) fn start(
        open_base: OpenBase,
        journal: &dyn JournalFile,
        journal_bytes: usize,
        findings: &mut Findings,
        lock: Option<Arc<FolderLock>>,
    ) -> Result<(Self, bool), StoreError> {
        let store = Journaled::open(open_base, journal, journal_bytes, findings)?;
        let (head, fresh) = match store.get(HEAD_KEY)? {
            None => (Head::default(), true),
            Some(bytes) => {
                let head = Head::decode(&bytes).ok_or_else(|| {
                    StoreError::damaged(
                        journal.path(),
                        "the head of the log makes no sense",
                        "it was written by another version of this program: use that one",
                    )
                })?;
                (head, false)
            }
        };
        let log = Self {
            shared: Arc::new(Shared { store, head: RwLock::new(head.clone()), leaves: Mutex::default(), _lock: lock }),
            head,
        };
        fsck::verify_tail(&log.reader())?;
        Ok((log, fresh))
    }

    /// Entries in the log.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.head.tree.size()
    }

    /// Root of the tree over them.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.head.tree.root()
    }

    /// A reader, which sees each commit once it is durable.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// Appends entries, and stores what comes with them. When it returns, all of it survives a loss of power.
    ///
    /// # Errors
    /// [`StoreError::Full`]: nothing changed, and a later commit may succeed. [`StoreError::TooLarge`]: the same.
    /// Any other error: it is unknown whether the commit is there when the log is opened again, and when the
    /// error is [`StoreError::Stopped`] (or every later one is), only opening it again helps.
    pub fn commit(&mut self, commit: Commit<'_>) -> Result<Committed, StoreError> {
        check(&commit)?;
        let first = self.head.tree.size();
        let mut head = self.head.clone();
        let mut batch = Batch::default();
        append(&mut head, &mut batch, &commit.entries);
        for payload in &commit.payloads {
            let length = u64::try_from(payload.bytes.len()).unwrap_or(u64::MAX);
            let key = |piece| payload_key(payload.invocation, piece);
            let stream = [length.to_le_bytes().as_slice(), &payload.bytes].concat();
            write_stream(&mut batch, key, 0, &stream);
        }
        for (name, value) in commit.named {
            match value {
                // As a stream of one piece: a splice at 0 and a put are the same.
                Some(value) => batch.put(named_key(&name), value),
                None => batch.delete(named_key(&name)),
            }
        }
        let size = head.tree.size();
        let root = head.tree.root();
        let checkpoint = commit.checkpoint.map(|sign| sign(size, &root));
        if let Some(text) = &checkpoint {
            batch.put(checkpoint_key(size), text.clone().into_bytes());
            head.checkpoint = Some(size);
        }
        self.finish(batch, head)?;
        Ok(Committed { first, size, root, checkpoint })
    }

    /// Commits a batch with the head that it leads to.
    fn finish(&mut self, mut batch: Batch, head: Head) -> Result<(), StoreError> {
        if head != self.head {
            batch.put(HEAD_KEY.to_vec(), head.encode());
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.shared.store.commit(batch)?;
        // Only now: readers and the next commit must not build on what may not be there after a crash.
        *self.shared.head.write().unwrap_or_else(PoisonError::into_inner) = head.clone();
        self.head = head;
        Ok(())
    }

    /// Removes entries below an index, and the payloads of their invocations, in whole tiles of 256; the roots of
    /// the subtrees stay, so that proofs and checkpoints of what remains do. Only for entries that an auditor gave
    /// a receipt for.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] beyond the size; else as [`Log::commit`]. A crash or an error on the way leaves
    /// the log pruned up to some tile; calling it again goes on.
    pub fn prune(&mut self, up_to: u64) -> Result<Pruned, StoreError> {
        if up_to > self.size() {
            return Err(StoreError::OutOfRange { what: "prune index", value: up_to, limit: self.size() });
        }
        let reader = self.reader();
        let end = up_to / TILE;
        let mut payloads = 0;
        while self.head.pruned_to / TILE < end {
            let start = self.head.pruned_to / TILE;
            let stop = end.min(start + PRUNE_TILES);
            let mut batch = Batch::default();
            for tile in start..stop {
                for entry in reader.read(tile * TILE..(tile + 1) * TILE)? {
                    if let Ok(Entry { body: Body::Verdict(verdict), .. }) = Entry::decode(&entry) {
                        payloads += self.remove_payload(&mut batch, verdict.invocation)?;
                    }
                }
                self.remove_stream(&mut batch, |piece| entry_key(tile, piece))?;
            }
            let mut head = self.head.clone();
            head.pruned_to = stop * TILE;
            self.finish(batch, head)?;
        }
        Ok(Pruned { pruned_to: self.head.pruned_to, payloads, freed_bytes: self.shared.store.reclaim()? })
    }

    /// Erases payloads; their commitments in the entries, and so all proofs, stay valid. Returns how many there
    /// were. When it returns, their bytes are gone from the packs and the index; the journal overwrites its
    /// copy as it goes on.
    ///
    /// # Errors
    /// As [`Log::commit`].
    pub fn erase_payloads(&mut self, invocations: &[u64]) -> Result<u64, StoreError> {
        let mut batch = Batch::default();
        let mut erased = 0;
        for invocation in invocations {
            erased += self.remove_payload(&mut batch, *invocation)?;
        }
        let head = self.head.clone();
        self.finish(batch, head)?;
        self.shared.store.reclaim()?;
        Ok(erased)
    }

    /// Verifies everything: see [`Reader::fsck`].
    ///
    /// # Errors
    /// As [`Reader::fsck`].
    pub fn fsck(&self, key: Option<&VerifyingKey>) -> Result<Report, StoreError> {
        self.reader().fsck(key)
    }

    /// Brings everything from the journal to the index and the packs. Not needed for durability; makes the next
    /// opening quicker. Dropping the log does it as well, without telling whether it worked.
    ///
    /// # Errors
    /// As [`Log::commit`].
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.shared.store.flush()
    }

    fn remove_payload(&self, batch: &mut Batch, invocation: u64) -> Result<u64, StoreError> {
        let found = self.remove_stream(batch, |piece| payload_key(invocation, piece))?;
        Ok(u64::from(found))
    }

    /// Removes all pieces of a stream; false when there is none.
    fn remove_stream(&self, batch: &mut Batch, key: impl Fn(u32) -> Vec<u8>) -> Result<bool, StoreError> {
        let mut from = key(0);
        let end = key(u32::MAX);
        let mut found = false;
        loop {
            let pairs = self.shared.store.range(&from, &end, REMOVE_PIECES)?;
            let Some((last, _)) = pairs.last() else {
                return Ok(found);
            };
            from = [last.as_slice(), &[0]].concat();
            found = true;
            for (key, _) in pairs {
                batch.delete(key);
            }
        }
    }
}

/// Moves the folder of a log aside as a whole, so that a new one can be created in its place. Nothing in it is
/// changed. Returns where it is now.
///
/// # Errors
/// [`StoreError::Locked`] while a process has it open; [`StoreError::Io`].
pub fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let lock = files::prepare(path)?;
    let kept = crate::disk::quarantine(path)?;
    drop(lock);
    Ok(kept)
}

fn check(commit: &Commit<'_>) -> Result<(), StoreError> {
    let at_most = |what, bytes: usize, limit: usize| {
        if bytes > limit {
            return Err(StoreError::TooLarge { what, bytes, limit });
        }
        Ok(())
    };
    for entry in &commit.entries {
        at_most("entry", entry.len(), MAX_ENTRY_BYTES)?;
    }
    for payload in &commit.payloads {
        at_most("payload", payload.bytes.len(), MAX_PAYLOAD_BYTES)?;
    }
    for (name, value) in &commit.named {
        at_most("name", name.len(), MAX_NAME_BYTES)?;
        at_most("named value", value.as_ref().map_or(0, Vec::len), MAX_NAMED_BYTES)?;
    }
    Ok(())
}

/// Adds entries to a head, and what that writes to a batch.
fn append(head: &mut Head, batch: &mut Batch, entries: &[Vec<u8>]) {
    let mut stream = Vec::new();
    let mut start = head.tail_bytes;
    for entry in entries {
        let index = head.tree.size();
        head.tree.push_with(leaf_hash(entry), |level, index, hash| {
            if level > 0 && level.is_multiple_of(8) {
                write_hash(batch, level / 8, index, hash);
            }
        });
        let length = u32::try_from(entry.len()).expect("entries are at most MAX_ENTRY_BYTES long");
        stream.extend_from_slice(&length.to_le_bytes());
        stream.extend_from_slice(entry);
        if index % TILE == TILE - 1 {
            write_stream(batch, |piece| entry_key(index / TILE, piece), start, &stream);
            stream.clear();
            start = 0;
        }
    }
    let tile = head.tree.size() / TILE;
    write_stream(batch, |piece| entry_key(tile, piece), start, &stream);
    head.tail_bytes = start + u64::try_from(stream.len()).expect("a tile is far below 2^64 bytes");
}
