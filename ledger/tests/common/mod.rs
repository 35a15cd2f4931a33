//! What several tests need: keys, entries of every kind, a naive tree, small segments.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use picket_ledger::checkpoint::Checkpoint;
use picket_ledger::entry::{
    Body, Config, Decision, Drift, Drop, Enrolment, Entry, Erase, FailureCause, Finding, GuardEvent, GuardEventKind,
    GuardLoad, GuardResult, Head, Heartbeat, Incident, IncidentKind, KeyRotation, Link, Mode, Outcome, Record,
    RecordKind, Recovery, Revocation, Source, Start, TimeAnchor, Verdict,
};
use picket_ledger::hash::{Hash, empty_root, leaf_hash, node_hash, sha256};
use picket_ledger::note::SigningKey;
use picket_ledger::segment::Segment;
use picket_ledger::tree::{CompactRange, NodeSource};

pub(crate) fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(name, &sha256(name.as_bytes())).unwrap()
}

/// The key that takes the place of [`key`].
pub(crate) fn next_key(name: &str) -> SigningKey {
    SigningKey::from_seed(name, &sha256(format!("{name} 1").as_bytes())).unwrap()
}

/// An entry at an index, with a body.
pub(crate) fn entry(index: u64, body: Body) -> Entry {
    Entry { incarnation: 1, index, wall_ms: 1_795_426_654_000, monotonic_ns: 123_456_789, boot: [7; 16], body }
}

pub(crate) fn verdict() -> Verdict {
    Verdict {
        invocation: 41,
        inference_id: "inf-0041".into(),
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".into()),
        inference_time_ms: Some(1_795_426_653_990),
        model: "credit-7b".into(),
        model_version: Some("2026-11-01".into()),
        prompt_version: None,
        weights: Some([1; 32]),
        prompts: Some([2; 32]),
        features: None,
        policy: [3; 32],
        decision: Decision::Redact,
        guards: vec![
            GuardResult {
                name: "pii".into(),
                component: [4; 32],
                settings: [5; 32],
                mode: Mode::Enforce,
                warm: false,
                outcome: Outcome::Verdict {
                    decision: Decision::Redact,
                    digest: [6; 32],
                    findings: vec![
                        Finding {
                            rule: "email".into(),
                            severity: 3,
                            message: "an e-mail address\nin the answer".into(),
                            part: Some(2),
                            path: String::new(),
                            span: Some((12, 31)),
                            score: Some(1_000_000),
                        },
                        Finding {
                            rule: "name".into(),
                            severity: 0,
                            message: String::new(),
                            part: None,
                            path: "/customer/0".into(),
                            span: None,
                            score: Some(-1),
                        },
                    ],
                    omitted: 0,
                },
            },
            GuardResult {
                name: "structure".into(),
                component: [8; 32],
                settings: [9; 32],
                mode: Mode::Shadow,
                warm: true,
                outcome: Outcome::Failure {
                    cause: FailureCause::Deadline,
                    message: "stopped after 20 ms".into(),
                    action: Decision::Allow,
                },
            },
        ],
        payload: [10; 32],
        released: Some([11; 32]),
    }
}

pub(crate) fn record(kind: RecordKind) -> Record {
    Record {
        kind,
        name: "credit-7b".into(),
        version: "3".into(),
        digest: [12; 32],
        source: Source::Recorded,
        links: vec![Link { relation: "trained-on".into(), digest: [13; 32] }],
        document: "{\n\t\"rows\": 50000\r\n}".into(),
    }
}

