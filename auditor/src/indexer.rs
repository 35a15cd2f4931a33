//! The thread that keeps the index up to date behind ingest, and begins it anew when it fails.
//!
//! Ingest only says up to where a box has come; nobody waits for the index but who asks it. Who does, waits until it has
//! reached everything that was stored before the question, so that a box that has its receipt finds its entries.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::boxes;
use crate::error::{AuditorError, Result};
use crate::index::Index;
use crate::metrics::Metrics;
use crate::origin::Origin;
use crate::vault::Vault;

/// The pause after a failure, say of a full disk.
const RETRY: Duration = Duration::from_secs(1);

/// How often who waits looks whether it still should.
const LOOK: Duration = Duration::from_millis(50);

/// The indexing thread. Ends when dropped, after the segment at hand.
#[derive(Debug)]
pub struct Indexer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    vault: Arc<Vault>,
    index: Arc<Index>,
    metrics: Arc<Metrics>,
    work: Mutex<Work>,
    /// Signalled on every change of `work`.
    changed: Condvar,
}

/// What is to be done. `done <= asked`.
#[derive(Debug, Default)]
struct Work {
    /// Up to where to index which box. At most one item a box, so it is bounded by the number of boxes.
    boxes: BTreeMap<Origin, u64>,
    /// How often something was asked for.
    asked: u64,
    /// Up to which of these all is done.
    done: u64,
    /// The index failed: the next turn builds it from all of the evidence.
    anew: bool,
    /// The index failed, and has not been built again since.
    failing: bool,
    stop: bool,
}

impl Indexer {
    /// Starts the thread, which first makes up for what the index lacks of the evidence.
    ///
    /// # Errors
    /// When the evidence cannot be listed, or the system gives no thread.
    pub fn start(vault: Arc<Vault>, index: Arc<Index>, metrics: Arc<Metrics>) -> Result<Self> {
        let work = Work { boxes: everything(&vault)?, asked: 1, ..Work::default() };
        let shared = Arc::new(Shared { vault, index, metrics, work: Mutex::new(work), changed: Condvar::new() });
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("indexer".into())
            .spawn(move || own.run())
            .map_err(|error| AuditorError::Index(format!("starting its thread: {error}")))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Asks that a box be indexed up to this size.
    pub fn ask(&self, origin: &Origin, size: u64) {
        let mut work = self.shared.lock();
        let item = work.boxes.entry(origin.clone()).or_default();
        *item = size.max(*item);
        work.asked += 1;
        self.shared.changed.notify_all();
    }

    /// Waits until everything asked for so far is indexed.
    ///
    /// # Errors
    /// [`AuditorError::Cancelled`] when `cancel` is set first; [`AuditorError::Index`] while it cannot be built.
    pub fn wait(&self, cancel: &AtomicBool) -> Result<()> {
        let mut work = self.shared.lock();
        let ticket = work.asked;
        while work.done < ticket {
            if cancel.load(Ordering::Relaxed) {
                return Err(AuditorError::Cancelled);
            }
            if work.failing {
                return Err(AuditorError::Index("it failed and is being built again; ask again later".into()));
            }
            work = self.shared.changed.wait_timeout(work, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}

impl Drop for Indexer {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic in it has been told on stderr; the index is rebuildable.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        while let Some((boxes, ticket, anew)) = self.next() {
            let stop = || self.lock().stop;
            let done = if anew { self.begin_anew(&stop) } else { catch_up(&self.vault, &self.index, &boxes, &stop) };
            let mut work = self.lock();
            match done {
                Ok(()) => {
                    work.done = work.done.max(ticket);
                    work.failing = false;
                    self.changed.notify_all();
                }
                Err(error) => {
                    self.metrics.index_failure();
                    eprintln!("indexing: {}; it is begun anew", crate::words(&error));
                    // What an index holds after an error cannot be relied on.
                    work.anew = true;
                    work.failing = true;
                    self.changed.notify_all();
                    let going = |work: &mut Work| !work.stop;
                    // Only the end cuts the pause short.
                    drop(self.changed.wait_timeout_while(work, RETRY, going));
                }
            }
        }
    }

    fn begin_anew(&self, stop: &dyn Fn() -> bool) -> Result<()> {
        self.index.begin_anew()?;
        catch_up(&self.vault, &self.index, &everything(&self.vault)?, stop)
    }

    /// What to do next, when there is something: which boxes, up to which ticket that is, and whether all of it anew.
    /// `None` at the end.
    fn next(&self) -> Option<(BTreeMap<Origin, u64>, u64, bool)> {
        let mut work = self.lock();
        loop {
            if work.stop {
                return None;
            }
            if work.done < work.asked {
                let boxes = std::mem::take(&mut work.boxes);
                let anew = std::mem::take(&mut work.anew);
                return Some((boxes, work.asked, anew));
            }
            work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All boxes and up to where their evidence goes. Boxes whose last segment does not hold are left out.
pub fn everything(vault: &Vault) -> Result<BTreeMap<Origin, u64>> {
    let mut boxes = BTreeMap::new();
    for origin in vault.boxes.enrolled()? {
        let Some(keys) = vault.boxes.chain(&origin, &vault.archive)? else { continue };
        if let Ok(head) = boxes::load_head(&origin, &keys, &vault.archive)? {
            boxes.insert(origin, head.size);
        }
    }
    Ok(boxes)
}

/// Indexes these boxes up to these sizes, until `stop` says so.
///
/// An index that knows more than the evidence is of another time, say beside evidence from a backup, and is begun anew.
pub fn catch_up(vault: &Vault, index: &Index, boxes: &BTreeMap<Origin, u64>, stop: &dyn Fn() -> bool) -> Result<()> {
    for (origin, size) in boxes {
        if index.cursor(origin)? > *size && index.cursor(origin)? > everything(vault)?.get(origin).copied().unwrap_or(0)
        {
            eprintln!("the index knows more entries of {origin} than there are; it is built again");
            index.begin_anew()?;
            return catch_up(vault, index, &everything(vault)?, stop);
        }
    }
    for (origin, size) in boxes {
        if let Some(keys) = vault.boxes.chain(origin, &vault.archive)? {
            index.add(&vault.archive, origin, &keys, *size, stop)?;
        }
    }
    Ok(())
}
