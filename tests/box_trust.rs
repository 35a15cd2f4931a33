//! Who may vouch for a guard: nothing runs that the trust policy does not let in.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use support::{Place, guard, inference};

fn pii(more: &str) -> String {
    format!("[[guard]]\nname = \"pii\"\ncomponent = \"{}\"\n{more}\n", guard("pii"))
}

/// The ledger was never opened: there is none.
#[track_caller]
fn left_nothing(place: &Place) {
    assert!(!place.path("data/ledger").exists(), "a refused start leaves no ledger");
}

#[test]
fn an_unsigned_guard_is_refused_with_its_line_and_what_to_do() {
    let place = Place::new("", &format!("[trust]\n{}", pii("")));
    let what = ["picket.toml:7: guard `pii`: nobody signed", "picket guard sign", "--allow-unsigned"];
    place.check(&inference("a", "x")).expect(2).says(&what);
    place.picket(&["run"]).expect(2).says(&what);
    let doctor = place.picket(&["doctor"]).expect(1);
    assert!(doctor.stdout.contains("nobody signed"), "{doctor:?}");
    left_nothing(&place);
}

#[test]
fn an_unsigned_detector_is_refused_too() {
    let detector = format!("[trust]\n[[detector]]\nname = \"drift\"\ncomponent = \"{}\"\n", guard("drift"));
    let place = Place::new("", &detector);
    place.check(&inference("a", "x")).expect(2).says(&["guard `drift`: nobody signed"]);
    left_nothing(&place);
}

#[test]
fn unsigned_guards_run_when_told_to_and_the_ledger_says_so() {
    let place = Place::new("", &format!("[trust]\n{}", pii("")));
    place.pipe(&["check", "--allow-unsigned"], &inference("a", "x")).expect(0);
    let doctor = place.picket(&["doctor", "--allow-unsigned"]).stdout;
    assert!(doctor.contains("1 guards and 0 detectors load"), "{doctor}");
    place.configure("", &format!("[trust]\nunsigned = \"allow\"\n{}", pii("")));
    place.check(&inference("b", "x")).expect(0);
    let loads = place.entries("guard-load");
    assert_eq!(loads.len(), 2);
    for load in loads {
        let load = &load["body"]["guard-load"];
        assert_eq!(load["admitted"], "unsigned allowed");
        assert_eq!(load["signers"].as_array().unwrap().len(), 0);
        assert!(load["statement"].is_null());
    }
}
