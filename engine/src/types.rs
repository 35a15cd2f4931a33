//! What goes into a guard and what comes out, as plain Rust types. Their meaning and units are those of `wit/guard.wit`.

use crate::bindings::exports::picket::guard::detection as wit_detection;
use crate::bindings::picket::guard::types as wit;

pub use wit::{
    Datatype, Decision, Descriptor, Edit, Finding, Guarantee, Location, NamedValueResult as NamedValue, Part, Parts,
    Problem, Rule, ScalarResult as Scalar, Severity, Span, Verdict,
};
pub use wit_detection::{Alarm, AlarmState, Bar, StreamStatus};

/// One model call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inference {
    /// The caller's id, unique for the caller.
    pub id: String,
    /// When the model answered, in milliseconds since 1970-01-01T00:00:00Z.
    pub time: Option<u64>,
    /// The model's name.
    pub model: String,
    /// The model's version, where the caller gave one.
    pub model_version: Option<String>,
    /// The version of the prompt, where the caller gave one.
    pub prompt_version: Option<String>,
    /// What went into the model.
    pub input: Option<Content>,
    /// The sources that the model was given to answer from.
    pub context: Vec<Document>,
    /// What came out of the model.
    pub output: Option<Content>,
    /// The features of a classical model, in the order given.
    pub features: Vec<NamedValue>,
    /// The caller's own labels.
    pub attributes: Vec<Attribute>,
    /// What the host and earlier guards have measured.
    pub measurements: Vec<NamedValue>,
}

/// What went into a model or came out of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// One JSON document as text, valid by RFC 8259.
    Json(String),
    /// A chat.
    Messages(Vec<Message>),
    /// KServe V2 tensors.
    Tensors(Vec<Tensor>),
}

/// One message of a chat.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// As the caller gave it: `system`, `user`, `assistant`, `tool`, …
    pub role: String,
    /// The speaker's name.
    pub name: Option<String>,
    /// What was said.
    pub content: String,
}

/// A KServe V2 tensor in its binary form.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The tensor's name, unique in its content.
    pub name: String,
    /// The type of its elements.
    pub datatype: Datatype,
    /// Row-major dimensions; empty for a scalar.
    pub shape: Vec<u64>,
    /// Little-endian, row-major, tightly packed. The caller has checked that the length fits datatype and shape.
    pub data: Vec<u8>,
}

/// A source that the model was given to answer from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// The source's id.
    pub id: String,
    /// The source's text.
    pub text: String,
}

/// A label of the caller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attribute {
    /// The label's name.
    pub name: String,
    /// The label's value.
    pub value: String,
}

/// Rows for a detector, column by column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Number of the first row since the detector first started; rows are numbered without gaps.
    pub first_row: u64,
    /// When each row's model call happened, in milliseconds since 1970-01-01T00:00:00Z. Its length is the number of rows.
    pub times: Vec<u64>,
    /// The streams; each has a value for every row.
    pub columns: Vec<Column>,
}

/// One stream of a [`Batch`].
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The stream's name: a measurement's, or `feature.` and a feature's name.
    pub name: String,
    /// One value for each row of the batch.
    pub values: ColumnValues,
    /// Rows of the batch (from 0) in which the value was null, ascending.
    pub nulls: Vec<u32>,
}

/// The values of a [`Column`].
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnValues {
    /// Numbers; NaN and infinities where the model really gave them.
    Numbers(Vec<f64>),
    /// Categories.
    Categories {
        /// Each category once.
        names: Vec<String>,
        /// One index into `names` for each row.
        codes: Vec<u32>,
    },
}
