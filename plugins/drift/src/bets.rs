//! The sequential test: a Shiryaev–Roberts e-detector over a grid of bets.
//!
//! Each bet multiplies by `e = 1 + λ (x − m)` for a scalar `x` in [0, 1] of the row. While the mean of `x` given the
//! past is at most `m` (λ > 0) or at least `m` (λ < 0), `e` has a mean of at most 1, so `M ← (M + 1) · e` grows by at
//! most 1 a row on average, and so does the average of many such `M`. By optional stopping the first row with
//! `M ≥ A` comes after at least `A` rows on average (Shin, Ramdas, Rinaldo: "E-detectors", 2022, arXiv:2203.03532).

use crate::reference::{Reference, Shape};
use crate::settings::Settings;
use crate::statistics::{mean_rank_error, share_bounds};

/// How hard the mean rank is bet on: near `change / variance`, the variance of a rank being 1/12, for changes of
/// 0.008, 0.02, 0.04, 0.08 and 0.13.
const RANK_BETS: [f64; 5] = [0.1, 0.25, 0.5, 1.0, 1.6];
/// A share that has risen is imagined this far on the way from its bound to 1 …
const RISES: [f64; 3] = [0.03, 0.1, 0.3];
/// … and one that has fallen this far on the way from its bound to 0.
const FALLS: [f64; 3] = [0.3, 0.6, 0.9];
/// Categories that are bet on one by one, the most frequent ones.
const BET_CATEGORIES: usize = 8;
/// Bets that could lose all at once are left out.
const LEAST_FACTOR: f64 = 0.05;

/// What one bet says when it wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Higher,
    Lower,
    /// The category in this cell is less frequent.
    Rarer(usize),
    /// The category in this cell is more frequent.
    Commoner(usize),
    MoreMissing,
}

/// The bets on one stream, made from its reference alone.
pub(crate) struct Book {
    claims: Vec<Claim>,
    /// For each cell and then for a missing value: what each bet multiplies by. Bets on values rest while a value is
    /// missing.
    factors: Vec<Vec<f64>>,
    /// How many bets are on values; they come first.
    on_values: usize,
}

impl Book {
    pub(crate) fn new(reference: &Reference, settings: &Settings) -> Self {
        let cells = reference.counts.len();
        let mut bets: Vec<(Claim, Vec<f64>)> = Vec::new();
        let scalars = if reference.is_numeric() { 2 } else { cells.min(BET_CATEGORIES + 1) + 1 };
        let error = settings.reference_error / scalars as f64;
        let present = reference.present() as f64;
        match &reference.shape {
            Shape::Numeric { .. } => {
                let ranks = reference.ranks();
                // The bins are quantiles of the same sample; that adds about a bin's share to the error.
                let slack = mean_rank_error(present, error) * (1.0 + 1.0 / cells as f64) + settings.tolerance;
                for bet in RANK_BETS {
                    for (claim, lambda, mean) in [(Claim::Higher, bet, 0.5 + slack), (Claim::Lower, -bet, 0.5 - slack)]
                    {
                        bets.push((claim, ranks.iter().map(|rank| 1.0 + lambda * (rank - mean)).collect()));
                    }
                }
            }
            Shape::Categorical { names, .. } => {
                let told = 0..names.len().min(BET_CATEGORIES);
                for cell in told.chain([names.len()]) {
                    let (low, high) = bounds(reference.counts[cell] as f64, present, error, settings.tolerance);
                    let indicator =
                        |yes: f64, no: f64| (0..cells).map(|other| if other == cell { yes } else { no }).collect();
                    for rise in RISES.iter().filter(|_| high < 0.9) {
                        let share = high + rise * (1.0 - high);
                        bets.push((Claim::Commoner(cell), indicator(share / high, (1.0 - share) / (1.0 - high))));
                    }
                    for fall in FALLS.iter().filter(|_| low > 0.02) {
                        let share = low * (1.0 - fall);
                        bets.push((Claim::Rarer(cell), indicator(share / low, (1.0 - share) / (1.0 - low))));
                    }
                }
            }
        }
        bets.retain(|(_, factors)| present > 0.0 && factors.iter().all(|factor| *factor >= LEAST_FACTOR));
        let on_values = bets.len();
        let (_, high) = bounds(reference.missing as f64, reference.rows() as f64, error, settings.tolerance);
        for rise in RISES.iter().filter(|_| high < 0.9) {
            let share = high + rise * (1.0 - high);
            bets.push((Claim::MoreMissing, vec![(1.0 - share) / (1.0 - high), share / high]));
        }

        let value_factors = |cell: usize| {
            let place = |(index, (_, factors)): (usize, &(Claim, Vec<f64>))| {
                if index < on_values { factors[cell] } else { factors[0] }
            };
            bets.iter().enumerate().map(place).collect()
        };
        let mut factors: Vec<Vec<f64>> = (0..cells).map(value_factors).collect();
        factors.push(bets[on_values..].iter().map(|(_, factors)| factors[1]).collect());
        Self { claims: bets.iter().map(|(claim, _)| *claim).collect(), factors, on_values }
    }

    pub(crate) fn len(&self) -> usize {
        self.claims.len()
    }
}

/// Bounds on a share, widened by the tolerance.
fn bounds(count: f64, total: f64, error: f64, tolerance: f64) -> (f64, f64) {
    let (low, high) = share_bounds(count, total, error);
    ((low - tolerance).max(0.0), (high + tolerance).min(1.0))
}

