//! Inputs to start from: the evidence in `examples/verifier/cases.jsonl`, good and damaged, taken apart.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use picket_ledger::SigningKey;
use picket_ledger::bundle::Bundle;
use picket_ledger::checkpoint::Checkpoint;
use picket_ledger::entry::{Body, Entry, Heartbeat, KeyRotation};
use picket_ledger::hash::leaf_hash;
use picket_ledger::keychain::hand_over_bundle;
use picket_ledger::segment::SegmentRef;
use picket_ledger::tree::CompactRange;

const CASES: &str = include_str!("../../examples/verifier/cases.jsonl");

/// The name of the key that signed the cases.
pub const BOX: &str = "box-17";

/// The key that signs whatever a target signs anew, under any name that can be a key's.
pub fn signer(name: &str) -> Option<SigningKey> {
    SigningKey::from_seed(name, &[7; 32]).ok()
}

fn cases() -> Vec<Vec<u8>> {
    let data = |line: &str| {
        let case: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        STANDARD.decode(case["data"].as_str().expect("data")).expect("base64")
    };
    CASES.lines().map(data).collect()
}

fn is_bundle(data: &[u8]) -> bool {
    data.starts_with(b"c2sp.org")
}

/// Entries of every kind, and some that are none.
pub fn entries() -> Vec<Vec<u8>> {
    let cases = cases();
    let mut entries: Vec<Vec<u8>> = cases
        .iter()
        .filter_map(|data| SegmentRef::parse(data).ok())
        .flat_map(|segment| segment.entries.iter().map(|entry| entry.to_vec()).collect::<Vec<_>>())
        .collect();
    entries.sort();
    entries.dedup();
    entries
}

/// Segments, good and damaged.
pub fn segments() -> Vec<Vec<u8>> {
    cases().into_iter().filter(|data| !is_bundle(data)).collect()
}

/// Signed notes, good and damaged, and public keys.
pub fn notes() -> Vec<Vec<u8>> {
    let cases = cases();
    let of_segments = cases.iter().filter_map(|data| SegmentRef::parse(data).ok()).map(|segment| segment.checkpoint);
    let mut notes: Vec<Vec<u8>> = of_segments.map(|note| note.as_bytes().to_vec()).collect();
    let texts = cases.iter().filter_map(|data| std::str::from_utf8(data).ok());
    notes.extend(texts.filter_map(|text| text.split_once("\n\n")).map(|(_, note)| note.as_bytes().to_vec()));
    notes.extend(signer(BOX).map(|key| key.verifier().to_string().into_bytes()));
    notes.sort();
    notes.dedup();
    notes
}

/// Bundles, and numbers and hashes from which `proof` makes trees and proofs.
pub fn proofs() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = cases().into_iter().filter(|data| is_bundle(data)).collect();
    for (size, start, end, index) in
        [(1, 0, 1, 0), (7, 4, 6, 5), (64, 0, 33, 32), (100, 96, 100, 99), (255, 128, 255, 200)]
    {
        seeds.push(vec![size, start, end, index]);
        seeds.push([&[size, start, end, index][..], &[7; 32 * 4]].concat());
    }
    seeds
}

/// Chains of one to four keys.
pub fn keychains() -> Vec<Vec<u8>> {
    let key = |epoch: u8| SigningKey::from_seed(BOX, &[7 + epoch; 32]).expect("a name");
    let mut log = CompactRange::new();
    let mut text = format!("{}\n", key(0).verifier());
    let mut chains = vec![text.clone().into_bytes()];
    for epoch in 1..4_u8 {
        let append = |log: &mut CompactRange, body| {
            let index = log.size();
            let entry = Entry { incarnation: 1, index, wall_ms: 1, monotonic_ns: 2, boot: [3; 16], body };
            let bytes = entry.encode().expect("within the limits");
            log.push(leaf_hash(&bytes));
            bytes
        };
        append(&mut log, Body::Heartbeat(Heartbeat { next_invocation: 0 }));
        let (old, new, before) = (key(epoch - 1), key(epoch), log.clone());
        let rotation = KeyRotation::new(epoch.into(), log.size(), &old.verifier(), &new);
        let entry = append(&mut log, Body::KeyRotation(rotation));
        let note = Checkpoint::new(BOX, log.size(), log.root()).sign(&old);
        let bundle: Bundle = hand_over_bundle(entry, &before, note);
        text.push_str(&bundle.encode());
        chains.push(text.clone().into_bytes());
    }
    chains
}
