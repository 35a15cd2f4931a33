//! Guards that attack, through the whole pipeline: a failure with its cause in the answer and in the ledger, and nothing else.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::Value;
use support::{Place, guard, hostile, inference, inferences};

const MEMORY: &str = "memory = \"4MiB\"";

/// Attack, further lines of the guard's table, cause of the failure that follows.
const FAILURES: &[(&str, &str, &str)] = &[
    ("panic", "", "trap"),
    ("unreachable", "", "trap"),
    ("out-of-bounds", "", "trap"),
    ("divide-by-zero", "", "trap"),
    ("recurse", "", "trap"),
    ("loop", "deadline = \"50ms\"", "deadline"),
    ("memory", MEMORY, "memory"),
    ("refuse", "", "refused"),
    ("refuse-huge", "", "answer"),
    ("huge-answer", "", "answer"),
    ("many-findings", "", "answer"),
    ("bad-span", "", "answer"),
    ("span-past-end", "", "answer"),
    ("span-off-border", "", "answer"),
    ("bad-path", "", "answer"),
    ("undeclared-rule", "", "answer"),
    ("nan-score", "", "answer"),
    ("infinite-score", "", "answer"),
    ("empty-redaction", "", "answer"),
    ("edit-input", "", "answer"),
    ("overlapping-edits", "", "answer"),
    ("edit-off-border", "", "answer"),
    ("edit-past-end", "", "answer"),
    ("huge-edit", "settings = { attack = \"huge-edit\", bytes = 2000000 }", "answer"),
];

/// A guard for every attack, of these modes.
fn attackers(more: &str) -> String {
    FAILURES.iter().map(|(attack, own, _)| hostile(attack, attack, &format!("{own}\n{more}"))).collect()
}

const TEXT: &str = "aä text";

#[track_caller]
fn assert_causes(failures: &Value, name: &str, action: &str) {
    let failures = failures.as_array().unwrap();
    assert_eq!(failures.len(), FAILURES.len(), "{failures:#?}");
    for ((attack, _, cause), failure) in FAILURES.iter().zip(failures) {
        assert_eq!(failure[name], *attack);
        assert_eq!(failure["cause"], *cause, "{failure}");
        assert_eq!(failure["action"], action, "{failure}");
        let message = failure["message"].as_str().unwrap();
        assert!(!message.is_empty() && message.len() < 2000, "{failure}");
    }
}

#[test]
fn every_attack_is_a_failure_with_its_cause_in_the_answer_and_in_the_ledger() {
    let place = Place::new("", &attackers(""));
    let ran = place.check(&inference("a", TEXT)).expect(1).says(&["1 blocked", "24 guard failures"]);
    let answer = &ran.json()[0];
    assert_eq!(answer["decision"], "block");
    assert_eq!(answer.get("output"), None, "a failure that blocks lets nothing out");
    assert_causes(&answer["failures"], "guard", "block");

    let verdict = place.verdict("a");
    assert_eq!(verdict["decision"], "block");
    assert_eq!(verdict["released"], Value::Null);
    let outcomes: Vec<Value> = verdict["guards"].as_array().unwrap().iter().map(outcome).collect();
    assert_causes(&Value::Array(outcomes), "name", "block");
    place.verify();
}

/// A guard's failure as the ledger shows it, with the guard's name.
fn outcome(guard: &Value) -> Value {
    let mut failure = guard["outcome"]["failure"].clone();
    failure["name"] = guard["name"].clone();
    failure
}

#[test]
fn a_failure_that_is_allowed_lets_the_output_out_and_is_recorded() {
    let place = Place::new("", &attackers("on_failure = \"allow\""));
    let answer = &place.check(&inference("a", TEXT)).expect(0).json()[0];
    assert_eq!((&answer["decision"], &answer["output"]["text"]), (&"allow".into(), &TEXT.into()));
    assert_causes(&answer["failures"], "guard", "allow");
    let recorded: Vec<Value> = place.verdict("a")["guards"].as_array().unwrap().iter().map(outcome).collect();
    assert_causes(&Value::Array(recorded), "name", "allow");
}

