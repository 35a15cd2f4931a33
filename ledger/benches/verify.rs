//! Verification of a segment on one core, beside the hashing that no verifier can do without.
//!
//! `cargo bench -p picket-ledger --bench verify` prints entries per second of each step, over the same entries of
//! about 300 bytes in one run, and what part of the whole is SHA-256.

#![allow(missing_docs, reason = "criterion's macros")]
#![allow(clippy::unwrap_used, reason = "a panic is how a bench fails")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use picket_ledger::checkpoint::Checkpoint;
use picket_ledger::entry::{Body, Decision, Entry, GuardResult, Mode, Outcome, Verdict};
use picket_ledger::hash::{leaf_hash, sha256};
use picket_ledger::segment::{Segment, SegmentRef};
use picket_ledger::tree::CompactRange;
use picket_ledger::{SignedCheckpoint, SigningKey};

const ENTRIES: u64 = 4096;

/// A verdict by one guard without findings: 300 bytes with the names and ids of the demo.
fn entry(index: u64) -> Entry {
    let verdict = Verdict {
        invocation: index,
        inference_id: format!("inf-{index:08}"),
        trace_id: None,
        inference_time_ms: Some(1_795_426_653_990 + index),
        model: "credit-7b".into(),
        model_version: Some("2026-11-01".into()),
        prompt_version: None,
        weights: None,
        prompts: None,
        features: None,
        policy: [3; 32],
        decision: Decision::Allow,
        guards: vec![GuardResult {
            name: "pii".into(),
            component: [4; 32],
            settings: [5; 32],
            mode: Mode::Enforce,
            warm: false,
            outcome: Outcome::Verdict {
                decision: Decision::Allow,
                digest: sha256(&index.to_be_bytes()),
                findings: Vec::new(),
                omitted: 0,
            },
        }],
        payload: sha256(&(index + 1).to_be_bytes()),
        released: Some(sha256(&(index + 2).to_be_bytes())),
    };
    let body = Body::Verdict(verdict);
    Entry { incarnation: 1, index, wall_ms: 1_795_426_654_000 + index, monotonic_ns: index * 1000, boot: [7; 16], body }
}

fn segment(key: &SigningKey) -> Vec<u8> {
    let entries: Vec<Vec<u8>> = (0..ENTRIES).map(|index| entry(index).encode().unwrap()).collect();
    let bytes: usize = entries.iter().map(Vec::len).sum();
    println!("{} entries of {} bytes on average", entries.len(), bytes / entries.len());
    let mut range = CompactRange::new();
    entries.iter().for_each(|entry| range.push(leaf_hash(entry)));
    let checkpoint = Checkpoint::new(key.name(), ENTRIES, range.root()).sign(key);
    Segment { origin: key.name().into(), first: 0, frontier: Vec::new(), entries, checkpoint }.encode().unwrap()
}

fn verify(criterion: &mut Criterion) {
    let key = SigningKey::from_seed("box-17", &[7; 32]).unwrap();
    let verifier = key.verifier();
    let bytes = segment(&key);
    let parsed = SegmentRef::parse(&bytes).unwrap();
    let leaves: Vec<[u8; 32]> = parsed.entries.iter().map(|entry| leaf_hash(entry)).collect();

    let mut group = criterion.benchmark_group("verify");
    group.throughput(Throughput::Elements(ENTRIES));
    group.bench_function("1 sha-256 of the entries, nothing else", |bencher| {
        bencher.iter(|| parsed.entries.iter().fold(0, |sum, entry| sum ^ sha256(black_box(entry))[0]));
    });
    group.bench_function("2 tree over their leaf hashes", |bencher| {
        bencher.iter(|| {
            let mut range = CompactRange::new();
            leaves.iter().for_each(|leaf| range.push(*leaf));
            range.root()
        });
    });
    group.bench_function("3 one checkpoint signature", |bencher| {
        bencher.iter(|| SignedCheckpoint::open_alone(parsed.checkpoint, &verifier).unwrap());
    });
    group.bench_function("4 parse the segment", |bencher| {
        bencher.iter(|| SegmentRef::parse(black_box(&bytes)).unwrap());
    });
    group.bench_function("5 check the form of every entry", |bencher| {
        bencher.iter(|| parsed.check_entries().unwrap());
    });
    group.bench_function("6 decode every entry", |bencher| {
        bencher.iter(|| parsed.entries.iter().for_each(|entry| drop(black_box(Entry::decode(entry).unwrap()))));
    });
    group.bench_function("7 verify: 4, 1 and 2, 3, 5", |bencher| {
        bencher.iter(|| {
            let segment = SegmentRef::parse(black_box(&bytes)).unwrap();
            let verified = segment.verify(&verifier).unwrap();
            segment.check_entries().unwrap();
            verified
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    targets = verify
}
criterion_main!(benches);
