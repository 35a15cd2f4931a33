//! Guards that keep failing are left alone: breakers, through the real program.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::Value;
use support::service::Service;
use support::{Place, hostile, inference, inferences, wait_for};

const ALLOW: &str = "on_failure = \"allow\"";

/// The causes of the failures of `guard`, in the order of the answers; `none` where it gave a verdict.
fn causes(answers: &[Value], guard: &str) -> Vec<String> {
    let cause = |answer: &Value| {
        let failures = answer["failures"].as_array().unwrap();
        let failure = failures.iter().find(|failure| failure["guard"] == guard);
        failure.map_or("none", |failure| failure["cause"].as_str().unwrap()).to_owned()
    };
    answers.iter().map(cause).collect()
}

/// The events of `guard` in the ledger: word and index.
fn events(place: &Place, guard: &str) -> Vec<(String, u64)> {
    let entries = place.entries("guard-event");
    let of_guard = entries.iter().filter(|entry| entry["body"]["guard-event"]["guard"] == guard);
    of_guard
        .map(|entry| {
            let event = entry["body"]["guard-event"]["event"].as_str().unwrap();
            (event.to_owned(), entry["index"].as_u64().unwrap())
        })
        .collect()
}

#[test]
fn a_guard_that_runs_into_its_deadline_each_time_stops_costing_it() {
    let guards = hostile("stuck", "loop", &format!("deadline = \"200ms\"\n{ALLOW}")) + &hostile("good", "flag", "");
    let place = Place::new("workers = 1", &guards);
    let answers = place.check(&inferences("n", 40)).expect(0).says(&["stuck", "breaker-opened"]).json();

    let expected: Vec<_> = (0..40).map(|number| if number < 5 { "deadline" } else { "unavailable" }).collect();
    assert_eq!(causes(&answers, "stuck"), expected);
    for answer in &answers[5..] {
        let micros = answer["micros"].as_u64().unwrap();
        assert!(micros < 200_000, "it is not run, so nothing waits for its deadline: {micros} µs");
        let failure = &answer["failures"][0];
        assert_eq!(failure["action"], "allow");
        let message = failure["message"].as_str().unwrap();
        assert!(
            message.contains("its breaker is open since 2") && message.contains("5 failures in a row"),
            "{message}"
        );
    }
    for answer in &answers {
        assert_eq!((&answer["decision"], &answer["findings"][0]["guard"]), (&"flag".into(), &"good".into()));
    }

    let events = place.entries("guard-event");
    assert_eq!(events.len(), 1, "{events:#?}");
    let event = &events[0]["body"]["guard-event"];
    assert_eq!((&event["guard"], &event["event"]), (&"stuck".into(), &"breaker-opened".into()));
    assert_eq!(event["action"], "allow");
    let message = event["message"].as_str().unwrap();
    assert!(message.contains("5 failures in a row, the last: deadline"), "{message}");
    assert_eq!(event["component"], place.verdict("n-39")["guards"][0]["component"]);
    place.verify();
}

/// Whatever a verdict says of an open breaker, the opening stands before it, also when eight threads judge at once.
#[test]
fn the_opening_stands_in_the_ledger_before_the_verdicts_that_follow_from_it() {
    let place = Place::new("workers = 8", &hostile("broken", "panic", ""));
    place.check(&inferences("n", 200)).expect(1);
    let opened = events(&place, "broken");
    assert_eq!(opened.len(), 1, "{opened:?}");
    let left_alone: Vec<u64> = place
        .entries("verdict")
        .iter()
        .filter(|entry| entry["body"]["verdict"]["guards"][0]["outcome"]["failure"]["cause"] == "unavailable")
        .map(|entry| entry["index"].as_u64().unwrap())
        .collect();
    assert!(left_alone.len() > 150, "{}", left_alone.len());
    assert!(left_alone.iter().all(|index| *index > opened[0].1), "{opened:?} {left_alone:?}");
}

#[test]
fn what_an_open_breaker_comes_to_is_the_operators_choice() {
    let then = |on_failure: &str, then: &str| {
        let more = format!("on_failure = \"{on_failure}\"\nbreaker = {{ failures = 2, then = \"{then}\" }}");
        let place = Place::new("workers = 1", &hostile("broken", "panic", &more));
        let decisions = place.check(&inferences("n", 4)).decisions();
        let action = place.entries("guard-event")[0]["body"]["guard-event"]["action"].clone();
        assert_eq!(action, then);
        decisions
    };
    assert_eq!(then("block", "allow"), ["block", "block", "allow", "allow"]);
    assert_eq!(then("allow", "block"), ["allow", "allow", "block", "block"]);
}

