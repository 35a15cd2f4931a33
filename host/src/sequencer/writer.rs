//! What happens on the writer's thread.

mod group;
mod rotate;

pub(super) use group::Group;
use group::{Waiting, oversized};

use super::clock::{Clock, Steps};
use super::doubt;
use super::invocation::Invocations;
use super::{Command, Counters, Done, Opening, Pending, Placed, SequencerError};
use crate::config;
use crate::keys::{self, Keys};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use picket_ledger::entry::{Body, Entry, Heartbeat, MAX_FOUND, Recovery, clip_message};
use picket_ledger::{Checkpoint, Hash, hash};
use picket_store::{Commit, Log, Opened, Payload};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Most entries and most bytes in one commit: enough to share the wait for the disk, few enough to keep it short.
const MAX_GROUP: usize = 256;
const MAX_GROUP_BYTES: usize = 1 << 20;

/// Durable ceiling of invocation ids: u64, big-endian.
pub(super) const CEILING: &str = "invocation-ceiling";
/// Present after a clean end only; holds the next invocation id, u64, big-endian.
pub(super) const CLEAN: &str = "clean-end";

pub(super) struct State {
    pub(super) log: Log,
    origin: String,
    /// Which log of this box it is.
    incarnation: u32,
    /// Where the newest checkpoint is put as well.
    witness: Option<PathBuf>,
    pub(super) settings: config::Ledger,
    keys: Keys,
    /// When the present key has lived long enough.
    rotate_at: Option<Instant>,
    pub(super) clock: Clock,
    pub(super) steps: Steps,
    /// Verdicts that went out without an entry and are in no drop entry yet. Only here: after SIGKILL their invocation
    /// ids are holes that the recovery entry names, without this count.
    pub(super) dropped: u64,
    pub(super) over_budget: Arc<AtomicBool>,
    /// The reserve was given up and is not set aside again yet.
    pub(super) reserve_released: bool,
    pub(super) invocations: Arc<Invocations>,
    pub(super) counters: Arc<Counters>,
    signed: watch::Sender<u64>,
    /// Size that the newest checkpoint covers.
    signed_size: u64,
    /// When the first entry that no checkpoint covers was committed.
    unsigned_since: Option<Instant>,
    last_entry: Instant,
    first_invocation: u64,
}

