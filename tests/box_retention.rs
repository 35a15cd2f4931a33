//! What a box keeps: erased payloads, and answers for which there is no space.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::Value;
use std::path::Path;
use support::files::files;
use support::full::{Mounted, fill};
use support::service::Service;
use support::{Place, hostile, inference, wait_for};

const SECRET: &str = "the patient in bed nine";

/// No file of the ledger but the journal, which overwrites as it goes on, has these bytes.
#[track_caller]
fn assert_gone(ledger: &Path, text: &str) {
    for file in files(ledger).into_iter().filter(|file| !file.to_string_lossy().contains("journal")) {
        let bytes = std::fs::read(ledger.join(&file)).unwrap();
        assert!(!bytes.windows(text.len()).any(|part| part == text.as_bytes()), "{} has it", file.display());
    }
}

#[test]
fn an_erased_payload_is_gone_and_every_proof_still_holds() {
    let place = Place::new("retention = \"all\"", "");
    let input = inference("keep", "nothing special") + &inference("forget", SECRET) + &inference("forget", SECRET);
    let answers = place.check(&input).expect(0).json();
    place.picket(&["prove", "forget", "-o", "before.tlog-proof"]).expect(0);
    let erased = place.picket(&["--json", "erase", "forget", "--reason", "asked by the person"]).expect(0).json();
    assert_eq!(erased[0]["payloads"], 2, "every verdict on that id");
    assert_gone(&place.path("data/ledger"), SECRET);
    let entries = place.entries("erase");
    assert_eq!(entries.len(), 1, "two invocations that touch are one range");
    assert_eq!(entries[0]["body"]["erase"]["count"], 2);
    assert_eq!(entries[0]["body"]["erase"]["reason"], "asked by the person");
    place.verify();
    place.picket(&["verify", "before.tlog-proof", "--key", "data/keys/box.pub"]).expect(0);
    place.picket(&["prove", "forget", "-o", "after.tlog-proof"]).expect(0);
    place.picket(&["verify", "after.tlog-proof", "--key", "data/keys/box.pub"]).expect(0);
    // Two workers: either of the two verdicts may stand last.
    assert!([1, 2].contains(&place.verdict("forget")["invocation"].as_u64().unwrap()));
    // Again finds nothing, and says so in the ledger as well.
    let again = place.picket(&["--json", "erase", "#1", "--reason", "again"]).expect(0).json();
    assert_eq!(again[0]["payloads"], 0);
    assert_eq!(answers.len(), 3);
}

#[test]
fn an_id_that_was_used_often_is_erased_to_the_last() {
    let place = Place::new("retention = \"all\"", "");
    place.check(&inference("often", SECRET).repeat(130)).expect(0);
    let erased = place.picket(&["--json", "erase", "often", "--reason", "all of it"]).expect(0).json();
    assert_eq!(erased[0]["payloads"], 130);
    assert_gone(&place.path("data/ledger"), SECRET);
    place.verify();
}

#[test]
fn an_erasure_that_names_nothing_is_refused_by_name() {
    let place = Place::new("retention = \"all\"", "");
    place.check(&inference("a", "hello")).expect(0);
    place.picket(&["erase", "nobody", "--reason", "r"]).expect(2).says(&["nobody"]);
    place.picket(&["erase", "0", "--reason", "r"]).expect(2).says(&["entry 0", "recovery", "no payload"]);
    place.picket(&["erase", "a"]).expect(2).says(&["--reason"]);
    place.picket(&["erase", "--reason", "r"]).expect(2);
    place.picket(&["erase", "--older-than", "soon", "--reason", "r"]).expect(2).says(&["--older-than", "soon"]);
    place.picket(&["erase", "--older-than", "9d", "--reason", "r"]).expect(2).says(&["that old"]);
    assert_eq!(place.entries("erase").len(), 0);
}

#[test]
fn a_running_service_erases_when_told_and_by_age() {
    let place = Place::new("retention = \"all\"", "");
    let service = Service::start(&place);
    service.post(&inference("told", SECRET)).expect(200);
    let told = place.picket(&["erase", "told", "--reason", "told to"]).expect(0);
    assert!(told.stdout.starts_with("erased 1 payloads; recorded in entry "), "{told:?}");
    assert_gone(&place.path("data/ledger"), SECRET);
    service.stop();
    place.configure("retention = \"all\"", "\n[ledger]\nkeep_payloads = \"1ms\"\n");
    let service = Service::start(&place);
    service.post(&inference("aged", SECRET)).expect(200);
    wait_for("it is erased by its age", || (service.metric("picket_payloads_erased_total") >= 1.0).then_some(()));
    service.stop();
    assert_gone(&place.path("data/ledger"), SECRET);
    let reasons: Vec<Value> =
        place.entries("erase").iter().map(|entry| entry["body"]["erase"]["reason"].clone()).collect();
    assert_eq!(reasons[0], "told to");
    assert_eq!(reasons[1], "older than ledger.keep_payloads");
    place.verify();
}

#[test]
fn with_drop_a_full_disk_lets_answers_out_and_counts_them_in_the_ledger() {
    let place = Place::new(
        "retention = \"all\"",
        &format!("[ledger]\non_full = \"drop\"\nreserve = \"4MiB\"\n{}", hostile("g", "none", "")),
    );
    let Some(_mounted) = Mounted::new(&place.path("data"), "64m") else { return };
    let service = Service::start(&place);
    service.post(&inference("first", "hello")).expect(200);
    let ballast = place.path("data/ballast");
    fill(&ballast);
    let large = "x".repeat(200_000);
    let mut dropped = 0;
    wait_for("three answers went out without an entry", || {
        let answer = service.post(&inference("large", &large)).expect(200);
        dropped += u64::from(answer["entry"].is_null());
        (dropped >= 3).then_some(())
    });
    assert!(service.metric("picket_ledger_dropped_total") >= 3.0);
    assert!(!place.path("data/ledger/reserve").exists(), "the reserve is in use");
    std::fs::remove_file(&ballast).unwrap();
    wait_for("it records again", || {
        let answer = service.post(&inference("healed", "hello")).expect(200);
        dropped += u64::from(answer["entry"].is_null());
        (!answer["entry"].is_null()).then_some(())
    });
    wait_for("space is set aside again", || {
        service.post(&inference("room", "hello")).expect(200);
        place.path("data/ledger/reserve").exists().then_some(())
    });
    service.stop();
    let counted: u64 = place.entries("drop").iter().map(|entry| entry["body"]["drop"]["count"].as_u64().unwrap()).sum();
    assert_eq!(counted, dropped);
    place.verify();
}
