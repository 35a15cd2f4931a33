//! Answers that break the contract: each is a failure, none a verdict, none a panic.

use picket_engine::{
    Attribute, Cause, Content, Decision, Document, Inference, MAX_MESSAGE_BYTES, Message, NamedValue, Scalar, Verdict,
    verdict_bytes,
};

use crate::guard::{ANSWER, Guard, Image, Place, descriptor, escaped};
use crate::{check, load, text};

const INPUT: u8 = 0;
const CONTEXT: u8 = 1;
const OUTPUT: u8 = 2;
const FEATURES: u8 = 3;
const ATTRIBUTES: u8 = 4;

fn answering(answer: Vec<u8>) -> Guard {
    Guard { answer, ..Guard::default() }
}

fn refused(answer: Vec<u8>, inference: &Inference, expected: &str) {
    let failure = check(&answering(answer), inference).unwrap_err();
    assert_eq!(failure.cause, Cause::Answer, "{failure}");
    assert!(failure.message.contains(expected), "{failure} lacks {expected:?}");
}

fn at(place: Place<'_>) -> Vec<u8> {
    Image::verdict(1, &[], &[("rule", "m", Some(place), None)], &[])
}

fn redact(edits: &[(Place<'_>, &str)]) -> Vec<u8> {
    Image::verdict(2, edits, &[], &[])
}

fn full() -> Inference {
    Inference {
        input: Some(Content::Messages(vec![
            Message { role: "user".into(), name: None, content: "grüß".into() },
            Message::default(),
        ])),
        context: vec![Document { id: "d".into(), text: "source".into() }],
        output: Some(Content::Json(r#"{"a":{"b":"h\u00e9llo"},"n":1.50}"#.into())),
        features: vec![
            NamedValue { name: "a/b".into(), value: Scalar::Text("red".into()) },
            NamedValue { name: "age".into(), value: Scalar::Integer(41) },
        ],
        attributes: vec![Attribute { name: "k".into(), value: "value".into() }],
        ..Inference::default()
    }
}

#[test]
fn a_full_verdict_comes_through() {
    let answer = Image::verdict(
        2,
        &[((OUTPUT, "", Some((6, 11))), "[x]")],
        &[("rule", "found", Some((OUTPUT, "", Some((6, 11)))), Some(0.25))],
        &[("seen", 1)],
    );
    let verdict = check(&answering(answer), &text("hello world")).unwrap();
    let Decision::Redact(edits) = &verdict.decision else { panic!("{verdict:?}") };
    assert_eq!(edits[0].replacement, "[x]");
    assert_eq!(verdict.findings[0].score, Some(0.25));
    assert_eq!(verdict.measurements[0].value, Scalar::Integer(1));
}

#[test]
fn places_that_exist_pass() {
    for place in [
        (OUTPUT, "", None),
        (OUTPUT, "", Some((0, 1))),
        (OUTPUT, "/a", None),
        (OUTPUT, "/a/b", Some((1, 3))),
        (OUTPUT, "/n", None),
        (INPUT, "/0", Some((2, 4))),
        (INPUT, "/1", Some((0, 0))),
        (INPUT, "", None),
        (CONTEXT, "/0", Some((0, 6))),
        (FEATURES, "/a~1b", Some((0, 3))),
        (FEATURES, "/age", None),
        (ATTRIBUTES, "/k", Some((0, 5))),
    ] {
        check(&answering(at(place)), &full()).unwrap_or_else(|failure| panic!("{place:?}: {failure}"));
    }
}

#[test]
fn places_that_do_not_exist_are_refused() {
    for (place, expected) in [
        ((OUTPUT, "", Some((0, 1000))), "is not in the"),
        ((OUTPUT, "", Some((5, 2))), "is not in the"),
        ((OUTPUT, "", Some((0, u32::MAX))), "is not in the"),
        ((OUTPUT, "/a/c", None), "nothing at `/a/c`"),
        ((OUTPUT, "/a/b", Some((2, 3))), "cuts a character"),
        ((OUTPUT, "/a/b", Some((0, 7))), "is not in the"),
        ((OUTPUT, "/n", Some((0, 1))), "is no text"),
        ((INPUT, "/2", None), "nothing at"),
        ((INPUT, "/00", None), "nothing at"),
        ((INPUT, "/0", Some((3, 4))), "cuts a character"),
        ((CONTEXT, "/1", None), "nothing at"),
        ((CONTEXT, "", Some((0, 1))), "is no text"),
        ((FEATURES, "/a/b", None), "nothing at"),
        ((FEATURES, "/age", Some((0, 1))), "is no text"),
        ((ATTRIBUTES, "/\u{1b}[2J", None), "nothing at `/\\u{1b}[2J`"),
    ] {
        refused(at(place), &full(), expected);
    }
    refused(at((OUTPUT, "", None)), &Inference::default(), "no output");
    refused(at((OUTPUT, &"/a".repeat(1000), None)), &full(), "too long");
    refused(at((OUTPUT, "/a", None)), &text("plain"), "nothing at");
}

#[test]
fn a_part_that_the_guard_does_not_read_cannot_be_pointed_into() {
    let guard = Guard {
        descriptor: descriptor("test", "1.0.0", "{}", 0b00_0100, &["rule"]),
        answer: at((INPUT, "", None)),
        ..Guard::default()
    };
    let failure = check(&guard, &full()).unwrap_err();
    assert!(failure.message.contains("does not read"), "{failure}");
}

#[test]
fn only_the_parts_that_a_guard_needs_reach_it() {
    // Gives out the discriminants of input and output and the lengths of context and attributes.
    let read = |offset: u32, slot: u32| {
        format!("(i64.store (i32.const {}) (i64.load32_u offset={offset} (local.get 0)))", ANSWER + 32 + slot * 24 + 16)
    };
    let read_byte = |offset: u32, slot: u32| read(offset, slot).replace("load32_u", "load8_u");
    let guard = |needs| Guard {
        descriptor: descriptor("test", "1.0.0", "{}", needs, &["rule"]),
        answer: Image::verdict(0, &[], &[], &[("a", 0), ("b", 0), ("c", 0), ("d", 0)]),
        check: [read_byte(56, 0), read_byte(80, 1), read(76, 2), read(108, 3), format!("(i32.const {ANSWER})")]
            .concat(),
        ..Guard::default()
    };
    let seen = |needs| -> Vec<Scalar> {
        let verdict = check(&guard(needs), &full()).unwrap();
        verdict.measurements.into_iter().map(|measurement| measurement.value).collect()
    };
    let integers = |values: [i64; 4]| values.map(Scalar::Integer).to_vec();
    assert_eq!(seen(0b11_1111), integers([1, 1, 1, 1]));
    assert_eq!(seen(0), integers([0, 0, 0, 0]));
    assert_eq!(seen(0b00_0100), integers([0, 1, 0, 0]));
    assert_eq!(seen(0b01_0010), integers([0, 0, 1, 1]));
}

#[test]
fn edits_that_cannot_be_made_are_refused() {
    let plain = text("hello");
    refused(redact(&[]), &plain, "without an edit");
    refused(redact(&[((INPUT, "", None), "x")]), &full(), "only the output");
    refused(redact(&[((OUTPUT, "", Some((0, 9))), "x")]), &plain, "is not in the");
    refused(redact(&[((OUTPUT, "", Some((0, 3))), "x"), ((OUTPUT, "", Some((2, 4))), "y")]), &plain, "overlap");
    refused(redact(&[((OUTPUT, "", None), "x"), ((OUTPUT, "", Some((2, 4))), "y")]), &plain, "overlap");
    refused(redact(&[((OUTPUT, "", Some((1, 1))), "x"), ((OUTPUT, "", Some((1, 1))), "y")]), &plain, "overlap");
    refused(redact(&[((OUTPUT, "/a", None), "x"), ((OUTPUT, "/a/b", None), "y")]), &full(), "overlap");
    refused(redact(&[((OUTPUT, "", Some((0, 1))), "x")]), &full(), "not JSON");
    refused(redact(&[((OUTPUT, "", None), "x")]), &Inference::default(), "not there");
}

#[test]
fn edits_come_in_order() {
    let edits = [((OUTPUT, "", Some((3, 4))), "b"), ((OUTPUT, "", Some((0, 1))), "a")];
    let verdict = check(&answering(redact(&edits)), &text("hello")).unwrap();
    let Decision::Redact(edits) = verdict.decision else { panic!() };
    assert_eq!(edits.iter().map(|edit| edit.replacement.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn undeclared_rules_and_bad_numbers_are_refused() {
    let plain = text("hello");
    refused(Image::verdict(1, &[], &[("other", "m", None, None)], &[]), &plain, "does not declare");
    for score in [f64::NAN, f64::INFINITY] {
        refused(Image::verdict(1, &[], &[("rule", "m", None, Some(score))], &[]), &plain, "not finite");
    }
    refused(Image::verdict(0, &[], &[], &[("a name", 1)]), &plain, "no name");
    refused(Image::verdict(0, &[], &[], &[("a", 1), ("a", 2)]), &plain, "twice");
    refused(Image::verdict(0, &[], &[], &[(&"a".repeat(65), 1)]), &plain, "no name");
}

#[test]
fn long_messages_are_cut_on_a_character_border() {
    let message = "é".repeat(1000);
    let answer = Image::verdict(1, &[], &[("rule", &message, None, None)], &[]);
    let verdict = check(&answering(answer), &text("x")).unwrap();
    assert_eq!(verdict.findings[0].message.len(), MAX_MESSAGE_BYTES);
    let message = "é".repeat(512) + "x";
    let answer = Image::verdict(1, &[], &[("rule", &format!("x{message}"), None, None)], &[]);
    let verdict = check(&answering(answer), &text("x")).unwrap();
    assert_eq!(verdict.findings[0].message.len(), MAX_MESSAGE_BYTES - 1);
}

#[test]
fn answers_that_break_the_canonical_abi_are_refused() {
    let plain = text("hello");
    let mut cases = Vec::new();
    let broken = |change: &dyn Fn(&mut Image)| {
        let mut image = Image::new(ANSWER, 32);
        change(&mut image);
        image.bytes
    };
    // A result that is neither, a decision that is none.
    cases.push(broken(&|image| image.bytes[0] = 7));
    cases.push(broken(&|image| image.bytes[4] = 200));
    // Lists out of bounds, misaligned, and of a length whose size overflows.
    cases.push(broken(&|image| image.put(16, &[0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0])));
    cases.push(broken(&|image| image.put(16, &[1, 0, 0, 0, 1, 0, 0, 0])));
    cases.push(broken(&|image| image.put(16, &[0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff])));
    // A refusal that is out of bounds, and one that is not UTF-8.
    cases.push(broken(&|image| image.put(0, &[1, 0, 0, 0, 0xf0, 0xff, 0xff, 0xff, 100, 0, 0, 0])));
    cases.push(broken(&|image| {
        image.bytes[0] = 1;
        image.text(4, "é!");
        let last = image.bytes.len() - 2;
        image.bytes[last] = 0xff;
    }));
    for (index, answer) in cases.into_iter().enumerate() {
        let failure = check(&answering(answer), &plain).unwrap_err();
        assert_eq!(failure.cause, Cause::Answer, "case {index}: {failure}");
    }
    for pointer in ["-4", "131070", "4097"] {
        let guard = Guard { check: format!("(i32.const {pointer})"), ..Guard::default() };
        assert_eq!(check(&guard, &plain).unwrap_err().cause, Cause::Answer, "pointer {pointer}");
    }
}

#[test]
fn the_same_inference_gives_the_same_bytes() {
    let answer =
        Image::verdict(1, &[], &[("rule", "m", Some((OUTPUT, "/a/b", Some((1, 3)))), Some(0.1))], &[("seen", 3)]);
    let guard = load(&answering(answer));
    let bytes: Vec<Vec<u8>> = (0..5).map(|_| verdict_bytes(&guard.check(&full()).unwrap())).collect();
    assert!(bytes.windows(2).all(|pair| pair[0] == pair[1]));
    let again = load(&answering(Image::verdict(
        1,
        &[],
        &[("rule", "m", Some((OUTPUT, "/a/b", Some((1, 3)))), Some(0.1))],
        &[("seen", 3)],
    )));
    assert_eq!(verdict_bytes(&again.check(&full()).unwrap()), bytes[0]);
}

/// Adds a not-a-number of a given payload to a number: which bits come out is the machine's choice unless it is settled.
#[test]
fn the_bits_of_a_nan_are_settled() {
    let guard = Guard {
        check: format!(
            "(f64.store (i32.const {}) (f64.add (f64.load (i32.const 32768)) (f64.const 1)))
             (i32.store8 (i32.const {}) (i32.const 3))
             (i32.const {ANSWER})",
            ANSWER + 32 + 16,
            ANSWER + 32 + 8
        ),
        answer: Image::verdict(0, &[], &[], &[("nan", 0)]),
        fields: format!("(data (i32.const 32768) \"{}\")", escaped(&0xfff0_0000_0000_1234_u64.to_le_bytes())),
        ..Guard::default()
    };
    let verdict: Verdict = check(&guard, &text("x")).unwrap();
    let Scalar::Number(number) = verdict.measurements[0].value else { panic!() };
    assert_eq!(number.to_bits(), 0x7ff8_0000_0000_0000);
}
