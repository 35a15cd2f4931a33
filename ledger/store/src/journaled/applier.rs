//! What writer, readers and the applying thread share, and how that thread brings a frozen overlay to the base.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::StoreError;
use crate::batch::{Batch, Change};
use crate::findings::Findings;
use crate::layout::entry_tile;
use crate::sealed::Sealed;
use crate::store::{Store, Write};

use super::OpenBase;

pub(super) struct Shared {
    pub(super) open_base: OpenBase,
    /// `None` when it broke and could not be opened again yet. Written only by whoever applies (`Work` says who).
    pub(super) sealed: Sealed,
    pub(super) base: RwLock<Option<Box<dyn Store>>>,
    /// Invariant: a change is in the base, or in an overlay, or in both; it moves in that direction only after
    /// the base has it durably.
    pub(super) overlays: RwLock<Overlays>,
    pub(super) work: Mutex<Work>,
    pub(super) changed: Condvar,
}

#[derive(Default)]
pub(super) struct Overlays {
    pub(super) active: Batch,
    pub(super) frozen: Option<Arc<Frozen>>,
}

pub(super) struct Frozen {
    pub(super) batch: Batch,
    /// Sequence of its last commit.
    pub(super) sequence: u64,
}

/// What the applying thread is to do, and how it went.
#[derive(Default)]
pub(super) struct Work {
    /// There is a frozen overlay to apply.
    pub(super) wanted: bool,
    /// The thread is at it.
    pub(super) busy: bool,
    pub(super) stop: bool,
    pub(super) failed: Option<StoreError>,
}

impl Shared {
    /// The applying thread.
    pub(super) fn run(&self) {
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
                catch_unwind(AssertUnwindSafe(|| self.apply(&frozen, true)))
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

    /// Applies an overlay to the base, durably, and seals what can be; what is not in the journal must not be sealed.
    /// Repeats nothing that the base already has.
    pub(super) fn apply(&self, frozen: &Frozen, seal: bool) -> Result<(), StoreError> {
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
                let mut writes = settle_all(base, &frozen.batch, |tile| self.sealed.has_tile(tile))?;
                if seal {
                    writes = self.sealed.seal(base, writes)?;
                }
                base.apply(frozen.sequence, &writes)?;
                if seal {
                    self.sealed.confirm();
                }
            }
            base.sync()?;
            self.sealed.tidy();
            Ok(())
        })
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut base = write(&self.base);
        // Closed first: it holds a lock on its files.
        *base = None;
        *base = Some((self.open_base)(&mut Findings::default())?);
        Ok(())
    }

    pub(super) fn with_base<T>(&self, work: impl FnOnce(&dyn Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let base = read(&self.base);
        match base.as_deref() {
            Some(base) => work(base),
            None => Err(unusable("it could not be opened again after an error")),
        }
    }
}

/// The writes that a batch comes to on a base. Pieces of tiles that are sealed come to nothing.
pub(crate) fn settle_all(
    base: &dyn Store,
    batch: &Batch,
    sealed: impl Fn(u64) -> bool,
) -> Result<Vec<Write>, StoreError> {
    batch
        .changes()
        .iter()
        .filter(|(key, _)| !entry_tile(key).is_some_and(&sealed))
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

pub(super) fn missing_start(path: &Path, key: &[u8]) -> StoreError {
    StoreError::damaged(
        path,
        format!("the start of the value at key {} is missing", key.escape_ascii()),
        "restore the folder from a copy",
    )
}

fn unusable(message: &str) -> StoreError {
    StoreError::Backend { path: PathBuf::from("index"), message: message.into() }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
