//! Whoever judges a case: the guard as a box runs it, and once more where everything that must make no difference is
//! different.

use picket_engine::{
    Cause, Engine, EngineError, EngineOptions, Failure, Inference, Limits, LoadError, Profile, Validator, Verdict,
    verdict_bytes,
};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Loads the guard once for each of its settings.
pub(super) struct Judges<'a> {
    name: &'a str,
    wasm: &'a [u8],
    engines: BTreeMap<u64, Engines>,
    loaded: BTreeMap<(String, LimitsKey), Result<Pair, LoadError>>,
}

type LimitsKey = (u64, u128, usize, usize);

struct Engines {
    service: Engine,
    contrast: Engine,
}

/// The guard under two configurations of the engine.
pub(super) struct Pair {
    pub(super) service: Validator,
    contrast: Validator,
}

/// What the guard says, and why it cannot be relied on.
pub(super) struct Judged {
    pub(super) outcome: Result<Verdict, Failure>,
    /// It said something else at another time.
    pub(super) unstable: Option<String>,
}

impl<'a> Judges<'a> {
    pub(super) fn new(name: &'a str, wasm: &'a [u8]) -> Self {
        Self { name, wasm, engines: BTreeMap::new(), loaded: BTreeMap::new() }
    }

    /// The guard with these settings, or why it cannot be loaded with them.
    pub(super) fn pair(&mut self, settings: &str, limits: &Limits) -> Result<Result<&Pair, &LoadError>, EngineError> {
        let key = (limits.memory, limits.deadline.as_millis(), limits.answer_bytes, limits.findings);
        let key = (settings.to_owned(), key);
        let loaded = match self.loaded.entry(key) {
            Entry::Occupied(loaded) => loaded.into_mut(),
            Entry::Vacant(place) => {
                let engines = match self.engines.entry(limits.memory) {
                    Entry::Occupied(engines) => engines.into_mut(),
                    Entry::Vacant(place) => place.insert(Engines::new(limits)?),
                };
                place.insert(engines.load(self.name, self.wasm, settings, limits))
            }
        };
        Ok((*loaded).as_ref())
    }
}

impl Engines {
    fn new(limits: &Limits) -> Result<Self, EngineError> {
        let service = options(limits);
        let contrast = EngineOptions {
            profile: Profile::Contrast,
            max_memory: more_memory(limits),
            // Code that is not optimised has larger frames.
            max_stack: service.max_stack * 2,
            ..service.clone()
        };
        Ok(Self { service: Engine::new(service)?, contrast: Engine::new(contrast)? })
    }

    fn load(&self, name: &str, wasm: &[u8], settings: &str, limits: &Limits) -> Result<Pair, LoadError> {
        // Slow code has time; and what a guard may not rely on is how much memory it could have.
        let generous = Limits {
            deadline: limits.deadline * 10,
            load_deadline: limits.load_deadline * 2,
            memory: more_memory(limits),
            ..*limits
        };
        // One after the other: settings that are refused need no second compilation.
        let service = self.service.load_validator(name, wasm, settings, *limits)?;
        Ok(Pair { service, contrast: self.contrast.load_validator(name, wasm, settings, generous)? })
    }
}

/// An engine for one call at a time.
pub(in crate::cli::guard) fn options(limits: &Limits) -> EngineOptions {
    let standard = crate::guards::tool_options();
    EngineOptions {
        instances: 1,
        streams: 0,
        max_memory: limits.memory.max(64 << 10),
        max_table_elements: limits.table_elements.max(standard.max_table_elements),
        ..standard
    }
}

fn more_memory(limits: &Limits) -> u64 {
    (limits.memory * 2).min(4 << 30)
}

impl Pair {
    /// Judges three times: twice as a box does, each in a fresh instance, and once under the other configuration.
    pub(super) fn judge(&self, inference: &Inference) -> Judged {
        let outcome = self.service.check(inference);
        let again = self.service.check(inference);
        let unstable = if differs(&outcome, &again) {
            Some(format!("a second check said {}", word(&again)))
        } else if comparable(&outcome) {
            let other = self.contrast.check(inference);
            differs(&outcome, &other).then(|| {
                format!(
                    "without snapshot, with code that is not optimised and with twice the memory it said {}",
                    word(&other)
                )
            })
        } else {
            None
        };
        Judged { outcome, unstable }
    }
}

/// A limit that was hit says nothing about a run with other limits; a stack that was used up is one.
fn comparable(outcome: &Result<Verdict, Failure>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(failure) => matches!(failure.cause, Cause::Answer | Cause::Refused),
    }
}

/// The message of a failure may be the runtime's; what counts of it is its cause.
fn differs(one: &Result<Verdict, Failure>, other: &Result<Verdict, Failure>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => verdict_bytes(one) != verdict_bytes(other),
        (Err(one), Err(other)) => one.cause != other.cause,
        _ => true,
    }
}

fn word(outcome: &Result<Verdict, Failure>) -> String {
    match outcome {
        Ok(verdict) => super::show::verdict(verdict),
        Err(failure) => format!("failure {failure}"),
    }
}
