//! The pipeline: every guard that judges a model, in the order of the configuration, and the decision that follows.
//!
//! All guards run, also after one has blocked: the ledger is to say what each of them thought. What counts is the
//! strictest decision among the enforced ones; a failure counts as its policy says; shadow guards are recorded and
//! count for nothing.

mod breaker;
mod candidate;
mod change;
mod load;
mod record;
mod redact;

pub use change::{Changes, WarmUpError};
pub use load::{PipelineError, Previous, guard_loads, load};
pub(crate) use load::{granted_limits, read as read_file, refused, tell_of_cache};
pub(crate) use record::millionths;

use crate::config::{Mode, Retention};
use crate::guards::{List, Revocations, Standing};
use crate::inference::{Answer, AnswerFailure, AnswerFinding, Received, content_json, severity_name};
use crate::measure::measure;
use crate::payload::{self, Salt};
use breaker::{Breaker, Change, Way};
use candidate::Candidate;
use picket_engine::{Cause, Decision, Failure, Finding, Inference, NamedValue, Validator, Verdict, part_name};
use picket_ledger::entry::FailureCause;
use picket_ledger::{Hash, entry};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Instant;

/// Guards, ready to run.
pub struct Pipeline {
    guards: Vec<LoadedGuard>,
    /// Each beside the guard of the same name.
    candidates: Vec<Candidate>,
    /// Digest of the policy document: the checked configuration that the config entry holds.
    policy: Hash,
    document: String,
    /// Names of known models; empty: any.
    models: BTreeMap<String, Option<String>>,
    retention: Retention,
    in_force: Arc<InForce>,
}

/// One guard with what the configuration says of it.
struct LoadedGuard {
    config: crate::config::Guard,
    validator: Validator,
    /// Whether it may still be asked.
    standing: Arc<Standing>,
    /// What the ledger is told of it.
    load: entry::GuardLoad,
    /// None: it is asked however often it fails.
    breaker: Option<Arc<Breaker>>,
    /// From the pipeline that was in force before; it has judged already.
    taken_over: bool,
}

/// Takes what happens to guards while they judge, in the order in which it happens. It must not fail, and may wait.
pub type OnEvent<'a> = &'a dyn Fn(entry::GuardEvent);

/// A guard that is in force, for who looks from outside.
#[derive(Debug, Clone)]
pub struct GuardState {
    /// Its name in the configuration.
    pub name: String,
    /// SHA-256 of its component.
    pub component: Hash,
    /// It is tried beside the guard of this name.
    pub candidate: bool,
    /// Why it is not asked now; none while it is.
    pub open: Option<String>,
}

/// Digests of what stands behind a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bindings {
    /// SHA-256 of the weights file.
    pub weights: Option<Hash>,
    /// Digest of the prompt folder.
    pub prompts: Option<Hash>,
    /// SHA-256 of the feature definition file.
    pub features: Option<Hash>,
}

/// The bindings of each model as they are now. The watcher changes them after their entry is durable, so a verdict never
/// names a digest that the ledger has not seen before. With them, the revocation list.
#[derive(Debug, Default)]
pub struct InForce {
    bindings: RwLock<BTreeMap<String, Bindings>>,
    revocations: Revocations,
}

impl InForce {
    /// Begins with this list of what is revoked, and no bindings.
    pub fn new(revoked: List) -> Self {
        Self { bindings: RwLock::default(), revocations: Revocations::new(revoked) }
    }

    /// What is revoked.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// What is in force for `model`.
    pub fn of(&self, model: &str) -> Bindings {
        let bindings = self.bindings.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        bindings.get(model).copied().unwrap_or_default()
    }

    /// Puts new digests in force.
    pub fn set(&self, model: &str, new: Bindings) {
        self.bindings.write().unwrap_or_else(std::sync::PoisonError::into_inner).insert(model.to_owned(), new);
    }
}

/// What the pipeline made of one inference.
#[derive(Debug)]
pub struct Judgement {
    /// For the caller; its `entry` is still empty.
    pub answer: Answer,
    /// For the ledger.
    pub verdict: entry::Verdict,
    /// The stored form of the payload.
    pub stored: Vec<u8>,
    /// Measurements and features, for detectors.
    pub row: Vec<NamedValue>,
}

impl Pipeline {
    /// Digest of the policy document.
    pub fn policy(&self) -> &Hash {
        &self.policy
    }

    /// The policy document, JSON with sorted keys: what the config entry holds.
    pub fn document(&self) -> &str {
        &self.document
    }

    /// Checks that the model is one that this box knows.
    ///
    /// # Errors
    /// A message that names the known ones.
    pub fn admit(&self, model: &str) -> Result<(), String> {
        if self.models.is_empty() || self.models.contains_key(model) {
            return Ok(());
        }
        let known: Vec<_> = self.models.keys().map(String::as_str).collect();
        Err(format!("`{model}` is no [[model]] of the configuration; known are: {}", known.join(", ")))
    }

