use picket_sdk::{Attribute, Datatype, Message, Span, Tensor};

use super::*;

fn check(settings: &str, inference: &Inference) -> Verdict {
    Pii::configure(settings).unwrap().check(inference).unwrap()
}

fn edits(verdict: &Verdict) -> Vec<(&str, Span, &str)> {
    let Decision::Redact(edits) = &verdict.decision else { panic!("{verdict:?}") };
    edits
        .iter()
        .map(|edit| (edit.location.path.as_str(), edit.location.span.unwrap(), edit.replacement.as_str()))
        .collect()
}

/// The text with the edits at the empty path carried out.
fn applied(text: &str, verdict: &Verdict) -> String {
    let mut edited = text.to_owned();
    for (path, span, replacement) in edits(verdict).into_iter().rev() {
        assert_eq!(path, "");
        edited.replace_range(span.start as usize..span.end as usize, replacement);
    }
    edited
}

#[test]
fn text_is_redacted_and_the_datum_is_nowhere_in_the_verdict() {
    let text = "Écris à bob@example.com ou au +33 1 23 45 67 89, carte 4111 1111 1111 1111.";
    let verdict = check("{}", &Inference::of_text(text));
    assert_eq!(applied(text, &verdict), "Écris à [EMAIL] ou au [PHONE], carte [CARD].");
    let rules: Vec<&str> = verdict.findings.iter().map(|finding| finding.rule.as_str()).collect();
    assert_eq!(rules, ["email", "phone", "card"]);
    assert_eq!(verdict.findings[0].location.as_ref().unwrap().span, Some(Span { start: 10, end: 25 }));
    let shown = format!("{verdict:?}");
    for datum in ["bob", "23 45", "1111"] {
        assert!(!shown.contains(datum), "{shown}");
    }
}

#[test]
fn every_rule_that_is_used_is_declared() {
    let declared: Vec<String> = Pii::describe().rules.into_iter().map(|rule| rule.id).collect();
    assert_eq!(declared, ["email", "phone", "card", "iban", "ssn", "ip", "too-many"]);
}

