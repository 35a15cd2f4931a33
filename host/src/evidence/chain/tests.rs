#![expect(clippy::unwrap_used, reason = "tests")]

use picket_ledger::entry::{Decision, GuardResult, Link, Mode, Outcome, Start};
use picket_ledger::{Checkpoint, Entry, KeyChain, SigningKey};
use picket_store::{Commit, Log, Options};

use super::super::export;
use super::super::find::{Query, find};
use super::super::prove::{bundle, newest_checkpoint};
use super::super::verify::verify_file;
use super::*;

const WEIGHTS: Hash = [1; 32];
const PROMPTS: Hash = [2; 32];
const FEATURES: Hash = [3; 32];
const SLICE: Hash = [4; 32];
const TEST_SLICE: Hash = [5; 32];
const POLICY: Hash = [6; 32];
const OTHER: Hash = [7; 32];
const EVALUATION: Hash = [8; 32];

fn record(kind: RecordKind, name: &str, digest: Hash, links: &[(&str, Hash)]) -> Body {
    let links = links.iter().map(|(relation, digest)| Link { relation: (*relation).to_owned(), digest: *digest });
    Body::Record(Record {
        kind,
        name: name.to_owned(),
        version: "1".to_owned(),
        digest,
        source: Source::Recorded,
        links: links.collect(),
        document: format!("{{\"name\":\"{name}\"}}"),
    })
}

fn drift(stream: &str, model: &str, opened: bool) -> Body {
    Body::Drift(Drift {
        detector: "d".to_owned(),
        component: OTHER,
        settings: OTHER,
        reference: None,
        model: model.to_owned(),
        stream: stream.to_owned(),
        rule: "psi".to_owned(),
        opened,
        severity: 3,
        message: "moved".to_owned(),
        row: 1,
        since_row: None,
        statistic: 1,
        threshold: 1,
        reference_bars: Vec::new(),
        current_bars: Vec::new(),
        state: OTHER,
    })
}

fn verdict(id: &str, invocation: u64) -> Body {
    let outcome = Outcome::Verdict { decision: Decision::Block, digest: OTHER, findings: Vec::new(), omitted: 0 };
    Body::Verdict(Verdict {
        invocation,
        inference_id: id.to_owned(),
        trace_id: None,
        inference_time_ms: None,
        model: "m".to_owned(),
        model_version: None,
        prompt_version: None,
        weights: Some(WEIGHTS),
        prompts: Some(PROMPTS),
        features: Some(FEATURES),
        policy: POLICY,
        decision: Decision::Block,
        guards: vec![GuardResult {
            name: "pii".to_owned(),
            component: [10; 32],
            settings: [11; 32],
            mode: Mode::Enforce,
            warm: false,
            outcome,
        }],
        payload: OTHER,
        released: None,
    })
}

fn load(settings: Hash) -> Body {
    Body::GuardLoad(GuardLoad {
        name: "pii".to_owned(),
        component: [10; 32],
        settings,
        world: "validator".to_owned(),
        guard_version: "0.1.0".to_owned(),
        bytes: 5,
        start: Start::Snapshot,
        signers: Vec::new(),
        statement: None,
        admitted: "unsigned allowed".to_owned(),
    })
}

fn config(digest: Hash) -> Body {
    Body::Config(picket_ledger::entry::Config { digest, document: "x".to_owned() })
}

fn keys() -> KeyChain {
    KeyChain::new(signing().verifier())
}

fn signing() -> SigningKey {
    SigningKey::from_seed("box-1", &[1; 32]).unwrap()
}

fn ledger(bodies: Vec<Body>) -> (Evidence, Log, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(&folder.path().join("ledger"), &Options::default()).unwrap();
    let entries = (0..)
        .zip(bodies)
        .map(|(index, body)| Entry {
            incarnation: 1,
            index,
            wall_ms: 1000 + index,
            monotonic_ns: index,
            boot: [0; 16],
            body,
        })
        .map(|entry| entry.encode().unwrap())
        .collect();
    let signing = signing();
    let sign = |size: u64, root: &Hash| Checkpoint::new("box-1", size, *root).sign(&signing);
    log.commit(Commit { entries, checkpoint: Some(&sign), ..Commit::default() }).unwrap();
    (Evidence::from_reader(log.reader()), log, folder)
}

