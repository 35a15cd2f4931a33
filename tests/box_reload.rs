//! Another configuration while the box runs, through the real program.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use support::service::Service;
use support::{Place, guard, hostile, inference, wait_for};

/// The digest of the policy in force.
fn policy(service: &Service) -> String {
    service.get("/readyz").expect(200)["policy"].as_str().unwrap().to_owned()
}

fn reload(place: &Place) -> Value {
    place.picket(&["--json", "reload"]).expect(0).json().remove(0)
}

/// The events in the ledger: guard, word and message.
fn events(place: &Place) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let event = |entry: &Value| {
        let event = &entry["body"]["guard-event"];
        (text(&event["guard"]), text(&event["event"]), text(&event["message"]))
    };
    place.entries("guard-event").iter().map(event).collect()
}

#[test]
fn a_new_guard_new_settings_and_a_new_order_come_in_force_without_a_restart() {
    let place = Place::new("", &hostile("one", "flag", ""));
    let service = Service::start(&place);
    let before = policy(&service);
    assert_eq!(service.post(&inference("a", "text")).expect(200)["decision"], "flag");

    place.configure("", &(hostile("two", "redact", "") + &hostile("one", "flag", "on_failure = \"allow\"")));
    let done = reload(&place);
    assert_eq!(
        (&done["loaded"], &done["retired"], &done["drained"]),
        (&"two".into_list(), &Value::Array(vec![]), &true.into())
    );
    let answer = service.post(&inference("b", "text")).expect(200);
    assert_eq!((&answer["decision"], &answer["output"]["text"]), (&"redact".into(), &"*ext".into()));
    let after = policy(&service);
    assert_ne!(before, after);
    assert_eq!(done["policy"], after);

    place.configure("", &hostile("two", "block", ""));
    let done = reload(&place);
    assert_eq!((&done["loaded"], &done["retired"]), (&"two".into_list(), &vec!["two", "one"].into_list()));
    assert_eq!(service.post(&inference("c", "text")).expect(200)["decision"], "block");
    let unchanged = reload(&place);
    assert_eq!((&unchanged["entry"], &unchanged["loaded"]), (&Value::Null, &Value::Array(vec![])));
    place.picket(&["doctor"]).expect(0);

    service.stop();
    assert_eq!(place.entries("config").len(), 3);
    let words: Vec<_> = events(&place).into_iter().map(|(guard, word, _)| (guard, word)).collect();
    let retired = |guard: &str| (guard.to_owned(), "retired".to_owned());
    assert_eq!(words, [retired("two"), retired("one")]);
    let names: Vec<_> =
        place.verdict("b")["guards"].as_array().unwrap().iter().map(|guard| guard["name"].clone()).collect();
    assert_eq!(names, ["two", "one"]);
    place.verify();
}

/// Names as the list that they are in an answer.
trait IntoList {
    fn into_list(self) -> Value;
}

impl IntoList for &str {
    fn into_list(self) -> Value {
        vec![self].into_list()
    }
}

impl IntoList for Vec<&str> {
    fn into_list(self) -> Value {
        Value::Array(self.into_iter().map(Value::from).collect())
    }
}

#[test]
fn a_bad_configuration_is_refused_with_its_place_and_the_old_one_stays() {
    let good = hostile("good", "flag", "");
    let place = Place::new("", &good);
    let service = Service::start(&place);
    let before = policy(&service);
    let cases: &[(&str, String, &[&str])] = &[
        ("", "[[guard]\n".to_owned(), &["picket.toml:5"]),
        ("", hostile("bad", "flag", "mode = \"dark\""), &["picket.toml:", "guard.bad.mode", "`dark`"]),
        (
            "",
            hostile("bad", "configure-problems", ""),
            &["picket.toml:7", "guard `bad` refuses its settings", "first of two"],
        ),
        ("", hostile("bad", "panic", ""), &["picket.toml:7", "guard `bad` fails in its first check", "trap"]),
        ("", hostile("bad", "loop", "deadline = \"20ms\""), &["guard `bad` fails in its first check", "deadline"]),
        ("", good.clone() + "[trust]\nunsigned = \"refuse\"\n", &["guard `good`", "sign"]),
        (
            "workers = 3\nqueue = 7",
            good.clone() + "[ledger]\nkey_lifetime = \"40d\"\n",
            &["only a restart changes edge.workers, edge.queue, ledger.key_lifetime"],
        ),
    ];
    for (edge, rest, words) in cases {
        place.configure(edge, rest);
        place.picket(&["reload"]).expect(2).says(words);
        assert_eq!(policy(&service), before, "{rest}");
        assert_eq!(service.post(&inference("a", "text")).expect(200)["decision"], "flag");
    }
    assert!((service.metric("picket_reloads_refused_total") - 7.0).abs() < 0.5);
    assert!((service.metric("picket_reloads_total")).abs() < 0.5);
    service.stop();
    let events = events(&place);
    assert_eq!(events.len(), cases.len(), "{events:#?}");
    for ((_, word, message), (_, _, words)) in events.iter().zip(cases) {
        assert_eq!(word, "refused");
        assert!(words.iter().all(|word| message.contains(word)), "{words:?} in {message}");
    }
    place.verify();
}

