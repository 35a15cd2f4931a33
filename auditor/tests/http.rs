//! The HTTP side: limits, each tripped; and the orderly end.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::{Edge, PATIENCE, Place, Server, read_reply};

/// Opens a request for `body` and sends only its first `sent` bytes.
fn begin(server: &Server, body: &[u8], sent: usize) -> TcpStream {
    let mut stream = server.connect();
    let head = format!("POST /v1/segments HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body[..sent]).unwrap();
    stream
}

fn finish(mut stream: TcpStream, rest: &[u8]) -> support::Reply {
    stream.write_all(rest).unwrap();
    // Without a further request on its way, half a close is how a client says that it is done.
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    read_reply(stream)
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_body_that_is_too_long_is_refused() {
    let place = Place::new("[limits]\nsegment = \"64KiB\"");
    let edge = Edge::with("box-17", 4);
    place.enrol(&edge);
    let server = place.serve();
    for length in [64 * 1024 + 1, 8 << 20] {
        let reply = server.post("/v1/segments", &vec![0; length]);
        assert_eq!((reply.status, &reply.json()["kind"]), (413, &"too-large".into()));
    }
    // Without a length that is told: in chunks.
    let mut stream = server.connect();
    let head = "POST /v1/segments HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut chunk = b"10000\r\n".to_vec();
    chunk.extend(vec![0; 0x10000]);
    chunk.extend(b"\r\n");
    for _ in 0..3 {
        let _ = stream.write_all(&chunk);
    }
    let _ = stream.write_all(b"0\r\n\r\n");
    assert_eq!(read_reply(stream).status, 413);
    assert_eq!(server.post("/v1/segments", &vec![0; 64 * 1024]).status, 422);
    server.accepted(&edge.segment(0..4));
    let metrics = server.get("/metrics").body;
    assert!(metrics.contains("picket_auditor_refused_total{reason=\"too-large\"} 3\n"), "{metrics}");
}

#[test]
fn a_body_that_is_too_slow_is_refused() {
    let place = Place::new("[limits]\ndeadline = \"200ms\"");
    let edge = Edge::with("box-17", 4);
    place.enrol(&edge);
    let server = place.serve();
    let stream = begin(&server, &edge.segment(0..4), 10);
    let reply = read_reply(stream);
    assert_eq!((reply.status, &reply.json()["kind"]), (408, &"deadline".into()));
}

#[test]
fn more_requests_than_allowed_are_told_to_come_back() {
    let place = Place::new("[limits]\nrequests = 1");
    let edge = Edge::with("box-17", 4);
    place.enrol(&edge);
    let server = place.serve();
    let segment = edge.segment(0..4);
    let stream = begin(&server, &segment, 10);
    let mut last = None;
    wait_for("the only permit is never taken", || {
        let reply = server.get("/v1/boxes");
        let busy = reply.status == 503;
        last = Some(reply);
        busy
    });
    let busy = last.unwrap();
    assert!(busy.head.contains("retry-after: 1"), "{busy:?}");
    assert_eq!(busy.json()["kind"], "busy");
    // Whoever watches the service is answered all the same.
    assert_eq!((server.get("/healthz").status, server.get("/metrics").status), (200, 200));
    assert_eq!(finish(stream, &segment[10..]).status, 200);
    assert_eq!(server.get("/v1/boxes").status, 200);
}

#[test]
fn connections_beyond_the_limit_wait() {
    let place = Place::new("[limits]\nconnections = 2");
    let server = place.serve();
    let idle = [server.connect(), server.connect()];
    let mut third = server.connect();
    third.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    third.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(std::io::Read::read(&mut third, &mut [0; 1]).is_err(), "a third connection was served");
    drop(idle);
    third.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(read_reply(third).status, 200);
}

#[test]
fn the_end_waits_for_requests_in_flight() {
    let place = Place::new("");
    let edge = Edge::with("box-17", 4);
    place.enrol(&edge);
    let mut server = place.serve();
    let segment = edge.segment(0..4);
    let idle = server.connect();
    let stream = begin(&server, &segment, 10);
    // Known to be in flight once another connection after it has been answered.
    assert_eq!(server.get("/readyz").status, 200);
    server.signal("TERM");
    wait_for("it goes on listening", || TcpStream::connect(&server.address).is_err());
    let reply = finish(stream, &segment[10..]);
    assert_eq!(reply.status, 200, "{reply:?}");
    place.check_receipt(&edge, &reply.body, 4);
    assert_eq!(server.wait().code(), Some(0));
    drop(idle);
    assert!(!place.data().join("serving").exists());
    assert_eq!(place.json(&["verify"]).0, 0);
}

#[test]
fn every_path_answers_in_json_or_text() {
    let place = Place::new("");
    let edge = Edge::with("box-17", 4);
    place.enrol(&edge);
    let server = place.serve();
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/v1/segments", 405),
        ("POST", "/v1/boxes", 405),
        ("GET", "/v1/verify/box-18", 404),
        ("GET", "/v1/verify/..%2F..%2Fetc", 404),
    ] {
        let reply = server.request(method, path, &[]);
        assert_eq!(reply.status, status, "{method} {path}");
        assert!(reply.json()["message"].is_string() && reply.json()["kind"].is_string());
    }
    for path in ["/healthz", "/readyz", "/metrics", "/v1/boxes", "/v1/verify", "/v1/verify/box-17", "/v1/trace/a%2Fb"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    assert_eq!(server.get("/v1/trace/a%2Fb").json()["id"], "a/b");
    server.accepted(&edge.segment(0..4));
    assert_eq!(server.add(&edge.add(4, 4)).status, 200);
    let metrics = server.get("/metrics").body;
    for line in [
        "picket_auditor_segments_total{result=\"accepted\"} 1",
        "picket_auditor_checkpoints_total{result=\"accepted\"} 1",
        "picket_auditor_entries_total 4",
        "picket_auditor_boxes 1",
        "picket_auditor_boxes_disputed 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
}
