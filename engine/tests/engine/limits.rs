//! Every limit, tripped: a failure with its cause or a refusal at load, and the next guard none the worse for it.

use std::time::{Duration, Instant};

use picket_engine::{Cause, Engine, EngineOptions, Failure, Limits, LoadError};

use crate::guard::{ANSWER, Guard, Image};
use crate::{check, engine, load, load_with, patient, text};

const LOOP: &str = "(loop $again (br $again)) unreachable";

/// A deadline that a loop will pass. The bound on how late it may be stopped only guards against a hang.
fn hasty() -> Limits {
    Limits { deadline: Duration::from_millis(20), load_deadline: Duration::from_millis(50), ..Limits::default() }
}

fn cause(result: Result<picket_engine::Verdict, Failure>) -> Cause {
    match result {
        Ok(verdict) => panic!("a verdict: {verdict:?}"),
        Err(failure) => {
            assert!(!failure.message.is_empty() && failure.message.len() <= Failure::MAX_MESSAGE_BYTES);
            failure.cause
        }
    }
}

fn failed_in(guard: &Guard, limits: Limits) -> (&'static str, Cause) {
    let started = Instant::now();
    let error = engine().load_validator("suspect", &guard.component(), "{}", limits).err().expect("it was loaded");
    assert!(started.elapsed() < Duration::from_secs(60), "stopped far too late");
    let LoadError::Failed { during, failure, .. } = error else { panic!("{error:?}") };
    (during, failure.cause)
}

#[test]
fn a_loop_in_check_is_stopped_at_the_deadline() {
    let loaded = load_with(&Guard { check: LOOP.into(), ..Guard::default() }, hasty());
    for _ in 0..3 {
        let started = Instant::now();
        assert_eq!(cause(loaded.check(&text("x"))), Cause::Deadline);
        assert!(started.elapsed() >= Duration::from_millis(20), "stopped before its deadline");
        assert!(started.elapsed() < Duration::from_secs(30), "stopped far too late");
    }
    assert!(load(&Guard::default()).check(&text("x")).is_ok());
}

#[test]
fn a_loop_after_the_answer_is_stopped_too() {
    let loaded = load_with(&Guard { post_check: LOOP.into(), ..Guard::default() }, hasty());
    assert_eq!(cause(loaded.check(&text("x"))), Cause::Deadline);
}

#[test]
fn a_loop_or_a_bad_pointer_of_the_allocator_is_stopped() {
    // An inference takes 120 bytes; nothing else does.
    let for_an_inference = |what: &str| Guard {
        before_allocation: format!("(if (i32.eq (local.get 3) (i32.const 120)) (then {what}))"),
        ..Guard::default()
    };
    let loaded = load_with(&for_an_inference(LOOP), hasty());
    assert_eq!(cause(loaded.check(&text("x"))), Cause::Deadline);
    for pointer in ["-8", "3", "131000"] {
        let bad = for_an_inference(&format!("(return (i32.const {pointer}))"));
        assert_eq!(cause(check(&bad, &text("x"))), Cause::Answer, "{pointer}");
    }
}

#[test]
fn a_loop_in_configure_describe_or_start_is_stopped_at_load() {
    let limits = hasty();
    let guard = Guard { configure: LOOP.into(), ..Guard::default() };
    assert_eq!(failed_in(&guard, limits), ("configure", Cause::Deadline));
    let guard = Guard { describe: LOOP.into(), ..Guard::default() };
    assert_eq!(failed_in(&guard, limits), ("describe", Cause::Deadline));
    let guard = Guard { fields: format!("(func $start {LOOP}) (start $start)"), ..Guard::default() };
    assert_eq!(failed_in(&guard, limits), ("instantiate", Cause::Deadline));
}

#[test]
fn traps_are_failures_wherever_they_happen() {
    let loaded = load(&Guard { check: "unreachable".into(), ..Guard::default() });
    let failure = loaded.check(&text("x")).unwrap_err();
    assert_eq!(failure.cause, Cause::Trap);
    assert!(failure.message.contains("unreachable"), "{failure}");
    let guard = Guard { check: "(i32.load (i32.const -4))".into(), ..Guard::default() };
    assert_eq!(cause(check(&guard, &text("x"))), Cause::Trap);
    let guard = Guard { post_check: "unreachable".into(), ..Guard::default() };
    assert_eq!(cause(check(&guard, &text("x"))), Cause::Trap);

    let trap = || "unreachable".to_owned();
    assert_eq!(failed_in(&Guard { configure: trap(), ..Guard::default() }, patient()), ("configure", Cause::Trap));
    assert_eq!(failed_in(&Guard { describe: trap(), ..Guard::default() }, patient()), ("describe", Cause::Trap));
    let guard = Guard { fields: "(func $start unreachable) (start $start)".into(), ..Guard::default() };
    assert_eq!(failed_in(&guard, patient()), ("instantiate", Cause::Trap));
}

