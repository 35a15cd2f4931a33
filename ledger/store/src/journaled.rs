//! A base store behind a journal: commits are durable in the journal at once, and reach the base in large steps.
//!
//! Batches that are only in the journal are also in memory, in two overlays: the *active* one, whose records
//! fill one half of the journal, and the *frozen* one, whose records fill the other half while a thread applies
//! them to the base. Reading asks active, then frozen, then base.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

use crate::StoreError;
use crate::batch::{Batch, Change};
use crate::disk::Disk;
use crate::findings::Findings;
use crate::journal::{Identity, Journal, RECORD_HEADER_BYTES};
use crate::recovery::{create, recover};
use crate::store::{Pair, Store, Write};

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

struct Shared {
    open_base: OpenBase,
    /// `None` when it broke and could not be opened again yet. Written only by whoever applies (`Work` says who).
    base: RwLock<Option<Box<dyn Store>>>,
    /// Invariant: a change is in the base, or in an overlay, or in both; it moves in that direction only after
    /// the base has it durably.
    overlays: RwLock<Overlays>,
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Default)]
struct Overlays {
    active: Batch,
    frozen: Option<Arc<Frozen>>,
}

struct Frozen {
    batch: Batch,
    /// Sequence of its last commit.
    sequence: u64,
}

/// What the applying thread is to do, and how it went.
#[derive(Default)]
struct Work {
    /// There is a frozen overlay to apply.
    wanted: bool,
    /// The thread is at it.
    busy: bool,
    stop: bool,
    failed: Option<StoreError>,
}

