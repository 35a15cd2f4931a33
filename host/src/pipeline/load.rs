//! Loading guards: from the configuration to components that are ready to run.

use super::breaker::Breaker;
use super::candidate::Candidate;
use super::{InForce, LoadedGuard, Pipeline};
use crate::config::{self, Config, Guard, Limits, Mode, OnFailure, Retention};
use crate::guards::{self, AdmitError, Admitted, Granted};
use picket_engine::{CacheUse, Engine, LoadError, Validator};
use picket_ledger::{entry, hash};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the pipeline cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// A component cannot be had, or may not run.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// A reference cannot be read.
    #[error("{}:{line}: {}: {source}", config.display(), path.display())]
    Unreadable {
        /// The configuration file.
        config: PathBuf,
        /// Line of the guard's table.
        line: usize,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The engine refused the component or its settings.
    #[error("{}:{line}: {source}", config.display())]
    Refused {
        /// The configuration file.
        config: PathBuf,
        /// Line of the guard's table.
        line: usize,
        /// Why.
        source: Box<LoadError>,
    },
}

/// What is in force while another configuration is loaded.
#[derive(Clone, Copy)]
pub struct Previous<'a> {
    /// Its guards are taken over where they stay what they are.
    pub pipeline: &'a Pipeline,
    /// Its guards run on the engine that loads the others. If not, they are loaded anew, and only their breakers are kept.
    pub same_engine: bool,
}

/// Loads every guard of the configuration. What `previous` has loaded with the same component, settings and limits is not
/// loaded again, and breakers go on where guard and policy are the same.
///
/// # Errors
/// [`PipelineError`] names the first guard that cannot be loaded, and the line of its table.
pub fn load(
    config: &Config,
    engine: &Engine,
    in_force: Arc<InForce>,
    previous: Option<Previous<'_>>,
) -> Result<Pipeline, PipelineError> {
    let load = |guard: &Guard| load_guard(config, engine, &in_force, guard, previous);
    let guards = config.guards.iter().map(load).collect::<Result<Vec<_>, PipelineError>>()?;
    let candidates = config
        .guards
        .iter()
        .filter_map(|guard| guard.candidate.as_ref().map(|candidate| (tried(guard, candidate), candidate.share)))
        .map(|(guard, share)| Ok(Candidate::new(load(&guard)?, share)))
        .collect::<Result<Vec<_>, PipelineError>>()?;
    let document = document(config, &guards, &candidates);
    Ok(Pipeline {
        policy: hash::sha256(document.as_bytes()),
        document,
        guards,
        candidates,
        models: config.models.iter().map(|model| (model.name.clone(), model.version.clone())).collect(),
        retention: config.edge.retention,
        in_force,
    })
}

/// A candidate as a guard: in all that it does not say itself it is like the guard, but without effect.
fn tried(guard: &Guard, candidate: &config::Candidate) -> Guard {
    Guard {
        component: candidate.component.clone(),
        settings: candidate.settings.clone(),
        mode: Mode::Shadow,
        candidate: None,
        ..guard.clone()
    }
}

fn load_guard(
    config: &Config,
    engine: &Engine,
    in_force: &InForce,
    guard: &Guard,
    previous: Option<Previous<'_>>,
) -> Result<LoadedGuard, PipelineError> {
    let admitted = guards::admit(config, &guard.name, guard.line, &guard.component)?;
    let granted = admitted.grant(&guard.limits, &guard.written)?;
    let component = hash::sha256(&admitted.bytes);
    let same = |old: &&LoadedGuard| {
        old.config.name == guard.name && old.load.component == component && old.config.settings == guard.settings
    };
    let old = previous.and_then(|previous| previous.pipeline.all().find(same));
    let same_engine = previous.is_some_and(|previous| previous.same_engine);
    let kept = old.filter(|old| same_engine && !old.is_revoked() && old.config.limits == granted.limits);
    let validator = match kept {
        Some(old) => old.validator.clone(),
        None => {
            let loaded = engine
                .load_validator(&guard.name, &admitted.bytes, &guard.settings, granted_limits(&granted))
                .map_err(|source| refused(config, guard.line, source))?;
            tell_of_cache(&guard.name, &loaded.report().cache);
            loaded
        }
    };
    admitted.confirm(validator.world(), validator.descriptor())?;
    let breaker = guard.breaker.map(|policy| {
        let old = old.and_then(|old| old.breaker.clone()).filter(|breaker| breaker.policy() == policy);
        old.unwrap_or_else(|| Arc::new(Breaker::new(policy)))
    });
    let (settings, vouched) = (*validator.settings_digest(), admitted.vouched.clone());
    Ok(LoadedGuard {
        standing: in_force.revocations().watch(&guard.name, settings, vouched),
        load: guard_load(&guard.name, &validator, admitted),
        config: Guard { limits: granted.limits, ..guard.clone() },
        validator,
        breaker,
        taken_over: kept.is_some(),
    })
}