#[test]
fn guards_in_shadow_are_recorded_and_marked_and_change_nothing() {
    let shadow = "mode = \"shadow\"";
    let guards =
        hostile("blocks", "block", shadow) + &hostile("redacts", "redact", shadow) + &hostile("traps", "panic", shadow);
    let place = Place::new("", &guards);
    let answer = &place.check(&inference("a", TEXT)).expect(0).json()[0];
    assert_eq!((&answer["decision"], &answer["output"]["text"]), (&"allow".into(), &TEXT.into()));
    let findings = answer["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 2);
    assert!(findings.iter().all(|finding| finding["shadow"] == true), "{findings:?}");
    assert_eq!(answer["failures"][0]["shadow"], true);
    let verdict = place.verdict("a");
    assert_eq!(verdict["decision"], "allow");
    let modes: Vec<_> = verdict["guards"].as_array().unwrap().iter().map(|guard| &guard["mode"]).collect();
    assert_eq!(modes, ["shadow"; 3]);
}

#[test]
fn other_guards_judge_as_if_nothing_had_happened() {
    let allow = "on_failure = \"allow\"";
    let guards = hostile("first", "flag", "")
        + &hostile("traps", "panic", allow)
        + &hostile("runs-out", "memory", &format!("{MEMORY}\n{allow}"))
        + &hostile("last", "redact", "");
    let place = Place::new("workers = 2", &guards);
    let answers = place.check(&inferences("n", 40)).expect(0).json();
    assert_eq!(answers.len(), 40);
    for answer in answers {
        assert_eq!(answer["decision"], "redact");
        assert_eq!(answer["output"]["text"], "* short answer");
        let guards: Vec<_> = answer["findings"].as_array().unwrap().iter().map(|finding| &finding["guard"]).collect();
        assert_eq!(guards, ["first", "last"]);
        assert_eq!(answer["failures"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn no_check_sees_what_an_earlier_one_left_in_memory() {
    let place = Place::new("workers = 1", &hostile("g", "remember", ""));
    let decisions = place.check(&inferences("n", 20)).expect(0).decisions();
    assert_eq!(decisions, ["allow"; 20]);
}

#[test]
fn a_guard_judges_only_its_models() {
    let models = "[[model]]\nname = \"m\"\n[[model]]\nname = \"other\"\n";
    let place = Place::new("", &format!("{models}{}", hostile("g", "block", "models = [\"other\"]")));
    assert_eq!(place.check(&inference("a", TEXT)).expect(0).decisions(), ["allow"]);
    let other = inference("b", TEXT).replace("\"m\"", "\"other\"");
    assert_eq!(place.check(&other).expect(1).decisions(), ["block"]);
}

#[test]
fn redactions_of_two_guards_that_overlap_leave_nothing_of_either() {
    let pii = |name: &str, entities: &str, placeholder: &str| {
        let settings = format!("settings = {{ entities = {entities}, placeholder = \"{placeholder}\" }}");
        format!("[[guard]]\nname = \"{name}\"\ncomponent = \"{}\"\ndeadline = \"5s\"\n{settings}\n", guard("pii"))
    };
    let guards = pii("mail", "[\"email\"]", "[MAIL]")
        + &hostile("first", "redact", "")
        + &pii("again", "[\"email\", \"ip\"]", "[X]");
    let place = Place::new("", &guards);
    let input = inference("a", "jo@example.org wrote from 10.1.2.3 to ann@example.org");
    let answer = &place.check(&input).expect(0).json()[0];
    assert_eq!(answer["decision"], "redact");
    let text = answer["output"]["text"].as_str().unwrap();
    for secret in ["jo@", "example", "10.1", "ann"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert_eq!(
        text, "[MAIL] wrote from [X] to [MAIL]",
        "where edits overlap, the one that starts first gives the words"
    );
}

#[test]
fn a_verdict_that_does_not_fit_an_entry_is_shortened_there_and_whole_in_the_answer() {
    let more = "findings = 4096\nsettings = { attack = \"many-findings\", count = 4096 }";
    let place = Place::new("", &(hostile("one", "", more) + &hostile("two", "", more)));
    let answer = &place.check(&inference("a", TEXT)).expect(0).json()[0];
    assert_eq!(answer["findings"].as_array().unwrap().len(), 8192);
    let verdict = place.verdict("a");
    for guard in verdict["guards"].as_array().unwrap() {
        let outcome = &guard["outcome"]["verdict"];
        let kept = outcome["findings"].as_array().unwrap().len() as u64;
        assert_eq!(kept + outcome["omitted"].as_u64().unwrap(), 4096, "{guard}");
    }
    place.verify();
}

#[test]
fn polite_greed_is_bounded_too() {
    let place = Place::new("", &hostile("g", "memory-polite", MEMORY));
    assert_eq!(place.check(&inference("a", TEXT)).expect(0).decisions(), ["allow"]);
}

/// Each limit of a guard's table, once just kept and once broken.
#[test]
fn every_limit_of_a_guard_is_where_the_configuration_puts_it() {
    let cases = [
        ("findings = 5\nsettings = { attack = \"many-findings\", count = 5 }", None),
        ("findings = 5\nsettings = { attack = \"many-findings\", count = 6 }", Some("answer")),
        ("answer = \"4KiB\"\nsettings = { attack = \"huge-answer\", bytes = 1000 }", None),
        ("answer = \"4KiB\"\nsettings = { attack = \"huge-answer\", bytes = 4096 }", Some("answer")),
        ("memory = \"8MiB\"\nsettings = { attack = \"configure-large\", bytes = 2000000 }", None),
        ("deadline = \"1ms\"\nsettings = { attack = \"loop\" }", Some("deadline")),
    ];
    for (more, cause) in cases {
        let place = Place::new("", &hostile("g", "", more));
        let ran = place.check(&inference("a", TEXT));
        let failure = &ran.json()[0]["failures"][0];
        assert_eq!(failure["cause"].as_str(), cause, "{more}: {ran:#?}");
    }
    let small = hostile("g", "", "memory = \"2MiB\"\nsettings = { attack = \"configure-large\", bytes = 4000000 }");
    Place::new("", &small).check(&inference("a", TEXT)).expect(2).says(&["guard `g`", "memory"]);
}

/// With memory for fewer instances than workers, checks wait for one instead of failing.
#[test]
fn guard_memory_bounds_how_many_checks_run_at_a_time() {
    let guards = hostile("g", "none", "memory = \"32MiB\"");
    let place = Place::new("workers = 8\nguard_memory = \"64MiB\"", &guards);
    assert_eq!(place.check(&inferences("n", 300)).expect(0).says(&["0 guard failures"]).decisions().len(), 300);
}

/// Two instances, both taken by slow checks most of the time: who waits for longer than its deadline has failed, and is
/// told from a guard that was too slow itself.
#[test]
fn a_check_that_gets_no_instance_in_time_is_unavailable() {
    // Its breaker would soon leave the instances to the quick one.
    let slow = hostile("slow", "loop", "deadline = \"200ms\"\non_failure = \"allow\"\nbreaker = \"off\"");
    let quick = hostile("quick", "none", "deadline = \"10ms\"\non_failure = \"allow\"");
    let place = Place::new("workers = 8\nguard_memory = \"64MiB\"", &(slow + &quick));
    let answers = place.check(&inferences("n", 40)).expect(0).json();
    assert_eq!(answers.len(), 40);
    let failures = answers.iter().flat_map(|answer| answer["failures"].as_array().unwrap());
    let causes: Vec<&str> = failures.map(|failure| failure["cause"].as_str().unwrap()).collect();
    assert!(causes.contains(&"unavailable") && causes.contains(&"deadline"), "{causes:?}");
}
