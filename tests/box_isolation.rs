//! Nothing of one check is there in another: not in the next of the same guard, not in another guard's, not in another
//! model's. Guards that look for it everywhere find nothing, through the real program.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../engine/tests/engine/guard.rs"]
#[allow(dead_code, reason = "the engine's own tests use the rest")]
mod guard;
mod support;

use guard::{ANSWER, Guard, Image};
use serde_json::{Value, json};
use support::service::Service;
use support::{Place, hostile, inference, inferences};

/// What is hidden, in every word of memory that holds nothing else.
const MARK: &str = "(i64.const 0x5ec2e75ec2e75ec2)";
/// Elements of the table in which it is hidden too.
const ELEMENTS: u32 = 1000;

/// Fills with the mark: what is left of the first page, and all from the third page on, as far as memory can be grown;
/// the table; a global.
fn hide() -> String {
    format!(
        "{GROW}
         (call $fill (i32.const 20000) (i32.const 65528))
         (call $fill (i32.const 131072) (i32.mul (memory.size) (i32.const 65536)))
         (table.fill $secrets (i32.const 0) (ref.func $mark) (i32.const {ELEMENTS}))
         (global.set $secret {MARK})"
    )
}

/// Counts marks in all of memory that there is and all that can be had, in the table and in the global, and answers with
/// the counts and with the pages that there were at first.
fn scan() -> String {
    let slot = |index: u32| ANSWER + 32 + index * 24 + 16;
    format!(
        "(i64.store (i32.const {pages}) (i64.extend_i32_u (memory.size)))
         (i64.store (i32.const {elements}) (call $elements))
         (i64.store (i32.const {global}) (i64.extend_i32_u (i64.eq (global.get $secret) {MARK})))
         {GROW}
         (i64.store (i32.const {marks}) (call $marks))",
        marks = slot(0),
        elements = slot(1),
        global = slot(2),
        pages = slot(3),
    )
}

/// Nearly all of 8 MiB, and no more: a refused growth would be what a later failure is put down to.
const GROW: &str = "(loop $grow (if (i32.lt_u (memory.size) (i32.const 122))
    (then (drop (memory.grow (i32.const 8))) (br $grow))))";

const ANSWERED: &str = "(i32.const 4096)";

/// A guard that does this in `check`, and `after` it has answered.
fn suspect(check: &str, after: &str) -> Vec<u8> {
    let fields = format!(
        "(table $secrets {ELEMENTS} funcref)
         (elem declare func $mark)
         (func $mark)
         (global $secret (mut i64) (i64.const 0))
         (func $fill (param $at i32) (param $end i32)
            (loop $next
                (i64.store (local.get $at) {MARK})
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $next (i32.lt_u (local.get $at) (local.get $end)))))
         (func $marks (result i64)
            (local $at i32) (local $found i64)
            (loop $next
                (local.set $found (i64.add (local.get $found)
                    (i64.extend_i32_u (i64.eq (i64.load (local.get $at)) {MARK}))))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $next (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536)))))
            (local.get $found))
         (func $elements (result i64)
            (local $at i32) (local $found i64)
            (loop $next
                (local.set $found (i64.add (local.get $found)
                    (i64.extend_i32_u (i32.eqz (ref.is_null (table.get $secrets (local.get $at)))))))
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $at) (i32.const {ELEMENTS}))))
            (local.get $found))"
    );
    let answer = Image::verdict(0, &[], &[], &[("marks", 0), ("elements", 0), ("global", 0), ("pages", 0)]);
    Guard { answer, check: check.into(), post_check: after.into(), fields, ..Guard::default() }.component()
}

/// A `[[guard]]` made of this component.
fn table(place: &Place, name: &str, component: &[u8], more: &str) -> String {
    place.write(&format!("{name}.wasm"), component);
    let deadline = if more.contains("deadline") { "" } else { "deadline = \"5s\"\n" };
    format!(
        "[[guard]]\nname = \"{name}\"\ncomponent = \"{name}.wasm\"\nmemory = \"8MiB\"\non_failure = \"allow\"\n\
         breaker = \"off\"\n{deadline}{more}\n"
    )
}

/// What a scanning guard measured.
fn seen(answer: &Value, guard: &str) -> [Option<u64>; 4] {
    ["marks", "elements", "global", "pages"].map(|name| answer["measurements"][format!("{guard}.{name}")].as_u64())
}

const NOTHING: [Option<u64>; 4] = [Some(0), Some(0), Some(0), Some(2)];

