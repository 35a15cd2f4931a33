//! Reference profiles from recorded inferences.

use super::batch::Builder;
use crate::config::{self, Config};
use crate::guards;
use crate::inference;
use crate::pipeline::{InForce, PipelineError, granted_limits, load, refused};
use picket_engine::{CacheOptions, Engine, EngineError, EngineOptions, Failure, World};
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Longest that fitting may take: it is done once, by a person who waits.
const DEADLINE: Duration = Duration::from_secs(60);
/// Most rows of a sample; beyond it a profile gains nothing.
const MAX_ROWS: usize = 1_000_000;

/// A profile that has been made.
#[derive(Debug)]
pub struct Fitted {
    /// Its bytes.
    pub profile: Vec<u8>,
    /// Rows it was made from.
    pub rows: usize,
    /// Streams in it.
    pub streams: usize,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// The engine does not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A guard or the detector cannot be loaded.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The sample cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line of the sample is no inference. A reference with holes in it would be a wrong one.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        problem: inference::BadInference,
    },
    /// The sample is empty or too large.
    #[error("{}: {rows} inferences; 1 to {MAX_ROWS} make a reference", path.display())]
    Rows {
        /// Which file.
        path: PathBuf,
        /// How many.
        rows: usize,
    },
    /// The detector failed.
    #[error("the detector could not make a profile: {0}")]
    Failed(Failure),
}

/// Runs the guards over the inferences of `sample`, so that their measurements are there too, and has `detector` make a
/// profile of it all.
///
/// # Errors
/// [`FitError`].
pub fn fit(config: &Config, detector: &config::Detector, sample: &Path) -> Result<Fitted, FitError> {
    // With the box's cache, when it has one, the guards need not be compiled for this.
    let cache = crate::keys::existing_cache_key(&config.edge.data)
        .map(|key| CacheOptions { folder: config.edge.data.join("cache"), key });
    let options = EngineOptions { instances: 4, ..guards::engine_options(config, cache) };
    let engine = Engine::new(options)?;
    let pipeline = load(config, &engine, Arc::new(InForce::default()), None)?;
    let batch = rows(&pipeline, sample)?;
    let admitted =
        guards::admit(config, &detector.name, detector.line, &detector.component).map_err(PipelineError::from)?;
    let granted = admitted.grant(&detector.limits, &detector.written).map_err(PipelineError::from)?;
    let limits = picket_engine::Limits { deadline: DEADLINE, ..granted_limits(&granted) };
    let mut loaded = engine
        .load_detector(&detector.name, &admitted.bytes, &detector.settings, &[], limits)
        .map_err(|source| refused(config, detector.line, source))?;
    admitted.confirm(World::Detector, loaded.descriptor()).map_err(PipelineError::from)?;
    let profile = loaded.fit(&batch).map_err(FitError::Failed)?;
    Ok(Fitted { profile, rows: batch.times.len(), streams: batch.columns.len() })
}

fn rows(pipeline: &crate::pipeline::Pipeline, sample: &Path) -> Result<picket_engine::Batch, FitError> {
    let unreadable = |source| FitError::Unreadable { path: sample.to_path_buf(), source };
    let file = std::fs::File::open(sample).map_err(unreadable)?;
    let mut builder = Builder::starting_at(0);
    for (number, line) in std::io::BufReader::new(file).split(b'\n').enumerate() {
        let line = line.map_err(unreadable)?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let wrong = |problem| FitError::Line { path: sample.to_path_buf(), line: number + 1, problem };
        let received = inference::parse(&line).map_err(wrong)?;
        let time = received.inference.time.unwrap_or(0);
        let judgement = pipeline.judge(received, 0, &[0; 32], &|_| {});
        builder.push(time, &judgement.row);
        if builder.rows() > MAX_ROWS {
            break;
        }
    }
    match builder.rows() {
        1..=MAX_ROWS => Ok(builder.take()),
        rows => Err(FitError::Rows { path: sample.to_path_buf(), rows }),
    }
}
