//! `trace` and `verify`: what they say, and what they say when the evidence or the index is not what it was.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use picket_ledger::bundle::Bundle;
use picket_ledger::entry::{Body, Decision, Drop, RecordKind, Recovery};
use picket_ledger::hash::to_hex;
use serde_json::Value;
use support::edge::digest;
use support::{Edge, Place};

/// A box that recorded where its model comes from, decided, and learned more later.
fn documented() -> (Edge, u64) {
    let mut edge = Edge::new("box-17");
    edge.configure();
    edge.load_guard();
    edge.record(RecordKind::DatasetSlice, "loans-2025", "slice", &[]);
    edge.record(RecordKind::ModelVersion, "credit-7b", "weights", &[("trained-on", "slice")]);
    edge.record(RecordKind::ModelVersion, "credit-1b", "other weights", &[("trained-on", "slice")]);
    edge.record(RecordKind::Evaluation, "fairness", "evaluation", &[("model", "weights"), ("slice", "held out")]);
    edge.record(RecordKind::PromptLibrary, "underwriting", "prompts", &[("weights", "weights")]);
    edge.load_guard();
    for _ in 0..40 {
        edge.decide(Decision::Allow);
    }
    let decided = edge.decide(Decision::Redact);
    edge.record(RecordKind::Approval, "risk board", "approval", &[("subject", "weights")]);
    edge.heartbeat();
    (edge, decided)
}

fn thing<'a>(found: &'a Value, role: &str) -> &'a Value {
    let chain = found["chain"].as_array().unwrap();
    chain.iter().find(|thing| thing["role"] == *role).unwrap_or_else(|| panic!("no {role} in {chain:#?}"))
}

fn said(thing: &Value) -> Vec<String> {
    let statements = thing["statements"].as_array().unwrap().iter();
    statements
        .map(|s| {
            format!(
                "{} {}{}",
                s["kind"].as_str().unwrap(),
                s["relation"].as_str().unwrap(),
                if s["later"] == true { " later" } else { "" }
            )
        })
        .collect()
}

#[test]
fn a_trace_shows_what_stood_behind_a_decision_and_proves_it() {
    let place = Place::new("");
    let (edge, decided) = documented();
    let elsewhere = Edge::with("box-18", 41);
    place.enrol(&edge);
    place.enrol(&elsewhere);
    let server = place.serve();
    for first in (0..edge.size()).step_by(10) {
        server.accepted(&edge.segment(first..edge.size().min(first + 10)));
    }
    let answer = server.get("/v1/trace/req-41").json();
    assert_eq!((&answer["verified"], answer["matches"].as_array().unwrap().len()), (&true.into(), 1), "{answer}");
    let found = &answer["matches"][0];
    assert_eq!(
        (&found["origin"], &found["index"], &found["decision"]),
        (&"box-17".into(), &decided.into(), &"redact".into())
    );
    assert_eq!(found["entry"]["body"]["verdict"]["weights"], to_hex(&digest("weights")));
    assert_eq!(
        said(thing(found, "weights")),
        ["model-version itself", "evaluation model", "prompt-library weights", "approval subject later"]
    );
    assert_eq!(said(thing(found, "prompts")), ["prompt-library itself"]);
    assert_eq!(said(thing(found, "trained-on")), ["dataset-slice itself"]);
    assert_eq!(thing(found, "trained-on")["statements"][0]["entry"]["record"]["document"]["of"], "slice");
    assert_eq!(said(thing(found, "policy")), ["config itself"]);
    let guard = thing(found, "guard pii");
    assert_eq!((said(guard), &guard["statements"][0]["times"]), (vec!["guard-load itself".to_owned()], &2.into()));
    // The slice of the evaluation was never recorded; only the evaluation speaks of it.
    assert_eq!(said(thing(found, "slice")), ["evaluation slice"]);
    // Another model that was trained on the same slice is not part of this decision.
    assert!(!found["chain"].to_string().contains("credit-1b"));
    // The proof stands without us.
    let bundle = Bundle::parse(found["proof"]["bundle"].as_str().unwrap()).unwrap();
    let proven = bundle.verify(&edge.key.verifier()).unwrap();
    assert_eq!((proven.index, proven.checkpoint.checkpoint.size), (decided, edge.size()));
    assert_eq!(proven.entry, edge.entries[usize::try_from(decided).unwrap()]);
    // By trace id: all decisions of the trace. Beside the server, the command line asks it.
    server.accepted(&elsewhere.segment(0..41));
    let (code, by_trace) = place.json(&["trace", "4bf92f3577b34da6a3ce929d0e0e4736"]);
    assert_eq!((code, by_trace["matches"].as_array().unwrap().len(), &by_trace["verified"]), (0, 82, &true.into()));
    assert_eq!(place.json(&["trace", "req-41"]).1["matches"].as_array().unwrap().len(), 2);
    let text = String::from_utf8(place.run(&["trace", "req-41"]).stdout).unwrap();
    for words in ["redact", "model-version credit-7b 1", "LATER", "proven: leaf", "guard pii"] {
        assert!(text.contains(words), "{words} in\n{text}");
    }
    // An id that nobody has.
    let (code, nothing) = place.json(&["trace", "req-99"]);
    assert_eq!((code, &nothing["verified"]), (1, &false.into()));
}

