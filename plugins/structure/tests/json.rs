//! JSON documents: schema, nulls, depth, size, duplicate keys, required values.

mod common;

use common::{check, check_json, check_text, only, path, rules, span};
use picket_sdk::{Content, Decision, Message, Scalar};

const SCHEMA: &str = r##"{"schema": {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "string", "pattern": "^[a-z]{3}-[0-9]+$"},
        "rows": {"type": "array", "items": {"$ref": "#/$defs/row"}}
    },
    "$defs": {"row": {"type": "object", "properties": {"amount": {"type": "number", "minimum": 0}}}}
}, "parse_text": true}"##;

#[test]
fn a_document_that_meets_its_schema_passes() {
    let verdict = check_json(SCHEMA, r#"{"id": "abc-1", "rows": [{"amount": 0}, {"amount": 2.5, "more": null}]}"#);
    assert_eq!(verdict.decision, Decision::Allow, "{:?}", verdict.findings);
}

#[test]
fn each_violation_is_named_by_its_place_and_without_the_value() {
    let verdict = check_json(SCHEMA, r#"{"id": "Jane Doe", "rows": [{"amount": 0}, {"amount": -77}]}"#);
    assert_eq!(verdict.decision, Decision::Block);
    let places: Vec<&str> = verdict.findings.iter().map(path).collect();
    assert_eq!(places, ["/id", "/rows/1/amount"]);
    assert_eq!(rules(&verdict), ["json-schema"; 2]);
    for finding in &verdict.findings {
        assert!(!finding.message.contains("Jane") && !finding.message.contains("77"), "{}", finding.message);
        assert!(finding.message.contains("/properties/"), "{}", finding.message);
    }
    assert_eq!(path(only(&check_json(SCHEMA, "{}"))), "");
}

#[test]
fn violations_in_a_text_are_spans_of_it() {
    let text = r#"{"id": "abc-1", "rows": [{"amount": -1}, {"amount": "ä"}]}"#;
    let verdict = check_text(SCHEMA, text);
    let places: Vec<&str> =
        verdict.findings.iter().map(|finding| span(finding).map_or("", |(a, b)| &text[a..b])).collect();
    assert_eq!(places, ["-1", "\"ä\""]);
    assert!(verdict.findings[0].message.starts_with("at /rows/0/amount"), "{}", verdict.findings[0].message);
    assert!(verdict.findings.iter().all(|finding| path(finding).is_empty()));
}

#[test]
fn the_last_message_is_the_document() {
    let message = |content: &str| Message { role: "assistant".into(), name: None, content: content.into() };
    let output = Content::Messages(vec![message("let me see"), message("{\"id\": 3}")]);
    let verdict = check(SCHEMA, Some(output));
    assert_eq!(path(only(&verdict)), "/1");
    assert_eq!(span(only(&verdict)), Some((7, 8)));
}

#[test]
fn many_violations_are_counted_and_few_are_told() {
    let rows = vec![r#"{"amount": -1}"#; 100].join(",");
    let verdict = check_json(SCHEMA, &format!(r#"{{"id": "abc-1", "rows": [{rows}]}}"#));
    assert_eq!(verdict.findings.len(), 8);
    assert!(verdict.findings[7].message.ends_with("(and 92 more)"), "{}", verdict.findings[7].message);
}

#[test]
fn text_that_is_no_json_is_named_by_its_first_wrong_byte() {
    for (text, place) in
        [("{\"id\": tru}", 7..8), ("", 0..0), ("{\"id\": \"abc-1\"} trailing", 16..17), ("{\"id\": 1", 8..8)]
    {
        let verdict = check_text(&SCHEMA.replace("\"parse_text\"", "\"allow_empty\": true, \"parse_text\""), text);
        let finding = only(&verdict);
        assert_eq!(finding.rule, "json-invalid", "{text}");
        assert_eq!(span(finding), Some((place.start, place.end)), "{text}: {}", finding.message);
    }
}

#[test]
fn an_output_of_another_kind_does_not_slip_past_the_schema() {
    assert_eq!(rules(&check_text(r#"{"schema": {"type": "object"}}"#, "{}")), ["json-invalid"]);
    assert_eq!(rules(&check(r#"{"schema": true}"#, Some(Content::Tensors(vec![])))), ["json-invalid"]);
    assert_eq!(
        rules(&check(r#"{"schema": true, "parse_text": true}"#, Some(Content::Messages(vec![])))),
        ["text-empty", "json-invalid"]
    );
    assert_eq!(rules(&check(r#"{"schema": true}"#, None)), ["text-empty"]);
}

#[test]
fn nulls_are_counted() {
    let document = r#"{"a": null, "b": [null, 1, {"c": null}]}"#;
    assert_eq!(check_json(r#"{"max_nulls": 3}"#, document).decision, Decision::Allow);
    assert_eq!(check_json("{}", document).decision, Decision::Allow);
    let verdict = check_json(r#"{"max_nulls": 2}"#, document);
    assert_eq!(only(&verdict).rule, "json-nulls");
    assert_eq!(path(only(&verdict)), "/a");
    assert!(only(&verdict).message.contains("/a, /b/0, /b/2/c"), "{}", only(&verdict).message);
    assert!(verdict.measurements.iter().any(|m| m.name == "nulls" && m.value == Scalar::Integer(3)));
    assert_eq!(only(&check_json(r#"{"max_nulls": 0}"#, "null")).rule, "json-nulls");
}

#[test]
fn required_values_must_hold_something() {
    let settings = r#"{"required_not_empty": ["/name", "/rows/*/text", "/a~1b", "/list/1"]}"#;
    let good = r#"{"name": "x", "rows": [{"text": 0}, {"text": false}], "a/b": [1], "list": [0, 1]}"#;
    assert_eq!(check_json(settings, good).decision, Decision::Allow);
    let bad = r#"{"name": " \n", "rows": [{"text": "ok"}, {"text": null}, {}, 5], "a/b": {}, "list": [1]}"#;
    let verdict = check_json(settings, bad);
    let places: Vec<&str> = verdict.findings.iter().map(path).collect();
    assert_eq!(places, ["/name", "/rows/1/text", "/rows/2/text", "/rows/3/text", "/a~1b", "/list/1"]);
    assert_eq!(rules(&verdict), ["json-empty"; 6]);
    assert_eq!(rules(&check_json(r#"{"required_not_empty": [""]}"#, "[]")), ["json-empty"]);
}

#[test]
fn duplicate_keys_are_found_in_every_object() {
    let document = r#"{"a": {"x": 1, "y": 2, "x": 3}, "b": {"x": 1}, "c": {"\u0078": 1, "x": 2}}"#;
    let verdict = check_json("{}", document);
    assert_eq!(verdict.findings.iter().map(path).collect::<Vec<_>>(), ["/a/x", "/c/x"]);
    assert_eq!(rules(&verdict), ["json-duplicate-key"; 2]);
    assert_eq!(check_json(r#"{"allow_duplicate_keys": true}"#, document).decision, Decision::Allow);
}

#[test]
fn depth_is_a_finding_and_never_a_crash() {
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let settings = r#"{"schema": true, "max_depth": 3}"#;
    assert_eq!(check_json(settings, &deep(3)).decision, Decision::Allow);
    assert_eq!(rules(&check_json(settings, &deep(4))), ["json-depth"]);
    assert_eq!(rules(&check_json(settings, r#"{"a": {"b": {"c": {}}}}"#)), ["json-depth"]);
    assert_eq!(rules(&check_json(r#"{"max_depth": 0}"#, "[]")), ["json-depth"]);
    assert_eq!(check_json(r#"{"max_depth": 0}"#, "1").decision, Decision::Allow);
    for depth in [121, 10_000, 60_000] {
        let verdict = check_json(r#"{"schema": {"type": "array"}, "max_depth": 120}"#, &deep(depth));
        assert_eq!(rules(&verdict), ["json-depth"], "{depth}");
        assert!(only(&verdict).message.contains(&depth.to_string()));
    }
    // Deeper than the reader goes.
    assert_eq!(rules(&check_json("{}", &deep(100_000))), ["json-invalid"]);
    // The deepest that is handed on to what recurses, with a schema that follows it down.
    let recursive = r##"{"schema": {"type": "array", "items": {"$ref": "#"}}, "max_depth": 120}"##;
    assert_eq!(check_json(recursive, &deep(120)).decision, Decision::Allow);
    let wrong = "[".repeat(119) + "1" + &"]".repeat(119);
    assert_eq!(rules(&check_json(recursive, &wrong)), ["json-schema"]);
}

#[test]
fn size_is_checked_before_anything_is_read() {
    let settings = r#"{"max_bytes": 5}"#;
    assert_eq!(check_json(settings, "[1,2]").decision, Decision::Allow);
    assert_eq!(rules(&check_json(settings, "[1,22]")), ["json-size"]);
    let large = format!("[{}]", vec!["1"; 500_000].join(","));
    assert_eq!(check_json(r#"{"schema": {"items": {"type": "integer"}}}"#, &large).decision, Decision::Allow);
}

#[test]
fn big_numbers_are_read_or_refused() {
    let integers = r#"{"schema": {"items": {"type": "integer"}}}"#;
    assert_eq!(check_json(integers, "[18446744073709551615, -9223372036854775808, 1e30]").decision, Decision::Allow);
    assert_eq!(check_json(integers, "[123456789012345678901234567890]").decision, Decision::Allow);
    assert_eq!(rules(&check_json(integers, "[1.5]")), ["json-schema"]);
    assert_eq!(rules(&check_json(integers, "[1e999]")), ["json-invalid"]);
}

#[test]
fn strings_in_a_document_are_judged_as_texts() {
    let document = format!(r#"{{"a": {{"b": "{}"}}, "c": "lost \ufffd here"}}"#, "!".repeat(60));
    let verdict = check_json("{}", &document);
    assert_eq!(rules(&verdict), ["text-repetition", "text-replacement"]);
    assert_eq!(path(&verdict.findings[0]), "/a/b");
    assert_eq!(span(&verdict.findings[0]), Some((0, 60)));
    assert_eq!((path(&verdict.findings[1]), span(&verdict.findings[1])), ("/c", Some((5, 8))));
}
