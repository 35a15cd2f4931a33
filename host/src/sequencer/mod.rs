//! The single writer of the ledger.
//!
//! Whoever has something to record hands a [`Pending`] to the [`Sequencer`]; one thread gives it its index and times,
//! commits all that has gathered meanwhile as one durable group, and only then says so. While a commit waits for the
//! disk the next group gathers, so the cost of a commit is shared without anybody waiting for company.
//!
//! Checkpoints are signed in the same commit as the entries that make them due; an idle box appends heartbeats, so that
//! cutting off the end of a ledger is noticed after at most one heartbeat interval.

mod clock;
mod counters;
mod doubt;
mod invocation;
mod keeping;
mod opening;
mod writer;

pub use counters::Counters;
pub use keeping::{Erased, MAX_ERASE_INVOCATIONS, MAX_ERASE_RANGES};

use crate::config;
use crate::keys::{KeyError, Keyring, Keys, Step};
use crossbeam_channel::{Sender, bounded};
use invocation::Invocations;
use picket_ledger::Hash;
use picket_ledger::entry::Body;
use picket_store::{Reader, StoreError};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tokio::sync::{oneshot, watch};

/// Commands that may wait for the writer; beyond that, `submit` waits.
const QUEUE: usize = 128;

/// Something to record.
#[derive(Debug)]
pub struct Pending {
    /// What the entry says.
    pub body: Body,
    /// Invocation and stored form of the payload ([`crate::payload`]), committed together with the entry.
    pub payload: Option<(u64, Vec<u8>)>,
    /// Named small values that change with the entry; `None` removes.
    pub named: Vec<(String, Option<Vec<u8>>)>,
}

impl From<Body> for Pending {
    fn from(body: Body) -> Self {
        Self { body, payload: None, named: Vec::new() }
    }
}

/// Where an entry has come to stand. It is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Index, from 0.
    pub index: u64,
    /// Its leaf hash.
    pub leaf: Hash,
    /// Wall time in its header, milliseconds since 1970.
    pub wall_ms: u64,
}

/// Why something was not recorded. Nothing of it is in the ledger.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SequencerError {
    /// The store refused the commit.
    #[error("the ledger could not be written: {0}")]
    Store(#[source] Arc<StoreError>),
    /// The entry breaks a bound of the format.
    #[error("the entry cannot be written: {0}")]
    Entry(String),
    /// The keys could not be put in order, or a new one not be made.
    #[error(transparent)]
    Keys(Arc<KeyError>),
    /// The ledger has reached its disk budget, and nothing may be removed to make room.
    #[error("the ledger has reached ledger.disk_budget, and nothing may be removed before the auditor has it")]
    OverBudget,
    /// There is no space, and `ledger.on_full = "drop"` says to go on: the verdict is counted instead of recorded.
    #[error("there is no space for the entry; it is counted as dropped")]
    Dropped,
    /// The service is shutting down.
    #[error("the ledger is closed")]
    Closed,
}

/// Called once, on the writer's thread: it must not block.
pub type Done = Box<dyn FnOnce(Result<Placed, SequencerError>) + Send>;

enum Command {
    Append(Box<Pending>, Done),
    /// Values without an entry.
    Named(Vec<(String, Option<Vec<u8>>)>, oneshot::Sender<Result<(), SequencerError>>),
    /// Erase the payloads of these invocations.
    Erase(keeping::Erasure, oneshot::Sender<Result<Erased, SequencerError>>),
    /// Remove entries below this index.
    Prune(u64, oneshot::Sender<Result<u64, SequencerError>>),
    /// Sign what there is.
    Checkpoint(oneshot::Sender<Result<u64, SequencerError>>),
    /// Hand over to a new key; all steps in earnest, fewer to play a crash.
    Rotate(Step, oneshot::Sender<Result<Rotated, SequencerError>>),
    Stop,
}

/// Handle to the writer thread.
#[derive(Clone)]
pub struct Sequencer {
    commands: Sender<Command>,
    invocations: Arc<Invocations>,
    reader: Reader,
    origin: Arc<str>,
    keyring: Keyring,
    counters: Arc<Counters>,
    over_budget: Arc<AtomicBool>,
    signed: watch::Receiver<u64>,
}

/// The writer thread itself; [`Writer::stop`] ends it.
#[derive(Debug)]
pub struct Writer {
    commands: Sender<Command>,
    thread: JoinHandle<()>,
}

/// The hand-over to a new key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rotated {
    /// Number of the new key.
    pub epoch: u64,
    /// The new public key.
    pub key: String,
    /// The first entry that it speaks for.
    pub start: u64,
}

