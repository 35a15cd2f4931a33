//! Guards that must not be loaded.

use super::Ends::Refused;
use super::{Case, Component};
use crate::guard::{DESCRIPTOR, Guard, descriptor};
use wasm_encoder as encode;

const LOOP: &str = "(loop $again (br $again)) unreachable";
const SMALL: &str = "memory = \"4MiB\"";

fn bytes(name: &'static str, words: &'static str, bytes: Vec<u8>) -> Case {
    Case { name, component: Component::Bytes(bytes), table: "", ends: Refused(words) }
}

fn text(name: &'static str, words: &'static str, guard: Guard) -> Case {
    bytes(name, words, guard.component())
}

fn attack(name: &'static str, words: &'static str) -> Case {
    Case { name, component: Component::Attack(name), table: SMALL, ends: Refused(words) }
}

fn component(name: &'static str, words: &'static str, text: &str) -> Case {
    bytes(name, words, wat::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// A component whose only module has these fields.
fn module(name: &'static str, words: &'static str, fields: &str) -> Case {
    component(name, words, &format!("(component (core module {fields}))"))
}

fn described(name: &'static str, words: &'static str, descriptor: Vec<u8>) -> Case {
    text(name, words, Guard { descriptor, ..Guard::default() })
}

/// A descriptor whose settings schema says that it has `length` bytes, from `pointer` on.
fn schema_at(pointer: u32, length: u32) -> Vec<u8> {
    let mut bytes = descriptor("test", "1.0.0", "{}", 1, &["rule"]);
    bytes[24..28].copy_from_slice(&pointer.to_le_bytes());
    bytes[28..32].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// A descriptor that says that it has `count` rules.
fn rules(count: u32) -> Vec<u8> {
    let mut bytes = descriptor("test", "1.0.0", "{}", 1, &["rule"]);
    bytes[40..44].copy_from_slice(&count.to_le_bytes());
    bytes
}

fn leb(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

/// An honest guard with this section behind it.
pub(crate) fn with_section(id: u8, contents: &[u8]) -> Vec<u8> {
    [Guard::default().component(), vec![id], leb(contents.len()), contents.to_vec()].concat()
}

fn custom(name: &str, contents: &[u8]) -> Vec<u8> {
    [leb(name.len()), name.as_bytes().to_vec(), contents.to_vec()].concat()
}

/// Components within each other.
pub(crate) fn nested(depth: usize) -> Vec<u8> {
    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
    let mut inner = HEADER.to_vec();
    for _ in 0..depth {
        inner = [HEADER, &[4], &leb(inner.len()), &inner].concat();
    }
    inner
}

/// A component of one module with these functions, none of which is called.
fn functions(bodies: impl Iterator<Item = encode::Function>) -> Vec<u8> {
    let (mut functions, mut code) = (encode::FunctionSection::new(), encode::CodeSection::new());
    for body in bodies {
        functions.function(0);
        code.function(&body);
    }
    let mut types = encode::TypeSection::new();
    types.ty().function([encode::ValType::I32], [encode::ValType::I32]);
    let mut module = encode::Module::new();
    module.section(&types).section(&functions);
    module.section(&code);
    let mut guard = Guard::default().component();
    let module = module.finish();
    guard.push(1);
    guard.extend(leb(module.len()));
    guard.extend(module);
    guard
}

/// One function of `count` steps, each of which depends on those before it by way of 2,000 locals.
fn enormous(count: u32) -> encode::Function {
    let mut function = encode::Function::new([(2000, encode::ValType::I32)]);
    let mut code = function.instructions();
    for step in 0..count {
        let (from, to) = (1 + step.wrapping_mul(7919) % 2000, 1 + step % 2000);
        code.local_get(from).local_get(0).i32_add().local_get(to).i32_xor().local_set(to);
        if step % 8 == 0 {
            code.local_get(to).if_(encode::BlockType::Empty).local_get(from).local_set(to).end();
        }
    }
    code.local_get(1).end();
    function
}

/// One function of a branch table with `targets` ways out of `depth` blocks.
fn branching(depth: u32, targets: u32) -> encode::Function {
    let mut function = encode::Function::new([]);
    let mut code = function.instructions();
    for _ in 0..depth {
        code.block(encode::BlockType::Empty);
    }
    code.local_get(0).br_table((0..targets).map(|target| target % depth), 0);
    for _ in 0..depth {
        code.end();
    }
    code.local_get(0).end();
    function
}

/// Costs the compiler more than `compile_time = "1s"`.
pub(crate) fn slow_to_compile() -> Vec<u8> {
    functions((0..8).map(|_| enormous(100_000)))
}

/// Costs the compiler more than `compile_memory = "128MiB"`.
pub(crate) fn large_to_compile() -> Vec<u8> {
    functions((0..1).map(|_| enormous(500_000)))
}

/// Compiling bombs that an honest box, with its own limits, refuses or survives: what is asserted is that it ends.
pub(crate) fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("one-enormous-function", large_to_compile()),
        ("many-functions", functions((0..100_000).map(|_| enormous(2)))),
        ("a-branch-table-of-65000", functions((0..4).map(|_| branching(1000, 65_000)))),
        ("blocks-20000-deep", functions((0..1).map(|_| branching(20_000, 1)))),
    ]
}

/// Every case.
pub(crate) fn all() -> Vec<Case> {
    let honest = Guard::default().component();
    let cut = honest[..honest.len() - 3].to_vec();
    let mut flipped = honest.clone();
    // Within the first section's length.
    flipped[9] ^= 0x40;
    let unreachable = || "unreachable".to_owned();
    let in_configure = |what: &str| Guard { configure: what.into(), ..Guard::default() };
    let starting = |what: &str| Guard { fields: format!("(func $start {what}) (start $start)"), ..Guard::default() };
    let recursion = "(func $deeper (param i64) (result i64)
        (i64.add (call $deeper (i64.add (local.get 0) (i64.const 1))) (local.get 0)))";
    let limits = "picket:limits";
    vec![
        // No component of ours.
        bytes("empty-file", "the file is empty", Vec::new()),
        bytes("core-module", "it is a core module", Guard::default().module()),
        bytes("text", "it is WebAssembly text", b"(component)".to_vec()),
        bytes("script", "does not start like WebAssembly", b"#!/bin/sh\nexit 0\n".to_vec()),
        bytes("cut-off", "it is broken", cut),
        bytes("cut-off-in-the-first-section", "it is broken", honest[..40].to_vec()),
        bytes("bit-flipped", "it is broken", flipped),
        bytes("unknown-section", "it is broken", with_section(0x3f, b"?")),
        component("nothing-inside", "it exports nothing", "(component)"),
        Case { component: Component::Empty(200 << 20), ..bytes("two-hundred-megabytes", "has more than 64 MiB", vec![]) },
        bytes("components-100-deep", "it exports nothing", nested(100)),
        bytes("components-5000-deep", "it exports nothing", nested(5000)),
        // Custom sections.
        bytes("custom-section-of-70-mb", "has more than 64 MiB", with_section(0, &custom("x", &vec![0; 70 << 20]))),
        bytes("custom-section-without-a-name", "it is broken", with_section(0, &[])),
        bytes("custom-section-with-a-longer-name", "it is broken", with_section(0, &[0x7f, b'a'])),
        bytes("custom-section-beyond-the-end", "it is broken", [honest.as_slice(), &[0, 0xff, 0x7f, 1, b'a']].concat()),
        bytes("limits-that-are-no-json", limits, with_section(0, &custom(limits, b"{"))),
        bytes("limits-of-a-megabyte", limits, with_section(0, &custom(limits, &vec![b' '; 1 << 20]))),
        bytes("limits-of-zero", limits, with_section(0, &custom(limits, b"{\"memory_bytes\":0}"))),
        // Imports.
        component(
            "imports-wasi",
            "imports `wasi:filesystem/preopens@0.2.0#get-directories`",
            "(component (import \"wasi:filesystem/preopens@0.2.0\" (instance (export \"get-directories\" (func)))))",
        ),
        component(
            "imports-of-the-hosts-name",
            "imports `picket:host/ledger@0.1.0#append`",
            "(component (import \"picket:host/ledger@0.1.0\" (instance (export \"append\" (func)))))",
        ),
        component("imports-a-module", "imports `code`", "(component (import \"code\" (core module)))"),
        component("imports-a-component", "imports `part`", "(component (import \"part\" (component)))"),
        component("imports-a-resource", "imports `file`", "(component (import \"file\" (type (sub resource))))"),
        bytes("imports-a-thousand-things", "and 984 more", {
            let imports: String = (0..1000).map(|index| format!("(import \"f{index}\" (func))")).collect();
            wat::parse_str(format!("(component {imports})")).unwrap()
        }),
        // What guards of every engine do not have.
        module("memory-of-64-bits", "feature", "(memory i64 1)"),
        module("memory-shared-by-threads", "feature", "(memory 1 1 shared)"),
        module("atomic-instructions", "feature", "(memory 1) (func (drop (i32.atomic.load (i32.const 0))))"),
        module("garbage-collected-struct", "feature", "(type (struct (field i32)))"),
        module("external-reference", "feature", "(func (param externref))"),
        module("exceptions", "feature", "(tag (param i32))"),
        module("table-of-64-bits", "feature", "(table i64 1 funcref)"),
        text("three-memories", "memor", Guard { fields: "(memory 1) (memory 1)".into(), ..Guard::default() }),
        text("twenty-tables", "table", Guard { fields: "(table 1 funcref)".repeat(20), ..Guard::default() }),
        Case {
            table: SMALL,
            ..text("memory-above-its-limit", "needed more memory", Guard { memory: "100", ..Guard::default() })
        },
        text(
            "table-above-its-limit",
            "needed more table elements",
            Guard { fields: "(table 70000 funcref)".into(), ..Guard::default() },
        ),
        component("hundred-instances", "instance", &format!(
            "(component
                (core module $m (func (export \"f\"))) {}
                (func $f (canon lift (core func $i0 \"f\")))
                (instance $v (export \"describe\" (func $f)) (export \"configure\" (func $f)) (export \"check\" (func $f)))
                (export \"picket:guard/validation@0.1.0\" (instance $v)))",
            (0..100).map(|index| format!("(core instance $i{index} (instantiate $m))")).collect::<String>()
        )),
        // Worlds.
        component("exports-something-else", "lacks `picket:guard/validation@0.1.0`", "(component
            (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i \"f\"))) (export \"run\" (func $f)))"),
        component("exports-of-another-type", "differs from the contract", "(component
            (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i \"f\")))
            (instance $v (export \"describe\" (func $f)) (export \"configure\" (func $f)) (export \"check\" (func $f)))
            (export \"picket:guard/validation@0.1.0\" (instance $v)))"),
        component("exports-a-part-of-the-world", "", "(component
            (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i \"f\")))
            (instance $v (export \"describe\" (func $f)))
            (export \"picket:guard/validation@0.1.0\" (instance $v)))"),
        // Start function, `describe`, `configure`, and the allocator of their arguments.
        text("loop-in-the-start-function", "deadline", starting(LOOP)),
        text("trap-in-the-start-function", "failed in `instantiate`: trap", starting("unreachable")),
        text("loop-in-describe", "deadline", Guard { describe: LOOP.into(), ..Guard::default() }),
        text("trap-in-describe", "failed in `describe`: trap", Guard { describe: unreachable(), ..Guard::default() }),
        text("descriptor-beyond-the-memory", "failed in `describe`: answer", Guard {
            describe: "(i32.const -8)".into(),
            ..Guard::default()
        }),
        text("loop-in-configure", "deadline", in_configure(LOOP)),
        text("trap-in-configure", "failed in `configure`: trap", in_configure("unreachable")),
        text("recursion-in-configure", "failed in `configure`: trap", Guard {
            fields: recursion.into(),
            ..in_configure("(drop (call $deeper (i64.const 0))) unreachable")
        }),
        text("trap-in-the-first-allocation", "failed in `configure`: trap", Guard {
            before_allocation: unreachable(),
            ..Guard::default()
        }),
        attack("configure-panic", "failed in `configure`: trap"),
        attack("configure-memory", "failed in `configure`: memory"),
        attack("configure-many-problems", "guard `configure-many-problems`"),
        // Lying descriptors.
        described("name-with-a-terminal-escape", "describes itself wrongly", descriptor("\u{1b}[2J", "1.0.0", "{}", 1, &[])),
        described("name-of-a-kilobyte", "describes itself wrongly", descriptor(&"n".repeat(1000), "1.0.0", "{}", 1, &[])),
        described("version-that-is-none", "describes itself wrongly", descriptor("test", "latest", "{}", 1, &[])),
        described("schema-that-is-no-json", "not JSON", descriptor("test", "1.0.0", "{]", 1, &[])),
        described("rule-declared-twice", "twice", descriptor("test", "1.0.0", "{}", 1, &["rule", "rule"])),
        described("schema-of-four-gigabytes", "failed in `describe`: answer", schema_at(0, u32::MAX)),
        described("schema-beyond-the-memory", "failed in `describe`: answer", schema_at(u32::MAX - 4, 2)),
        described("schema-of-invalid-utf-8", "failed in `describe`: answer", {
            let mut bytes = schema_at(DESCRIPTOR, 4);
            bytes[0..4].copy_from_slice(&[0xff; 4]);
            bytes
        }),
        described("rules-without-end", "failed in `describe`: answer", rules(u32::MAX / 20)),
        described("six-thousand-rules", "", {
            let names: Vec<String> = (0..60).map(|index| format!("rule-{index}")).collect();
            let mut bytes = descriptor("test", "1.0.0", "{}", 1, &names.iter().map(String::as_str).collect::<Vec<_>>());
            bytes[40..44].copy_from_slice(&6000_u32.to_le_bytes());
            bytes
        }),
    ]
}
