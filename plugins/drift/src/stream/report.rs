//! The rules, and the alarms that open and close by them.

use picket_sdk::{Alarm, AlarmState, Severity};

use crate::bets::Claim;
use crate::window::{Outcome, stability_index};

use super::watch::Watch;
use super::{Open, Scope};

/// The rules, in the order of their alarms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    Psi,
    Missing,
    Unseen,
    OutOfRange,
    Sequential,
    TypeChange,
}

impl Rule {
    pub(crate) const ALL: [Self; 6] =
        [Self::Psi, Self::Missing, Self::Unseen, Self::OutOfRange, Self::Sequential, Self::TypeChange];

    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Psi => "psi",
            Self::Missing => "missing",
            Self::Unseen => "unseen-category",
            Self::OutOfRange => "out-of-range",
            Self::Sequential => "sequential",
            Self::TypeChange => "type-change",
        }
    }

    pub(crate) fn summary(self) -> &'static str {
        match self {
            Self::Psi => "A window's distribution differs from the reference's",
            Self::Missing => "A window holds more nulls, NaN and infinities than the reference",
            Self::Unseen => "A window holds categories that the reference does not know",
            Self::OutOfRange => "A window holds values beyond the reference's range",
            Self::Sequential => "Values have moved, by a test that looks at each row",
            Self::TypeChange => "Numbers became categories, or the other way round",
        }
    }
}

/// Opens and closes the alarms of one stream at one row.
pub(super) struct Reporter<'a> {
    pub(super) name: &'a str,
    pub(super) row: u64,
    pub(super) scope: &'a Scope<'a>,
    pub(super) open: &'a mut Vec<Open>,
    pub(super) alarms: &'a mut Vec<Alarm>,
}

struct Cause {
    severity: Severity,
    message: String,
    since: Option<u64>,
    statistic: f64,
    threshold: f64,
}

impl Reporter<'_> {
    pub(super) fn window(&mut self, watch: &Watch) {
        let unknown = if watch.reference.is_numeric() { Rule::OutOfRange } else { Rule::Unseen };
        let outcomes = watch.outcomes;
        let since = self.row.saturating_sub(watch.previous.rows().saturating_sub(1));
        for (rule, outcome) in
            [(Rule::Psi, outcomes.psi), (Rule::Missing, outcomes.missing), (unknown, outcomes.unknown)]
        {
            let outcome = outcome.unwrap_or(Outcome { statistic: 0.0, threshold: 0.0 });
            let Outcome { statistic, threshold } = outcome;
            if !outcome.exceeds() {
                self.close_quiet(rule, Some(watch), statistic, threshold);
                continue;
            }
            let severity = match rule {
                Rule::Psi if statistic < 0.1 => Severity::Low,
                Rule::Psi if statistic < 0.25 => Severity::Medium,
                Rule::Psi => Severity::High,
                _ if statistic >= 0.5 => Severity::High,
                _ => Severity::Medium,
            };
            let message = match rule {
                Rule::Psi => {
                    format!("population stability index {statistic:.4} above {threshold:.4}; {}", shift(watch))
                }
                Rule::Missing => format!("{:.1} % of the values are missing", statistic * 100.0),
                Rule::Unseen => format!(
                    "{:.1} % of the values are in categories that the reference does not know",
                    statistic * 100.0
                ),
                _ => format!("{:.1} % of the values lie outside of the reference's range", statistic * 100.0),
            };
            self.cause(rule, Some(watch), Cause { severity, message, since: Some(since), statistic, threshold });
        }
    }

    pub(super) fn sequential(&mut self, watch: &Watch, statistic: f64, threshold: f64) {
        let Some((claim, since)) = watch.stakes.leader(&watch.book) else { return };
        let mut recent = watch.previous.clone();
        recent.add(&watch.current);
        let index = stability_index(&watch.reference.counts, &recent.counts);
        let severity = if index >= 0.25 { Severity::High } else { Severity::Medium };
        let labels = watch.reference.labels();
        let message = match claim {
            Claim::Higher => format!("values are higher; {}", shift(watch)),
            Claim::Lower => format!("values are lower; {}", shift(watch)),
            Claim::Commoner(cell) => format!("{} has become more frequent", labels[cell]),
            Claim::Rarer(cell) => format!("{} has become less frequent", labels[cell]),
            Claim::MoreMissing => "more values are missing".to_owned(),
        };
        self.cause(
            Rule::Sequential,
            Some(watch),
            Cause { severity, message, since: Some(since), statistic, threshold },
        );
    }

    pub(super) fn type_changed(&mut self, watch: Option<&Watch>, numeric: bool) {
        let message = if numeric { "categories where numbers were" } else { "numbers where categories were" };
        let cause = Cause {
            severity: Severity::High,
            message: message.to_owned(),
            since: Some(self.row),
            statistic: 1.0,
            threshold: 0.0,
        };
        self.cause(Rule::TypeChange, watch, cause);
    }

    /// There is cause for an alarm: opens it, or keeps it open.
    fn cause(&mut self, rule: Rule, watch: Option<&Watch>, cause: Cause) {
        if let Some(open) = self.open.iter_mut().find(|open| open.rule == rule) {
            open.last = self.row;
            return;
        }
        self.open.push(Open { rule, last: self.row });
        self.open.sort_by_key(|open| open.rule);
        self.report(rule, AlarmState::Opened, watch, cause);
    }

    /// There is no cause: closes the alarm when there was none for long enough.
    pub(super) fn close_quiet(&mut self, rule: Rule, watch: Option<&Watch>, statistic: f64, threshold: f64) {
        let quiet =
            |open: &Open| open.rule == rule && self.row.saturating_sub(open.last) >= self.scope.settings.cool_down;
        let Some(index) = self.open.iter().position(quiet) else { return };
        let open = self.open.remove(index);
        let message = format!("no cause for the alarm in {} rows", self.row - open.last);
        let since = Some(open.last + 1);
        self.report(
            rule,
            AlarmState::Closed,
            watch,
            Cause { severity: Severity::Info, message, since, statistic, threshold },
        );
    }

    fn report(&mut self, rule: Rule, state: AlarmState, watch: Option<&Watch>, cause: Cause) {
        let (reference, current) = watch.map_or((Vec::new(), Vec::new()), Watch::bars);
        self.alarms.push(Alarm {
            stream: self.name.to_owned(),
            rule: rule.id().to_owned(),
            state,
            severity: cause.severity,
            message: cause.message,
            row: self.row,
            since_row: cause.since,
            statistic: cause.statistic,
            threshold: cause.threshold,
            reference,
            current,
        });
    }
}

/// How the recent values lie to the reference's, for people.
fn shift(watch: &Watch) -> String {
    if watch.reference.is_numeric() {
        format!("mean rank {:.2} among the reference's values, 0.50 expected", watch.recent_rank())
    } else {
        "shares of categories differ".to_owned()
    }
}