#[test]
fn without_a_service_there_is_nothing_to_reload() {
    let place = Place::new("", &hostile("good", "flag", ""));
    place.picket(&["reload"]).expect(2).says(&["no service runs with the data folder", "picket run"]);
}

#[test]
fn a_hangup_reloads_too() {
    let place = Place::new("", &hostile("one", "flag", ""));
    let service = Service::start(&place);
    place.configure("", &hostile("one", "block", ""));
    service.signal(Signal::HUP);
    wait_for("the new policy", || (service.get("/readyz").json()["policy"] != Value::Null).then_some(()));
    wait_for("the guard blocks", || {
        (service.post(&inference("a", "text")).expect(200)["decision"] == "block").then_some(())
    });
    place.configure("", "[[guard]\n");
    service.signal(Signal::HUP);
    wait_for("it is refused", || service.log().contains("the old one stays in force").then_some(()));
    assert_eq!(service.post(&inference("b", "text")).expect(200)["decision"], "block");
    service.stop();
}

/// More memory than any guard had at the start: another engine takes over.
#[test]
fn a_guard_may_ask_for_more_than_the_engine_was_started_with() {
    let place = Place::new("", &hostile("one", "flag", "memory = \"4MiB\""));
    let service = Service::start(&place);
    let large = "memory = \"64MiB\"\nsettings = { attack = \"configure-large\", bytes = 20000000 }";
    place.configure("", &(hostile("one", "flag", "memory = \"4MiB\"") + &hostile("two", "", large)));
    assert_eq!(reload(&place)["loaded"], "two".into_list());
    assert_eq!(service.post(&inference("a", "text")).expect(200)["decision"], "flag");
    service.stop();
    place.verify();
}

/// A detector that stays what it is counts its rows on; one that is changed begins anew, after handing over what it had.
#[test]
fn detectors_that_are_not_changed_go_on() {
    // Raises an alarm at each row whose number is a multiple of `count`.
    let detector = |batch: usize, count: usize| {
        let settings = format!("settings = {{ attack = \"none\", count = {count} }}");
        let component = guard("hostile-detector");
        format!(
            "[[detector]]\nname = \"d\"\ncomponent = \"{component}\"\ndeadline = \"20s\"\nbatch = {batch}\n{settings}\n"
        )
    };
    let place = Place::new("", &detector(7, 10));
    let service = Service::start(&place);
    let post =
        |name: &str| (0..25).for_each(|n| drop(service.post(&inference(&format!("{name}-{n}"), "x")).expect(200)));
    post("one");
    place.configure("", &(hostile("more", "flag", "") + &detector(5, 10)));
    assert_eq!(reload(&place)["loaded"], "more".into_list());
    post("two");
    place.configure("", &detector(5, 20));
    assert_eq!(reload(&place)["loaded"], "d".into_list());
    post("three");
    service.stop();
    let opened = |entry: &Value| entry["body"]["drift"]["opened"] == true;
    let row = |entry: &Value| entry["body"]["drift"]["row"].as_u64().unwrap();
    let rows: Vec<u64> = place.entries("drift").iter().filter(|entry| opened(entry)).map(row).collect();
    assert_eq!(rows, [0, 10, 20, 30, 40, 0, 20]);
    place.verify();
}

/// Two at once: one after the other, and the box is as the last of them says.
#[test]
fn reloads_come_one_after_the_other() {
    let place = Place::new("", &hostile("g", "flag", ""));
    let service = Service::start(&place);
    place.write("other.toml", std::fs::read_to_string(place.path("picket.toml")).unwrap().replace("flag", "block"));
    std::thread::scope(|scope| {
        for number in 0..8 {
            let file = if number % 2 == 0 { "picket.toml" } else { "other.toml" };
            let place = &place;
            scope.spawn(move || place.picket(&["reload", "--config", file]).expect(0));
        }
    });
    place.picket(&["reload", "--config", "other.toml"]).expect(0);
    assert_eq!(service.post(&inference("a", "text")).expect(200)["decision"], "block");
    service.stop();
    place.verify();
}

/// A breaker goes on where its guard does, and ends where its policy does.
#[test]
fn an_open_breaker_outlives_a_reload_that_leaves_its_guard_alone() {
    let touchy = |more: &str| hostile("touchy", "panic-on-word", more);
    let place = Place::new("workers = 1", &touchy("breaker = { failures = 2, pause = \"1h\" }"));
    let service = Service::start(&place);
    for number in 0..3 {
        service.post(&inference(&format!("a-{number}"), "crash")).expect(200);
    }
    place.configure(
        "workers = 1",
        &(touchy("breaker = { failures = 2, pause = \"1h\" }") + &hostile("more", "flag", "")),
    );
    reload(&place);
    let answer = service.post(&inference("b", "fine")).expect(200);
    assert_eq!(answer["failures"][0]["cause"], "unavailable");
    place.picket(&["doctor"]).expect(1);

    place.configure("workers = 1", &touchy("breaker = { failures = 3, pause = \"1h\" }"));
    reload(&place);
    assert_eq!(service.post(&inference("c", "fine")).expect(200)["decision"], "allow");
    service.stop();
    let words: Vec<_> = events(&place).into_iter().map(|(guard, word, _)| format!("{guard} {word}")).collect();
    assert_eq!(words, ["touchy breaker-opened", "touchy breaker-closed", "more retired"]);
}

