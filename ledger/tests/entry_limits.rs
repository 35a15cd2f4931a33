//! Entries: every limit is enforced, contradictions are refused, and clipping makes a verdict fit.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{entry, record, verdict};
use picket_ledger::Entry;
use picket_ledger::entry::{
    Body, Config, Decision, EntryError, Erase, FailureCause, Finding, GuardResult, Head, KeyRotation, Link,
    MAX_DOCUMENT_BYTES, MAX_ENTRY_BYTES, MAX_FINDINGS, MAX_FOUND, MAX_GUARDS, MAX_HEADS, MAX_LINKS, MAX_MESSAGE_BYTES,
    MAX_NAME_BYTES, MAX_PATH_BYTES, Mode, Outcome, RecordKind, Recovery, TimeAnchor, Verdict,
};

/// Each text field at its limit passes; one byte more is refused, and so is a control character.
#[test]
fn limits_of_texts_are_enforced() {
    let name = |length| "n".repeat(length);
    let with = |change: &dyn Fn(&mut Verdict)| {
        let mut verdict = verdict();
        change(&mut verdict);
        entry(0, Body::Verdict(verdict)).encode()
    };
    assert!(with(&|verdict| verdict.inference_id = name(MAX_NAME_BYTES)).is_ok());
    assert!(matches!(
        with(&|verdict| verdict.inference_id = name(MAX_NAME_BYTES + 1)),
        Err(EntryError::TextTooLong { field: "inference id", length: 257, limit: 256 })
    ));
    assert_eq!(with(&|verdict| verdict.model.clear()), Err(EntryError::Empty { field: "model" }));
    for character in ['\0', '\n', '\u{1b}', '\u{7f}', '\u{85}', '\u{9f}'] {
        assert_eq!(
            with(&|verdict| verdict.trace_id = Some(format!("a{character}b"))),
            Err(EntryError::ControlCharacter { field: "trace id", character })
        );
    }
    let finding = |change: &dyn Fn(&mut Finding)| {
        with(&|verdict| {
            if let Outcome::Verdict { findings, .. } = &mut verdict.guards[0].outcome {
                change(&mut findings[0]);
            }
        })
    };
    assert!(finding(&|finding| finding.message = name(MAX_MESSAGE_BYTES)).is_ok());
    assert!(finding(&|finding| finding.message = name(MAX_MESSAGE_BYTES + 1)).is_err());
    assert!(finding(&|finding| finding.message = "tab\tand line\n".into()).is_ok());
    assert!(finding(&|finding| finding.message = "carriage\rreturn".into()).is_err());
    assert!(finding(&|finding| finding.path = name(MAX_PATH_BYTES)).is_ok());
    assert!(finding(&|finding| finding.path = name(MAX_PATH_BYTES + 1)).is_err());
    // U+00A0 and U+00E9 share the lead bytes that control characters have, and are none.
    assert!(finding(&|finding| finding.path = "/\u{a0}\u{e9}".into()).is_ok());

    let document = |text: String| entry(0, Body::Config(Config { digest: [0; 32], document: text })).encode();
    assert!(document(name(MAX_DOCUMENT_BYTES)).is_ok());
    assert!(document(name(MAX_DOCUMENT_BYTES + 1)).is_err());
    assert!(document("{\r\n}".into()).is_ok());
    assert!(document("{\u{b}}".into()).is_err());
}

#[test]
fn limits_of_lists_and_of_the_whole_are_enforced() {
    let encode = |body| entry(0, body).encode();
    let mut many = verdict();
    many.guards = vec![many.guards[1].clone(); MAX_GUARDS];
    assert!(encode(Body::Verdict(many.clone())).is_ok());
    many.guards.push(many.guards[0].clone());
    assert_eq!(
        encode(Body::Verdict(many)),
        Err(EntryError::TooMany { field: "guards", count: MAX_GUARDS + 1, limit: MAX_GUARDS })
    );

    let mut links = record(RecordKind::Approval);
    links.links = vec![Link { relation: "subject".into(), digest: [0; 32] }; MAX_LINKS];
    assert!(encode(Body::Record(links.clone())).is_ok());
    links.links.push(links.links[0].clone());
    assert!(matches!(encode(Body::Record(links)), Err(EntryError::TooMany { field: "links", .. })));

    let mut large = verdict();
    large.guards = vec![guard(MAX_FINDINGS, MAX_MESSAGE_BYTES, '.')];
    assert!(
        matches!(encode(Body::Verdict(large.clone())), Err(EntryError::TooLarge(bytes)) if bytes > MAX_ENTRY_BYTES)
    );
    large.guards = vec![guard(MAX_FINDINGS + 1, 0, '.')];
    assert!(matches!(encode(Body::Verdict(large)), Err(EntryError::TooMany { field: "findings", .. })));
    assert!(matches!(Entry::decode(&vec![0x88; MAX_ENTRY_BYTES + 1]), Err(EntryError::TooLarge(_))));
}

#[test]
fn contradictions_are_refused() {
    let with = |change: &dyn Fn(&mut Verdict)| {
        let mut verdict = verdict();
        change(&mut verdict);
        entry(0, Body::Verdict(verdict)).encode()
    };
    assert!(matches!(with(&|verdict| verdict.decision = Decision::Block), Err(EntryError::Contradiction(_))));
    let failure = |action| Outcome::Failure { cause: FailureCause::Trap, message: String::new(), action };
    assert!(with(&|verdict| verdict.guards[0].outcome = failure(Decision::Block)).is_ok());
    assert!(matches!(
        with(&|verdict| verdict.guards[0].outcome = failure(Decision::Flag)),
        Err(EntryError::Contradiction(_))
    ));
    let finding = |change: &dyn Fn(&mut Finding)| {
        with(&|verdict| {
            if let Outcome::Verdict { findings, .. } = &mut verdict.guards[0].outcome {
                change(&mut findings[0]);
            }
        })
    };
    assert!(finding(&|finding| finding.span = Some((3, 3))).is_ok());
    assert!(matches!(finding(&|finding| finding.span = Some((4, 3))), Err(EntryError::Contradiction(_))));
    assert!(matches!(finding(&|finding| finding.severity = 5), Err(EntryError::Value { field: "severity", value: 5 })));
    assert!(matches!(finding(&|finding| finding.part = Some(5)), Err(EntryError::Value { field: "part", value: 5 })));
}

