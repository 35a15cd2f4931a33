//! Guards for tests, written as core modules in text and made into components: no toolchain, and every misdeed possible.
//!
//! The memory of such a guard: its descriptor from 1024, its answer from 4096, its problems from 16384, and from 65536
//! on what `cabi_realloc` hands out.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

pub(crate) const DESCRIPTOR: u32 = 1024;
pub(crate) const ANSWER: u32 = 4096;
pub(crate) const PROBLEMS: u32 = 16384;

/// A guard in parts; each part is WebAssembly text.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) world: &'static str,
    pub(crate) memory: &'static str,
    pub(crate) descriptor: Vec<u8>,
    /// What `check` returns a pointer to, unless `check` does otherwise.
    pub(crate) answer: Vec<u8>,
    /// Bodies of functions.
    pub(crate) describe: String,
    pub(crate) configure: String,
    pub(crate) check: String,
    pub(crate) post_check: String,
    /// What `cabi_realloc` does before it allocates.
    pub(crate) before_allocation: String,
    /// Imports of the module, which the component satisfies by itself.
    pub(crate) imports: String,
    /// Further fields of the module.
    pub(crate) fields: String,
}

/// A validator that has resources of its own, and so handles to lose.
const HOARDING: &str = "package picket:hoarding;
    world hoarding {
        include picket:guard/validator@0.1.0;
        export hoard: interface { resource thing { constructor(); } }
    }";

impl Default for Guard {
    /// Allows everything.
    fn default() -> Self {
        Self {
            world: "validator",
            memory: "2",
            descriptor: descriptor("test", "1.0.0", "{}", 0b11_1111, &["rule"]),
            answer: vec![0; 64],
            describe: format!("(i32.const {DESCRIPTOR})"),
            configure: format!("(i32.const {PROBLEMS})"),
            check: format!("(i32.const {ANSWER})"),
            post_check: String::new(),
            before_allocation: String::new(),
            imports: String::new(),
            fields: String::new(),
        }
    }
}

