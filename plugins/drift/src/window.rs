//! The window tests: each full window's counts against the reference's.

use libm::log;

use crate::codec::{Reader, Reason, Writer};
use crate::reference::{Reference, Shape};
use crate::settings::Settings;
use crate::statistics::{binomial_critical, chi_square_critical, share_bounds};

/// Cells that a window is expected to fill with fewer values are thrown together: the distribution of the index is
/// known for full cells only.
const FULL_CELL: f64 = 5.0;
/// With fewer values than this in a window the index is not computed.
const LEAST_VALUES: u64 = 30;
/// Tests of each stream and window: the index, missing values, values that the reference does not know.
pub(crate) const TESTS: f64 = 3.0;

/// Counts of one window.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Window {
    /// As in the reference.
    pub(crate) counts: Vec<u64>,
    pub(crate) missing: u64,
    /// Finite values outside of the reference's range.
    pub(crate) outside: u64,
}

impl Window {
    pub(crate) fn new(cells: usize) -> Self {
        Self { counts: vec![0; cells], missing: 0, outside: 0 }
    }

    pub(crate) fn present(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn rows(&self) -> u64 {
        self.present() + self.missing
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.missing += other.missing;
        self.outside += other.outside;
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.numbers(&self.counts);
        writer.number(self.missing);
        writer.number(self.outside);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, cells: usize) -> Result<Self, Reason> {
        let window = Self { counts: reader.counts(cells)?, missing: reader.count()?, outside: reader.count()? };
        if window.counts.len() != cells || window.outside > window.present() {
            return Err("a window does not fit its reference");
        }
        Ok(window)
    }
}

/// What one test found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) statistic: f64,
    pub(crate) threshold: f64,
}

impl Outcome {
    pub(crate) fn exceeds(self) -> bool {
        self.statistic > self.threshold
    }
}

/// The three outcomes of a window; none where a test does not apply.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Outcomes {
    pub(crate) psi: Option<Outcome>,
    pub(crate) missing: Option<Outcome>,
    /// Categories, or values out of range, that the reference does not know.
    pub(crate) unknown: Option<Outcome>,
}

/// How cells are thrown together for the index.
pub(crate) struct Grouping {
    /// Group of each cell and then of missing values; none for what is left out.
    groups: Vec<Option<usize>>,
    /// The reference's counts by group.
    reference: Vec<u64>,
}

impl Grouping {
    pub(crate) fn new(reference: &Reference, window: u64) -> Self {
        let rows = (reference.rows() as f64).max(1.0);
        let counts: Vec<u64> = reference.counts.iter().copied().chain([reference.missing]).collect();
        let mut groups = Vec::with_capacity(counts.len());
        let mut grouped = Vec::new();
        let mut rare = 0;
        for count in &counts {
            if *count as f64 / rows * window as f64 >= FULL_CELL {
                groups.push(Some(grouped.len()));
                grouped.push(*count);
            } else {
                groups.push(None);
                rare += count;
            }
        }
        // The rare ones make a group of their own when they fill one.
        if rare as f64 / rows * window as f64 >= FULL_CELL {
            groups.iter_mut().filter(|group| group.is_none()).for_each(|group| *group = Some(grouped.len()));
            grouped.push(rare);
        }
        Self { groups, reference: grouped }
    }

    /// The population stability index of a window, with the number of values it rests on in reference and window.
    fn index(&self, window: &Window) -> (f64, u64, u64) {
        let mut current = vec![0; self.reference.len()];
        for (group, count) in self.groups.iter().zip(window.counts.iter().chain([&window.missing])) {
            if let Some(group) = group {
                current[*group] += count;
            }
        }
        let (n, m) = (self.reference.iter().sum::<u64>(), current.iter().sum::<u64>());
        (stability_index(&self.reference, &current), n, m)
    }
}

/// PSI = Σ (q − p) ln(q / p). Half a value is added to each cell, so that an empty one does not make it infinite.
pub(crate) fn stability_index(reference: &[u64], current: &[u64]) -> f64 {
    let half = reference.len() as f64 / 2.0;
    let n = reference.iter().sum::<u64>() as f64 + half;
    let m = current.iter().sum::<u64>() as f64 + half;
    let term = |(r, c): (&u64, &u64)| {
        let (p, q) = ((*r as f64 + 0.5) / n, (*c as f64 + 0.5) / m);
        (q - p) * log(q / p)
    };
    reference.iter().zip(current).map(term).sum()
}

/// The value that the index exceeds with probability `tail` while nothing changes: with N values in the reference, M in
/// the window and B cells it is distributed like (1/N + 1/M) · χ² with B − 1 degrees of freedom (B. Yurdakul,
/// "Statistical Properties of Population Stability Index", Western Michigan University, 2018).
pub(crate) fn critical_index(n: u64, m: u64, cells: usize, tail: f64) -> f64 {
    (1.0 / n as f64 + 1.0 / m as f64) * chi_square_critical((cells - 1) as f64, tail)
}

/// Judges full windows of one stream. Thresholds are kept from window to window while nothing they depend on changes.
pub(crate) struct Examiner {
    grouping: Grouping,
    /// What the thresholds below were computed for: values and rows of the window, and probability of a false alarm.
    key: Option<(u64, u64, u64, u64)>,
    index: f64,
    missing: u64,
    unknown: u64,
}

impl Examiner {
    pub(crate) fn new(reference: &Reference, settings: &Settings) -> Self {
        let grouping = Grouping::new(reference, settings.window);
        Self { grouping, key: None, index: 0.0, missing: 0, unknown: 0 }
    }