#[test]
fn a_secret_in_memory_tables_and_globals_is_gone_whatever_ended_the_check_that_hid_it() {
    let place = Place::new("", "");
    let (hide, scan) = (hide(), scan());
    let forever = "(loop $again (br $again)) unreachable";
    let scans = || suspect(&format!("{scan} {ANSWERED}"), "");
    // All in one pool of two instances: each takes places over that another has just left.
    let guards = [
        table(&place, "both", &suspect(&format!("{scan} {hide} {ANSWERED}"), ""), ""),
        table(&place, "after-an-answer", &scans(), ""),
        table(&place, "hides-and-traps", &suspect(&format!("{hide} unreachable"), ""), ""),
        table(&place, "after-a-trap", &scans(), ""),
        table(&place, "hides-and-loops", &suspect(&format!("{hide} {forever}"), ""), "deadline = \"60ms\""),
        table(&place, "after-a-deadline", &scans(), ""),
        table(&place, "hides-and-traps-at-last", &suspect(&format!("{hide} {ANSWERED}"), "unreachable"), ""),
        table(&place, "after-a-post-return", &scans(), ""),
        table(&place, "hides-and-lies", &suspect(&format!("{hide} (i32.const -8)"), ""), ""),
        table(&place, "after-a-bad-answer", &scans(), ""),
    ]
    .concat();
    for workers in [1, 2] {
        place.configure(&format!("workers = {workers}\nguard_memory = \"16MiB\""), &guards);
        let answers = place.check(&inferences(&format!("of-{workers}"), 15)).expect(0).json();
        assert_eq!(answers.len(), 15);
        for answer in answers {
            let failed: Vec<_> =
                answer["failures"].as_array().unwrap().iter().map(|failure| &failure["cause"]).collect();
            assert_eq!(failed, ["trap", "deadline", "trap", "answer"], "{answer}");
            let scanners = [
                "both",
                "after-an-answer",
                "after-a-trap",
                "after-a-deadline",
                "after-a-post-return",
                "after-a-bad-answer",
            ];
            for scanner in scanners {
                assert_eq!(seen(&answer, scanner), NOTHING, "{scanner}: {answer}");
            }
        }
    }
}

/// The scan finds what is there: without this, the test above would pass with a scan that sees nothing.
#[test]
fn the_scan_finds_what_the_same_check_hid() {
    let place = Place::new("", "");
    let both = suspect(&format!("{} {} {ANSWERED}", hide(), scan()), "");
    place.configure("", &table(&place, "g", &both, ""));
    let answer = &place.check(&inference("a", "text")).expect(0).json()[0];
    let [marks, elements, global, pages] = seen(answer, "g").map(Option::unwrap);
    // All of 122 pages but the one that `cabi_realloc` hands out and the beginning of the first.
    assert!(marks > 122 * 8192 - 20_000, "{answer}");
    assert_eq!((elements, global, pages), (u64::from(ELEMENTS), 1, 122));
}

/// Two models, two workers, four callers at once: guards that keep what they see, and outputs that say whose they are.
#[test]
fn outputs_of_two_models_never_meet() {
    let models = "[[model]]\nname = \"red\"\n[[model]]\nname = \"blue\"\n";
    let remembers =
        hostile("remembers", "remember", "") + &hostile("marks", "redact", "") + &hostile("again", "remember", "");
    let place =
        Place::new("workers = 2\nguard_memory = \"64MiB\"\nretention = \"all\"", &format!("{models}{remembers}"));
    let service = Service::start(&place);
    std::thread::scope(|scope| {
        for caller in 0..4 {
            let caller_of = service.caller();
            scope.spawn(move || {
                let model = ["red", "blue"][caller % 2];
                for number in 0..50 {
                    let id = format!("{model}-{caller}-{number}");
                    let body = json!({ "id": id, "model": model, "output": { "text": format!("-{id}-secret") } });
                    let answer = caller_of.post(&body.to_string()).unwrap().json();
                    assert_eq!(answer["id"], *id);
                    assert_eq!(answer["output"]["text"], format!("*{id}-secret"), "{answer}");
                    // A guard that remembered would flag with what it remembers.
                    let found: Vec<_> =
                        answer["findings"].as_array().unwrap().iter().map(|finding| &finding["guard"]).collect();
                    assert_eq!(found, ["marks"], "{answer}");
                }
            });
        }
    });
    service.stop();
    let verdicts = place.entries("verdict");
    assert_eq!(verdicts.len(), 200);
    for entry in &verdicts {
        let text = entry.to_string();
        assert!(text.contains("red-") != text.contains("blue-"), "an entry of two models: {text}");
    }
    place.verify();
}
