//! Entries: every kind survives the round trip, its bytes do not change, and no bytes panic.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{bodies, entry, verdict};
use picket_ledger::Entry;
use picket_ledger::entry::{
    Body, Decision, Drop, EntryError, FailureCause, Finding, GuardEvent, GuardEventKind, GuardLoad, GuardResult,
    Header, Heartbeat, Kind, MAX_SIGNERS, Mode, Outcome, RecordKind, Verdict,
};
use picket_ledger::hash::{leaf_hash, to_hex};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// The kind of each sample and the first half of its leaf hash.
const GOLDEN: [&str; 22] = [
    "verdict 9feb29001af0261e",
    "drift 3aa4e900426a5d39",
    "guard-load b062773cff2dfbc5",
    "config b4c3a3c55a86abc0",
    "heartbeat b76623c6fa38d152",
    "drop e0d8203fe8aad2e9",
    "recovery 49a0d25055323c0c",
    "key-rotation 5c364aeedb3a379c",
    "erase 0cbcb21ee0f23806",
    "time-anchor c97211405cdc17c0",
    "time-anchor da10517853e36ace",
    "guard-event 61d35727081eb03c",
    "guard-event d08836b1784ed3fe",
    "revocation e35cd3c37ad0e9d3",
    "incident 61a31d132d29318c",
    "enrolment 577fef735b7ba753",
    "model-version ed376b943cd554fd",
    "evaluation 93d375457b7080eb",
    "dataset-slice ae34fa5c660e48c7",
    "feature-definition b90085f68f736780",
    "prompt-library d14139e28e10b376",
    "approval caa16918755f626f",
];

#[test]
fn every_kind_survives_the_round_trip() {
    let mut kinds = Vec::new();
    for body in bodies() {
        let entry = entry(17, body);
        let bytes = entry.encode().unwrap();
        assert_eq!(Entry::decode(&bytes).unwrap(), entry);
        let header = Header::read(&bytes).unwrap();
        assert_eq!(header.kind, entry.body.kind());
        assert_eq!((header.index, header.incarnation, header.wall_ms), (17, 1, entry.wall_ms));
        assert_eq!((header.monotonic_ns, header.boot), (entry.monotonic_ns, entry.boot));
        kinds.push(header.kind);
    }
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds, Kind::ALL);
}

#[test]
fn the_encoding_of_a_heartbeat_is_the_one_in_the_format_document() {
    let entry = Entry {
        incarnation: 0,
        index: 5,
        wall_ms: 1000,
        monotonic_ns: 7,
        boot: [0xaa; 16],
        body: Body::Heartbeat(Heartbeat { next_invocation: 42 }),
    };
    let expected =
        [&[0x88, 0x01, 0x0b, 0x00, 0x05, 0x19, 0x03, 0xe8, 0x07, 0x50][..], &[0xaa; 16], &[0x81, 0x18, 0x2a]].concat();
    assert_eq!(entry.encode().unwrap(), expected);
}

/// What is written today must be read, and hashed to the same leaf, for as long as there are ledgers. A change
/// that makes this test fail is a new version of the format.
#[test]
fn the_bytes_of_no_kind_change() {
    let digests: Vec<String> = bodies()
        .into_iter()
        .map(|body| format!("{} {}", body.kind().name(), &to_hex(&leaf_hash(&entry(17, body).encode().unwrap()))[..16]))
        .collect();
    assert_eq!(digests, GOLDEN);
}

#[test]
fn ciborium_reads_an_entry_as_the_same_values() {
    // An independent reader of CBOR sees the array that the format document describes.
    let bytes = entry(17, Body::Verdict(verdict())).encode().unwrap();
    let value: ciborium::Value = ciborium::from_reader(&bytes[..]).unwrap();
    let fields = value.as_array().unwrap();
    assert_eq!(fields.len(), 8);
    assert_eq!(fields[1].as_integer(), Some(1.into()));
    assert_eq!(fields[3].as_integer(), Some(17.into()));
    let body = fields[7].as_array().unwrap();
    assert_eq!(body.len(), 15);
    assert_eq!(body[1].as_text(), Some("inf-0041"));
    assert!(body[9].is_null());
    let score = &body[12].as_array().unwrap()[0].as_array().unwrap()[5].as_array().unwrap()[3].as_array().unwrap()[1]
        .as_array()
        .unwrap()[6];
    assert_eq!(score.as_integer(), Some((-1).into()));
}

