//! Inferences right and wrong, and the way back to JSON.

use super::*;
use picket_engine::{Content, Scalar};

const FULL: &str = r#"{"id":"a-1","time":"2026-11-23T09:00:00Z","model":"credit-7b","model_version":"3","prompt_version":"p2",
 "input":{"messages":[{"role":"user","content":"hi"}]},"context":[{"id":"doc1","text":"source"}],
 "output":{"json":{"b": 1.50, "a":[null]}},
 "features":{"age":41,"region":"EU","income":null,"score":0.5,"ok":true},
 "attributes":{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}"#;

fn refused(line: &str) -> (String, String) {
    let error = parse(line.as_bytes()).expect_err(line);
    (error.field, error.message)
}

#[test]
fn a_full_inference_is_read() {
    let received = parse(FULL.as_bytes()).unwrap();
    assert_eq!(received.bytes, FULL.as_bytes());
    assert_eq!(received.trace_id.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    let inference = received.inference;
    assert_eq!(inference.time, Some(1_795_424_400_000));
    assert_eq!(inference.output, Some(Content::Json(r#"{"b": 1.50, "a":[null]}"#.into())), "the text as it came");
    let values: Vec<_> = inference.features.iter().map(|feature| feature.value.clone()).collect();
    let expected =
        [Scalar::Integer(41), Scalar::Text("EU".into()), Scalar::Null, Scalar::Number(0.5), Scalar::Boolean(true)];
    assert_eq!(values, expected);
}

#[test]
fn wrong_fields_are_named_by_their_path() {
    let cases = [
        (r#"{"id":"a","model":"m","colour":1}"#, "colour", "unknown field `colour`"),
        (r#"{"id":"a"}"#, "", "missing field `model`"),
        (r#"{"id":"","model":"m"}"#, "id", "0 bytes long"),
        (r#"{"id":"a\u0007","model":"m"}"#, "id", "control character"),
        (r#"{"id":"a","id":"b","model":"m"}"#, "", "duplicate field `id`"),
        (r#"{"id":"a","model":"m","time":"yesterday"}"#, "time", "is not an RFC 3339 time"),
        (r#"{"id":"a","model":"m","time":"1969-12-31T23:59:59Z"}"#, "time", "before 1970"),
        (r#"{"id":"a","model":"m","output":{}}"#, "output", "exactly one of"),
        (r#"{"id":"a","model":"m","output":{"text":"x","json":1}}"#, "output", "exactly one of"),
        (r#"{"id":"a","model":"m","output":{"text":1}}"#, "output.text", "invalid type: integer"),
        (
            r#"{"id":"a","model":"m","context":[{"id":"d","text":"t"},{"id":"e"}]}"#,
            "context[1]",
            "missing field `text`",
        ),
        (r#"{"id":"a","model":"m","features":{"x":1,"x":2}}"#, "features", "`x` is there twice"),
        (r#"{"id":"a","model":"m","features":{"x":[1]}}"#, "features.x", "null, a boolean, a number or a text"),
        (r#"{"id":"a","model":"m"} {}"#, "", "something follows"),
        (r#"{"id":"a","model":"m""#, "", "EOF"),
        (r#"{"id":"a","model":"m","output":{"text":"\ud800"}}"#, "output.text", "hex escape"),
    ];
    for (line, field, message) in cases {
        let (at, what) = refused(line);
        assert_eq!(at, field, "{line}: {what}");
        assert!(what.contains(message), "{line}: {at}: {what}");
    }
    assert!(parse(b"{\"id\":\"\xff\"}").unwrap_err().message.contains("not UTF-8 from byte 7"));
}

#[test]
fn bounds_of_lists_are_kept() {
    let documents = vec![r#"{"id":"d","text":""}"#; MAX_CONTEXT + 1].join(",");
    let (field, _) = refused(&format!(r#"{{"id":"a","model":"m","context":[{documents}]}}"#));
    assert_eq!(field, "context");
    let features: Vec<_> = (0..=MAX_FEATURES).map(|index| format!("\"f{index}\":1")).collect();
    let (_, message) = refused(&format!(r#"{{"id":"a","model":"m","features":{{{}}}}}"#, features.join(",")));
    assert!(message.contains("more than"), "{message}");
    let (field, _) = refused(&format!(r#"{{"id":"{}","model":"m"}}"#, "x".repeat(MAX_ID_BYTES + 1)));
    assert_eq!(field, "id");
}

fn tensor(datatype: &str, shape: &str, data: &str) -> String {
    format!(
        r#"{{"id":"a","model":"m","output":{{"tensors":[{{"name":"t","datatype":"{datatype}","shape":{shape},"data":{data}}}]}}}}"#
    )
}

#[test]
fn tensors_of_every_datatype_go_there_and_back() {
    let cases = [
        ("BOOL", "[2]", "[true,false]"),
        ("UINT8", "[1,2]", "[0,255]"),
        ("UINT16", "[1]", "[65535]"),
        ("UINT32", "[1]", "[4294967295]"),
        ("UINT64", "[1]", "[18446744073709551615]"),
        ("INT8", "[2]", "[-128,127]"),
        ("INT16", "[1]", "[-32768]"),
        ("INT32", "[1]", "[-2147483648]"),
        ("INT64", "[1]", "[-9223372036854775808]"),
        ("FP16", "[2]", "[0.5,\"NaN\"]"),
        ("BF16", "[1]", "[-2.0]"),
        ("FP32", "[2]", "[0.25,\"Infinity\"]"),
        ("FP64", "[2]", "[0.1,\"-Infinity\"]"),
        ("BYTES", "[2]", "[\"é\",\"\"]"),
        ("FP32", "[]", "[1.0]"),
        ("FP32", "[0]", "[]"),
    ];
    for (datatype, shape, data) in cases {
        let received =
            parse(tensor(datatype, shape, data).as_bytes()).unwrap_or_else(|error| panic!("{datatype}: {error}"));
        let json = content_json(&received.inference.output.unwrap()).unwrap();
        let value: serde_json::Value = serde_json::from_str(json.get()).unwrap();
        let expected: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(value["tensors"][0]["data"], expected, "{datatype}");
        assert_eq!(value["tensors"][0]["datatype"], *datatype);
    }
}

#[test]
fn wrong_tensors_are_named() {
    let cases = [
        ("FP8", "[1]", "[1]", "output.tensors[0].datatype"),
        ("INT8", "[1]", "[128]", "output.tensors[0].data[0]"),
        ("UINT8", "[2]", "[1,-1]", "output.tensors[0].data[1]"),
        ("FP32", "[1]", "[\"nan\"]", "output.tensors[0].data[0]"),
        ("FP32", "[3]", "[1,2]", "output.tensors[0].data"),
        ("FP32", "[4294967296,4294967296]", "[]", "output.tensors[0].shape"),
        ("FP32", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[1]", "output.tensors[0].shape"),
    ];
    for (datatype, shape, data, field) in cases {
        assert_eq!(refused(&tensor(datatype, shape, data)).0, field, "{datatype} {shape} {data}");
    }
    let twice = r#"{"id":"a","model":"m","output":{"tensors":[{"name":"t","datatype":"FP32","shape":[0],"data":[]},{"name":"t","datatype":"FP32","shape":[0],"data":[]}]}}"#;
    assert_eq!(refused(twice).0, "output.tensors[1].name");
}

#[test]
fn malformed_trace_parents_are_no_trace_ids() {
    for parent in [
        "",
        "00-xyz-1-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
    ] {
        assert_eq!(trace_id(parent), None, "{parent}");
    }
}
