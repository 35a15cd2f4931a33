//! Uploads of entries, rule by rule: see the documentation of `picket_auditor::ingest`.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use picket_ledger::entry::Decision;
use picket_ledger::mirror::{ADD_ENTRIES, ENTRIES_MEDIA_TYPE};
use support::{Edge, Place, Server, read_reply};

fn start(verdicts: u64) -> (Place, Server, Edge) {
    let place = Place::new("");
    let edge = Edge::with("box-17", verdicts);
    place.enrol(&edge);
    let server = place.serve();
    (place, server, edge)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn incidents(server: &Server) -> serde_json::Value {
    server.get("/v1/boxes").json()["boxes"][0]["incidents"].clone()
}

#[test]
fn a_part_stays_and_the_rest_makes_the_same_segment() {
    let (place, server, edge) = start(1000);
    assert_eq!(server.upload(&edge.upload(0, 1000)).info(), (409, None, 0, 0), "not declared");
    assert_eq!(server.add(&edge.add(0, 1000)).status, 200);
    // A prefix on purpose, of one package and of two; then a body that breaks off inside of the fourth.
    let mut body = edge.header(0, 1000);
    edge.packages(0, 1000)[..1].iter().for_each(|package| package.encode(&mut body).unwrap());
    assert_eq!(server.upload(&body).info(), (202, None, 1000, 256));
    assert_eq!(server.upload(&body).info(), (409, None, 1000, 256), "the same again");
    let server = {
        server.kill();
        place.serve()
    };
    let rest = edge.upload(256, 1000);
    assert_eq!(server.upload(&rest[..rest.len() - 100]).info(), (202, None, 1000, 768));
    assert_eq!(server.upload(&edge.upload(512, 1000)).info(), (409, None, 1000, 768), "below what is here");
    assert_eq!(server.upload(&rest[..100]).info().0, 409);
    let tail = edge.upload(768, 1000);
    assert_eq!(server.upload(&tail[..tail.len() - 1]).status, 400, "not one package");
    let reply = server.upload(&tail);
    place.check_receipt(&edge, &(edge.checkpoint(1000) + &reply.body), 1000);
    assert_eq!(std::fs::read(place.evidence("box-17", 0)).unwrap(), edge.segment(0..1000));
    // Whoever lost the receipt asks for it without entries.
    assert_eq!(server.upload(&edge.header(1000, 1000)).body, reply.body);
    assert_eq!(server.upload(&edge.header(0, 0)).info(), (409, None, 1000, 1000));
    assert_eq!(std::fs::read_dir(place.data().join("pending")).unwrap().count(), 0);
    assert_eq!(place.json(&["verify"]).0, 0);
}

#[test]
fn segments_end_at_checkpoints_on_the_way() {
    let (place, server, edge) = start(700);
    // The newest first, then where segments can end; each from what is archived.
    assert_eq!(server.add(&edge.add(0, 700)).status, 200);
    assert_eq!(server.add(&edge.add(0, 300)).status, 200);
    assert_eq!(server.add(&edge.add(0, 300)).status, 200, "again");
    let mut bent = edge.add(0, 300);
    bent[4] = b'1';
    assert_eq!(server.add(&bent).status, 200, "known already, whatever the proof");
    assert_eq!(server.upload(&edge.upload(0, 300)).status, 200);
    assert_eq!(server.add(&edge.add(250, 500)).status, 200, "from any size that is archived");
    assert_eq!(server.add(&edge.add(400, 600)).size(), (409, None, 700), "from nowhere");
    assert_eq!(server.upload(&edge.upload(300, 700)).status, 200, "past the one at 500");
    assert_eq!(server.add(&edge.add(700, 700)).status, 200);
    for (first, end) in [(0, 300), (300, 700)] {
        assert_eq!(std::fs::read(place.evidence("box-17", first)).unwrap(), edge.segment(first..end));
    }
    assert_eq!(std::fs::read_dir(place.data().join("declared/box-17")).unwrap().count(), 0);
    assert_eq!(place.json(&["verify"]).0, 0);
}

#[test]
fn a_checkpoint_must_be_proven() {
    let (_place, server, edge) = start(40);
    server.accepted(&edge.segment(0..10));
    let good = edge.add(10, 40);
    let text = String::from_utf8(good.clone()).unwrap();
    let hashes = text.lines().skip(1).take_while(|line| !line.is_empty()).count();
    assert!(hashes > 2);
    for line in 1..=hashes {
        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        let flipped = if lines[line].starts_with('A') { "B" } else { "A" };
        lines[line].replace_range(..1, flipped);
        assert_eq!(server.add(lines.join("\n").as_bytes()).status, 422, "line {line}");
    }
    assert_eq!(server.add(&edge.add(9, 40)).size(), (409, None, 10));
    assert_eq!(incidents(&server)["fork"], 0, "a bent proof accuses nobody");
    assert_eq!(server.add(&good).status, 200);
}

#[test]
fn a_proof_of_another_start_is_a_fork() {
    let (place, server, edge) = start(10);
    server.accepted(&edge.segment(0..10));
    let mut other = Edge::with("box-17", 7);
    for _ in 0..9 {
        other.decide(Decision::Block);
    }
    let reply = server.add(&other.add(10, 16));
    assert_eq!((reply.size(), reply.newest()), ((409, Some("fork"), 10), Some(edge.checkpoint(10))));
    assert_eq!(incidents(&server)["fork"], 1);
    let kept = std::fs::read_dir(place.data().join("incidents/box-17")).unwrap();
    let kept: Vec<_> = kept.map(|item| item.unwrap().path()).collect();
    let evidence = kept.iter().find(|path| path.extension().is_some_and(|end| end == "add-checkpoint")).unwrap();
    assert_eq!(std::fs::read(evidence).unwrap(), other.add(10, 16), "with the proof that convicts");
}

#[test]
fn entries_of_two_histories_never_make_a_segment() {
    let (place, server, edge) = start(10);
    let mut other = Edge::with("box-17", 3);
    for _ in 0..17 {
        other.decide(Decision::Block);
    }
    // Both are declared from nothing: no proof can show that they exclude each other.
    assert_eq!(server.add(&other.add(0, 20)).status, 200);
    assert_eq!(server.add(&edge.add(0, 10)).status, 200);
    assert_eq!(server.upload(&edge.upload(0, 10)).status, 200);
    // The tile has entries of the one already, so those of the other do not prove.
    assert_eq!(server.upload(&other.upload(10, 20)).status, 422);
    assert_eq!(server.conflict("/v1/segments", &other.segment(10..20)), ("fork".to_owned(), 10));
    assert_eq!(place.json(&["verify"]).0, 1);
}

#[test]
fn what_does_not_prove_is_refused_and_recorded_when_it_comes_again() {
    let (place, server, edge) = start(300);
    assert_eq!(server.add(&edge.add(0, 300)).status, 200);
    let mut bad = edge.upload(0, 300);
    let place_of_flip = bad.len() / 2;
    bad[place_of_flip] ^= 1;
    assert_eq!(server.upload(&bad).status, 422);
    assert_eq!(incidents(&server)["invalid"], 0);
    assert_eq!(server.upload(&bad).status, 422);
    assert_eq!(incidents(&server)["invalid"], 1);
    assert_eq!(place.json(&["verify"]).0, 1);
    assert_eq!(server.upload(&edge.upload(0, 300)).status, 200);
    assert_eq!(place.json(&["verify"]).0, 0, "closed");
}

#[test]
fn an_early_upload_is_recorded_when_the_box_insists() {
    let (_place, server, edge) = start(600);
    assert_eq!(server.add(&edge.add(0, 600)).status, 200);
    for times in 0..3_u64 {
        assert_eq!(server.upload(&edge.upload(256, 600)).info(), (409, Some("gap"), 600, 0));
        assert_eq!(incidents(&server)["gap"], times.min(1));
    }
    assert_eq!(server.upload(&edge.upload(0, 600)).status, 200);
}

#[test]
fn gzip_arrives_and_a_bomb_does_not() {
    let (_place, server, edge) = start(300);
    assert_eq!(server.add(&edge.add(0, 300)).status, 200);
    let headers = |encoding: &str| format!("Content-Type: {ENTRIES_MEDIA_TYPE}\r\nContent-Encoding: {encoding}\r\n");
    let post = |encoding: &str, body: &[u8]| server.request_with("POST", ADD_ENTRIES, &headers(encoding), body);
    assert_eq!(post("br", b"").status, 415);
    assert_eq!(server.post(ADD_ENTRIES, &edge.upload(0, 300)).status, 415);
    assert_eq!(post("gzip", b"no gzip at all").status, 400);
    // 256 entries of 256 KiB are more than a segment may have.
    let mut bomb = edge.header(0, 300);
    for _ in 0..256 {
        bomb.extend_from_slice(&(256_u32 << 10).to_be_bytes());
        bomb.extend(vec![0; 256 << 10]);
    }
    let packed = gzip(&bomb);
    assert!(packed.len() < 1 << 20);
    assert_eq!(post("gzip", &packed).status, 413);
    let reply = post("gzip", &gzip(&edge.upload(0, 300)));
    assert_eq!((reply.status, reply.header("accept-encoding")), (200, Some("gzip")));
}

#[test]
fn a_segment_that_would_be_too_long_can_end_earlier() {
    let place = Place::new("[limits]\nsegment = \"64KiB\"");
    let edge = Edge::with("box-17", 400);
    place.enrol(&edge);
    let server = place.serve();
    assert_eq!(server.add(&edge.add(0, 400)).status, 200);
    assert_eq!(server.upload(&edge.upload(0, 400)).status, 413);
    let (mut from, step) = (0, 80);
    while from < 400 {
        let end = from + step;
        // The last one is known.
        assert!(end == 400 || server.add(&edge.add(from, end)).status == 200);
        assert_eq!(server.upload(&edge.upload(from, end)).status, 200, "{from}");
        from = end;
    }
    assert_eq!(place.json(&["verify"]).0, 0);
}

#[test]
fn a_stalled_upload_holds_nobody_up_and_uploads_may_run_beside_each_other() {
    let place = Place::new("[limits]\nrequests = 1\ndeadline = \"2s\"");
    let edge = Edge::with("box-17", 600);
    let other = Edge::with("box-18", 4);
    place.enrol(&edge);
    place.enrol(&other);
    let server = place.serve();
    assert_eq!(server.add(&edge.add(0, 600)).status, 200);
    let body = edge.upload(0, 600);
    let begin = |sent: usize| {
        let mut stream = server.connect();
        let head = format!(
            "POST {ADD_ENTRIES} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: {ENTRIES_MEDIA_TYPE}\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body[..sent]).unwrap();
        stream
    };
    let stalled = begin(body.len() / 2);
    let mut beside = begin(body.len() / 2);
    // The only permit for work is free all the same: a refusal lasts as long as a package of the others is worked on.
    let patiently = |ask: &dyn Fn() -> support::Reply| {
        let replies = (0..600).map(|_| {
            let reply = ask();
            if reply.status == 503 {
                std::thread::sleep(Duration::from_millis(50));
            }
            reply
        });
        replies.into_iter().find(|reply| reply.status != 503).expect("it is busy for ever")
    };
    assert_eq!(patiently(&|| server.add(&other.add(0, 4))).status, 200);
    assert_eq!(patiently(&|| server.upload(&other.upload(0, 4))).status, 200);
    beside.write_all(&body[body.len() / 2..]).unwrap();
    let mut reply = read_reply(beside);
    // So busy that it was let go or turned away as well: it goes on where the answer says.
    for _ in 0..5 {
        if reply.status != 200 {
            let next = if [202, 409].contains(&reply.status) { reply.info().3 } else { 0 };
            reply = patiently(&|| server.upload(&edge.upload(next, 600)));
        }
    }
    assert_eq!(reply.status, 200, "{}", reply.body);
    place.check_receipt(&edge, &(edge.checkpoint(600) + &reply.body), 600);
    // Let go after its deadline; what it had brought was not brought in vain.
    stalled.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(read_reply(stalled).info(), (202, None, 600, 600));
    let waits = begin(10);
    assert_eq!(read_reply(waits).status, 408);
    assert_eq!(place.json(&["verify"]).0, 0);
}
