//! Guards that load and then attack.

use super::Ends::{Fails, Judges};
use super::{Case, Component, Ends, loads};
use crate::guard::{ANSWER, Guard, Image};

const LOOP: &str = "(loop $again (br $again)) unreachable";
const SOON: &str = "deadline = \"100ms\"";
const SMALL: &str = "memory = \"4MiB\"";

/// A case of `plugins/hostile`.
fn attack(name: &'static str, table: &'static str, ends: Ends) -> Case {
    Case { name, component: Component::Attack(name), table, ends }
}

/// A case in WebAssembly text.
fn text(name: &'static str, table: &'static str, ends: Ends, guard: Guard) -> Case {
    Case { name, component: Component::Bytes(guard.component()), table, ends }
}

fn answer(name: &'static str, answer: Vec<u8>) -> Case {
    text(name, "", Fails("answer"), Guard { answer, ..Guard::default() })
}

/// What `cabi_realloc` does when it is asked for the 120 bytes that an inference takes.
fn allocating(what: &str) -> Guard {
    let before_allocation = format!("(if (i32.eq (local.get 3) (i32.const 120)) (then {what}))");
    Guard { before_allocation, ..Guard::default() }
}

fn checking(what: &str) -> Guard {
    Guard { check: what.into(), ..Guard::default() }
}

/// An answer with one finding whose message has this pointer and this length.
fn message_at(pointer: u32, length: u32) -> Vec<u8> {
    let mut bytes = Image::verdict(1, &[], &[("rule", "m", None, None)], &[]);
    bytes[44..48].copy_from_slice(&pointer.to_le_bytes());
    bytes[48..52].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// An answer with this pointer to this many findings.
fn findings_at(pointer: u32, count: u32) -> Vec<u8> {
    let mut bytes = Image::verdict(1, &[], &[], &[]);
    bytes[16..20].copy_from_slice(&pointer.to_le_bytes());
    bytes[20..24].copy_from_slice(&count.to_le_bytes());
    bytes
}

/// 60,000 findings whose messages are the same 60,000 bytes: 3.6 GB, if the host were to take them.
fn one_message_many_times() -> Guard {
    let end = 131_072 + 60_000 * 64;
    let check = format!(
        "(local $at i32)
         (local.set $at (i32.const 131072))
         (loop $next
            (i32.store offset=12 (local.get $at) (i32.const 0))
            (i32.store offset=16 (local.get $at) (i32.const 60000))
            (local.set $at (i32.add (local.get $at) (i32.const 64)))
            (br_if $next (i32.lt_u (local.get $at) (i32.const {end}))))
         (i32.const {ANSWER})"
    );
    Guard { memory: "80", answer: findings_at(131_072, 60_000), check, ..Guard::default() }
}

fn recursing() -> Guard {
    Guard {
        check: format!("(drop (call $deeper (i64.const 0))) (i32.const {ANSWER})"),
        fields: "(func $deeper (param i64) (result i64)
                    (i64.add (call $deeper (i64.add (local.get 0) (i64.const 1))) (local.get 0)))"
            .into(),
        ..Guard::default()
    }
}

fn table_bomb() -> Guard {
    Guard {
        check: "(loop $more
                    (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 100)) (i32.const -1))))
                unreachable"
            .into(),
        fields: "(table $t 1 funcref)".into(),
        ..Guard::default()
    }
}