#[test]
fn every_entry_is_proven_whatever_the_segments() {
    let place = Place::new("");
    let edge = Edge::with("box-17", 75);
    place.enrol(&edge);
    let server = place.serve();
    let mut first = 0;
    for length in [1, 2, 30, 1, 16, 7, 18] {
        server.accepted(&edge.segment(first..first + length));
        first += length;
        for id in [1, first / 2 + 1, first] {
            let answer = server.get(&format!("/v1/trace/req-{id}")).json();
            assert_eq!(answer["verified"], true, "{id} of {first}: {answer}");
        }
    }
}

#[test]
fn evidence_altered_on_disk_is_named() {
    let place = Place::new("");
    let edge = Edge::with("box-17", 12);
    place.enrol(&edge);
    let server = place.serve();
    for first in [0, 4, 8] {
        server.accepted(&edge.segment(first..first + 4));
    }
    assert!(server.stop().success());
    assert_eq!(place.json(&["verify"]).0, 0);
    let path = place.evidence("box-17", 4);
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    let (code, verification) = place.json(&["verify"]);
    let report = &verification["boxes"][0];
    assert_eq!((code, &report["verified"]), (1, &false.into()));
    let broken = report["first_break"].as_str().unwrap();
    assert!(broken.contains("ev/box-17/00000000000000000004"), "{broken}");
    let text = String::from_utf8(place.run(&["verify"]).stdout).unwrap();
    assert!(text.contains("00000000000000000004") && text.ends_with("NOT VERIFIED\n"), "{text}");
    // An answer from an altered file is no answer; others still are.
    let (code, answer) = place.json(&["trace", "req-6"]);
    assert_eq!((code, &answer["verified"]), (1, &false.into()));
    assert!(answer["problems"][0].as_str().unwrap().contains("00000000000000000004"), "{answer}");
    // Other decisions cannot be proven up to the latest checkpoint any more, but each under that of its own segment.
    let server = place.serve();
    for (id, size) in [("req-1", 4), ("req-10", 12)] {
        let answer = server.get(&format!("/v1/trace/{id}")).json();
        let found = &answer["matches"][0];
        assert!(found["problems"][0].as_str().unwrap().contains("00000000000000000004"), "{answer}");
        assert_eq!((&found["verified"], found["problems"].as_array().unwrap().len()), (&false.into(), 1), "{answer}");
        let bundle = Bundle::parse(found["proof"]["bundle"].as_str().unwrap()).unwrap();
        assert_eq!(bundle.verify(&edge.key.verifier()).unwrap().checkpoint.checkpoint.size, size);
    }
    // Removed altogether: entries are missing.
    std::fs::remove_file(&path).unwrap();
    let verification = server.get("/v1/verify/box-17").json();
    let broken = verification["boxes"][0]["first_break"].as_str().unwrap();
    assert!(broken.contains("entries 4 to 7 are missing"), "{broken}");
    // Put back: all is well.
    std::fs::write(&path, &good).unwrap();
    assert_eq!(server.get("/v1/verify").json()["verified"], true);
}

#[test]
fn a_damaged_last_segment_stops_that_box_alone() {
    let place = Place::new("");
    let (edge, other) = (Edge::with("box-17", 8), Edge::with("box-18", 8));
    place.enrol(&edge);
    place.enrol(&other);
    let server = place.serve();
    server.accepted(&edge.segment(0..4));
    assert!(server.stop().success());
    std::fs::write(place.evidence("box-17", 0), b"gone").unwrap();
    let server = place.serve();
    let reply = server.post("/v1/segments", &edge.segment(4..8));
    assert_eq!((reply.status, &reply.json()["kind"]), (500, &"damaged".into()));
    let list = server.get("/v1/boxes").json();
    assert!(list["boxes"][0]["damage"].as_str().unwrap().contains("ev/box-17/00000000000000000000"), "{list}");
    server.accepted(&other.segment(0..8));
    // Put right, it goes on without a restart.
    std::fs::write(place.evidence("box-17", 0), edge.segment(0..4)).unwrap();
    server.accepted(&edge.segment(4..8));
    assert_eq!(server.get("/v1/trace/req-3").json()["matches"].as_array().unwrap().len(), 2);
}

