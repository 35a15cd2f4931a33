//! Collects findings into a verdict: what follows from each, and how many are told.

use std::collections::BTreeMap;

use picket_sdk::{Finding, Location, Rule, Scalar, Severity, Verdict};

use crate::settings::Action;

/// More findings than this of one rule tell nothing new; the last one says how many there were.
pub(crate) const MAX_FINDINGS_PER_RULE: usize = 8;
/// Longer messages are cut; the contract's limit.
const MAX_MESSAGE_BYTES: usize = 1024;

/// The rules: id, severity, what it says.
const RULES: [(&str, Severity, &str); 20] = [
    ("json-invalid", Severity::High, "The output is no JSON document"),
    ("json-schema", Severity::High, "The document does not meet the schema"),
    ("json-nulls", Severity::Medium, "The document holds more nulls than allowed"),
    ("json-empty", Severity::Medium, "A required value is missing, null or empty"),
    ("json-duplicate-key", Severity::Medium, "Two members of one object have the same name"),
    ("json-depth", Severity::High, "The document is nested too deep"),
    ("json-size", Severity::High, "The document is too long"),
    ("tensor-missing", Severity::High, "A tensor that must be there is not"),
    ("tensor-datatype", Severity::High, "A tensor has another datatype"),
    ("tensor-shape", Severity::High, "A tensor has another shape"),
    ("tensor-nan", Severity::Critical, "A tensor holds NaN"),
    ("tensor-inf", Severity::Critical, "A tensor holds an infinity"),
    ("tensor-range", Severity::High, "A tensor holds values outside their range"),
    ("tensor-sum", Severity::High, "Values that should sum to one do not"),
    ("text-replacement", Severity::Medium, "A text holds replacement characters: bytes were lost on the way"),
    ("text-invalid-utf8", Severity::Medium, "An element of a BYTES tensor is no UTF-8"),
    ("text-repetition", Severity::High, "One character is repeated too often"),
    ("text-loop", Severity::High, "The text repeats itself"),
    ("text-empty", Severity::Medium, "There is no text"),
    ("text-size", Severity::High, "The text is too long to be judged"),
];

/// The rules as the descriptor declares them. All of them judge the whole output.
pub(crate) fn rules() -> Vec<Rule> {
    RULES.iter().map(|(id, _, summary)| Rule::held(id, summary)).collect()
}

/// Whether `actions` may name it.
pub(crate) fn is_rule_or_group(name: &str) -> bool {
    RULES.iter().any(|(id, _, _)| *id == name || group(id) == name)
}

/// The rule's first word.
fn group(rule: &str) -> &str {
    rule.split_once('-').map_or(rule, |(group, _)| group)
}

/// What follows from a finding of each rule.
#[derive(Debug)]
pub(crate) struct Actions {
    by_rule: BTreeMap<&'static str, Action>,
}

impl Actions {
    pub(crate) fn new(default: Action, named: &BTreeMap<String, Action>) -> Self {
        let of_rule = |rule: &str| named.get(rule).or_else(|| named.get(group(rule))).copied().unwrap_or(default);
        Self { by_rule: RULES.iter().map(|(rule, _, _)| (*rule, of_rule(rule))).collect() }
    }

    fn of(&self, rule: &str) -> Action {
        self.by_rule.get(rule).copied().unwrap_or(Action::Block)
    }
}

/// Collects the findings of one check.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    actions: &'a Actions,
    verdict: Verdict,
    counts: BTreeMap<&'static str, usize>,
    /// How much of a text its worst loop makes up, over all texts.
    loop_fraction: f64,
}

impl<'a> Report<'a> {
    pub(crate) fn new(actions: &'a Actions) -> Self {
        Self { actions, verdict: Verdict::allow(), counts: BTreeMap::new(), loop_fraction: 0.0 }
    }

    /// Adds a finding. Of each rule the first few are kept.
    pub(crate) fn add(&mut self, rule: &'static str, location: Location, message: String) {
        self.add_scored(rule, location, message, None);
    }

    /// Adds a finding with the rule's own statistic.
    pub(crate) fn add_scored(
        &mut self,
        rule: &'static str,
        location: Location,
        mut message: String,
        score: Option<f64>,
    ) {
        if rule == "text-loop" {
            self.loop_fraction = self.loop_fraction.max(score.unwrap_or_default());
        }
        let count = self.counts.entry(rule).or_default();
        *count += 1;
        if *count > MAX_FINDINGS_PER_RULE {
            return;
        }
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        let severity = RULES.iter().find(|(id, _, _)| *id == rule).map_or(Severity::High, |(_, severity, _)| *severity);
        let mut finding = Finding::new(rule, severity, message).at(location);
        finding.score = score;
        match self.actions.of(rule) {
            Action::Flag => self.verdict.flag(finding),
            Action::Block => self.verdict.block(finding),
        }
    }

    /// Whether more findings of this rule would only be counted.
    pub(crate) fn is_full(&self, rule: &str) -> bool {
        self.counts.get(rule).is_some_and(|count| *count >= MAX_FINDINGS_PER_RULE)
    }

    /// Adds something measured on the way.
    pub(crate) fn measure(&mut self, name: &str, value: Scalar) {
        self.verdict.measure(name, value);
    }

    /// The verdict; measures the worst loop, 0 for none. The last finding kept of each rule tells how many more there were.
    pub(crate) fn finish(mut self) -> Verdict {
        for (rule, count) in self.counts {
            let more = count.saturating_sub(MAX_FINDINGS_PER_RULE);
            if more > 0
                && let Some(last) = self.verdict.findings.iter_mut().rev().find(|finding| finding.rule == rule)
            {
                let note = format!(" (and {more} more)");
                last.message.truncate(last.message.floor_char_boundary(MAX_MESSAGE_BYTES - note.len()));
                last.message.push_str(&note);
            }
        }
        self.verdict.measure("loop_fraction", Scalar::Number(self.loop_fraction));
        self.verdict
    }
}