/// Makes handles to resources of its own, and drops none.
fn hoarding(check: &str) -> Guard {
    Guard {
        world: "hoarding",
        imports: "(import \"[export]hoard\" \"[resource-new]thing\" (func $new (param i32) (result i32)))
                  (import \"[export]hoard\" \"[resource-drop]thing\" (func $drop (param i32)))"
            .into(),
        fields: "(func (export \"hoard#[constructor]thing\") (result i32) (call $new (i32.const 0)))".into(),
        check: check.into(),
        ..Guard::default()
    }
}

/// Every case.
pub(crate) fn all() -> Vec<Case> {
    let mut invalid = message_at(ANSWER + 24, 4);
    invalid[24..28].copy_from_slice(&[0xc0, 0x80, 0xff, 0xfe]);
    // The measurements' list lies there; an empty one may point anywhere.
    invalid[28..32].copy_from_slice(&[0; 4]);
    let mut decision = vec![0; 64];
    decision[4] = 250;
    let mut variant = vec![0; 64];
    variant[0] = 9;
    let deep = Component::Bytes(loads::with_section(4, &loads::nested(5000)));
    vec![
        // Depth.
        Case { name: "guard-with-components-5000-deep", component: deep, table: "", ends: Judges },
        // Time.
        attack("loop", SOON, Fails("deadline")),
        text("loop-in-check", SOON, Fails("deadline"), checking(LOOP)),
        text("loop-in-post-return", SOON, Fails("deadline"), Guard { post_check: LOOP.into(), ..Guard::default() }),
        text("loop-in-the-allocator", SOON, Fails("deadline"), allocating(LOOP)),
        // Traps, in each function that a check runs.
        attack("panic", "", Fails("trap")),
        attack("unreachable", "", Fails("trap")),
        attack("out-of-bounds", "", Fails("trap")),
        attack("divide-by-zero", "", Fails("trap")),
        text("trap-in-check", "", Fails("trap"), checking("unreachable")),
        text("trap-in-post-return", "", Fails("trap"), Guard { post_check: "unreachable".into(), ..Guard::default() }),
        text("trap-in-the-allocator", "", Fails("trap"), allocating("unreachable")),
        text(
            "call-of-a-null-function",
            "",
            Fails("trap"),
            Guard {
                fields: "(table $t 1 funcref) (type $f (func (result i32)))".into(),
                ..checking("(call_indirect $t (type $f) (i32.const 0))")
            },
        ),
        // Stack, memory, tables, handles.
        attack("recurse", "", Fails("trap")),
        text("recursion-of-one-function", "", Fails("trap"), recursing()),
        attack("memory", SMALL, Fails("memory")),
        text(
            "memory-grown-until-refused",
            SMALL,
            Fails("memory"),
            checking("(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable"),
        ),
        attack("memory-polite", SMALL, Judges),
        text("table-bomb", "", Fails("memory"), table_bomb()),
        text(
            "handles-never-dropped",
            "",
            Fails("answer"),
            hoarding("(loop $more (drop (call $new (i32.const 0))) (br $more)) unreachable"),
        ),
        text(
            "some-handles-left",
            "",
            Judges,
            hoarding(&format!("(drop (call $new (i32.const 7))) (i32.const {ANSWER})")),
        ),
        text(
            "handle-dropped-twice",
            "",
            Fails("answer"),
            hoarding(
                "(local $thing i32)
             (local.set $thing (call $new (i32.const 7)))
             (call $drop (local.get $thing)) (call $drop (local.get $thing)) unreachable",
            ),
        ),
        // Answers that are too large.
        attack("refuse-huge", "", Fails("answer")),
        attack("huge-answer", "", Fails("answer")),
        attack("many-findings", "", Fails("answer")),
        attack("many-measurements", "", Fails("answer")),
        attack("huge-edit", "settings = { attack = \"huge-edit\", bytes = 2000000 }", Fails("answer")),
        text("one-message-many-times", "", Fails("answer"), one_message_many_times()),
        // Pointers, lengths and bytes that the canonical ABI does not allow.
        answer("invalid-utf-8", invalid),
        answer("string-beyond-the-memory", message_at(0xffff_fff0, 8)),
        answer("string-longer-than-the-memory", message_at(ANSWER, 0x7fff_ffff)),
        answer("list-beyond-the-memory", findings_at(0xffff_ff00, 1)),
        answer("list-longer-than-the-memory", findings_at(ANSWER, 0x0fff_ffff)),
        answer("list-whose-bytes-overflow", findings_at(ANSWER, u32::MAX)),
        answer("list-off-its-alignment", findings_at(ANSWER + 3, 1)),
        answer("decision-that-is-none", decision),
        answer("variant-that-is-none", variant),
        text("answer-beyond-the-memory", "", Fails("answer"), checking("(i32.const -8)")),
        text("answer-off-its-alignment", "", Fails("answer"), checking(&format!("(i32.const {})", ANSWER + 1))),
        text("allocation-beyond-the-memory", "", Fails("answer"), allocating("(return (i32.const -8))")),
        text("allocation-off-its-alignment", "", Fails("answer"), allocating("(return (i32.const 3))")),
        // Answers that break the contract.
        attack("refuse", "", Fails("refused")),
        attack("bad-span", "", Fails("answer")),
        attack("span-past-end", "", Fails("answer")),
        attack("span-off-border", "", Fails("answer")),
        attack("bad-path", "", Fails("answer")),
        attack("undeclared-rule", "", Fails("answer")),
        attack("nan-score", "", Fails("answer")),
        attack("infinite-score", "", Fails("answer")),
        attack("empty-redaction", "", Fails("answer")),
        attack("edit-input", "", Fails("answer")),
        attack("overlapping-edits", "", Fails("answer")),
        attack("edit-off-border", "", Fails("answer")),
        attack("edit-past-end", "", Fails("answer")),
    ]
}
