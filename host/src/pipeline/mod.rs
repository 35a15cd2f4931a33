//! The pipeline: every guard that judges a model, in the order of the configuration, and the decision that follows.
//!
//! All guards run, also after one has blocked: the ledger is to say what each of them thought. What counts is the
//! strictest decision among the enforced ones; a failure counts as its policy says; shadow guards are recorded and
//! count for nothing.

mod load;
mod record;
mod redact;

pub use load::{PipelineError, guard_loads, load};
pub(crate) use load::{engine_limits, read as read_file, refused};
pub(crate) use record::millionths;

use crate::config::{Mode, OnFailure, Retention};
use crate::inference::{Answer, AnswerFailure, AnswerFinding, Received, content_json, severity_name};
use crate::measure::measure;
use crate::payload::{self, Salt};
use picket_engine::{Decision, Failure, Finding, Inference, NamedValue, Validator, Verdict, part_name};
use picket_ledger::entry::FailureCause;
use picket_ledger::{Hash, entry};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Instant;

/// Guards, ready to run.
pub struct Pipeline {
    guards: Vec<LoadedGuard>,
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
    /// What the ledger is told of it.
    load: entry::GuardLoad,
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
/// names a digest that the ledger has not seen before.
#[derive(Debug, Default)]
pub struct InForce(RwLock<BTreeMap<String, Bindings>>);

impl InForce {
    /// What is in force for `model`.
    pub fn of(&self, model: &str) -> Bindings {
        let bindings = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        bindings.get(model).copied().unwrap_or_default()
    }

    /// Puts new digests in force.
    pub fn set(&self, model: &str, new: Bindings) {
        self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner).insert(model.to_owned(), new);
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

    /// Judges one inference. `salt` are fresh random bytes.
    pub fn judge(&self, received: &Received, invocation: u64, salt: &Salt) -> Judgement {
        let started = Instant::now();
        let mut inference = received.inference.clone();
        if inference.model_version.is_none() {
            inference.model_version = self.models.get(&inference.model).cloned().flatten();
        }
        inference.measurements = measure(&inference);

        let bindings = self.in_force.of(&inference.model);
        let judged = self.run_guards(&mut inference);
        let (decision, released) = decide(&inference, &judged);
        let kept = match self.retention {
            Retention::None => false,
            Retention::Blocked => matches!(decision, entry::Decision::Block | entry::Decision::Redact),
            Retention::All => true,
        };
        let mut verdict = entry::Verdict {
            invocation,
            inference_id: inference.id.clone(),
            trace_id: received.trace_id.clone(),
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
            payload: payload::commit(salt, invocation, &received.bytes),
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
        let stored = payload::encode(salt, kept.then_some(received.bytes.as_slice()));
        Judgement { answer, verdict, stored, row }
    }

    /// Runs each guard; their measurements join the inference's, so that later guards and detectors see them.
    fn run_guards(&self, inference: &mut Inference) -> Vec<Judged<'_>> {
        let mut judged = Vec::with_capacity(self.guards.len());
        for guard in &self.guards {
            let judges = guard.config.models.as_ref().is_none_or(|models| models.contains(&inference.model));
            if !judges {
                continue;
            }
            let outcome = guard.validator.check(inference);
            if let Ok(verdict) = &outcome {
                let own = verdict.measurements.iter().map(|measurement| NamedValue {
                    name: format!("{}.{}", guard.config.name, measurement.name),
                    value: measurement.value.clone(),
                });
                inference.measurements.extend(own);
            }
            judged.push(Judged { guard, outcome });
        }
        judged
    }
}

/// A guard and what it said.
struct Judged<'a> {
    guard: &'a LoadedGuard,
    outcome: Result<Verdict, Failure>,
}

impl Judged<'_> {
    fn shadow(&self) -> bool {
        self.guard.config.mode == Mode::Shadow
    }

    /// What this guard wants done.
    fn decision(&self) -> entry::Decision {
        match &self.outcome {
            Ok(verdict) => record::decision(&verdict.decision),
            Err(_) => match self.guard.config.on_failure {
                OnFailure::Block => entry::Decision::Block,
                OnFailure::Allow => entry::Decision::Allow,
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
