//! One instance called again and again: for measuring what a fresh one costs, and what a check uses.

use std::time::{Duration, Instant};

use crate::answer::refused;
use crate::bindings::exports::picket::guard::validation as wit;
use crate::call::Live;
use crate::error::Failure;
use crate::lower::with_inference;
use crate::slots::Slot;
use crate::ticker::Running;
use crate::types::{Decision, Edit, Finding, Inference, Location, NamedValue, Scalar, Verdict};
use crate::validator::Validator;

/// An instance of a validator that is kept between checks, so that they are not isolated from each other. For
/// measurement alone; what counts as a verdict comes from [`Validator::check`].
pub struct Warm<'a> {
    // Dropped in this order: the instance before its place.
    live: Live,
    guard: &'a Validator,
    _slot: Slot<'a>,
    _running: Running<'a>,
}

impl std::fmt::Debug for Warm<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Warm").field("guard", &self.guard.name()).finish_non_exhaustive()
    }
}

impl<'a> Warm<'a> {
    pub(crate) fn open(guard: &'a Validator) -> Result<Self, Failure> {
        let engine = &guard.inner.engine.inner;
        let running = engine.ticker.running();
        let (slot, live) = guard.instance(&engine.checks)?;
        Ok(Self { live, guard, _slot: slot, _running: running })
    }

    /// Judges `inference` under the guard's deadline, and says how long the call took: arguments, the guard's work and
    /// its answer, without the making of an instance and without the check of the answer.
    ///
    /// # Errors
    /// As [`Validator::check`]. The instance is of no use after a failure.
    pub fn check(&mut self, inference: &Inference) -> Result<(Verdict, Duration), Failure> {
        let guard = &*self.guard.inner;
        let function = self
            .live
            .instance
            .get_typed_func::<(wit::Inference<'_>,), (Result<Verdict, String>,)>(&mut self.live.store, &guard.check)
            .map_err(|error| Failure::answer(error.to_string()))?;
        self.live.allow(&guard.engine.inner.ticker, guard.limits.deadline, guard.limits.answer_bytes);
        let live = &mut self.live;
        let started = Instant::now();
        let (answer,) = with_inference(inference, guard.descriptor.needs, |view| live.call(&function, (view,)))?;
        let taken = started.elapsed();
        Ok((guard.judge.verdict(answer.map_err(refused)?, inference)?, taken))
    }

    /// Linear memory that the instance has, in bytes. It never shrinks, so this is the most it ever had.
    pub fn memory(&self) -> u64 {
        self.live.store.data().memory()
    }

    /// WebAssembly instructions that the instance has executed so far; `None` unless the engine is
    /// [`crate::Profile::Metered`]. An operation on a whole range of memory counts as one.
    pub fn instructions(&self) -> Option<u64> {
        self.live.store.get_fuel().ok().map(|left| u64::MAX - left)
    }
}

/// Bytes of `verdict` as the limit `answer_bytes` counts them: strings, and list elements at their size in host memory.
/// Close to what a guard is held to, and the same on every 64-bit machine.
pub fn answer_bytes(verdict: &Verdict) -> usize {
    let place = |location: &Location| location.path.len();
    let findings: usize = verdict
        .findings
        .iter()
        .map(|finding| finding.rule.len() + finding.message.len() + finding.location.as_ref().map_or(0, place))
        .sum();
    let measurements: usize = verdict
        .measurements
        .iter()
        .map(|measurement| {
            let text = if let Scalar::Text(text) = &measurement.value { text.len() } else { 0 };
            measurement.name.len() + text
        })
        .sum();
    let edits = match &verdict.decision {
        Decision::Redact(edits) => {
            edits.iter().map(|edit| size_of::<Edit>() + place(&edit.location) + edit.replacement.len()).sum()
        }
        _ => 0,
    };
    findings
        + verdict.findings.len() * size_of::<Finding>()
        + measurements
        + verdict.measurements.len() * size_of::<NamedValue>()
        + edits
}
