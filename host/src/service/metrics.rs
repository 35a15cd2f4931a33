//! Counters of judgements, for Prometheus and for summaries.

use crate::pipeline::Judgement;
use picket_ledger::entry::{GuardEvent, Mode, Outcome};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Labels of the decision counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    model: String,
    decision: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    guard: String,
    rule: String,
    mode: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    guard: String,
    event: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    guard: String,
    cause: &'static str,
}

/// Counters of judgements. Cardinality is bounded: models by [`MAX_MODELS`] (further ones share the label `other`), guards
/// by the configuration, rules by the guards' descriptors.
#[derive(Debug, Clone)]
pub struct Metrics {
    decisions: Family<DecisionLabels, Counter>,
    findings: Family<FindingLabels, Counter>,
    failures: Family<FailureLabels, Counter>,
    events: Family<EventLabels, Counter>,
    seconds: Histogram,
    durable: Histogram,
    /// Models that have a label of their own.
    models: Arc<Mutex<BTreeSet<String>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            decisions: Family::default(),
            findings: Family::default(),
            failures: Family::default(),
            events: Family::default(),
            seconds: Histogram::new(exponential_buckets(10e-6, 2.0, 16)),
            durable: Histogram::new(exponential_buckets(100e-6, 2.0, 16)),
            models: Arc::default(),
        }
    }
}

/// Most models that get a label of their own.
const MAX_MODELS: usize = 64;

impl Metrics {
    pub(super) fn judged(&self, judgement: &Judgement) {
        let verdict = &judgement.verdict;
        let labels = DecisionLabels { model: self.label(&verdict.model), decision: verdict.decision.name() };
        self.decisions.get_or_create(&labels).inc();
        for guard in &verdict.guards {
            let mode = if guard.mode == Mode::Shadow { "shadow" } else { "enforce" };
            match &guard.outcome {
                Outcome::Verdict { findings, .. } => {
                    for finding in findings {
                        let labels = FindingLabels { guard: guard.name.clone(), rule: finding.rule.clone(), mode };
                        self.findings.get_or_create(&labels).inc();
                    }
                }
                Outcome::Failure { cause, .. } => {
                    let labels = FailureLabels { guard: guard.name.clone(), cause: cause.name() };
                    self.failures.get_or_create(&labels).inc();
                }
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "microseconds of one judgement")]
        self.seconds.observe(judgement.answer.micros as f64 * 1e-6);
    }

    /// Notes that something happened to a guard.
    pub(super) fn happened(&self, event: &GuardEvent) {
        let guard = event.guard.clone().unwrap_or_default();
        self.events.get_or_create(&EventLabels { guard, event: event.event.name() }).inc();
    }

    /// Notes how long an entry took from being handed over to being durable.
    pub(super) fn committed(&self, waited: Duration) {
        self.durable.observe(waited.as_secs_f64());
    }

    /// The model's name, as long as few have been seen: an open box must not be made to keep a label for each caller's whim.
    fn label(&self, model: &str) -> String {
        let mut seen = self.models.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if seen.contains(model) || (seen.len() < MAX_MODELS && seen.insert(model.to_owned())) {
            return model.to_owned();
        }
        "other".to_owned()
    }

    /// Puts the counters into a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("picket_decisions", "Inferences by decision", self.decisions.clone());
        registry.register("picket_findings", "Findings by guard, rule and mode", self.findings.clone());
        registry.register("picket_guard_failures", "Guards that gave no verdict, by cause", self.failures.clone());
        registry.register(
            "picket_guard_events",
            "What happened to guards, such as breaker-opened",
            self.events.clone(),
        );
        let durable = self.durable.clone();
        registry.register("picket_durable_seconds", "Time from handing an entry over to its being durable", durable);
        registry.register("picket_judge_seconds", "Time to judge one inference", self.seconds.clone());
    }
}
