//! The box's evidence through the real `picket`: recorded, listed, shown, traced, proven, verified.

#![allow(clippy::unwrap_used, reason = "tests")]

mod evidence_support;
#[path = "support/files.rs"]
mod files;

use evidence_support::{EdgeBox, serve};
use files::{copy, damage, files};
use serde_json::{Value, json};

/// SHA-256 of `the weights`, as the configuration of the test box names them.
fn weights(edge: &EdgeBox) -> String {
    let shown = edge.picket(&["--json", "log", "--kind", "model-version", "--limit", "1"]);
    shown.json()[0]["body"]["record"]["digest"].as_str().unwrap().to_owned()
}

fn record_model(edge: &EdgeBox) {
    let digest = weights(edge);
    let slice = "3".repeat(64);
    edge.write(
        "model.json",
        &format!(
            r#"{{"model":"m","version":"1.0","weights":"sha256:{digest}","trained_on":["sha256:{slice}"],"notes":"first"}}"#
        ),
    );
    edge.picket(&["record", "model-version", "--file", "model.json"]).ok();
    edge.write(
        "slice.json",
        &format!(
            r#"{{"name":"loans","version":"2026-10","digest":"sha256:{slice}","rows":5000,"filter":null,"source":"x"}}"#
        ),
    );
    edge.picket(&["record", "dataset-slice", "--file", "slice.json"]).ok();
}

#[test]
fn from_a_record_to_a_verified_proof() {
    let edge = EdgeBox::new();
    edge.judge(&["loan-1"]);
    record_model(&edge);
    edge.judge(&["loan-2"]);

    let log = edge.picket(&["--json", "log", "--kind", "verdict"]).json();
    assert_eq!(log.len(), 2);
    let index = log[1]["index"].as_u64().unwrap();
    let text = edge.picket(&["log", "--from", &index.to_string(), "--limit", "1"]).ok();
    assert!(text.contains("allow  m loan-2 #1"), "{text}");

    let by_id = edge.picket(&["--json", "show", "loan-2"]).json();
    assert_eq!(by_id, edge.picket(&["--json", "show", &index.to_string()]).json());
    assert_eq!(by_id, edge.picket(&["--json", "show", "#1"]).json());
    assert_eq!(by_id[0]["payload"]["commitment"], "matches");
    assert_eq!(by_id[0]["payload"]["content"]["output"]["text"], "hello loan-2");

    let trace = &edge.picket(&["--json", "trace", "loan-2"]).json()[0];
    assert_eq!(trace["proof"]["verified"], true);
    assert_eq!(trace["receipt"], Value::Null);
    let records = trace["chain"]["records"].as_array().unwrap();
    let whys: Vec<&str> = records.iter().map(|record| record["why"].as_str().unwrap()).collect();
    assert!(whys.contains(&"training data") && whys.contains(&"prompts"), "{whys:?}");
    assert!(records.iter().all(|record| record["before"] == true));
    // For the first decision, what was recorded by hand came later.
    let trace = edge.picket(&["trace", "loan-1"]).ok();
    assert!(trace.contains("Recorded later") && trace.contains("VERIFIED"), "{trace}");

    edge.picket(&["prove", "loan-2", "-o", "loan-2.tlog-proof"]).ok();
    let key = edge.public_key();
    let verified = &edge.picket(&["--json", "verify", "loan-2.tlog-proof", "--key", &key]).json()[0];
    assert_eq!((&verified["verified"], &verified["first"]), (&json!(true), &json!(index)));

    edge.picket(&["export", "--first", "2", "-o", "range.segment"]).ok();
    edge.picket(&["verify", "range.segment", "--key", "data/keys/box.pub"]).ok();
    let folder = edge.picket(&["verify", "data"]).ok();
    assert!(folder.contains("not whose it is"), "{folder}");
}

#[test]
fn the_log_filters_by_kind_model_decision_and_time() {
    let edge = EdgeBox::new();
    edge.judge(&["a", "b", "c"]);
    let count = |arguments: &[&str]| {
        let all: Vec<&str> = ["--json", "log", "--limit", "0"].iter().chain(arguments).copied().collect();
        let ran = edge.picket(&all);
        assert_eq!(ran.code, 0, "{ran:#?}");
        ran.json().len()
    };
    let everything = count(&[]);
    assert_eq!(count(&["--decision", "allow"]), 3);
    assert_eq!(count(&["--decision", "block"]), 0);
    assert_eq!(count(&["--kind", "recovery"]), 1);
    assert_eq!(count(&["--model", "m"]), 5, "three verdicts, weights and prompts");
    assert_eq!(count(&["--from", "1", "--to", "3"]), 2);
    assert_eq!(count(&["--from", "2020-01-01T00:00:00Z"]), everything);
    assert_eq!(count(&["--to", "2020-01-01T00:00:00Z"]), 0);
    let newest = edge.picket(&["--json", "log", "--limit", "2"]).json();
    assert_eq!(newest[1]["index"], everything - 1);
    assert_eq!(newest.len(), 2);
    edge.picket(&["log", "--kind", "mood"]).fails(2, "the kinds are verdict");
    edge.picket(&["log", "--decision", "maybe"]).fails(2, "allow, flag, redact or block");
    edge.picket(&["log", "--from", "yesterday"]).fails(2, "neither an index nor a time");
}