impl Journaled {
    /// Opens the base and the journal, and brings the base to the journal's last record.
    pub(crate) fn open(
        open_base: OpenBase,
        file: &dyn JournalFile,
        half_bytes: usize,
        findings: &mut Findings,
    ) -> Result<Self, StoreError> {
        let base = open_base(findings)?;
        let (disk, identity, last) = match file.open()? {
            Some(disk) => recover(base.as_ref(), disk, file, half_bytes, findings)?,
            None => create(base.as_ref(), file, half_bytes, findings)?,
        };
        let io = |action| move |e| StoreError::io(action, file.path(), e);
        let total = disk.read().map_err(io("read"))?.len();
        let journal = Journal::new(disk, identity, total);
        let shared = Arc::new(Shared {
            open_base,
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

    /// The journal's path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.journal_path
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        // A put or delete in an overlay hides what lies below; a splice needs it.
        let mut pending = Vec::new();
        let mut covered = false;
        {
            let overlays = read(&self.shared.overlays);
            let frozen = overlays.frozen.as_ref().map(|frozen| &frozen.batch);
            for batch in [Some(&overlays.active), frozen].into_iter().flatten() {
                if let Some(change) = batch.changes().get(key) {
                    covered = !matches!(change, Change::Splice { .. });
                    pending.push(change.clone());
                    if covered {
                        break;
                    }
                }
            }
        }
        // The base may have got the frozen overlay by now: changes are idempotent.
        let mut value = if covered { None } else { self.shared.with_base(|base| base.get(key))? };
        for change in pending.into_iter().rev() {
            value = self.settle(key, &change, value)?;
        }
        Ok(value)
    }

    /// The first `limit` pairs with `from <= key < to`, ascending.
    pub(crate) fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        let mut found = Vec::new();
        let mut from = from.to_vec();
        while found.len() < limit && from.as_slice() < to {
            let (older, newer) = {
                let overlays = read(&self.shared.overlays);
                let frozen = overlays.frozen.as_ref();
                (frozen.map(|frozen| within(&frozen.batch, &from, to)), within(&overlays.active, &from, to))
            };
            let page = self.shared.with_base(|base| base.range(&from, to, limit))?;
            // Beyond a full page the base has more keys, which come before overlay keys of the same place.
            let end = match page.last() {
                Some((key, _)) if page.len() == limit => [key.as_slice(), &[0]].concat(),
                _ => to.to_vec(),
            };
            let mut merged: BTreeMap<Vec<u8>, Vec<u8>> = page.into_iter().collect();
            for (key, change) in older.into_iter().flatten().chain(newer) {
                if key < end {
                    let before = merged.remove(&key);
                    if let Some(value) = self.settle(&key, &change, before)? {
                        merged.insert(key, value);
                    }
                }
            }
            found.extend(merged);
            from = end;
        }
        found.truncate(limit);
        Ok(found)
    }

    fn settle(&self, key: &[u8], change: &Change, before: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, StoreError> {
        change.apply(before).ok_or_else(|| missing_start(&self.journal_path, key))
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
        if let Err(error) = self.shared.apply(&frozen) {
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

impl Shared {
    /// The applying thread.
    fn run(&self) {
        loop {
            {
                let mut work = lock(&self.work);
                while !work.wanted && !work.stop {
                    work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
                }
                if work.stop {
                    return;
                }
                work.wanted = false;
                work.busy = true;
            }
            let frozen = read(&self.overlays).frozen.clone();
            // A panic here would leave every later commit waiting.
            let result = frozen.map_or(Ok(()), |frozen| {
                catch_unwind(AssertUnwindSafe(|| self.apply(&frozen)))
                    .unwrap_or_else(|_| Err(unusable("applying to it panicked")))
            });
            if result.is_ok() {
                write(&self.overlays).frozen = None;
            }
            let mut work = lock(&self.work);
            work.busy = false;
            work.failed = result.err();
            drop(work);
            self.changed.notify_all();
        }
    }

    /// Applies an overlay to the base, durably. Repeats nothing that the base already has.
    fn apply(&self, frozen: &Frozen) -> Result<(), StoreError> {
        let broken = match read(&self.base).as_deref() {
            Some(base) if base.is_broken() => base.may_reopen().map(|()| true)?,
            base => base.is_none(),
        };
        if broken {
            self.reopen()?;
        }
        self.with_base(|base| {
            // After an error it is unknown whether the base has it.
            if base.applied()? < frozen.sequence {
                base.apply(frozen.sequence, &settle_all(base, &frozen.batch)?)?;
            }
            base.sync()
        })
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut base = write(&self.base);
        // Closed first: it holds a lock on its files.
        *base = None;
        *base = Some((self.open_base)(&mut Findings::default())?);
        Ok(())
    }

    fn with_base<T>(&self, work: impl FnOnce(&dyn Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let base = read(&self.base);
        match base.as_deref() {
            Some(base) => work(base),
            None => Err(unusable("it could not be opened again after an error")),
        }
    }
}

/// The writes that a batch comes to on a base.
pub(crate) fn settle_all(base: &dyn Store, batch: &Batch) -> Result<Vec<Write>, StoreError> {
    batch
        .changes()
        .iter()
        .map(|(key, change)| {
            let before = match change {
                Change::Splice { at, .. } if *at > 0 => base.get(key)?,
                _ => None,
            };
            let value = change.apply(before).ok_or_else(|| missing_start(Path::new("index"), key))?;
            Ok((key.clone(), value))
        })
        .collect()
}

fn unusable(message: &str) -> StoreError {
    StoreError::Backend { path: PathBuf::from("index"), message: message.into() }
}

fn missing_start(path: &Path, key: &[u8]) -> StoreError {
    StoreError::damaged(
        path,
        format!("the start of the value at key {} is missing", key.escape_ascii()),
        "restore the folder from a copy",
    )
}

fn within(batch: &Batch, from: &[u8], to: &[u8]) -> Vec<(Vec<u8>, Change)> {
    batch
        .changes()
        .range::<[u8], _>((std::ops::Bound::Included(from), std::ops::Bound::Excluded(to)))
        .map(|(key, change)| (key.clone(), change.clone()))
        .collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
