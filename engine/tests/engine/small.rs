//! A box with little address space. A limit of the process cannot be taken back, so these run in a child: this test
//! binary once more, under `ulimit`.

use std::process::Command;

use picket_engine::{Engine, EngineError, EngineOptions, Reservation};

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
    assert_eq!(engine.reservation(), Reservation::Tight);
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

#[test]
fn a_pool_that_does_not_fit_is_refused_with_advice() {
    if !in_child() {
        return confined("a_pool_that_does_not_fit_is_refused_with_advice", 2 << 20);
    }
    let options = EngineOptions { instances: 64, max_memory: 256 << 20, ..EngineOptions::default() };
    let error = Engine::new(options).err().unwrap();
    assert!(matches!(error, EngineError::AddressSpace { instances: 64, .. }), "{error:?}");
    assert!(error.to_string().contains("lower `instances` or `max_memory`"), "{error}");
}
