//! A box that was restored, copied, cut or edited: noticed by the box where it can be, and by whoever verifies always.

#![allow(clippy::unwrap_used, reason = "tests")]

mod evidence_support;
#[path = "support/files.rs"]
mod files;

use evidence_support::{Auditor, EdgeBox};
use files::copy;
use picket_ledger::entry::{Body, Entry, Heartbeat};
use picket_store::{Commit, Log, Options};
use serde_json::Value;
use std::path::Path;

/// The recovery in the first entry of the ledger.
fn recovery(edge: &EdgeBox) -> Value {
    edge.picket(&["--json", "show", "0"]).json()[0]["body"]["recovery"].clone()
}

/// Puts an image back in the place of the data folder.
fn restore(edge: &EdgeBox, image: &str) {
    std::fs::remove_dir_all(edge.path("data")).unwrap();
    copy(&edge.path(image), &edge.path("data"));
}

fn head(edge: &EdgeBox) -> Value {
    edge.picket(&["--json", "verify", "data"]).json()[0]["head"].clone()
}

#[test]
fn a_restored_box_goes_on_as_a_new_incarnation_that_the_auditor_takes_on() {
    let edge = EdgeBox::new();
    let auditor = Auditor::new();
    let server = auditor.serve();
    edge.configure(&auditor.section(&server.address));
    edge.judge(&["a"]);
    auditor.enrol(&edge);
    edge.picket(&["sync", "--once"]).ok();
    copy(&edge.path("data"), &edge.path("image"));
    let old = head(&edge);
    edge.judge(&["b", "c"]);
    edge.picket(&["sync", "--once"]).ok();
    let first_key = edge.public_key();

    restore(&edge, "image");
    let judged = edge.picket(&["check", "--input", "in.jsonl", "--output", "out.jsonl"]);
    assert_eq!(judged.code, 0, "{judged:#?}");
    for words in ["ROLLBACK or COPY", "the files are copies", "goes on as box-1~2", "ledger-1: keep it as evidence"] {
        assert!(judged.stderr.contains(words), "no {words:?} in {judged:#?}");
    }
    // It commits to what it found and to what the auditor signed for; both are verified from the first key on.
    let recovery = recovery(&edge);
    assert_eq!(recovery["previous_size"], old["size"], "{recovery}");
    assert_eq!(recovery["previous_root"], old["root"]);
    assert_eq!(recovery["heads"][0]["origin"], "box-1", "{recovery}");
    assert_eq!(head(&edge)["origin"], "box-1~2");
    edge.picket(&["verify", "data", "--key", &first_key]).ok();
    edge.picket(&["verify", "data/ledger-1", "--key", &first_key]).ok();
    edge.picket(&["prove", "b", "-o", "b.tlog-proof"]).ok();
    edge.picket(&["verify", "b.tlog-proof", "--key", &edge.public_key()]).ok();

    let report = edge.picket(&["--json", "sync", "--once"]);
    assert_eq!(report.code, 0, "{report:#?}");
    assert_eq!(report.json()[0]["acknowledged"], report.json()[0]["signed"]);
    let boxes = auditor.run(&["boxes"]).ok();
    assert!(boxes.contains("box-1~2") && boxes.contains("DISPUTED, 1 rollback"), "{boxes}");
    let verified = auditor.run(&["verify"]);
    verified.fails(1, "rollback on record: the box goes on as box-1~2");
    // It goes on as itself from here, also with a new key; the next restore is the third incarnation.
    edge.judge(&["d"]);
    edge.picket(&["key", "rotate"]).ok();
    edge.picket(&["sync", "--once"]).ok();
    copy(&edge.path("data"), &edge.path("image-2"));
    restore(&edge, "image-2");
    edge.judge(&["e"]);
    assert_eq!(head(&edge)["origin"], "box-1~3");
    edge.picket(&["verify", "data", "--key", &first_key]).ok();
    edge.picket(&["sync", "--once"]).ok();
    assert!(auditor.run(&["boxes"]).ok().contains("box-1~3"));
    server.stop();
}

