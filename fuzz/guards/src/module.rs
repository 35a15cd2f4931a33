//! Guards of the contract with random functions.
//!
//! wasm-smith makes a module that exports what a guard must. `describe`, `configure` and `cabi_realloc` mostly get honest
//! bodies in place of theirs, since a guard that cannot say its name is refused before it can do any harm: it is in
//! `check`, in what comes after it, and in the start function that randomness is at work.

use arbitrary::{Result, Unstructured};
use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, ExportKind, Function, Instruction, Module, RawSection, SectionId,
};
use wasmparser::{ExternalKind, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const DESCRIBE: &str = "picket:guard/validation@0.1.0#describe";
const CONFIGURE: &str = "picket:guard/validation@0.1.0#configure";
const CHECK: &str = "picket:guard/validation@0.1.0#check";
const POST_CHECK: &str = "cabi_post_picket:guard/validation@0.1.0#check";
const REALLOC: &str = "cabi_realloc";
const STREAMING: [(&str, &[wasm_encoder::ValType], &[wasm_encoder::ValType]); 3] = [
    ("picket:guard/streaming@0.1.0#begin", &[wasm_encoder::ValType::I32], &[wasm_encoder::ValType::I32]),
    (
        "picket:guard/streaming@0.1.0#push",
        &[wasm_encoder::ValType::I32, wasm_encoder::ValType::I32],
        &[wasm_encoder::ValType::I32],
    ),
    ("picket:guard/streaming@0.1.0#finish", &[], &[wasm_encoder::ValType::I32]),
];

/// Where the descriptor lies.
const DESCRIPTOR: i32 = 1024;
/// Where `ok` of `configure` and the verdict `allow` lie: nothing but zeros, unless the guard writes there.
const ZEROS: i32 = 4096;

/// A guard whose functions are what `bytes` make of them.
pub(crate) fn guard(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let streams = bytes.ratio(1, 4)?;
    let config = wasm_smith::Config {
        exports: Some(shape(streams)),
        max_imports: 0,
        max_memories: 1,
        max_memory32_bytes: 1 << 30,
        max_tables: 4,
        max_table_elements: 100_000,
        max_data_segments: 0,
        max_funcs: 20,
        max_instructions: 400,
        memory64_enabled: false,
        threads_enabled: false,
        gc_enabled: false,
        exceptions_enabled: false,
        compact_imports_enabled: false,
        relaxed_simd_enabled: bytes.arbitrary()?,
        simd_enabled: true,
        tail_call_enabled: bytes.arbitrary()?,
        bulk_memory_enabled: true,
        // Half of what it makes with them needs garbage collection, and is refused.
        reference_types_enabled: bytes.ratio(1, 8)?,
        wide_arithmetic_enabled: false,
        multi_value_enabled: true,
        disallow_traps: bytes.arbitrary()?,
        ..wasm_smith::Config::default()
    };
    let module = wasm_smith::Module::new(config, bytes)?.to_bytes();
    let lies = bytes.ratio(1, 8)?;
    let kept: &[&str] = if lies { &[CHECK, POST_CHECK, DESCRIBE] } else { &[CHECK, POST_CHECK] };
    let module = with_honest_bodies(&module, kept);
    Ok(component(module, streams))
}

/// A guard that allows everything.
pub(crate) fn honest() -> Vec<u8> {
    component(with_honest_bodies(&shape(false), &[]), false)
}

/// A module that exports what a guard does, with bodies that trap.
fn shape(streams: bool) -> Vec<u8> {
    use wasm_encoder::ValType::I32;
    let mut exports = vec![
        (REALLOC, &[I32, I32, I32, I32][..], &[I32][..]),
        (DESCRIBE, &[], &[I32]),
        (CONFIGURE, &[I32, I32], &[I32]),
        (CHECK, &[I32], &[I32]),
        (POST_CHECK, &[I32], &[]),
    ];
    if streams {
        exports.extend(STREAMING);
    }
    let mut types = wasm_encoder::TypeSection::new();
    let mut functions = wasm_encoder::FunctionSection::new();
    let mut names = wasm_encoder::ExportSection::new();
    let mut code = CodeSection::new();
    for (index, (name, parameters, results)) in (0_u32..).zip(exports) {
        types.ty().function(parameters.iter().copied(), results.iter().copied());
        functions.function(index);
        names.export(name, ExportKind::Func, index);
        let mut body = Function::new([]);
        body.instructions().unreachable().end();
        code.function(&body);
    }
    let mut memories = wasm_encoder::MemorySection::new();
    memories.memory(wasm_encoder::MemoryType {
        minimum: 2,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    names.export("memory", ExportKind::Memory, 0);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&memories).section(&names).section(&code);
    module.finish()
}

/// `module` with bodies that keep the contract for all exported functions but those of the names `kept`, and with a
/// descriptor in its memory.
fn with_honest_bodies(module: &[u8], kept: &[&str]) -> Vec<u8> {
    let mut honest: Vec<(u32, Vec<Instruction<'static>>)> = Vec::new();
    let mut out = Module::new();
    let mut code: Option<CodeSection> = None;
    let mut function = 0;
    for payload in Parser::new(0).parse_all(module) {
        match payload.expect("wasm-smith makes valid modules") {
            Payload::Version { .. } | Payload::End(_) | Payload::DataSection(_) => {}
            Payload::ExportSection(section) => {
                let range = section.range();
                for export in section {
                    let export = export.expect("valid");
                    if export.kind == ExternalKind::Func && !kept.contains(&export.name) {
                        honest.extend(body(export.name).map(|body| (export.index, body)));
                    }
                }
                out.section(&RawSection { id: SectionId::Export.into(), data: &module[range] });
            }
            Payload::CodeSectionStart { .. } => code = Some(CodeSection::new()),
            Payload::CodeSectionEntry(original) => {
                let code = code.as_mut().expect("the section has begun");
                match honest.iter().find(|(index, _)| *index == function) {
                    Some((_, instructions)) => {
                        let mut body = Function::new([]);
                        for instruction in instructions {
                            body.instruction(instruction);
                        }
                        body.instructions().end();
                        code.function(&body);
                    }
                    None => drop(code.raw(&module[original.range()])),
                }
                function += 1;
            }
            other => {
                if let Some((id, range)) = other.as_section() {
                    out.section(&RawSection { id, data: &module[range] });
                }
            }
        }
    }
    if let Some(code) = code {
        out.section(&code);
    }
    let mut data = DataSection::new();
    data.active(0, &ConstExpr::i32_const(DESCRIPTOR), descriptor());
    out.section(&data);
    out.finish()
}

/// What a guard that keeps the contract does; none where any body will do.
fn body(export: &str) -> Option<Vec<Instruction<'static>>> {
    Some(match export {
        DESCRIBE => vec![Instruction::I32Const(DESCRIPTOR)],
        CONFIGURE | CHECK => vec![Instruction::I32Const(ZEROS)],
        POST_CHECK => vec![],
        // Fresh pages for each allocation: `memory.grow((size + 65535) >> 16) << 16`.
        REALLOC => vec![
            Instruction::LocalGet(3),
            Instruction::I32Const(65_535),
            Instruction::I32Add,
            Instruction::I32Const(16),
            Instruction::I32ShrU,
            Instruction::MemoryGrow(0),
            Instruction::I32Const(16),
            Instruction::I32Shl,
        ],
        _ => return None,
    })
}

/// The record `descriptor` in the layout of the canonical ABI, at [`DESCRIPTOR`]: name, version, summary, schema, needs,
/// and one rule.
fn descriptor() -> Vec<u8> {
    const HEAD: usize = 44;
    const RULE: usize = 20;
    let mut bytes = vec![0; HEAD + RULE];
    let mut end = bytes.len();
    let mut texts = Vec::new();
    let mut place = |at: usize, text: &str| {
        texts.push((at, end, text.len()));
        end += text.len();
    };
    for (at, text) in [(0, "random"), (8, "1.0.0"), (16, "a guard"), (24, "{}"), (HEAD, "rule"), (HEAD + 8, "a rule")] {
        place(at, text);
    }
    let address = |offset: usize| u32::try_from(offset).unwrap_or(0) + DESCRIPTOR.unsigned_abs();
    for (at, start, length) in texts {
        bytes[at..at + 4].copy_from_slice(&address(start).to_le_bytes());
        bytes[at + 4..at + 8].copy_from_slice(&u32::try_from(length).unwrap_or(0).to_le_bytes());
    }
    bytes[32] = 0b11_1111;
    bytes[36..40].copy_from_slice(&address(HEAD).to_le_bytes());
    bytes[40..44].copy_from_slice(&1_u32.to_le_bytes());
    bytes.extend(b"random1.0.0a guard{}rulea rule");
    bytes
}

fn component(mut module: Vec<u8>, streams: bool) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let contract = include_str!("../../../wit/guard.wit");
    let package = resolve.push_str("guard.wit", contract).expect("the contract is valid");
    let name = if streams { "streaming-validator" } else { "validator" };
    let world = resolve.select_world(&[package], Some(name)).expect("the contract has it");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).expect("a module");
    let mut encoder = ComponentEncoder::default();
    let encoder = encoder.module(&module).expect("it exports what the world asks for");
    encoder.validate(false).encode().expect("a component")
}
