//! Detectors: one thread feeds them rows of measurements and turns their alarms into entries.
//!
//! Each detector has one long-lived instance for each model it watches. Rows wait in a bounded queue; whoever feeds them
//! waits when it is full. After every batch with an alarm, after every [`SNAPSHOT_BATCHES`] batches and at the end the
//! state is stored, in the same commit as the alarms it led to: an alarm is never raised twice for the same rows. After a
//! crash a detector goes on from there; rows since then are missing from its statistics, and none is counted twice.

mod batch;
mod fit;
mod source;
mod watch;

pub use fit::{FitError, Fitted, fit};

use crate::config::{self, Config};
use crate::guards::Standing;
use crate::pipeline::{InForce, PipelineError};
use crate::sequencer::Sequencer;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use picket_engine::Engine;
use picket_engine::NamedValue;
use picket_ledger::entry::{Drift, GuardLoad};
use source::{Identity, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use watch::Watch;

/// Rows that may wait for the detectors.
const QUEUE: usize = 4096;
/// Batches between two stored states of an instance that raises no alarms.
const SNAPSHOT_BATCHES: u32 = 16;

/// One inference, as detectors see it.
#[derive(Debug)]
pub struct Row {
    /// Which model.
    pub model: String,
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// Measurements, and features as `feature.<name>`.
    pub values: Vec<NamedValue>,
}

enum Command {
    Row(Row),
    /// Others take the place of those that run, then answer.
    Replace(Vec<Next>, Sender<()>),
    /// Hand over what has gathered, then answer.
    Flush(Sender<()>),
    Stop,
}

/// Counters, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Rows handed to detectors, once for each detector.
    pub rows: AtomicU64,
    /// Alarms opened.
    pub opened: AtomicU64,
    /// Alarms closed.
    pub closed: AtomicU64,
    /// Rows that a detector lost because it failed; each loss is a drop entry.
    pub lost: AtomicU64,
}

/// Called on the detectors' thread with each alarm, after its entry is durable.
pub type OnAlarm = Box<dyn Fn(&Drift, u64) + Send>;

/// Handle to the detectors' thread.
#[derive(Clone)]
pub struct Detectors {
    commands: Sender<Command>,
    counters: Arc<Counters>,
}

/// The thread; [`Feeder::stop`] ends it.
#[derive(Debug)]
pub struct Feeder {
    commands: Sender<Command>,
    thread: JoinHandle<()>,
}

/// A detector of the next configuration.
enum Next {
    /// One that runs goes on, with its instances and their states.
    Kept(config::Detector),
    New(Box<Watch>),
}

/// Detectors that have been loaded and see no rows yet.
pub struct Loaded {
    next: Vec<Next>,
    known: Vec<(Identity, Arc<Standing>)>,
    counters: Arc<Counters>,
}

/// Loads all detectors, but for those that run already under `running` and stay what they are.
///
/// # Errors
/// [`PipelineError`] names the first detector that cannot be loaded.
pub fn load(
    config: &Config,
    engine: &Engine,
    in_force: &InForce,
    running: Option<&Running>,
) -> Result<Loaded, PipelineError> {
    let counters = running.map(|running| running.counters.clone()).unwrap_or_default();
    let mut loaded = Loaded { next: Vec::new(), known: Vec::new(), counters };
    for detector in &config.detectors {
        let source = Source::read(config, detector)?;
        let identity = source.identity(detector);
        let standing = match running.and_then(|running| running.standing(&identity)) {
            Some(standing) => {
                loaded.next.push(Next::Kept(detector.clone()));
                standing
            }
            None => {
                let watch = Watch::load(config, detector, source, engine, in_force, loaded.counters.clone())?;
                let standing = watch.standing();
                loaded.next.push(Next::New(Box::new(watch)));
                standing
            }
        };
        loaded.known.push((identity, standing));
    }
    Ok(loaded)
}

/// Which detectors run.
#[derive(Debug, Clone)]
pub struct Running {
    known: Vec<(Identity, Arc<Standing>)>,
    counters: Arc<Counters>,
}

impl Running {
    /// The standing of the detector of this identity, if it runs and may go on. One that was revoked has to be loaded anew.
    fn standing(&self, identity: &Identity) -> Option<Arc<Standing>> {
        let same = self.known.iter().find(|(known, standing)| known == identity && standing.revoked().is_none());
        same.map(|(_, standing)| standing.clone())
    }