impl State {
    pub(super) fn new(
        log: Log,
        opened: Opened,
        edge: &config::Edge,
        settings: config::Ledger,
        keys: Keys,
        counters: Arc<Counters>,
        signed: watch::Sender<u64>,
    ) -> Result<(Self, Opening), SequencerError> {
        let reader = log.reader();
        let store = |error| SequencerError::Store(Arc::new(error));
        let number = |name: &str| -> Result<Option<u64>, SequencerError> {
            let value = reader.named(name).map_err(store)?;
            Ok(value.and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes))
        };
        let rotate_at = rotate::due(&keys, &settings)?;
        let clean = number(CLEAN)?;
        let reopening = keys.reopening.as_ref().filter(|_| log.size() == 0);
        let first_invocation =
            clean.or(number(CEILING)?).unwrap_or(reopening.map_or(0, |reopening| reopening.first_invocation));
        let incarnation = keys::incarnation_of(keys.signing.name(), &edge.id).unwrap_or(1);
        let signed_size = reader.latest_checkpoint().map_err(store)?.map_or(0, |checkpoint| checkpoint.size);
        let opening = Opening {
            fresh: opened.fresh,
            clean: clean.is_some(),
            repaired: opened.repaired,
            size: log.size(),
            incarnation,
            reopened: reopening.map(|reopening| reopening.found.clone()).unwrap_or_default(),
        };
        let state = Self {
            origin: keys.signing.name().to_owned(),
            incarnation,
            witness: edge.witness.clone(),
            settings,
            keys,
            rotate_at,
            clock: Clock::new(),
            steps: Steps::of_last(&reader).map_err(store)?,
            dropped: 0,
            over_budget: Arc::default(),
            reserve_released: false,
            invocations: Arc::new(Invocations::new(first_invocation, (MAX_GROUP + super::QUEUE + edge.workers) as u64)),
            counters,
            signed,
            signed_size,
            unsigned_since: None,
            last_entry: Instant::now(),
            first_invocation,
            log,
        };
        state.signed.send_replace(signed_size);
        Ok((state, opening))
    }

    pub(super) fn invocations(&self) -> Arc<Invocations> {
        self.invocations.clone()
    }

    /// Every start is an entry: it commits to the head it found, says which invocation ids a crash may have left
    /// without a verdict, and reserves the first ids. Signed at once, so that the head it found is vouched for again.
    pub(super) fn record_opening(&mut self, opening: &Opening) -> Result<(), SequencerError> {
        let reopening = self.keys.reopening.take().filter(|_| self.log.size() == 0);
        let previous = reopening.as_ref().map(|reopening| {
            let root = hash::from_hex(&reopening.previous_root).unwrap_or_else(|_| hash::empty_root());
            (reopening.previous_size, root)
        });
        let (previous_size, previous_root) = previous.unwrap_or((self.log.size(), self.log.root()));
        let body = Body::Recovery(Recovery {
            previous_size,
            previous_root,
            first_invocation: self.first_invocation,
            clean: (opening.clean || opening.fresh) && reopening.is_none(),
            found: opening
                .reopened
                .iter()
                .chain(&opening.repaired)
                .take(MAX_FOUND)
                .map(|line| clip_message(line))
                .collect(),
            heads: reopening.map(|reopening| reopening.heads()).unwrap_or_default(),
        });
        let mut group = Group::default();
        // A crash before this commit leaves the ledger as it was found; the next start does the same again.
        group.named.push((CLEAN.to_owned(), None));
        self.tell(&mut group, true);
        self.place(&mut group, body.into(), Box::new(|_| {}));
        self.commit(group, true, false)
    }

    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        loop {
            match commands.recv_deadline(self.deadline()) {
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(command) => {
                    if self.gather(command, commands) {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.idle(),
            }
            self.rotate_if_due();
        }
        self.close(commands);
    }

    /// Commits `first` and what waits behind it. True when a stop was among it.
    fn gather(&mut self, first: Command, commands: &Receiver<Command>) -> bool {
        let mut group = Group::default();
        self.tell(&mut group, !self.over_budget.load(Ordering::Relaxed));
        let mut erase = None;
        let mut prune = None;
        let mut next = Some(first);
        let mut sign = None;
        let mut rotate = None;
        let mut named = Vec::new();
        let mut stop = false;
        while let Some(command) = next.take() {
            match command {
                Command::Append(pending, done) => match pending.body {
                    // Only a rotation makes one, with its boundary and its keys.
                    Body::KeyRotation(_) => {
                        done(Err(SequencerError::Entry("a hand-over is no entry of its own".into())))
                    }
                    Body::Verdict(_) if self.over_budget.load(Ordering::Relaxed) => {
                        self.no_room(done, &SequencerError::OverBudget)
                    }
                    _ => self.place(&mut group, *pending, done),
                },
                Command::Named(values, done) => match oversized(None, &values) {
                    None => {
                        group.named.extend(values);
                        named.push(done);
                    }
                    Some(error) => drop(done.send(Err(error))),
                },
                Command::Checkpoint(done) => sign = Some(done),
                Command::Rotate(until, done) => rotate = Some((until, done)),
                Command::Erase(erasure, done) => erase = Some((erasure, done)),
                Command::Prune(index, done) => prune = Some((index, done)),
                Command::Stop => stop = true,
            }
            if !stop
                && sign.is_none()
                && rotate.is_none()
                && erase.is_none()
                && prune.is_none()
                && group.entries.len() < MAX_GROUP
                && group.bytes < MAX_GROUP_BYTES
            {
                next = commands.try_recv().ok();
            }
        }
        let outcome = self.commit(group, sign.is_some(), false);
        for done in named {
            drop(done.send(outcome.clone()));
        }
        if let Some(done) = sign {
            drop(done.send(outcome.map(|()| self.signed_size)));
        }
        if let Some((until, done)) = rotate {
            drop(done.send(self.rotate(until)));
        }
        if let Some((erasure, done)) = erase {
            drop(done.send(self.erase(&erasure)));
        }
        if let Some((index, done)) = prune {
            drop(done.send(self.prune(index)));
        }
        stop
    }

    /// Gives the entry its index and times and puts it into the group.
    pub(super) fn place(&self, group: &mut Group, pending: Pending, done: Done) {
        let index = self.log.size() + group.entries.len() as u64;
        let verdict = matches!(pending.body, Body::Verdict(_));
        let now = self.clock.read();
        let entry = Entry {
            incarnation: self.incarnation,
            index,
            wall_ms: now.wall_ms,
            monotonic_ns: now.monotonic_ns,
            boot: now.boot,
            body: pending.body,
        };
        // Refused alone, here: inside of the group it would take the others down with it.
        if let Some(error) = oversized(pending.payload.as_ref(), &pending.named) {
            return done(Err(error));
        }
        match entry.encode() {
            Ok(bytes) => {
                group.bytes += bytes.len();
                let placed = Placed { index, leaf: hash::leaf_hash(&bytes), wall_ms: now.wall_ms };
                group.entries.push(bytes);
                if let Some((invocation, bytes)) = pending.payload {
                    group.bytes += bytes.len();
                    group.payloads.push(Payload { invocation, bytes });
                }
                group.named.extend(pending.named);
                group.waiting.push(Waiting { placed, done, verdict });
            }
            Err(error) => done(Err(SequencerError::Entry(error.to_string()))),
        }
    }

    /// Makes the group durable, and tells those who wait. Signs a checkpoint in the same commit when one is due.
    pub(super) fn commit(&mut self, mut group: Group, sign: bool, boundary: bool) -> Result<(), SequencerError> {
        let started = Instant::now();
        let count = group.entries.len() as u64;
        let ceiling = self.invocations.wanted_ceiling();
        if let Some(ceiling) = ceiling {
            group.named.push((CEILING.to_owned(), Some(ceiling.to_be_bytes().to_vec())));
        }
        let size = self.log.size() + count;
        // A sealed segment ends at a checkpoint of a full tile.
        let tile = size / picket_store::TILE > self.log.size() / picket_store::TILE;
        let sign = size > self.signed_size && (sign || tile || self.checkpoint_due(size, started));
        let signer = |size: u64, root: &Hash| {
            Checkpoint { origin: self.origin.clone(), size, root: *root, extensions: Vec::new() }
                .sign(&self.keys.signing)
        };
        let commit = Commit {
            entries: group.entries,
            payloads: group.payloads,
            named: group.named,
            checkpoint: if sign { Some(&signer) } else { None },
            boundary,
        };
        if commit.entries.is_empty() && commit.named.is_empty() && commit.checkpoint.is_none() {
            return Ok(());
        }
        // Nothing has happened for the outside before this returns: a crash inside it leaves all of the group or none,
        // and nobody has been told otherwise.
        match self.log.commit(commit) {
            Ok(committed) => {
                if let Some(ceiling) = ceiling {
                    self.invocations.raise(ceiling);
                }
                if sign {
                    self.testify();
                    self.signed_size = committed.size;
                    self.unsigned_since = None;
                    self.signed.send_replace(committed.size);
                } else if count > 0 {
                    self.unsigned_since.get_or_insert(started);
                }
                if count > 0 {
                    self.last_entry = started;
                    let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
                    self.counters.committed(count, nanos);
                }
                for Waiting { placed, done, .. } in group.waiting {
                    done(Ok(placed));
                }
                self.renew_reserve();
                Ok(())
            }
            Err(error) => {
                self.counters.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, entries = count, "a commit failed; none of its entries is in the ledger");
                self.steps.unrecorded = self.steps.unrecorded.saturating_add(group.step_ms);
                self.dropped += group.dropped;
                let full = error.is_full();
                if full {
                    self.use_reserve();
                }
                let error = SequencerError::Store(Arc::new(error));
                for Waiting { done, verdict, .. } in group.waiting {
                    if full && verdict {
                        self.no_room(done, &error);
                    } else {
                        done(Err(error.clone()));
                    }
                }
                Err(error)
            }
        }
    }

    /// Behind the commit: what the witness holds is never more than the ledger.
    fn testify(&self) {
        let Some(path) = &self.witness else { return };
        let Ok(Some(checkpoint)) = self.log.reader().latest_checkpoint() else { return };
        if let Err(error) = doubt::testify(path, &checkpoint.text) {
            tracing::warn!(%error, path = %path.display(), "the witness could not be written");
        }
    }

    fn checkpoint_due(&self, size: u64, now: Instant) -> bool {
        let waited = self.unsigned_since.map_or(Duration::ZERO, |since| now.duration_since(since));
        size - self.signed_size >= self.settings.checkpoint_entries || waited >= self.settings.checkpoint_every
    }

    /// When something is to be done although nothing was asked for.
    fn deadline(&self) -> Instant {
        let heartbeat = self.last_entry + self.settings.heartbeat_every;
        let due = self.unsigned_since.map_or(heartbeat, |since| heartbeat.min(since + self.settings.checkpoint_every));
        self.rotate_at.map_or(due, |rotate| due.min(rotate))
    }

    fn idle(&mut self) {
        let mut group = Group::default();
        let heartbeat = self.last_entry.elapsed() >= self.settings.heartbeat_every;
        self.tell(&mut group, heartbeat || !self.over_budget.load(Ordering::Relaxed));
        if heartbeat {
            let body = Body::Heartbeat(Heartbeat { next_invocation: self.invocations.next() });
            self.place(&mut group, body.into(), Box::new(|_| {}));
        }
        if self.commit(group, true, false).is_err() {
            // The failure is logged and counted; wait for a while instead of trying in a tight loop.
            self.last_entry = Instant::now();
            self.unsigned_since = self.unsigned_since.map(|_| Instant::now());
        }
    }

    fn close(mut self, commands: &Receiver<Command>) {
        while let Ok(command) = commands.try_recv() {
            self.gather(command, commands);
        }
        let next = self.invocations.next();
        let mut group = Group::default();
        self.tell(&mut group, true);
        self.place(&mut group, Body::Heartbeat(Heartbeat { next_invocation: next }).into(), Box::new(|_| {}));
        group.named.push((CLEAN.to_owned(), Some(next.to_be_bytes().to_vec())));
        // A crash before this commit makes the next start a recovery, which claims nothing false.
        let _logged = self.commit(group, true, false);
    }
}
