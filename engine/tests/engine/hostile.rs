//! The engine against guards as a compiler makes them, which attack it in the ways of `plugins/hostile`.

use std::path::PathBuf;
use std::time::Duration;

use picket_engine::{
    Batch, Cause, Column, ColumnValues, Content, Decision, Detector, Failure, Inference, Limits, LoadError, Start,
    Validator, Verdict,
};

use crate::{engine, patient};

fn component(name: &str) -> Vec<u8> {
    let folder = std::env::var_os("PICKET_GUARDS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/guards"), PathBuf::from);
    let path = folder.join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guards`", path.display()))
}

fn load(attack: &str, limits: Limits) -> Result<Validator, LoadError> {
    engine().load_validator("hostile", &component("hostile"), &format!(r#"{{"attack":"{attack}"}}"#), limits)
}

/// Text whose first character has two bytes, for attacks that cut it.
fn inference() -> Inference {
    Inference {
        input: Some(Content::Text("question".into())),
        output: Some(Content::Text("é answer".into())),
        ..Inference::default()
    }
}

fn check(attack: &str) -> Result<Verdict, Failure> {
    check_with(attack, patient())
}

fn check_with(attack: &str, limits: Limits) -> Result<Verdict, Failure> {
    load(attack, limits).unwrap_or_else(|error| panic!("{attack}: {error}")).check(&inference())
}

fn hasty() -> Limits {
    Limits { deadline: Duration::from_millis(50), load_deadline: Duration::from_millis(500), ..Limits::default() }
}

#[test]
fn honest_answers_come_through() {
    assert_eq!(check("none").unwrap().decision, Decision::Allow);
    assert_eq!(check("block").unwrap().decision, Decision::Block);
    assert_eq!(check("flag").unwrap().findings.len(), 1);
    assert!(matches!(check("redact").unwrap().decision, Decision::Redact(edits) if edits.len() == 1));
    assert!(check("memory-polite").is_ok());
}

#[test]
fn attacks_on_the_machine_are_failures() {
    for (attack, cause) in [
        ("recurse", Cause::Trap),
        ("panic", Cause::Trap),
        ("unreachable", Cause::Trap),
        ("out-of-bounds", Cause::Trap),
        ("divide-by-zero", Cause::Trap),
        ("memory", Cause::Memory),
        ("refuse", Cause::Refused),
    ] {
        assert_eq!(check(attack).unwrap_err().cause, cause, "{attack}");
    }
    let failure = load("loop", hasty()).unwrap().check(&inference()).unwrap_err();
    assert_eq!(failure.cause, Cause::Deadline);
}

#[test]
fn oversized_answers_are_failures() {
    // The guard has room to make them.
    let limits = Limits { memory: 128 << 20, ..patient() };
    for attack in ["refuse-huge", "huge-answer", "many-findings", "many-measurements", "huge-edit"] {
        assert_eq!(check_with(attack, limits).unwrap_err().cause, Cause::Answer, "{attack}");
    }
}

#[test]
fn answers_that_do_not_fit_the_inference_are_failures() {
    for attack in [
        "bad-span",
        "span-past-end",
        "span-off-border",
        "bad-path",
        "undeclared-rule",
        "nan-score",
        "infinite-score",
        "empty-redaction",
        "edit-input",
        "overlapping-edits",
        "edit-off-border",
        "edit-past-end",
    ] {
        assert_eq!(check(attack).unwrap_err().cause, Cause::Answer, "{attack}");
    }
}

#[test]
fn what_one_check_remembers_the_next_does_not_know() {
    let guard = load("remember", patient()).unwrap();
    for _ in 0..20 {
        assert_eq!(guard.check(&inference()).unwrap().decision, Decision::Allow);
    }
}

#[test]
fn attacks_in_configure_are_refused_at_load() {
    for (attack, cause) in [
        ("configure-loop", Cause::Deadline),
        ("configure-panic", Cause::Trap),
        ("configure-recurse", Cause::Trap),
        ("configure-memory", Cause::Memory),
    ] {
        match load(attack, hasty()).err() {
            Some(LoadError::Failed { during: "configure", failure, .. }) => {
                assert_eq!(failure.cause, cause, "{attack}")
            }
            other => panic!("{attack}: {other:?}"),
        }
    }
    let Some(LoadError::Settings { problems, .. }) = load("configure-problems", patient()).err() else { panic!() };
    assert_eq!(problems.iter().map(|problem| problem.pointer.as_str()).collect::<Vec<_>>(), ["/attack", "/count"]);
    assert!(load("configure-many-problems", patient()).is_err());
}

#[test]
fn a_large_image_is_snapshotted() {
    let guard = load("configure-large", patient()).unwrap();
    assert_eq!(guard.start(), Start::Snapshot);
    assert!(guard.report().compiled_bytes > 16 << 20);
    assert!(guard.check(&inference()).is_ok());
}

fn watch(attack: &str, more: &str, limits: Limits) -> Detector {
    let settings = format!(r#"{{"attack":"{attack}"{more}}}"#);
    engine()
        .load_detector("hostile", &component("hostile-detector"), &settings, b"", limits)
        .unwrap_or_else(|error| panic!("{attack}: {error}"))
}

fn batch() -> Batch {
    Batch {
        first_row: 0,
        times: vec![0, 1, 2],
        columns: vec![Column { name: "s".into(), values: ColumnValues::Numbers(vec![0.5; 3]), nulls: vec![] }],
    }
}

#[test]
fn attacks_in_observe_are_failures_and_the_detector_starts_again() {
    for (attack, more, cause) in [
        ("panic", "", Cause::Trap),
        ("memory", "", Cause::Memory),
        ("many-alarms", r#","count":100000"#, Cause::Answer),
        ("huge-answer", "", Cause::Answer),
        ("undeclared-rule", "", Cause::Answer),
        ("unknown-stream", "", Cause::Answer),
        ("nan-statistic", "", Cause::Answer),
        ("many-bars", r#","count":2000"#, Cause::Answer),
    ] {
        let mut detector = watch(attack, more, patient());
        assert_eq!(detector.observe(&batch()).unwrap_err().cause, cause, "{attack}");
        assert!(!detector.is_live(), "{attack}");
        detector.restart().unwrap();
        assert!(detector.is_live());
    }
    let mut refusing = watch("refuse", "", patient());
    assert_eq!(refusing.observe(&batch()).unwrap_err().cause, Cause::Refused);
    assert!(refusing.is_live());
    let mut looping = watch("loop", "", hasty());
    assert_eq!(looping.observe(&batch()).unwrap_err().cause, Cause::Deadline);
}

#[test]
fn attacks_in_the_other_functions_of_a_detector_are_failures() {
    let limits = Limits { state_bytes: 1 << 20, ..hasty() };
    type Call = fn(&mut Detector) -> Option<Failure>;
    let cases: [(&str, Call, Cause); 8] = [
        ("fit-panic", |detector| detector.fit(&batch()).err(), Cause::Trap),
        ("fit-loop", |detector| detector.fit(&batch()).err(), Cause::Deadline),
        ("fit-huge", |detector| detector.fit(&batch()).err(), Cause::Answer),
        ("snapshot-loop", |detector| detector.snapshot().err(), Cause::Deadline),
        ("snapshot-huge", |detector| detector.snapshot().err(), Cause::Answer),
        ("restore-panic", |detector| detector.restore(b"x").err(), Cause::Trap),
        ("status-panic", |detector| detector.status().err(), Cause::Trap),
        ("merge-loop", |detector| detector.merge(&[b"x"]).err(), Cause::Deadline),
    ];
    for (attack, call, cause) in cases {
        let failure = call(&mut watch(attack, "", limits)).unwrap_or_else(|| panic!("{attack} passed"));
        assert_eq!(failure.cause, cause, "{attack}: {failure}");
    }
}
