//! Keys that were handed over: each speaks for its own entries, at this auditor too.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use picket_ledger::SigningKey;
use picket_ledger::entry::{Body, Decision, KeyRotation};
use support::{Edge, Place, Server};

fn next_key(epoch: u8) -> SigningKey {
    SigningKey::from_seed("box-17", &[epoch; 32]).unwrap()
}

/// Hands the key over; what was there before goes out under the old key. Returns the first entry of the new one.
fn rotate(edge: &mut Edge, server: &Server, sent: u64, epoch: u8) -> u64 {
    let (index, new) = (edge.size(), next_key(epoch));
    edge.push(Body::KeyRotation(KeyRotation::new(epoch.into(), index, &edge.key.verifier(), &new)));
    server.accepted(&edge.segment(sent..edge.size()));
    edge.key = new;
    edge.size()
}

#[test]
fn hand_overs_are_learned_and_old_entries_are_beyond_the_new_key() {
    let place = Place::new("");
    let mut edge = Edge::with("box-17", 3);
    place.enrol(&edge);
    let first_key = edge.key.clone();
    let server = place.serve();
    let sent = rotate(&mut edge, &server, 0, 1);
    edge.decide(Decision::Block);
    server.accepted(&edge.segment(sent..edge.size()));
    let (from, sent) = (sent, edge.size());
    let sent = rotate(&mut edge, &server, sent, 2);
    edge.decide(Decision::Allow);
    let forged = edge.segment(sent..edge.size());
    server.accepted(&forged);

    // The thief holds key 2. Old entries, new entries, checkpoints and hand-overs of the past: refused.
    let mut forged = Edge::with("box-17", 2);
    forged.key = edge.key.clone();
    for range in [0..1, 0..2] {
        let reply = server.post("/v1/segments", &forged.segment(range));
        assert_eq!((reply.status, reply.body.contains("under key 0")), (422, true), "{reply:?}");
    }
    let reply = server.post("/v1/segments", &edge.segment(from..sent));
    assert_eq!((reply.status, reply.body.contains("under key 1")), (422, true), "{reply:?}");
    let reply = server.post("/v1/segments", &edge.segment(0..edge.size()));
    assert_eq!((reply.status, reply.body.contains("cannot vouch for entry 0")), (422, true), "{reply:?}");
    let reply = server.add(&edge.add(0, 2));
    assert_eq!(reply.status, 403, "{reply:?}");
    // An old key that was not destroyed says no more either.
    let mut old = Edge::with("box-17", 9);
    old.key = first_key;
    let reply = server.add(&old.add(0, 9));
    assert_eq!(reply.status, 403, "{reply:?}");

    let trace = server.get("/v1/trace/req-1").json();
    assert_eq!(
        (&trace["verified"], &trace["matches"][0]["problems"]),
        (&true.into(), &serde_json::json!([])),
        "{trace}"
    );
    assert!(server.stop().success());

    let (code, answer) = place.json(&["verify"]);
    assert_eq!(code, 0, "{answer}");
    assert_eq!(answer["boxes"][0]["epochs"].as_array().unwrap().len(), 3, "{answer}");
    // The folder of hand-overs is a short cut: without it, or with rubbish in it, nothing changes.
    let (_, before) = place.json(&["boxes"]);
    assert_eq!(before["boxes"][0]["epochs"][2]["start"], sent);
    let chains = place.data().join("chains/box-17");
    std::fs::write(chains.join("00000000000000000002"), "rubbish").unwrap();
    assert_eq!(place.json(&["boxes"]).1, before);
    std::fs::remove_dir_all(&chains).unwrap();
    assert_eq!(place.json(&["boxes"]).1, before);
    let server = place.serve();
    let from = edge.size();
    edge.heartbeat();
    server.accepted(&edge.segment(from..edge.size()));
    let text = String::from_utf8(place.run(&["boxes"]).stdout).unwrap();
    assert!(text.contains("key 2 speaks from entry"), "{text}");
}

#[test]
fn a_hand_over_that_does_not_hold_changes_nothing() {
    let place = Place::new("");
    let mut edge = Edge::with("box-17", 2);
    place.enrol(&edge);
    let server = place.serve();
    // Possession is proven for another epoch.
    let rotation = KeyRotation { epoch: 1, ..KeyRotation::new(2, edge.size(), &edge.key.verifier(), &next_key(1)) };
    edge.push(Body::KeyRotation(rotation));
    server.accepted(&edge.segment(0..edge.size()));
    let from = edge.size();
    edge.heartbeat();
    let mut thief = Edge::new("box-17");
    std::mem::swap(&mut thief.key, &mut edge.key);
    edge.key = next_key(1);
    assert_eq!(server.post("/v1/segments", &edge.segment(from..edge.size())).status, 422);
    edge.key = thief.key;
    server.accepted(&edge.segment(from..edge.size()));
    assert!(server.stop().success());
    assert_eq!(place.json(&["verify"]).0, 1, "an auditor says that the box signed a hand-over that is none");
}

/// An idle box sends heartbeats; one that does not is told, also by a process that never heard of it.
#[test]
fn a_silent_box_is_told() {
    let place = Place::new("");
    let edge = Edge::with("box-17", 2);
    place.enrol(&edge);
    let server = place.serve();
    server.accepted(&edge.segment(0..2));
    assert!(server.stop().success());
    let boxes = || String::from_utf8(place.run(&["boxes"]).stdout).unwrap();
    assert!(!boxes().contains("SILENT"), "{}", boxes());
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let file = std::fs::OpenOptions::new().append(true).open(place.evidence("box-17", 0)).unwrap();
    file.set_modified(hour_ago).unwrap();
    assert!(boxes().contains("SILENT for 60 min"), "{}", boxes());
}