#[test]
fn masks_keep_the_form_and_the_last_four() {
    let text = "4111 1111 1111 1111, jo@example.com, 10.20.30.40";
    let verdict = check(r#"{"action":"mask"}"#, &Inference::of_text(text));
    assert_eq!(applied(text, &verdict), "**** **** **** 1111, **@example.com, **.**.**.**");
}

#[test]
fn actions_decide_and_the_gravest_wins() {
    let inference = Inference::of_text("bob@example.com 4111111111111111");
    assert_eq!(check(r#"{"action":"flag"}"#, &inference).decision, Decision::Flag);
    assert_eq!(check(r#"{"action":"block"}"#, &inference).decision, Decision::Block);
    assert_eq!(check(r#"{"action":"flag","actions":{"card":"block"}}"#, &inference).decision, Decision::Block);
    assert_eq!(edits(&check(r#"{"action":"flag","actions":{"card":"redact"}}"#, &inference)).len(), 1);
    assert_eq!(check(r#"{"entities":["iban"]}"#, &inference).decision, Decision::Allow);
    assert_eq!(check("{}", &Inference::of_text("nothing")).decision, Decision::Allow);
}

#[test]
fn json_is_redacted_in_place_and_stays_json() {
    let document =
        r#"{"who": "Jo\u00e9 \"jo@example.com\"", "phone": 5551234567, "jo@example.com": ["é 4111111111111111"]}"#;
    let verdict = check("{}", &Inference::of_json(document));
    let edited = applied(document, &verdict);
    assert_eq!(edited, r#"{"who": "Jo\u00e9 \"[EMAIL]\"", "phone": "[PHONE]", "[EMAIL]": ["é [CARD]"]}"#);
    serde_json::from_str::<serde_json::Value>(&edited).unwrap();
    let places: Vec<(&str, Option<Span>)> = verdict
        .findings
        .iter()
        .map(|finding| finding.location.as_ref().unwrap())
        .map(|location| (location.path.as_str(), location.span))
        .collect();
    // "Joé \"" has 7 bytes when decoded; a number has no bytes of its own; a name is told by the document's bytes.
    let name = document.rfind(r#""jo@"#).map(|at| u32::try_from(at + 1).unwrap()).unwrap();
    assert_eq!(
        places,
        [
            ("/who", Some(Span { start: 6, end: 20 })),
            ("/phone", None),
            ("", Some(Span { start: name, end: name + 14 })),
            ("/jo@example.com/0", Some(Span { start: 3, end: 19 })),
        ]
    );
}

#[test]
fn repeated_members_are_all_redacted() {
    let document = r#"{"a":"bob@example.com","a":"x"}"#;
    let verdict = check("{}", &Inference::of_json(document));
    assert_eq!(applied(document, &verdict), r#"{"a":"[EMAIL]","a":"x"}"#);
    assert_eq!(verdict.findings[0].location.as_ref().unwrap().path, "");
}

#[test]
fn deep_documents_are_redacted() {
    let document = format!("{}\"bob@example.com\"{}", "[".repeat(10_000), "]".repeat(10_000));
    let verdict = check("{}", &Inference::of_json(&document));
    assert!(applied(&document, &verdict).contains("[\"[EMAIL]\"]"));
    assert_eq!(verdict.findings[0].location.as_ref().unwrap().path, "");
}

#[test]
fn messages_are_edited_by_their_number() {
    let message = |content: &str| Message { role: "assistant".into(), name: None, content: content.into() };
    let output = Content::Messages(vec![message("hello"), message("at 10.20.30.40")]);
    let verdict = check("{}", &Inference::of_output(Some(output)));
    assert_eq!(edits(&verdict), [("/1", Span { start: 3, end: 14 }, "[IP]")]);
}

#[test]
fn tensors_cannot_be_edited_so_they_are_blocked() {
    let data = [&15_u32.to_le_bytes()[..], b"bob@example.com"].concat();
    let tensor = Tensor { name: "text".into(), datatype: Datatype::Bytes, shape: vec![1], data };
    let inference = Inference::of_tensors(vec![tensor]);
    assert_eq!(check("{}", &inference).decision, Decision::Block);
    assert_eq!(check(r#"{"action":"flag"}"#, &inference).decision, Decision::Flag);
}

#[test]
fn other_parts_are_looked_at_when_asked_for_and_flagged() {
    let mut inference = Inference::of_text("fine");
    inference.input = Some(Content::Text("I am bob@example.com".into()));
    inference.context = vec![picket_sdk::Document { id: "d".into(), text: "10.20.30.40".into() }];
    inference.features = vec![
        NamedValue::new("home_phone", Scalar::Text("5551234567".into())),
        NamedValue::new("home_phone", Scalar::Text("x 5551234568".into())),
    ];
    inference.attributes = vec![Attribute { name: "a/b".into(), value: "bob@example.com".into() }];
    assert_eq!(check("{}", &inference).decision, Decision::Allow);
    let verdict = check(r#"{"parts":["attributes","features","context","input"]}"#, &inference);
    assert_eq!(verdict.decision, Decision::Flag);
    let places: Vec<(Part, &str, bool)> = verdict
        .findings
        .iter()
        .map(|finding| finding.location.as_ref().unwrap())
        .map(|location| (location.part, location.path.as_str(), location.span.is_some()))
        .collect();
    assert_eq!(
        places,
        [
            (Part::Input, "", true),
            (Part::Context, "/0", true),
            (Part::Features, "/home_phone", true),
            (Part::Features, "/home_phone", false),
            (Part::Attributes, "/a~1b", true),
        ]
    );
}

#[test]
fn a_list_of_personal_data_is_blocked() {
    for inference in [
        Inference::of_text(&"bob@example.com ".repeat(300)),
        Inference::of_json(&format!("[{}\"x\"]", "\"bob@example.com\",".repeat(300))),
    ] {
        let verdict = check("{}", &inference);
        assert_eq!(verdict.decision, Decision::Block);
        assert_eq!(verdict.findings.len(), 256);
        assert_eq!(verdict.findings.last().unwrap().rule, "too-many");
    }
    let two = Inference::of_text("a@example.com b@example.com");
    assert_eq!(check(r#"{"max_hits":1}"#, &two).decision, Decision::Block);
    assert!(matches!(check(r#"{"max_hits":2}"#, &two).decision, Decision::Redact(_)));
}
