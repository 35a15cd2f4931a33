//! Detectors: drift from recorded streams, states across restarts, and detectors that fail.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::Value;
use std::path::Path;
use support::service::Service;
use support::{Place, Ran, guard, inference, inferences, wait_for};

const MODEL: &str = "[[model]]\nname = \"tumour-screen\"\n";

fn recording(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/recordings").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// A `[[detector]]`; `more` are further lines of its table.
fn detector(component: &str, more: &str) -> String {
    format!("[[detector]]\nname = \"d\"\ncomponent = \"{}\"\ndeadline = \"20s\"\n{more}\n", guard(component))
}

/// A box with a drift detector and a reference made from the recorded one.
fn with_reference() -> Place {
    let place = Place::new("", &format!("{MODEL}{}", detector("drift", "batch = 50")));
    place.write("reference.jsonl", recording("tumour-reference.jsonl"));
    let fit = ["--json", "reference", "fit", "--detector", "d", "--from", "reference.jsonl", "-o", "reference.profile"];
    let fitted = place.picket(&fit).expect(0).json().remove(0);
    assert!(fitted["rows"].as_u64().unwrap() > 100 && fitted["streams"].as_u64().unwrap() >= 8, "{fitted}");
    place.configure("", &format!("{MODEL}{}", detector("drift", "batch = 50\nreference = \"reference.profile\"")));
    place
}

/// Judges rows `range` of the live recording.
fn judge(place: &Place, range: std::ops::Range<usize>) -> Ran {
    let live = recording("tumour-live.jsonl");
    let rows: String = live.lines().skip(range.start).take(range.len()).map(|line| format!("{line}\n")).collect();
    assert_eq!(rows.lines().count(), range.len());
    place.check(&rows)
}

fn opened(place: &Place) -> Vec<Value> {
    let drifts = place.entries("drift").into_iter().map(|entry| entry["body"]["drift"].clone());
    drifts.filter(|drift| drift["opened"] == true).collect()
}

#[test]
fn the_recorded_shift_is_found_and_the_calm_before_it_is_not() {
    let place = with_reference();
    judge(&place, 0..1000).expect(0).says(&["0 drift alarms"]);
    assert!(opened(&place).is_empty());
    let ran = judge(&place, 1000..1600).expect(1).says(&["drift: model tumour-screen, feature.mean_texture"]);
    let alarms = opened(&place);
    assert!(ran.stderr.contains(&format!("{} drift alarms", alarms.len())), "{ran:#?}");
    let texture = alarms.iter().find(|alarm| alarm["stream"] == "feature.mean_texture").unwrap();
    let row = texture["row"].as_u64().unwrap();
    assert!((1000..1600).contains(&row), "rows are numbered across restarts: {texture:#}");
    assert!(texture["statistic"].as_f64() > texture["threshold"].as_f64(), "{texture:#}");
    assert!(!texture["reference_bars"].as_array().unwrap().is_empty() && texture["reference"].is_string());
    place.verify();
}

#[test]
fn the_service_sees_the_same_shift() {
    let place = with_reference();
    let service = Service::start(&place);
    for line in recording("tumour-live.jsonl").lines().skip(900).take(500) {
        service.post(line).expect(200);
    }
    wait_for("an alarm", || (service.metric("picket_drift_alarms_opened_total") > 0.0).then_some(()));
    assert!(service.log().contains("feature.mean_texture"), "{}", service.log());
    service.stop();
    assert!(opened(&place).iter().any(|alarm| alarm["stream"] == "feature.mean_texture"));
}

#[test]
fn where_the_input_is_cut_into_runs_does_not_matter() {
    let (once, often) = (with_reference(), with_reference());
    judge(&once, 0..1400);
    for start in (0..1400).step_by(350) {
        judge(&often, start..start + 350);
    }
    let rows = |place: &Place| -> Vec<(String, u64)> {
        let row = |drift: &Value| (drift["stream"].as_str().unwrap().to_owned(), drift["row"].as_u64().unwrap());
        opened(place).iter().map(row).collect()
    };
    assert!(!rows(&once).is_empty());
    assert_eq!(rows(&once), rows(&often));
}

#[test]
fn rows_go_on_after_a_restart_and_none_is_counted_twice() {
    // Raises an alarm at each row whose number is a multiple of `count`.
    let every_tenth = detector("hostile-detector", "batch = 7\nsettings = { attack = \"none\", count = 10 }");
    let place = Place::new("", &every_tenth);
    place.check(&inferences("one", 25)).expect(1);
    place.check(&inferences("two", 25)).expect(1);
    let rows: Vec<u64> = opened(&place).iter().map(|alarm| alarm["row"].as_u64().unwrap()).collect();
    assert_eq!(rows, [0, 10, 20, 30, 40]);
}

#[test]
fn a_reference_is_refused_when_a_line_of_its_sample_is_bad() {
    let place = Place::new("", &detector("drift", ""));
    place.write("sample.jsonl", inference("a", "x") + "{\"id\":7}\n");
    let fit = |from: &str, name: &str| {
        place.picket(&["reference", "fit", "--detector", name, "--from", from, "-o", "x.profile"]).expect(2)
    };
    fit("sample.jsonl", "d").says(&["sample.jsonl:2: id"]);
    fit("missing.jsonl", "d").says(&["missing.jsonl: No such file"]);
    fit("sample.jsonl", "e").says(&["no [[detector]] called `e`", "d"]);
    assert!(!place.path("x.profile").exists());
}

#[test]
fn a_reference_that_is_none_is_refused_at_the_start() {
    let place = Place::new("", &detector("drift", "reference = \"rubbish.profile\""));
    place.write("rubbish.profile", "this is no profile");
    place.check(&inference("a", "x")).expect(2).says(&["picket.toml:6", "guard `d`"]);
}

#[test]
fn a_detector_that_fails_loses_its_rows_with_a_drop_entry_and_nothing_else() {
    let failing = [
        ("panic", "", "trap"),
        ("loop", "deadline = \"100ms\"", "deadline"),
        ("memory", "memory = \"4MiB\"", "memory"),
        ("refuse", "", "refused"),
        ("many-alarms", "findings = 8", "answer"),
        ("huge-answer", "answer = \"4KiB\"", "answer"),
        ("undeclared-rule", "", "answer"),
        ("nan-statistic", "", "answer"),
        ("snapshot-huge", "", "a state of 16777216 bytes"),
    ];
    for (attack, more, cause) in failing {
        let own = format!("batch = 5\nsettings = {{ attack = \"{attack}\" }}\n{more}");
        let table = detector("hostile-detector", &own);
        let table = if more.contains("deadline") { table.replace("deadline = \"20s\"\n", "") } else { table };
        let place = Place::new("", &table);
        let ran = place.check(&inferences("n", 12)).expect(0);
        assert_eq!(ran.decisions(), ["allow"; 12], "{attack}");
        let drops = place.entries("drop");
        let lost: u64 = drops.iter().map(|entry| entry["body"]["drop"]["count"].as_u64().unwrap()).sum();
        assert_eq!(lost, 12, "{attack}: {drops:#?}");
        let reason = drops[0]["body"]["drop"]["reason"].as_str().unwrap();
        assert!(reason.contains("detector d") && reason.contains(cause), "{attack}: {reason}");
        place.verify();
    }
}

#[test]
fn a_detector_that_fails_later_goes_on_from_its_last_good_state() {
    let table = detector("hostile-detector", "batch = 5\nsettings = { attack = \"panic-later\", count = 1 }");
    let place = Place::new("", &table);
    place.check(&inferences("n", 20));
    let lost: u64 = place.entries("drop").iter().map(|entry| entry["body"]["drop"]["count"].as_u64().unwrap()).sum();
    assert!(lost > 0 && lost < 20, "{lost} of 20");
}

#[test]
fn rows_wait_for_their_batch_no_longer_than_the_configuration_says() {
    let table =
        detector("hostile-detector", "batch = 1000\nevery = \"100ms\"\nsettings = { attack = \"none\", count = 1 }");
    let place = Place::new("", &table);
    let service = Service::start(&place);
    service.post(&inference("a", "x")).expect(200);
    wait_for("the alarm of an unfilled batch", || {
        (service.metric("picket_drift_alarms_opened_total") > 0.0).then_some(())
    });
    service.stop();
}

/// The attack panics in an instance that has had one batch before: with an instance for each model, the first batch of one
/// model is none of the other's.
#[test]
fn each_model_has_a_detector_of_its_own() {
    let models = "[[model]]\nname = \"m\"\n[[model]]\nname = \"other\"\n";
    let table = detector("hostile-detector", "batch = 5\nsettings = { attack = \"panic-later\", count = 1 }");
    let place = Place::new("", &format!("{models}{table}"));
    let other = |first: &str| inferences(first, 5).replace("\"m\"", "\"other\"");
    place.check(&(inferences("a", 5) + &other("b")));
    assert_eq!(place.entries("drop").len(), 0, "a first batch was somebody's second");
    place.check(&(other("c") + &inferences("d", 10)));
    let drops = place.entries("drop");
    assert!(!drops.is_empty(), "a second batch was nobody's");
}
