//! `picket check`: JSONL in, one line out for each line in, in the same order, whatever the lines hold.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use support::{Place, guard, hostile, inference, inferences, wait_for};

#[test]
fn a_bad_line_is_named_by_number_and_the_rest_goes_on() {
    let place = Place::new("", &hostile("g", "none", ""));
    let bad = "{\"id\": \"b\", \"model\": \"m\", ";
    let input = format!("{}{bad}\n\n   \n{}", inference("a", "one"), inference("c", "two"));
    let ran = place.check(&input).expect(2).says(&["standard input:2: ", "2 judged", "1 bad lines"]);
    let answers = ran.json();
    assert_eq!(answers.len(), 3, "one line for each that is not blank: {ran:#?}");
    assert_eq!((&answers[0]["id"], &answers[2]["id"]), (&"a".into(), &"c".into()));
    assert_eq!(answers[1]["line"], 2);
    assert!(answers[1]["error"]["message"].as_str().unwrap().contains("EOF"), "{answers:#?}");
    assert_eq!(place.entries("verdict").len(), 2);
}

#[test]
fn every_kind_of_bad_line_names_its_field() {
    let cases = [
        ("not json at all", ""),
        ("[]", ""),
        (r#"{"model":"m"}"#, ""),
        (r#"{"id":"a","model":"m","colour":"red"}"#, "colour"),
        (r#"{"id":"a","model":"m","output":{"text":"x","txet":"y"}}"#, "output.txet"),
        (r#"{"id":"a","model":"m","output":{"text":"x","json":{}}}"#, "output"),
        (r#"{"id":"","model":"m"}"#, "id"),
        (r#"{"id":"a","model":"nobody"}"#, "model"),
        (r#"{"id":"a","model":"m","time":"yesterday"}"#, "time"),
        (r#"{"id":"a","model":"m","features":{"x":[1]}}"#, "features.x"),
        (r#"{"id":"a","model":"m","context":[{"id":"d","text":7}]}"#, "context[0].text"),
        (r#"{"id":"a","id":"b","model":"m"}"#, ""),
        (r#"{"id":"a","model":"m"} {"#, ""),
    ];
    let place = Place::new("", "[[model]]\nname = \"m\"\n");
    let input: String = cases.iter().map(|(line, _)| format!("{line}\n")).collect();
    let ran = place.check(&input).expect(2);
    let answers = ran.json();
    assert_eq!(answers.len(), cases.len());
    for (number, ((line, field), answer)) in cases.iter().zip(&answers).enumerate() {
        assert_eq!(answer["line"], number + 1, "{line}");
        assert_eq!(answer["error"]["field"], *field, "{line}: {answer}");
    }
    let of_model = &answers[7]["error"]["message"];
    assert!(of_model.as_str().unwrap().contains("known are: m"), "{of_model}");
    assert!(place.entries("verdict").is_empty(), "what is no inference never reaches a guard");
}

#[test]
fn bytes_that_are_no_utf8_are_a_bad_line() {
    let place = Place::new("", "");
    let mut bytes = inference("a", "one").into_bytes();
    bytes.extend(b"{\"id\":\"\xff\"}\n");
    bytes.extend(inference("c", "two").into_bytes());
    place.write("in.jsonl", bytes);
    let ran = place.picket(&["check", "--input", "in.jsonl"]).expect(2).says(&["in.jsonl:2: not UTF-8 from byte 7"]);
    assert_eq!(ran.json().len(), 3);
}

#[test]
fn a_line_of_a_hundred_megabytes_is_passed_over_in_bounded_memory() {
    let place = Place::new("", "");
    let mut command = place.command(&["check"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdin.write_all(inference("a", "before").as_bytes()).unwrap();
    stdin.write_all(b"{\"id\":\"huge\",\"model\":\"m\",\"output\":{\"text\":\"").unwrap();
    let megabyte = vec![b'x'; 1 << 20];
    for _ in 0..100 {
        stdin.write_all(&megabyte).unwrap();
    }
    stdin.write_all(b"\"}}\n").unwrap();
    stdin.write_all(inference("c", "after").as_bytes()).unwrap();
    // The pipe holds 64 KiB, so nearly all of the line has been read by now; the process still lives.
    let peak = peak_memory(child.id());
    drop(stdin);
    let mut output = String::new();
    stdout.read_to_string(&mut output).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2));
    assert!(peak < 256 << 20, "{peak} bytes");
    let answers: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 3);
    assert_eq!(answers[1]["line"], 2);
    let message = answers[1]["error"]["message"].as_str().unwrap();
    assert!(message.contains("edge.max_inference") && message.contains("16777216"), "{message}");
    assert_eq!(answers[2]["id"], "c");
}

/// Peak resident memory of a process, in bytes.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn max_inference_is_the_longest_line() {
    let line = inference("a", "exactly so long");
    let place = Place::new(&format!("max_inference = \"{}B\"", line.len() - 1), "");
    let longer = inference("b", "exactly so long!");
    let ran = place.check(&(line + &longer)).expect(2);
    assert_eq!(ran.json()[0]["decision"], "allow");
    assert_eq!(ran.json()[1]["line"], 2);
}

#[test]
fn verdicts_come_in_the_order_of_the_input_with_many_workers() {
    let place = Place::new("workers = 8\nqueue = 4", &hostile("g", "none", ""));
    let count = 2000;
    // Lengths differ, so that workers finish out of order.
    let input: String =
        (0..count).map(|n| inference(&format!("n-{n}"), &"word ".repeat(if n % 7 == 0 { 2000 } else { 1 }))).collect();
    let answers = place.check(&input).expect(0).json();
    assert_eq!(answers.len(), count);
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer["id"], format!("n-{number}"));
    }
    let mut indexes: Vec<u64> = answers.iter().map(|answer| answer["entry"]["index"].as_u64().unwrap()).collect();
    indexes.sort_unstable();
    indexes.dedup();
    assert_eq!(indexes.len(), count, "each has an entry of its own");
    place.verify();
}

#[test]
fn a_dry_run_writes_nothing_at_all() {
    let place = Place::new("", &hostile("g", "block", ""));
    let before = names(&place);
    let ran = place.pipe(&["check", "--dry-run"], &inference("a", "hello")).expect(1);
    assert_eq!(ran.decisions(), ["block"]);
    assert!(ran.json()[0].get("entry").is_none());
    assert_eq!(names(&place), before);
}

fn names(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(place.path("")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn input_and_output_may_be_files_and_must_be_there() {
    let place = Place::new("", "");
    place.write("in.jsonl", inferences("n", 3));
    let ran = place.picket(&["check", "--input", "in.jsonl", "--output", "out.jsonl"]).expect(0);
    assert_eq!(ran.stdout, "");
    assert_eq!(std::fs::read_to_string(place.path("out.jsonl")).unwrap().lines().count(), 3);
    place.picket(&["check", "--input", "missing.jsonl"]).expect(2).says(&["--input missing.jsonl: No such file"]);
    let nowhere = ["check", "--input", "in.jsonl", "--output", "no/such/folder"];
    place.picket(&nowhere).expect(2).says(&["--output no/such/folder: No such file"]);
    assert_eq!(place.entries("verdict").len(), 3, "what was refused judged nothing");
}

#[test]
fn an_empty_input_is_no_error() {
    let ran = Place::new("", "").check("").expect(0).says(&["0 judged"]);
    assert_eq!(ran.stdout, "");
}

#[test]
fn a_reader_that_has_had_enough_ends_the_run_quietly() {
    let place = Place::new("", "");
    let mut child =
        place.command(&["check"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let lines = inferences("n", 200);
        // Ends when the other side has had enough.
        while stdin.write_all(lines.as_bytes()).is_ok() {}
    });
    let status = wait_for("the run ends", || child.try_wait().unwrap());
    writer.join().unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(status.code(), Some(0), "{stderr}");
    // What was judged is recorded all the same, and the ledger was closed as it should be.
    place.verify();
    assert!(!place.entries("verdict").is_empty());
    place.check("").expect(0);
    assert_eq!(place.entries("recovery")[1]["body"]["recovery"]["clean"], true);
}

#[test]
fn exit_code_and_summary_say_what_was_found() {
    let place = Place::new("", &hostile("g", "block", ""));
    let ran = place.check(&inferences("n", 2)).expect(1).says(&["2 judged", "2 blocked"]);
    assert!(ran.json().iter().all(|answer| answer.get("output").is_none()), "{ran:#?}");
    let ran = place.pipe(&["check", "--json"], &inference("a", "hello")).expect(1);
    let summary: Value = serde_json::from_str(ran.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((&summary["judged"], &summary["block"]), (&1.into(), &1.into()));
}

#[test]
fn the_recorded_texts_get_the_decisions_they_are_to_get() {
    let recordings = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/recordings");
    let read = |name: &str| std::fs::read_to_string(recordings.join(name)).unwrap();
    let guards: Vec<Value> = serde_json::from_str(&read("texts.guards.json")).unwrap();
    let texts = read("texts.jsonl");
    let lines = |text: &str| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
    let place = Place::new("", &tables(&guards, &lines(&texts)));
    place.write("texts.jsonl", &texts);
    let ran = place.picket(&["check", "--input", "texts.jsonl"]).expect(1);
    let answers = ran.json();
    let expected = lines(&read("texts.expected.jsonl"));
    assert!(expected.len() > 30 && answers.len() == expected.len());
    for expected in &expected {
        let id = &expected["id"];
        let answer = answers.iter().find(|answer| answer["id"] == *id).unwrap();
        assert_eq!(answer["decision"], expected["decision"], "{id}: {answer:#}");
        assert_eq!(answer["failures"], Value::Array(vec![]), "{id}");
        let findings = answer["findings"].as_array().unwrap().iter();
        let enforced = findings.filter(|finding| finding["shadow"] != true);
        let rules = enforced.map(|finding| format!("{}.{}", text(&finding["guard"]), text(&finding["rule"])));
        let wanted = expected["rules"].as_array().unwrap().iter().map(|rule| text(rule).to_owned());
        assert_eq!(sorted(rules), sorted(wanted), "{id}: {answer:#}");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Names, each once, in order.
fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Models and guards of the recorded texts as configuration.
fn tables(guards: &[Value], texts: &[Value]) -> String {
    let mut config = String::new();
    for model in sorted(texts.iter().map(|inference| text(&inference["model"]).to_owned())) {
        config += &format!("[[model]]\nname = \"{model}\"\n");
    }
    for entry in guards {
        let (name, component) = (&entry["name"], entry["component"].as_str().unwrap());
        let component = guard(component.trim_end_matches(".wasm"));
        let settings: toml::Value = serde_json::from_value(entry["settings"].clone()).unwrap();
        let (models, settings) = (&entry["models"], settings.to_string());
        config += &format!(
            "[[guard]]\nname = {name}\ncomponent = \"{component}\"\nmodels = {models}\ndeadline = \"5s\"\nsettings = {settings}\n"
        );
    }
    config
}