#[test]
fn kinds_have_names() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_name(kind.name()), Some(kind));
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
    assert_eq!(Kind::from_name("Verdict"), None);
    for kind in RecordKind::ALL {
        assert_eq!(RecordKind::from_name(kind.name()), Some(kind));
    }
}

#[test]
fn json_shows_digests_in_hexadecimal_and_words_for_numbers() {
    let json = serde_json::to_value(entry(17, Body::Verdict(verdict()))).unwrap();
    assert_eq!(json["boot"], "07".repeat(16));
    let body = &json["body"]["verdict"];
    assert_eq!(body["payload"], "0a".repeat(32));
    assert_eq!(body["decision"], "redact");
    assert_eq!(body["features"], serde_json::Value::Null);
    assert_eq!(body["guards"][1]["outcome"]["failure"]["cause"], "deadline");
}

prop_compose! {
    fn finding()(
        rule in "[^\\pC]{1,20}",
        severity in 0..=4_u8,
        message in "[^\\pC]{0,60}",
        part in option::of(0..=4_u8),
        path in "(/[^\\pC]{0,10}){0,3}",
        span in option::of((0..u32::MAX, 0..1000_u32)),
        score in option::of(any::<i64>()),
    ) -> Finding {
        let span = span.map(|(start, length)| (start, start.saturating_add(length)));
        Finding { rule, severity, message, part, path, span, score }
    }
}

fn decision() -> impl Strategy<Value = Decision> {
    prop_oneof![Just(Decision::Allow), Just(Decision::Flag), Just(Decision::Redact)]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        (decision(), any::<[u8; 32]>(), vec(finding(), 0..4), any::<u32>())
            .prop_map(|(decision, digest, findings, omitted)| Outcome::Verdict { decision, digest, findings, omitted }),
        ("[^\\pC]{0,60}", any::<bool>()).prop_map(|(message, block)| Outcome::Failure {
            cause: FailureCause::Memory,
            message,
            action: if block { Decision::Block } else { Decision::Allow },
        }),
    ]
}

prop_compose! {
    fn guard_result()(
        name in "[a-z]{1,30}",
        component in any::<[u8; 32]>(),
        settings in any::<[u8; 32]>(),
        shadow in any::<bool>(),
        warm in any::<bool>(),
        outcome in outcome(),
    ) -> GuardResult {
        let mode = if shadow { Mode::Shadow } else { Mode::Enforce };
        GuardResult { name, component, settings, mode, warm, outcome }
    }
}

prop_compose! {
    fn any_verdict()(
        (invocation, inference_id, trace_id) in (any::<u64>(), "[^\\pC]{1,40}", option::of("[0-9a-f]{32}")),
        (inference_time_ms, model) in (option::of(any::<u64>()), "[^\\pC]{1,40}"),
        (model_version, prompt_version) in (option::of("[^\\pC]{1,9}"), option::of("[^\\pC]{1,9}")),
        (weights, prompts, features) in any::<(Option<[u8; 32]>, Option<[u8; 32]>, Option<[u8; 32]>)>(),
        policy in any::<[u8; 32]>(),
        decision in decision(),
        guards in vec(guard_result(), 0..5),
        payload in any::<[u8; 32]>(),
        released in any::<Option<[u8; 32]>>(),
    ) -> Verdict {
        Verdict {
            invocation, inference_id, trace_id, inference_time_ms, model, model_version, prompt_version, weights,
            prompts, features, policy, decision, guards, payload, released,
        }
    }
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let body = prop_oneof![
        8 => any_verdict().prop_map(Body::Verdict),
        1 => any::<u64>().prop_map(|next_invocation| Body::Heartbeat(Heartbeat { next_invocation })),
        1 => (any::<u64>(), "[^\\pC]{0,40}").prop_map(|(count, reason)| Body::Drop(Drop { count, reason })),
        2 => proptest::sample::select(bodies()),
    ];
    (any::<(u32, u64, u64, u64, [u8; 16])>(), body).prop_map(
        |((incarnation, index, wall_ms, monotonic_ns, boot), body)| Entry {
            incarnation,
            index,
            wall_ms,
            monotonic_ns,
            boot,
            body,
        },
    )
}

