//! Tensors: what must be there, and what its values must be.

use picket_sdk::json::escape_token;
use picket_sdk::{Location, Part, Tensor};

use crate::report::Report;
use crate::settings::{SumToOne, TensorSettings, axis_index};

/// Checks each tensor that the settings describe, and all others for NaN and infinities.
pub(crate) fn check(described: &[TensorSettings], tensors: &[Tensor], report: &mut Report<'_>) {
    for rules in described.iter().filter(|rules| !rules.optional) {
        if !tensors.iter().any(|tensor| tensor.name == rules.name) {
            let names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
            let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let message = format!("no tensor `{}` in the output; there: {there}", rules.name);
            report.add("tensor-missing", Location::of_part(Part::Output), message);
        }
    }
    let undescribed = undescribed();
    for tensor in tensors {
        let rules = described.iter().find(|rules| rules.name == tensor.name).unwrap_or(&undescribed);
        check_tensor(rules, tensor, report);
    }
}

fn undescribed() -> TensorSettings {
    TensorSettings {
        name: String::new(),
        datatype: None,
        shape: None,
        range: None,
        allow_nan: false,
        allow_inf: false,
        sum_to_one: None,
        optional: true,
    }
}

fn check_tensor(rules: &TensorSettings, tensor: &Tensor, report: &mut Report<'_>) {
    let mut path = "/".to_owned();
    escape_token(&mut path, &tensor.name);
    let mut add = |rule, message| report.add(rule, Location::of_path(Part::Output, path.as_str()), message);
    if let Some(datatype) = rules.datatype
        && datatype != tensor.datatype
    {
        add("tensor-datatype", format!("{} where {} is expected", tensor.datatype.name(), datatype.name()));
    }
    if let Some(shape) = &rules.shape
        && !shape_fits(shape, &tensor.shape)
    {
        add("tensor-shape", format!("shape {:?} where {shape:?} is expected", tensor.shape));
    }
    let values = Values::of(rules, tensor);
    if !rules.allow_nan
        && let Some(message) = values.nan.message("NaN", &tensor.shape)
    {
        add("tensor-nan", message);
    }
    if !rules.allow_inf
        && let Some(message) = values.infinite.message("infinite", &tensor.shape)
    {
        add("tensor-inf", message);
    }
    if let Some(message) = values.outside.message("outside of the range", &tensor.shape) {
        let [low, high] = rules.range.unwrap_or_default();
        let bound = |bound: Option<f64>| bound.map_or_else(|| "any".to_owned(), |bound| bound.to_string());
        add("tensor-range", format!("{message}; the range is {} to {}", bound(low), bound(high)));
    }
    if let Some(sum) = rules.sum_to_one {
        match Slices::of(sum, &tensor.shape) {
            Some(slices) => {
                if let Some(message) = slices.check(sum, tensor) {
                    add("tensor-sum", message);
                }
            }
            None => add("tensor-sum", format!("shape {:?} has no axis {}", tensor.shape, sum.axis)),
        }
    }
}

fn shape_fits(expected: &[i64], shape: &[u64]) -> bool {
    expected.len() == shape.len()
        && expected
            .iter()
            .zip(shape)
            .all(|(expected, length)| *expected == -1 || u64::try_from(*expected) == Ok(*length))
}

/// How many elements have something wrong, and which is the first.
#[derive(Debug, Default)]
struct Count {
    count: u64,
    first: usize,
}

impl Count {
    fn add(&mut self, index: usize) {
        if self.count == 0 {
            self.first = index;
        }
        self.count += 1;
    }

    fn message(&self, what: &str, shape: &[u64]) -> Option<String> {
        let elements = if self.count == 1 { "element is" } else { "elements are" };
        (self.count > 0)
            .then(|| format!("{} {elements} {what}, the first at {:?}", self.count, place(self.first, shape)))
    }
}

/// The index of an element in each dimension, from its number in row-major order.
fn place(index: usize, shape: &[u64]) -> Vec<u64> {
    let mut rest = u64::try_from(index).unwrap_or(u64::MAX);
    let mut place: Vec<u64> = shape
        .iter()
        .rev()
        .map(|length| {
            let here = rest.checked_rem(*length).unwrap_or(0);
            rest = rest.checked_div(*length).unwrap_or(0);
            here
        })
        .collect();
    place.reverse();
    place
}

#[derive(Debug, Default)]
struct Values {
    nan: Count,
    infinite: Count,
    outside: Count,
}

impl Values {
    fn of(rules: &TensorSettings, tensor: &Tensor) -> Self {
        let mut values = Self::default();
        let range = rules.range.unwrap_or_default();
        if !tensor.datatype.is_float() && rules.range.is_none() {
            return values;
        }
        let low = range[0].unwrap_or(f64::NEG_INFINITY);
        let high = range[1].unwrap_or(f64::INFINITY);
        tensor.for_each_number(|index, value| {
            // One comparison for the usual value. NaN fails it too.
            if value >= low && value <= high && value.is_finite() {
                return true;
            }
            if value.is_nan() {
                values.nan.add(index);
            } else if value.is_infinite() {
                values.infinite.add(index);
            }
            if value < low || value > high {
                values.outside.add(index);
            }
            true
        });
        values
    }
}

/// A tensor as `outer` blocks of `length` rows of `inner` elements; sums run over the rows.
#[derive(Debug, PartialEq, Eq)]
struct Slices {
    outer: usize,
    length: usize,
    inner: usize,
}

impl Slices {
    fn of(sum: SumToOne, shape: &[u64]) -> Option<Self> {
        let axis = axis_index(sum.axis, shape.len())?;
        let product = |dimensions: &[u64]| {
            dimensions.iter().try_fold(1_usize, |product, length| product.checked_mul(usize::try_from(*length).ok()?))
        };
        Some(Self {
            outer: product(&shape[..axis])?,
            length: usize::try_from(shape[axis]).ok()?,
            inner: product(&shape[axis + 1..])?,
        })
    }

    fn check(&self, sum: SumToOne, tensor: &Tensor) -> Option<String> {
        let block = self.length.checked_mul(self.inner)?;
        if block == 0 || self.outer == 0 {
            return None;
        }
        // One block's sums at a time, so that memory is bounded by one block's width.
        let mut sums = vec![0.0; self.inner];
        let (mut bad, mut worst, mut first) = (0_u64, 0.0_f64, None);
        let mut close = |sums: &mut [f64], number: usize| {
            for (offset, total) in sums.iter_mut().enumerate() {
                let off = (*total - 1.0).abs();
                // A sum that is NaN is wrong too.
                if off.is_nan() || off > sum.tolerance {
                    bad += 1;
                    if first.is_none() {
                        first = Some((number, offset, *total));
                    }
                    worst = worst.max(off);
                }
                *total = 0.0;
            }
        };
        tensor.for_each_number(|index, value| {
            if let Some(total) = sums.get_mut(index % self.inner) {
                *total += value;
            }
            if (index + 1) % block == 0 {
                close(&mut sums, index / block);
            }
            true
        });
        let (number, offset, total) = first?;
        Some(format!(
            "{bad} of {} sums along axis {} are not 1 within {}; the first, slice ({number}, {offset}), is {total}, \
             the worst is off by {worst}",
            self.outer.saturating_mul(self.inner),
            sum.axis,
            sum.tolerance
        ))
    }
}
