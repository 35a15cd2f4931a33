//! What is revoked before a start and while the box runs, and compiled code that somebody swapped.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::Value;
use support::service::Service;
use support::vetting::Vetting;
use support::{Place, Ran, guard, inference, wait_for};

/// A revocation list that names this.
fn list(what: &str, value: &str) -> String {
    let table = if what == "key" { "key" } else { "component" };
    format!("[[{table}]]\n{what} = \"{value}\"\nreason = \"it leaks\"\n")
}

/// In one step, as an operator should: the box looks at any time, and half a list is a list.
fn put(place: &Place, list: impl AsRef<[u8]>) {
    place.write("revoked.new", list);
    std::fs::rename(place.path("revoked.new"), place.path("revoked.toml")).unwrap();
}

fn digest(vetting: &Vetting) -> String {
    let bytes = std::fs::read(vetting.place.path("pii.wasm")).unwrap();
    format!("sha256:{}", picket_ledger::hash::to_hex(&picket_ledger::hash::sha256(&bytes)))
}

#[test]
fn what_is_revoked_is_refused_whatever_else_is_allowed() {
    let vetting = Vetting::new(&["a", "b"]);
    vetting.configure("", "revoked = \"revoked.toml\"", "");
    vetting.place.write("revoked.toml", list("digest", &digest(&vetting)));
    vetting.refused(&["the component is revoked: it leaks"]);
    vetting.sign("a");
    vetting.refused(&["the component is revoked: it leaks"]);
    vetting.place.write("revoked.toml", list("key", &vetting.id("a")));
    vetting.refused(&["the key a+", "is revoked: it leaks"]);
    vetting.place.picket(&["guard", "verify", "pii.wasm"]).expect(1);
    // One of two signers is enough here, and only that one is named.
    vetting.sign("b");
    vetting.check().expect(0);
    assert_eq!(vetting.loads()[0]["signers"], serde_json::json!([vetting.id("b")]));
    let recorded = &vetting.place.entries("revocation")[0]["body"]["revocation"];
    let document: Value = serde_json::from_str(recorded["document"].as_str().unwrap()).unwrap();
    assert_eq!(document["keys"][0], serde_json::json!({ "key": vetting.id("a"), "reason": "it leaks" }));
    // What is revoked must be known.
    vetting.place.write("revoked.toml", "[[key]]\nkey = \"a\"\n");
    vetting.check().expect(2).says(&["revoked.toml:1"]);
    std::fs::remove_file(vetting.place.path("revoked.toml")).unwrap();
    vetting.check().expect(2).says(&["trust.revoked"]);
}

#[test]
fn a_guard_that_is_revoked_while_the_box_runs_is_not_asked_any_more() {
    let vetting = Vetting::new(&["a"]);
    vetting.sign("a");
    vetting.place.write("revoked.toml", "");
    vetting.configure("watch_every = \"20ms\"", "revoked = \"revoked.toml\"", "");
    let service = Service::start(&vetting.place);
    let ask = || service.post(&inference("a", "x")).expect(200);
    assert_eq!(ask()["decision"], "allow");
    // A list that cannot be taken changes nothing, and is complained about.
    put(&vetting.place, "[[");
    wait_for("a complaint", || service.log().contains("the last good list stays in force").then_some(()));
    assert_eq!(ask()["decision"], "allow");
    put(&vetting.place, list("key", &vetting.id("a")));
    let answer = wait_for("the guard is struck", || Some(ask()).filter(|answer| answer["decision"] == "block"));
    let failure = &answer["failures"][0];
    assert_eq!((&failure["guard"], &failure["cause"]), (&"pii".into(), &"unavailable".into()));
    assert!(failure["message"].as_str().unwrap().contains("is revoked: it leaks"), "{answer}");
    wait_for("the log tells", || service.log().contains("is not asked any more").then_some(()));
    // It stays struck when the list changes again: only a new load brings it back.
    put(&vetting.place, "# nothing\n");
    wait_for("the third list", || (service.log().matches("a revocation list is in force").count() == 3).then_some(()));
    assert_eq!(ask()["decision"], "block");
    service.stop();
    let events = vetting.place.entries("guard-event");
    let event = &events[0]["body"]["guard-event"];
    assert_eq!((events.len(), &event["event"], &event["guard"]), (1, &"retired".into(), &"pii".into()));
    assert!(event["message"].as_str().unwrap().contains("it leaks"));
    assert_eq!(vetting.place.entries("revocation").len(), 3);
    vetting.place.verify();
    vetting.check().expect(0);
}

#[test]
fn a_detector_that_is_revoked_while_the_box_runs_sees_nothing_more() {
    let vetting = Vetting::new(&["a"]);
    let place = &vetting.place;
    let component = std::fs::read(guard("hostile-detector")).unwrap();
    place.write("d.wasm", &component);
    place.write("revoked.toml", "");
    // It raises an alarm at each tenth row, at once.
    let detector =
        "[[detector]]\nname = \"d\"\ncomponent = \"d.wasm\"\nbatch = 1\nsettings = { attack = \"none\", count = 10 }\n";
    place.configure(
        "watch_every = \"20ms\"",
        &format!("[trust]\nunsigned = \"allow\"\nrevoked = \"revoked.toml\"\n{detector}"),
    );
    let service = Service::start(place);
    service.post(&inference("a", "x")).expect(200);
    wait_for("a row is seen", || (service.metric("picket_detector_rows_total") > 0.0).then_some(()));
    let digest = picket_ledger::hash::to_hex(&picket_ledger::hash::sha256(&component));
    put(place, list("digest", &format!("sha256:{digest}")));
    wait_for("it is struck", || service.log().contains("is not asked any more").then_some(()));
    let before = service.metric("picket_detector_rows_total");
    for _ in 0..20 {
        service.post(&inference("b", "x")).expect(200);
    }
    service.stop();
    let event = &place.entries("guard-event")[0]["body"]["guard-event"];
    assert_eq!((&event["guard"], &event["event"]), (&"d".into(), &"retired".into()));
    // One alarm of its first row, and none of row 10, which it never saw.
    assert!(before < 10.0);
    assert_eq!(place.entries("drift").len(), 1);
}

#[test]
fn a_file_of_the_compile_cache_that_was_swapped_is_compiled_anew_and_told() {
    let hostile = |name: &str, findings: usize| {
        support::hostile(name, "none", &format!("findings = {findings}\nmemory = \"{findings}MiB\""))
    };
    let place = Place::new("", &(hostile("one", 16) + &hostile("two", 17)));
    let check = || place.check(&inference("a", "x")).expect(0);
    let told = |ran: &Ran| ran.stderr.matches("was not used, and has been compiled anew").count();
    assert_eq!(told(&check()), 0);
    let mut files: Vec<_> =
        std::fs::read_dir(place.path("data/cache")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 2, "{files:?}");
    let genuine = [std::fs::read(&files[0]).unwrap(), std::fs::read(&files[1]).unwrap()];
    assert_eq!(told(&check()), 0);
    let mut flipped = genuine[0].clone();
    *flipped.last_mut().unwrap() ^= 1;
    // Another guard's genuine file under this name; one bit; something foreign; nothing at all.
    for bad in [&genuine[1], &flipped, &b"\x7fELF".repeat(100), &Vec::new()] {
        std::fs::write(&files[0], bad).unwrap();
        assert_eq!(told(&check()), 1);
        assert_ne!(&std::fs::read(&files[0]).unwrap(), bad, "it was replaced");
        assert_eq!(told(&check()), 0);
    }
}
