//! Natively only what returns can be tried; the engine's tests run the rest.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn check(attack: &str, text: &str) -> Verdict {
    let settings = format!(r#"{{"attack": "{attack}", "bytes": 2000, "count": 300}}"#);
    Hostile::configure(&settings).unwrap().check(&Inference::of_text(text)).unwrap()
}

#[test]
fn benign_modes_answer_correctly() {
    assert_eq!(check("none", "a").decision, Decision::Allow);
    assert_eq!(check("block", "a").decision, Decision::Block);
    assert_eq!(check("flag", "äb").findings[0].location.as_ref().unwrap().span, Some(Span { start: 0, end: 2 }));
    let echo = check("echo", "äb");
    assert!(echo.measurements.contains(&NamedValue::new("output", Scalar::Integer(3))));
    assert!(echo.measurements.contains(&NamedValue::new("input", Scalar::Integer(0))));
}

#[test]
fn attacks_are_what_they_say() {
    assert_eq!(check("many-findings", "a").findings.len(), 300);
    assert_eq!(check("huge-answer", "a").findings[0].message.len(), 2000);
    let span = check("span-off-border", "aäb").findings[0].location.as_ref().unwrap().span.unwrap();
    assert!(!"aäb".is_char_boundary(usize::try_from(span.end).unwrap()));
    assert!(check("nan-score", "a").findings[0].score.unwrap().is_nan());
    assert_eq!(check("empty-redaction", "a").decision, Decision::Redact(vec![]));
    let Decision::Redact(edits) = check("overlapping-edits", "abc").decision else { panic!("no redaction") };
    assert_eq!(edits.len(), 2);
}

#[test]
fn what_is_remembered_is_told() {
    assert_eq!(check("remember", "secret").decision, Decision::Allow);
    assert_eq!(check("remember", "other").findings[0].message, "secret");
}

#[test]
fn some_texts_are_harmless() {
    assert_eq!(check("panic-at-wide", "aä€").decision, Decision::Allow);
    assert_eq!(check("tell-memory", "").measurements.len(), 1);
}

#[test]
fn problems_are_reported() {
    assert_eq!(Hostile::configure(r#"{"attack": "configure-problems"}"#).unwrap_err().len(), 2);
    assert_eq!(Hostile::configure(r#"{"attack": "no-such-thing"}"#).unwrap_err()[0].pointer, "/attack");
    assert!(Hostile::configure(r#"{"attack": "refuse"}"#).unwrap().check(&Inference::of_text("")).is_err());
}
