//! From a judgement to JSON text.

use super::tensor;
use picket_engine::{Content, Message, NamedValue, Scalar, Severity};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// One line of JSONL verdicts, and the body of an answer to `POST /v1/check`.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// The caller's id.
    pub id: String,
    /// `allow`, `flag`, `redact` or `block`.
    pub decision: &'static str,
    /// What guards found; those of shadow guards are marked.
    pub findings: Vec<AnswerFinding>,
    /// The output as it may be used: as it was, or redacted; absent when blocked or when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
    /// Name and value, in the order in which they were taken.
    #[serde(serialize_with = "measurements")]
    pub measurements: Vec<NamedValue>,
    /// Guards that gave no verdict.
    pub failures: Vec<AnswerFailure>,
    /// Where the judgement stands in the ledger; absent when it was not recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<AnswerEntry>,
    /// Microseconds from the inference's arrival to its verdict, without the wait for durability.
    pub micros: u64,
}

/// One finding.
#[derive(Debug, Serialize)]
pub struct AnswerFinding {
    /// Name of the guard.
    pub guard: String,
    /// Its rule.
    pub rule: String,
    /// `info`, `low`, `medium`, `high` or `critical`.
    pub severity: &'static str,
    /// For a person.
    pub message: String,
    /// `input`, `context`, `output`, `features` or `attributes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<&'static str>,
    /// JSON Pointer inside the part, when it is not the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Bytes of UTF-8, end exclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<[u32; 2]>,
    /// The rule's own statistic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// True for a guard in shadow: it had no effect.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
}

/// One failure.
#[derive(Debug, Serialize)]
pub struct AnswerFailure {
    /// Name of the guard.
    pub guard: String,
    /// `trap`, `deadline`, `memory`, `answer`, `refused` or `unavailable`.
    pub cause: &'static str,
    /// For a person.
    pub message: String,
    /// What policy made of it: `block` or `allow`.
    pub action: &'static str,
    /// True for a guard in shadow.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
}

/// Place in the ledger.
#[derive(Debug, Serialize)]
pub struct AnswerEntry {
    /// Index of the entry, from 0.
    pub index: u64,
    /// Leaf hash, hex.
    pub leaf: String,
}

fn measurements<S: Serializer>(values: &[NamedValue], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(values.len()))?;
    for value in values {
        map.serialize_entry(&value.name, &scalar_json(&value.value))?;
    }
    map.end()
}

/// A scalar as JSON; NaN and infinities as their names.
pub fn scalar_json(scalar: &Scalar) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => (*value).into(),
        Scalar::Integer(value) => (*value).into(),
        Scalar::Number(value) => tensor::float_json(*value),
        Scalar::Text(value) => value.clone().into(),
    }
}

/// Content in the shape in which inferences carry it. A JSON document is passed on as the text it is.
///
/// # Errors
/// When a document that a guard has edited is no JSON any more.
pub fn content_json(content: &Content) -> Result<Box<RawValue>, serde_json::Error> {
    if let Content::Json(text) = content {
        let document = RawValue::from_string(text.clone())?;
        return RawValue::from_string(format!("{{\"json\":{}}}", document.get()));
    }
    let value = match content {
        Content::Text(text) => json!({ "text": text }),
        Content::Messages(messages) => json!({ "messages": messages.iter().map(message).collect::<Vec<_>>() }),
        Content::Tensors(tensors) => json!({ "tensors": tensors.iter().map(tensor::to_json).collect::<Vec<_>>() }),
        Content::Json(_) => Value::Null,
    };
    serde_json::value::to_raw_value(&value)
}

fn message(message: &Message) -> Value {
    match &message.name {
        Some(name) => json!({ "role": message.role, "name": name, "content": message.content }),
        None => json!({ "role": message.role, "content": message.content }),
    }
}

/// The word for a severity.
pub(crate) fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}
