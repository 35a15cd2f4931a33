//! A full disk: refused with an error that says so, nothing lost, and on it goes once there is space.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use support::{Edge, PATIENCE, Place, Server};

/// Whether this machine lets us mount a small file system of our own, in a namespace of our own.
fn can_mount() -> bool {
    Command::new("unshare").args(["-rm", "true"]).output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_disk_loses_nothing() {
    if !can_mount() {
        eprintln!("skipped: user namespaces are not allowed here, so there is no small disk to fill");
        return;
    }
    let place = Place::new("");
    let edge = Edge::with("box-17", 1200);
    std::fs::create_dir_all(place.data()).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=64m tmpfs '{data}' && {auditor} enrol --config '{config}' --origin box-17 --key '{key}' \
         && exec {auditor} serve --config '{config}'",
        data = place.data().display(),
        auditor = env!("CARGO_BIN_EXE_picket-auditor"),
        config = place.path().join("auditor.toml").display(),
        key = edge.key.verifier(),
    );
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &script]);
    let server = Server::start_by(command);
    // Its own view of the small disk.
    let inside = PathBuf::from(format!("/proc/{}/root{}", server.process(), place.data().display()));
    let filler = inside.join("filler");
    server.accepted(&edge.segment(0..100));

    // Takes all the space that is left, then gives a little back.
    let mut left = 64 << 20;
    let mut bytes = Vec::new();
    while left > 512 {
        bytes.resize(bytes.len() + left, 0_u8);
        if std::fs::write(&filler, &bytes).is_err() {
            bytes.truncate(bytes.len() - left);
            left /= 2;
        }
    }
    std::fs::write(&filler, &bytes[..bytes.len().saturating_sub(128 << 10)]).unwrap();

    let mut next = 100;
    let refused = loop {
        let reply = server.post("/v1/segments", &edge.segment(next..next + 100));
        if reply.status != 200 {
            break reply;
        }
        place.check_receipt(&edge, &reply.body, next + 100);
        next += 100;
        assert!(next < edge.size(), "the disk never filled");
    };
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.head.contains("retry-after"), "{refused:?}");
    assert!(refused.json()["message"].as_str().unwrap().contains("No space left"), "{refused:?}");
    // It answers from what it holds; the index may have failed as well, and then says so.
    let trace = server.get("/v1/trace/req-7");
    assert!(trace.status == 503 || trace.json()["verified"] == true, "{trace:?}");
    assert_eq!(server.get("/v1/verify").json()["boxes"][0]["verified"], true);
    // The segment may have been stored when only its receipt found no room: it is held, and sent again it gets one.
    let held = server.get("/v1/boxes").json()["boxes"][0]["next"].as_u64().unwrap();
    assert!(held == next || held == next + 100, "{held} of {next}");

    std::fs::remove_file(&filler).unwrap();
    while next < edge.size() {
        server.accepted(&edge.segment(next..next + 100));
        next += 100;
    }
    let verification = server.get("/v1/verify").json();
    assert_eq!((&verification["verified"], &verification["boxes"][0]["size"]), (&true.into(), &1200.into()));
    let started = Instant::now();
    let trace = loop {
        let trace = server.get("/v1/trace/req-1200");
        if trace.status == 200 || started.elapsed() > PATIENCE {
            break trace;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(trace.json()["verified"], true, "{trace:?} {}", server.log());
    assert_eq!(server.get("/v1/trace/req-7").json()["verified"], true);
    assert_eq!(std::fs::read_dir(inside.join("tmp")).unwrap().count(), 0);
}