#[test]
fn of_a_box_that_was_copied_the_copy_is_the_new_incarnation() {
    let edge = EdgeBox::new();
    let auditor = Auditor::new();
    let server = auditor.serve();
    edge.configure(&auditor.section(&server.address));
    edge.judge(&["a"]);
    auditor.enrol(&edge);
    edge.picket(&["sync", "--once"]).ok();
    let twin = EdgeBox::new();
    twin.configure(&auditor.section(&server.address));
    copy(&edge.path("data"), &twin.path("data"));
    // Both run; the original stays what it was.
    edge.judge(&["b"]);
    twin.judge(&["c"]);
    edge.picket(&["sync", "--once"]).ok();
    twin.picket(&["sync", "--once"]).ok();
    assert_eq!((&head(&edge)["origin"], &head(&twin)["origin"]), (&"box-1".into(), &"box-1~2".into()));
    // A second copy is a second `box-1~2`: one of them has the fork on record, whoever comes later.
    let third = EdgeBox::new();
    third.configure(&auditor.section(&server.address));
    copy(&edge.path("data"), &third.path("data"));
    third.judge(&["d", "e", "f", "g", "h", "i"]);
    third.picket(&["sync", "--once"]).fails(1, "ALARM");
    edge.judge(&["j"]);
    edge.picket(&["sync", "--once"]).ok();
    server.stop();
}

#[test]
fn a_stranger_that_calls_itself_an_incarnation_is_not_taken_on() {
    let edge = EdgeBox::new();
    let auditor = Auditor::new();
    let server = auditor.serve();
    edge.configure(&auditor.section(&server.address));
    edge.judge(&["a"]);
    auditor.enrol(&edge);
    edge.picket(&["sync", "--once"]).ok();
    // Another box of the same name, with a key of its own, restored.
    let stranger = EdgeBox::new();
    stranger.configure(&auditor.section(&server.address));
    stranger.judge(&["x"]);
    copy(&stranger.path("data"), &stranger.path("image"));
    restore(&stranger, "image");
    stranger.judge(&["y"]);
    assert_eq!(head(&stranger)["origin"], "box-1~2");
    stranger.picket(&["sync", "--once"]).fails(3, "does not know box-1~2");
    assert!(!auditor.run(&["boxes"]).ok().contains("box-1~2"));
    server.stop();
}

#[test]
fn a_witness_outside_of_the_data_folder_tells_of_a_whole_image() {
    let edge = EdgeBox::new();
    let text = std::fs::read_to_string(edge.path("picket.toml")).unwrap();
    edge.write("picket.toml", &text.replace("retention", "witness = \"witness\"\nretention"));
    edge.judge(&["a"]);
    let first_key = edge.public_key();
    copy(&edge.path("data"), &edge.path("image"));
    let image = std::fs::read(edge.path("witness")).unwrap();
    edge.judge(&["b"]);
    let newest = head(&edge);
    restore(&edge, "image");
    // As after an image of the disk: no inode tells.
    std::fs::remove_file(edge.path("data/place")).unwrap();
    let judged = edge.picket(&["check", "--input", "in.jsonl", "--output", "out.jsonl"]);
    assert!(judged.stderr.contains("ROLLBACK: the ledger ends at entry"), "{judged:#?}");
    let recovery = recovery(&edge);
    assert_eq!(recovery["heads"][0]["size"], newest["size"], "{recovery}");
    assert_eq!(recovery["heads"][0]["root"], newest["root"], "{recovery}");
    edge.picket(&["verify", "data", "--key", &first_key]).ok();
    // From here on the witness is of the new log. One that was restored too, or is rubbish, says nothing.
    for witness in [&image[..], b"rubbish", b""] {
        std::fs::write(edge.path("witness"), witness).unwrap();
        edge.judge(&["c"]);
        assert_eq!(head(&edge)["origin"], "box-1~2");
    }
}