/// Index of the traced verdict in [`example`].
const AT: u64 = 16;

fn example() -> Vec<Body> {
    use RecordKind::{Approval, DatasetSlice, Evaluation, FeatureDefinition, ModelVersion, PromptLibrary};
    vec![
        config(OTHER),
        config(POLICY),
        load([99; 32]),
        load([11; 32]),
        record(DatasetSlice, "train", SLICE, &[]),
        record(ModelVersion, "m", WEIGHTS, &[("trained-on", SLICE)]),
        record(ModelVersion, "other", OTHER, &[("trained-on", [77; 32])]),
        record(PromptLibrary, "prompts", PROMPTS, &[("weights", WEIGHTS)]),
        record(PromptLibrary, "older prompts", [78; 32], &[("weights", WEIGHTS)]),
        record(FeatureDefinition, "features", FEATURES, &[]),
        record(Evaluation, "e", EVALUATION, &[("model", WEIGHTS), ("slice", TEST_SLICE)]),
        record(Evaluation, "not ours", [79; 32], &[("model", OTHER), ("slice", SLICE)]),
        drift("age", "m", true),
        drift("income", "m", true),
        drift("age", "m", false),
        drift("age", "someone else", true),
        verdict("loan-1", 0),
        record(DatasetSlice, "test", TEST_SLICE, &[]),
        record(Approval, "of the evaluation", [80; 32], &[("subject", EVALUATION)]),
        record(Approval, "of the policy", [81; 32], &[("subject", POLICY)]),
        record(Approval, "of something else", [82; 32], &[("subject", OTHER)]),
        drift("late", "m", true),
        load([11; 32]),
        config(POLICY),
    ]
}

fn traced(evidence: &Evidence, at: u64) -> Chain {
    let found = find(evidence, &Query::Index(at)).unwrap().unwrap();
    let Body::Verdict(verdict) = found.entry.body else { panic!("no verdict") };
    trace(evidence, at, &verdict).unwrap()
}

#[test]
fn the_chain_holds_what_is_linked_and_nothing_else() {
    let (evidence, _log, _folder) = ledger(example());
    let chain = traced(&evidence, AT);
    let found: Vec<(&str, &str, bool)> =
        chain.records.iter().map(|record| (record.name.as_str(), record.why.as_str(), record.before)).collect();
    assert_eq!(
        found,
        [
            ("train", "training data", true),
            ("m", "weights", true),
            ("prompts", "prompts", true),
            ("older prompts", "prompts for these weights", true),
            ("features", "features", true),
            ("e", "evaluation of the weights", true),
            ("test", "evaluation data", false),
            ("of the evaluation", "approval", false),
            ("of the policy", "approval", false),
        ]
    );
    assert_eq!(chain.records[0].document["name"], "train");
    assert!(chain.unexplained.is_empty());
}

#[test]
fn guards_policy_and_alarms_are_those_at_the_time() {
    let (evidence, _log, _folder) = ledger(example());
    let chain = traced(&evidence, AT);
    assert_eq!(chain.config.unwrap().index, 1);
    assert_eq!((chain.guards[0].load, chain.guards[0].version.as_deref()), (Some(3), Some("0.1.0")));
    let open: Vec<&str> = chain.drift.iter().map(|alarm| alarm.stream.as_str()).collect();
    assert_eq!(open, ["income"]);
}

#[test]
fn digests_without_records_are_named() {
    let (evidence, _log, _folder) = ledger(vec![verdict("a", 0)]);
    let chain = traced(&evidence, 0);
    let missing: Vec<&str> = chain.unexplained.iter().map(|one| one.what).collect();
    assert_eq!(missing, ["weights", "prompts", "features"]);
    assert!(chain.config.is_none() && chain.guards[0].load.is_none() && chain.records.is_empty());
}

#[test]
fn an_id_used_again_means_the_newest_and_names_the_older() {
    let (evidence, _log, _folder) =
        ledger(vec![verdict("a", 0), verdict("b", 1), verdict("a", 2), config(POLICY), verdict("a", 3)]);
    let found = find(&evidence, &Query::parse("a")).unwrap().unwrap();
    assert_eq!((found.index, found.others), (4, vec![0, 2]));
    assert_eq!(find(&evidence, &Query::parse("#1")).unwrap().unwrap().index, 1);
    assert_eq!(find(&evidence, &Query::parse("3")).unwrap().unwrap().index, 3);
    assert!(find(&evidence, &Query::parse("5")).unwrap().is_none());
    assert!(find(&evidence, &Query::parse("nobody")).unwrap().is_none());
    assert!(find(&evidence, &Query::parse("#9")).unwrap().is_none());
}

