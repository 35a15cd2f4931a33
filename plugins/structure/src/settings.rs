//! The guard's settings, as an operator writes them.

use std::collections::BTreeMap;

use picket_sdk::json::escape_token;
use picket_sdk::{Datatype, Problem};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::report::is_rule_or_group;

/// Deeper documents cannot be handed to the JSON Schema validator, which recurses.
pub(crate) const DEEPEST: usize = 120;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// JSON Schema (2020-12 unless it says otherwise) that a JSON output has to meet.
    pub(crate) schema: Option<Value>,
    /// Whether `format` in the schema is checked, or a mere remark as 2020-12 has it.
    pub(crate) assert_formats: bool,
    /// Whether a text output is a JSON document. Of messages, the last one's content.
    pub(crate) parse_text: bool,
    /// How many nulls a document may hold.
    pub(crate) max_nulls: Option<u64>,
    /// JSON Pointers to what must be there and hold something; `*` stands for each member or element.
    pub(crate) required_not_empty: Vec<String>,
    /// How many containers may lie inside each other.
    pub(crate) max_depth: usize,
    /// Longest document, in bytes.
    pub(crate) max_bytes: usize,
    /// Whether two members of one object may have the same name.
    pub(crate) allow_duplicate_keys: bool,
    /// Tensors that must be there, and what must hold of them.
    pub(crate) tensors: Vec<TensorSettings>,
    /// How many U+FFFD a text may hold; null for any number.
    #[serde(deserialize_with = "or_none")]
    pub(crate) replacement_characters: Option<u64>,
    /// Whether an output without any text is fine.
    pub(crate) allow_empty: bool,
    /// Repetition in texts; null for any.
    #[serde(deserialize_with = "or_none")]
    pub(crate) repetition: Option<Repetition>,
    /// What follows from a finding.
    pub(crate) action: Action,
    /// The same for a group of rules (`json`, `tensor`, `text`) or for one rule; the rule goes before its group.
    pub(crate) actions: BTreeMap<String, Action>,
}

