//! From rows to columns.
//!
//! A stream takes its kind, number or category, from its first value that is not null, and keeps it; a value of the other
//! kind counts as null. A batch ends before a row that brings a new stream, so that what a detector sees does not depend
//! on where batches were cut.

use picket_engine::{Batch, Column, ColumnValues, NamedValue, Scalar};
use std::collections::BTreeMap;

/// Most streams of one model; further ones are counted, not watched.
const MAX_STREAMS: usize = 256;

/// Gathers the rows of one model.
#[derive(Debug, Default)]
pub(super) struct Builder {
    first_row: u64,
    times: Vec<u64>,
    columns: BTreeMap<String, ColumnBuilder>,
    /// Streams that did not fit.
    pub(super) left_out: u64,
}

#[derive(Debug)]
struct ColumnBuilder {
    values: ColumnValues,
    codes: BTreeMap<String, u32>,
    nulls: Vec<u32>,
}

impl Builder {
    pub(super) fn starting_at(first_row: u64) -> Self {
        Self { first_row, ..Self::default() }
    }

    pub(super) fn rows(&self) -> usize {
        self.times.len()
    }

    /// Whether this row must not join the rows gathered so far.
    pub(super) fn must_cut_before(&self, values: &[NamedValue]) -> bool {
        self.rows() > 0
            && self.columns.len() < MAX_STREAMS
            && values
                .iter()
                .any(|value| !matches!(value.value, Scalar::Null) && !self.columns.contains_key(&value.name))
    }

    pub(super) fn push(&mut self, time: u64, values: &[NamedValue]) {
        let row = u32::try_from(self.times.len()).unwrap_or(u32::MAX);
        self.times.push(time);
        for value in values {
            let full = self.columns.len() == MAX_STREAMS;
            match self.columns.get_mut(&value.name) {
                Some(column) => column.push(row, &value.value),
                None if matches!(value.value, Scalar::Null) => {}
                None if full => self.left_out += 1,
                None => {
                    let mut column = ColumnBuilder::of_kind(&value.value);
                    column.push(row, &value.value);
                    self.columns.insert(value.name.clone(), column);
                }
            }
        }
        for column in self.columns.values_mut() {
            if column.rows() == row as usize {
                column.push(row, &Scalar::Null);
            }
        }
    }

    /// Takes the rows gathered so far; the streams stay known.
    pub(super) fn take(&mut self) -> Batch {
        let times = std::mem::take(&mut self.times);
        let columns = self.columns.iter_mut().map(|(name, column)| column.take(name)).collect();
        let batch = Batch { first_row: self.first_row, times, columns };
        self.first_row += batch.times.len() as u64;
        batch
    }
}

impl ColumnBuilder {
    fn of_kind(value: &Scalar) -> Self {
        let values = match value {
            Scalar::Text(_) | Scalar::Boolean(_) => ColumnValues::Categories { names: Vec::new(), codes: Vec::new() },
            _ => ColumnValues::Numbers(Vec::new()),
        };
        Self { values, codes: BTreeMap::new(), nulls: Vec::new() }
    }

    fn rows(&self) -> usize {
        match &self.values {
            ColumnValues::Numbers(numbers) => numbers.len(),
            ColumnValues::Categories { codes, .. } => codes.len(),
        }
    }

    fn push(&mut self, row: u32, value: &Scalar) {
        // A stream that is named twice in one row keeps its first value.
        if self.rows() > row as usize {
            return;
        }
        match (&mut self.values, value) {
            (ColumnValues::Numbers(numbers), Scalar::Number(number)) => numbers.push(*number),
            #[expect(clippy::cast_precision_loss, reason = "detectors work on numbers")]
            (ColumnValues::Numbers(numbers), Scalar::Integer(integer)) => numbers.push(*integer as f64),
            (ColumnValues::Numbers(numbers), _) => {
                numbers.push(0.0);
                self.nulls.push(row);
            }
            (ColumnValues::Categories { names, codes }, Scalar::Text(_) | Scalar::Boolean(_)) => {
                let name = match value {
                    Scalar::Boolean(value) => value.to_string(),
                    Scalar::Text(text) => text.clone(),
                    _ => String::new(),
                };
                let next = u32::try_from(names.len()).unwrap_or(u32::MAX);
                let code = *self.codes.entry(name.clone()).or_insert(next);
                if code == next {
                    names.push(name);
                }
                codes.push(code);
            }
            (ColumnValues::Categories { codes, .. }, _) => {
                codes.push(0);
                self.nulls.push(row);
            }
        }
    }

    fn take(&mut self, name: &str) -> Column {
        let empty = match &self.values {
            ColumnValues::Numbers(_) => ColumnValues::Numbers(Vec::new()),
            ColumnValues::Categories { .. } => ColumnValues::Categories { names: Vec::new(), codes: Vec::new() },
        };
        self.codes.clear();
        let mut values = std::mem::replace(&mut self.values, empty);
        // A column of nulls alone still needs a category for its codes to point at.
        if let ColumnValues::Categories { names, codes } = &mut values
            && names.is_empty()
            && !codes.is_empty()
        {
            names.push(String::new());
        }
        Column { name: name.to_owned(), values, nulls: std::mem::take(&mut self.nulls) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, value: Scalar) -> NamedValue {
        NamedValue { name: name.to_owned(), value }
    }

    #[test]
    fn rows_become_aligned_columns() {
        let mut builder = Builder::starting_at(5);
        builder.push(1, &[value("b", Scalar::Integer(2)), value("a", Scalar::Text("x".into()))]);
        builder.push(2, &[value("a", Scalar::Null)]);
        builder.push(3, &[value("a", Scalar::Text("y".into())), value("b", Scalar::Text("no number".into()))]);
        let batch = builder.take();
        assert_eq!((batch.first_row, batch.times), (5, vec![1, 2, 3]));
        let [a, b] = batch.columns.as_slice() else { panic!("two columns in the order of their names") };
        assert_eq!((a.name.as_str(), a.nulls.as_slice()), ("a", [1].as_slice()));
        assert_eq!(a.values, ColumnValues::Categories { names: vec!["x".into(), "y".into()], codes: vec![0, 0, 1] });
        assert_eq!((b.name.as_str(), b.nulls.as_slice()), ("b", [1, 2].as_slice()));
        assert_eq!(b.values, ColumnValues::Numbers(vec![2.0, 0.0, 0.0]));
        builder.push(4, &[]);
        let next = builder.take();
        assert_eq!((next.first_row, next.columns.len(), next.columns[0].nulls.as_slice()), (8, 2, [0].as_slice()));
    }

    #[test]
    fn a_new_stream_cuts_the_batch_and_a_null_does_not() {
        let mut builder = Builder::starting_at(0);
        assert!(!builder.must_cut_before(&[value("a", Scalar::Integer(1))]));
        builder.push(0, &[value("a", Scalar::Integer(1))]);
        assert!(!builder.must_cut_before(&[value("a", Scalar::Integer(1)), value("b", Scalar::Null)]));
        assert!(builder.must_cut_before(&[value("b", Scalar::Integer(1))]));
    }

    #[test]
    fn streams_are_bounded_and_what_is_left_out_is_counted() {
        let mut builder = Builder::starting_at(0);
        let values: Vec<_> =
            (0..MAX_STREAMS + 3).map(|index| value(&format!("s{index}"), Scalar::Integer(1))).collect();
        builder.push(0, &values);
        assert_eq!((builder.take().columns.len(), builder.left_out), (MAX_STREAMS, 3));
    }
}
