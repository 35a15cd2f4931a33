//! `picket guard test` as an author of guards uses it: cases that hold, and each way in which one does not.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path;
use support::{Place, Ran, guard};

/// Tries `guard` on this cases file.
#[track_caller]
fn test(place: &Place, name: &str, cases: &str, more: &[&str]) -> Ran {
    place.write("cases.toml", cases);
    let component = guard(name);
    let mut arguments = vec!["guard", "test", component.as_str()];
    arguments.extend_from_slice(more);
    place.picket(&arguments)
}

fn place() -> Place {
    Place::new("", "")
}

#[track_caller]
fn prints(ran: &Ran, words: &[&str]) {
    for word in words {
        assert!(ran.stdout.contains(word), "no {word:?} in {ran:#?}");
    }
}

#[test]
fn the_cases_of_our_own_guards_hold_and_expect_their_rules() {
    for (name, rules, least) in [("pii", "7 of 7", "100"), ("structure", "17 of 20", "85")] {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins").join(name).join("cases.toml");
        let component = guard(name);
        let arguments = ["guard", "test", &component, "--cases", cases.to_str().unwrap(), "--min-coverage", least];
        let ran = place().picket(&arguments).expect(0);
        prints(&ran, &[" 0 failed", &format!("rules: {rules} expected by a case"), "the same each time"]);
    }
}

#[test]
fn each_difference_is_told_with_case_and_line() {
    let cases = r#"
[[case]]
name = "wrong decision"
text = "Write to jo@example.org."
expect = { decision = "block" }

[[case]]
name = "wrong span"
text = "äWrite to jo@example.org."
expect = { findings = [{ rule = "email", span = [10, 24] }] }

[[case]]
name = "not found"
text = "nothing"
expect = { findings = [{ rule = "email", text = "jo@example.org" }] }

[[case]]
name = "beyond"
text = "Write to jo@example.org."
expect = { findings = [] }

[[case]]
name = "wrong output"
text = "Write to jo@example.org."
expect = { output = "Write to [MAIL]." }

[[case]]
name = "wrong measurement"
text = "Write to jo@example.org."
expect = { measurements = { hits = 2 } }

[[case]]
name = "no failure"
text = "nothing"
expect = { failure = "trap" }

[[case]]
name = "settings are good"
expect = { problems = [{ pointer = "/action" }] }

[[case]]
name = "another problem"
settings = { action = "burn" }
expect = { problems = [{ pointer = "/actions" }] }

[[case]]
name = "settings are bad"
settings = { action = "burn" }
text = "nothing"
expect = { decision = "allow" }

[[case]]
name = "expects nothing yet"
text = "nothing"
"#;
    let ran = test(&place(), "pii", cases, &[]).expect(1);
    prints(
        &ran,
        &[
            "FAILED  wrong decision  (cases.toml:2)",
            "decision: expected block, got redact",
            "finding: expected rule \"email\", span [10, 24]: there is none",
            "got beyond that email (medium) at output [11, 25] \"jo@example.org\"",
            "  | äWrite to jo@example.org.",
            "  |           ^^^^^^^^^^^^^^",
            "finding: expected rule \"email\", text \"jo@example.org\": there is none",
            "output: expected \"Write to [MAIL].\"",
            "got \"Write to [EMAIL].\"",
            "measurement hits: expected 2, got 1",
            "expected failure trap, got allow",
            "the settings are accepted; problems were expected",
            "expected a problem at `/actions`: there is none",
            "guard `pii` refuses its settings: /action",
            "expects nothing; the guard says allow",
            "11 cases: 0 ok, 11 failed",
        ],
    );
}