/// Makes `null` mean "no limit" where a missing member means the default.
fn or_none<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            schema: None,
            assert_formats: false,
            parse_text: false,
            max_nulls: None,
            required_not_empty: Vec::new(),
            max_depth: 64,
            max_bytes: 4 << 20,
            allow_duplicate_keys: false,
            tensors: Vec::new(),
            replacement_characters: Some(0),
            allow_empty: false,
            repetition: Some(Repetition::default()),
            action: Action::Block,
            actions: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Flag,
    Block,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TensorSettings {
    pub(crate) name: String,
    /// The datatype's name in KServe V2.
    #[serde(default, deserialize_with = "datatype")]
    pub(crate) datatype: Option<Datatype>,
    /// Dimensions; -1 for any length.
    pub(crate) shape: Option<Vec<i64>>,
    /// Least and greatest value, both allowed; null for no bound.
    pub(crate) range: Option<[Option<f64>; 2]>,
    #[serde(default)]
    pub(crate) allow_nan: bool,
    #[serde(default)]
    pub(crate) allow_inf: bool,
    pub(crate) sum_to_one: Option<SumToOne>,
    /// Whether the tensor may be missing.
    #[serde(default)]
    pub(crate) optional: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SumToOne {
    /// Which dimension is summed over; negative ones count from the last.
    pub(crate) axis: i64,
    /// How far a sum may be from 1.
    pub(crate) tolerance: f64,
}

impl Default for SumToOne {
    fn default() -> Self {
        Self { axis: -1, tolerance: 1e-3 }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Repetition {
    /// How often one character may follow itself; null for any number. Rulers and padding (white space and the
    /// characters `-=_*#.~`) may run eight times as long.
    #[serde(deserialize_with = "or_none")]
    pub(crate) max_run: Option<usize>,
    /// Texts that repeat a stretch; null for no limit.
    #[serde(rename = "loop", deserialize_with = "or_none")]
    pub(crate) looping: Option<Loop>,
}

impl Default for Repetition {
    fn default() -> Self {
        Self { max_run: Some(40), looping: Some(Loop::default()) }
    }
}

/// A loop is a stretch that is repeated at once; it is reported when all three limits are reached.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Loop {
    /// Longest stretch that counts, in bytes.
    pub(crate) max_period: usize,
    /// How often it is there at least.
    pub(crate) min_repeats: usize,
    /// How much of the text the repeats make up at least, 0 to 1.
    pub(crate) min_fraction: f64,
}

impl Default for Loop {
    fn default() -> Self {
        Self { max_period: 200, min_repeats: 5, min_fraction: 0.3 }
    }
}

impl Settings {
    /// Mistakes that the types do not rule out.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut problem = |pointer: String, message: String| problems.push(Problem::new(pointer, message));
        if self.max_depth > DEEPEST {
            problem("/max_depth".to_owned(), format!("at most {DEEPEST}"));
        }
        for (index, pointer) in self.required_not_empty.iter().enumerate() {
            if !pointer.is_empty() && !pointer.starts_with('/') {
                problem(
                    format!("/required_not_empty/{index}"),
                    "a JSON Pointer is empty or starts with `/`".to_owned(),
                );
            }
        }
        for key in self.actions.keys().filter(|key| !is_rule_or_group(key)) {
            let mut pointer = "/actions/".to_owned();
            escape_token(&mut pointer, key);
            problem(pointer, "no rule and no group of rules has that name".to_owned());
        }
        if let Some(repetition) = &self.repetition {
            if repetition.max_run == Some(0) {
                problem("/repetition/max_run".to_owned(), "at least 1; null for any number".to_owned());
            }
            if let Some(looping) = &repetition.looping {
                if !(1..=10_000).contains(&looping.max_period) {
                    problem("/repetition/loop/max_period".to_owned(), "from 1 to 10000".to_owned());
                }
                if looping.min_repeats < 2 {
                    problem("/repetition/loop/min_repeats".to_owned(), "at least 2".to_owned());
                }
                if !(0.0..=1.0).contains(&looping.min_fraction) {
                    problem("/repetition/loop/min_fraction".to_owned(), "from 0 to 1".to_owned());
                }
            }
        }
        for (index, tensor) in self.tensors.iter().enumerate() {
            for (member, message) in tensor.problems() {
                problem(format!("/tensors/{index}{member}"), message);
            }
            if self.tensors[..index].iter().any(|earlier| earlier.name == tensor.name) {
                problem(format!("/tensors/{index}/name"), "this tensor is described twice".to_owned());
            }
        }
        problems
    }
}

impl TensorSettings {
    fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        for (index, dimension) in self.shape.iter().flatten().enumerate() {
            if *dimension < -1 {
                problems.push((format!("/shape/{index}"), "a length, or -1 for any".to_owned()));
            }
        }
        if let Some([Some(low), Some(high)]) = self.range
            && low > high
        {
            problems.push(("/range".to_owned(), format!("nothing is at least {low} and at most {high}")));
        }
        if let Some(sum) = self.sum_to_one {
            // A tolerance that is NaN fails the comparison as well.
            if sum.tolerance.is_nan() || sum.tolerance < 0.0 {
                problems.push(("/sum_to_one/tolerance".to_owned(), "at least 0".to_owned()));
            }
            if let Some(shape) = &self.shape
                && axis_index(sum.axis, shape.len()).is_none()
            {
                problems.push(("/sum_to_one/axis".to_owned(), format!("the shape has {} dimensions", shape.len())));
            }
        }
        let numeric_rules = self.range.is_some() || self.sum_to_one.is_some();
        if self.datatype == Some(Datatype::Bytes) && numeric_rules {
            problems.push(("/datatype".to_owned(), "BYTES has no range and no sum".to_owned()));
        }
        problems
    }
}

/// The dimension that `axis` means, of `dimensions`.
pub(crate) fn axis_index(axis: i64, dimensions: usize) -> Option<usize> {
    let from_start = if axis < 0 { axis.checked_add(i64::try_from(dimensions).ok()?)? } else { axis };
    usize::try_from(from_start).ok().filter(|index| *index < dimensions)
}

fn datatype<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Datatype>, D::Error> {
    const ALL: [Datatype; 14] = [
        Datatype::Bool,
        Datatype::Uint8,
        Datatype::Uint16,
        Datatype::Uint32,
        Datatype::Uint64,
        Datatype::Int8,
        Datatype::Int16,
        Datatype::Int32,
        Datatype::Int64,
        Datatype::Fp16,
        Datatype::Bf16,
        Datatype::Fp32,
        Datatype::Fp64,
        Datatype::Bytes,
    ];
    let Some(name) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    ALL.into_iter().find(|datatype| datatype.name() == name).map(Some).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|datatype| datatype.name()).collect();
        serde::de::Error::custom(format!("`{name}` is none of {}", names.join(", ")))
    })
}
