//! Faults on demand, for tests: a base store and a journal that refuse, half-do, or forget their writes.
//!
//! Every write and every sync of either counts as a step. A plan says at which step what happens; tests go
//! through all the steps of a commit, as in sunlight's `TestSequenceErrors`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::StoreError;
use crate::disk::Disk;
use crate::journal::Identity;
use crate::journaled::JournalFile;
use crate::memory::MemoryStore;
use crate::sealed::SegmentFolder;
use crate::store::{Pair, Store, Write};

/// What happens at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is done, and an error is returned.
    Failed,
    /// All is done, and an error is returned all the same.
    FailedButPersisted,
    /// The first half is done (of a write), and an error is returned.
    Torn,
    /// Nothing is done, and the error says that the disk is full.
    Full,
}

/// Counts the steps of everything that shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    steps: usize,
    faults: Vec<(usize, Fault)>,
    /// From this step on every step meets this fault.
    from: Option<(usize, Fault)>,
}

impl Plan {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Steps taken so far.
    pub(crate) fn steps(&self) -> usize {
        self.state().steps
    }

    /// At step number `step`, counted from 0, this happens.
    pub(crate) fn at(&self, step: usize, fault: Fault) {
        self.state().faults.push((step, fault));
    }

    /// From now on this happens at every step, or, with `None`, nothing does.
    pub(crate) fn always(&self, fault: Option<Fault>) {
        let mut state = self.state();
        state.faults.clear();
        state.from = fault.map(|fault| (state.steps, fault));
    }

    fn step(&self) -> Option<Fault> {
        let mut state = self.state();
        let step = state.steps;
        state.steps += 1;
        let planned = state.faults.iter().find(|(at, _)| *at == step).map(|(_, fault)| *fault);
        planned.or(state.from.and_then(|(from, fault)| (step >= from).then_some(fault)))
    }
}

fn error(fault: Fault) -> io::Error {
    match fault {
        Fault::Full => io::ErrorKind::StorageFull.into(),
        _ => io::Error::other("injected"),
    }
}

/// A memory store with faults.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyStore {
    pub(crate) inner: MemoryStore,
    pub(crate) plan: Plan,
}

impl FaultyStore {
    fn step(&self, work: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        let Some(fault) = self.plan.step() else { return work() };
        if fault == Fault::FailedButPersisted {
            work()?;
        }
        Err(StoreError::io("write", Path::new("memory"), error(fault)))
    }
}

impl Store for FaultyStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(key)
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        self.inner.range(from, to, limit)
    }

    fn apply(&self, sequence: u64, writes: &[Write]) -> Result<(), StoreError> {
        self.step(|| self.inner.apply(sequence, writes))
    }

    fn applied(&self) -> Result<u64, StoreError> {
        self.inner.applied()
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.step(|| self.inner.sync())
    }
}

/// A folder of segments in memory: what is created is durable at once, as a file that was renamed and synced. Clones share
/// their content.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultySegments {
    pub(crate) files: Arc<Mutex<std::collections::BTreeMap<String, Vec<u8>>>>,
    pub(crate) plan: Plan,
}

impl FaultySegments {
    pub(crate) fn lock(&self) -> MutexGuard<'_, std::collections::BTreeMap<String, Vec<u8>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SegmentFolder for FaultySegments {
    fn list(&self) -> Result<Vec<(String, u64)>, StoreError> {
        Ok(self.lock().iter().map(|(name, bytes)| (name.clone(), u64::try_from(bytes.len()).unwrap())).collect())
    }

    fn length(&self, name: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.lock().get(name).map(|bytes| u64::try_from(bytes.len()).unwrap()))
    }

    /// Two steps: writing, where nothing is left, and renaming, after which the file is there.
    fn create(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let failed = |fault| Err(StoreError::io("write", Path::new(name), error(fault)));
        if let Some(fault) = self.plan.step() {
            return failed(fault);
        }
        let fault = self.plan.step();
        if matches!(fault, None | Some(Fault::FailedButPersisted)) {
            self.lock().insert(name.to_owned(), bytes.to_vec());
        }
        fault.map_or(Ok(()), failed)
    }

    fn read(&self, name: &str, at: u64, length: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let at = usize::try_from(at).unwrap();
        Ok(self.lock().get(name).and_then(|bytes| bytes.get(at..at + length)).map(<[u8]>::to_vec))
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let fault = self.plan.step();
        if matches!(fault, None | Some(Fault::FailedButPersisted)) {
            self.lock().remove(name);
        }
        fault.map_or(Ok(()), |fault| Err(StoreError::io("remove", Path::new(name), error(fault))))
    }

    fn set_aside(&self, name: &str) -> Result<PathBuf, StoreError> {
        self.lock().remove(name);
        Ok(PathBuf::from(format!("damaged-1-{name}")))
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new("segments").join(name)
    }
}

