//! What a box refuses to start with: each mistake is named with its place, exit code 2, and nothing is left behind.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::{Place, Ran, guard, hostile, inference};

/// What `check` says to a configuration, which must be refused before anything is judged or recorded.
#[track_caller]
fn refused(place: &Place) -> Ran {
    let ran = place.check(&inference("a", "hello")).expect(2);
    assert_eq!(ran.stdout, "", "nothing is judged");
    assert!(!place.path("data/ledger").exists(), "a configuration that does not load leaves no ledger");
    ran
}

fn with_component(bytes: &[u8]) -> Place {
    let place = Place::new("", "[[guard]]\nname = \"g\"\ncomponent = \"g.wasm\"\n");
    place.write("g.wasm", bytes);
    place
}

#[test]
fn broken_toml_is_named_with_its_line() {
    refused(&Place::new("", "[[guard]\nname = \"x\"\n")).says(&["picket.toml:5"]);
    refused(&Place::new("queue = ", "")).says(&["picket.toml:4"]);
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    refused(&Place::new("qeue = 3", "")).says(&["picket.toml:4", "`qeue`", "`queue`"]);
}

#[test]
fn a_missing_configuration_is_named_for_every_command() {
    let place = Place::new("", "");
    for command in ["check", "run", "doctor", "keygen"] {
        place.picket(&[command, "--config", "nowhere.toml"]).expect(2).says(&["nowhere.toml"]);
    }
}

#[test]
fn a_missing_component_is_named_with_the_guards_line() {
    let place = Place::new("", "[[guard]]\nname = \"g\"\ncomponent = \"missing.wasm\"\n");
    refused(&place).says(&["picket.toml:7", "guard.g.component", "missing.wasm", "No such file"]);
}

#[test]
fn what_is_no_component_is_refused_with_what_it_is() {
    let module = wat::parse_str("(module)").unwrap();
    let whole = std::fs::read(guard("hostile")).unwrap();
    let truncated = &whole[..whole.len() / 2];
    let cases: [(&str, &[u8]); 4] =
        [("text", b"this is no WebAssembly"), ("empty", b""), ("core module", &module), ("truncated", truncated)];
    for (name, bytes) in cases {
        let ran = refused(&with_component(bytes)).says(&["picket.toml:6", "guard `g` is not a WebAssembly component"]);
        assert!(name != "core module" || ran.stderr.contains("core module"), "{ran:#?}");
    }
}

#[test]
fn every_byte_of_a_component_may_be_wrong_without_a_panic() {
    let whole = std::fs::read(guard("hostile")).unwrap();
    let step = whole.len() / 24;
    for place in (0..whole.len()).step_by(step) {
        let mut flipped = whole.clone();
        flipped[place] ^= 0x40;
        let at = with_component(&flipped);
        at.configure("", "[[guard]]\nname = \"g\"\ncomponent = \"g.wasm\"\nsettings = { attack = \"none\" }\n");
        // A flip in a constant or a name of no consequence may well load; then it judges.
        let ran = at.picket(&["check", "--dry-run"]);
        assert!(matches!(ran.code, Some(0 | 2)), "flip at {place}: {ran:#?}");
    }
}

#[test]
fn a_component_with_an_import_is_refused_with_its_name() {
    let imports =
        wat::parse_str(r#"(component (import "wasi:sockets/tcp@0.2.0" (instance (export "connect" (func)))))"#);
    refused(&with_component(&imports.unwrap())).says(&["imports", "wasi:sockets/tcp@0.2.0", "may import nothing"]);
}

#[test]
fn a_component_of_another_world_is_refused() {
    let text = |component: &str| format!("name = \"g\"\ncomponent = \"{component}\"\n");
    let detector = Place::new("", &format!("[[guard]]\n{}", text(&guard("hostile-detector"))));
    refused(&detector).says(&["picket.toml:6", "guard `g` does not have the world `validator`"]);
    let empty = wat::parse_str("(component)").unwrap();
    refused(&with_component(&empty)).says(&["guard `g` does not have the world `validator`"]);
    let validator = Place::new("", &format!("[[detector]]\n{}", text(&guard("hostile"))));
    validator.check(&inference("a", "hello")).expect(2).says(&["picket.toml:6", "world `detector`"]);
}

#[test]
fn settings_that_a_guard_refuses_are_shown_by_pointer() {
    let refusing = |settings: &str| Place::new("", &hostile("g", "", &format!("settings = {settings}")));
    refused(&refusing("{ attack = \"configure-problems\" }")).says(&[
        "guard `g` refuses its settings",
        "/attack",
        "first of two problems",
        "/count",
        "second of two problems",
    ]);
    refused(&refusing("{ attack = \"no-such-thing\" }")).says(&["/attack", "no-such-thing"]);
    refused(&refusing("{ attack = \"none\", atack = 1 }")).says(&["atack"]);
}

#[test]
fn a_guard_that_fails_while_it_is_configured_is_refused() {
    for attack in ["configure-panic", "configure-recurse", "configure-memory", "configure-many-problems"] {
        refused(&Place::new("", &hostile("g", attack, ""))).says(&["guard `g`"]);
    }
    let endless = hostile("g", "configure-loop", "deadline = \"50ms\"");
    refused(&Place::new("", &endless)).says(&["guard `g` failed in `configure`", "deadline"]);
}

#[test]
fn a_guard_that_is_off_is_checked_but_not_loaded() {
    let place = Place::new("", "[[guard]]\nname = \"g\"\ncomponent = \"g.wasm\"\nmode = \"off\"\n");
    place.write("g.wasm", "not loaded");
    assert_eq!(place.check(&inference("a", "hello")).expect(0).decisions(), ["allow"]);
}

#[test]
fn a_detector_that_does_not_load_leaves_no_ledger() {
    let component = guard("hostile-detector");
    let detector = format!("[[detector]]\nname = \"d\"\ncomponent = \"{component}\"\n");
    refused(&Place::new("", &format!("{detector}settings = {{ attack = \"configure-problems\" }}\n")))
        .says(&["picket.toml:6", "told to have a problem"]);
}

#[test]
fn the_doctor_names_a_detector_that_does_not_load() {
    let place = Place::new("", "[[detector]]\nname = \"d\"\ncomponent = \"d.wasm\"\n");
    place.write("d.wasm", "no component");
    let ran = place.picket(&["doctor"]).expect(1);
    assert!(ran.stdout.contains("WRONG  guards") && ran.stdout.contains("guard `d`"), "{ran:#?}");
}

#[test]
fn inspection_shows_what_a_component_is() {
    let place = Place::new("", "");
    let shown = &place.picket(&["--json", "guard", "inspect", &guard("pii")]).expect(0).json()[0];
    assert_eq!((&shown["world"], &shown["snapshot"]), (&"validator".into(), &true.into()));
    assert_eq!(shown["imports"].as_array().map(Vec::len), Some(0));
    assert!(shown["code_bytes"].as_u64().unwrap() > 10_000);
    let text = place.picket(&["guard", "inspect", &guard("pii")]).expect(0).stdout;
    assert!(text.contains("start    from a snapshot"), "{text}");
}