proptest! {
    #[test]
    fn encode_then_decode_gives_the_same_entry(entry in any_entry()) {
        let bytes = entry.encode().unwrap();
        prop_assert_eq!(Entry::decode(&bytes).unwrap(), entry);
    }

    /// An independent library reads the same values and writes the same, deterministic, bytes.
    #[test]
    fn ciborium_writes_the_same_bytes(entry in any_entry()) {
        let bytes = entry.encode().unwrap();
        let value: ciborium::Value = ciborium::from_reader(&bytes[..]).unwrap();
        let mut again = Vec::new();
        ciborium::into_writer(&value, &mut again).unwrap();
        prop_assert_eq!(again, bytes);
    }

    #[test]
    fn random_bytes_neither_panic_nor_pass(bytes in vec(any::<u8>(), 0..300)) {
        // A random string has the right array of 8, version, types and lengths with no chance worth naming.
        prop_assert!(Entry::decode(&bytes).is_err());
    }

    /// Whatever passes after a few bytes of a good entry are bent is canonical: it encodes to itself.
    #[test]
    fn bent_entries_are_refused_or_canonical(
        entry in any_entry(),
        bends in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = entry.encode().unwrap();
        for (place, byte) in bends {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(decoded) = Entry::decode(&bytes) {
            prop_assert_eq!(decoded.encode().unwrap(), bytes);
        }
    }

    #[test]
    fn clipped_verdicts_encode(mut verdict in any_verdict(), texts in vec(any::<String>(), 3), spans in any::<(u32, u32)>()) {
        for guard in &mut verdict.guards {
            match &mut guard.outcome {
                Outcome::Failure { message, .. } => message.clone_from(&texts[0]),
                Outcome::Verdict { findings, omitted, .. } => {
                    *omitted = 0;
                    for finding in findings {
                        finding.rule.clone_from(&texts[0]);
                        finding.message.clone_from(&texts[1]);
                        finding.path.clone_from(&texts[2]);
                        finding.span = Some(spans);
                    }
                }
            }
        }
        verdict.clip();
        prop_assert!(entry(0, Body::Verdict(verdict)).encode().is_ok());
    }
}

#[test]
fn what_an_entry_says_of_a_guard_does_not_contradict_itself() {
    let samples = bodies();
    let load =
        samples.iter().find_map(|body| if let Body::GuardLoad(load) = body { Some(load) } else { None }).unwrap();
    let unsaid = GuardLoad { statement: None, ..load.clone() };
    assert!(matches!(entry(1, Body::GuardLoad(unsaid)).encode(), Err(EntryError::Contradiction(_))));
    let crowd = GuardLoad { signers: vec!["x".into(); MAX_SIGNERS + 1], ..load.clone() };
    assert!(matches!(entry(1, Body::GuardLoad(crowd)).encode(), Err(EntryError::TooMany { .. })));

    let opened =
        samples.iter().find_map(|body| if let Body::GuardEvent(event) = body { Some(event) } else { None }).unwrap();
    for action in [None, Some(Decision::Flag), Some(Decision::Redact)] {
        let bad = GuardEvent { action, ..opened.clone() };
        assert!(matches!(entry(1, Body::GuardEvent(bad)).encode(), Err(EntryError::Contradiction(_))), "{action:?}");
    }
    let closed = GuardEvent { event: GuardEventKind::BreakerClosed, ..opened.clone() };
    assert!(matches!(entry(1, Body::GuardEvent(closed)).encode(), Err(EntryError::Contradiction(_))));
}
