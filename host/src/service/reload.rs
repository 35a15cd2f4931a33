//! Another configuration while the box runs: read, checked, loaded, warmed up, recorded, and only then in force.
//!
//! One at a time. Until the pipeline is exchanged nothing has changed, so whatever is refused leaves what was in force.
//! Inferences that came before the exchange are judged to their end by the guards that were in force then.

use super::Edge;
use crate::config::{self, Config, ConfigError, Unsigned};
use crate::detectors;
use crate::guards;
use crate::pipeline::{self, Changes, InForce, Pipeline, PipelineError, Previous, WarmUpError};
use crate::sequencer::{Sequencer, SequencerError};
use crossbeam_channel::Sender;
use picket_engine::{CacheOptions, Engine, EngineError};
use picket_ledger::entry::{self, Body, GuardEvent, GuardEventKind, GuardLoad};
use picket_ledger::hash;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest that a pipeline is waited for that is not in force any more. Its checks have deadlines, so only a queue that does
/// not move, or a ledger that does not write, takes so long; it is freed then when the last of them ends.
const DRAIN: Duration = Duration::from_secs(60);

/// How much less of a busy processor loading gets than judging: the nice value of its thread.
const NICE: i32 = 10;

/// Why a configuration is not put in force. What was in force stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// It is no configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It changes what a running box cannot change.
    #[error("{}: only a restart changes {}; put them back, or restart the service", file.display(), keys.join(", "))]
    Restart {
        /// The configuration file.
        file: PathBuf,
        /// Every key that is different and may not be.
        keys: Vec<String>,
    },
    /// A guard or detector cannot be loaded.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// No engine holds what the guards ask for.
    #[error("{}: {source}", file.display())]
    Engine {
        /// The configuration file.
        file: PathBuf,
        /// Why.
        source: EngineError,
    },
    /// A guard cannot judge an ordinary text.
    #[error("{}:{}: {source}", file.display(), source.line)]
    WarmUp {
        /// The configuration file.
        file: PathBuf,
        /// Which, and how it fails.
        source: Box<WarmUpError>,
    },
    /// What is new could not be recorded.
    #[error("the new configuration could not be recorded, so the old one stays: {0}")]
    Ledger(#[from] SequencerError),
    /// The service is stopping.
    #[error("the box is shutting down; the next start reads its configuration anew")]
    Stopping,
    /// The system has no thread for it.
    #[error("no thread: {0}")]
    Thread(std::io::Error),
}

impl ReloadError {
    /// Whether the configuration is to blame, rather than the box.
    pub fn is_bad_input(&self) -> bool {
        !matches!(self, Self::Ledger(_) | Self::Stopping | Self::Thread(_))
    }

    fn guard(&self) -> Option<&str> {
        match self {
            Self::WarmUp { source, .. } => Some(&source.guard),
            _ => None,
        }
    }
}

/// What a reload has done.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Reloaded {
    /// Digest of the policy that is in force now, in hexadecimal.
    pub policy: String,
    /// Index of the config entry that says so; none when nothing has changed.
    pub entry: Option<u64>,
    /// Guards and detectors that were loaded, or are vouched for otherwise.
    pub loaded: Vec<String>,
    /// Guards and detectors that are not in force any more.
    pub retired: Vec<String>,
    /// Whether the last check of the guards before has ended.
    pub drained: bool,
    /// Milliseconds that it took.
    pub millis: u64,
}

/// Counters, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Configurations put in force since the start.
    pub done: AtomicU64,
    /// Configurations refused since the start.
    pub refused: AtomicU64,
}

/// A file to put in force, and who waits for the outcome.
type Task = (Option<PathBuf>, Sender<Result<Reloaded, ReloadError>>);

/// Puts other configurations in force.
pub struct Reloader {
    edge: Arc<Edge>,
    in_force: Arc<InForce>,
    cache: Option<CacheOptions>,
    stopping: AtomicBool,
    allow_unsigned: AtomicBool,
    /// None before the first reload, and when the service stops.
    worker: Mutex<Option<(Sender<Task>, JoinHandle<()>)>>,
    /// Locked for the whole of a reload: the next one waits.
    now: Mutex<Now>,
}

/// What is in force.
pub(super) struct Now {
    pub(super) config: Config,
    pub(super) engine: Engine,
    pub(super) detectors: detectors::Running,
}

