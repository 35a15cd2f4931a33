//! Keys through the real binaries: rotated, shown, verified with their chain; and a thief who has the present one.

#![allow(clippy::unwrap_used, reason = "tests")]

mod evidence_support;
#[path = "support/files.rs"]
mod files;

use evidence_support::{Auditor, EdgeBox, serve};
use files::copy;
use picket_ledger::bundle::Bundle;
use picket_ledger::entry::{Body, Entry, Heartbeat, KeyRotation};
use picket_ledger::hash::leaf_hash;
use picket_ledger::tree::CompactRange;
use picket_ledger::{Checkpoint, KeyChain, Segment, SigningKey};
use picket_store::{Commit, Log, Options};
use std::path::Path;

fn chain(edge: &EdgeBox) -> KeyChain {
    let text = edge.picket(&["key", "show", "--chain"]).ok();
    let first = KeyChain::peek_first(&text).unwrap();
    assert_eq!(first.to_string(), edge.public_key());
    edge.write("keys.chain", &text);
    KeyChain::parse(&text, &first).unwrap()
}

fn present_key(edge: &EdgeBox) -> SigningKey {
    SigningKey::parse(std::fs::read_to_string(edge.path("data/keys/box.key")).unwrap().trim()).unwrap()
}

/// Entries of three keys; every one of them has a proof and a segment.
fn box_of_three_epochs() -> EdgeBox {
    let edge = EdgeBox::new();
    edge.judge(&["a", "b"]);
    edge.picket(&["key", "rotate"]).ok();
    edge.judge(&["c"]);
    edge.picket(&["key", "rotate"]).ok();
    edge.judge(&["d"]);
    edge
}

#[test]
fn keys_are_rotated_shown_and_their_evidence_is_verified_with_the_chain() {
    let edge = box_of_three_epochs();
    let keys = chain(&edge);
    assert_eq!(keys.epochs().len(), 3);
    let shown = &edge.picket(&["--json", "key", "show"]).json()[0];
    assert_eq!(shown["epochs"].as_array().unwrap().len(), 3);
    assert_eq!((&shown["epochs"][1]["current"], &shown["epochs"][2]["current"]), (&false.into(), &true.into()));
    assert!(edge.picket(&["key", "show"]).ok().contains("(signs now)"));

    let key = edge.public_key();
    assert!(edge.picket(&["verify", "data", "--key", &key]).ok().contains("key 2 from entry"));
    for (id, epoch) in [("a", 0), ("c", 1), ("d", 2)] {
        edge.picket(&["prove", id, "-o", "one.tlog-proof"]).ok();
        let verify = ["--json", "verify", "one.tlog-proof", "--key", &key, "--chain", "keys.chain"];
        let verified = edge.picket(&verify);
        assert_eq!((verified.code, &verified.json()[0]["epoch"]), (0, &epoch.into()), "{id}: {verified:#?}");
        let trace = &edge.picket(&["--json", "trace", id]).json()[0];
        assert_eq!(trace["proof"]["verified"], true, "{trace}");
        let alone = edge.picket(&["verify", "one.tlog-proof", "--key", &key]);
        if epoch == 0 {
            alone.ok();
        } else {
            alone.fails(1, "give --chain");
        }
    }
    // The ledger goes out piece by piece, each within one epoch.
    let mut first = 0;
    let mut pieces = 0;
    for epoch in keys.epochs() {
        assert_eq!(first, epoch.start);
        let made = edge.picket(&["--json", "export", "--first", &first.to_string(), "-o", "part.segment"]);
        assert_eq!(made.code, 0, "{made:#?}");
        first = made.json()[0]["size"].as_u64().unwrap();
        edge.picket(&["verify", "part.segment", "--key", &key, "--chain", "keys.chain"]).ok();
        pieces += 1;
    }
    assert_eq!(pieces, 3);
    edge.write("other.chain", &edge.public_key());
    edge.picket(&["verify", "part.segment", "--key", &key, "--chain", "other.chain"]).fails(2, "other.chain");
}

#[test]
fn a_running_box_rotates_its_key_and_the_auditor_follows() {
    let edge = EdgeBox::new();
    let auditor = Auditor::new();
    let server = auditor.serve();
    edge.configure(&auditor.section(&server.address));
    edge.judge(&["a"]);
    auditor.enrol(&edge);
    edge.picket(&["sync", "--once"]).ok();
    let service = serve(&edge);
    for epoch in 1..=2 {
        let rotated = edge.picket(&["--json", "key", "rotate"]);
        assert_eq!((rotated.code, &rotated.json()[0]["epoch"]), (0, &epoch.into()), "{rotated:#?}");
    }
    let report = &edge.picket(&["--json", "sync"]).json()[0];
    assert_eq!(report["acknowledged"], report["signed"], "{report}");
    service.stop();
    edge.judge(&["b"]);
    let report = &edge.picket(&["--json", "sync", "--once"]).json()[0];
    assert_eq!(report["acknowledged"], report["signed"], "{report}");
    edge.picket(&["verify", "data", "--key", &edge.public_key(), "--auditor-key", &auditor.key]).ok();
    // An entry of key 0 is proven under a receipt of its own time, if there is one.
    edge.picket(&["prove", "a", "-o", "a.tlog-proof"]).ok();
    edge.picket(&["verify", "a.tlog-proof", "--key", &edge.public_key()]).ok();
    assert!(auditor.run(&["verify"]).ok().contains("key 2 speaks from entry"));
    server.stop();
}

