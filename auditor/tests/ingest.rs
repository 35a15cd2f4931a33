//! What boxes send, rule by rule: see the documentation of `picket_auditor::ingest`.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use picket_ledger::entry::Decision;
use picket_ledger::{Checkpoint, Segment, SigningKey};
use support::{Edge, Place, Server};

const SEGMENTS: &str = "/v1/segments";

/// A server that knows box-17, which has 12 entries.
fn start() -> (Place, Server, Edge) {
    let place = Place::new("");
    let edge = Edge::with("box-17", 12);
    place.enrol(&edge);
    let server = place.serve();
    (place, server, edge)
}

fn files(place: &Place, folder: &str) -> Vec<String> {
    let mut names: Vec<String> = match std::fs::read_dir(place.data().join(folder)) {
        Ok(listing) => listing.map(|item| item.unwrap().file_name().into_string().unwrap()).collect(),
        Err(_) => Vec::new(),
    };
    names.sort();
    names
}

fn box_17(server: &Server) -> serde_json::Value {
    let list = server.get("/v1/boxes").json();
    list["boxes"].as_array().unwrap().iter().find(|item| item["origin"] == "box-17").unwrap().clone()
}

#[test]
fn in_order_each_gets_a_receipt_that_verifies() {
    let (place, server, edge) = start();
    for (first, end) in [(0, 4), (4, 5), (5, 12)] {
        assert_eq!(server.add(&edge.add(first, end)).status, 200);
        let reply = server.upload(&edge.upload(first, end));
        assert_eq!(reply.status, 200, "{reply:?}");
        let receipt = edge.checkpoint(end) + &reply.body;
        place.check_receipt(&edge, &receipt, end);
        assert_eq!(std::fs::read(place.evidence("box-17", first)).unwrap(), edge.segment(first..end));
    }
    let known = box_17(&server);
    assert_eq!((known["next"].as_u64(), known["declared"].as_u64()), (Some(12), Some(12)));
    assert_eq!(known["disputed"], false);
    assert_eq!(files(&place, "declared/box-17"), Vec::<String>::new());
    assert_eq!(files(&place, "pending"), Vec::<String>::new());
    assert_eq!(files(&place, "tmp"), Vec::<String>::new());
}

#[test]
fn the_same_bytes_get_the_same_receipt_also_after_a_restart() {
    let (place, server, edge) = start();
    let segment = edge.segment(0..4);
    let receipt = server.accepted(&segment);
    // A receipt has a time in seconds; a new one would differ.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(server.accepted(&segment), receipt);
    server.accepted(&edge.segment(4..12));
    assert_eq!(server.accepted(&segment), receipt);
    assert!(server.stop().success());
    assert_eq!(place.serve().accepted(&segment), receipt);
}

#[test]
fn a_gap_says_where_to_go_on_and_is_recorded_when_the_box_insists() {
    let (place, server, edge) = start();
    server.accepted(&edge.segment(0..4));
    let early = edge.segment(8..12);
    assert_eq!(server.conflict(SEGMENTS, &early), ("gap".to_owned(), 4));
    assert_eq!(files(&place, "incidents/box-17"), Vec::<String>::new());
    for _ in 0..3 {
        assert_eq!(server.conflict(SEGMENTS, &early), ("gap".to_owned(), 4));
    }
    assert_eq!(files(&place, "incidents/box-17").len(), 2);
    let known = box_17(&server);
    assert_eq!((known["incidents"]["gap"].as_u64(), &known["disputed"]), (Some(1), &false.into()));
    assert_eq!(place.json(&["verify"]).0, 1);
    // The missing entries arrive: the incident stays on record and is closed.
    server.accepted(&edge.segment(4..8));
    server.accepted(&early);
    let (code, verification) = place.json(&["verify"]);
    assert_eq!(code, 0, "{verification}");
    assert_eq!(verification["boxes"][0]["incidents"].as_array().unwrap().len(), 1);
}

#[test]
fn every_flipped_bit_is_refused() {
    let (place, server, _) = start();
    let edge = Edge::with("box-17", 2);
    let good = edge.segment(0..2);
    let mut refused = 0;
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 1 << (place % 8);
        let reply = server.post(SEGMENTS, &bad);
        // A flip in the origin makes it another box's, which is not enrolled.
        assert!(matches!(reply.status, 422 | 404), "byte {place}: {reply:?}");
        assert!(reply.json()["message"].is_string());
        refused += 1;
    }
    assert_eq!(refused, good.len());
    assert_eq!(files(&place, "ev"), Vec::<String>::new());
    // One claim was seen, whose signature held: one incident, however often it came.
    assert_eq!(box_17(&server)["incidents"]["invalid"], 1);
    assert_eq!(place.json(&["verify"]).0, 1);
    server.accepted(&good);
    assert_eq!(place.json(&["verify"]).0, 0);
}