#[test]
fn limits_of_rotations_erasures_recoveries_and_anchors_are_enforced() {
    let encode = |body| entry(0, body).encode();
    let erase = |from, to, count| encode(Body::Erase(Erase { from, to, count, reason: String::new() }));
    assert!(erase(3, 3, 0).is_ok() && erase(0, u64::MAX, u64::MAX).is_ok());
    assert!(matches!(erase(4, 3, 0), Err(EntryError::Contradiction(_))));
    assert!(matches!(erase(3, 4, 2), Err(EntryError::Contradiction(_))));

    let rotation =
        |bytes| encode(Body::KeyRotation(KeyRotation { epoch: 1, key: "k".repeat(bytes), possession: [0; 64] }));
    assert!(rotation(MAX_PATH_BYTES).is_ok());
    assert!(matches!(rotation(MAX_PATH_BYTES + 1), Err(EntryError::TextTooLong { field: "key", .. })));

    let recovery = |found, heads| {
        let head = Head { origin: "box-17".into(), size: u64::MAX, root: [0; 32] };
        encode(Body::Recovery(Recovery {
            previous_size: 0,
            previous_root: [0; 32],
            first_invocation: 0,
            clean: true,
            found: vec![String::new(); found],
            heads: vec![head; heads],
        }))
    };
    assert!(recovery(MAX_FOUND, MAX_HEADS).is_ok());
    assert!(matches!(recovery(MAX_FOUND + 1, 0), Err(EntryError::TooMany { field: "found", .. })));
    assert!(matches!(recovery(0, MAX_HEADS + 1), Err(EntryError::TooMany { field: "heads", .. })));

    for step_ms in [i64::MIN, -1, 0, i64::MAX] {
        assert!(encode(Body::TimeAnchor(TimeAnchor::ClockStep { step_ms })).is_ok());
    }
    let receipt = |cosigner: &str| {
        encode(Body::TimeAnchor(TimeAnchor::Receipt {
            cosigner: cosigner.into(),
            time: u64::MAX,
            size: u64::MAX,
            signature: [0; 32],
        }))
    };
    assert!(receipt("auditor-1").is_ok());
    assert_eq!(receipt(""), Err(EntryError::Empty { field: "cosigner" }));
}

/// A time anchor has one of two shapes: nothing in between, and no third.
#[test]
fn malformed_time_anchors_are_refused() {
    let good = entry(0, Body::TimeAnchor(TimeAnchor::ClockStep { step_ms: 5 })).encode().unwrap();
    let start = good.len() - 3;
    assert_eq!(good[start..], [0x82, 2, 5]);
    for body in [&[0x82, 3, 5][..], &[0x81, 2], &[0x83, 2, 5, 5], &[0x82, 0x20, 5], &[0x82, 1, 5], &[0x80]] {
        let bad = [&good[..start], body].concat();
        assert!(Entry::decode(&bad).is_err(), "{body:?}");
    }
}

#[test]
fn clipping_makes_whatever_guards_wrote_fit_and_counts_what_it_left_out() {
    let mut verdict = verdict();
    verdict.inference_id = "i".repeat(MAX_NAME_BYTES);
    verdict.model = "m".repeat(MAX_NAME_BYTES);
    verdict.guards = vec![guard(1000, 5000, '\u{1}'); MAX_GUARDS];
    verdict.guards[63].outcome =
        Outcome::Failure { cause: FailureCause::Trap, message: "\u{0}".repeat(5000), action: Decision::Block };
    verdict.clip();
    let bytes = entry(u64::MAX, Body::Verdict(verdict.clone())).encode().unwrap();
    assert!(bytes.len() > 40 * 1024, "{}", bytes.len());
    for guard in &verdict.guards[..63] {
        let Outcome::Verdict { findings, omitted, .. } = &guard.outcome else { panic!() };
        assert_eq!(findings.len() + usize::try_from(*omitted).unwrap(), 1000);
    }
    let Outcome::Verdict { findings, .. } = &verdict.guards[0].outcome else { panic!() };
    assert!(!findings.is_empty());
    let once = verdict.clone();
    verdict.clip();
    assert_eq!(verdict, once, "clipping twice changes nothing more");
}

fn guard(findings: usize, message: usize, character: char) -> GuardResult {
    let finding = Finding {
        rule: String::from(character),
        severity: 200,
        message: String::from(character).repeat(message),
        part: Some(9),
        path: String::from(character).repeat(message),
        span: Some((u32::MAX, 0)),
        score: Some(i64::MIN),
    };
    let clean =
        Finding { severity: 4, part: Some(4), span: Some((0, u32::MAX)), path: String::new(), ..finding.clone() };
    GuardResult {
        name: "g".repeat(MAX_NAME_BYTES),
        component: [0; 32],
        settings: [0; 32],
        mode: Mode::Enforce,
        warm: false,
        outcome: Outcome::Verdict {
            decision: Decision::Flag,
            digest: [0; 32],
            findings: vec![if character == '.' { clean } else { finding }; findings],
            omitted: 0,
        },
    }
}