    /// `tail` is the probability of a false alarm allowed to each test.
    pub(crate) fn examine(
        &mut self,
        reference: &Reference,
        window: &Window,
        tail: f64,
        settings: &Settings,
    ) -> Outcomes {
        let (index, n, m) = self.grouping.index(window);
        let (rows, present) = (window.rows(), window.present());
        let cells = self.grouping.reference.len();
        let key = (m, present, rows, tail.to_bits());
        if self.key != Some(key) {
            self.key = Some(key);
            self.index = if cells > 1 && n > 0 && m > 0 { critical_index(n, m, cells, tail) } else { f64::MAX };
            let (_, missing) = share_bounds(reference.missing as f64, reference.rows() as f64, tail);
            self.missing = binomial_critical(rows, missing, tail);
            self.unknown = unknown_critical(reference, present, tail);
        }
        let share = |count: u64, critical: u64, of: u64| Outcome {
            statistic: count as f64 / of as f64,
            // Between the last count that passes and the first that does not.
            threshold: (critical as f64 - 0.5) / of as f64,
        };
        let others = window.counts.last().copied().unwrap_or(0);
        let unknown = if reference.is_numeric() { window.outside } else { others };
        let told = cells > 1 && n >= LEAST_VALUES && m >= LEAST_VALUES;
        Outcomes {
            psi: told.then(|| Outcome { statistic: index, threshold: self.index.max(settings.psi_min) }),
            missing: (rows > 0 && self.missing <= rows).then(|| share(window.missing, self.missing, rows)),
            unknown: (present > 0 && self.unknown <= present).then(|| share(unknown, self.unknown, present)),
        }
    }
}

/// The count of unknown values among `present` from which on it is an alarm.
///
/// The share of the population beyond a sample's range is distributed like the second smallest of N gaps; that of
/// categories which a sample has missed is about the share of those it saw once (Good and Turing). Both are bounded
/// from above as if so many had been counted.
fn unknown_critical(reference: &Reference, present: u64, tail: f64) -> u64 {
    let known = reference.present();
    let counted = match &reference.shape {
        Shape::Numeric { .. } => 2,
        Shape::Categorical { singletons, .. } => reference.counts.last().copied().unwrap_or(0).max(*singletons) + 1,
    };
    if known == 0 {
        return u64::MAX;
    }
    let (_, share) = share_bounds(counted.min(known) as f64, known as f64, tail);
    binomial_critical(present, share, tail)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_index_matches_a_hand_computed_one() {
        // (9.5/21 − 10.5/21)·ln(9.5/10.5) + (11.5/21 − 10.5/21)·ln(11.5/10.5) with 10:10 against 9:11.
        let expected = (-1.0 / 21.0) * log(9.5 / 10.5) + (1.0 / 21.0) * log(11.5 / 10.5);
        assert!((stability_index(&[10, 10], &[9, 11]) - expected).abs() < 1e-15);
        assert_eq!(stability_index(&[7, 7, 7], &[7, 7, 7]), 0.0);
        assert!(stability_index(&[10, 10], &[0, 20]).is_finite());
    }

    #[test]
    fn the_critical_value_follows_the_formula() {
        // shared figures: B = 10, N = 10,000, M = 500 at 1 %: 0.0455; B = 10, M = 5,000: 0.0065.
        assert!((critical_index(10_000, 500, 10, 0.01) - 0.045_498_588).abs() < 1e-8);
        assert!((critical_index(10_000, 5_000, 10, 0.01) - 0.006_499_798).abs() < 1e-8);
    }

    #[test]
    fn thin_cells_are_thrown_together_or_left_out() {
        let counts: BTreeMap<String, u64> =
            [("a", 900), ("b", 70), ("c", 10), ("d", 8), ("e", 2)].map(|(name, count)| (name.to_owned(), count)).into();
        let reference = Reference::of_categories(&counts, 0, 10);
        let grouping = Grouping::new(&reference, 500);
        // Five values are expected of c and of missing ones; d, e and the others fill a cell together.
        assert_eq!(grouping.reference, [900, 70, 10, 10, 10]);
        assert_eq!(grouping.groups, [0, 1, 2, 4, 4, 4, 3].map(Some));
        let scarce = Grouping::new(&Reference::of_categories(&counts, 0, 0), 100);
        assert_eq!(scarce.groups, [Some(0), Some(1), None, None, None, None, None]);
    }

    #[test]
    fn each_test_finds_its_own() {
        let settings = Settings { window: 400, ..Settings::default() };
        let reference = Reference::of_numbers((0..1000).map(f64::from).collect(), 0, 4, 400);
        let mut examiner = Examiner::new(&reference, &settings);
        let mut examine = |counts: [u64; 4], missing, outside| {
            let window = Window { counts: counts.to_vec(), missing, outside };
            let outcomes = examiner.examine(&reference, &window, 1e-3, &settings);
            [outcomes.psi, outcomes.missing, outcomes.unknown].map(|outcome| outcome.is_some_and(Outcome::exceeds))
        };
        assert_eq!(examine([100, 98, 103, 99], 0, 1), [false, false, false]);
        assert_eq!(examine([160, 90, 80, 70], 0, 0), [true, false, false]);
        assert_eq!(examine([90, 90, 90, 90], 40, 0), [false, true, false]);
        assert_eq!(examine([100, 100, 100, 100], 0, 40), [false, false, true]);
        assert_eq!(examine([0, 0, 0, 0], 400, 0), [false, true, false]);
    }
}