#[test]
fn deep_recursion_is_a_trap() {
    let guard = Guard {
        check: format!("(drop (call $deeper (i64.const 0))) (i32.const {ANSWER})"),
        fields: "(func $deeper (param i64) (result i64)
                    (i64.add (call $deeper (i64.add (local.get 0) (i64.const 1))) (local.get 0)))"
            .into(),
        ..Guard::default()
    };
    let failure = check(&guard, &text("x")).unwrap_err();
    assert_eq!(failure.cause, Cause::Trap);
    assert!(failure.message.contains("stack"), "{failure}");
}

#[test]
fn a_memory_bomb_is_refused_its_memory() {
    let grow = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    let limits = Limits { memory: 4 << 20, ..patient() };
    let loaded = load_with(&Guard { check: grow.into(), ..Guard::default() }, limits);
    assert_eq!(cause(loaded.check(&text("x"))), Cause::Memory);
    assert_eq!(failed_in(&Guard { configure: grow.into(), ..Guard::default() }, limits), ("configure", Cause::Memory));
}

#[test]
fn a_guard_that_takes_the_refusal_well_has_not_failed() {
    let limits = Limits { memory: 4 << 20, ..patient() };
    let guard =
        Guard { check: format!("(drop (memory.grow (i32.const 1000))) (i32.const {ANSWER})"), ..Guard::default() };
    assert!(load_with(&guard, limits).check(&text("x")).is_ok());
}

#[test]
fn a_memory_that_starts_above_the_limit_is_refused() {
    let guard = Guard { memory: "100", ..Guard::default() };
    let (during, cause) = failed_in(&guard, Limits { memory: 4 << 20, ..patient() });
    assert_eq!((during, cause), ("instantiate", Cause::Memory));
}

#[test]
fn an_inference_larger_than_the_memory_is_a_memory_failure() {
    let loaded = load_with(&Guard::default(), Limits { memory: 4 << 20, ..patient() });
    assert_eq!(cause(loaded.check(&text(&"x".repeat(8 << 20)))), Cause::Memory);
    assert!(loaded.check(&text("x")).is_ok());
}

#[test]
fn a_table_bomb_is_refused_its_elements() {
    let guard = Guard {
        check: "(loop $more
                    (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 100)) (i32.const -1))))
                unreachable"
            .into(),
        fields: "(table $t 1 funcref)".into(),
        ..Guard::default()
    };
    let loaded = load_with(&guard, Limits { table_elements: 5000, ..patient() });
    let failure = loaded.check(&text("x")).unwrap_err();
    assert_eq!(failure.cause, Cause::Memory);
    assert!(failure.message.contains("table_elements"), "{failure}");

    let guard = Guard { fields: "(table $t 6000 funcref)".into(), ..Guard::default() };
    let error = engine()
        .load_validator("suspect", &guard.component(), "{}", Limits { table_elements: 5000, ..patient() })
        .err()
        .unwrap();
    assert!(error.to_string().contains("table_elements"), "{error}");
}

#[test]
fn many_core_instances_are_refused() {
    let instances: String = (0..100).map(|index| format!("(core instance $i{index} (instantiate $m))")).collect();
    let wasm = wat::parse_str(format!(
        r#"(component
            (core module $m (func (export "f")))
            {instances}
            (func $f (canon lift (core func $i0 "f")))
            (instance $v (export "describe" (func $f)) (export "configure" (func $f)) (export "check" (func $f)))
            (export "picket:guard/validation@0.1.0" (instance $v)))"#
    ))
    .unwrap();
    let error = engine().load_validator("suspect", &wasm, "{}", Limits { instances: 10, ..patient() }).err().unwrap();
    let LoadError::Failed { during: "instantiate", failure, .. } = &error else { panic!("{error:?}") };
    assert!(failure.message.contains("instance"), "{failure}");
}