/// The entries that say which guards have been loaded.
pub fn guard_loads(pipeline: &Pipeline) -> Vec<entry::GuardLoad> {
    pipeline.all().map(|guard| guard.load.clone()).collect()
}

fn guard_load(name: &str, validator: &Validator, admitted: Admitted) -> entry::GuardLoad {
    entry::GuardLoad {
        name: name.to_owned(),
        component: *validator.component_digest(),
        settings: *validator.settings_digest(),
        world: "validator".to_owned(),
        guard_version: validator.descriptor().version.clone(),
        bytes: validator.report().component_bytes as u64,
        start: match validator.start() {
            picket_engine::Start::Snapshot => entry::Start::Snapshot,
            _ => entry::Start::ConfiguredFresh,
        },
        signers: admitted.signers,
        statement: admitted.statement,
        admitted: admitted.rule,
    }
}

pub(crate) fn read(config: &Config, line: usize, path: &Path) -> Result<Vec<u8>, PipelineError> {
    std::fs::read(path).map_err(|source| PipelineError::Unreadable {
        config: config.file.clone(),
        line,
        path: path.to_path_buf(),
        source,
    })
}

pub(crate) fn refused(config: &Config, line: usize, source: LoadError) -> PipelineError {
    PipelineError::Refused { config: config.file.clone(), line, source: Box::new(source) }
}

fn engine_limits(limits: &Limits) -> picket_engine::Limits {
    picket_engine::Limits {
        deadline: limits.deadline,
        memory: limits.memory,
        answer_bytes: limits.answer,
        findings: limits.findings,
        ..picket_engine::Limits::default()
    }
}

pub(crate) fn granted_limits(granted: &Granted) -> picket_engine::Limits {
    picket_engine::Limits { table_elements: granted.table_elements, ..engine_limits(&granted.limits) }
}

/// A cache file that is not what this box wrote was not run: it is worth an operator's look who put it there.
pub(crate) fn tell_of_cache(guard: &str, cache: &CacheUse) {
    match cache {
        CacheUse::Replaced(reason) => {
            tracing::warn!(guard, reason, "its file in the compile cache was not used, and has been compiled anew");
        }
        CacheUse::Unwritable(reason) => {
            tracing::warn!(guard, reason, "cannot be kept in the compile cache; each start compiles it");
        }
        CacheUse::Off | CacheUse::Hit | CacheUse::Miss => {}
    }
}

/// Everything that decides about a verdict, as JSON with sorted keys and without white space. Its digest stands in every
/// verdict; the text stands in the config entry.
fn document(config: &Config, guards: &[LoadedGuard], candidates: &[Candidate]) -> String {
    let guards: Vec<Value> = guards
        .iter()
        .map(|guard| {
            let same = |candidate: &&Candidate| candidate.guard.config.name == guard.config.name;
            describe(&guard.config, &guard.validator, candidates.iter().find(same))
        })
        .collect();
    let models: Vec<Value> =
        config.models.iter().map(|model| json!({ "name": model.name, "version": model.version })).collect();
    let detectors: Vec<Value> = config
        .detectors
        .iter()
        .map(|detector| {
            json!({
                "batch": detector.batch,
                "models": detector.models,
                "name": detector.name,
                "settings": serde_json::from_str::<Value>(&detector.settings).unwrap_or(Value::Null),
            })
        })
        .collect();
    let retention = match config.edge.retention {
        Retention::None => "none",
        Retention::Blocked => "blocked",
        Retention::All => "all",
    };
    let document = json!({
        "detectors": detectors,
        "edge": config.edge.id,
        "guards": guards,
        "models": models,
        "retention": retention,
        "trust": config.trust.document(),
    });
    sorted(document).to_string()
}

fn describe(guard: &Guard, validator: &Validator, candidate: Option<&Candidate>) -> Value {
    let breaker = guard.breaker.map(|breaker| {
        json!({
            "failures": breaker.failures,
            "pause_ms": breaker.pause.as_millis().to_string(),
            "then": action(breaker.then),
            "within_ms": breaker.within.as_millis().to_string(),
        })
    });
    json!({
        "answer": guard.limits.answer,
        "breaker": breaker,
        "candidate": candidate.map(Candidate::describe),
        "component": hash::to_hex(validator.component_digest()),
        "deadline_ms": guard.limits.deadline.as_millis().to_string(),
        "findings": guard.limits.findings,
        "memory": guard.limits.memory,
        "mode": match guard.mode { Mode::Enforce => "enforce", Mode::Shadow => "shadow" },
        "models": guard.models,
        "name": guard.name,
        "on_failure": action(guard.on_failure),
        "settings": serde_json::from_str::<Value>(&guard.settings).unwrap_or(Value::Null),
        "settings_digest": hash::to_hex(validator.settings_digest()),
    })
}

fn action(on_failure: OnFailure) -> &'static str {
    entry::Decision::from(on_failure).name()
}

/// Sorts the members of every object: the parser keeps the order of the file, and the digest must not depend on it.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            members.sort_by(|left, right| left.0.cmp(&right.0));
            Value::Object(members.into_iter().collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
}
