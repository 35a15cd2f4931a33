//! The ranges of docs/configuration.md, at their ends and beyond, and what the ledger's keys do.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::service::Service;
use support::{Place, guard, hostile, inference, inferences, wait_for};

#[test]
fn numbers_and_sizes_out_of_range_are_refused_by_line_and_key() {
    let edge = [
        ("workers = 0", "edge.workers: 0 is out of range"),
        ("workers = 257", "edge.workers: 257 is out of range: 1 to 256"),
        ("queue = 0", "edge.queue: 0 is out of range"),
        ("queue = 65537", "edge.queue"),
        ("max_inference = \"128MiB\"", "edge.max_inference"),
        ("max_inference = \"0B\"", "edge.max_inference"),
        ("max_inference = \"16MB\"", "edge.max_inference"),
        ("guard_memory = \"-1MiB\"", "edge.guard_memory"),
        ("compile_memory = \"127MiB\"", "edge.compile_memory: `127MiB` is not 128 MiB to 64 GiB"),
        ("compile_memory = \"65GiB\"", "edge.compile_memory"),
        ("compile_time = \"999ms\"", "edge.compile_time: `999ms` is not 1 s to 1 h"),
        ("compile_time = \"2h\"", "edge.compile_time"),
        ("watch_every = \"0s\"", "edge.watch_every"),
        ("watch_every = \"11000d\"", "edge.watch_every"),
        ("retention = \"some\"", "edge.retention: `some` is not one of `none`, `blocked`, `all`"),
        ("durability = \"later\"", "edge.durability"),
        ("listen = \"localhost\"", "edge.listen"),
    ];
    for (line, words) in edge {
        let ran = Place::new(line, "").check("").expect(2).says(&[words]);
        assert!(ran.stderr.contains("picket.toml:3") || ran.stderr.contains("picket.toml:4"), "{ran:#?}");
    }
    let ledger = [
        ("checkpoint_entries = 0", "ledger.checkpoint_entries"),
        ("checkpoint_entries = 4097", "ledger.checkpoint_entries"),
        ("checkpoint_every = \"soon\"", "ledger.checkpoint_every"),
        ("heartbeat_every = \"0s\"", "ledger.heartbeat_every"),
        ("cache = \"big\"", "ledger.cache"),
    ];
    for (line, words) in ledger {
        Place::new("", &format!("[ledger]\n{line}\n")).check("").expect(2).says(&["picket.toml:6", words]);
    }
    let guards = [
        ("findings = 0", "guard.g.findings"),
        ("findings = 4097", "guard.g.findings"),
        ("deadline = \"0ms\"", "guard.g.deadline"),
        ("memory = \"0B\"", "guard.g.memory"),
        ("answer = \"1TB\"", "guard.g.answer"),
        ("models = [\"x\"]", "guard.g.models"),
    ];
    for (line, words) in guards {
        Place::new("", &hostile("g", "none", line)).check("").expect(2).says(&["picket.toml:", words]);
    }
    let detector = format!("[[detector]]\nname = \"d\"\ncomponent = \"{}\"\n", guard("hostile-detector"));
    for (line, words) in [
        ("batch = 0", "detector.d.batch"),
        ("batch = 65537", "detector.d.batch"),
        ("every = \"0s\"", "detector.d.every"),
    ] {
        Place::new("", &format!("{detector}{line}\n")).check("").expect(2).says(&["picket.toml:8", words]);
    }
}

#[test]
fn names_have_their_bounds() {
    for id in ["", "box 1", "box/1", &"x".repeat(65)] {
        let place = Place::new("", "");
        place.write("picket.toml", format!("[edge]\nid = \"{id}\"\n"));
        place.check("").expect(2).says(&["picket.toml:2: edge.id"]);
    }
    let twice = hostile("g", "none", "") + &hostile("g", "none", "");
    Place::new("", &twice).check("").expect(2).says(&["guard.g.name: this guard is named twice"]);
    let long = format!("[[model]]\nname = \"{}\"\n", "x".repeat(257));
    Place::new("", &long).check("").expect(2).says(&["model.name"]);
}