    /// The guards as they are now, in the order in which they run.
    pub fn guards(&self) -> Vec<GuardState> {
        let state = |guard: &LoadedGuard, candidate| GuardState {
            name: guard.config.name.clone(),
            component: *guard.validator.component_digest(),
            candidate,
            open: guard.breaker.as_ref().and_then(|breaker| breaker.open()),
        };
        let candidates = self.candidates.iter().map(|candidate| state(&candidate.guard, true));
        self.guards.iter().map(|guard| state(guard, false)).chain(candidates).collect()
    }

    /// Guards and candidates.
    fn all(&self) -> impl Iterator<Item = &LoadedGuard> {
        self.guards.iter().chain(self.candidates.iter().map(|candidate| &candidate.guard))
    }

    /// Judges one inference. `salt` are fresh random bytes. `on_event` is told of breakers that open and close, before
    /// any verdict that follows from it is returned.
    pub fn judge(&self, received: Received, invocation: u64, salt: &Salt, on_event: OnEvent<'_>) -> Judgement {
        let started = Instant::now();
        let Received { bytes, mut inference, trace_id } = received;
        if inference.model_version.is_none() {
            inference.model_version = self.models.get(&inference.model).cloned().flatten();
        }
        inference.measurements = measure(&inference);

        let bindings = self.in_force.of(&inference.model);
        let judged = self.run_guards(&mut inference, on_event);
        let (decision, released) = decide(&inference, &judged);
        let kept = match self.retention {
            Retention::None => false,
            Retention::Blocked => matches!(decision, entry::Decision::Block | entry::Decision::Redact),
            Retention::All => true,
        };
        let mut verdict = entry::Verdict {
            invocation,
            inference_id: inference.id.clone(),
            trace_id,
            inference_time_ms: inference.time,
            model: inference.model.clone(),
            model_version: inference.model_version.clone(),
            prompt_version: inference.prompt_version.clone(),
            weights: bindings.weights,
            prompts: bindings.prompts,
            features: bindings.features,
            policy: self.policy,
            decision,
            guards: judged.iter().map(record::guard_result).collect(),
            payload: payload::commit(salt, invocation, &bytes),
            released: released.as_ref().map(|output| payload::commit(salt, invocation, output.get().as_bytes())),
        };
        verdict.clip();
        let answer = Answer {
            id: inference.id,
            decision: decision.name(),
            findings: judged.iter().flat_map(findings).collect(),
            output: released,
            measurements: inference.measurements.clone(),
            failures: failures(&judged, decision),
            entry: None,
            micros: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        };
        let features = inference
            .features
            .into_iter()
            .map(|feature| NamedValue { name: format!("feature.{}", feature.name), value: feature.value });
        let row = inference.measurements.into_iter().chain(features).collect();
        let stored = payload::encode(salt, kept.then_some(bytes.as_slice()));
        Judgement { answer, verdict, stored, row }
    }

    /// Runs each guard; their measurements join the inference's, so that later guards and detectors see them. Candidates come
    /// last, so that they take nothing from the guards but time before the answer.
    fn run_guards(&self, inference: &mut Inference, on_event: OnEvent<'_>) -> Vec<Judged<'_>> {
        let mut judged = Vec::with_capacity(self.guards.len() + self.candidates.len());
        let mut tried = Vec::new();
        for guard in &self.guards {
            let judges = guard.config.models.as_ref().is_none_or(|models| models.contains(&inference.model));
            if !judges {
                continue;
            }
            let name = &guard.config.name;
            let candidate = self.candidates.iter().find(|candidate| candidate.guard.config.name == *name);
            tried.extend(candidate.map(|candidate| (candidate, inference.measurements.len())));
            let (outcome, left_alone) = guard.check(inference, on_event);
            if let Ok(verdict) = &outcome {
                let own = verdict.measurements.iter().map(|measurement| NamedValue {
                    name: format!("{}.{}", guard.config.name, measurement.name),
                    value: measurement.value.clone(),
                });
                inference.measurements.extend(own);
            }
            judged.push(Judged { guard, outcome, left_alone });
        }
        for (candidate, measurements) in tried {
            judged.extend(candidate.judge(inference, measurements, on_event));
        }
        judged
    }
}

impl LoadedGuard {
    /// Runs the guard, unless its breaker is open; then the failure says so, and the second value is true.
    fn check(&self, inference: &Inference, on_event: OnEvent<'_>) -> (Result<Verdict, Failure>, bool) {
        // Before the breaker: whatever it says, a revoked guard is not tried, and `on_failure` decides.
        if let Some(reason) = self.standing.revoked() {
            return (Err(Failure { cause: Cause::Unavailable, message: reason.to_owned() }), false);
        }
        let Some(breaker) = &self.breaker else { return (self.validator.check(inference), false) };
        match breaker.ask(Instant::now()) {
            Way::Open(message) => (Err(Failure { cause: Cause::Unavailable, message }), true),
            Way::Run(attempt) => {
                let outcome = self.validator.check(inference);
                let (now, wall) = (Instant::now(), jiff::Timestamp::now());
                attempt.tell(&outcome, now, wall, |change| on_event(self.event(change)));
                (outcome, false)
            }
        }
    }

