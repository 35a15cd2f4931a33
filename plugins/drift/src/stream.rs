//! One stream: learning its reference, then watched against it.

mod report;
mod sample;
mod state;
mod watch;

use picket_sdk::{Alarm, StreamStatus};

use crate::reference::Reference;
use crate::settings::Settings;

use report::Reporter;
use watch::{Watch, alarm_wealth, take_value};

pub(crate) use report::Rule;
pub(crate) use sample::{Sample, shortened};

/// One value of a row, as its column gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Number(f64),
    /// With its cell where that has been looked up already.
    Category(&'a str, Option<usize>),
    Null,
}

/// What thresholds depend on beyond the stream.
pub(crate) struct Scope<'a> {
    pub(crate) settings: &'a Settings,
    /// How many streams share the promises.
    pub(crate) streams: f64,
}

/// One stream's whole state.
pub(crate) struct Stream {
    pub(crate) phase: Phase,
    pub(crate) rows: u64,
    open: Vec<Open>,
}

/// An alarm that has opened and not closed.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Open {
    rule: Rule,
    /// The last row at which there was cause for it.
    last: u64,
}

pub(crate) enum Phase {
    Learning(Sample),
    Watching(Box<Watch>),
}

impl Stream {
    pub(crate) fn learning() -> Self {
        Self { phase: Phase::Learning(Sample::default()), rows: 0, open: Vec::new() }
    }

    pub(crate) fn watching(reference: Reference, settings: &Settings) -> Self {
        Self { phase: Phase::Watching(Box::new(Watch::new(reference, false, settings))), rows: 0, open: Vec::new() }
    }

    /// Takes in the value of one row.
    pub(crate) fn take(&mut self, name: &str, row: u64, value: Value<'_>, scope: &Scope<'_>, alarms: &mut Vec<Alarm>) {
        self.rows += 1;
        let mut reporter = Reporter { name, row, scope, open: &mut self.open, alarms };
        match &mut self.phase {
            Phase::Learning(sample) => {
                let numeric = sample.is_numeric();
                let other =
                    matches!((numeric, value), (Some(true), Value::Category(..)) | (Some(false), Value::Number(_)));
                if other {
                    reporter.type_changed(None, numeric == Some(true));
                } else {
                    sample.take(value);
                    if sample.rows() >= scope.settings.warmup {
                        let reference = std::mem::take(sample).reference(scope.settings);
                        self.phase = Phase::Watching(Box::new(Watch::new(reference, true, scope.settings)));
                    }
                    reporter.close_quiet(Rule::TypeChange, None, 0.0, 0.0);
                }
            }
            Phase::Watching(watch) => match watch.place(value) {
                Err(()) => reporter.type_changed(Some(watch), watch.reference.is_numeric()),
                Ok(cell) => {
                    reporter.close_quiet(Rule::TypeChange, Some(watch), 0.0, 0.0);
                    take_value(watch, cell, &mut reporter);
                }
            },
        }
    }

    pub(crate) fn status(&self, name: &str, scope: &Scope<'_>) -> Vec<StreamStatus> {
        let is_open = |rule: Rule| self.open.iter().any(|open| open.rule == rule);
        let row = |rule: Rule, statistic: f64, threshold: f64| StreamStatus {
            stream: name.to_owned(),
            rows: self.rows,
            rule: rule.id().to_owned(),
            statistic,
            threshold,
            open: is_open(rule),
        };
        let mut list = Vec::new();
        if let Phase::Watching(watch) = &self.phase {
            let unknown = if watch.reference.is_numeric() { Rule::OutOfRange } else { Rule::Unseen };
            let outcomes = watch.outcomes;
            for (rule, outcome) in
                [(Rule::Psi, outcomes.psi), (Rule::Missing, outcomes.missing), (unknown, outcomes.unknown)]
            {
                if let Some(outcome) = outcome {
                    list.push(row(rule, outcome.statistic, outcome.threshold));
                }
            }
            if watch.book.len() > 0 {
                list.push(row(Rule::Sequential, watch.average_wealth(), alarm_wealth(scope)));
            }
        }
        if is_open(Rule::TypeChange) {
            list.push(row(Rule::TypeChange, 1.0, 0.0));
        }
        list
    }

    /// Takes in what another instance saw of the same stream. Counts add up; the sequential test starts anew.
    pub(crate) fn merge(&mut self, other: Self, settings: &Settings) -> Result<(), &'static str> {
        self.rows += other.rows;
        for theirs in other.open {
            match self.open.iter_mut().find(|open| open.rule == theirs.rule) {
                Some(open) => open.last = open.last.max(theirs.last),
                None => self.open.push(theirs),
            }
        }
        self.open.sort_by_key(|open| open.rule);
        match (&mut self.phase, other.phase) {
            (Phase::Watching(watch), Phase::Watching(theirs)) => {
                if watch.reference != theirs.reference {
                    return Err("two instances have learned different references of one stream");
                }
                watch.current.add(&theirs.current);
                watch.previous.add(&theirs.previous);
                watch.stakes.reset();
            }
            (Phase::Watching(watch), Phase::Learning(sample)) => watch.take_sample(sample),
            (Phase::Learning(sample), Phase::Watching(mut theirs)) => {
                theirs.take_sample(std::mem::take(sample));
                self.phase = Phase::Watching(theirs);
            }
            (Phase::Learning(sample), Phase::Learning(theirs)) => {
                if sample.is_numeric().zip(theirs.is_numeric()).is_some_and(|(mine, other)| mine != other) {
                    return Err("a stream has numbers in one instance and categories in another");
                }
                sample.numbers.extend(theirs.numbers);
                theirs.categories.iter().for_each(|(name, count)| sample.take_category(name, *count));
                sample.untold += theirs.untold;
                sample.missing += theirs.missing;
                if sample.rows() >= settings.warmup {
                    let reference = std::mem::take(sample).reference(settings);
                    self.phase = Phase::Watching(Box::new(Watch::new(reference, true, settings)));
                }
            }
        }
        Ok(())
    }
}