impl From<KeyError> for SequencerError {
    fn from(error: KeyError) -> Self {
        Self::Keys(Arc::new(error))
    }
}

/// What opening the ledger found.
#[derive(Debug, Clone)]
pub struct Opening {
    /// No ledger was there before.
    pub fresh: bool,
    /// The last run ended with [`Writer::stop`].
    pub clean: bool,
    /// What the store mended, in words.
    pub repaired: Vec<String>,
    /// Entries found.
    pub size: u64,
    /// Which log of this box it is; more than 1 after it was found to be a copy or an old image.
    pub incarnation: u32,
    /// Why this start opened a new incarnation, a sentence each; empty when it did not.
    pub reopened: Vec<String>,
}

impl Sequencer {
    /// Opens the ledger in `data`, records the opening as an entry and starts the writer thread.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be opened or the first entry not be written.
    pub fn open(
        data: &Path,
        edge: &config::Edge,
        settings: &config::Ledger,
        keys: Keys,
    ) -> Result<(Self, Writer, Opening), SequencerError> {
        let (log, opened, keys) = opening::open(data, edge, settings, keys)?;
        let reader = log.reader();
        let (sender, receiver) = bounded(QUEUE);
        let counters = Arc::new(Counters::default());
        let (signed_sender, signed) = watch::channel(0);
        let keyring = keys.keyring();
        let origin = Arc::from(keys.signing.name());
        let (mut writer, opening) =
            writer::State::new(log, opened, edge, settings.clone(), keys, counters.clone(), signed_sender)?;
        writer.record_opening(&opening)?;
        crate::keys::Reopening::end(data)?;
        writer.finish_erasure()?;
        let over_budget = writer.over_budget.clone();
        let invocations = writer.invocations();
        let thread = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || writer.run(&receiver))
            .map_err(|error| SequencerError::Entry(format!("no thread for the ledger: {error}")))?;
        let handle =
            Self { commands: sender.clone(), invocations, reader, origin, keyring, counters, over_budget, signed };
        Ok((handle, Writer { commands: sender, thread }, opening))
    }

    /// Takes the next invocation id. `None` means that the ledger is too far behind; turn the caller away.
    pub fn allocate(&self) -> Option<u64> {
        self.invocations.allocate()
    }

    /// Hands over an entry; `done` is called on the writer's thread once it is durable or has failed. Waits while the
    /// queue is full.
    pub fn submit(&self, pending: Pending, done: Done) {
        if let Err(refused) = self.commands.send(Command::Append(Box::new(pending), done))
            && let Command::Append(_, done) = refused.into_inner()
        {
            done(Err(SequencerError::Closed));
        }
    }

    /// Records an entry and waits until it is durable.
    ///
    /// # Errors
    /// [`SequencerError`]; then the entry is not in the ledger.
    pub async fn append(&self, pending: Pending) -> Result<Placed, SequencerError> {
        let (sender, receiver) = oneshot::channel();
        let handle = self.clone();
        // The queue may be full, and waiting for it must not hold up the runtime.
        let submit = move || handle.submit(pending, Box::new(move |result| drop(sender.send(result))));
        tokio::task::spawn_blocking(submit).await.map_err(|_| SequencerError::Closed)?;
        receiver.await.map_err(|_| SequencerError::Closed)?
    }

    /// As [`Sequencer::append`], from a thread outside of the runtime.
    ///
    /// # Errors
    /// As there.
    pub fn append_blocking(&self, pending: Pending) -> Result<Placed, SequencerError> {
        let (sender, receiver) = bounded(1);
        self.submit(pending, Box::new(move |result| drop(sender.send(result))));
        receiver.recv().map_err(|_| SequencerError::Closed)?
    }

    /// Stores named small values durably, without an entry.
    ///
    /// # Errors
    /// [`SequencerError`]; then none of them has changed.
    pub async fn put_named(&self, values: Vec<(String, Option<Vec<u8>>)>) -> Result<(), SequencerError> {
        let (sender, receiver) = oneshot::channel();
        self.send(Command::Named(values, sender)).await?;
        receiver.await.map_err(|_| SequencerError::Closed)?
    }

    /// As [`Sequencer::put_named`], from a thread outside of the runtime.
    ///
    /// # Errors
    /// As there.
    pub fn put_named_blocking(&self, values: Vec<(String, Option<Vec<u8>>)>) -> Result<(), SequencerError> {
        let (sender, receiver) = oneshot::channel();
        self.commands.send(Command::Named(values, sender)).map_err(|_| SequencerError::Closed)?;
        receiver.blocking_recv().map_err(|_| SequencerError::Closed)?
    }

    /// Signs a checkpoint over all entries, and returns its size.
    ///
    /// # Errors
    /// [`SequencerError`] when it could not be made durable.
    pub async fn checkpoint_now(&self) -> Result<u64, SequencerError> {
        let (sender, receiver) = oneshot::channel();
        self.send(Command::Checkpoint(sender)).await?;
        receiver.await.map_err(|_| SequencerError::Closed)?
    }

    /// Hands the ledger over to a new key, and destroys the old one.
    ///
    /// # Errors
    /// [`SequencerError`]; then the present key goes on signing.
    pub async fn rotate(&self) -> Result<Rotated, SequencerError> {
        let (sender, receiver) = oneshot::channel();
        self.send(Command::Rotate(Step::Destroyed, sender)).await?;
        receiver.await.map_err(|_| SequencerError::Closed)?
    }

    /// As [`Sequencer::rotate`], from a thread outside of the runtime.
    ///
    /// # Errors
    /// As there.
    pub fn rotate_blocking(&self) -> Result<Rotated, SequencerError> {
        self.rotate_until(Step::Destroyed)
    }

    fn rotate_until(&self, until: Step) -> Result<Rotated, SequencerError> {
        let (sender, receiver) = oneshot::channel();
        self.commands.send(Command::Rotate(until, sender)).map_err(|_| SequencerError::Closed)?;
        receiver.blocking_recv().map_err(|_| SequencerError::Closed)?
    }

    async fn send(&self, command: Command) -> Result<(), SequencerError> {
        let commands = self.commands.clone();
        let sent = tokio::task::spawn_blocking(move || commands.send(command).is_ok()).await;
        if matches!(sent, Ok(true)) { Ok(()) } else { Err(SequencerError::Closed) }
    }

    /// Reads the ledger while it is written.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Erases the payloads and salts of invocations, and records that. Entries and proofs stay as they are.
    ///
    /// At most [`MAX_ERASE_RANGES`] ranges of together at most [`MAX_ERASE_INVOCATIONS`] invocations at a time.
    ///
    /// # Errors
    /// [`SequencerError`]; [`SequencerError::Entry`] for too many or empty ranges and for ids that were never given.
    /// After an error the erasure has happened, is finished at the next start, or is not recorded.
    pub fn erase_blocking(&self, ranges: Vec<Range<u64>>, reason: &str) -> Result<Erased, SequencerError> {
        let (sender, receiver) = oneshot::channel();
        let erasure = keeping::Erasure { ranges, reason: reason.to_owned() };
        self.commands.send(Command::Erase(erasure, sender)).map_err(|_| SequencerError::Closed)?;
        receiver.blocking_recv().map_err(|_| SequencerError::Closed)?
    }

    /// Removes entries below `index` in whole tiles of 256; the caller has seen a receipt for them. Returns the index
    /// below which entries are gone.
    ///
    /// # Errors
    /// [`SequencerError`].
    pub fn prune_blocking(&self, index: u64) -> Result<u64, SequencerError> {
        let (sender, receiver) = oneshot::channel();
        self.commands.send(Command::Prune(index, sender)).map_err(|_| SequencerError::Closed)?;
        receiver.blocking_recv().map_err(|_| SequencerError::Closed)?
    }

    /// Says whether the ledger has reached its budget: then verdicts are treated as on a full disk.
    pub fn set_over_budget(&self, over: bool) {
        self.over_budget.store(over, Ordering::Relaxed);
    }

    /// Whether the ledger has reached its budget.
    pub fn is_over_budget(&self) -> bool {
        self.over_budget.load(Ordering::Relaxed)
    }

    /// All public keys of the ledger, as they come.
    pub fn keyring(&self) -> Keyring {
        self.keyring.clone()
    }

    /// Name of the box in its checkpoints.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Size of the newest checkpoint, as it grows.
    pub fn signed(&self) -> watch::Receiver<u64> {
        self.signed.clone()
    }

    /// Counters since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Commands that wait for the writer.
    pub fn backlog(&self) -> usize {
        self.commands.len()
    }
}

impl Writer {
    /// Commits what was handed over before, signs a last checkpoint, marks the end as clean and closes the ledger.
    pub fn stop(self) {
        // The writer drains its queue in order, so everything submitted before this is committed.
        if self.commands.send(Command::Stop).is_ok() && self.thread.join().is_err() {
            tracing::error!("the ledger's thread panicked; the next start recovers");
        }
    }
}

#[cfg(test)]
pub(crate) mod test_support;
#[cfg(test)]
mod tests;
