//! Random commits and reopenings against a plain model.

use std::collections::{BTreeMap, BTreeSet};

use picket_ledger::Segment;
use picket_ledger::hash::{Hash, leaf_hash};
use picket_ledger::proof;
use picket_ledger::tree::CompactRange;
use proptest::prelude::*;

use super::{Machine, assert_clean, entry, key, signer};
use crate::log::{Commit, Log, Payload};

#[derive(Clone, Debug)]
enum Step {
    Commit { sizes: Vec<usize>, payloads: Vec<(u64, usize)>, name: Option<(u8, Option<usize>)>, checkpoint: bool },
    Boundary,
    Prune(u8),
    Erase(u64),
    Reopen,
    Kill,
    PowerLoss(u64),
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![8 => 0..400usize, 1 => prop_oneof![20 => 400..900usize, 1 => 10_000..65_000usize]];
    let payload = (0..6u64, prop_oneof![3 => 0..2000usize, 1 => 60_000..120_000usize]);
    let name = (0..3u8, prop::option::of(0..5000usize));
    prop_oneof![
        8 => (prop::collection::vec(size, 0..150), prop::collection::vec(payload, 0..2), prop::option::of(name), any::<bool>())
            .prop_map(|(sizes, payloads, name, checkpoint)| Step::Commit { sizes, payloads, name, checkpoint }),
        2 => Just(Step::Boundary),
        1 => any::<u8>().prop_map(Step::Prune),
        1 => (0..6u64).prop_map(Step::Erase),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(Step::PowerLoss),
        1 => Just(Step::Flush),
    ]
}

#[derive(Default)]
struct Model {
    entries: Vec<Vec<u8>>,
    payloads: BTreeMap<u64, Vec<u8>>,
    named: BTreeMap<String, Option<Vec<u8>>>,
    checkpoints: BTreeMap<u64, String>,
    boundaries: BTreeSet<u64>,
    pruned_to: u64,
    flushed: bool,
}

impl Model {
    fn root(&self) -> Hash {
        self.root_at(u64::try_from(self.entries.len()).unwrap())
    }

    fn root_at(&self, size: u64) -> Hash {
        let mut tree = CompactRange::new();
        self.entries.iter().take(usize::try_from(size).unwrap()).for_each(|entry| tree.push(leaf_hash(entry)));
        tree.root()
    }

    /// The sealed segments hold, go on from each other, span no boundary, and have the entries.
    fn check_segments(&self, log: &Log) {
        let reader = log.reader();
        let mut next = None;
        for sealed in reader.sealed_segments(0..u64::MAX) {
            assert!(sealed.first == next.unwrap_or(sealed.first.min(self.pruned_to)));
            let bytes = reader.sealed_bytes(sealed.end - 1).unwrap().unwrap();
            assert_eq!(u64::try_from(bytes.len()).unwrap(), sealed.bytes);
            let segment = Segment::decode(&bytes).unwrap();
            segment.verify(&key().verifier()).unwrap();
            let entries = usize::try_from(sealed.first).unwrap()..usize::try_from(sealed.end).unwrap();
            assert_eq!(segment.entries, self.entries[entries]);
            assert_eq!(self.boundaries.range(sealed.first + 1..sealed.end).next(), None);
            assert!(sealed.end.is_multiple_of(256) || self.boundaries.contains(&sealed.end));
            next = Some(sealed.end);
        }
        // As far as a flushed log can be.
        let last = self.checkpoints.keys().rev().find(|size| size.is_multiple_of(256));
        assert!(!self.flushed || reader.sealed_to() >= *last.unwrap_or(&0), "{} of {last:?}", reader.sealed_to());
    }