/// A journal in memory that separates what was written from what is durable. Clones share their content.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyJournal {
    content: Arc<Mutex<Content>>,
    pub(crate) plan: Plan,
}

#[derive(Debug, Default)]
struct Content {
    /// `None` before it is created.
    bytes: Option<Vec<u8>>,
    /// Writes since the last sync.
    pending: Vec<(usize, Vec<u8>)>,
}

impl FaultyJournal {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plays a loss of power: of the writes since the last sync, each block survives or not as `keep` says.
    pub(crate) fn lose_power(&self, mut keep: impl FnMut() -> bool) {
        const BLOCK: usize = 512;
        let mut content = self.content();
        let pending = std::mem::take(&mut content.pending);
        let Some(bytes) = content.bytes.as_mut() else { return };
        for (offset, written) in pending {
            for (number, block) in written.chunks(BLOCK).enumerate() {
                if keep() {
                    let start = offset + number * BLOCK;
                    bytes[start..start + block.len()].copy_from_slice(block);
                }
            }
        }
    }

    /// Takes the content of another, written and durable.
    pub(crate) fn copy_from(&self, other: &Self) {
        let (bytes, pending) = {
            let content = other.content();
            (content.bytes.clone(), content.pending.clone())
        };
        *self.content() = Content { bytes, pending };
    }

    /// Its length in bytes.
    pub(crate) fn length(&self) -> usize {
        self.content().bytes.as_ref().map_or(0, Vec::len)
    }

    /// Somebody deletes the file.
    pub(crate) fn remove(&self) {
        *self.content() = Content::default();
    }

    /// Changes bytes behind the journal's back.
    pub(crate) fn alter(&self, change: impl FnOnce(&mut Vec<u8>)) {
        self.settle();
        change(self.content().bytes.get_or_insert_default());
    }

    /// Everything written is there, as after a kill of the process alone.
    pub(crate) fn settle(&self) {
        self.lose_power(|| true);
    }
}

impl Disk for FaultyJournal {
    fn read(&self) -> io::Result<Vec<u8>> {
        let content = self.content();
        let mut bytes = content.bytes.clone().unwrap_or_default();
        for (offset, written) in &content.pending {
            bytes[*offset..offset + written.len()].copy_from_slice(written);
        }
        Ok(bytes)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let fault = self.plan.step();
        let kept = match fault {
            None | Some(Fault::FailedButPersisted) => bytes,
            Some(Fault::Torn) => &bytes[..bytes.len() / 2],
            Some(Fault::Failed | Fault::Full) => &[],
        };
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.content().pending.push((offset, kept.to_vec()));
        fault.map_or(Ok(()), |fault| Err(error(fault)))
    }

    fn sync(&self) -> io::Result<()> {
        let fault = self.plan.step();
        if matches!(fault, None | Some(Fault::FailedButPersisted)) {
            self.settle();
        }
        fault.map_or(Ok(()), |fault| Err(error(fault)))
    }
}

impl JournalFile for FaultyJournal {
    fn open(&self) -> Result<Option<Box<dyn Disk>>, StoreError> {
        let there = self.content().bytes.is_some();
        Ok(there.then(|| Box::new(self.clone()) as Box<dyn Disk>))
    }

    fn create(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut content = self.content();
        content.pending.clear();
        content.bytes = Some(bytes.to_vec());
        Ok(())
    }

    fn set_aside(&self) -> Result<PathBuf, StoreError> {
        self.content().bytes = None;
        Ok(PathBuf::from("damaged-1-journal"))
    }

    fn path(&self) -> &Path {
        Path::new("journal")
    }

    fn identity(&self) -> Result<Identity, StoreError> {
        Ok(*b"sixteen bytes !!")
    }
}
