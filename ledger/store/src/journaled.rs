//! A base store behind a journal: commits are durable in the journal at once, and reach the base in large steps.
//!
//! Batches that are only in the journal are also in memory, in two overlays: the *active* one, whose records
//! fill one half of the journal, and the *frozen* one, whose records fill the other half while a thread applies
//! them to the base. Reading asks active, then frozen, then base.

mod applier;
mod reading;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use crate::StoreError;
use crate::batch::Batch;
use crate::disk::Disk;
use crate::findings::Findings;
use crate::journal::{Identity, Journal, RECORD_HEADER_BYTES};
use crate::recovery::{create, recover};
use crate::sealed::{Sealed, SegmentFolder};
use crate::store::Store;

pub(crate) use applier::settle_all;
use applier::{Frozen, Shared, lock, read, write};

/// Opens the base store, again after an error of its own.
pub(crate) type OpenBase = Box<dyn Fn(&mut Findings) -> Result<Box<dyn Store>, StoreError> + Send + Sync>;

/// How the journal's file is had.
pub(crate) trait JournalFile: Send + Sync {
    /// Opens it; `None` when there is none.
    fn open(&self) -> Result<Option<Box<dyn Disk>>, StoreError>;
    /// Creates it with these bytes, whole and durable or not at all.
    fn create(&self, bytes: &[u8]) -> Result<(), StoreError>;
    /// Moves a damaged one aside and returns its new name.
    fn set_aside(&self) -> Result<PathBuf, StoreError>;
    /// Its name, for messages.
    fn path(&self) -> &Path;
    /// Random bytes for a new one.
    fn identity(&self) -> Result<Identity, StoreError>;
}

/// The store that the log stands on.
pub(crate) struct Journaled {
    shared: Arc<Shared>,
    /// One writer at a time.
    writer: Mutex<Writer>,
    applier: Option<JoinHandle<()>>,
    journal_path: PathBuf,
}

struct Writer {
    journal: Journal,
    /// Sequence of the last commit that is durable.
    sequence: u64,
    /// The error after which it is unknown what the journal holds.
    broken: Option<StoreError>,
    /// A write failed: the place of the next record may hold one that was not acknowledged.
    tainted: bool,
    /// Kept between commits, so that its memory is.
    record: Vec<u8>,
}

