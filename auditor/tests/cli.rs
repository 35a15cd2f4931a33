//! The command line: keys, configuration, enrolment, exit codes, and the examples of the documentation.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::os::unix::fs::PermissionsExt;

use support::{Edge, Place};

fn failed(output: &std::process::Output, code: i32, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[test]
fn a_key_is_made_once_and_kept_close() {
    let place = Place::new("");
    let path = place.path().join("auditor.key");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&path).unwrap();
    failed(&place.run(&["keygen"]), 2, &["auditor.key", "never overwritten"]);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let public = String::from_utf8(place.run(&["keygen", "--public"]).stdout).unwrap();
    assert_eq!(public.trim_end(), place.cosigner().to_string());
    // Nothing secret is printed.
    let secret = String::from_utf8(before).unwrap();
    assert!(!public.contains(secret.trim_end().splitn(5, '+').nth(4).unwrap()));
}

#[test]
fn a_key_file_that_others_can_use_is_refused() {
    let place = Place::new("");
    let path = place.path().join("auditor.key");
    for mode in [0o640, 0o604, 0o620, 0o777] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        for command in [&["serve"][..], &["verify"], &["trace", "x"]] {
            failed(&place.run(command), 2, &["auditor.key", "chmod 600", &format!("{mode:04o}")]);
        }
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    assert!(place.run(&["verify"]).status.success());
}

#[test]
fn a_missing_broken_or_foreign_key_file_is_refused() {
    let place = Place::new("");
    let path = place.path().join("auditor.key");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, "rubbish").unwrap();
    failed(&place.run(&["serve"]), 2, &["auditor.key"]);
    std::fs::write(&path, good.replace("auditor-1", "auditor-2")).unwrap();
    failed(&place.run(&["serve"]), 2, &["auditor.key"]);
    std::fs::remove_file(&path).unwrap();
    failed(&place.run(&["serve"]), 2, &["auditor.key", "keygen"]);
    let other = Place::new("");
    let config = std::fs::read_to_string(other.path().join("auditor.toml")).unwrap();
    std::fs::write(other.path().join("auditor.toml"), config.replace("auditor-1", "auditor-3")).unwrap();
    failed(&other.run(&["serve"]), 2, &["auditor-1", "auditor-3"]);
}

#[test]
fn a_broken_configuration_names_its_line() {
    let place = Place::new("");
    let path = place.path().join("auditor.toml");
    for (text, words) in [
        ("[auditor]\nid = \"a\"\nlisten = 7400\n", vec!["auditor.toml", "line 3"]),
        ("[auditor]\nid = \"a\n", vec!["auditor.toml", "line 2"]),
        ("[auditor]\nid = \"a\"\n[limits]\nsegments = \"1MiB\"\n", vec!["line 4", "segments"]),
        ("[auditor]\n", vec!["id"]),
        ("", vec!["auditor"]),
        ("[auditor]\nid = \"a\"\n[limits]\nrequests = 0\n", vec!["requests", "from 1 to 1024"]),
    ] {
        std::fs::write(&path, text).unwrap();
        failed(&place.run(&["serve"]), 2, &words);
    }
    std::fs::remove_file(&path).unwrap();
    failed(&place.run(&["serve"]), 2, &["auditor.toml", "cannot be read"]);
    failed(&place.run(&["serf"]), 2, &["serf"]);
}

#[test]
fn an_enrolment_is_never_changed() {
    let place = Place::new("");
    let edge = Edge::new("box-17");
    let key = edge.key.verifier().to_string();
    assert_eq!(place.json(&["enrol", "--origin", "box-17", "--key", &key]).1["new"], true);
    assert_eq!(place.json(&["enrol", "--origin", "box-17", "--key", &key]).1["new"], false);
    let other = picket_ledger::SigningKey::from_seed("box-17", &[1; 32]).unwrap().verifier().to_string();
    failed(&place.run(&["enrol", "--origin", "box-17", "--key", &other]), 2, &["another key"]);
    failed(&place.run(&["enrol", "--origin", "box-18", "--key", &key]), 2, &["box-17", "box-18"]);
    failed(&place.run(&["enrol", "--origin", "box-17", "--key", "box-17+00000000+AAAA"]), 2, &["--key"]);
    failed(&place.run(&["enrol", "--origin", "box-17"]), 2, &["--key"]);
    let file = place.path().join("box-18.pub");
    let key_18 = Edge::new("box-18").key.verifier().to_string();
    std::fs::write(&file, format!("{key_18}\n")).unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(place.json(&["enrol", "--origin", "box-18", "--key-file", path]).1["new"], true);
    failed(&place.run(&["enrol", "--origin", "box-19", "--key-file", "/nowhere"]), 2, &["/nowhere"]);
    let (code, list) = place.json(&["boxes"]);
    let names: Vec<_> = list["boxes"].as_array().unwrap().iter().map(|item| item["origin"].clone()).collect();
    assert_eq!((code, names), (0, vec!["box-17".into(), "box-18".into()]));
    assert_eq!(place.json(&["verify"]).1["own"]["size"], 2);
}

#[test]
fn one_server_at_a_time_and_the_rest_work_beside_it() {
    let place = Place::new("");
    let edge = Edge::with("box-17", 4);
    let server = place.serve();
    failed(&place.run(&["serve"]), 3, &["in use"]);
    failed(&place.run(&["reindex"]), 3, &["in use"]);
    place.enrol(&edge);
    server.accepted(&edge.segment(0..4));
    assert_eq!(place.json(&["verify"]).0, 0);
    assert_eq!(place.json(&["boxes"]).1["boxes"][0]["next"], 4);
    assert_eq!(place.json(&["trace", "req-1"]).0, 0);
    let (code, scanned) = place.json(&["trace", "--scan", "req-1"]);
    assert_eq!((code, scanned["matches"].as_array().unwrap().len()), (0, 1));
    assert!(server.stop().success());
    // A port that is taken is the operator's to mend.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = std::fs::read_to_string(place.path().join("auditor.toml")).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    std::fs::write(place.path().join("auditor.toml"), config.replace("127.0.0.1:0", &address)).unwrap();
    failed(&place.run(&["serve"]), 2, &["listen", &address]);
    failed(&place.run(&["verify", "box-99"]), 2, &["box-99"]);
}

/// The configuration in docs/auditor.md is read, and its values are the defaults that it says they are.
#[test]
fn the_documented_configuration_is_the_default() {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/auditor.md")).unwrap();
    let (_, rest) = docs.split_once("```toml\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    let folder = std::path::Path::new("/srv");
    let documented = picket_auditor::config::Config::parse(text, folder).unwrap();
    let least = picket_auditor::config::Config::parse("[auditor]\nid = \"auditor-1\"\n", folder).unwrap();
    assert_eq!(format!("{documented:?}"), format!("{least:?}"));
    for key in ["segment", "requests", "connections", "deadline", "verify_deadline", "incidents", "matches"] {
        assert!(text.contains(&format!("\n{key} = ")), "{key} is not documented");
    }
}