    fn event(&self, change: Change) -> entry::GuardEvent {
        let (event, action, message) = match change {
            Change::Opened { action, message } => (entry::GuardEventKind::BreakerOpened, Some(action), message),
            Change::Closed { message } => (entry::GuardEventKind::BreakerClosed, None, message),
        };
        entry::GuardEvent {
            guard: Some(self.config.name.clone()),
            event,
            component: Some(*self.validator.component_digest()),
            settings: Some(*self.validator.settings_digest()),
            action,
            message: entry::clip_message(&message),
        }
    }
}

/// A guard and what it said.
struct Judged<'a> {
    guard: &'a LoadedGuard,
    outcome: Result<Verdict, Failure>,
    /// Its breaker is open: it was not run.
    left_alone: bool,
}

impl Judged<'_> {
    fn shadow(&self) -> bool {
        self.guard.config.mode == Mode::Shadow
    }

    /// What this guard wants done.
    fn decision(&self) -> entry::Decision {
        match &self.outcome {
            Ok(verdict) => record::decision(&verdict.decision),
            Err(_) => match &self.guard.breaker {
                Some(breaker) if self.left_alone => breaker.policy().then.into(),
                _ => self.guard.config.on_failure.into(),
            },
        }
    }
}

/// The strictest decision of the enforced guards, and the output that it lets out.
///
/// Redactions that cannot be applied together let nothing out: an output that a guard wanted changed must not leave as
/// it was.
fn decide(inference: &Inference, judged: &[Judged<'_>]) -> (entry::Decision, Option<Box<RawValue>>) {
    let strictest = strictest(judged);
    let Some(output) = &inference.output else { return (strictest, None) };
    let released = match strictest {
        entry::Decision::Block => return (strictest, None),
        entry::Decision::Allow | entry::Decision::Flag => content_json(output).ok(),
        entry::Decision::Redact => {
            let edits = enforced(judged).filter_map(|judged| match &judged.outcome {
                Ok(Verdict { decision: Decision::Redact(edits), .. }) => Some(edits.as_slice()),
                _ => None,
            });
            redact::redact(output, edits).and_then(|output| content_json(&output).ok())
        }
    };
    match released {
        Some(released) => (strictest, Some(released)),
        None => (entry::Decision::Block, None),
    }
}

fn enforced<'a, 'b>(judged: &'a [Judged<'b>]) -> impl Iterator<Item = &'a Judged<'b>> {
    judged.iter().filter(|judged| !judged.shadow())
}

fn strictest(judged: &[Judged<'_>]) -> entry::Decision {
    enforced(judged).map(Judged::decision).max().unwrap_or(entry::Decision::Allow)
}

/// Guards that gave no verdict; and the pipeline itself, where it blocked because redactions do not go together.
fn failures(judged: &[Judged<'_>], decision: entry::Decision) -> Vec<AnswerFailure> {
    let mut failures: Vec<AnswerFailure> = judged.iter().filter_map(failure).collect();
    if decision != strictest(judged) {
        failures.push(AnswerFailure {
            guard: "picket".to_owned(),
            cause: FailureCause::Answer.name(),
            message: "the redactions of the guards cannot be applied together, so nothing is released".to_owned(),
            action: decision.name(),
            shadow: false,
        });
    }
    failures
}

fn findings(judged: &Judged<'_>) -> Vec<AnswerFinding> {
    let Ok(verdict) = &judged.outcome else { return Vec::new() };
    let finding = |finding: &Finding| {
        let location = finding.location.as_ref();
        AnswerFinding {
            guard: judged.guard.config.name.clone(),
            rule: finding.rule.clone(),
            severity: severity_name(finding.severity),
            message: finding.message.clone(),
            part: location.map(|location| part_name(location.part)),
            path: location.filter(|location| !location.path.is_empty()).map(|location| location.path.clone()),
            span: location.and_then(|location| location.span).map(|span| [span.start, span.end]),
            score: finding.score,
            shadow: judged.shadow(),
        }
    };
    verdict.findings.iter().map(finding).collect()
}

fn failure(judged: &Judged<'_>) -> Option<AnswerFailure> {
    let failure = judged.outcome.as_ref().err()?;
    Some(AnswerFailure {
        guard: judged.guard.config.name.clone(),
        cause: record::cause(failure.cause).name(),
        message: failure.message.clone(),
        action: judged.decision().name(),
        shadow: judged.shadow(),
    })
}