impl Reloader {
    pub(super) fn new(edge: Arc<Edge>, in_force: Arc<InForce>, cache: Option<CacheOptions>, now: Now) -> Self {
        let (stopping, allow_unsigned) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { edge, in_force, cache, stopping, allow_unsigned, worker: Mutex::new(None), now: Mutex::new(now) }
    }

    /// Reads `file`, or the file that is in force when none is given, and puts it in force. Blocks, also for a reload under
    /// way; what takes processor time happens on a thread of low priority.
    ///
    /// # Errors
    /// [`ReloadError`]; then what was in force stays, and the ledger says that this was refused.
    pub fn reload(self: &Arc<Self>, file: Option<PathBuf>) -> Result<Reloaded, ReloadError> {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        self.worker()?.send((file, sender)).map_err(|_| self.gone())?;
        receiver.recv().map_err(|_| self.gone())?
    }

    fn gone(&self) -> ReloadError {
        if self.stopping.load(Ordering::SeqCst) {
            return ReloadError::Stopping;
        }
        ReloadError::Thread(std::io::Error::other("the thread that reloads has ended; restart the service"))
    }

    /// The thread that does it, started by the first reload. Always the same one: an allocator keeps what each thread has
    /// freed, and a thread for each reload would leave that behind in ever more places.
    fn worker(self: &Arc<Self>) -> Result<Sender<Task>, ReloadError> {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stopping.load(Ordering::SeqCst) {
            return Err(ReloadError::Stopping);
        }
        if let Some((tasks, _)) = &*worker {
            return Ok(tasks.clone());
        }
        let (tasks, receiver) = crossbeam_channel::unbounded::<Task>();
        let reloader = Arc::clone(self);
        let work = move || {
            // For this thread alone, by the way Linux reads the call. Without it loading only takes more from judging.
            let _as_it_is = rustix::process::setpriority_process(None, NICE);
            for (file, answer) in receiver {
                // Who asked may have gone away; it is done all the same.
                drop(answer.send(reloader.exchange(file.as_deref())));
            }
        };
        let thread = std::thread::Builder::new().name("reload".into()).spawn(work).map_err(ReloadError::Thread)?;
        *worker = Some((tasks.clone(), thread));
        Ok(tasks)
    }

    /// From now on unsigned guards may run whatever a file says: the service was started with `--allow-unsigned`.
    pub fn allow_unsigned(&self) {
        self.allow_unsigned.store(true, Ordering::SeqCst);
    }

    /// Refuses further reloads and waits for the one under way.
    pub(super) fn close(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((tasks, thread)) = worker {
            drop(tasks);
            if thread.join().is_err() {
                tracing::error!("the thread that reloads panicked");
            }
        }
    }