#[test]
fn loose_key_files_stop_every_command_that_signs() {
    use std::os::unix::fs::PermissionsExt as _;
    let edge = EdgeBox::new();
    edge.judge(&["a"]);
    let chmod = |name: &str, mode| {
        std::fs::set_permissions(edge.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for (name, loose, good) in [("data/keys", 0o755, 0o700), ("data/keys/box.key", 0o640, 0o600)] {
        chmod(name, loose);
        for command in [&["keygen"][..], &["key", "rotate"], &["check"], &["run"]] {
            edge.picket(command).fails(2, "lets others at this key");
        }
        chmod(name, good);
    }
    edge.picket(&["key", "rotate"]).ok();
}

/// What a thief of the whole folder and of the present key, number 2, can build.
struct Thief {
    edge: EdgeBox,
    keys: KeyChain,
    stolen: SigningKey,
    entries: Vec<Vec<u8>>,
}

impl Thief {
    fn new() -> Self {
        let edge = box_of_three_epochs();
        let (keys, stolen) = (chain(&edge), present_key(&edge));
        assert_eq!(keys.current(), &stolen.verifier());
        let (log, _) = Log::open(&edge.path("data/ledger"), &Options::default()).unwrap();
        let entries = log.reader().read(0..log.size()).unwrap();
        Self { edge, keys, stolen, entries }
    }

    fn tree(&self, size: usize) -> CompactRange {
        let mut tree = CompactRange::new();
        self.entries[..size].iter().for_each(|entry| tree.push(leaf_hash(entry)));
        tree
    }

    /// Puts a heartbeat in the place of an old entry.
    fn edit(&mut self, index: usize) {
        let mut entry = Entry::decode(&self.entries[index]).unwrap();
        entry.body = Body::Heartbeat(Heartbeat { next_invocation: 99 });
        self.entries[index] = entry.encode().unwrap();
    }

    fn checkpoint(&self, size: usize) -> String {
        Checkpoint::new("box-1", size as u64, self.tree(size).root()).sign(&self.stolen)
    }

    fn segment(&self, first: usize, end: usize) -> Vec<u8> {
        Segment {
            origin: "box-1".into(),
            first: first as u64,
            frontier: self.tree(first).peaks().to_vec(),
            entries: self.entries[first..end].to_vec(),
            checkpoint: self.checkpoint(end),
        }
        .encode()
        .unwrap()
    }

    /// A whole new ledger of the edited entries, signed anew: every checkpoint by the stolen key.
    fn rebuild(&self, data: &Path) {
        copy(&self.edge.path("data"), data);
        std::fs::remove_dir_all(data.join("ledger")).unwrap();
        let (mut log, _) = Log::open(&data.join("ledger"), &Options::default()).unwrap();
        let sign = |size: u64, root: &[u8; 32]| Checkpoint::new("box-1", size, *root).sign(&self.stolen);
        for entry in &self.entries {
            let boundary = Entry::decode(entry).is_ok_and(|entry| matches!(entry.body, Body::KeyRotation(_)));
            let commit =
                Commit { entries: vec![entry.clone()], checkpoint: Some(&sign), boundary, ..Commit::default() };
            log.commit(commit).unwrap();
        }
    }

    #[track_caller]
    fn refused(&self, bytes: &[u8], words: &str) {
        std::fs::write(self.edge.path("forged"), bytes).unwrap();
        let key = self.edge.public_key();
        self.edge.picket(&["verify", "forged", "--key", &key, "--chain", "keys.chain"]).fails(1, words);
    }
}

#[test]
fn a_thief_with_the_present_key_cannot_change_the_past() {
    let mut thief = Thief::new();
    let auditor = Auditor::new();
    let server = auditor.serve();
    auditor.enrol(&thief.edge);
    thief.edge.configure(&auditor.section(&server.address));
    thief.edge.picket(&["sync", "--once"]).ok();
    let entries = thief.entries.len();
    let start = usize::try_from(thief.keys.current_epoch().start).unwrap();
    // What he holds is good: the box's own evidence of the present epoch, he can make too.
    std::fs::write(thief.edge.path("true.segment"), thief.segment(start, entries)).unwrap();
    let key = thief.edge.public_key();
    thief.edge.picket(&["verify", "true.segment", "--key", &key, "--chain", "keys.chain"]).ok();

    // 1. He edits entry 1, the first verdict, and proves the new one under a new checkpoint.
    thief.edit(1);
    let leaves: Vec<_> = thief.entries.iter().map(|entry| leaf_hash(entry)).collect();
    let proof = inclusion(1, &leaves);
    let forged =
        Bundle { entry: Some(thief.entries[1].clone()), index: 1, proof, checkpoint: thief.checkpoint(entries) };
    thief.refused(forged.encode().as_bytes(), "cannot vouch for entry 1: key 0");
    // Under a checkpoint of a size in the old range.
    let proof = inclusion(1, &leaves[..3]);
    let forged = Bundle { entry: Some(thief.entries[1].clone()), index: 1, proof, checkpoint: thief.checkpoint(3) };
    thief.refused(forged.encode().as_bytes(), "under key 0");

    // 2. Segments below his epoch, across its start, and from its start on with another past.
    thief.refused(&thief.segment(0, 3), "under key 0");
    thief.refused(&thief.segment(1, start), "cannot vouch for entry 1");
    thief.refused(&thief.segment(0, entries), "cannot vouch for entry 0");
    thief.refused(&thief.segment(start, entries), "the past was changed");

    // 3. A hand-over of the past from his key to another of his, and one that key 0 is said to have made.
    let other = SigningKey::from_seed("box-1", &[7; 32]).unwrap();
    let index = usize::try_from(thief.keys.epochs()[0].end.unwrap()).unwrap() - 1;
    let mut forger = Thief { entries: thief.entries.clone(), ..Thief::new_like(&thief) };
    let rotation = KeyRotation::new(1, index as u64, &thief.keys.first().clone(), &other);
    let mut entry = Entry::decode(&forger.entries[index]).unwrap();
    entry.body = Body::KeyRotation(rotation);
    forger.entries[index] = entry.encode().unwrap();
    let bundle = picket_ledger::keychain::hand_over_bundle(
        forger.entries[index].clone(),
        &forger.tree(index),
        forger.checkpoint(index + 1),
    );
    forger.edge.write("forged.chain", &format!("{key}\n{}", bundle.encode()));
    forger.edge.picket(&["verify", "true.segment", "--key", &key, "--chain", "forged.chain"]).fails(2, "under key 0");

    // 4. The whole folder made anew, with every checkpoint by the stolen key.
    thief.rebuild(&thief.edge.path("rebuilt"));
    let found = thief.edge.picket(&["verify", "rebuilt", "--key", &key]);
    found.fails(1, "NOT VERIFIED");
    found.fails(1, "no signature by box-1+");
    // Without the trusted key nothing is different: the chain in the folder convicts it.
    thief.edge.picket(&["verify", "rebuilt"]).fails(1, "NOT VERIFIED");

    // 5. The auditor, who holds the true log, and one who sees the box for the first time.
    // What the stolen key may say at all, of the present, contradicts what is held: a fork, which is kept as evidence.
    for (segment, code, words) in [
        (thief.segment(0, 3), 422, "under key 0"),
        (thief.segment(0, entries), 409, "two histories"),
        (thief.segment(start, entries), 409, "two histories"),
    ] {
        let (status, answer) = post(&server.address, "/v1/segments", &segment);
        assert!(status == code && answer.contains(words), "{status} {answer}");
    }
    let (status, answer) =
        post(&server.address, "/add-checkpoint", format!("old 0\n\n{}", thief.checkpoint(3)).as_bytes());
    assert_eq!(status, 403, "{answer}");
    server.stop();
    let fresh = Auditor::new();
    let server = fresh.serve();
    fresh.enrol(&thief.edge);
    for segment in [thief.segment(0, 3), thief.segment(0, entries)] {
        let (status, answer) = post(&server.address, "/v1/segments", &segment);
        assert!(status == 422 && answer.contains("no signature by"), "{status} {answer}");
    }
    server.stop();
}

impl Thief {
    /// The same thief, for another idea.
    fn new_like(other: &Self) -> Self {
        let edge = EdgeBox::new();
        copy(other.edge.folder.path(), edge.folder.path());
        Self { edge, keys: other.keys.clone(), stolen: other.stolen.clone(), entries: Vec::new() }
    }
}

/// `PATH(m, D_n)`, RFC 9162 section 2.1.3.1.
fn inclusion(index: usize, leaves: &[[u8; 32]]) -> Vec<[u8; 32]> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let root = |leaves: &[[u8; 32]]| {
        let mut tree = CompactRange::new();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        tree.root()
    };
    let split = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(split);
    let (mut path, sibling) =
        if index < split { (inclusion(index, left), right) } else { (inclusion(index - split, right), left) };
    path.push(root(sibling));
    path
}

fn post(address: &str, path: &str, body: &[u8]) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut reply = agent.post(format!("http://{address}{path}")).send(body).unwrap();
    (reply.status().as_u16(), reply.body_mut().read_to_string().unwrap())
}
