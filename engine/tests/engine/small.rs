//! A box with little address space. A limit of the process cannot be taken back, so these run in a child: this test
//! binary once more, under `ulimit`.

use std::process::Command;

use picket_engine::{Cause, Engine, EngineOptions, Reservation};

use crate::guard::Guard;
use crate::{patient, text};

const CHILD: &str = "PICKET_TEST_SMALL";

/// Runs test `name` alone, in a process that may map `kibibytes`.
fn confined(name: &str, kibibytes: u64) {
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -v {kibibytes}; exec \"$0\" --exact small::{name} --nocapture"))
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, "1")
        .env("RUST_TEST_THREADS", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

fn in_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

#[test]
fn two_gigabytes_hold_a_small_pool_with_bounds_checks() {
    if !in_child() {
        return confined("two_gigabytes_hold_a_small_pool_with_bounds_checks", 2 << 20);
    }
    let options = EngineOptions { instances: 4, streams: 1, max_memory: 32 << 20, ..EngineOptions::default() };
    let engine = Engine::new(options).unwrap();
    assert_eq!(engine.sizing().reservation, Reservation::Tight);
    let guard = engine.load_validator("test", &Guard::default().component(), "{}", patient()).unwrap();
    for _ in 0..20 {
        guard.check(&text("hello")).unwrap();
    }
    // Still out of bounds, also where no guard region catches it.
    let reader = Guard { check: "(i32.load (i32.const 900000))".into(), ..Guard::default() };
    let reader = engine.load_validator("reader", &reader.component(), "{}", patient()).unwrap();
    assert_eq!(reader.check(&text("hello")).unwrap_err().cause, picket_engine::Cause::Trap);
    let watch = crate::detector::guard().component();
    engine.load_detector("watch", &watch, "{}", b"", patient()).unwrap().status().unwrap();
}

/// The engine comes up with less, says so, and its guards judge.
#[track_caller]
fn smaller(options: EngineOptions, reservation: Reservation, instances: u32) {
    let max_memory = options.max_memory;
    let engine = Engine::new(options).unwrap();
    let sizing = engine.sizing();
    assert_eq!((sizing.reservation, sizing.instances), (reservation, instances), "{sizing:?}");
    let message = sizing.message().unwrap();
    assert!(message.contains("2048 MiB") && message.contains("checks run at a time instead of 64"), "{message}");
    let guard = engine.load_validator("test", &Guard::default().component(), "{}", patient()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10).for_each(|_| drop(guard.check(&text("hello")).unwrap())));
        }
    });
    // Limits hold there as anywhere: of memory, bounds and time.
    let grow = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    for (check, cause) in [
        (grow, Cause::Memory),
        ("(i32.load (i32.const 900000))", Cause::Trap),
        ("(loop $again (br $again)) unreachable", Cause::Deadline),
    ] {
        let guard = Guard { check: check.into(), ..Guard::default() }.component();
        let limits = picket_engine::Limits {
            memory: max_memory.min(8 << 20),
            deadline: std::time::Duration::from_millis(200),
            ..picket_engine::Limits::default()
        };
        let guard = engine.load_validator("bad", &guard, "{}", limits).unwrap();
        for _ in 0..3 {
            assert_eq!(guard.check(&text("hello")).unwrap_err().cause, cause, "{check}");
        }
    }
}

#[test]
fn a_pool_that_does_not_fit_gets_fewer_instances() {
    if !in_child() {
        return confined("a_pool_that_does_not_fit_gets_fewer_instances", 2 << 20);
    }
    let options = EngineOptions { instances: 64, max_memory: 32 << 20, ..EngineOptions::default() };
    smaller(options, Reservation::Tight, 8);
}

#[test]
fn where_no_pool_fits_each_check_makes_its_own_instance() {
    if !in_child() {
        return confined("where_no_pool_fits_each_check_makes_its_own_instance", 2 << 20);
    }
    let options = EngineOptions { instances: 64, max_memory: 1 << 30, ..EngineOptions::default() };
    smaller(options, Reservation::OnDemand, 2);
}
