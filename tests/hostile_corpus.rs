//! The hostile corpus through the real program: each case beside an honest guard, which must not notice.

#![allow(clippy::unwrap_used, reason = "tests")]

mod corpus;
#[path = "../engine/tests/engine/guard.rs"]
#[allow(dead_code, reason = "the engine's own tests use the rest")]
mod guard;
mod support;

use corpus::{Case, Ends, checks, honest, loads};
use serde_json::json;
use support::service::Service;
use support::{Place, inference};

/// Text whose second character has two bytes, for attacks that cut it, with an address that the honest guard finds.
const TEXT: &str = "aä text for jo@example.org";
/// The time by which a check may end after its deadline.
const GRACE: u64 = 20_000;

/// What the honest guard does, whatever happens beside it.
#[track_caller]
fn assert_honest(place: &Place, after: &str) {
    let answer = &place.check(&inference("honest", TEXT)).expect(0).json()[0];
    assert_eq!(answer["output"]["text"], "aä text for [email]", "after {after}: {answer}");
}

#[test]
fn the_corpus_is_as_large_as_it_claims_and_no_name_stands_for_two_cases() {
    let cases: Vec<Case> = loads::all().into_iter().chain(checks::all()).collect();
    let mut names: Vec<_> = cases.iter().map(|case| case.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), cases.len());
    assert!(cases.len() >= 100, "{}", cases.len());
}

#[test]
fn every_case_that_must_not_load_is_refused_by_name_with_the_reason() {
    let place = Place::new("workers = 1", &honest());
    assert_honest(&place, "nothing");
    let mut wrong = Vec::new();
    for case in loads::all() {
        let Ends::Refused(words) = case.ends else { panic!("{} is a case of checks", case.name) };
        place.configure("workers = 1", &(honest() + &case.table(&place, "")));
        let ran = place.check(&inference("x", TEXT));
        let said = &ran.stderr;
        let named = said.contains(&format!("guard `{}`", case.name)) && said.contains("picket.toml:");
        // No flood of words, and no control characters for the terminal. Nothing was judged.
        let quiet = said.len() < 4000 && !said.contains('\u{1b}') && ran.stdout.is_empty();
        if ran.code != Some(2) || !named || !said.contains(words) || !quiet {
            wrong.push((case.name, words, ran));
        }
    }
    assert!(wrong.is_empty(), "{} cases end in another way: {wrong:#?}", wrong.len());
    // Nothing is in the ledger but what was there.
    place.configure("workers = 1", &honest());
    assert_honest(&place, "all cases");
    assert_eq!(place.entries("verdict").len(), 2);
    place.verify();
}

/// Each case has a model of its own, which the honest guard judges too.
fn service() -> (Place, Service, Vec<Case>) {
    let place = Place::new("", "");
    let cases = checks::all();
    let models = cases.iter().map(|case| format!("[[model]]\nname = \"{}\"\n", case.name));
    let models: String = models.chain(["[[model]]\nname = \"none\"\n".to_owned()]).collect();
    let guards = cases.iter().map(|case| {
        let more = format!("on_failure = \"allow\"\nmodels = [\"{}\"]", case.name);
        case.table(&place, &more)
    });
    let guards: String = guards.collect();
    // Two instances and no more, so that one that is not given back is missed at once.
    place.configure("workers = 2\nguard_memory = \"64MiB\"", &(models + &honest() + &guards));
    let service = Service::start(&place);
    (place, service, cases)
}

fn of_model(model: &str, id: &str) -> String {
    json!({ "id": id, "model": model, "output": { "text": TEXT } }).to_string()
}

/// Bytes that the process has in memory.
fn resident(service: &Service) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
}