#[test]
fn a_restored_box_from_before_a_rotation_is_told_by_the_witness_and_not_taken_on_by_itself() {
    let edge = EdgeBox::new();
    let auditor = Auditor::new();
    let server = auditor.serve();
    edge.configure(&auditor.section(&server.address));
    let text = std::fs::read_to_string(edge.path("picket.toml")).unwrap();
    edge.write("picket.toml", &text.replace("retention", "witness = \"witness\"\nretention"));
    edge.judge(&["a"]);
    auditor.enrol(&edge);
    edge.picket(&["sync", "--once"]).ok();
    copy(&edge.path("data"), &edge.path("image"));
    edge.picket(&["key", "rotate"]).ok();
    edge.judge(&["b"]);
    edge.picket(&["sync", "--once"]).ok();
    restore(&edge, "image");
    std::fs::remove_file(edge.path("data/place")).unwrap();
    let judged = edge.picket(&["check", "--input", "in.jsonl", "--output", "out.jsonl"]);
    assert!(judged.stderr.contains("with a key that this folder does not know"), "{judged:#?}");
    // Its key was handed over: whoever has an old image has an old key, and that opens nothing.
    edge.picket(&["sync", "--once"]).fails(3, "does not know box-1~2");
    server.stop();
}

/// A start that dies between any two steps of the opening is gone on with by the next.
#[test]
fn an_incarnation_that_was_begun_is_finished_by_the_next_start() {
    let edge = EdgeBox::new();
    edge.judge(&["a"]);
    let first_key = edge.public_key();
    edge.picket(&["key", "rotate"]).ok();
    copy(&edge.path("data"), &edge.path("image"));
    restore(&edge, "image");
    edge.judge(&["b"]);
    let done = |data: &Path| {
        let verified = edge.picket(&["verify", data.to_str().unwrap(), "--key", &first_key]);
        assert_eq!(verified.code, 0, "{verified:#?}");
        assert!(!data.join("keys/incarnation.next").exists());
    };
    done(&edge.path("data"));
    // What was there after each step: the intent alone; the folder renamed; the public keys put aside; all but the key.
    let intent =
        r#"{"from":1,"previous_size":SIZE,"previous_root":"ROOT","first_invocation":1,"found":["test"],"heads":[]}"#;
    let old = edge.picket(&["--json", "verify", "image"]).json()[0]["head"].clone();
    let intent = intent.replace("SIZE", &old["size"].to_string()).replace("ROOT", old["root"].as_str().unwrap());
    for step in 0..4 {
        restore(&edge, "image");
        let keys = edge.path("data/keys");
        edge.write("data/keys/incarnation.next", &intent);
        chmod(&keys.join("incarnation.next"), 0o600);
        let rename = |from: &str, to: &str| std::fs::rename(edge.path(from), edge.path(to)).unwrap();
        if step >= 1 {
            rename("data/ledger", "data/ledger-1");
        }
        if step >= 2 {
            rename("data/keys/box.pub", "data/keys/box-1.pub");
        }
        if step >= 3 {
            rename("data/keys/keys.chain", "data/keys/keys-1.chain");
        }
        edge.judge(&["c"]);
        assert_eq!(head(&edge)["origin"], "box-1~2", "{step}");
        assert_eq!(recovery(&edge)["previous_size"], old["size"]);
        done(&edge.path("data"));
        edge.picket(&["verify", "data/ledger-1", "--key", &first_key]).ok();
    }
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

/// A ledger made anew of other entries, with the checkpoints that the box signed: what somebody without the key can do.
fn forge(edge: &EdgeBox, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    copy(&edge.path("data"), &edge.path("forged"));
    let (log, _) = Log::open(&edge.path("data/ledger"), &Options::default()).unwrap();
    let reader = log.reader();
    let mut entries = reader.read(0..reader.size()).unwrap();
    let notes = reader.checkpoints(0..u64::MAX, 1000).unwrap();
    let receipt = reader.named("sync/receipt").unwrap();
    change(&mut entries);
    std::fs::remove_dir_all(edge.path("forged/ledger")).unwrap();
    let (mut log, _) = Log::open(&edge.path("forged/ledger"), &Options::default()).unwrap();
    for (size, entry) in (1..).zip(entries) {
        let note = notes.iter().find(|note| note.size == size).map(|note| note.text.clone());
        let sign = |_: u64, _: &[u8; 32]| note.clone().unwrap_or_default();
        let checkpoint: Option<&picket_store::Sign<'_>> = if note.is_some() { Some(&sign) } else { None };
        let named = vec![("sync/receipt".to_owned(), receipt.clone())];
        log.commit(Commit { entries: vec![entry], checkpoint, named, ..Commit::default() }).unwrap();
    }
}

#[test]
fn an_edited_a_missing_and_a_cut_entry_are_named_by_the_verifier() {
    let edge = EdgeBox::new();
    let auditor = Auditor::new();
    let server = auditor.serve();
    edge.configure(&auditor.section(&server.address));
    edge.judge(&["a", "b", "c"]);
    auditor.enrol(&edge);
    edge.picket(&["sync", "--once"]).ok();
    let key = edge.public_key();
    let verify = |words: &str| {
        let all = ["verify", "forged", "--key", &key, "--auditor-key", &auditor.key];
        edge.picket(&all).fails(1, words);
        std::fs::remove_dir_all(edge.path("forged")).unwrap();
    };
    // Nothing changed: the way of forging does no harm by itself.
    forge(&edge, |_| ());
    edge.picket(&["verify", "forged", "--key", &key, "--auditor-key", &auditor.key]).ok();
    // Edited: the entries do not give the signed root; the box itself does not open such a ledger.
    forge(&edge, |entries| {
        let mut entry = Entry::decode(&entries[2]).unwrap();
        entry.body = Body::Heartbeat(Heartbeat { next_invocation: 99 });
        entries[2] = entry.encode().unwrap();
    });
    edge.write("forged.toml", "[edge]\nid = \"box-1\"\ndata = \"forged\"\n");
    edge.picket(&["check", "--config", "forged.toml", "--input", "in.jsonl"]).fails(3, "is damaged: the first");
    verify("do not have the root");
    // The middle is missing.
    forge(&edge, |entries| drop(entries.remove(2)));
    verify("entry 2 says that it is entry 3");
    // The tail is missing: the auditor signed for more, whatever the box says.
    forge(&edge, |entries| entries.truncate(2));
    edge.picket(&["verify", "forged", "--key", &key]).ok();
    verify("TRUNCATION: the auditor signed for");
    // The same behind the last checkpoint but with more entries: an edited one of an older checkpoint is named.
    forge(&edge, |entries| {
        let mut entry = Entry::decode(&entries[1]).unwrap();
        entry.index = 7;
        entries.truncate(2);
        entries[1] = entry.encode().unwrap();
    });
    verify("entry 1 says that it is entry 7");
    server.stop();
}

#[test]
fn a_replayed_segment_changes_nothing_and_one_of_another_time_is_refused() {
    let edge = EdgeBox::new();
    let auditor = Auditor::new();
    let server = auditor.serve();
    edge.configure(&auditor.section(&server.address));
    edge.judge(&["a"]);
    auditor.enrol(&edge);
    edge.picket(&["sync", "--once"]).ok();
    let segment = std::fs::read(auditor.folder.path().join("data/ev/box-1/00000000000000000000")).unwrap();
    let before = auditor.run(&["boxes", "--json"]).ok();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("http://{}/v1/segments", server.address);
    let first = agent.post(&url).send(&segment[..]).unwrap();
    assert_eq!(first.status().as_u16(), 200, "the same bytes, the same receipt");
    edge.judge(&["b"]);
    edge.picket(&["sync", "--once"]).ok();
    assert_eq!(agent.post(&url).send(&segment[..]).unwrap().status().as_u16(), 200);
    assert_ne!(auditor.run(&["boxes", "--json"]).ok(), before);
    auditor.run(&["verify"]).ok();
    server.stop();
}