#[test]
fn another_name_needs_another_folder() {
    let place = Place::new("", "");
    place.check(&inference("a", "x")).expect(0);
    let config = std::fs::read_to_string(place.path("picket.toml")).unwrap();
    place.write("picket.toml", config.replace("box-1", "box-2"));
    place.check(&inference("b", "x")).expect(2).says(&["box.key", "`box-1`", "`box-2`"]);
}

#[test]
fn a_lost_or_open_key_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new("", "");
    place.check(&inference("a", "x")).expect(0);
    let key = place.path("data/keys/box.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    place.check(&inference("b", "x")).expect(2).says(&["box.key", "0644", "chmod 600"]);
    std::fs::remove_file(&key).unwrap();
    place.check(&inference("b", "x")).expect(2).says(&["box.key", "is missing, but there is a ledger"]);
}

#[test]
fn limits_that_no_engine_can_keep_are_refused_with_their_guard() {
    for memory in ["5GiB", "1KiB"] {
        let guards = hostile("g", "none", &format!("memory = \"{memory}\""));
        Place::new("", &guards).check("").expect(2).says(&["guard.g.memory", memory, "64 KiB to 4 GiB"]);
    }
}

#[test]
fn a_checkpoint_is_signed_after_so_many_entries() {
    let ledger = "[ledger]\ncheckpoint_entries = 8\ncheckpoint_every = \"1h\"\n";
    let place = Place::new("", ledger);
    let service = Service::start(&place);
    for number in 0..20 {
        service.post(&inference(&format!("n-{number}"), "x")).expect(200);
    }
    // What a checkpoint covers can be proven; the newest entries cannot yet.
    place.picket(&["prove", "n-0", "-o", "a.tlog-proof"]).expect(0);
    place.picket(&["prove", "n-19", "-o", "b.tlog-proof"]).expect(3).says(&["not under a checkpoint"]);
    service.stop();
    place.picket(&["prove", "n-19", "-o", "b.tlog-proof"]).expect(0);
}

#[test]
fn a_checkpoint_is_signed_after_so_long() {
    let place = Place::new("", "[ledger]\ncheckpoint_every = \"50ms\"\n");
    let service = Service::start(&place);
    service.post(&inference("a", "x")).expect(200);
    wait_for("the entry can be proven", || {
        (place.picket(&["prove", "a", "-o", "a.tlog-proof"]).code == Some(0)).then_some(())
    });
    service.stop();
}

#[test]
fn an_idle_box_leaves_signed_heartbeats() {
    let place = Place::new("", "[ledger]\nheartbeat_every = \"50ms\"\n");
    let service = Service::start(&place);
    let first = wait_for("heartbeats", || {
        let heartbeats = place.entries("heartbeat");
        (heartbeats.len() >= 3).then(|| heartbeats[0]["index"].to_string())
    });
    place.picket(&["prove", &first, "-o", "h.tlog-proof"]).expect(0);
    service.stop();
    place.verify();
}

#[test]
fn many_models_and_ids_of_every_length_are_taken() {
    let place = Place::new("", "");
    let longest = inference(&"ö".repeat(128), "x");
    let too_long = inference(&"ö".repeat(129), "x");
    let ran = place.check(&(longest + &too_long)).expect(2);
    assert_eq!((&ran.json()[0]["decision"], &ran.json()[1]["error"]["field"]), (&"allow".into(), &"id".into()));
    let models: String = inferences("n", 100)
        .lines()
        .enumerate()
        .map(|(n, line)| line.replace("\"m\"", &format!("\"m-{n}\"")) + "\n")
        .collect();
    let service = Service::start(&place);
    for line in models.lines() {
        service.post(line).expect(200);
    }
    let text = service.get("/metrics").text;
    let labels = text.lines().filter(|line| line.starts_with("picket_decisions_total{")).count();
    assert!(labels <= 65, "{labels} labels");
    assert!(text.contains("model=\"other\""), "{text}");
    service.stop();
}
