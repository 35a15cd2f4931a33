//! The log: one writer that appends, any number of readers.

mod commit;
mod prune;
mod space;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use picket_ledger::VerifyingKey;
use picket_ledger::hash::Hash;

use crate::StoreError;
use crate::batch::Batch;
use crate::files;
use crate::findings::Findings;
use crate::fsck::{self, Report};
use crate::journaled::{JournalFile, Journaled, OpenBase};
use crate::layout::{HEAD_KEY, Head, boundary_key, checkpoint_key, named_key, payload_key, write_stream};
use crate::lock::FolderLock;
use crate::reader::Reader;
use crate::sealed::{SegmentFiles, SegmentFolder};

use commit::{append, check};
use space::Folder;

pub use commit::{Commit, Committed, MAX_NAME_BYTES, MAX_NAMED_BYTES, MAX_PAYLOAD_BYTES, Payload, Sign};
pub use prune::Pruned;
pub use space::DiskUsage;

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
    /// Bytes set aside in a preallocated file, for a last commit on a full disk: see [`Log::release_reserve`]. Default 0,
    /// which is none; a useful size is four times [`Options::journal_bytes`]. A disk without room for it is no error.
    pub reserve_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 16 * 1024 * 1024, journal_bytes: 4 * 1024 * 1024, accept_loss: false, reserve_bytes: 0 }
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
    /// What was lost, and where what is left of a damaged journal is kept, a sentence each. Empty unless
    /// [`Options::accept_loss`] was set.
    pub lost: Vec<String>,
}

/// The log, open for writing. There is one a folder, in one process.
pub struct Log {
    shared: Arc<Shared>,
    head: Head,
    /// `None` over anything but files.
    folder: Option<Folder>,
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
            let segments = Box::new(SegmentFiles::new(path.join("segments")));
            Self::start(base, &journal, segments, options.journal_bytes, &mut findings, lock)
        };
        let (mut log, fresh) = match start() {
            // Reading the index failed only now: opening it again rebuilds it.
            Err(StoreError::Damaged { path: damaged, .. }) if damaged.starts_with(path.join("index")) => start()?,
            result => result?,
        };
        log.folder = Some(Folder::new(path, options.reserve_bytes));
        // Without room for it the log works all the same, and makes it when there is.
        log.restore_reserve()?;
        let opened = Opened { fresh, repaired: findings.repaired, lost: findings.lost };
        Ok((log, opened))
    }

    /// Opens the log over any base store and journal.
    pub(crate) fn start(
        open_base: OpenBase,
        journal: &dyn JournalFile,
        segments: Box<dyn SegmentFolder>,
        journal_bytes: usize,
        findings: &mut Findings,
        lock: Option<Arc<FolderLock>>,
    ) -> Result<(Self, bool), StoreError> {
        let store = Journaled::open(open_base, journal, segments, journal_bytes, findings)?;
        let head = read_head(&store, journal.path())?;
        let fresh = head.is_none();
        let head = head.unwrap_or_default();
        let mut log = Self {
            shared: Arc::new(Shared { store, head: RwLock::new(head.clone()), leaves: Mutex::default(), _lock: lock }),
            head,
            folder: None,
        };
        match fsck::verify_tail(&log.reader()) {
            // What the index, packs and journal have does not give the end of the log: the segments may give its start.
            Err(error @ StoreError::Damaged { .. }) if findings.accept_loss && log.shared.store.sealed().end() > 0 => {
                findings.loss(error)?;
                log.shared.store.fall_back(findings)?;
                log.set_head(read_head(&log.shared.store, journal.path())?.unwrap_or_default());
                fsck::verify_tail(&log.reader())?;
            }
            verified => verified?,
        }
        Ok((log, fresh))
    }

    fn set_head(&mut self, head: Head) {
        *self.shared.head.write().unwrap_or_else(PoisonError::into_inner) = head.clone();
        self.head = head;
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
        append(&mut head, &mut batch, &commit.entries, |tree, batch| {
            if let Some(sign) = commit.checkpoint {
                batch.put(checkpoint_key(tree.size()), sign(tree.size(), &tree.root()).into_bytes());
            }
        });
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
        if commit.boundary {
            batch.put(boundary_key(size), Vec::new());
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
        self.set_head(head);
        Ok(())
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
}

fn read_head(store: &Journaled, path: &Path) -> Result<Option<Head>, StoreError> {
    let bytes = store.get(HEAD_KEY)?;
    let decode = |bytes: Vec<u8>| {
        Head::decode(&bytes).ok_or_else(|| {
            StoreError::damaged(
                path,
                "the head of the log makes no sense",
                "it was written by another version of this program: use that one",
            )
        })
    };
    bytes.map(decode).transpose()
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