#[test]
fn another_key_and_an_unknown_box_are_refused() {
    let (place, server, edge) = start();
    let mut thief = edge.clone();
    thief.key = SigningKey::from_seed("box-17", &[66; 32]).unwrap();
    assert_eq!(server.post(SEGMENTS, &thief.segment(0..4)).status, 422);
    assert_eq!(server.add(&thief.add(0, 4)).status, 403);
    let stranger = Edge::with("box-18", 4);
    assert_eq!(server.post(SEGMENTS, &stranger.segment(0..4)).status, 404);
    assert_eq!(server.add(&stranger.add(0, 4)).status, 404);
    assert_eq!(server.upload(&stranger.upload(0, 4)).status, 404);
    // A signature that does not hold says nothing about box-17.
    assert_eq!(files(&place, "incidents"), Vec::<String>::new());
    assert_eq!(box_17(&server)["next"], 0);
    // Enrolled beside the running server, it is known at once.
    place.enrol(&stranger);
    server.accepted(&stranger.segment(0..4));
}

#[test]
fn a_fork_is_refused_and_kept_and_the_box_goes_on_disputed() {
    let (place, server, edge) = start();
    server.accepted(&edge.segment(0..4));
    let mut other = Edge::with("box-17", 3);
    for _ in 0..9 {
        other.decide(Decision::Block);
    }
    // Continues another history; is another history; overlaps with another history; claims another history.
    let forks = [other.segment(4..8), other.segment(0..4), other.segment(3..7)];
    for bytes in &forks {
        assert_eq!(server.conflict(SEGMENTS, bytes), ("fork".to_owned(), 4));
    }
    let reply = server.add(&other.add(0, 4));
    assert_eq!(reply.size(), (409, Some("fork"), 4));
    assert_eq!(reply.newest(), Some(edge.checkpoint(4)), "its own word, to compare with");
    let known = box_17(&server);
    // The second and the fourth are the same claim.
    assert_eq!((known["incidents"]["fork"].as_u64(), &known["disputed"]), (Some(3), &true.into()));
    let kept = files(&place, "incidents/box-17");
    let evidence: Vec<_> = kept.iter().filter(|name| name.ends_with(".segment")).collect();
    assert_eq!((kept.len(), evidence.len()), (6, 3), "{kept:?}");
    let first = std::fs::read(place.data().join("incidents/box-17").join(evidence[0])).unwrap();
    assert!(forks.contains(&first));
    // Again: nothing new.
    for bytes in &forks {
        assert_eq!(server.conflict(SEGMENTS, bytes).0, "fork");
    }
    assert_eq!(files(&place, "incidents/box-17").len(), 6);
    // What continues the history that is held is still taken, and the dispute stays.
    server.accepted(&edge.segment(4..12));
    assert_eq!(box_17(&server)["disputed"], true);
    let (code, verification) = place.json(&["verify", "box-17"]);
    assert_eq!((code, verification["boxes"][0]["disputed"].as_bool()), (1, Some(true)));
    let trace = server.get("/v1/trace/req-1").json();
    assert_eq!(trace["matches"][0]["disputed"], true);
    assert_eq!(place.serve_again(server).get("/v1/boxes").json()["boxes"][0]["incidents"]["fork"], 3);
}

#[test]
fn a_segment_must_agree_with_the_checkpoint_that_announced_it() {
    let (_place, server, edge) = start();
    let mut other = Edge::with("box-17", 5);
    other.decide(Decision::Block);
    other.decide(Decision::Block);
    assert_eq!(server.add(&other.add(0, 7)).status, 200);
    server.accepted(&edge.segment(0..4));
    assert_eq!(server.conflict(SEGMENTS, &edge.segment(4..12)), ("fork".to_owned(), 4));
    assert_eq!(server.add(&edge.add(4, 7)).size(), (409, Some("fork"), 7));
}

#[test]
fn a_rollback_is_recorded_when_the_box_says_that_it_knows() {
    let (place, server, edge) = start();
    server.accepted(&edge.segment(0..4));
    server.accepted(&edge.segment(4..8));
    // An old request that arrives late, or again, is told where we are, and accuses nobody.
    for _ in 0..3 {
        let reply = server.add(&edge.add(0, 4));
        assert_eq!((reply.size(), reply.newest()), ((409, None, 8), Some(edge.checkpoint(8))));
    }
    assert_eq!(files(&place, "incidents/box-17"), Vec::<String>::new());
    for _ in 0..2 {
        assert_eq!(server.add(&edge.add(8, 4)).status, 400);
    }
    assert_eq!(server.add(&edge.add(9, 4)).status, 400, "that names nothing that is held");
    let kept = files(&place, "incidents/box-17");
    let note = kept.iter().find(|name| name.ends_with(".note")).unwrap();
    let note = std::fs::read_to_string(place.data().join("incidents/box-17").join(note)).unwrap();
    assert_eq!((kept.len(), note), (2, edge.checkpoint(4)));
    // Also below what it declared and never sent.
    assert_eq!(server.add(&edge.add(8, 12)).status, 200);
    assert_eq!(server.add(&edge.add(12, 8)).status, 400);
    assert_eq!(server.add(&edge.add(12, 12)).status, 200);
    let known = box_17(&server);
    assert_eq!(known["incidents"]["rollback"], 2);
    assert_eq!((&known["disputed"], known["declared"].as_u64()), (&true.into(), Some(12)));
    // What it declared is remembered over a restart.
    let server = place.serve_again(server);
    assert_eq!(server.add(&edge.add(12, 11)).status, 400);
    assert_eq!(box_17(&server)["incidents"]["rollback"], 3);
}