#[test]
fn a_failure_can_be_what_is_expected() {
    let cases = r#"
[[case]]
name = "it traps"
settings = { attack = "unreachable" }
text = "a"
expect = { failure = "trap" }

[[case]]
name = "it refuses"
settings = { attack = "refuse" }
text = "a"
expect = { failure = "refused" }

[[case]]
name = "its answer is wrong"
settings = { attack = "span-off-border" }
text = "ä"
expect = { failure = "answer" }
"#;
    prints(&test(&place(), "hostile", cases, &[]).expect(0), &["3 ok, 0 failed", "0 of 1", "by none: attack"]);
    let bad = cases.replace("failure = \"trap\"", "decision = \"allow\"");
    prints(&test(&place(), "hostile", &bad, &[]).expect(1), &["expected a verdict, got failure trap"]);
}

#[test]
fn a_verdict_that_depends_on_the_host_is_noticed() {
    let cases = r#"
settings = { attack = "tell-memory" }
memory = "4MiB"
[[case]]
name = "it tells how much memory there is"
text = "a"
expect = { decision = "allow" }
"#;
    let ran = test(&place(), "hostile", cases, &[]).expect(1);
    prints(&ran, &["not deterministic", "twice the memory", "pages = "]);
    let ran = test(&place(), "hostile", cases, &["--json"]).expect(1);
    assert_eq!((&ran.json()[0]["not_deterministic"], &ran.json()[0]["failed"]), (&1.into(), &1.into()));
}

#[test]
fn too_little_coverage_is_a_failure() {
    let cases = "[[case]]\nname = \"a\"\ntext = \"\"\nexpect = { decision = \"allow\" }\n";
    let ran = test(&place(), "pii", cases, &["--min-coverage", "50"]).expect(1);
    prints(&ran, &["rules: 0 of 7"]);
    ran.says(&["--min-coverage wants 50 %"]);
    test(&place(), "pii", cases, &["--min-coverage", "0"]).expect(0);
}

#[test]
fn a_bad_cases_file_is_named_with_line_and_case() {
    let case = "[[case]]\nname = \"a\"\n";
    let bad = [
        ("[[case]\n", "cases.toml:1: "),
        ("\n[[case]]\nname = \"a\"\ntxt = \"\"\n", "cases.toml:4: unknown field `txt`"),
        (&format!("{case}text = \"\"\njson = \"1\"\n"), "cases.toml:1: case `a`: wants exactly one of `text`"),
        (&format!("{case}json = '{{'\n"), "cases.toml:3: case `a`: json: is no JSON document"),
        (&format!("{case}inference = {{ outptu = 1 }}\n"), "cases.toml:3: case `a`: inference: outptu"),
        (
            &format!(
                "{case}inference.output.tensors = [{{ name = \"t\", datatype = \"FP8\", shape = [], data = [1] }}]\n"
            ),
            "output.tensors[0].datatype: `FP8`",
        ),
        (&format!("{case}inference = '{{\"id\":1}}'\n"), "case `a`: inference: id"),
        (&format!("{case}inference.features.x = nan\n"), "JSON has no number `NaN`"),
        (
            &format!("{case}text = \"\"\n[case.expect]\ndecision = \"deny\"\n"),
            "cases.toml:5: case `a`: expect.decision: `deny`",
        ),
        (&format!("{case}text = \"\"\nexpect.failure = \"oops\"\n"), "expect.failure: `oops`"),
        (
            &format!("{case}text = \"\"\nexpect = {{ failure = \"trap\", decision = \"allow\" }}\n"),
            "exclude each other",
        ),
        (&format!("{case}text = \"\"\n{case}text = \"\"\n"), "cases.toml:4: two cases have the name `a`"),
        (&format!("deadline = \"soon\"\n{case}text = \"\"\n"), "cases.toml:1: deadline: `soon`"),
        (&format!("memory = \"5GiB\"\n{case}text = \"\"\n"), "memory: is more than 4GiB"),
    ];
    for (cases, expected) in bad {
        let ran = test(&place(), "pii", cases, &[]).expect(2).says(&[expected]);
        assert_eq!(ran.stdout, "", "{cases}");
    }
}

