//! The box, put together: engine, guards, detectors, ledger and the watch over weights and prompts.
//!
//! Both `picket run` and `picket check` are a way of handing inferences to a [`Service`].

mod indexing;
mod metrics;
mod provenance;
mod reload;
mod revocation;
mod workers;

pub use metrics::Metrics;
pub use reload::{ReloadError, Reloaded, Reloader};
pub use workers::{Job, Outcome, ProcessError, Respond, Workers};

use crate::config::Config;
use crate::detectors::{self, Detectors, Feeder, OnAlarm};
use crate::evidence::{LEDGER_FOLDER, LOOKUP_FOLDER};
use crate::guards;
use crate::keys::{self, KeyError};
use crate::pipeline::{self, InForce, Pipeline, PipelineError};
use crate::retention::{Keeper, Keeping};
use crate::sequencer::{Opening, Sequencer, SequencerError, Writer};
use indexing::Indexing;
use picket_engine::{CacheOptions, Engine, EngineError};
use picket_ledger::note::VerifyingKey;
use picket_ledger::receipt::CosignerKey;
use picket_store::lookup::Lookup;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// Why a box does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The data folder cannot be made.
    #[error("{}: {source}", path.display())]
    Data {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The keys cannot be had.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The ledger cannot be opened or written.
    #[error(transparent)]
    Ledger(#[from] SequencerError),
    /// The engine does not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A guard or detector cannot be loaded.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A thread does not start.
    #[error("no thread: {0}")]
    Thread(std::io::Error),
}

/// What the threads share.
pub struct Edge {
    /// Exchanged as a whole: who takes it has all of one configuration.
    pipeline: RwLock<Arc<Pipeline>>,
    pub(crate) detectors: Detectors,
    pub(crate) sequencer: Option<Sequencer>,
    pub(crate) retention: Arc<crate::retention::State>,
    pub(crate) metrics: Metrics,
    reloads: reload::Counters,
}

impl Edge {
    /// The guards that are in force now. An inference is judged by those that were when it came.
    pub fn pipeline(&self) -> Arc<Pipeline> {
        self.pipeline.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_pipeline(&self, next: Pipeline) {
        *self.pipeline.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }

    /// How often another configuration was put in force, or refused.
    pub fn reloads(&self) -> &reload::Counters {
        &self.reloads
    }

    /// The detectors.
    pub fn detectors(&self) -> &Detectors {
        &self.detectors
    }

    /// The ledger's writer; none in a dry run.
    pub fn sequencer(&self) -> Option<&Sequencer> {
        self.sequencer.as_ref()
    }

    /// What was seen of the space that the ledger takes.
    pub fn retention(&self) -> &crate::retention::State {
        &self.retention
    }

    /// Counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

/// A box that runs. Call [`Service::stop`]; dropping it loses nothing that was acknowledged, but leaves an unclean end.
pub struct Service {
    /// What the threads share.
    pub edge: Arc<Edge>,
    /// Where inferences go.
    pub workers: Workers,
    /// How the ledger was found.
    pub opening: Option<Opening>,
    /// The box's public key; none in a dry run.
    pub key: Option<VerifyingKey>,
    /// Puts other configurations in force.
    pub reloader: Arc<Reloader>,
    feeder: Feeder,
    threads: workers::Threads,
    watching: provenance::Watching,
    keeping: Option<Keeping>,
    indexing: Option<Indexing>,
    writer: Option<Writer>,
}

/// Whether a service keeps a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// Every judgement becomes an entry.
    Ledger,
    /// Nothing is written: no entry, no key, no cache.
    Dry,
}

impl Service {
    /// Loads and starts everything the configuration asks for.
    ///
    /// # Errors
    /// [`ServiceError`]: the first thing that does not work. Nothing is left running then.
    pub fn start(config: &Config, recording: Recording, on_alarm: OnAlarm) -> Result<Self, ServiceError> {
        let data = &config.edge.data;
        let keys = match recording {
            Recording::Dry => None,
            Recording::Ledger => {
                let made = |source| ServiceError::Data { path: data.clone(), source };
                std::fs::create_dir_all(data).map_err(made)?;
                Some(keys::load_or_create(data, &config.edge.id)?)
            }
        };
        // Guards before the ledger: a configuration that does not load leaves no trace in it.
        let cache = keys.as_ref().map(|keys| CacheOptions { folder: data.join("cache"), key: keys.cache });
        let engine = Engine::new(guards::engine_options(config, cache.clone()))?;
        for note in guards::notes(config, &engine) {
            tracing::warn!("{note}");
        }
        let revoked = guards::revoked(config).map_err(|error| PipelineError::Admit(error.into()))?;
        let in_force = Arc::new(InForce::new(revoked));
        let pipeline = pipeline::load(config, &engine, in_force.clone(), None)?;
        let detectors = detectors::load(config, &engine, &in_force, None)?;
        let detector_loads = detectors.guard_loads();
        let running = detectors.running();
        let key = keys.as_ref().map(|keys| keys.verifying.clone());
        let (sequencer, writer, opening) = match keys {
            None => (None, None, None),
            Some(keys) => {
                let (sequencer, writer, opening) = Sequencer::open(data, &config.edge, &config.ledger, keys)?;
                (Some(sequencer), Some(writer), Some(opening))
            }
        };
        let mut start = Started { writer, feeder: None };
        let (detectors, feeder) = detectors
            .start(sequencer.as_ref(), on_alarm)
            .map_err(ServiceError::Thread)
            .inspect_err(|_| start.abandon())?;
        start.feeder = Some(feeder);
        if let Some(sequencer) = &sequencer {
            let loads = pipeline::guard_loads(&pipeline);
            reload::record(sequencer, &pipeline, loads.iter().chain(&detector_loads))
                .inspect_err(|_| start.abandon())?;
        }
        let watching = provenance::start(config, sequencer.as_ref(), &in_force)
            .map_err(ServiceError::Thread)
            .inspect_err(|_| start.abandon())?;
        let keeping = sequencer
            .as_ref()
            .map(|sequencer| Keeping::start(keeper(config, sequencer)))
            .transpose()
            .map_err(ServiceError::Thread)
            .inspect_err(|_| start.abandon())?;
        let indexing = sequencer
            .as_ref()
            .map(|sequencer| Indexing::start(sequencer.reader(), &data.join(LEDGER_FOLDER).join(LOOKUP_FOLDER)))
            .transpose()
            .map_err(ServiceError::Thread)
            .inspect_err(|_| start.abandon())?;
        let edge = Arc::new(Edge {
            pipeline: RwLock::new(Arc::new(pipeline)),
            detectors,
            sequencer,
            retention: keeping.as_ref().map(Keeping::state).unwrap_or_default(),
            metrics: Metrics::default(),
            reloads: reload::Counters::default(),
        });
        let now = reload::Now { config: config.clone(), engine, detectors: running };
        let reloader = Arc::new(Reloader::new(edge.clone(), in_force, cache, now));
        let (workers, threads) = workers::start(&edge, config.edge.workers, config.edge.queue)
            .map_err(ServiceError::Thread)
            .inspect_err(|_| start.abandon())?;
        let Started { writer, feeder } = start;
        let Some(feeder) = feeder else { return Err(ServiceError::Thread(std::io::Error::other("no detectors"))) };
        Ok(Self { edge, workers, opening, key, reloader, feeder, threads, watching, keeping, indexing, writer })
    }

    /// Hands detectors every row that waits for a batch to fill.
    pub fn flush_detectors(&self) {
        self.feeder.flush();
    }

    /// The index beside the ledger; none in a dry run.
    #[must_use]
    pub fn lookup(&self) -> Option<Arc<Lookup>> {
        self.indexing.as_ref().map(Indexing::lookup)
    }

    /// Judges what was handed over, then detectors, then the ledger: nothing that was accepted is lost.
    pub fn stop(self) {
        self.reloader.close();
        drop(self.workers);
        self.threads.join();
        self.watching.stop();
        if let Some(keeping) = self.keeping {
            keeping.stop();
        }
        if let Some(indexing) = self.indexing {
            indexing.stop();
        }
        self.feeder.stop();
        if let Some(writer) = self.writer {
            writer.stop();
        }
    }
}

/// What runs already while the rest is being started.
struct Started {
    writer: Option<Writer>,
    feeder: Option<Feeder>,
}

impl Started {
    fn abandon(&mut self) {
        if let Some(feeder) = self.feeder.take() {
            feeder.stop();
        }
        if let Some(writer) = self.writer.take() {
            writer.stop();
        }
    }
}

fn keeper(config: &Config, sequencer: &Sequencer) -> Keeper {
    let auditor = config.auditor.as_ref().and_then(|auditor| CosignerKey::parse(&auditor.key).ok());
    Keeper::new(sequencer.clone(), config.ledger.clone(), auditor, config.edge.data.join("ledger"))
}
