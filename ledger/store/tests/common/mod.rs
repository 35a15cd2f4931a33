//! What the tests over files share.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(unreachable_pub, reason = "it is part of each test binary")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;

use picket_ledger::entry::{Body, Config, Decision, Verdict};
use picket_ledger::hash::Hash;
use picket_ledger::{Checkpoint, Entry, SigningKey};
use picket_store::{Commit, Log, Options, Payload, StoreError};

/// A journal that turns after some dozen commits.
pub fn options() -> Options {
    let mut options = Options::default();
    options.journal_bytes = 64 * 1024;
    options
}

pub fn open(path: &Path) -> Log {
    Log::open(path, &options()).unwrap().0
}

/// An entry of about `bytes` bytes that knows its index.
pub fn entry(index: u64, bytes: usize) -> Vec<u8> {
    of(index, Body::Config(Config { digest: [7; 32], document: format!("{index:0bytes$}") }))
}

pub fn of(index: u64, body: Body) -> Vec<u8> {
    Entry { incarnation: 1, index, wall_ms: 1, monotonic_ns: 2, boot: [3; 16], body }.encode().unwrap()
}

pub fn verdict() -> Verdict {
    Verdict {
        invocation: 0,
        inference_id: "inference".into(),
        trace_id: None,
        inference_time_ms: None,
        model: "model".into(),
        model_version: None,
        prompt_version: None,
        weights: None,
        prompts: None,
        features: None,
        policy: [0; 32],
        decision: Decision::Allow,
        guards: Vec::new(),
        payload: [1; 32],
        released: Some([2; 32]),
    }
}

pub fn key() -> SigningKey {
    SigningKey::from_seed("box-1", &[9; 32]).unwrap()
}

/// Commits entries with a checkpoint and a payload each.
pub fn commit(log: &mut Log, count: u64, bytes: usize) -> Result<u64, StoreError> {
    let key = key();
    let sign = |size: u64, root: &Hash| Checkpoint::new("box-1", size, *root).sign(&key);
    let indices = log.size()..log.size() + count;
    let entries = indices.clone().map(|index| entry(index, bytes)).collect();
    let payloads = indices.map(|index| Payload { invocation: index, bytes: payload(index, bytes) }).collect();
    Ok(log.commit(Commit { entries, payloads, checkpoint: Some(&sign), ..Commit::default() })?.size)
}

pub fn payload(index: u64, bytes: usize) -> Vec<u8> {
    format!("payload {index} ").into_bytes().into_iter().cycle().take(2 * bytes).collect()
}

#[track_caller]
pub fn assert_clean(log: &Log) {
    let report = log.fsck(Some(&key().verifier())).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!(report.entries, log.size() - report.pruned_to);
}