impl Journaled {
    /// Opens the base and the journal, and brings the base to the journal's last record.
    pub(crate) fn open(
        open_base: OpenBase,
        file: &dyn JournalFile,
        segments: Box<dyn SegmentFolder>,
        half_bytes: usize,
        findings: &mut Findings,
    ) -> Result<Self, StoreError> {
        let base = open_base(findings)?;
        let sealed = Sealed::new(segments);
        let listing = sealed.load(base.as_ref(), findings)?;
        let (disk, identity, mut last) = match file.open()? {
            Some(disk) => recover(base.as_ref(), &sealed, disk, file, half_bytes, findings)?,
            None => create(base.as_ref(), file, half_bytes, findings)?,
        };
        if sealed.clear(base.as_ref(), &listing, findings)? {
            last = take_from_segments(base.as_ref(), &sealed, last, findings)?;
        }
        let io = |action| move |e| StoreError::io(action, file.path(), e);
        let total = disk.read().map_err(io("read"))?.len();
        let journal = Journal::new(disk, identity, total);
        let shared = Arc::new(Shared {
            open_base,
            sealed,
            base: RwLock::new(Some(base)),
            overlays: RwLock::default(),
            work: Mutex::default(),
            changed: Condvar::new(),
        });
        let applier = std::thread::Builder::new()
            .name("picket-store-apply".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.run()
            })
            .map_err(io("start the applying thread for"))?;
        Ok(Self {
            shared,
            writer: Mutex::new(Writer { journal, sequence: last, broken: None, tainted: false, record: Vec::new() }),
            applier: Some(applier),
            journal_path: file.path().to_owned(),
        })
    }

    /// The sealed files.
    pub(crate) fn sealed(&self) -> &Sealed {
        &self.shared.sealed
    }

    /// Makes the log anew from its sealed files alone, after losses were accepted.
    pub(crate) fn fall_back(&self, findings: &mut Findings) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        self.drain(&mut writer)?;
        let last = writer.sequence;
        writer.sequence =
            self.shared.with_base(|base| take_from_segments(base, &self.shared.sealed, last, findings))?;
        Ok(())
    }

    /// The journal's path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.journal_path
    }

    /// Makes a batch durable and then visible.
    ///
    /// On an error it is not visible, and unless the error says [`StoreError::Stopped`] later commits may succeed.
    /// Whether it is there after the log is opened again is unknown then.
    pub(crate) fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        let writer = &mut *writer;
        if let Some(cause) = &writer.broken {
            return Err(StoreError::Stopped { cause: Box::new(cause.clone()) });
        }
        let sequence = writer.sequence + 1;
        writer.record.clear();
        writer.record.resize(RECORD_HEADER_BYTES, 0);
        batch.encode_into(&mut writer.record);
        let payload = writer.record.len() - RECORD_HEADER_BYTES;
        let failed = |action, e| StoreError::io(action, &self.journal_path, e);
        if writer.tainted {
            // Else this commit, should it go elsewhere, would leave two records of one sequence.
            writer.journal.erase_next().map_err(|e| failed("write", e))?;
            writer.tainted = false;
        }
        if payload > writer.journal.capacity() {
            return self.commit_directly(writer, batch, sequence);
        }
        if !writer.journal.fits(payload) {
            self.freeze(writer)?;
        }
        if let Err(error) = writer.journal.write(sequence, &mut writer.record) {
            // It may have left anything in blocks that hold nothing acknowledged.
            writer.tainted = true;
            return Err(failed("write", error));
        }
        // Before this returns a crash may lose the batch; after it, nothing but damage to the disk can.
        if let Err(error) = writer.journal.sync() {
            // The kernel may have dropped the pages and reports that only once: never sync them "again".
            let error = failed("sync", error);
            writer.broken = Some(error.clone());
            return Err(error);
        }
        writer.journal.keep(&writer.record);
        writer.sequence = sequence;
        write(&self.shared.overlays).active.extend(batch);
        Ok(())
    }

    /// A batch larger than half of the journal goes to the base at once.
    fn commit_directly(&self, writer: &mut Writer, batch: Batch, sequence: u64) -> Result<(), StoreError> {
        self.drain(writer)?;
        let frozen = Frozen { batch, sequence };
        // A crash in here leaves the batch whole in the base or not there at all. Its sequence is then ahead of
        // the journal's, which the next commit makes up for.
        if let Err(error) = self.shared.apply(&frozen, false) {
            writer.broken = Some(error.clone());
            return Err(error);
        }
        writer.sequence = sequence;
        Ok(())
    }

    /// Hands the active overlay to the applying thread and goes to the other half of the journal, which must be
    /// applied by then.
    fn freeze(&self, writer: &mut Writer) -> Result<(), StoreError> {
        self.wait_applied()?;
        {
            let mut overlays = write(&self.shared.overlays);
            let batch = std::mem::take(&mut overlays.active);
            overlays.frozen = Some(Arc::new(Frozen { batch, sequence: writer.sequence }));
        }
        writer.journal.turn();
        lock(&self.shared.work).wanted = true;
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Waits until there is no frozen overlay. When applying it failed before, it is tried once more: space may
    /// have been freed meanwhile.
    fn wait_applied(&self) -> Result<(), StoreError> {
        let mut work = lock(&self.shared.work);
        if work.failed.take().is_some() {
            work.wanted = true;
            self.shared.changed.notify_all();
        }
        while work.wanted || work.busy {
            work = self.shared.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        match &work.failed {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    fn drain(&self, writer: &mut Writer) -> Result<(), StoreError> {
        if !read(&self.shared.overlays).active.is_empty() {
            self.freeze(writer)?;
        }
        self.wait_applied()
    }

    /// Brings everything committed to the base store.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.drain(&mut lock(&self.writer))
    }

    /// Frees what removed keys left behind in the base store.
    pub(crate) fn reclaim(&self) -> Result<u64, StoreError> {
        // The writer stays out meanwhile, so that no pack appears between reading the index and punching.
        let mut writer = lock(&self.writer);
        self.drain(&mut writer)?;
        self.shared.with_base(|base| base.reclaim())
    }
}

/// See [`Journaled::fall_back`]. Returns the sequence of the batch that did it.
fn take_from_segments(
    base: &dyn Store,
    sealed: &Sealed,
    last: u64,
    findings: &mut Findings,
) -> Result<u64, StoreError> {
    let writes = sealed.alone(base, findings)?;
    // A crash before the sync leaves the log as it was, and the next opening does this again.
    base.apply(last + 1, &writes)?;
    base.sync()?;
    sealed.set_rest_aside(findings)?;
    Ok(last + 1)
}

impl Drop for Journaled {
    fn drop(&mut self) {
        // What cannot be applied now is in the journal and is applied at the next opening.
        let _ = self.flush();
        lock(&self.shared.work).stop = true;
        self.shared.changed.notify_all();
        if let Some(applier) = self.applier.take() {
            let _ = applier.join();
        }
    }
}
