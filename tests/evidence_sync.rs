//! A box and the real auditor: offline, then connected; restored from an old image.

#![allow(clippy::unwrap_used, reason = "tests")]

mod evidence_support;
#[path = "support/files.rs"]
mod files;

use std::time::{Duration, Instant};

use evidence_support::{Auditor, EdgeBox, serve};
use files::copy;

#[test]
fn offline_then_not_enrolled_then_everything_arrives_with_a_receipt() {
    let edge = EdgeBox::new();
    let auditor = Auditor::new();
    edge.configure(&auditor.section("127.0.0.1:1"));
    edge.judge(&["a", "b"]);
    edge.judge(&["c"]);
    edge.picket(&["sync", "--once"]).fails(3, "cannot be reached");

    let server = auditor.serve();
    edge.configure(&auditor.section(&server.address));
    edge.picket(&["sync", "--once"]).fails(3, "does not know box-1");
    auditor.enrol(&edge);
    let report = edge.picket(&["--json", "sync", "--once"]);
    assert_eq!(report.code, 0, "{report:#?}");
    let report = &report.json()[0];
    assert_eq!(report["acknowledged"], report["signed"]);
    assert!(report["segments"].as_u64().unwrap() >= 1);

    let again = &edge.picket(&["--json", "sync", "--once"]).json()[0];
    assert_eq!(again["segments"], 0);
    let trace = &edge.picket(&["--json", "trace", "a"]).json()[0];
    assert_eq!((&trace["receipt"]["verified"], &trace["receipt"]["auditor"]), (&true.into(), &"auditor-1".into()));

    // The proof carries both signatures, and either key can be demanded.
    edge.picket(&["prove", "a", "-o", "a.tlog-proof"]).ok();
    let verify = ["verify", "a.tlog-proof", "--key", &edge.public_key(), "--auditor-key", &auditor.key];
    assert!(edge.picket(&verify).ok().contains("the auditor signed for it at"));
    edge.picket(&["verify", "data", "--auditor-key", &auditor.key]).ok();
    auditor.run(&["verify"]).ok();
    let found = auditor.run(&["trace", "a", "--json"]);
    assert!(found.stdout.contains("\"a\""), "{found:#?}");
    server.stop();
}

#[test]
fn a_restored_box_raises_an_alarm_that_stays() {
    let edge = EdgeBox::new();
    let auditor = Auditor::new();
    let server = auditor.serve();
    edge.configure(&auditor.section(&server.address));
    edge.judge(&["a"]);
    auditor.enrol(&edge);
    copy(&edge.path("data"), &edge.path("image"));
    edge.judge(&["b", "c"]);
    edge.picket(&["sync", "--once"]).ok();

    std::fs::remove_dir_all(edge.path("data")).unwrap();
    copy(&edge.path("image"), &edge.path("data"));
    // An image of the whole disk: nothing on the box tells it from the original.
    std::fs::remove_file(edge.path("data/place")).unwrap();
    edge.picket(&["sync", "--once"]).fails(1, "ALARM rollback");
    edge.picket(&["doctor"]).fails(1, "has an alarm against this box");
    // It stands without asking the auditor again.
    server.stop();
    edge.picket(&["sync", "--once"]).fails(1, "ALARM rollback");
    assert!(edge.picket(&["sync", "--clear-alarm"]).ok().contains("taken back"));
    edge.picket(&["sync", "--once"]).fails(3, "cannot be reached");
}

#[test]
fn a_box_that_ran_twice_raises_a_fork() {
    let edge = EdgeBox::new();
    let auditor = Auditor::new();
    let server = auditor.serve();
    edge.configure(&auditor.section(&server.address));
    edge.judge(&["a"]);
    auditor.enrol(&edge);
    copy(&edge.path("data"), &edge.path("twin"));
    edge.judge(&["b"]);
    edge.picket(&["sync", "--once"]).ok();
    std::fs::remove_dir_all(edge.path("data")).unwrap();
    copy(&edge.path("twin"), &edge.path("data"));
    std::fs::remove_file(edge.path("data/place")).unwrap();
    edge.judge(&["c", "d", "e", "f"]);
    edge.picket(&["sync", "--once"]).fails(1, "ALARM fork");
    // The auditor showed what this box has signed: the next start goes on as another log, which is taken on.
    edge.judge(&["g"]);
    edge.picket(&["sync", "--once"]).ok();
    assert!(auditor.run(&["boxes"]).ok().contains("box-1~2"));
    server.stop();
}

