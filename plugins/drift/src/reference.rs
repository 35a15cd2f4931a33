//! What a stream looked like when all was well: counts by bin or category, missing values, range and moments. No row of
//! the sample can be told from it, the two ends of the range aside.

use std::collections::BTreeMap;

use crate::codec::{Reader, Reason, Writer};

/// Categories that are told apart; the rest are counted together.
pub(crate) const MAX_CATEGORIES: usize = 64;
/// Bins of a numeric stream, at most.
pub(crate) const MAX_BINS: usize = 32;
/// Sample values that each bin should hold at least, in the reference and in a window.
const ROOMY_BIN: u64 = 20;

/// The reference of one stream. A missing value is a null, a NaN or an infinity.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reference {
    pub(crate) shape: Shape,
    /// Sample values in each cell: each bin, or each category and then all others together.
    pub(crate) counts: Vec<u64>,
    pub(crate) missing: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Bin `i` holds what is at least `edges[i - 1]` and below `edges[i]`. Edges ascend.
    Numeric { edges: Vec<f64>, low: f64, high: f64, mean: f64, variance: f64 },
    /// Most frequent first; `singletons` categories were seen once.
    Categorical { names: Vec<String>, singletons: u64 },
}

impl Reference {
    /// From finite values in any order. Bins hold equally many of them as far as ties allow.
    pub(crate) fn of_numbers(mut values: Vec<f64>, missing: u64, bins: u64, window: u64) -> Self {
        // Sorted, so that sums do not depend on the order of the rows.
        values.sort_unstable_by(f64::total_cmp);
        let total = values.len();
        let bins = bins.min(total as u64 / ROOMY_BIN).min(window / ROOMY_BIN).clamp(1, MAX_BINS as u64);
        let bins = usize::try_from(bins).unwrap_or(1);
        let low = values.first().copied().unwrap_or(0.0);
        let high = values.last().copied().unwrap_or(0.0);
        let mut edges: Vec<f64> = Vec::new();
        for bin in 1..bins {
            let edge = values[bin * total / bins];
            if edge > edges.last().copied().unwrap_or(low) {
                edges.push(edge);
            }
        }
        let mut counts = vec![0; edges.len() + 1];
        values.iter().for_each(|value| counts[bin_of(&edges, *value)] += 1);
        let n = (total as f64).max(1.0);
        let mean = bounded(values.iter().sum::<f64>() / n);
        let variance = bounded(values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / n);
        Self { shape: Shape::Numeric { edges, low, high, mean, variance }, counts, missing }
    }

    /// From counts by category and of values beyond those that were told apart.
    pub(crate) fn of_categories(counts: &BTreeMap<String, u64>, untold: u64, missing: u64) -> Self {
        let singletons = counts.values().filter(|count| **count == 1).count() as u64;
        let mut sorted: Vec<(&String, u64)> = counts.iter().map(|(name, count)| (name, *count)).collect();
        sorted.sort_by(|left, right| right.1.cmp(&left.1).then(left.0.cmp(right.0)));
        let told = &sorted[..sorted.len().min(MAX_CATEGORIES)];
        let others = untold + sorted[told.len()..].iter().map(|(_, count)| count).sum::<u64>();
        let mut cells: Vec<u64> = told.iter().map(|(_, count)| *count).collect();
        cells.push(others);
        let names = told.iter().map(|(name, _)| (*name).clone()).collect();
        Self { shape: Shape::Categorical { names, singletons }, counts: cells, missing }
    }

    pub(crate) fn is_numeric(&self) -> bool {
        matches!(self.shape, Shape::Numeric { .. })
    }

