//! `picket run` over HTTP: right and wrong requests, health, metrics, backpressure, stopping.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use rustix::process::Signal;
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::service::{Reply, Service};
use support::{Place, hostile, inference, inferences};

#[test]
fn a_good_request_gets_a_verdict_that_is_in_the_ledger() {
    let place = Place::new("", &hostile("g", "redact", ""));
    let service = Service::start(&place);
    let answer = service.post(&inference("a", "hello")).expect(200);
    assert_eq!((&answer["decision"], &answer["output"]["text"]), (&"redact".into(), &"*ello".into()));
    let shown = place.picket(&["--json", "show", "a"]).expect(0).json().remove(0);
    assert_eq!((&shown["index"], &shown["leaf"]), (&answer["entry"]["index"], &answer["entry"]["leaf"]));
    service.stop();
    place.verify();
}

#[test]
fn bad_requests_are_refused_by_kind_and_field_and_judge_nothing() {
    let place = Place::new("max_inference = \"1KiB\"", "[[model]]\nname = \"m\"\n");
    let service = Service::start(&place);
    let refused = |reply: Reply, status: u16, kind: &str, field: Option<&str>| {
        let error = reply.expect(status)["error"].clone();
        assert_eq!((error["kind"].as_str(), error["field"].as_str()), (Some(kind), field), "{error}");
        assert!(!error["message"].as_str().unwrap().is_empty());
    };
    refused(service.post("{"), 400, "bad-inference", None);
    refused(service.post(""), 400, "bad-inference", None);
    refused(service.post(r#"{"id":"a","model":"m","colour":1}"#), 400, "bad-inference", Some("colour"));
    refused(service.post(r#"{"id":"a","model":"stranger"}"#), 400, "unknown-model", Some("model"));
    refused(service.post(&inference("a", &"x".repeat(2000))), 413, "too-large", None);
    let two = inference("a", "x") + &inference("b", "y");
    refused(service.post(&two), 400, "bad-inference", None);
    assert_eq!(service.get("/v1/check").status, 405);
    assert_eq!(service.get("/nowhere").status, 404);
    assert!(place.entries("verdict").is_empty());
    service.post(&inference("good", "x")).expect(200);
    service.stop();
}

#[test]
fn health_and_readiness_and_metrics_tell_how_it_is() {
    let place = Place::new("", &(hostile("g", "flag", "") + &hostile("t", "panic", "on_failure = \"allow\"")));
    let service = Service::start(&place);
    for id in ["a", "b", "c"] {
        service.post(&inference(id, "hello")).expect(200);
    }
    assert_eq!((service.get("/healthz").status, service.get("/healthz").text.as_str()), (200, "ok\n"));
    let ready = service.get("/readyz").expect(200);
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["policy"], place.verdict("a")["policy"]);
    let text = service.get("/metrics").text;
    let lines = [
        "picket_decisions_total{model=\"m\",decision=\"flag\"} 3",
        "picket_findings_total{guard=\"g\",rule=\"attack\",mode=\"enforce\"} 3",
        "picket_guard_failures_total{guard=\"t\",cause=\"trap\"} 3",
        "picket_judge_seconds_count 3",
    ];
    for line in lines {
        assert!(text.contains(line), "no {line} in {text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(service.metric("picket_ledger_commits_total") >= 3.0);
    assert_eq!(service.metric("picket_ledger_failures_total"), 0.0);
    service.stop();
}

#[test]
fn a_full_queue_turns_callers_away_and_loses_nobody() {
    let slow = hostile("slow", "loop", "deadline = \"300ms\"\non_failure = \"allow\"");
    let place = Place::new("workers = 1\nqueue = 1", &slow);
    let service = Service::start(&place);
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let call = |number: usize| {
            let caller = service.caller();
            scope.spawn(move || caller.post(&inference(&format!("n-{number}"), "x")).unwrap())
        };
        let threads: Vec<_> = (0..12).map(call).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (judged, away): (Vec<&Reply>, Vec<&Reply>) = replies.iter().partition(|reply| reply.status == 200);
    assert!(!judged.is_empty() && !away.is_empty(), "{replies:#?}");
    for reply in &away {
        assert_eq!((reply.status, reply.retry_after.as_deref()), (503, Some("1")), "{reply:#?}");
        assert!(reply.json().get("output").is_none());
    }
    assert_eq!(service.metric("picket_queue_length"), 0.0);
    service.stop();
    assert_eq!(place.entries("verdict").len(), judged.len(), "who was turned away left no entry, who was not left one");
    assert_all_there(&place, judged.iter().map(|reply| reply.json()));
}

/// Every answer's entry is in the ledger, at its index and with its leaf.
#[track_caller]
fn assert_all_there(place: &Place, answers: impl Iterator<Item = Value>) {
    let entries = place.entries("verdict");
    for answer in answers {
        let entry = &answer["entry"];
        assert!(entry["index"].is_u64(), "{answer}");
        let found = entries.iter().find(|found| found["index"] == entry["index"]);
        assert_eq!(found.map(|found| &found["leaf"]), Some(&entry["leaf"]), "{answer}");
    }
    place.verify();
}

#[test]
fn stopping_under_load_loses_nothing_that_was_answered() {
    let place = Place::new("", &hostile("g", "flag", ""));
    for round in 0..3 {
        let service = Service::start(&place);
        let done = AtomicUsize::new(0);
        let answers: Vec<Value> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6)
                .map(|thread| {
                    let (caller, done) = (service.caller(), &done);
                    scope.spawn(move || {
                        let mut answers = Vec::new();
                        // Until the service refuses or is gone.
                        while let Ok(reply) =
                            caller.post(&inference(&format!("{round}-{thread}-{}", answers.len()), "x"))
                        {
                            if reply.status != 200 {
                                break;
                            }
                            answers.push(reply.json());
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        answers
                    })
                })
                .collect();
            support::wait_for("some answers", || (done.load(Ordering::Relaxed) > 60).then_some(()));
            service.signal(Signal::TERM);
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let (code, log) = service.wait();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("stopping") && log.contains("stopped"), "{log}");
        assert_all_there(&place, answers.into_iter());
    }
    let service = Service::start(&place);
    assert!(!service.log().contains("did not end cleanly"), "{}", service.log());
    service.stop();
    let recoveries = place.entries("recovery");
    assert!(recoveries.iter().all(|entry| entry["body"]["recovery"]["clean"] == true), "{recoveries:#?}");
}

#[test]
fn an_open_connection_does_not_hold_up_the_end() {
    let place = Place::new("", "");
    let service = Service::start(&place);
    let idle = std::net::TcpStream::connect(&service.address).unwrap();
    service.post(&inference("a", "x")).expect(200);
    service.stop();
    drop(idle);
    place.verify();
}

#[test]
fn a_second_process_on_the_same_folder_is_told_who_holds_it() {
    let place = Place::new("", "");
    let service = Service::start(&place);
    let holder = format!("in use by process {}", service.pid());
    let ran = place.check(&inference("a", "x")).expect(3).says(&[&holder, "stop that process first"]);
    assert_eq!(ran.stdout, "");
    place.picket(&["run"]).expect(3).says(&[&holder]);
    place.check("").expect(3);
    service.post(&inference("b", "x")).expect(200);
    service.stop();
    place.verify();
    place.check(&inferences("n", 2)).expect(0);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let place = Place::new(&format!("listen = \"{address}\""), "");
    place.picket(&["run"]).expect(3).says(&["edge.listen", &address.to_string()]);
    assert!(!place.path("data/ledger").exists());
}

#[test]
fn a_record_reaches_the_ledger_through_the_running_service() {
    let place = Place::new("", "");
    let service = Service::start(&place);
    let slice =
        format!(r#"{{"name":"loans","version":"1","digest":"sha256:{}","rows":5,"source":"x"}}"#, "3".repeat(64));
    place.write("slice.json", slice);
    let recorded = place.picket(&["--json", "record", "dataset-slice", "--file", "slice.json"]).expect(0).json();
    let entry = &place.entries("dataset-slice")[0];
    assert_eq!((&entry["index"], &entry["leaf"]), (&recorded[0]["index"], &recorded[0]["leaf"]));
    place.picket(&["record", "dataset-slice", "--file", "picket.toml"]).expect(2).says(&["picket.toml"]);
    service.stop();
    assert_eq!(place.entries("dataset-slice").len(), 1);
    place.verify();
}

#[test]
fn a_socket_left_over_from_a_crash_is_replaced() {
    let place = Place::new("", "");
    let service = Service::start(&place);
    service.signal(Signal::KILL);
    service.wait();
    assert!(place.path("data/control.sock").exists());
    let service = Service::start(&place);
    assert!(service.log().contains("did not end cleanly"), "{}", service.log());
    assert_eq!(place.entries("recovery").len(), 2);
    service.stop();
    assert!(!place.path("data/control.sock").exists());
}