    /// The names of those that do not go on under `next`, and whether another takes their place.
    pub fn retired(&self, next: &Loaded) -> Vec<(String, bool)> {
        let goes_on = |identity: &Identity| next.known.iter().any(|(known, _)| known.is_as(identity));
        let gone = self.known.iter().filter(|(identity, standing)| !goes_on(identity) && standing.revoked().is_none());
        let followed = |name: &str| next.known.iter().any(|(identity, _)| identity.name == name);
        gone.map(|(identity, _)| (identity.name.clone(), followed(&identity.name))).collect()
    }
}

impl Loaded {
    /// What to record of the loading: those that did not run before.
    pub fn guard_loads(&self) -> Vec<GuardLoad> {
        let new = |next: &Next| match next {
            Next::Kept(_) => None,
            Next::New(watch) => Some(watch.guard_load()),
        };
        self.next.iter().filter_map(new).collect()
    }

    /// Which they are, for the next change.
    pub fn running(&self) -> Running {
        Running { known: self.known.clone(), counters: self.counters.clone() }
    }

    /// Starts the detectors' thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(self, sequencer: Option<&Sequencer>, on_alarm: OnAlarm) -> std::io::Result<(Detectors, Feeder)> {
        let counters = self.counters.clone();
        let mut watches = replaced(Vec::new(), self.next, &on_alarm);
        watches.iter_mut().for_each(|watch| watch.record_in(sequencer.cloned()));
        let (commands, receiver) = bounded(QUEUE);
        let thread =
            std::thread::Builder::new().name("detectors".into()).spawn(move || run(watches, &receiver, &on_alarm))?;
        let handle = Detectors { commands: commands.clone(), counters };
        Ok((handle, Feeder { commands, thread }))
    }
}

impl Detectors {
    /// Puts `loaded` in the place of the detectors that run; returns when it is done. Those that end hand over their last
    /// batch and store their states; those that stay what they are lose nothing.
    pub fn replace(&self, loaded: Loaded, sequencer: Option<&Sequencer>) {
        let mut next = loaded.next;
        for next in &mut next {
            if let Next::New(watch) = next {
                watch.record_in(sequencer.cloned());
            }
        }
        let (sender, receiver) = bounded(1);
        if self.commands.send(Command::Replace(next, sender)).is_ok() {
            let _answered_or_gone = receiver.recv();
        }
    }

    /// Hands over a row; waits while the queue is full.
    pub fn feed(&self, row: Row) {
        // The thread ends only after `stop`, when nobody feeds any more.
        drop(self.commands.send(Command::Row(row)));
    }

    /// Counters since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Feeder {
    /// Hands over every row that waits, and returns when its alarms are recorded.
    pub fn flush(&self) {
        let (sender, receiver) = bounded(1);
        if self.commands.send(Command::Flush(sender)).is_ok() {
            let _answered_or_gone = receiver.recv();
        }
    }

    /// Flushes, stores every state and ends the thread.
    pub fn stop(self) {
        if self.commands.send(Command::Stop).is_ok() && self.thread.join().is_err() {
            tracing::error!("the detectors' thread panicked; their states are those of the last snapshot");
        }
    }
}

fn run(mut watches: Vec<Watch>, commands: &Receiver<Command>, on_alarm: &OnAlarm) {
    loop {
        let due = watches.iter().filter_map(Watch::due).min();
        let deadline = due.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        match commands.recv_deadline(deadline) {
            Ok(Command::Row(row)) => watches.iter_mut().for_each(|watch| watch.row(&row, on_alarm)),
            Ok(Command::Replace(next, done)) => {
                watches = replaced(watches, next, on_alarm);
                let _nobody_waits = done.send(());
            }
            Ok(Command::Flush(done)) => {
                watches.iter_mut().for_each(|watch| watch.flush(on_alarm));
                let _nobody_waits = done.send(());
            }
            Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => {
                watches.iter_mut().for_each(|watch| watch.close(on_alarm));
                return;
            }
            Err(RecvTimeoutError::Timeout) => watches.iter_mut().for_each(|watch| watch.flush_due(on_alarm)),
        }
    }
}

/// Those that are kept are taken over from `old`; the others are closed before anything new begins, so that their stored
/// states are whole.
fn replaced(mut old: Vec<Watch>, next: Vec<Next>, on_alarm: &OnAlarm) -> Vec<Watch> {
    let mut kept: Vec<Watch> = Vec::new();
    for next in &next {
        if let Next::Kept(config) = next
            && let Some(at) = old.iter().position(|watch| watch.config_name() == config.name)
        {
            let mut watch = old.swap_remove(at);
            watch.reconfigure(config.clone());
            kept.push(watch);
        }
    }
    old.iter_mut().for_each(|watch| watch.close(on_alarm));
    let new = next.into_iter().filter_map(|next| if let Next::New(watch) = next { Some(*watch) } else { None });
    kept.into_iter().chain(new).collect()
}

impl Counters {
    fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}
