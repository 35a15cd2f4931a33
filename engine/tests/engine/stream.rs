//! Streams: what may be released when, and a guard that releases what it must not.

use std::time::Duration;

use picket_engine::{Cause, Decision, Engine, EngineOptions, Inference, Limits, Validator, World};

use crate::guard::{ANSWER, Guard, Image};
use crate::{engine, load, patient, text};

/// A guard that releases what `push` (WebAssembly text that leaves an i32) says. Parameters: pointer, length of the
/// chunk; `$pushed` is all that was pushed so far.
fn streaming(push: &str, answer: Vec<u8>) -> Guard {
    let name = |function: &str| format!("picket:guard/streaming@0.1.0#{function}");
    Guard {
        world: "streaming-validator",
        answer,
        fields: format!(
            "(global $pushed (mut i32) (i32.const 0))
             (func (export \"{}\") (param i32) (result i32) (i32.const 20000))
             (func (export \"{}\") (param i32 i32) (result i32)
                (global.set $pushed (i32.add (global.get $pushed) (local.get 1)))
                (i64.store (i32.const 20008) (i64.extend_i32_s {push}))
                (i32.const 20000))
             (func (export \"{}\") (result i32) (i32.const {ANSWER}))",
            name("begin"),
            name("push"),
            name("finish"),
        ),
        ..Guard::default()
    }
}

fn loaded(push: &str) -> Validator {
    load(&streaming(push, Image::verdict(1, &[], &[("rule", "m", Some((2, "", Some((3, 5)))), None)], &[])))
}

#[test]
fn all_but_the_last_two_bytes_are_released_and_spans_count_from_the_start() {
    let guard = loaded(
        "(select (i32.sub (global.get $pushed) (i32.const 2)) (i32.const 0)
                        (i32.gt_u (global.get $pushed) (i32.const 2)))",
    );
    assert_eq!(guard.world(), World::StreamingValidator);
    let mut stream = guard.open_stream(&Inference::default()).unwrap().unwrap();
    assert_eq!(stream.push("a").unwrap(), 0);
    assert_eq!(stream.push("bcd").unwrap(), 2);
    assert_eq!(stream.push("ef").unwrap(), 4);
    assert_eq!(stream.released(), 4);
    let verdict = stream.finish().unwrap();
    assert_eq!(verdict.decision, Decision::Flag);
}

#[test]
fn a_span_beyond_the_stream_is_refused_at_its_end() {
    let guard = loaded("(i32.const 0)");
    let mut stream = guard.open_stream(&Inference::default()).unwrap().unwrap();
    stream.push("abcd").unwrap();
    assert_eq!(stream.finish().unwrap_err().cause, Cause::Answer);
}

#[test]
fn what_must_not_be_released_is_not() {
    for (push, chunks, expected) in [
        ("(i32.add (global.get $pushed) (i32.const 1))", ["ab", "cd"], "releases 3 of 2"),
        ("(i32.const -1)", ["ab", "cd"], "of 2 bytes"),
        ("(i32.sub (i32.const 2) (i32.shr_u (global.get $pushed) (i32.const 2)))", ["ab", "cd"], "takes back"),
        ("(i32.const 1)", ["é", ""], "half a character"),
    ] {
        let guard = loaded(push);
        let mut stream = guard.open_stream(&Inference::default()).unwrap().unwrap();
        let failure = chunks.into_iter().find_map(|chunk| stream.push(chunk).err()).expect(push);
        assert_eq!(failure.cause, Cause::Answer);
        assert!(failure.message.contains(expected), "{failure} lacks {expected:?}");
        assert_eq!(stream.push("more").unwrap_err().cause, Cause::Unavailable);
        assert_eq!(stream.finish().unwrap_err().cause, Cause::Unavailable);
    }
}

#[test]
fn a_loop_in_push_is_stopped() {
    let guard = streaming("(block (result i32) (loop $again (br $again)) (i32.const 0))", vec![0; 64]);
    let limits = Limits { deadline: Duration::from_millis(20), ..Limits::default() };
    let guard = engine().load_validator("test", &guard.component(), "{}", limits).unwrap();
    let mut stream = guard.open_stream(&Inference::default()).unwrap().unwrap();
    assert_eq!(stream.push("x").unwrap_err().cause, Cause::Deadline);
}

#[test]
fn a_streaming_guard_also_checks_whole_outputs_and_others_do_not_stream() {
    assert!(loaded("(i32.const 0)").check(&text("hello")).is_ok());
    assert!(load(&Guard::default()).open_stream(&Inference::default()).is_none());
}

#[test]
fn streams_have_places_of_their_own() {
    let engine = Engine::new(EngineOptions { instances: 1, streams: 2, ..EngineOptions::default() }).unwrap();
    let limits = Limits { deadline: Duration::from_millis(200), ..patient() };
    let guard = streaming("(i32.const 0)", vec![0; 64]).component();
    let guard = engine.load_validator("test", &guard, "{}", limits).unwrap();
    let open = || guard.open_stream(&Inference::default()).unwrap();
    let streams = [open().unwrap(), open().unwrap()];
    assert_eq!(open().err().map(|failure| failure.cause), Some(Cause::Unavailable));
    assert!(guard.check(&text("x")).is_ok());
    drop(streams);
    assert!(open().is_ok());
}
