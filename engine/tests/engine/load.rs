//! What is loaded, and what is refused with which words.

use picket_engine::{Engine, EngineOptions, Limits, LoadError, Start, World, inspect};

use crate::guard::{Guard, Image, PROBLEMS, descriptor, escaped};
use crate::{engine, load, patient, text};

fn refused(wasm: &[u8]) -> LoadError {
    refused_with(wasm, "{}", patient())
}

fn refused_with(wasm: &[u8], settings: &str, limits: Limits) -> LoadError {
    match engine().load_validator("suspect", wasm, settings, limits) {
        Ok(_) => panic!("it was loaded"),
        Err(error) => {
            assert!(error.to_string().contains("`suspect`"), "the guard is not named: {error}");
            error
        }
    }
}

#[test]
fn a_good_guard_is_snapshotted_and_checks() {
    let guard = load(&Guard::default());
    assert_eq!(guard.start(), Start::Snapshot);
    assert_eq!(guard.world(), World::Validator);
    assert_eq!(guard.descriptor().name, "test");
    assert_eq!(guard.descriptor().rules[0].id, "rule");
    let verdict = guard.check(&text("hello")).unwrap();
    assert_eq!(verdict.decision, picket_engine::Decision::Allow);
}

#[test]
fn a_guard_describes_itself_without_settings() {
    let (world, descriptor) = engine().describe("suspect", &Guard::default().component(), patient()).unwrap();
    assert_eq!((world, descriptor.name.as_str()), (World::Validator, "test"));
    // `configure` is not called: settings that nobody has yet are no hindrance.
    let unconfigurable = Guard { configure: "unreachable".into(), ..Guard::default() };
    assert!(engine().load_validator("suspect", &unconfigurable.component(), "{}", patient()).is_err());
    engine().describe("suspect", &unconfigurable.component(), patient()).unwrap();
    let error = engine().describe("suspect", b"(component)", patient()).unwrap_err().to_string();
    assert!(error.contains("`suspect`") && error.contains("text"), "{error}");
    let trapping = Guard { describe: "unreachable".into(), ..Guard::default() };
    assert!(matches!(
        engine().describe("suspect", &trapping.component(), patient()),
        Err(LoadError::Failed { during: "describe", .. })
    ));
}

#[test]
fn what_is_no_component_is_refused_by_what_it_is() {
    let component = Guard::default().component();
    let cases: [(&[u8], &str); 7] = [
        (b"", "empty"),
        (b"(component)", "text"),
        (b"#!/bin/sh\n", "does not start like WebAssembly"),
        (b"\0asm", "cut off"),
        (&Guard::default().module(), "core module"),
        (&component[..component.len() - 3], "broken"),
        (&[&component[..8], &[0xff; 64]].concat(), "broken"),
    ];
    for (wasm, expected) in cases {
        let error = refused(wasm);
        assert!(matches!(error, LoadError::NotAComponent { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error} lacks {expected:?}");
    }
}

#[test]
fn no_cut_or_flipped_component_brings_the_host_down() {
    let component = Guard::default().component();
    for end in (0..component.len()).step_by(97) {
        assert!(engine().load_validator("cut", &component[..end], "{}", patient()).is_err());
    }
    for at in (0..component.len()).step_by(131) {
        let mut flipped = component.clone();
        flipped[at] ^= 0x55;
        if let Ok(guard) = engine().load_validator("flipped", &flipped, "{}", patient()) {
            let _ = guard.check(&text("hello"));
        }
    }
}

#[test]
fn every_import_is_named() {
    let wasm = wat::parse_str(
        r#"(component
            (import "wasi:cli/environment@0.2.0" (instance (export "get-environment" (func))))
            (import "clock" (func (result u64)))
            (import "files" (instance (export "file" (type (sub resource)))))
            (type $shapes (instance (type $shape u8) (export "shape" (type (eq $shape)))))
            (import "shapes" (instance (type $shapes)))
        )"#,
    )
    .unwrap();
    let error = refused(&wasm);
    let LoadError::Imports { imports, .. } = &error else { panic!("{error:?}") };
    assert_eq!(imports, &["wasi:cli/environment@0.2.0#get-environment", "clock", "files#file"]);
    assert!(error.to_string().contains("may import nothing"));
}

#[test]
fn a_missing_world_is_named_by_its_export() {
    let error = refused(&wat::parse_str("(component)").unwrap());
    assert!(error.to_string().contains("picket:guard/validation@0.1.0"), "{error}");
    let detector = Guard { world: "detector", ..crate::detector::guard() };
    let error = refused(&detector.component());
    assert!(error.to_string().contains("it has the world `detector`"), "{error}");
}

#[test]
fn an_export_of_another_type_is_refused() {
    let wasm = wat::parse_str(
        r#"(component
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $v (export "describe" (func $f)) (export "configure" (func $f)) (export "check" (func $f)))
            (export "picket:guard/validation@0.1.0" (instance $v)))"#,
    )
    .unwrap();
    let error = refused(&wasm);
    assert!(matches!(error, LoadError::World { .. }), "{error:?}");
    assert!(error.to_string().contains("differs from the contract"), "{error}");
}

#[test]
fn a_component_over_the_cap_is_refused() {
    let engine = Engine::new(EngineOptions { max_component: 1000, instances: 1, ..EngineOptions::default() }).unwrap();
    let error = engine.load_validator("big", &Guard::default().component(), "{}", patient()).err().unwrap();
    assert!(matches!(error, LoadError::TooLarge { limit: 1000, .. }), "{error:?}");
}

