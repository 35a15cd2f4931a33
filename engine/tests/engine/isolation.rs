//! Nothing that one check leaves behind is there in the next.

use picket_engine::Scalar;

use crate::guard::{ANSWER, Guard, Image, PROBLEMS};
use crate::{engine, load, patient, text};

/// Gives out what it finds in its memory, a global and its size, and then leaves something there.
fn hoarder() -> Guard {
    let slot = |index: u32| ANSWER + 32 + index * 24 + 16;
    Guard {
        answer: Image::verdict(0, &[], &[], &[("memory", 0), ("global", 0), ("pages", 0), ("configured", 0)]),
        configure: format!("(i32.store (i32.const 50000) (i32.const 7)) (i32.const {PROBLEMS})"),
        check: format!(
            "(i64.store (i32.const {}) (i64.load (i32.const 40000)))
             (i64.store (i32.const {}) (global.get $secret))
             (i64.store (i32.const {}) (i64.extend_i32_u (memory.size)))
             (i64.store (i32.const {}) (i64.load32_u (i32.const 50000)))
             (i64.store (i32.const 40000) (i64.const 4242))
             (i32.store (i32.const 50000) (i32.const 4242))
             (global.set $secret (i64.const 4242))
             (drop (memory.grow (i32.const 5)))
             (i64.store (i32.const 200000) (i64.const 4242))
             (i32.const {ANSWER})",
            slot(0),
            slot(1),
            slot(2),
            slot(3)
        ),
        fields: "(global $secret (mut i64) (i64.const 0))".into(),
        ..Guard::default()
    }
}

#[test]
fn a_secret_left_in_one_check_is_gone_in_the_next() {
    let guard = load(&hoarder());
    for _ in 0..50 {
        let verdict = guard.check(&text("x")).unwrap();
        let seen: Vec<_> = verdict.measurements.into_iter().map(|measurement| measurement.value).collect();
        assert_eq!(seen, [Scalar::Integer(0), Scalar::Integer(0), Scalar::Integer(2), Scalar::Integer(7)]);
    }
}

#[test]
fn two_guards_that_share_the_pool_never_meet() {
    // A guard that looks at the highest address that the other one wrote to, in a memory it has just grown.
    let reader = Guard {
        answer: Image::verdict(0, &[], &[], &[("seen", 0)]),
        check: format!(
            "(drop (memory.grow (i32.const 5)))
             (i64.store (i32.const {}) (i64.or (i64.load (i32.const 200000)) (i64.load (i32.const 40000))))
             (i32.const {ANSWER})",
            ANSWER + 32 + 16
        ),
        ..Guard::default()
    };
    let (reader, hoarder) = (load(&reader), load(&hoarder()));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..100 {
                    hoarder.check(&text("x")).unwrap();
                    let verdict = reader.check(&text("x")).unwrap();
                    assert_eq!(verdict.measurements[0].value, Scalar::Integer(0));
                }
            });
        }
    });
}

#[test]
fn one_component_with_two_settings_is_two_guards() {
    // Keeps the length of its settings.
    let guard = Guard {
        configure: format!("(global.set $length (local.get 1)) (i32.const {PROBLEMS})"),
        check: format!(
            "(i64.store (i32.const {}) (i64.extend_i32_u (global.get $length))) (i32.const {ANSWER})",
            ANSWER + 32 + 16
        ),
        answer: Image::verdict(0, &[], &[], &[("length", 0)]),
        fields: "(global $length (mut i32) (i32.const 0))".into(),
        ..Guard::default()
    };
    let wasm = guard.component();
    let short = engine().load_validator("short", &wasm, "{}", patient()).unwrap();
    let long = engine().load_validator("long", &wasm, "[1,2,3]", patient()).unwrap();
    assert_eq!(short.component_digest(), long.component_digest());
    assert_ne!(short.settings_digest(), long.settings_digest());
    for _ in 0..3 {
        assert_eq!(short.check(&text("x")).unwrap().measurements[0].value, Scalar::Integer(2));
        assert_eq!(long.check(&text("x")).unwrap().measurements[0].value, Scalar::Integer(7));
    }
}