impl Guard {
    pub(crate) fn module(&self) -> Vec<u8> {
        let Self { world, memory, describe, configure, check, post_check, before_allocation, imports, fields, .. } =
            self;
        let interface = if *world == "detector" { "detection" } else { "validation" };
        let parameters = if *world == "detector" { "i32 i32 i32 i32" } else { "i32 i32" };
        let check = if *world == "detector" {
            String::new()
        } else {
            format!(
                "(func (export \"picket:guard/validation@0.1.0#check\") (param i32) (result i32) {check})
                 (func (export \"cabi_post_picket:guard/validation@0.1.0#check\") (param i32) {post_check})"
            )
        };
        let text = format!(
            "(module
                {imports}
                (memory (export \"memory\") {memory})
                (global $next (mut i32) (i32.const 65536))
                (func $realloc (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    {before_allocation}
                    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                    (global.set $next (i32.add (local.get $at) (local.get 3)))
                    (block $enough
                        (loop $grow
                            (br_if $enough (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
                            (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
                            (br $grow)))
                    (local.get $at))
                (func (export \"picket:guard/{interface}@0.1.0#describe\") (result i32) {describe})
                (func (export \"picket:guard/{interface}@0.1.0#configure\") (param {parameters}) (result i32) {configure})
                {check}
                (data (i32.const {DESCRIPTOR}) \"{}\")
                (data (i32.const {ANSWER}) \"{}\")
                {fields})",
            escaped(&self.descriptor),
            escaped(&self.answer),
        );
        let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut resolve = Resolve::default();
        let mut package = resolve.push_str("guard.wit", include_str!("../../../wit/guard.wit")).unwrap();
        if *world == "hoarding" {
            package = resolve.push_str("hoarding.wit", HOARDING).unwrap();
        }
        let world = resolve.select_world(&[package], Some(world)).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
        module
    }

    pub(crate) fn component(&self) -> Vec<u8> {
        ComponentEncoder::default()
            .module(&self.module())
            .unwrap_or_else(|error| panic!("{error:?}"))
            .validate(true)
            .encode()
            .unwrap_or_else(|error| panic!("{error:?}"))
    }
}

/// The record `descriptor` at [`DESCRIPTOR`].
pub(crate) fn descriptor(name: &str, version: &str, schema: &str, needs: u8, rules: &[&str]) -> Vec<u8> {
    let mut image = Image::new(DESCRIPTOR, 44);
    image.text(0, name);
    image.text(8, version);
    image.text(16, "a guard for tests");
    image.text(24, schema);
    image.bytes[32] = needs;
    let list = image.list(36, rules.len(), 20, 4);
    for (index, rule) in rules.iter().enumerate() {
        image.text(list + index * 20, rule);
    }
    image.bytes
}

/// A location for [`Image::finding`] and [`Image::edit`]: part, path, span.
pub(crate) type Place<'a> = (u8, &'a str, Option<(u32, u32)>);

/// Bytes of a guard's memory from a given address, in the layout of the canonical ABI.
pub(crate) struct Image {
    base: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Image {
    pub(crate) fn new(base: u32, size: usize) -> Self {
        Self { base, bytes: vec![0; size] }
    }

    /// `ok(verdict)` with decision `decision`, `findings` of (rule, message, place, score) and `measurements` of
    /// (name, integer).
    pub(crate) fn verdict(
        decision: u8,
        edits: &[(Place<'_>, &str)],
        findings: &[(&str, &str, Option<Place<'_>>, Option<f64>)],
        measurements: &[(&str, u64)],
    ) -> Vec<u8> {
        let mut image = Self::new(ANSWER, 32);
        image.bytes[4] = decision;
        let list = image.list(8, edits.len(), 32, 4);
        for (index, (place, replacement)) in edits.iter().enumerate() {
            image.place(list + index * 32, *place);
            image.text(list + index * 32 + 24, replacement);
        }
        let list = image.list(16, findings.len(), 64, 8);
        for (index, (rule, message, place, score)) in findings.iter().enumerate() {
            let at = list + index * 64;
            image.text(at, rule);
            image.bytes[at + 8] = 3;
            image.text(at + 12, message);
            if let Some(place) = place {
                image.bytes[at + 20] = 1;
                image.place(at + 24, *place);
            }
            if let Some(score) = score {
                image.bytes[at + 48] = 1;
                image.put(at + 56, &score.to_le_bytes());
            }
        }
        let list = image.list(24, measurements.len(), 24, 8);
        for (index, (name, value)) in measurements.iter().enumerate() {
            let at = list + index * 24;
            image.text(at, name);
            image.bytes[at + 8] = 2;
            image.put(at + 16, &value.to_le_bytes());
        }
        image.bytes
    }

    /// `err(message)` of `check`.
    pub(crate) fn refusal(message: &str) -> Vec<u8> {
        let mut image = Self::new(ANSWER, 32);
        image.bytes[0] = 1;
        image.text(4, message);
        image.bytes
    }

    fn place(&mut self, at: usize, (part, path, span): Place<'_>) {
        self.bytes[at] = part;
        self.text(at + 4, path);
        if let Some((start, end)) = span {
            self.bytes[at + 12] = 1;
            self.put(at + 16, &start.to_le_bytes());
            self.put(at + 20, &end.to_le_bytes());
        }
    }

    pub(crate) fn text(&mut self, at: usize, text: &str) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text.as_bytes());
        self.pointer(at, start, text.len());
    }

    pub(crate) fn list(&mut self, at: usize, length: usize, size: usize, align: usize) -> usize {
        let start = self.bytes.len().next_multiple_of(align);
        self.bytes.resize(start + length * size, 0);
        self.pointer(at, start, length);
        start
    }

    pub(crate) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn pointer(&mut self, at: usize, start: usize, length: usize) {
        let pointer = self.base + u32::try_from(start).unwrap();
        self.put(at, &pointer.to_le_bytes());
        self.put(at + 4, &u32::try_from(length).unwrap().to_le_bytes());
    }
}

pub(crate) fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}
