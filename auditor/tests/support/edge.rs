//! A box, played with the code of `picket-ledger`.

use std::ops::Range;

use picket_ledger::entry::{
    Body, Config, Decision, Entry, GuardLoad, GuardResult, Heartbeat, Link, Mode, Outcome, Record, RecordKind, Source,
    Start, Verdict,
};
use picket_ledger::hash::{leaf_hash, node_hash, sha256};
use picket_ledger::mirror::{AddCheckpoint, Header, Package, package_end};
use picket_ledger::tree::{CompactRange, NodeSource, consistency_proof};
use picket_ledger::{Checkpoint, Hash, Segment, SigningKey};

/// 2026-11-23T09:00:00Z.
pub const START_MS: u64 = 1_795_424_400_000;

/// A box with its key and its log.
#[derive(Clone)]
pub struct Edge {
    pub origin: String,
    pub key: SigningKey,
    pub entries: Vec<Vec<u8>>,
    /// The wall clock of the box; one second later with each entry.
    pub wall_ms: u64,
    next_invocation: u64,
}

impl Edge {
    pub fn new(origin: &str) -> Self {
        let key = SigningKey::from_seed(origin, &sha256(origin.as_bytes())).unwrap();
        Self { origin: origin.to_owned(), key, entries: Vec::new(), wall_ms: START_MS, next_invocation: 1 }
    }

    /// A box with so many verdicts, of inferences `req-1` and on.
    pub fn with(origin: &str, verdicts: u64) -> Self {
        let mut edge = Self::new(origin);
        for _ in 0..verdicts {
            edge.decide(Decision::Allow);
        }
        edge
    }

    pub fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    pub fn push(&mut self, body: Body) -> u64 {
        let index = self.size();
        let entry = Entry { incarnation: 1, index, wall_ms: self.wall_ms, monotonic_ns: index, boot: [1; 16], body };
        self.entries.push(entry.encode().unwrap());
        self.wall_ms += 1000;
        index
    }

    /// Numbers an inference that is never recorded.
    pub fn lose(&mut self) {
        self.next_invocation += 1;
    }

    pub fn decide(&mut self, decision: Decision) -> u64 {
        let verdict = self.verdict(decision);
        self.push(Body::Verdict(verdict))
    }

    pub fn heartbeat(&mut self) -> u64 {
        self.push(Body::Heartbeat(Heartbeat { next_invocation: self.next_invocation }))
    }

    pub fn verdict(&mut self, decision: Decision) -> Verdict {
        let invocation = self.next_invocation;
        self.next_invocation += 1;
        Verdict {
            invocation,
            inference_id: format!("req-{invocation}"),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
            inference_time_ms: Some(self.wall_ms),
            model: "credit-7b".to_owned(),
            model_version: Some("2026-11".to_owned()),
            prompt_version: None,
            weights: Some(digest("weights")),
            prompts: Some(digest("prompts")),
            features: None,
            policy: digest("policy"),
            decision,
            guards: vec![GuardResult {
                name: "pii".to_owned(),
                component: digest("pii.wasm"),
                settings: digest("settings"),
                mode: Mode::Enforce,
                warm: false,
                outcome: Outcome::Verdict { decision, digest: digest("verdict"), findings: Vec::new(), omitted: 0 },
            }],
            payload: digest("payload"),
            released: (decision != Decision::Block).then(|| digest("released")),
        }
    }

    pub fn record(&mut self, kind: RecordKind, name: &str, thing: &str, links: &[(&str, &str)]) -> u64 {
        let links = links
            .iter()
            .map(|(relation, thing)| Link { relation: (*relation).to_owned(), digest: digest(thing) })
            .collect();
        self.push(Body::Record(Record {
            kind,
            name: name.to_owned(),
            version: "1".to_owned(),
            digest: digest(thing),
            source: Source::Recorded,
            links,
            document: format!("{{\"of\":\"{thing}\"}}"),
        }))
    }

    pub fn load_guard(&mut self) -> u64 {
        self.push(Body::GuardLoad(GuardLoad {
            name: "pii".to_owned(),
            component: digest("pii.wasm"),
            settings: digest("settings"),
            world: "picket:guard/validator@0.1.0".to_owned(),
            guard_version: "0.1.0".to_owned(),
            bytes: 16_384,
            start: Start::Snapshot,
            signers: Vec::new(),
            statement: None,
            admitted: "unsigned allowed".to_owned(),
        }))
    }

    pub fn configure(&mut self) -> u64 {
        self.push(Body::Config(Config { digest: digest("policy"), document: "{\"guards\":[\"pii\"]}".to_owned() }))
    }

    pub fn tree_at(&self, size: u64) -> CompactRange {
        let mut tree = CompactRange::new();
        for entry in &self.entries[..usize::try_from(size).unwrap()] {
            tree.push(leaf_hash(entry));
        }
        tree
    }

    pub fn root_at(&self, size: u64) -> Hash {
        self.tree_at(size).root()
    }

    /// The signed note for a size.
    pub fn checkpoint(&self, size: u64) -> String {
        Checkpoint::new(&self.origin, size, self.root_at(size)).sign(&self.key)
    }

    pub fn parts(&self, range: Range<u64>) -> Segment {
        Segment {
            origin: self.origin.clone(),
            first: range.start,
            frontier: self.tree_at(range.start).peaks().to_vec(),
            entries: self.entries[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()].to_vec(),
            checkpoint: self.checkpoint(range.end),
        }
    }

    /// The body of an `add-checkpoint` from `old` to `size`.
    pub fn add(&self, old: u64, size: u64) -> Vec<u8> {
        let proof = if old == 0 || old >= size { Vec::new() } else { consistency_proof(self, old, size).unwrap() };
        AddCheckpoint { old, proof, note: self.checkpoint(size) }.encode()
    }

    /// The packages of an upload.
    pub fn packages(&self, start: u64, end: u64) -> Vec<Package> {
        let mut packages = Vec::new();
        let mut next = start;
        while next < end {
            let to = package_end(next, end);
            let entries = self.entries[usize::try_from(next).unwrap()..usize::try_from(to).unwrap()].to_vec();
            packages.push(Package::prove(self, next, entries, end).unwrap());
            next = to;
        }
        packages
    }

    /// The header of an upload.
    pub fn header(&self, start: u64, end: u64) -> Vec<u8> {
        let mut body = Vec::new();
        Header { origin: self.origin.clone(), start, end, ticket: Vec::new() }.encode(&mut body).unwrap();
        body
    }

    /// The body of an `add-entries` to the checkpoint of size `end`.
    pub fn upload(&self, start: u64, end: u64) -> Vec<u8> {
        let mut body = self.header(start, end);
        self.packages(start, end).iter().for_each(|package| package.encode(&mut body).unwrap());
        body
    }

    /// The bytes of the segment with these entries.
    pub fn segment(&self, range: Range<u64>) -> Vec<u8> {
        self.parts(range).encode().unwrap()
    }
}

impl NodeSource for Edge {
    type Error = std::convert::Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        if level == 0 {
            return Ok(leaf_hash(&self.entries[usize::try_from(index).unwrap()]));
        }
        Ok(node_hash(&self.node(level - 1, index * 2)?, &self.node(level - 1, index * 2 + 1)?))
    }
}

/// The digest of a thing that is named instead of made.
pub fn digest(thing: &str) -> Hash {
    sha256(thing.as_bytes())
}