#[test]
fn every_single_bit_flip_of_a_segment_is_found() {
    let (evidence, _log, _folder) = ledger(vec![config(OTHER), load(OTHER), verdict("a", 0)]);
    let key = keys();
    let bytes = export(&evidence, &keys(), 1, None).unwrap().encode().unwrap();
    let verified = verify_file(&bytes, &key, None).unwrap();
    assert_eq!((verified.what, verified.first, verified.entries, verified.size), ("segment", 1, 2, 3));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(verify_file(&flipped, &key, None).is_err(), "bit {bit}");
    }
    for end in 0..bytes.len() {
        assert!(verify_file(&bytes[..end], &key, None).is_err(), "cut at {end}");
    }
}

#[test]
fn every_single_bit_flip_of_a_bundle_is_found() {
    let (evidence, _log, _folder) = ledger(vec![config(OTHER), load(OTHER), config(POLICY)]);
    let key = keys();
    let entry = evidence.entry(1).unwrap().unwrap();
    let text = bundle(&evidence, &keys(), 1, entry).unwrap().encode();
    assert_eq!(verify_file(text.as_bytes(), &key, None).unwrap().first, 1);
    for bit in 0..text.len() * 8 {
        let mut flipped = text.clone().into_bytes();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(verify_file(&flipped, &key, None).is_err(), "bit {bit} of {:?}", &text[bit / 8..=bit / 8]);
    }
}

#[test]
fn evidence_of_another_box_or_without_the_auditor_is_refused() {
    let (evidence, _log, _folder) = ledger(vec![config(OTHER)]);
    let entry = evidence.entry(0).unwrap().unwrap();
    let text = bundle(&evidence, &keys(), 0, entry).unwrap().encode();
    let other = KeyChain::new(SigningKey::from_seed("box-1", &[2; 32]).unwrap().verifier());
    assert!(verify_file(text.as_bytes(), &other, None).is_err());
    let auditor = SigningKey::from_seed("auditor-1", &[3; 32]).unwrap();
    let cosigner = picket_ledger::receipt::CosignerKey::of(&auditor);
    assert!(verify_file(text.as_bytes(), &keys(), Some(&cosigner)).is_err());
    let mut made = bundle(&evidence, &keys(), 0, evidence.entry(0).unwrap().unwrap()).unwrap();
    let note = newest_checkpoint(&evidence, &keys(), 0).unwrap();
    made.checkpoint = picket_ledger::receipt::cosign(&note, &auditor, 1_800_000_000).unwrap();
    let verified = verify_file(made.encode().as_bytes(), &keys(), Some(&cosigner)).unwrap();
    assert_eq!(verified.received, Some(1_800_000_000));
}

#[test]
fn export_ends_at_checkpoints_and_names_what_is_not_covered() {
    let (evidence, mut log, _folder) = ledger(vec![config(OTHER), load(OTHER)]);
    let entry = Entry { incarnation: 1, index: 2, wall_ms: 1, monotonic_ns: 1, boot: [0; 16], body: config(POLICY) };
    log.commit(Commit { entries: vec![entry.encode().unwrap()], ..Commit::default() }).unwrap();
    assert_eq!(export(&evidence, &keys(), 0, Some(1)).unwrap().entries.len(), 2);
    assert_eq!(export(&evidence, &keys(), 1, None).unwrap().entries.len(), 1);
    let error = export(&evidence, &keys(), 2, None).unwrap_err();
    assert!(matches!(error, EvidenceError::NotCovered { index: 2, size: 2 }), "{error:?}");
    assert!(matches!(export(&evidence, &keys(), 0, Some(3)), Err(EvidenceError::NotCovered { .. })));
    let bytes = evidence.entry(2).unwrap().unwrap();
    assert!(matches!(bundle(&evidence, &keys(), 2, bytes), Err(EvidenceError::NotCovered { index: 2, size: 2 })));
}