    fn exchange(&self, file: Option<&Path>) -> Result<Reloaded, ReloadError> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stopping.load(Ordering::SeqCst) {
            return Err(ReloadError::Stopping);
        }
        let done = self.try_exchange(&mut now, file);
        match &done {
            Ok(done) => {
                self.edge.reloads.done.fetch_add(1, Ordering::Relaxed);
                tracing::info!(policy = done.policy, loaded = ?done.loaded, retired = ?done.retired, "reloaded");
            }
            Err(error) => {
                self.edge.reloads.refused.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "the new configuration is refused; the old one stays in force");
                self.record_refusal(error);
            }
        }
        done
    }

    fn try_exchange(&self, now: &mut Now, file: Option<&Path>) -> Result<Reloaded, ReloadError> {
        let started = Instant::now();
        let config = self.read(now, file)?;
        let engine = self.engine(now, &config)?;
        let old = self.edge.pipeline();
        let same_engine = engine.is_same(&now.engine);
        let previous = Previous { pipeline: &old, same_engine };
        let next = pipeline::load(&config, &engine, self.in_force.clone(), Some(previous))?;
        let detectors = detectors::load(&config, &engine, &self.in_force, Some(&now.detectors))?;
        next.warm_up().map_err(|source| ReloadError::WarmUp { file: config.file.clone(), source: Box::new(source) })?;

        let changes = next.changes_from(&old);
        let detector_loads = detectors.guard_loads();
        let gone = now.detectors.retired(&detectors);
        let policy = hash::to_hex(next.policy());
        let loads = || changes.loaded.iter().chain(&detector_loads);
        let mut reloaded = Reloaded {
            policy,
            entry: None,
            loaded: loads().map(|load| load.name.clone()).collect(),
            retired: changes.retired.iter().filter_map(|event| event.guard.clone()).collect(),
            drained: true,
            millis: 0,
        };
        reloaded.retired.extend(gone.iter().map(|(name, _)| name.clone()));
        if next.policy() != old.policy() || loads().next().is_some() {
            // Durable before the exchange: no verdict names a policy that the ledger does not hold yet.
            if let Some(sequencer) = self.edge.sequencer() {
                reloaded.entry = Some(record(sequencer, &next, loads())?);
            }
        }
        let running = detectors.running();
        self.edge.set_pipeline(next);
        *now = Now { config, engine, detectors: running };
        self.edge.detectors().replace(detectors, self.edge.sequencer());
        reloaded.drained = drained(old);
        self.record_ends(changes, &gone);
        reloaded.millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(reloaded)
    }

    fn read(&self, now: &Now, file: Option<&Path>) -> Result<Config, ReloadError> {
        let file = file.unwrap_or(&now.config.file);
        let mut config = config::load(file)?;
        let keys = config::restart_keys(&now.config, &config);
        if !keys.is_empty() {
            return Err(ReloadError::Restart { file: file.to_path_buf(), keys });
        }
        if self.allow_unsigned.load(Ordering::SeqCst) {
            config.trust.unsigned = Unsigned::Allow;
        }
        Ok(config)
    }

    /// The engine that runs, if its pool holds what the guards ask for, and it compiles as configured; else another one, to which all guards move.
    fn engine(&self, now: &Now, config: &Config) -> Result<Engine, ReloadError> {
        let wanted = guards::engine_options(config, self.cache.clone());
        let has = now.engine.options();
        let holds = wanted.max_memory <= has.max_memory && wanted.instances <= has.instances;
        // The limits of compiling are the engine's.
        if holds && wanted.compiler == has.compiler {
            return Ok(now.engine.clone());
        }
        Engine::new(wanted).map_err(|source| ReloadError::Engine { file: config.file.clone(), source })
    }

    /// What ends is recorded when its last verdict has been handed over: none of them comes after it.
    fn record_ends(&self, changes: Changes, gone: &[(String, bool)]) {
        let detectors = gone.iter().map(|(name, followed)| {
            let message =
                if *followed { "a detector of the same name took its place" } else { "nothing took its place" };
            event(Some(name.clone()), GuardEventKind::Retired, message)
        });
        for event in changes.closed.into_iter().chain(changes.retired).chain(detectors) {
            self.tell(event);
        }
    }

    fn record_refusal(&self, error: &ReloadError) {
        let message = entry::clip_message(&error.to_string());
        self.tell(event(error.guard().map(str::to_owned), GuardEventKind::Refused, &message));
    }

    fn tell(&self, event: GuardEvent) {
        self.edge.metrics.happened(&event);
        if let Some(sequencer) = self.edge.sequencer()
            && let Err(error) = sequencer.append_blocking(Body::GuardEvent(event).into())
        {
            tracing::error!(%error, "what happened to a guard could not be recorded");
        }
    }
}

fn event(guard: Option<String>, event: GuardEventKind, message: &str) -> GuardEvent {
    GuardEvent { guard, event, component: None, settings: None, action: None, message: message.to_owned() }
}

/// Guards that are new, then the configuration; the index of the latter.
pub(super) fn record<'a>(
    sequencer: &Sequencer,
    pipeline: &Pipeline,
    loads: impl Iterator<Item = &'a GuardLoad>,
) -> Result<u64, SequencerError> {
    for load in loads {
        sequencer.append_blocking(Body::GuardLoad(load.clone()).into())?;
    }
    let config = entry::Config { digest: *pipeline.policy(), document: pipeline.document().to_owned() };
    Ok(sequencer.append_blocking(Body::Config(config).into())?.index)
}

/// Waits until nobody judges by `pipeline` any more, for [`DRAIN`] at most. Its guards are freed then.
fn drained(pipeline: Arc<Pipeline>) -> bool {
    let still_held = Arc::downgrade(&pipeline);
    drop(pipeline);
    let begun = Instant::now();
    while still_held.strong_count() > 0 {
        if begun.elapsed() > DRAIN {
            tracing::warn!("the guards before are still judging; they are freed when their last check ends");
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}