/// How the bets on one stream stand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stakes {
    /// M of each bet.
    pub(crate) wealth: Vec<f64>,
    /// The same bet's CUSUM, `R ← max(R, 1) · e`, for the estimate of when it began to win …
    pub(crate) run: Vec<f64>,
    /// … and the row where its present run began.
    pub(crate) since: Vec<u64>,
}

impl Stakes {
    pub(crate) fn new(bets: usize) -> Self {
        Self { wealth: vec![0.0; bets], run: vec![0.0; bets], since: vec![0; bets] }
    }

    /// Takes in one row: its cell, or none for a missing value. Returns the sum of all M.
    pub(crate) fn take(&mut self, book: &Book, cell: Option<usize>, row: u64) -> f64 {
        let (first, factors) = match cell {
            Some(cell) => (0, &book.factors[cell]),
            None => (book.on_values, &book.factors[book.factors.len() - 1]),
        };
        let (wealth, run, since) = (&mut self.wealth[first..], &mut self.run[first..], &mut self.since[first..]);
        for (wealth, factor) in wealth.iter_mut().zip(factors) {
            *wealth = (*wealth + 1.0) * factor;
        }
        for ((run, since), factor) in run.iter_mut().zip(since).zip(factors) {
            if *run <= 1.0 {
                *run = *factor;
                *since = row;
            } else {
                *run *= factor;
            }
        }
        self.total()
    }

    /// The sum of all M, always in the same order: four lanes, so that no addition waits for the one before.
    pub(crate) fn total(&self) -> f64 {
        let (fours, rest) = self.wealth.as_chunks::<4>();
        let mut lanes = [0.0; 4];
        for four in fours {
            lanes.iter_mut().zip(four).for_each(|(lane, wealth)| *lane += wealth);
        }
        (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest.iter().sum::<f64>()
    }

    /// The bet that has won most: its claim, and the row since which it wins.
    pub(crate) fn leader(&self, book: &Book) -> Option<(Claim, u64)> {
        let better = |left: &usize, right: &usize| self.wealth[*left].total_cmp(&self.wealth[*right]);
        (0..book.len()).max_by(better).map(|bet| (book.claims[bet], self.since[bet]))
    }

    /// Starts all bets anew.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.wealth.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(reference: &Reference) -> Book {
        Book::new(reference, &Settings::default())
    }

    #[test]
    fn fair_bets_do_not_gain() {
        let numeric = Reference::of_numbers((0..1000).map(f64::from).collect(), 20, 10, 500);
        let counts = [("a".to_owned(), 600), ("b".to_owned(), 300), ("c".to_owned(), 100)].into();
        for reference in [numeric, Reference::of_categories(&counts, 0, 20)] {
            let book = book(&reference);
            assert!(book.len() >= 10);
            let present = reference.present() as f64;
            for bet in 0..book.len() {
                let mean = if bet < book.on_values {
                    reference
                        .counts
                        .iter()
                        .zip(&book.factors)
                        .map(|(count, factors)| *count as f64 * factors[bet])
                        .sum::<f64>()
                        / present
                } else {
                    let missing = reference.missing as f64 / reference.rows() as f64;
                    let last = &book.factors[book.factors.len() - 1];
                    (1.0 - missing) * book.factors[0][bet] + missing * last[bet - book.on_values]
                };
                assert!(mean < 1.0, "{:?} {mean}", book.claims[bet]);
                assert!(book.factors.iter().take(reference.counts.len()).all(|factors| factors[bet] > 0.0));
            }
        }
    }

    #[test]
    fn wealth_follows_the_recursion() {
        let reference = Reference::of_numbers((0..1000).map(f64::from).collect(), 0, 10, 500);
        let book = book(&reference);
        let mut stakes = Stakes::new(book.len());
        let top = book.factors[9][0];
        let bottom = book.factors[0][0];
        stakes.take(&book, Some(9), 7);
        assert_eq!(stakes.wealth[0], top);
        stakes.take(&book, Some(0), 8);
        assert_eq!(stakes.wealth[0], (top + 1.0) * bottom);
        // A missing value leaves the bets on values alone.
        stakes.take(&book, None, 9);
        assert_eq!(stakes.wealth[0], (top + 1.0) * bottom);
        assert!(stakes.wealth[book.on_values] > 0.0);
        // The run began with the first row, and begins anew once it has lost all it won.
        assert_eq!(stakes.since[0], 7);
        stakes.take(&book, Some(0), 10);
        stakes.take(&book, Some(9), 11);
        assert_eq!(stakes.since[0], 11);
    }

    #[test]
    fn the_leader_names_what_happens() {
        let reference = Reference::of_numbers((0..1000).map(f64::from).collect(), 0, 10, 500);
        let book = book(&reference);
        for (cell, claim) in [(Some(9), Claim::Higher), (Some(0), Claim::Lower), (None, Claim::MoreMissing)] {
            let mut stakes = Stakes::new(book.len());
            for row in 100..120 {
                stakes.take(&book, cell, row);
            }
            assert_eq!(stakes.leader(&book), Some((claim, 100)));
        }
    }

    #[test]
    fn a_reference_without_values_has_no_bets_on_them() {
        let reference = Reference::of_numbers(Vec::new(), 100, 10, 500);
        let book = book(&reference);
        assert_eq!(book.len(), 0);
        assert_eq!(Stakes::new(0).take(&book, Some(0), 0), 0.0);
        assert_eq!(Stakes::new(0).leader(&book), None);
    }
}