    fn check(&self, log: &Log) {
        let reader = log.reader();
        let size = u64::try_from(self.entries.len()).unwrap();
        assert_eq!(reader.size(), size);
        assert_eq!(reader.root(), self.root());
        let from = reader.pruned_to();
        assert_eq!(from, self.pruned_to);
        assert_eq!(reader.read(from..size).unwrap(), self.entries[usize::try_from(from).unwrap()..]);
        self.check_segments(log);
        for (invocation, payload) in &self.payloads {
            assert_eq!(reader.payload(*invocation).unwrap().as_ref(), Some(payload));
        }
        for (name, value) in &self.named {
            assert_eq!(reader.named(name).unwrap(), *value);
        }
        let found = reader.checkpoints(0..u64::MAX, usize::MAX).unwrap();
        let found: BTreeMap<u64, String> = found.into_iter().map(|one| (one.size, one.text)).collect();
        // Those that no sealed segment ends with are dropped when it is written.
        for (size, text) in &found {
            assert_eq!(self.checkpoints.get(size), Some(text));
        }
        for (size, text) in self.checkpoints.range(reader.sealed_to() + 1..) {
            assert_eq!(found.get(size), Some(text), "the checkpoint of size {size}");
        }
        assert_eq!(
            reader.boundaries(0..u64::MAX, usize::MAX).unwrap(),
            self.boundaries.iter().copied().collect::<Vec<_>>()
        );
        let latest = reader.latest_checkpoint().unwrap().map(|one| one.size);
        assert_eq!(latest, self.checkpoints.keys().last().copied());
        for index in (from..size).step_by(97) {
            let proof = reader.inclusion_proof(index, size).unwrap();
            let leaf = leaf_hash(&self.entries[usize::try_from(index).unwrap()]);
            proof::verify_inclusion(index, size, &leaf, &proof, &reader.root()).unwrap();
            if index == 0 || index == from {
                continue;
            }
            let old = reader.tree_at(index).unwrap();
            let proof = reader.consistency_proof(index, size).unwrap();
            proof::verify_consistency(index, size, &proof, &old.root(), &reader.root()).unwrap();
        }
        assert_clean(log);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_what_was_committed(steps in prop::collection::vec(step(), 1..30)) {
        let mut machine = Machine::new();
        let mut log = machine.open().unwrap();
        let mut model = Model::default();
        let key = key();
        let sign = signer(&key);
        for step in steps {
            match step {
                Step::Commit { sizes, payloads, name, checkpoint } => {
                    let first = log.size();
                    let entries: Vec<_> = (first..).zip(&sizes).map(|(index, size)| entry(index, *size)).collect();
                    let payloads: Vec<_> = payloads.into_iter()
                        .map(|(invocation, size)| Payload { invocation, bytes: vec![u8::try_from(size % 251).unwrap(); size] })
                        .collect();
                    let named: Vec<_> = name.into_iter()
                        .map(|(name, size)| (format!("name-{name}"), size.map(|size| vec![5; size])))
                        .collect();
                    model.entries.extend(entries.iter().cloned());
                    model.payloads.extend(payloads.iter().map(|payload| (payload.invocation, payload.bytes.clone())));
                    model.named.extend(named.iter().cloned());
                    let checkpoint = checkpoint.then_some(&sign as &dyn Fn(u64, &Hash) -> String);
                    let done = log.commit(Commit { entries, payloads, named, checkpoint, ..Commit::default() }).unwrap();
                    prop_assert_eq!(done.first, first);
                    prop_assert_eq!(done.root, model.root());
                    let passed = done.size.saturating_sub(1) / 256 * 256;
                    if checkpoint.is_some() && passed > first {
                        model.checkpoints.insert(passed, sign(passed, &model.root_at(passed)));
                    }
                    if let Some(text) = done.checkpoint {
                        model.checkpoints.insert(done.size, text);
                    }
                }
                Step::Boundary => {
                    let entries = vec![entry(log.size(), 100)];
                    model.entries.extend(entries.iter().cloned());
                    let done = log.commit(Commit { entries, checkpoint: Some(&sign), boundary: true, ..Commit::default() }).unwrap();
                    model.checkpoints.insert(done.size, done.checkpoint.unwrap());
                    model.boundaries.insert(done.size);
                }
                Step::Prune(part) => {
                    let done = log.prune(log.size() * u64::from(part) / 512).unwrap();
                    model.pruned_to = done.pruned_to;
                }
                Step::Erase(invocation) => {
                    let erased = log.erase_payloads(&[invocation]).unwrap();
                    prop_assert_eq!(erased == 1, model.payloads.remove(&invocation).is_some());
                }
                Step::Reopen => {
                    drop(log);
                    log = machine.open().unwrap();
                }
                Step::Kill => {
                    let copy = machine.copy();
                    drop(log);
                    machine = copy;
                    log = machine.open().unwrap();
                }
                Step::PowerLoss(mut random) => {
                    let copy = machine.copy();
                    drop(log);
                    machine = copy;
                    machine.lose_power(|| {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        random >> 63 == 1
                    });
                    log = machine.open().unwrap();
                }
                Step::Flush => log.flush().unwrap(),
            }
        }
        model.check(&log);
        // What went past the journal is sealed with the next step, and a step seals some files.
        for round in 0..10 {
            let named = vec![("step".to_owned(), Some(vec![round]))];
            log.commit(Commit { named, ..Commit::default() }).unwrap();
            log.flush().unwrap();
        }
        model.flushed = true;
        model.check(&log);
        drop(log);
        model.check(&machine.open().unwrap());
    }
}