#[test]
fn the_index_is_rebuilt_from_the_evidence() {
    let place = Place::new("");
    let (edge, _) = documented();
    place.enrol(&edge);
    let server = place.serve();
    server.accepted(&edge.segment(0..edge.size()));
    let before = server.get("/v1/trace/req-41").json();
    assert!(server.stop().success());
    let index = place.data().join("index");
    // Deleted.
    std::fs::remove_dir_all(&index).unwrap();
    assert_eq!(place.json(&["trace", "req-41"]), (0, before.clone()));
    // Damaged: every byte in the middle of its file is other than it was.
    let mut bytes = std::fs::read(index.join("db")).unwrap();
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
    std::fs::write(index.join("db"), &bytes).unwrap();
    assert_eq!(place.json(&["trace", "req-41"]), (0, before.clone()));
    // On demand.
    let (code, reindexed) = place.json(&["reindex"]);
    assert_eq!((code, reindexed["entries"].as_u64()), (0, Some(edge.size())));
    assert_eq!(place.json(&["trace", "req-41"]), (0, before.clone()));
    // Not at all: reading everything finds the decision as well.
    assert_eq!(place.json(&["trace", "--scan", "req-41"]), (0, before));
    // Of another time: the evidence was put back to an earlier state.
    std::fs::remove_file(place.evidence("box-17", 0)).unwrap();
    assert_eq!(place.json(&["trace", "req-41"]).1["matches"], serde_json::json!([]));
}

#[test]
fn missing_invocations_are_told_and_excused_ones_are_not_held_against_the_box() {
    let place = Place::new("");
    let mut edge = Edge::new("box-17");
    edge.decide(Decision::Allow);
    edge.lose();
    edge.decide(Decision::Block);
    edge.push(Body::Recovery(Recovery {
        previous_size: 2,
        previous_root: edge.root_at(2),
        first_invocation: 4,
        clean: false,
        found: Vec::new(),
        heads: Vec::new(),
    }));
    edge.lose();
    edge.push(Body::Drop(Drop { count: 1, reason: "the disk is full".to_owned() }));
    edge.decide(Decision::Flag);
    edge.wall_ms += 100_000;
    edge.heartbeat();
    place.enrol(&edge);
    let server = place.serve();
    server.accepted(&edge.segment(0..edge.size()));
    let verification = server.get("/v1/verify/box-17").json();
    let report = &verification["boxes"][0];
    assert_eq!(report["verified"], true, "{report}");
    assert_eq!((&report["invocations"]["lost"], &report["invocations"]["dropped"]), (&1.into(), &1.into()));
    assert_eq!((&report["kinds"]["verdict"], &report["decisions"]["block"]), (&3.into(), &1.into()));
    assert_eq!(report["times"][0], "2026-11-23T09:00:00.000Z");
    // One more that nothing explains.
    let size = edge.size();
    edge.lose();
    edge.decide(Decision::Allow);
    server.accepted(&edge.segment(size..edge.size()));
    let report = server.get("/v1/verify/box-17").json();
    assert_eq!(report["boxes"][0]["invocations"]["in_flight"], 1);
    edge.wall_ms += 100_000;
    edge.heartbeat();
    server.accepted(&edge.segment(size + 1..edge.size()));
    let report = server.get("/v1/verify/box-17").json();
    assert_eq!((&report["verified"], &report["boxes"][0]["invocations"]["missing"]), (&false.into(), &1.into()));
    assert_eq!(place.run(&["verify", "box-17"]).status.code(), Some(1));
}

#[test]
fn what_a_box_signed_is_kept_also_when_it_makes_no_sense() {
    let place = Place::new("");
    let mut edge = Edge::with("box-17", 2);
    edge.entries.push(b"not an entry".to_vec());
    edge.entries.push(edge.entries[0].clone());
    place.enrol(&edge);
    let server = place.serve();
    server.accepted(&edge.segment(0..4));
    let report = server.get("/v1/verify").json();
    let problems = report["boxes"][0]["problems"].to_string();
    assert!(problems.contains("entry 2") && problems.contains("malformed"), "{problems}");
    assert!(problems.contains("entry 3") && problems.contains("says that it is entry 0"), "{problems}");
    assert_eq!(server.get("/v1/trace/req-2").json()["verified"], true);
}

#[test]
fn the_auditor_keeps_its_own_ledger() {
    let place = Place::new("");
    let edge = Edge::with("box-17", 8);
    place.enrol(&edge);
    let server = place.serve();
    server.accepted(&edge.segment(0..4));
    let held = server.get("/v1/boxes").json()["boxes"][0]["declared"].as_u64().unwrap();
    assert_eq!(server.add(&edge.add(held, 2)).status, 400);
    let own = server.get("/v1/verify").json()["own"].clone();
    // Enrolment, start, incident.
    assert_eq!((&own["size"], &own["problems"]), (&3.into(), &serde_json::json!([])));
    server.kill();
    // A start that finds the end missing, and no incident twice; then an orderly end.
    assert!(place.serve().stop().success());
    assert_eq!(place.json(&["verify"]).1["own"]["size"], 5);
}
