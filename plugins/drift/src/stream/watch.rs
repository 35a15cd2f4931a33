//! A stream that is watched against its reference.

use picket_sdk::Bar;

use crate::bets::{Book, Stakes};
use crate::reference::{Reference, Shape, bin_of};
use crate::settings::Settings;
use crate::window::{Examiner, Outcomes, TESTS, Window};

use super::report::{Reporter, Rule};
use super::sample::{Sample, shortened};
use super::{Scope, Value};

pub(crate) struct Watch {
    pub(crate) reference: Reference,
    /// Whether the reference was learned from the stream itself.
    pub(crate) learned: bool,
    pub(super) current: Window,
    /// The last full window.
    pub(super) previous: Window,
    pub(super) outcomes: Outcomes,
    pub(super) stakes: Stakes,
    // Made from reference and settings, and no part of the state.
    pub(super) book: Book,
    examiner: Examiner,
}

impl Watch {
    pub(crate) fn new(reference: Reference, learned: bool, settings: &Settings) -> Self {
        let cells = reference.counts.len();
        let book = Book::new(&reference, settings);
        Self {
            current: Window::new(cells),
            previous: Window::new(cells),
            outcomes: Outcomes::default(),
            stakes: Stakes::new(book.len()),
            examiner: Examiner::new(&reference, settings),
            book,
            learned,
            reference,
        }
    }

    /// The cell of a value, or none for a missing one; an error for a value of the other kind.
    pub(super) fn place(&mut self, value: Value<'_>) -> Result<Option<usize>, ()> {
        match (value, &self.reference.shape) {
            (Value::Number(number), Shape::Numeric { edges, low, high, .. }) => {
                if !number.is_finite() {
                    return Ok(None);
                }
                self.current.outside += u64::from(number < *low || number > *high);
                Ok(Some(bin_of(edges, number)))
            }
            (Value::Category(name, cell), Shape::Categorical { .. }) => {
                Ok(Some(cell.unwrap_or_else(|| self.reference.category(shortened(name)))))
            }
            (Value::Null, _) => Ok(None),
            _ => Err(()),
        }
    }

    pub(super) fn average_wealth(&self) -> f64 {
        let bets = self.book.len().max(1) as f64;
        self.stakes.total() / bets
    }

    pub(super) fn bars(&self) -> (Vec<Bar>, Vec<Bar>) {
        let labels = self.reference.labels();
        let mut recent = self.previous.clone();
        recent.add(&self.current);
        let bars = |counts: &[u64], missing: u64| {
            let counts = counts.iter().copied().chain([missing]);
            labels.iter().cloned().zip(counts).map(|(label, count)| Bar { label, count }).collect()
        };
        (bars(&self.reference.counts, self.reference.missing), bars(&recent.counts, recent.missing))
    }

    /// Counts of the window under way.
    #[cfg(test)]
    pub(crate) fn recent(&self) -> &Window {
        &self.current
    }

    /// The mean rank of recent values among the reference's.
    pub(super) fn recent_rank(&self) -> f64 {
        let (mut sum, mut count) = (0.0, 0);
        for (cell, rank) in self.reference.ranks().iter().enumerate() {
            let here = self.previous.counts[cell] + self.current.counts[cell];
            sum += rank * here as f64;
            count += here;
        }
        if count == 0 { 0.5 } else { sum / count as f64 }
    }

    /// Counts what another instance kept for a reference of its own.
    pub(super) fn take_sample(&mut self, sample: Sample) {
        for number in sample.numbers {
            if let Ok(Some(cell)) = self.place(Value::Number(number)) {
                self.current.counts[cell] += 1;
            }
        }
        for (name, count) in &sample.categories {
            if let Ok(Some(cell)) = self.place(Value::Category(name, None)) {
                self.current.counts[cell] += count;
            }
        }
        self.current.missing += sample.missing;
        self.stakes.reset();
    }
}

/// What the average M of one stream's bets must reach. The average over all streams has then reached the configured
/// run length, so the promise holds for the box.
pub(super) fn alarm_wealth(scope: &Scope<'_>) -> f64 {
    scope.settings.average_run_length * scope.streams
}

pub(super) fn take_value(watch: &mut Watch, cell: Option<usize>, reporter: &mut Reporter<'_>) {
    match cell {
        Some(cell) => watch.current.counts[cell] += 1,
        None => watch.current.missing += 1,
    }
    let bets = watch.book.len() as f64;
    let wealth = watch.stakes.take(&watch.book, cell, reporter.row);
    let threshold = alarm_wealth(reporter.scope);
    if bets > 0.0 && wealth >= threshold * bets {
        reporter.sequential(watch, wealth / bets, threshold);
        watch.stakes.reset();
    } else if !reporter.open.is_empty() {
        let statistic = if bets > 0.0 { wealth / bets } else { 0.0 };
        reporter.close_quiet(Rule::Sequential, Some(watch), statistic, threshold);
    }
    if watch.current.rows() >= reporter.scope.settings.window {
        let tail = reporter.scope.settings.alpha / (TESTS * reporter.scope.streams);
        watch.outcomes = watch.examiner.examine(&watch.reference, &watch.current, tail, reporter.scope.settings);
        let cells = watch.current.counts.len();
        // An alarm shows this window's counts alone.
        watch.previous = std::mem::replace(&mut watch.current, Window::new(cells));
        reporter.window(watch);
    }
}
