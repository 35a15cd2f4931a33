//! What is asked of the log, and whether an entry answers it.

use std::ops::Range;

use picket_ledger::Entry;
use picket_ledger::entry::{Body, Decision, FailureCause, Header, Kind};

use super::terms::{Field, Term, Terms, invocation_id, term, text_id};

/// By what a verdict is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// The number that the box gave.
    Invocation(u64),
    /// The caller's inference id, or the trace id.
    Text(String),
}

/// What is asked: an entry fits when it fits every part that is given. Within a list, one that fits is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Query {
    /// Indexes. Default all.
    pub indexes: Range<u64>,
    /// The box's wall clock, milliseconds since 1970-01-01T00:00:00Z. Default all.
    pub times: Range<u64>,
    /// Kinds of entries; empty for all.
    pub kinds: Vec<Kind>,
    /// Decisions of verdicts; empty for all entries.
    pub decisions: Vec<Decision>,
    /// The model of a verdict or an alarm, the name of a record.
    pub model: Option<String>,
    /// The version of the model: of a verdict by the caller's word, of a model-version record its own.
    pub model_version: Option<String>,
    /// A guard that had something to say (a finding, another decision than allow, or a failure), a guard that was
    /// loaded, or a detector.
    pub guard: Option<String>,
    /// The rule of a finding or an alarm.
    pub rule: Option<String>,
    /// Why a guard failed; empty for all entries.
    pub failures: Vec<FailureCause>,
    /// The id of a verdict.
    pub id: Option<Id>,
    /// The newest entry first.
    pub newest_first: bool,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            indexes: 0..u64::MAX,
            times: 0..u64::MAX,
            kinds: Vec::new(),
            decisions: Vec::new(),
            model: None,
            model_version: None,
            guard: None,
            rule: None,
            failures: Vec::new(),
            id: None,
            newest_first: false,
        }
    }
}

impl Query {
    /// What an entry must have: one term of each of these.
    pub(crate) fn terms(&self) -> Vec<Vec<Term>> {
        let one = |field, value: &Option<String>| value.iter().map(|value| term(field, value)).collect();
        let lists: [Vec<Term>; 7] = [
            self.kinds.iter().map(|kind| term(Field::Kind, kind.name())).collect(),
            self.decisions.iter().map(|decision| term(Field::Decision, decision.name())).collect(),
            one(Field::Model, &self.model),
            one(Field::ModelVersion, &self.model_version),
            one(Field::Guard, &self.guard),
            one(Field::Rule, &self.rule),
            self.failures.iter().map(|cause| term(Field::Failure, cause.name())).collect(),
        ];
        lists.into_iter().filter(|list| !list.is_empty()).collect()
    }

    /// The hash of the id, as it is in the index.
    pub(crate) fn id_hash(&self) -> Option<u32> {
        self.id.as_ref().map(|id| match id {
            Id::Invocation(invocation) => invocation_id(*invocation),
            Id::Text(text) => text_id(text),
        })
    }

    /// Whether an entry may fit, by its header alone. What has no header fits only a query that asks for nothing of
    /// an entry but its index.
    pub(crate) fn may_fit(&self, bytes: &[u8]) -> bool {
        let Ok(header) = Header::read(bytes) else { return !self.asks_of_entries() };
        let verdict = self.id.is_none() && self.decisions.is_empty() && self.failures.is_empty();
        self.times.contains(&header.wall_ms)
            && (self.kinds.is_empty() || self.kinds.contains(&header.kind))
            && (verdict || header.kind == Kind::Verdict)
    }

    /// Whether it depends on what is in an entry which of them fit.
    pub(crate) fn asks_of_entries(&self) -> bool {
        self.times != (0..u64::MAX) || self.id.is_some() || !self.terms().is_empty()
    }

    /// Whether an entry fits, whatever its index.
    #[must_use]
    pub fn fits(&self, entry: &Entry) -> bool {
        self.times.contains(&entry.wall_ms) && self.id_fits(entry) && self.terms_fit(entry)
    }

    fn id_fits(&self, entry: &Entry) -> bool {
        let Some(id) = &self.id else { return true };
        let Body::Verdict(verdict) = &entry.body else { return false };
        match id {
            Id::Invocation(invocation) => verdict.invocation == *invocation,
            Id::Text(text) => verdict.inference_id == *text || verdict.trace_id.as_ref() == Some(text),
        }
    }

    fn terms_fit(&self, entry: &Entry) -> bool {
        let wanted = self.terms();
        if wanted.is_empty() {
            return true;
        }
        // By the first 64 bits of each value's SHA-256: to have another value pass for the one that was asked for takes
        // some 2^64 tries.
        let has = Terms::of(entry).terms;
        wanted.iter().all(|list| list.iter().any(|term| has.binary_search(term).is_ok()))
    }
}
