//! Detectors: one thread feeds them rows of measurements and turns their alarms into entries.
//!
//! Each detector has one long-lived instance for each model it watches. Rows wait in a bounded queue; whoever feeds them
//! waits when it is full. After every batch with an alarm, after every [`SNAPSHOT_BATCHES`] batches and at the end the
//! state is stored, in the same commit as the alarms it led to: an alarm is never raised twice for the same rows. After a
//! crash a detector goes on from there; rows since then are missing from its statistics, and none is counted twice.

mod batch;
mod fit;
mod watch;

pub use fit::{FitError, Fitted, fit};

use crate::config::Config;
use crate::pipeline::{InForce, PipelineError};
use crate::sequencer::Sequencer;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use picket_engine::Engine;
use picket_engine::NamedValue;
use picket_ledger::entry::{Drift, GuardLoad};
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

/// Detectors that have been loaded and see no rows yet.
pub struct Loaded {
    watches: Vec<Watch>,
    counters: Arc<Counters>,
}

/// Loads all detectors.
///
/// # Errors
/// [`PipelineError`] names the first detector that cannot be loaded.
pub fn load(config: &Config, engine: &Engine, in_force: &InForce) -> Result<Loaded, PipelineError> {
    let counters = Arc::new(Counters::default());
    let load = |detector| Watch::load(config, detector, engine, in_force, counters.clone());
    let watches = config.detectors.iter().map(load).collect::<Result<_, _>>()?;
    Ok(Loaded { watches, counters })
}

impl Loaded {
    /// What to record of the loading.
    pub fn guard_loads(&self) -> Vec<GuardLoad> {
        self.watches.iter().map(Watch::guard_load).collect()
    }

    /// Starts the detectors' thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(self, sequencer: Option<&Sequencer>, on_alarm: OnAlarm) -> std::io::Result<(Detectors, Feeder)> {
        let Self { mut watches, counters } = self;
        watches.iter_mut().for_each(|watch| watch.record_in(sequencer.cloned()));
        let (commands, receiver) = bounded(QUEUE);
        let thread =
            std::thread::Builder::new().name("detectors".into()).spawn(move || run(watches, &receiver, &on_alarm))?;
        let handle = Detectors { commands: commands.clone(), counters };
        Ok((handle, Feeder { commands, thread }))
    }
}

impl Detectors {
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

impl Counters {
    fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}