    /// Values that are not missing.
    pub(crate) fn present(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn rows(&self) -> u64 {
        self.present() + self.missing
    }

    /// The cell of a category; the last for one that has none of its own.
    pub(crate) fn category(&self, name: &str) -> usize {
        match &self.shape {
            Shape::Categorical { names, .. } => names.iter().position(|known| known == name).unwrap_or(names.len()),
            Shape::Numeric { .. } => 0,
        }
    }

    /// Mean rank of each cell among the sample's values: the share below it plus half of its own. Its mean over the
    /// sample is one half, whatever the values.
    pub(crate) fn ranks(&self) -> Vec<f64> {
        let total = (self.present() as f64).max(1.0);
        let mut below = 0;
        let rank = |count: &u64| {
            let rank = (below as f64 + *count as f64 / 2.0) / total;
            below += count;
            rank
        };
        self.counts.iter().map(rank).collect()
    }

    /// What each cell is called, missing values last.
    pub(crate) fn labels(&self) -> Vec<String> {
        let mut labels: Vec<String> = match &self.shape {
            Shape::Numeric { edges, .. } if edges.is_empty() => vec!["any".to_owned()],
            Shape::Numeric { edges, .. } => {
                let first = format!("< {}", edges[0]);
                let inner = edges.windows(2).map(|pair| format!("[{}, {})", pair[0], pair[1]));
                let last = format!(">= {}", edges[edges.len() - 1]);
                [first].into_iter().chain(inner).chain([last]).collect()
            }
            Shape::Categorical { names, .. } => {
                // A label may not be longer than the host takes.
                let short = |name: &String| name[..name.floor_char_boundary(200)].to_owned();
                names.iter().map(short).chain(["(others)".to_owned()]).collect()
            }
        };
        labels.push("(missing)".to_owned());
        labels
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        match &self.shape {
            Shape::Numeric { edges, low, high, mean, variance } => {
                writer.byte(0);
                writer.floats(edges);
                [low, high, mean, variance].into_iter().for_each(|value| writer.float(*value));
            }
            Shape::Categorical { names, singletons } => {
                writer.byte(1);
                writer.length(names.len());
                names.iter().for_each(|name| writer.text(name));
                writer.number(*singletons);
            }
        }
        writer.numbers(&self.counts);
        writer.number(self.missing);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Reason> {
        let (shape, cells) = match reader.byte()? {
            0 => {
                let edges = reader.floats(MAX_BINS - 1)?;
                if !edges.is_sorted_by(|left, right| left < right) {
                    return Err("bin edges do not ascend");
                }
                let (low, high, mean, variance) = (reader.float()?, reader.float()?, reader.float()?, reader.float()?);
                if low > high || variance < 0.0 || edges.first().is_some_and(|edge| *edge <= low) {
                    return Err("the range of a reference makes no sense");
                }
                let cells = edges.len() + 1;
                (Shape::Numeric { edges, low, high, mean, variance }, cells)
            }
            1 => {
                let length = reader.length(8, MAX_CATEGORIES)?;
                let names = (0..length).map(|_| reader.text().map(str::to_owned)).collect::<Result<Vec<_>, _>>()?;
                let mut sorted: Vec<&String> = names.iter().collect();
                sorted.sort_unstable();
                if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
                    return Err("a category is named twice");
                }
                let cells = names.len() + 1;
                (Shape::Categorical { names, singletons: reader.count()? }, cells)
            }
            _ => return Err("a reference is neither numeric nor categorical"),
        };
        let counts = reader.counts(cells)?;
        if counts.len() != cells {
            return Err("a reference has not one count for each cell");
        }
        Ok(Self { shape, counts, missing: reader.count()? })
    }
}

/// The bin of a finite value.
pub(crate) fn bin_of(edges: &[f64], value: f64) -> usize {
    edges.partition_point(|edge| *edge <= value)
}

fn bounded(value: f64) -> f64 {
    value.clamp(f64::MIN, f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Reference {
        Reference::of_numbers((0..100).rev().map(f64::from).collect(), 3, 4, 500)
    }

    #[test]
    fn bins_stand_at_quantiles() {
        let reference = sample();
        let Shape::Numeric { edges, low, high, mean, variance } = &reference.shape else { panic!() };
        assert_eq!(edges, &[25.0, 50.0, 75.0]);
        assert_eq!((*low, *high, *mean, *variance), (0.0, 99.0, 49.5, 833.25));
        assert_eq!(reference.counts, [25, 25, 25, 25]);
        assert_eq!((reference.present(), reference.rows()), (100, 103));
        assert_eq!(reference.ranks(), [0.125, 0.375, 0.625, 0.875]);
        assert_eq!(reference.labels(), ["< 25", "[25, 50)", "[50, 75)", ">= 75", "(missing)"]);
    }

    #[test]
    fn ties_share_a_bin() {
        let mut values = vec![0.0; 90];
        values.extend((1..=10).map(f64::from));
        let reference = Reference::of_numbers(values, 0, 5, 500);
        let Shape::Numeric { edges, .. } = &reference.shape else { panic!() };
        assert!(edges.is_empty(), "{edges:?}");
        assert_eq!(reference.ranks(), [0.5]);
        let constant = Reference::of_numbers(vec![7.0; 100], 0, 10, 500);
        assert_eq!(constant.counts, [100]);
        let none = Reference::of_numbers(Vec::new(), 5, 10, 500);
        assert_eq!((none.counts.as_slice(), none.missing), ([0].as_slice(), 5));
    }

    #[test]
    fn extreme_values_keep_the_moments_finite() {
        let reference = Reference::of_numbers([f64::MAX, f64::MIN].repeat(50), 0, 4, 500);
        let mut writer = Writer::default();
        reference.encode(&mut writer);
        let bytes = writer.finish();
        assert_eq!(Reference::decode(&mut Reader::new(&bytes)), Ok(reference));
    }

    #[test]
    fn categories_beyond_the_bound_are_counted_together() {
        let counts: BTreeMap<String, u64> = (0..70_u64).map(|number| (format!("c{number:02}"), 70 - number)).collect();
        let reference = Reference::of_categories(&counts, 5, 0);
        assert_eq!(reference.counts.len(), MAX_CATEGORIES + 1);
        assert_eq!(reference.counts[MAX_CATEGORIES], 6 + 5 + 4 + 3 + 2 + 1 + 5);
        assert_eq!((reference.category("c00"), reference.category("c63")), (0, 63));
        assert_eq!((reference.category("c64"), reference.category("new")), (MAX_CATEGORIES, MAX_CATEGORIES));
        let Shape::Categorical { singletons, .. } = reference.shape else { panic!() };
        assert_eq!(singletons, 1);
    }

    #[test]
    fn bytes_lead_back() {
        let categories = BTreeMap::from([("a".to_owned(), 3), ("b".to_owned(), 1)]);
        for reference in [sample(), Reference::of_categories(&categories, 2, 9)] {
            let mut writer = Writer::default();
            reference.encode(&mut writer);
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            assert_eq!(Reference::decode(&mut reader), Ok(reference));
            assert_eq!(reader.finish(), Ok(()));
        }
    }
}