#[test]
fn every_case_that_loads_fails_in_time_and_leaves_nothing_behind() {
    const ROUNDS: usize = 6;
    /// What a case may leave behind in all its rounds, in bytes: the ledger's own page cache grows with its entries.
    const MARGIN: u64 = 8 << 20;
    let (place, service, cases) = service();
    let judge = |model: &str, id: &str| {
        let reply = service.post(&of_model(model, id)).json();
        assert_eq!(reply["output"]["text"], "aä text for [email]", "the honest guard beside {model}: {reply}");
        reply
    };
    // Once each, so that what is made on first use is there.
    for case in &cases {
        judge(case.name, &format!("{}-first", case.name));
    }
    let alone = (0..ROUNDS).map(|round| judge("none", &format!("alone-{round}"))["micros"].as_u64().unwrap()).min();
    let (mut late, mut wrong) = (Vec::new(), Vec::new());
    let mut grown = Vec::new();
    for case in &cases {
        let before = resident(&service);
        let replies: Vec<_> = (0..ROUNDS).map(|round| judge(case.name, &format!("{}-{round}", case.name))).collect();
        for reply in &replies {
            let failures = reply["failures"].as_array().cloned().unwrap_or_default();
            let as_expected = match (case.ends, failures.as_slice()) {
                (Ends::Fails(cause), [failure]) => failure["cause"] == cause && failure["guard"] == case.name,
                (Ends::Judges, []) => true,
                _ => false,
            };
            if !as_expected {
                wrong.push((case.name, failures));
                break;
            }
        }
        // The quickest of them: the machine under test has other things to do.
        let micros = replies.iter().map(|reply| reply["micros"].as_u64().unwrap()).min().unwrap();
        if micros > case.deadline() * 1000 + GRACE + alone.unwrap() {
            late.push((case.name, micros));
        }
        let after = resident(&service);
        if after > before + MARGIN {
            grown.push((case.name, after - before));
        }
    }
    assert!(wrong.is_empty(), "{} cases end in another way: {wrong:#?}", wrong.len());
    assert!(late.is_empty(), "not within 20 ms of their deadline, in microseconds: {late:?}");
    assert!(grown.is_empty(), "kept memory, in bytes: {grown:?}");
    // As many at once as there are instances and more: a place that was lost would be missed.
    std::thread::scope(|scope| {
        for caller in 0..4 {
            let (judge, cases) = (&judge, &cases);
            scope.spawn(move || {
                for case in cases {
                    judge(case.name, &format!("{}-of-caller-{caller}", case.name));
                }
            });
        }
    });
    service.stop();
    for case in &cases {
        let verdict = place.verdict(&format!("{}-0", case.name));
        let guards = verdict["guards"].as_array().unwrap();
        assert_eq!(guards.len(), 2, "{verdict}");
        assert_eq!(guards[0]["outcome"]["verdict"]["findings"].as_array().map(Vec::len), Some(1), "{verdict}");
        if let Ends::Fails(cause) = case.ends {
            assert_eq!(guards[1]["outcome"]["failure"]["cause"], cause, "{}: {verdict}", case.name);
        }
    }
    place.verify();
}

#[test]
fn what_costs_more_to_compile_than_it_may_is_refused_with_the_limit() {
    let place = Place::new("", "");
    let attempt = |edge: &str, wasm: &[u8], words: &[&str]| {
        place.write("bomb.wasm", wasm);
        let bomb = "[[guard]]\nname = \"bomb\"\ncomponent = \"bomb.wasm\"\n";
        place.configure(edge, &(honest() + bomb));
        place.picket(&["check", "--dry-run"]).expect(2).says(&["guard `bomb`"]).says(words);
    };
    let time = ["more processor time than the 1 s", "`compile_time`"];
    attempt("compile_time = \"1s\"", &loads::slow_to_compile(), &time);
    attempt(
        "compile_memory = \"128MiB\"",
        &loads::large_to_compile(),
        &["more memory than the 128 MiB", "`compile_memory`"],
    );
}

/// What is large and honest compiles within the limits of a box; what is not ends as a refusal. Either way it ends, and the
/// box's own process has none of the cost.
#[test]
fn no_compile_bomb_outlasts_the_limits() {
    let place = Place::new("", "");
    for (name, wasm) in loads::bombs() {
        place.write("bomb.wasm", wasm);
        let bomb = format!("[[guard]]\nname = \"{name}\"\ncomponent = \"bomb.wasm\"\ndeadline = \"5s\"\n");
        place.configure("compile_time = \"5s\"\ncompile_memory = \"512MiB\"", &(honest() + &bomb));
        let ran = place.check(&inference("x", TEXT));
        match ran.code {
            Some(2) => drop(ran.says(&[&format!("guard `{name}`")])),
            _ => assert_eq!(ran.expect(0).json()[0]["output"]["text"], "aä text for [email]", "{name}"),
        }
    }
}