#[test]
fn the_service_syncs_by_itself_and_on_request() {
    let edge = EdgeBox::new();
    let auditor = Auditor::new();
    let server = auditor.serve();
    edge.judge(&["a"]);
    auditor.enrol(&edge);
    edge.configure(&auditor.section(&server.address));
    let service = serve(&edge);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let trace = &edge.picket(&["--json", "trace", "a"]).json()[0];
        if trace["receipt"]["verified"] == true {
            break;
        }
        assert!(Instant::now() < deadline, "no receipt within a minute: {trace}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let report = &edge.picket(&["--json", "sync"]).json()[0];
    assert_eq!(report["acknowledged"], report["signed"]);
    service.stop();
    server.stop();
}

#[test]
fn a_box_that_is_killed_while_it_syncs_loses_nothing_and_sends_nothing_twice() {
    let edge = EdgeBox::new();
    let auditor = Auditor::new();
    let server = auditor.serve();
    edge.configure(&auditor.section(&server.address));
    let mut kills = 0;
    for round in 0..12_u64 {
        let ids: Vec<String> = (0..25).map(|n| format!("r{round}-{n}")).collect();
        edge.judge(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        if round == 0 {
            auditor.enrol(&edge);
        }
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_picket"))
            .args(["sync", "--once"])
            .current_dir(edge.path("."))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Another moment in each round: before the first request, in the middle, after the receipt.
        std::thread::sleep(Duration::from_millis(round * 9));
        kills += u64::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    edge.picket(&["sync", "--once"]).ok();
    let report = &edge.picket(&["--json", "sync", "--once"]).json()[0];
    assert_eq!((&report["acknowledged"], &report["segments"]), (&report["signed"], &0.into()), "{report}");
    server.stop();
    let verified = &auditor.run(&["verify", "--json"]).json()[0];
    assert_eq!((&verified["verified"], &verified["boxes"][0]["size"]), (&true.into(), &report["signed"]), "{verified}");
    edge.picket(&["verify", "data", "--auditor-key", &auditor.key]).ok();
    assert!(kills > 0);
}

/// Entries go by age, behind the receipt: what remains still verifies, and everything that reads goes on from there.
#[test]
fn a_ledger_that_was_pruned_behind_its_receipt_still_verifies() {
    let edge = EdgeBox::new();
    let auditor = Auditor::new();
    let server = auditor.serve();
    let ids: Vec<String> = (0..700).map(|number| format!("i{number}")).collect();
    edge.judge(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    auditor.enrol(&edge);
    edge.configure(&format!("{}\n[ledger]\nkeep_entries = \"1ms\"\n", auditor.section(&server.address)));
    edge.picket(&["sync", "--once"]).ok();
    let service = serve(&edge);
    let deadline = Instant::now() + Duration::from_secs(60);
    let pruned = loop {
        let head = &edge.picket(&["--json", "log", "--limit", "1", "--from", "0"]).json()[0];
        let first = head["index"].as_u64().unwrap();
        if first >= 512 {
            break first;
        }
        assert!(Instant::now() < deadline, "nothing was pruned within a minute: {head}");
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(pruned % 256, 0);
    service.stop();
    let verified = edge.picket(&["--json", "verify", "data", "--auditor-key", &auditor.key]);
    assert_eq!((verified.code, &verified.json()[0]["pruned_to"]), (0, &pruned.into()), "{verified:#?}");
    edge.picket(&["trace", "i699"]).ok();
    edge.picket(&["prove", "i699", "-o", "p.tlog-proof"]).ok();
    edge.picket(&["verify", "p.tlog-proof", "--key", &edge.public_key()]).ok();
    edge.picket(&["show", "3"]).fails(2, "entries below");
    // The auditor's time was recorded when the receipt was used.
    assert!(!edge.picket(&["--json", "log", "--limit", "0", "--kind", "time-anchor"]).json().is_empty());
    auditor.run(&["verify"]).ok();
    assert!(auditor.run(&["trace", "i3", "--json"]).stdout.contains("i3"), "the auditor has what the box removed");
    server.stop();
}