#[test]
fn what_is_missing_or_wrong_is_named_with_what_to_do() {
    let edge = EdgeBox::new();
    edge.picket(&["log"]).fails(2, "holds no ledger");
    edge.picket(&["log", "--config", "other.toml"]).fails(2, "--data");
    edge.judge(&["a"]);
    edge.picket(&["show", "nobody"]).fails(2, "`picket log` lists");
    edge.picket(&["show", "999"]).fails(2, "there is no entry 999");
    edge.picket(&["trace", "0"]).fails(2, "is a recovery");
    edge.picket(&["sync", "--once"]).fails(2, "no [auditor]");
    edge.picket(&["verify", "nothing"]).fails(2, "nothing: No such file");
    edge.picket(&["prove", "a", "-o", "a.proof"]).ok();
    edge.picket(&["verify", "a.proof"]).fails(2, "--key is needed");
    edge.picket(&["verify", "a.proof", "--key", "rubbish"]).fails(2, "--key: ");
    edge.picket(&["verify", "picket.toml", "--key", &edge.public_key()]).fails(1, "not a segment");
    edge.write("doc.json", "{\"model\":\"m\",\n\"version\":\"1\",\n\"weights\":\"sha256:12\"}");
    edge.picket(&["record", "model-version", "--file", "doc.json"]).fails(2, "doc.json:3:");
    edge.picket(&["record", "mood", "--file", "doc.json"]).fails(2, "the kinds are");
    edge.picket(&["export", "--first", "999", "-o", "x.segment"]).fails(3, "entry 999 is not under a checkpoint");
}

#[test]
fn evidence_of_another_key_is_refused() {
    let (edge, other) = (EdgeBox::new(), EdgeBox::new());
    edge.judge(&["a"]);
    other.judge(&["a"]);
    edge.picket(&["prove", "a", "-o", "a.proof"]).ok();
    edge.picket(&["verify", "a.proof", "--key", &other.public_key()]).fails(1, "NOT VERIFIED");
    edge.picket(&["verify", "data", "--key", &other.public_key()]).fails(1, "does not hold");
}

#[test]
fn terminal_escapes_in_a_payload_are_shown_not_obeyed() {
    let edge = EdgeBox::new();
    edge.write("in.jsonl", "{\"id\":\"a\",\"model\":\"m\",\"output\":{\"text\":\"x\\u001b[2J\\u202ey\"}}\n");
    edge.picket(&["check", "--input", "in.jsonl", "--output", "out.jsonl"]).ok();
    for arguments in [vec!["show", "a"], vec!["trace", "a"], vec!["--json", "show", "a"]] {
        let shown = edge.picket(&arguments).ok();
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown}");
        assert!(shown.contains("[2J"), "{shown}");
    }
}

#[test]
fn the_running_service_answers_the_same_commands() {
    let edge = EdgeBox::new();
    edge.judge(&["loan-1"]);
    let alone = edge.picket(&["--json", "show", "loan-1"]).json();
    let service = serve(&edge);
    assert_eq!(edge.picket(&["--json", "show", "loan-1"]).json(), alone);
    record_model(&edge);
    edge.picket(&["record", "evaluation", "--file", "model.json"]).fails(2, "unknown field");
    let trace = &edge.picket(&["--json", "trace", "loan-1"]).json()[0];
    assert_eq!(trace["proof"]["verified"], true);
    edge.picket(&["prove", "loan-1", "-o", "p.tlog-proof"]).ok();
    edge.picket(&["verify", "p.tlog-proof", "--key", &edge.public_key()]).ok();
    edge.picket(&["export", "-o", "all.segment"]).ok();
    edge.picket(&["verify", "all.segment", "--key", &edge.public_key()]).ok();
    let verified = &edge.picket(&["--json", "verify", "data"]).json()[0];
    assert_eq!(verified["verified"], true);
    edge.picket(&["sync"]).fails(3, "names no auditor");
    service.stop();
    edge.picket(&["verify", "data"]).ok();
}

/// Every file of the ledger, at many places: either the damage is found, or (where the store has a second
/// copy) nothing of the evidence has changed. Never a panic, never other evidence that verifies.
#[test]
fn a_flipped_or_cut_ledger_is_found_or_repaired() {
    let edge = EdgeBox::new();
    edge.judge(&["a", "b", "c", "d"]);
    edge.picket(&["--json", "log", "--limit", "0"]).ok();
    let before = edge.picket(&["--json", "log", "--limit", "0"]).ok();
    let mut found = 0;
    let mut whole = 0;
    for file in files(&edge.path("data/ledger")) {
        let length = std::fs::metadata(edge.path("data/ledger").join(&file)).unwrap().len();
        let mut places: Vec<u64> = (0..6).map(|n| length * n / 6).collect();
        // Much of a young journal is zeros; its beginning is not.
        places.extend([8, 40, 100, 700]);
        for place in places.into_iter().filter(|place| *place < length) {
            for cut in [false, true] {
                let damaged = edge.path("damaged");
                let _absent = std::fs::remove_dir_all(&damaged);
                copy(&edge.path("data"), &damaged);
                damage(&damaged.join("ledger").join(&file), place, cut);
                let ran = edge.picket(&["verify", "damaged"]);
                assert!(ran.code == 0 || ran.code == 1, "{}, {place}, cut {cut}: {ran:#?}", file.display());
                if ran.code == 0 {
                    whole += 1;
                    let log = edge.picket(&["--json", "log", "--limit", "0", "--data", "damaged"]).ok();
                    assert_eq!(log, before, "{}, {place}, cut {cut}", file.display());
                } else {
                    found += 1;
                    assert!(ran.stdout.contains("NOT VERIFIED"), "{ran:#?}");
                }
            }
        }
    }
    assert!(found > 0 && whole > 0, "{found} found, {whole} whole");
}