#[test]
fn a_huge_answer_is_cut_off_before_it_costs_the_host_memory() {
    // 60,000 findings whose messages are the same 60,000 bytes: 3.6 GB, if the host were to take them.
    let mut answer = Image::new(ANSWER, 32);
    answer.put(16, &131_072_u32.to_le_bytes());
    answer.put(20, &60_000_u32.to_le_bytes());
    let fill = format!(
        "(local $at i32)
         (local.set $at (i32.const 131072))
         (loop $next
            (i32.store offset=12 (local.get $at) (i32.const 0))
            (i32.store offset=16 (local.get $at) (i32.const 60000))
            (local.set $at (i32.add (local.get $at) (i32.const 64)))
            (br_if $next (i32.lt_u (local.get $at) (i32.const {}))))
         (i32.const {ANSWER})",
        131_072 + 60_000 * 64
    );
    let guard = Guard { memory: "80", answer: answer.bytes, check: fill, ..Guard::default() };
    let failure = check(&guard, &text("x")).unwrap_err();
    assert_eq!(failure.cause, Cause::Answer);
    assert!(failure.message.contains("answer_bytes"), "{failure}");
}

#[test]
fn too_many_findings_are_a_bad_answer() {
    let findings = [("rule", "m", None, None); 9];
    let guard = Guard { answer: Image::verdict(1, &[], &findings, &[]), ..Guard::default() };
    let loaded = load_with(&guard, Limits { findings: 8, ..patient() });
    assert_eq!(cause(loaded.check(&text("x"))), Cause::Answer);
    assert!(load_with(&guard, Limits { findings: 9, ..patient() }).check(&text("x")).is_ok());
}

#[test]
fn checks_beyond_the_pool_wait_or_are_unavailable() {
    let engine = Engine::new(EngineOptions { instances: 2, streams: 0, ..EngineOptions::default() }).unwrap();
    let quick = engine.load_validator("quick", &Guard::default().component(), "{}", patient()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    quick.check(&text("x")).unwrap();
                }
            });
        }
    });

    let spinning = Guard { check: LOOP.into(), ..Guard::default() }.component();
    let limits = Limits { deadline: Duration::from_secs(2), ..Limits::default() };
    let spinning = engine.load_validator("spinning", &spinning, "{}", limits).unwrap();
    let hasty = Limits { deadline: Duration::from_millis(200), ..Limits::default() };
    let hasty = engine.load_validator("hasty", &Guard::default().component(), "{}", hasty).unwrap();
    std::thread::scope(|scope| {
        let spinners = [scope.spawn(|| spinning.check(&text("x"))), scope.spawn(|| spinning.check(&text("x")))];
        // Until both spin, and on a slow machine, there may be other outcomes.
        let unavailable = || hasty.check(&text("x")).is_err_and(|failure| failure.cause == Cause::Unavailable);
        let mut seen = unavailable();
        while !seen && !spinners.iter().all(|spinner| spinner.is_finished()) {
            seen = unavailable();
        }
        assert!(seen, "both places were taken for two seconds, and nobody noticed");
        for spinner in spinners {
            assert_eq!(cause(spinner.join().unwrap()), Cause::Deadline);
        }
    });
    assert!(quick.check(&text("x")).is_ok());
}

#[test]
fn bad_engine_options_are_named() {
    for (options, name) in [
        (EngineOptions { instances: 0, ..EngineOptions::default() }, "instances"),
        (EngineOptions { max_memory: 1, ..EngineOptions::default() }, "max_memory"),
        (EngineOptions { max_stack: 1, ..EngineOptions::default() }, "max_stack"),
        (EngineOptions { tick: Duration::ZERO, ..EngineOptions::default() }, "tick"),
    ] {
        let error = Engine::new(options).err().expect(name);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn the_guards_own_refusal_is_passed_on() {
    let guard = Guard { answer: Image::refusal("no schema for this model"), ..Guard::default() };
    let failure = check(&guard, &text("x")).unwrap_err();
    assert_eq!((failure.cause, failure.message.as_str()), (Cause::Refused, "no schema for this model"));
    let guard = Guard { answer: Image::refusal(&"\u{1b}[2J\n".repeat(1000)), ..Guard::default() };
    let failure = check(&guard, &text("x")).unwrap_err();
    assert!(failure.message.len() <= Failure::MAX_MESSAGE_BYTES);
    assert!(!failure.message.contains(char::is_control), "{failure:?}");
}
