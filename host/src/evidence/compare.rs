//! Where a guard and its candidate disagree, from the verdict entries that hold both results.

use super::{Evidence, EvidenceError, Selection, decode};
use picket_ledger::Hash;
use picket_ledger::entry::{Body, FailureCause, Finding, GuardResult, Kind, Mode, Outcome, Verdict};
use picket_ledger::hash::to_hex;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Inferences that are named as examples, for each pair of versions.
const MAX_EXAMPLES: usize = 10;

/// One version of a guard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Version {
    /// SHA-256 of its component, in hexadecimal.
    pub component: String,
    /// SHA-256 of its settings as canonical JSON, in hexadecimal.
    pub settings: String,
}

/// What a guard and a candidate said of the same inferences.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// The guard.
    pub current: Version,
    /// The version in shadow beside it.
    pub candidate: Version,
    /// Inferences that both judged.
    pub both: u64,
    /// Of them: their verdicts are the same, byte for byte.
    pub identical: u64,
    /// Of them: the same decision and findings at the same places; messages, scores or measurements may be different.
    pub agree: u64,
    /// Of them: another decision, another finding, or a failure on one side.
    pub disagree: u64,
    /// Inferences that one of the two was not asked about, because a breaker was open or no instance was free.
    pub not_asked: u64,
    /// How often the guard said the first, and the candidate the second: decisions, or `failure`.
    pub decisions: Vec<Cell>,
    /// Findings of the guard that the candidate does not have, by rule.
    pub only_current: BTreeMap<String, u64>,
    /// Findings of the candidate that the guard does not have, by rule.
    pub only_candidate: BTreeMap<String, u64>,
    /// Failures of the guard, by cause.
    pub failures_current: BTreeMap<&'static str, u64>,
    /// Failures of the candidate, by cause.
    pub failures_candidate: BTreeMap<&'static str, u64>,
    /// Some of the inferences on which they disagree, oldest first.
    pub examples: Vec<Example>,
}

/// A field of the decision matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// What the guard said.
    pub current: &'static str,
    /// What the candidate said.
    pub candidate: &'static str,
    /// How often.
    pub count: u64,
}

/// An inference on which the two disagree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// Index of the verdict entry.
    pub entry: u64,
    /// The inference's id.
    pub inference: String,
    /// What the guard said.
    pub current: &'static str,
    /// What the candidate said.
    pub candidate: &'static str,
}

/// Compares the guard `name` with its candidates over the verdicts of `query`, a comparison for each pair of versions, in the
/// order in which they first appear.
///
/// # Errors
/// [`EvidenceError`] when the ledger cannot be read.
pub fn compare(evidence: &Evidence, name: &str, mut query: Selection) -> Result<Vec<Comparison>, EvidenceError> {
    query.kinds = vec![Kind::Verdict];
    let mut comparisons: Vec<Comparison> = Vec::new();
    for hit in evidence.select(query, usize::MAX) {
        let hit = hit?;
        let Body::Verdict(verdict) = decode(hit.index, &hit.bytes)?.body else { continue };
        let Some((current, candidate)) = pair(&verdict, name) else { continue };
        let versions = (Version::of(current), Version::of(candidate));
        let known =
            comparisons.iter().position(|known| (&known.current, &known.candidate) == (&versions.0, &versions.1));
        let at = known.unwrap_or_else(|| {
            comparisons.push(Comparison::new(versions.0, versions.1));
            comparisons.len() - 1
        });
        comparisons[at].add(hit.index, &verdict, current, candidate);
    }
    Ok(comparisons)
}

/// The results of the guard and of its candidate, which comes later and in shadow.
fn pair<'a>(verdict: &'a Verdict, name: &str) -> Option<(&'a GuardResult, &'a GuardResult)> {
    let mut results = verdict.guards.iter().filter(|result| result.name == name);
    let current = results.next()?;
    let candidate = results.next().filter(|result| result.mode == Mode::Shadow)?;
    Some((current, candidate))
}

impl Version {
    fn of(result: &GuardResult) -> Self {
        Self { component: to_hex(&result.component), settings: to_hex(&result.settings) }
    }
}

impl Comparison {
    fn new(current: Version, candidate: Version) -> Self {
        Self {
            current,
            candidate,
            both: 0,
            identical: 0,
            agree: 0,
            disagree: 0,
            not_asked: 0,
            decisions: Vec::new(),
            only_current: BTreeMap::new(),
            only_candidate: BTreeMap::new(),
            failures_current: BTreeMap::new(),
            failures_candidate: BTreeMap::new(),
            examples: Vec::new(),
        }
    }

    fn add(&mut self, entry: u64, verdict: &Verdict, current: &GuardResult, candidate: &GuardResult) {
        if [current, candidate].iter().any(|result| was_not_asked(&result.outcome)) {
            self.not_asked += 1;
            return;
        }
        self.both += 1;
        let (current, candidate) = (&current.outcome, &candidate.outcome);
        let words = (word(current), word(candidate));
        count_cell(&mut self.decisions, words);
        count_failure(&mut self.failures_current, current);
        count_failure(&mut self.failures_candidate, candidate);
        let only_current = missing(current, candidate);
        let only_candidate = missing(candidate, current);
        self.identical += u64::from(digest(current).is_some() && digest(current) == digest(candidate));
        if words.0 == words.1 && only_current.is_empty() && only_candidate.is_empty() {
            self.agree += 1;
            return;
        }
        self.disagree += 1;
        only_current.into_iter().for_each(|rule| *self.only_current.entry(rule).or_default() += 1);
        only_candidate.into_iter().for_each(|rule| *self.only_candidate.entry(rule).or_default() += 1);
        if self.examples.len() < MAX_EXAMPLES {
            let inference = verdict.inference_id.clone();
            self.examples.push(Example { entry, inference, current: words.0, candidate: words.1 });
        }
    }
}

fn was_not_asked(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failure { cause: FailureCause::Unavailable, .. })
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Verdict { decision, .. } => decision.name(),
        Outcome::Failure { .. } => "failure",
    }
}

fn digest(outcome: &Outcome) -> Option<&Hash> {
    match outcome {
        Outcome::Verdict { digest, .. } => Some(digest),
        Outcome::Failure { .. } => None,
    }
}

fn count_cell(cells: &mut Vec<Cell>, (current, candidate): (&'static str, &'static str)) {
    match cells.iter_mut().find(|cell| (cell.current, cell.candidate) == (current, candidate)) {
        Some(cell) => cell.count += 1,
        None => cells.push(Cell { current, candidate, count: 1 }),
    }
    cells.sort_by_key(|cell| (cell.current, cell.candidate));
}

fn count_failure(counts: &mut BTreeMap<&'static str, u64>, outcome: &Outcome) {
    if let Outcome::Failure { cause, .. } = outcome {
        *counts.entry(cause.name()).or_default() += 1;
    }
}

/// The rules of the findings of `one` that `other` does not have at the same place. A side that failed has said nothing, which
/// is no finding less.
fn missing(one: &Outcome, other: &Outcome) -> Vec<String> {
    let (Outcome::Verdict { findings: one, .. }, Outcome::Verdict { findings: other, .. }) = (one, other) else {
        return Vec::new();
    };
    let place = |finding: &Finding| (finding.rule.clone(), finding.part, finding.path.clone(), finding.span);
    let other: BTreeSet<_> = other.iter().map(place).collect();
    one.iter().filter(|finding| !other.contains(&place(finding))).map(|finding| finding.rule.clone()).collect()
}