#[test]
fn entries_cut_into_other_segments_are_known() {
    let (place, server, edge) = start();
    server.accepted(&edge.segment(0..4));
    server.accepted(&edge.segment(4..8));
    for range in [0..3, 2..6, 0..8, 4..7, 3..12] {
        let reply = server.post(SEGMENTS, &edge.segment(range.clone()));
        let json = reply.json();
        assert_eq!((reply.status, &json["kind"], &json["next"]), (409, &"known".into(), &8.into()), "{range:?}");
        // The receipt covers all that is held, so a box that lost its own can go on.
        place.check_receipt(&edge, json["receipt"].as_str().unwrap(), 8);
    }
    assert_eq!(files(&place, "incidents/box-17"), Vec::<String>::new());
    server.accepted(&edge.segment(8..12));
}

#[test]
fn an_origin_never_leaves_the_data_folder() {
    let (place, server, edge) = start();
    for origin in ["../../box-17", "..", "/etc/passwd", "a/../../b", ".hidden", "box-17/"] {
        let key = SigningKey::from_seed(origin, &[7; 32]).unwrap();
        let parts = Segment {
            origin: origin.to_owned(),
            checkpoint: Checkpoint::new(origin, 4, edge.root_at(4)).sign(&key),
            ..edge.parts(0..4)
        };
        assert_eq!(server.post(SEGMENTS, &parts.encode().unwrap()).status, 404, "{origin}");
        let request = picket_ledger::mirror::AddCheckpoint { old: 0, proof: Vec::new(), note: parts.checkpoint };
        assert_eq!(server.add(&request.encode()).status, 404, "{origin}");
        let enrol = place.run(&["enrol", "--origin", origin, "--key", &key.verifier().to_string()]);
        assert_eq!(enrol.status.code(), Some(2), "{enrol:?}");
        let verify = server.get(&format!("/v1/verify/{}", origin.replace('/', "%2F")));
        assert_eq!(verify.status, 404, "{origin}");
    }
    assert_eq!(files(&place, "ev"), Vec::<String>::new());
    assert_eq!(files(&place, "boxes"), ["box-17"]);
    let outside: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|item| item.unwrap().file_name()).collect();
    assert_eq!(outside.len(), 3, "{outside:?}");
}

#[test]
fn incidents_of_one_box_are_bounded() {
    let place = Place::new("[limits]\nincidents = 3");
    let edge = Edge::with("box-17", 4);
    place.enrol(&edge);
    let server = place.serve();
    server.accepted(&edge.segment(0..4));
    for n in 0..6 {
        let mut other = Edge::with("box-17", 0);
        (0..=n).for_each(|_| _ = other.decide(Decision::Block));
        (n..8).for_each(|_| _ = other.decide(Decision::Flag));
        assert_eq!(server.conflict(SEGMENTS, &other.segment(0..6)).0, "fork");
    }
    assert_eq!(files(&place, "incidents/box-17").len(), 6);
    assert_eq!(box_17(&server)["incidents"]["fork"], 3);
}

#[test]
fn rubbish_is_an_answer_too() {
    let (_place, server, edge) = start();
    let mut trailing = edge.segment(0..4);
    trailing.push(0);
    let deep = vec![0x81; 4096];
    let huge_array = [&[0x87, 0x6e][..], b"picket.segment", &[0x01, 0x9b], &[0xff; 8]].concat();
    for bytes in [&b""[..], b"\x00", b"GET / HTTP/1.1", &[0xff; 1000], &trailing, &deep, &huge_array] {
        assert_eq!(server.post(SEGMENTS, bytes).status, 422);
        assert_eq!(server.add(bytes).status, 400);
        assert_eq!(server.upload(bytes).status, 400);
    }
    server.accepted(&edge.segment(0..4));
}

trait Again {
    fn serve_again(&self, server: Server) -> Server;
}

impl Again for Place {
    fn serve_again(&self, server: Server) -> Server {
        assert!(server.stop().success());
        self.serve()
    }
}