#[test]
fn settings_that_are_not_json_are_refused() {
    let error = refused_with(&Guard::default().component(), "{", patient());
    assert!(matches!(error, LoadError::SettingsNotJson { .. }), "{error:?}");
}

#[test]
fn problems_with_the_settings_are_listed() {
    let mut problems = Image::new(PROBLEMS, 12);
    problems.bytes[0] = 1;
    let list = problems.list(4, 2, 16, 4);
    problems.text(list, "/action");
    problems.text(list + 8, "must be `redact` or `block`");
    problems.text(list + 16, "");
    problems.text(list + 24, "no entities");
    let guard =
        Guard { fields: format!("(data (i32.const {PROBLEMS}) \"{}\")", escaped(&problems.bytes)), ..Guard::default() };
    let error = refused(&guard.component());
    let LoadError::Settings { problems, .. } = &error else { panic!("{error:?}") };
    assert_eq!(problems.len(), 2);
    assert_eq!(
        error.to_string(),
        "guard `suspect` refuses its settings: /action: must be `redact` or `block`; no entities"
    );
}

#[test]
fn a_lying_descriptor_is_refused() {
    for (bytes, expected) in [
        (descriptor("no spaces here", "1.0.0", "{}", 0, &[]), "name"),
        (descriptor("test", "one", "{}", 0, &[]), "version"),
        (descriptor("test", "1.0.0", "{", 0, &[]), "schema"),
        (descriptor("test", "1.0.0", "{}", 0, &["a", "a"]), "twice"),
    ] {
        let error = refused(&Guard { descriptor: bytes, ..Guard::default() }.component());
        assert!(matches!(error, LoadError::Descriptor { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error} lacks {expected:?}");
    }
}

#[test]
fn limits_beyond_the_engine_are_refused() {
    let wasm = Guard::default().component();
    let error = refused_with(&wasm, "{}", Limits { memory: 8 << 30, ..patient() });
    assert!(error.to_string().contains("`memory`"), "{error}");
    let error = refused_with(&wasm, "{}", Limits { table_elements: 1 << 40, ..patient() });
    assert!(error.to_string().contains("`table_elements`"), "{error}");
}

#[test]
fn settings_reach_the_guard_in_canonical_form() {
    // `configure` keeps the length of its settings, and `check` gives it out as a measurement.
    let guard = Guard {
        configure: format!("(global.set $length (local.get 1)) (i32.const {PROBLEMS})"),
        check: format!(
            "(i64.store (i32.const {}) (i64.extend_i32_u (global.get $length))) (i32.const {})",
            crate::guard::ANSWER + 32 + 16,
            crate::guard::ANSWER
        ),
        answer: Image::verdict(0, &[], &[], &[("length", 0)]),
        fields: "(global $length (mut i32) (i32.const 0))".into(),
        ..Guard::default()
    };
    let loaded = engine().load_validator("test", &guard.component(), "{ \"b\": 1,  \"a\": 2 }", patient()).unwrap();
    let verdict = loaded.check(&text("")).unwrap();
    assert_eq!(verdict.measurements[0].value, picket_engine::Scalar::Integer(13));
    assert_eq!(*loaded.settings_digest(), picket_engine::settings_digest(r#"{"a":2,"b":1}"#).unwrap());
}

#[test]
fn a_component_that_cannot_be_snapshotted_is_configured_in_each_instance() {
    // `table.set` is beyond the snapshot. `configure` raises a global that `check` gives out: it must be 1 every time.
    let guard = Guard {
        configure: format!("(global.set $calls (i32.add (global.get $calls) (i32.const 1))) (i32.const {PROBLEMS})"),
        check: format!(
            "(i64.store (i32.const {}) (i64.extend_i32_u (global.get $calls)))
             (global.set $calls (i32.const 99)) (i32.const {})",
            crate::guard::ANSWER + 32 + 16,
            crate::guard::ANSWER
        ),
        answer: Image::verdict(0, &[], &[], &[("calls", 0)]),
        fields: "(global $calls (mut i32) (i32.const 0)) (table 1 funcref)
                 (func (table.set (i32.const 0) (ref.null func)))"
            .into(),
        ..Guard::default()
    };
    let loaded = load(&guard);
    assert_eq!(loaded.start(), Start::ConfiguredFresh);
    assert!(loaded.report().no_snapshot.as_ref().unwrap().contains("table.set"));
    for _ in 0..3 {
        let verdict = loaded.check(&text("")).unwrap();
        assert_eq!(verdict.measurements[0].value, picket_engine::Scalar::Integer(1));
    }
}

#[test]
fn inspection_tells_what_a_component_is() {
    let inspection = inspect(&Guard::default().component()).unwrap();
    assert_eq!(inspection.world, Some(World::Validator));
    assert_eq!(inspection.imports, Vec::<String>::new());
    assert!(inspection.exports.contains(&"picket:guard/validation@0.1.0".to_owned()));
    assert_eq!(inspection.no_snapshot, None);
    assert_eq!(inspection.modules, 1);
    assert!(inspection.code_bytes > 0);
}

#[test]
fn features_that_engines_compile_differently_are_refused() {
    for fields in ["(memory $shared 1 1 shared)", "(memory i64 1)", "(tag $t)"] {
        let text = format!("(component (core module {fields}))");
        let wasm = wat::parse_str(&text).unwrap();
        let error = refused(&wasm);
        assert!(matches!(error, LoadError::NotAComponent { .. }), "{fields}: {error:?}");
    }
}