#[test]
fn breakers_can_be_off() {
    let place = Place::new("workers = 1", &hostile("broken", "panic", "breaker = \"off\""));
    let answers = place.check(&inferences("n", 20)).expect(1).json();
    assert_eq!(causes(&answers, "broken"), ["trap"; 20]);
    assert!(place.entries("guard-event").is_empty());
}

/// It fails at some inputs only. They cannot switch it off for the others, unless nothing else comes for a while.
#[test]
fn a_guard_that_fails_at_some_inputs_goes_on_judging_the_others() {
    let place = Place::new("workers = 1", &hostile("touchy", "panic-on-word", ""));
    let line = |number: usize| {
        let text = if number % 5 == 4 { "fine" } else { "crash" };
        inference(&format!("n-{number}"), text)
    };
    let answers = place.check(&(0..50).map(line).collect::<String>()).expect(1).json();
    let expected: Vec<_> = (0..50).map(|number| if number % 5 == 4 { "none" } else { "trap" }).collect();
    assert_eq!(causes(&answers, "touchy"), expected, "four in a row are not five");
    assert!(place.entries("guard-event").is_empty());
}

#[test]
fn refusing_an_inference_is_an_answer_and_opens_nothing() {
    let place = Place::new("workers = 1", &hostile("picky", "refuse", ""));
    let answers = place.check(&inferences("n", 20)).expect(1).json();
    assert_eq!(causes(&answers, "picky"), ["refused"; 20]);
}

#[test]
fn a_guard_in_shadow_is_left_alone_too_and_changes_nothing() {
    let place = Place::new("workers = 1", &hostile("stuck", "loop", "deadline = \"50ms\"\nmode = \"shadow\""));
    let answers = place.check(&inferences("n", 10)).expect(0).json();
    assert_eq!(causes(&answers, "stuck")[4..6], ["deadline", "unavailable"]);
    assert!(answers.iter().all(|answer| answer["decision"] == "allow" && answer["failures"][0]["shadow"] == true));
    assert_eq!(events(&place, "stuck").len(), 1);
}

#[test]
fn a_guard_that_works_again_is_asked_again() {
    let more = "breaker = { failures = 3, pause = \"300ms\" }";
    let place = Place::new("workers = 2", &(hostile("touchy", "panic-on-word", more) + &hostile("good", "flag", "")));
    let service = Service::start(&place);
    for number in 0..3 {
        let answer = service.post(&inference(&format!("bad-{number}"), "crash")).expect(200);
        assert_eq!(answer["failures"][0]["cause"], "trap");
    }
    let answer = service.post(&inference("early", "fine")).expect(200);
    assert_eq!((&answer["decision"], &answer["failures"][0]["cause"]), (&"block".into(), &"unavailable".into()));
    assert_eq!(answer["findings"][0]["guard"], "good", "the other guard judges as before");
    assert_eq!(service.get("/readyz").expect(200)["open_breakers"], serde_json::json!(["touchy"]));
    assert!((service.metric("picket_breakers_open") - 1.0).abs() < 0.5);

    // A try that fails leaves it open, and one that goes well closes it.
    let mut number = 0;
    wait_for("a try", || {
        number += 1;
        let answer = service.post(&inference(&format!("again-{number}"), "crash")).expect(200);
        (answer["failures"][0]["cause"] == "trap").then_some(())
    });
    assert_eq!(service.get("/readyz").expect(200)["open_breakers"], serde_json::json!(["touchy"]));
    wait_for("the breaker closes", || {
        number += 1;
        let answer = service.post(&inference(&format!("again-{number}"), "fine")).expect(200);
        (answer["decision"] == "flag").then_some(())
    });
    assert_eq!(service.get("/readyz").expect(200)["open_breakers"], serde_json::json!([]));
    assert!((service.metric("picket_guard_events_total") - 2.0).abs() < 0.5);
    service.stop();
    let words: Vec<String> = events(&place, "touchy").into_iter().map(|(word, _)| word).collect();
    assert_eq!(words, ["breaker-opened", "breaker-closed"]);
    place.verify();
}
