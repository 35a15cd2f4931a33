//! JSON Schema, on the crate `jsonschema`.

use jsonschema::{Draft, PatternOptions, Validator};
use picket_sdk::Problem;
use serde_json::Value;

/// A schema, compiled. Built in `configure`, so that the host's image of the guard holds it.
#[derive(Debug)]
pub(crate) struct Schema {
    validator: Validator,
}

/// Something in a document that the schema forbids.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// JSON Pointer into the document.
    pub(crate) pointer: String,
    /// What is wrong, without the value itself.
    pub(crate) message: String,
}

impl Schema {
    /// Compiles a schema. References lead nowhere but into the schema and to the drafts' own meta-schemas.
    pub(crate) fn new(schema: &Value, assert_formats: bool) -> Result<Self, Problem> {
        let mut options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            // Linear time. Patterns with look-around or back references are refused, since the document could then
            // decide how long a check takes.
            .with_pattern_options(PatternOptions::regex());
        if assert_formats {
            options = options.should_validate_formats(true);
        }
        let validator = options.build(schema).map_err(|error| {
            Problem::new(format!("/schema{}", error.instance_path()), format!("no JSON Schema: {error}"))
        })?;
        Ok(Self { validator })
    }

    /// Calls `report` with each violation.
    pub(crate) fn check(&self, document: &Value, mut report: impl FnMut(Violation)) {
        // The plain answer costs a fraction of the reasons.
        if self.validator.is_valid(document) {
            return;
        }
        for error in self.validator.iter_errors(document) {
            let message = format!("{} (schema: {})", error.masked(), error.schema_path());
            report(Violation { pointer: error.instance_path().to_string(), message });
        }
    }
}
