#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn values(text: &str) -> Vec<(String, String)> {
    let mut reader = Reader::new(text);
    let mut found = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::String(_) | Event::Number(_) | Event::Boolean(_) | Event::Null = event {
            found.push((reader.pointer().to_owned(), text[reader.span()].to_owned()));
        }
    }
    found
}

#[test]
fn pointers_and_spans_name_each_value() {
    let text = r#" {"a": [1, "zwei", [null]], "b/c": {"~": true}, "": 4, "ü": -2e5 } "#;
    let expected =
        [("/a/0", "1"), ("/a/1", "\"zwei\""), ("/a/2/0", "null"), ("/b~1c/~0", "true"), ("/", "4"), ("/ü", "-2e5")];
    let expected: Vec<(String, String)> = expected.iter().map(|(p, v)| ((*p).to_owned(), (*v).to_owned())).collect();
    assert_eq!(values(text), expected);
}

#[test]
fn the_pointer_of_a_closed_container_is_its_own() {
    let mut reader = Reader::new(r#"{"a": [[1], 2]}"#);
    let mut closed = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        if matches!(event, Event::ArrayEnd | Event::ObjectEnd) {
            closed.push((reader.pointer().to_owned(), reader.depth()));
        }
    }
    assert_eq!(closed, [("/a/0".to_owned(), 2), ("/a".to_owned(), 1), (String::new(), 0)]);
}

#[test]
fn strings_are_decoded() {
    let mut reader = Reader::new(r#""a\n\u00e4\ud83d\ude00""#);
    assert_eq!(reader.next_event().unwrap(), Some(Event::String("a\nä😀".into())));
    assert_eq!(reader.next_event().unwrap(), None);
    assert_eq!(reader.next_event().unwrap(), None);
}

#[test]
fn a_pointer_agrees_with_serde_json() {
    let text = r#"{"a": {"b": [{"c/d": "x"}, {"~1": "y"}]}, "e": ["z"]}"#;
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut reader = Reader::new(text);
    let mut count = 0;
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::String(string) = event {
            assert_eq!(value.pointer(reader.pointer()).unwrap(), string.as_ref());
            count += 1;
        }
    }
    assert_eq!(count, 3);
}

#[test]
fn what_is_no_json_is_an_error_and_then_the_end() {
    for text in ["", "{", "[1,]", "{\"a\" 1}", "1 2", "nul", "\"\\x\"", "[", "\"", "NaN", "{]", "[}"] {
        let mut reader = Reader::new(text);
        let error = loop {
            match reader.next_event() {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        let error = error.unwrap_or_else(|| panic!("{text:?} was read as JSON"));
        assert!(error.offset <= text.len(), "{text:?}: {error}");
        assert_eq!(reader.next_event(), Ok(None), "{text:?}");
    }
}

#[test]
fn depth_is_bounded_and_needs_no_stack() {
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let read = |text: &str| {
        let mut reader = Reader::new(text);
        let mut deepest = 0;
        while reader.next_event()?.is_some() {
            deepest = deepest.max(reader.depth());
        }
        Ok::<_, JsonError>(deepest)
    };
    assert_eq!(read(&deep(10_000)), Ok(10_000));
    assert_eq!(read(&deep(MAX_DEPTH)), Ok(MAX_DEPTH));
    assert!(read(&deep(MAX_DEPTH + 1)).unwrap_err().message.contains("nested deeper"));
    let objects = "{\"a\":".repeat(MAX_DEPTH) + "1" + &"}".repeat(MAX_DEPTH);
    assert_eq!(read(&objects), Ok(MAX_DEPTH));
}
