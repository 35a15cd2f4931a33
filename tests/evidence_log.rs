//! `picket log` through the real binary: its filters, following a live service, and answers that do not depend on the
//! index.

#![allow(clippy::unwrap_used, reason = "tests")]

mod evidence_support;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use evidence_support::{EdgeBox, serve};

fn indexes(edge: &EdgeBox, arguments: &[&str]) -> Vec<u64> {
    let all: Vec<&str> = ["--json", "log"].iter().chain(arguments).copied().collect();
    let ran = edge.picket(&all);
    assert_eq!(ran.code, 0, "{ran:#?}");
    ran.json().iter().map(|line| line["index"].as_u64().unwrap()).collect()
}

/// More entries than the smallest part of the index has.
fn many(edge: &EdgeBox) {
    let ids: Vec<String> = (0..1300).map(|n| format!("id-{n}")).collect();
    edge.judge(&ids.iter().map(String::as_str).collect::<Vec<_>>());
}

const QUESTIONS: [&[&str]; 9] = [
    &["--limit", "0"],
    &["--id", "id-7"],
    &["--id", "#9"],
    &["--decision", "allow", "--decision", "block", "--model", "m", "--limit", "7"],
    &["--kind", "verdict", "--kind", "recovery", "--from", "0", "--limit", "3"],
    &["--since", "1h", "--limit", "2"],
    &["--until", "1h"],
    &["--failure", "trap"],
    &["--rule", "none", "--guard", "none", "--model-version", "none"],
];

#[test]
fn filters_answer_the_same_with_and_without_index_and_service() {
    let edge = EdgeBox::new();
    many(&edge);
    let answers = || QUESTIONS.map(|question| indexes(&edge, question));
    let first = answers();
    assert!(edge.path("data/ledger/lookup").is_dir(), "an index was built");
    assert_eq!(first.each_ref().map(Vec::len)[1..], [1, 1, 7, 3, 2, 0, 0, 0]);
    assert_eq!(answers(), first);
    for file in std::fs::read_dir(edge.path("data/ledger/lookup")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        for byte in bytes.iter_mut().skip(20).step_by(37) {
            *byte ^= 0x5a;
        }
        std::fs::write(&path, bytes).unwrap();
    }
    assert_eq!(answers(), first, "after damage to the index");
    std::fs::remove_dir_all(edge.path("data/ledger/lookup")).unwrap();
    assert_eq!(answers(), first, "after the index was removed");
    std::fs::remove_dir_all(edge.path("data/ledger/lookup")).unwrap();
    std::fs::write(edge.path("data/ledger/lookup"), "in the way").unwrap();
    assert_eq!(answers()[1..], first[1..], "without a place for an index");
    std::fs::remove_file(edge.path("data/ledger/lookup")).unwrap();
    let service = serve(&edge);
    // The start has written entries of its own behind these.
    let size = first[0].len().to_string();
    for (question, answer) in QUESTIONS.iter().zip(&first).skip(1) {
        let bounded: Vec<&str> = question.iter().copied().chain(["--to", &size]).collect();
        assert_eq!(&indexes(&edge, &bounded), answer, "{question:?}");
    }
    service.stop();
}

#[test]
fn bad_filters_are_named_with_what_is_allowed() {
    let edge = EdgeBox::new();
    edge.judge(&["a"]);
    edge.picket(&["log", "--kind", "mood"]).fails(2, "the kinds are verdict");
    edge.picket(&["log", "--decision", "maybe"]).fails(2, "allow, flag, redact or block");
    edge.picket(&["log", "--failure", "sleep"]).fails(2, "the causes are trap, deadline");
    edge.picket(&["log", "--since", "soon"]).fails(2, "--since \"soon\" is neither a time");
    edge.picket(&["log", "--until", "9000d"]).fails(2, "at most ten years");
    edge.picket(&["log", "--follow"]).fails(2, "no service runs here");
    edge.picket(&["log", "--follow", "--to", "3"]).fails(2, "cannot be used with");
}

fn follow(edge: &EdgeBox) -> Child {
    Command::new(env!("CARGO_BIN_EXE_picket"))
        .args(["--json", "log", "--follow", "--kind", "approval", "--kind", "recovery"])
        .current_dir(edge.folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn ends(mut child: Child) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert_eq!(status.code(), Some(0));
            return;
        }
        assert!(Instant::now() < deadline, "it did not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn following_prints_what_comes_and_ends_when_told() {
    let edge = EdgeBox::new();
    edge.judge(&["a"]);
    let service = serve(&edge);
    let mut child = follow(&edge);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        assert!(lines.next().unwrap().unwrap().contains("\"kind\":\"recovery\""));
    }
    let ended = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(ended.success());
    ends(child);

    let mut child = follow(&edge);
    drop(child.stdout.take());
    ends(child);
    service.stop();
}
