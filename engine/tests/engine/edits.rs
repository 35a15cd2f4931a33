//! Edits carried out on an output.

use picket_engine::{Content, Edit, Inference, Location, LocationError, Message, Part, Span, apply_edits, text_at};

fn edit(path: &str, span: Option<(u32, u32)>, replacement: &str) -> Edit {
    Edit { location: at(path, span), replacement: replacement.into() }
}

fn at(path: &str, span: Option<(u32, u32)>) -> Location {
    Location { part: Part::Output, path: path.into(), span: span.map(|(start, end)| Span { start, end }) }
}

fn json(text: &str, edits: &[Edit]) -> Result<String, LocationError> {
    match apply_edits(&Content::Json(text.into()), edits)? {
        Content::Json(text) => Ok(text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn text_is_edited_at_its_spans_in_any_order() {
    let edits = [edit("", Some((6, 11)), "[name]"), edit("", Some((0, 5)), "Bye"), edit("", Some((12, 12)), "!")];
    let edited = apply_edits(&Content::Text("Hello Maria ".into()), &edits).unwrap();
    assert_eq!(edited, Content::Text("Bye [name] !".into()));
    let edited = apply_edits(&Content::Text("all of it".into()), &[edit("", None, "")]).unwrap();
    assert_eq!(edited, Content::Text(String::new()));
}

#[test]
fn touching_edits_do_not_overlap() {
    let edits = [edit("", Some((0, 2)), "1"), edit("", Some((2, 4)), "2")];
    assert_eq!(apply_edits(&Content::Text("abcd".into()), &edits).unwrap(), Content::Text("12".into()));
}

#[test]
fn a_message_is_edited_and_the_others_stay() {
    let message = |content: &str| Message { role: "assistant".into(), name: None, content: content.into() };
    let content = Content::Messages(vec![message("one"), message("two")]);
    let edited = apply_edits(&content, &[edit("/1", Some((0, 1)), "T")]).unwrap();
    assert_eq!(edited, Content::Messages(vec![message("one"), message("Two")]));
    assert!(matches!(apply_edits(&content, &[edit("", None, "")]), Err(LocationError::NoSuchPath { .. })));
}

#[test]
fn json_outside_of_the_edits_stays_byte_for_byte() {
    let text = "{ \"n\": 1.500, \"mail\" :\"jo\\u0065@x.org\",\t\"big\": 123456789012345678901234567890, \"a\": [\"k\", null] }";
    let edits = [edit("/mail", Some((0, 3)), "\"*\""), edit("/a/0", None, "é\n"), edit("/a/1", None, "gone")];
    assert_eq!(
        json(text, &edits).unwrap(),
        "{ \"n\": 1.500, \"mail\" :\"\\\"*\\\"@x.org\",\t\"big\": 123456789012345678901234567890, \"a\": [\"é\\n\", \"gone\"] }"
    );
}

#[test]
fn numbers_and_objects_in_json_can_be_replaced_as_a_whole_only() {
    assert_eq!(json(r#"{"card":4111111111111111}"#, &[edit("/card", None, "[card]")]).unwrap(), r#"{"card":"[card]"}"#);
    assert_eq!(json(r#"{"a":{"b":1}}"#, &[edit("/a", None, "x")]).unwrap(), r#"{"a":"x"}"#);
    let span = json(r#"{"card":4111111111111111}"#, &[edit("/card", Some((0, 4)), "x")]);
    assert!(matches!(span, Err(LocationError::NoText { .. })));
}

#[test]
fn the_text_of_a_json_document_can_be_edited_if_it_stays_json() {
    assert_eq!(json(r#"{"a":1}"#, &[edit("", Some((5, 6)), "2")]).unwrap(), r#"{"a":2}"#);
    assert!(matches!(json(r#"{"a":1}"#, &[edit("", Some((5, 6)), "")]), Err(LocationError::NotJsonAfter)));
    let mixed = json(r#"{"a":1}"#, &[edit("", Some((5, 6)), "2"), edit("/a", None, "x")]);
    assert!(matches!(mixed, Err(LocationError::Overlap { .. })));
}

#[test]
fn nested_and_double_edits_overlap() {
    let text = r#"{"a":{"b":"c"}}"#;
    let nested = json(text, &[edit("/a", None, "x"), edit("/a/b", None, "y")]);
    assert!(matches!(nested, Err(LocationError::Overlap { .. })));
    let twice = json(text, &[edit("/a", None, "x"), edit("/a", None, "y")]);
    assert!(matches!(twice, Err(LocationError::Overlap { .. })));
    // `/a` is no part of `/ab`.
    assert!(json(r#"{"a":"1","ab":"2"}"#, &[edit("/a", None, "x"), edit("/ab", None, "y")]).is_ok());
}

#[test]
fn only_the_output_is_edited() {
    let mut input = edit("", None, "x");
    input.location.part = Part::Input;
    let error = apply_edits(&Content::Text("a".into()), &[input]).unwrap_err();
    assert_eq!(error, LocationError::NotOutput("input"));
    assert_eq!(apply_edits(&Content::Tensors(vec![]), &[edit("", None, "x")]), Err(LocationError::Tensors));
    assert_eq!(apply_edits(&Content::Tensors(vec![]), &[]), Ok(Content::Tensors(vec![])));
}

#[test]
fn documents_deeper_than_any_parser_likes_are_an_error() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    assert!(matches!(json(&deep, &[edit("/0", None, "x")]), Err(LocationError::Json { .. })));
}

#[test]
fn the_text_at_a_place_is_shown() {
    let inference =
        Inference { output: Some(Content::Json(r#"{"a":"b\u0063","n":1}"#.into())), ..Inference::default() };
    assert_eq!(text_at(&inference, &at("/a", None)).as_deref(), Some("bc"));
    assert_eq!(text_at(&inference, &at("/n", None)), None);
    assert_eq!(text_at(&inference, &at("/x", None)), None);
    assert_eq!(text_at(&inference, &at("", None)).as_deref(), Some(r#"{"a":"b\u0063","n":1}"#));
}