/// How many callers and reloads: a few by default, the large run by `PICKET_RELOADS`.
fn large(default: usize) -> usize {
    std::env::var("PICKET_RELOADS").ok().and_then(|count| count.parse().ok()).unwrap_or(default)
}

#[test]
fn under_load_no_request_fails_and_each_answer_is_of_one_policy() {
    let reloads = large(12);
    let callers = if reloads > 12 { 64 } else { 8 };
    // One policy flags and redacts by two guards, the other allows and blocks: a mixture would be seen.
    let policies = [
        hostile("first", "flag", "") + &hostile("second", "redact", ""),
        hostile("first", "none", "") + &hostile("second", "block", ""),
    ];
    let place = Place::new("queue = 512", &policies[0]);
    let service = Service::start(&place);
    let over = AtomicBool::new(false);
    let mut answers: Vec<(String, String, usize)> = Vec::new();
    let mut digests = vec![policy(&service)];
    std::thread::scope(|scope| {
        let load = |caller: usize| {
            let (service, over) = (&service, &over);
            move || {
                let http = service.caller();
                let mut answers = Vec::new();
                let mut number = 0;
                while !over.load(Ordering::Relaxed) {
                    let id = format!("{caller}-{number}");
                    let answer = http.post(&inference(&id, "text")).unwrap().expect(200);
                    let findings = answer["findings"].as_array().unwrap().len();
                    assert_eq!(answer["failures"], Value::Array(vec![]), "{answer}");
                    answers.push((id, answer["decision"].as_str().unwrap().to_owned(), findings));
                    number += 1;
                }
                answers
            }
        };
        let threads: Vec<_> = (0..callers).map(|caller| scope.spawn(load(caller))).collect();
        for number in 1..=reloads {
            if number % 3 == 0 {
                place.configure("queue = 512", &hostile("first", "panic", ""));
                place.picket(&["reload"]).expect(2);
            }
            place.configure("queue = 512", &policies[number % 2]);
            let done = reload(&place);
            assert_eq!(done["drained"], true);
            digests.push(done["policy"].as_str().unwrap().to_owned());
        }
        over.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|thread| answers.extend(thread.join().unwrap()));
    });
    service.stop();

    assert_ne!(digests[0], digests[1]);
    let expected = |digest: &Value| if *digest == *digests[0] { ("redact", 2) } else { ("block", 1) };
    let mut known: BTreeMap<String, u64> = BTreeMap::new();
    let mut seen: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for entry in
        place.picket(&["--json", "log", "--limit", "0", "--kind", "config", "--kind", "verdict"]).expect(0).json()
    {
        let index = entry["index"].as_u64().unwrap();
        if let Some(digest) = entry["body"]["config"]["digest"].as_str() {
            known.entry(digest.to_owned()).or_insert(index);
            continue;
        }
        let verdict = &entry["body"]["verdict"];
        let digest = &verdict["policy"];
        assert!(known[digest.as_str().unwrap()] < index, "its policy stands before it");
        let (decision, findings) = expected(digest);
        assert_eq!(verdict["decision"], decision, "{entry}");
        seen.insert(verdict["inference_id"].as_str().unwrap().to_owned(), (decision.to_owned(), findings));
    }
    assert_eq!(seen.len(), answers.len());
    for (id, decision, findings) in &answers {
        assert_eq!(seen[id], (decision.clone(), *findings), "{id}: the answer and its entry are of the same policy");
    }
    assert!(answers.iter().any(|answer| answer.1 == "redact") && answers.iter().any(|answer| answer.1 == "block"));
    println!("{} answers by {callers} callers over {reloads} reloads", answers.len());
    place.verify();
}

/// Resident memory of a process in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn reloads_leave_nothing_behind() {
    let reloads = large(40);
    let settings =
        |count: usize| format!("settings = {{ attack = \"configure-large\", bytes = 4000000, count = {count} }}");
    let place = Place::new("", &hostile("g", "", &settings(0)));
    let service = Service::start(&place);
    let turn = |number: usize| {
        place.configure("", &hostile("g", "", &settings(number % 4)));
        assert_eq!(reload(&place)["drained"], true);
        service.post(&inference(&format!("a-{number}"), "text")).expect(200);
    };
    // The four versions are compiled, and the allocators have grown to what they keep.
    (1..=8).for_each(turn);
    let before = resident(service.pid());
    (9..=8 + reloads).for_each(turn);
    let after = resident(service.pid());
    println!("{before} KiB resident before {reloads} reloads, {after} KiB after");
    // Each version has an image of 4 MB: kept, they would be 160 MB after 40 reloads.
    assert!(after < before + 20_000, "{before} KiB before {reloads} reloads, {after} KiB after");
    service.stop();
}