/// One body of every kind that can be written.
pub(crate) fn bodies() -> Vec<Body> {
    let mut bodies = vec![
        Body::Verdict(verdict()),
        Body::Drift(Drift {
            detector: "drift".into(),
            component: [1; 32],
            settings: [2; 32],
            reference: None,
            model: "credit-7b".into(),
            stream: "feature.age".into(),
            rule: "psi".into(),
            opened: true,
            severity: 2,
            message: "the distribution has shifted".into(),
            row: 4096,
            since_row: Some(4000),
            statistic: 312_000,
            threshold: -250_000,
            reference_bars: vec![("< 20".into(), 10), (String::new(), 0)],
            current_bars: vec![("< 20".into(), 1), (String::new(), u64::MAX)],
            state: [3; 32],
        }),
        Body::GuardLoad(GuardLoad {
            name: "pii".into(),
            component: [1; 32],
            settings: [2; 32],
            world: "picket:guard/validator@0.1.0".into(),
            guard_version: "0.1.0".into(),
            bytes: 16_384,
            start: Start::Snapshot,
            signers: vec!["sec-team+0a1b2c3d".into()],
            statement: Some([4; 32]),
            admitted: "any of sec-team, vendor".into(),
        }),
        Body::Config(Config { digest: [1; 32], document: "{}".into() }),
        Body::Heartbeat(Heartbeat { next_invocation: 42 }),
        Body::Drop(Drop { count: 3, reason: "the disk is full".into() }),
        Body::Recovery(Recovery {
            previous_size: 17,
            previous_root: [1; 32],
            first_invocation: 12,
            clean: false,
            found: vec!["snap.1 removed".into()],
            heads: vec![Head { origin: "box-17~2".into(), size: 4, root: [2; 32] }],
        }),
        Body::KeyRotation(KeyRotation::new(1, 17, &key("box-17").verifier(), &next_key("box-17"))),
        Body::Erase(Erase { from: 3, to: 9, count: 6, reason: "asked for".into() }),
        Body::TimeAnchor(TimeAnchor::Receipt {
            cosigner: "auditor-1".into(),
            time: 1_795_426_655,
            size: 17,
            signature: [3; 32],
        }),
        Body::TimeAnchor(TimeAnchor::ClockStep { step_ms: -3_600_000 }),
        Body::GuardEvent(GuardEvent {
            guard: Some("pii".into()),
            event: GuardEventKind::BreakerOpened,
            component: Some([1; 32]),
            settings: None,
            action: Some(Decision::Block),
            message: "5 failures in a row".into(),
        }),
        Body::GuardEvent(GuardEvent {
            guard: None,
            event: GuardEventKind::Refused,
            component: None,
            settings: None,
            action: None,
            message: "picket.toml:3: unknown key".into(),
        }),
        Body::Revocation(Revocation { digest: [5; 32], document: "{}".into() }),
        Body::Incident(Incident {
            origin: "box-17".into(),
            kind: IncidentKind::Fork,
            size: 99,
            root: [1; 32],
            message: "two histories".into(),
            evidence: [2; 32],
        }),
        Body::Enrolment(Enrolment { origin: "box-17".into(), key: key("box-17").verifier().to_string() }),
    ];
    bodies.extend(RecordKind::ALL.map(|kind| Body::Record(record(kind))));
    bodies
}

/// A tree that keeps its leaves and computes everything from the definitions in RFC 9162 section 2.1.
pub(crate) struct NaiveTree {
    pub(crate) leaves: Vec<Hash>,
}

impl NaiveTree {
    pub(crate) fn new(leaves: u64) -> Self {
        Self { leaves: (0..leaves).map(|leaf| leaf_hash(&leaf.to_be_bytes())).collect() }
    }

    pub(crate) fn root(&self, start: u64, end: u64) -> Hash {
        let (low, high) = (usize::try_from(start).unwrap(), usize::try_from(end).unwrap());
        Self::merkle_tree_hash(&self.leaves[low..high])
    }

    /// `MTH(D_n)`, RFC 9162 section 2.1.1.
    fn merkle_tree_hash(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(largest_power_below(leaves.len()));
                node_hash(&Self::merkle_tree_hash(left), &Self::merkle_tree_hash(right))
            }
        }
    }

    /// `PATH(m, D_n)`, RFC 9162 section 2.1.3.1.
    pub(crate) fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(largest_power_below(leaves.len()));
        if index < left.len() {
            let mut path = Self::path(index, left);
            path.push(Self::merkle_tree_hash(right));
            path
        } else {
            let mut path = Self::path(index - left.len(), right);
            path.push(Self::merkle_tree_hash(left));
            path
        }
    }

    /// `SUBPROOF(m, D_n, b)`, RFC 9162 section 2.1.4.1.
    pub(crate) fn subproof(size: usize, leaves: &[Hash], known: bool) -> Vec<Hash> {
        if size == leaves.len() {
            return if known { Vec::new() } else { vec![Self::merkle_tree_hash(leaves)] };
        }
        let (left, right) = leaves.split_at(largest_power_below(leaves.len()));
        if size <= left.len() {
            let mut proof = Self::subproof(size, left, known);
            proof.push(Self::merkle_tree_hash(right));
            proof
        } else {
            let mut proof = Self::subproof(size - left.len(), right, false);
            proof.push(Self::merkle_tree_hash(left));
            proof
        }
    }
}

fn largest_power_below(count: usize) -> usize {
    let mut power = 1;
    while power * 2 < count {
        power *= 2;
    }
    power
}

/// Serves complete subtrees only, and says so when it is asked for another.
impl NodeSource for NaiveTree {
    type Error = String;

    fn node(&self, level: u8, index: u64) -> Result<Hash, String> {
        let (start, end) = (index << level, (index + 1) << level);
        if end > self.leaves.len() as u64 {
            return Err(format!("node ({level}, {index}) is not complete"));
        }
        Ok(self.root(start, end))
    }
}

/// A segment of heartbeats after `first` others, signed by `key`.
pub(crate) fn segment(key: &SigningKey, first: u64, count: u64) -> Segment {
    let encoded = |index| entry(index, Body::Heartbeat(Heartbeat { next_invocation: index })).encode().unwrap();
    let mut range = CompactRange::new();
    for index in 0..first {
        range.push(leaf_hash(&encoded(index)));
    }
    let frontier = range.peaks().to_vec();
    let entries: Vec<Vec<u8>> = (first..first + count).map(encoded).collect();
    for entry in &entries {
        range.push(leaf_hash(entry));
    }
    let checkpoint = Checkpoint::new(key.name(), range.size(), range.root()).sign(key);
    Segment { origin: key.name().into(), first, frontier, entries, checkpoint }
}
