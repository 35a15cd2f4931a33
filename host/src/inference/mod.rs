//! Inferences and verdicts as JSON: what comes in at the command line and over HTTP, and what goes out.
//!
//! The shapes are in `docs/jsonl.md`. Unknown fields, doubled fields and values out of bounds are errors that name the
//! field. JSON documents inside an inference are kept as the text they came in, so that a guard judges what the model
//! really wrote and a payload can be answered byte for byte.

mod answer;
mod read;
mod tensor;

pub(crate) use answer::severity_name;
pub use answer::{Answer, AnswerEntry, AnswerFailure, AnswerFinding, content_json, scalar_json};
pub use read::{MAX_CONTEXT, MAX_FEATURES, MAX_ID_BYTES, parse, trace_id};

pub(crate) use tensor::numbers as tensor_numbers;

use picket_engine::Inference;

/// An inference as it was received, and what it says.
#[derive(Debug, Clone)]
pub struct Received {
    /// The bytes of the JSON object; what the ledger commits to.
    pub bytes: Vec<u8>,
    /// What guards see.
    pub inference: Inference,
    /// W3C trace id (32 hex digits) from the attribute `traceparent`, if that is well-formed.
    pub trace_id: Option<String>,
}

/// What is wrong with an inference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if field.is_empty() { String::new() } else { format!("{field}: ") })]
pub struct BadInference {
    /// Path of the field, such as `output.tensors[0].shape`; empty when the JSON itself is broken.
    pub field: String,
    /// What is wrong with it and what to do.
    pub message: String,
}

#[cfg(test)]
mod tests;
