//! Settings, good and bad, and what the guard says of itself.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use picket_guard_structure::Structure;
use picket_sdk::{Guarantee, Guard};

fn pointers(settings: &str) -> Vec<String> {
    Structure::configure(settings).unwrap_err().into_iter().map(|problem| problem.pointer).collect()
}

#[test]
fn mistakes_are_named_by_their_place() {
    let cases = [
        (r#"{"shema": {}}"#, "/shema"),
        (r#"{"schema": {"type": "objekt"}}"#, "/schema/type"),
        (r#"{"schema": {"properties": {"a": {"minimum": "1"}}}}"#, "/schema/properties/a/minimum"),
        (r#"{"max_depth": 121}"#, "/max_depth"),
        (r#"{"max_nulls": -1}"#, "/max_nulls"),
        (r#"{"required_not_empty": ["/a", "b"]}"#, "/required_not_empty/1"),
        (r#"{"action": "redact"}"#, "/action"),
        (r#"{"actions": {"json/x": "flag"}}"#, "/actions/json~1x"),
        (r#"{"repetition": {"max_run": 0}}"#, "/repetition/max_run"),
        (r#"{"repetition": {"loop": {"min_fraction": 1.5}}}"#, "/repetition/loop/min_fraction"),
        (r#"{"repetition": {"loop": {"min_repeats": 1}}}"#, "/repetition/loop/min_repeats"),
        (r#"{"repetition": {"loop": {"max_period": 0}}}"#, "/repetition/loop/max_period"),
        (r#"{"tensors": [{"name": "a"}, {"name": "a"}]}"#, "/tensors/1/name"),
        (r#"{"tensors": [{"name": "a", "datatype": "FP8"}]}"#, "/tensors/0/datatype"),
        (r#"{"tensors": [{"name": "a", "shape": [-2]}]}"#, "/tensors/0/shape/0"),
        (r#"{"tensors": [{"name": "a", "range": [2, 1]}]}"#, "/tensors/0/range"),
        (r#"{"tensors": [{"name": "a", "shape": [3], "sum_to_one": {"axis": 1}}]}"#, "/tensors/0/sum_to_one/axis"),
        (r#"{"tensors": [{"name": "a", "sum_to_one": {"tolerance": -1}}]}"#, "/tensors/0/sum_to_one/tolerance"),
        (r#"{"tensors": [{"name": "a", "datatype": "BYTES", "range": [0, 1]}]}"#, "/tensors/0/datatype"),
    ];
    for (settings, pointer) in cases {
        assert_eq!(pointers(settings), [pointer], "{settings}");
    }
}

#[test]
fn several_mistakes_come_at_once() {
    let settings = r#"{"max_depth": 999, "schema": {"type": 7}, "tensors": [{"name": "a", "shape": [-9]}]}"#;
    assert_eq!(pointers(settings), ["/max_depth", "/tensors/0/shape/0", "/schema/type"]);
}

#[test]
fn schemas_that_reach_outside_or_backtrack_are_refused() {
    assert!(!pointers(r#"{"schema": {"$ref": "https://example.org/schema.json"}}"#).is_empty());
    assert!(!pointers(r#"{"schema": {"$ref": "file:///etc/passwd"}}"#).is_empty());
    assert!(!pointers(r##"{"schema": {"$ref": "#/$defs/missing"}}"##).is_empty());
    assert!(!pointers(r#"{"schema": {"pattern": "(a)\\1"}}"#).is_empty());
    assert!(!pointers(r#"{"schema": {"pattern": "(?=a)a"}}"#).is_empty());
}

#[test]
fn the_published_schema_agrees_with_what_is_accepted() {
    let schema = serde_json::from_str(&Structure::describe().settings_schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let everything = r#"{
        "schema": {"type": "object"}, "assert_formats": true, "parse_text": true, "max_nulls": 1,
        "required_not_empty": ["/a"], "max_depth": 5, "max_bytes": 10, "allow_duplicate_keys": true,
        "tensors": [{"name": "p", "datatype": "FP32", "shape": [-1, 2], "range": [0, null], "allow_nan": true,
                     "allow_inf": true, "sum_to_one": {"axis": 1, "tolerance": 0.5}, "optional": true}],
        "replacement_characters": null, "allow_empty": true,
        "repetition": {"max_run": 3, "loop": {"max_period": 4, "min_repeats": 5, "min_fraction": 0.5}},
        "action": "flag", "actions": {"json": "block", "text-loop": "flag"}
    }"#;
    for settings in [everything, "{}", r#"{"repetition": null}"#, r#"{"repetition": {"loop": null, "max_run": null}}"#]
    {
        assert!(Structure::configure(settings).is_ok(), "{settings}");
        assert!(validator.is_valid(&serde_json::from_str(settings).unwrap()), "{settings}");
    }
    let document: serde_json::Value = serde_json::from_str(everything).unwrap();
    let documented = schema_keys(&schema);
    assert_eq!(documented, document.as_object().unwrap().keys().cloned().collect());
    assert!(!validator.is_valid(&serde_json::json!({"shema": 1})));
}

fn schema_keys(schema: &serde_json::Value) -> BTreeSet<String> {
    schema["properties"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_descriptor_is_well_formed() {
    let descriptor = Structure::describe();
    let ids: BTreeSet<&str> = descriptor.rules.iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids.len(), descriptor.rules.len());
    assert!(
        ids.iter().all(|id| id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'))
    );
    assert!(descriptor.rules.iter().all(|rule| rule.guarantee == Guarantee::Held));
}