#[test]
fn what_cannot_be_tested_is_refused_with_why() {
    let place = place();
    let component = guard("pii");
    place.picket(&["guard", "test", &component]).expect(2).says(&["no cases", "--cases"]);
    place.picket(&["guard", "test", "missing.wasm"]).expect(2).says(&["missing.wasm"]);
    place.write("text.wasm", "text");
    place.picket(&["guard", "test", "text.wasm"]).expect(2).says(&["text.wasm"]);
    let imports = wat::parse_str(r#"(component (import "wasi:cli/exit@0.2.0" (instance (export "exit" (func)))))"#);
    place.write("imports.wasm", imports.unwrap());
    place.picket(&["guard", "test", "imports.wasm"]).expect(2).says(&["wasi:cli/exit", "may import nothing"]);
    std::fs::create_dir(place.path("cases")).unwrap();
    place.write("cases/one.toml", "[[case]]\nname = \"one\"\ntext = \"\"\nexpect = {}\n");
    place.write("cases/two.toml", "[[case]]\nname = \"two\"\ntext = \"\"\nexpect = {}\n");
    prints(&place.picket(&["guard", "test", &component]).expect(0), &["ok      one\nok      two\n2 cases: 2 ok"]);
}

#[test]
fn random_inferences_find_what_no_case_has_and_make_it_small() {
    let cases = r#"
settings = { attack = "panic-at-wide" }
[[case]]
name = "it judges plain texts"
text = "a"
expect = { decision = "allow" }
"#;
    let place = place();
    let ran = test(&place, "hostile", cases, &["--property", "500", "--seed", "3"]).expect(1);
    prints(&ran, &["FAILED  random inference", "failure trap", "[[case]]\nname = \"random inference"]);
    // What is printed is a case, and the smallest: one character is enough.
    let (_, case) = ran.stdout.split_once("as a case:\n").unwrap();
    let case = case.split("\n1 cases").next().unwrap();
    let again = test(&place, "hostile", case, &[]).expect(1);
    prints(&again, &["expected a verdict, got failure trap"]);
    let text = case.lines().find(|line| line.starts_with("inference")).unwrap();
    assert!(text.len() < 110, "{text}");
    assert_eq!(ran.stdout, test(&place, "hostile", cases, &["--property", "500", "--seed", "3"]).stdout);
}

#[test]
fn random_inferences_need_no_cases_and_leave_a_good_guard_alone() {
    let place = place();
    let ran = place.picket(&["--json", "guard", "test", &guard("pii"), "--property", "200"]).expect(0);
    let found = &ran.json()[0]["properties"][0];
    assert_eq!((&found["inferences"], &found["found"]), (&200.into(), &serde_json::Value::Null));
    place.picket(&["guard", "test", &guard("pii"), "--seed", "1"]).expect(2).says(&["--property"]);
}

#[test]
fn a_bench_is_compared_with_its_baseline_by_what_every_machine_counts_alike() {
    let place = place();
    let component = guard("pii");
    let bench = |more: &[&str]| {
        let mut arguments = vec!["guard", "bench", component.as_str()];
        arguments.extend_from_slice(more);
        place.picket(&arguments)
    };
    let ran = bench(&["--save", "baseline.json"]).expect(0);
    prints(&ran, &["fresh median", "instructions", "ms from the cache", "  262144  "]);
    let saved = std::fs::read_to_string(place.path("baseline.json")).unwrap();
    let figures: serde_json::Value = serde_json::from_str(&saved).unwrap();
    let rows = figures["rows"].as_array().unwrap();
    assert!(rows.windows(2).all(|pair| pair[0]["instructions"].as_u64() < pair[1]["instructions"].as_u64()));
    assert!(rows[0]["memory"].as_u64() >= Some(65_536), "{saved}");

    // The same guard counts the same; how long it took decides nothing.
    prints(&bench(&["--baseline", "baseline.json", "--tolerance", "0"]).expect(0), &["the same component"]);
    let mut better = figures.clone();
    better["rows"][1]["instructions"] = (rows[1]["instructions"].as_u64().unwrap() * 9 / 10).into();
    place.write("better.json", better.to_string());
    prints(&bench(&["--baseline", "better.json"]).expect(1), &["REGRESSION"]);
    bench(&["--baseline", "better.json", "--tolerance", "20"]).expect(0);

    place.write("old.json", saved.replace("\"version\": 1", "\"version\": 0"));
    bench(&["--baseline", "old.json"]).expect(2).says(&["old.json", "version 0"]);
    bench(&["--settings", "{\"action\":\"burn\"}"]).expect(2).says(&["/action"]);
}

#[test]
fn what_cannot_be_measured_is_said_and_no_scratch_is_left() {
    let place = place();
    let ran = place.picket(&["guard", "bench", &guard("hostile"), "--settings", "{\"attack\":\"panic\"}"]).expect(2);
    ran.says(&["64 bytes cannot be measured", "trap"]);
    place.picket(&["guard", "bench", &guard("drift")]).expect(2).says(&["is a detector"]);
}

#[test]
fn inspect_shows_what_a_guard_says_of_itself_and_runs_nothing_when_told() {
    let place = place();
    let component = guard("pii");
    let ran = place.picket(&["guard", "inspect", &component]).expect(0);
    prints(
        &ran,
        &["world    validator", "limits   asks for none", "signers  none", "itself   pii ", "rule     email (held)"],
    );
    prints(&ran, &["settings {", "max_hits"]);
    let ran = place.picket(&["--json", "guard", "inspect", &component]).expect(0);
    let shown = &ran.json()[0];
    assert_eq!(shown["descriptor"]["rules"].as_array().unwrap().len(), 7);
    assert!(shown["descriptor"]["settings_schema"]["properties"]["action"].is_object());
    let ran = place.picket(&["--json", "guard", "inspect", "--no-run", &component]).expect(0);
    assert_eq!(ran.json()[0]["descriptor"], serde_json::Value::Null);

    // A file beside it that claims a signature; nobody has verified it.
    std::fs::copy(&component, place.path("g.wasm")).unwrap();
    place.write("g.wasm.sig", "no note");
    prints(&place.picket(&["guard", "inspect", "g.wasm"]).expect(0), &["no signed note"]);
}

#[test]
fn update_writes_what_the_guard_says_and_leaves_the_rest_alone() {
    let cases = r#"# A comment that stays.
[[case]]
name = "nothing yet" # and this one
text = "Write to jo@example.org."

# Before the second.
[[case]]
name = "wrong in one line"
text = "nothing"
expect = { decision = "block" } # a remark

[[case]]
name = "wrong with a head"
text = "Card 4111 1111 1111 1111."
[case.expect]
decision = "allow"

[[case]]
name = "right"
text = "nothing"
expect = {   decision="allow" }

[[case]]
name = "settings"
settings = { action = "burn" }
text = "a"
expect = { decision = "allow" }
"#;
    let place = place();
    let ran = test(&place, "pii", cases, &["--update"]).expect(0);
    prints(&ran, &["updated nothing yet", "ok      right", "- expect = { decision = \"block\" }"]);
    let renewed = std::fs::read_to_string(place.path("cases.toml")).unwrap();
    for kept in
        ["# A comment that stays.", "# and this one", "# Before the second.", "# a remark", "{   decision=\"allow\" }"]
    {
        assert!(renewed.contains(kept), "{kept}: {renewed}");
    }
    let ran = test(&place, "pii", &renewed, &["--update"]).expect(0);
    prints(&ran, &["5 ok, 0 failed"]);
    assert_eq!(std::fs::read_to_string(place.path("cases.toml")).unwrap(), renewed);
    assert!(!ran.stdout.contains("updated"), "{}", ran.stdout);
    assert!(renewed.contains("output = \"Write to [EMAIL].\""), "{renewed}");
}
