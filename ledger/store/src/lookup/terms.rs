//! What of an entry is indexed: the terms by which it is selected, and the ids by which it is found.

use picket_ledger::Entry;
use picket_ledger::entry::{Body, Decision, Kind, Outcome, Verdict};
use picket_ledger::hash::sha256;

/// What a term speaks of. The numbers stand in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Field {
    Kind = 1,
    Decision = 2,
    Model = 3,
    ModelVersion = 4,
    Guard = 5,
    Rule = 6,
    Failure = 7,
}

impl Field {
    pub(crate) const ALL: [Self; 7] =
        [Self::Kind, Self::Decision, Self::Model, Self::ModelVersion, Self::Guard, Self::Rule, Self::Failure];

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|field| *field as u8 == number)
    }

    /// Its bit in a mask of fields.
    pub(crate) fn bit(self) -> u8 {
        1 << (self as u8 - 1)
    }
}

/// A field and the hash of a value: of a fixed size whatever callers write into their entries. Two values with one
/// hash cost a second look at an entry, no wrong answer.
pub(crate) type Term = (Field, u64);

pub(crate) fn term(field: Field, value: &str) -> Term {
    (field, hash(field as u8, value.as_bytes()))
}

/// The first 8 bytes of SHA-256, so that nobody can write ids that all fall together.
fn hash(domain: u8, value: &[u8]) -> u64 {
    let digest = sha256(&[&[domain], value].concat());
    digest.first_chunk().copied().map_or(0, u64::from_be_bytes)
}

/// Bits of an id's hash that are kept.
pub(crate) const ID_BITS: u32 = 28;

/// What finds a verdict by its inference id, its trace id, or its invocation.
pub(crate) fn text_id(id: &str) -> u32 {
    shorten(hash(100, id.as_bytes()))
}

/// As [`text_id`], for an invocation.
pub(crate) fn invocation_id(invocation: u64) -> u32 {
    shorten(hash(101, &invocation.to_be_bytes()))
}

fn shorten(hash: u64) -> u32 {
    u32::try_from(hash >> (64 - ID_BITS)).unwrap_or(0)
}

/// What is indexed of one entry.
#[derive(Default)]
pub(crate) struct Terms {
    pub(crate) terms: Vec<Term>,
    pub(crate) ids: Vec<u32>,
}

impl Terms {
    pub(crate) fn of(entry: &Entry) -> Self {
        let mut found = Self::default();
        found.add(Field::Kind, entry.body.kind().name());
        match &entry.body {
            Body::Verdict(verdict) => found.verdict(verdict),
            Body::Drift(drift) => {
                found.add(Field::Model, &drift.model);
                found.add(Field::Guard, &drift.detector);
                found.add(Field::Rule, &drift.rule);
            }
            Body::Record(record) => {
                found.add(Field::Model, &record.name);
                if entry.body.kind() == Kind::ModelVersion {
                    found.add(Field::ModelVersion, &record.version);
                }
            }
            Body::GuardLoad(load) => found.add(Field::Guard, &load.name),
            Body::GuardEvent(event) => {
                if let Some(guard) = &event.guard {
                    found.add(Field::Guard, guard);
                }
            }
            _ => (),
        }
        found.terms.sort_unstable();
        found.terms.dedup();
        found
    }

    fn verdict(&mut self, verdict: &Verdict) {
        self.add(Field::Decision, verdict.decision.name());
        self.add(Field::Model, &verdict.model);
        if let Some(version) = &verdict.model_version {
            self.add(Field::ModelVersion, version);
        }
        for guard in &verdict.guards {
            match &guard.outcome {
                Outcome::Failure { cause, .. } => {
                    self.add(Field::Guard, &guard.name);
                    self.add(Field::Failure, cause.name());
                }
                Outcome::Verdict { decision, findings, omitted, .. } => {
                    if *decision != Decision::Allow || !findings.is_empty() || *omitted > 0 {
                        self.add(Field::Guard, &guard.name);
                    }
                    for finding in findings {
                        self.add(Field::Rule, &finding.rule);
                    }
                }
            }
        }
        self.ids.push(invocation_id(verdict.invocation));
        self.ids.push(text_id(&verdict.inference_id));
        if let Some(trace) = &verdict.trace_id {
            self.ids.push(text_id(trace));
        }
    }

    fn add(&mut self, field: Field, value: &str) {
        self.terms.push(term(field, value));
    }
}
