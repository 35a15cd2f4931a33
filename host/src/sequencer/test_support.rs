//! A ledger in a temporary folder, for tests of this and higher floors.

use super::{Opening, Pending, Sequencer, Writer};
use crate::config::{Edge, Ledger, OnFull, Retention};
use picket_ledger::entry::{Body, Decision, Verdict};
use std::path::Path;
use std::time::Duration;

pub(crate) fn edge(data: &Path) -> Edge {
    Edge {
        id: "box-1".into(),
        data: data.to_path_buf(),
        listen: ([127, 0, 0, 1], 0).into(),
        retention: Retention::None,
        workers: 1,
        queue: 1,
        max_inference: 1 << 20,
        guard_memory: None,
        compile_memory: None,
        compile_time: std::time::Duration::from_secs(120),
        watch_every: Duration::from_secs(60),
        witness: None,
    }
}

pub(crate) fn settings() -> Ledger {
    Ledger {
        checkpoint_entries: 1000,
        checkpoint_every: Duration::from_secs(3600),
        heartbeat_every: Duration::from_secs(3600),
        cache: 16 << 20,
        key_lifetime: None,
        disk_budget: None,
        reserve: 1 << 20,
        on_full: OnFull::Block,
        keep_payloads: None,
        keep_entries: None,
    }
}

pub(crate) fn open(data: &Path, settings: &Ledger) -> (Sequencer, Writer, Opening) {
    let keys = crate::keys::load_or_create(data, "box-1").unwrap();
    Sequencer::open(data, &edge(data), settings, keys).unwrap()
}

/// A verdict on the next invocation, with a payload.
pub(crate) fn verdict(sequencer: &Sequencer) -> Pending {
    let invocation = sequencer.allocate().unwrap();
    let body = Body::Verdict(Verdict {
        invocation,
        inference_id: format!("inference-{invocation}"),
        trace_id: None,
        inference_time_ms: None,
        model: "m".into(),
        model_version: None,
        prompt_version: None,
        weights: None,
        prompts: None,
        features: None,
        policy: [1; 32],
        decision: Decision::Allow,
        guards: Vec::new(),
        payload: [2; 32],
        released: None,
    });
    Pending { body, payload: Some((invocation, vec![3; 100])), named: Vec::new() }
}
