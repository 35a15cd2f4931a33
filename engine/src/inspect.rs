//! What a component is, before any of it runs.

use std::fmt;

use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType};
use wasmparser::types::TypesRef;
use wasmparser::{Parser, Payload, Validator, WasmFeatures};

use crate::declared::Declared;
use crate::settings::{Digest32, component_digest};
use crate::snapshot;

pub(crate) const VALIDATION: &str = "picket:guard/validation@0.1.0";
pub(crate) const STREAMING: &str = "picket:guard/streaming@0.1.0";
pub(crate) const DETECTION: &str = "picket:guard/detection@0.1.0";

/// What a component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// SHA-256 of the bytes.
    pub digest: Digest32,
    /// Size of the component in bytes.
    pub bytes: usize,
    /// Size of its code in bytes, all modules together.
    pub code_bytes: usize,
    /// Size of its custom sections in bytes: names, debug information.
    pub custom_bytes: usize,
    /// Core modules in it.
    pub modules: usize,
    /// Everything it imports, as `interface#item`, or `interface` for a whole that has no parts. Must be empty for a
    /// guard. Interfaces that hold types alone are not listed: they carry no ability.
    pub imports: Vec<String>,
    /// The names it exports.
    pub exports: Vec<String>,
    /// The world it has, as far as its exports' names say.
    pub world: Option<World>,
    /// The limits that it asks for; `None` when it names none.
    pub declared: Option<Declared>,
    /// Why it cannot be snapshotted; `None` when it can. Then each check configures its fresh instance anew.
    pub no_snapshot: Option<String>,
}

/// A world of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// Judges one inference at a time.
    Validator,
    /// The same, and streams.
    StreamingValidator,
    /// Watches measurements over time.
    Detector,
}

impl World {
    /// The name in `wit/guard.wit`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Validator => "validator",
            Self::StreamingValidator => "streaming-validator",
            Self::Detector => "detector",
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The bytes are no valid component; the message says what they are instead and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAComponent(pub(crate) String);

/// Reads what `wasm` is. Runs none of it.
///
/// # Errors
/// When it is no valid component with the WebAssembly features that guards may use.
pub fn inspect(wasm: &[u8]) -> Result<Inspection, NotAComponent> {
    let mut inspection = survey(wasm)?;
    inspection.no_snapshot = snapshot::unsupported(wasm);
    Ok(inspection)
}

/// [`inspect`] without the trial of the snapshot, which a load makes in earnest.
pub(crate) fn survey(wasm: &[u8]) -> Result<Inspection, NotAComponent> {
    check_header(wasm)?;
    let types = Validator::new_with_features(features())
        .validate_all(wasm)
        .map_err(|error| NotAComponent(format!("it is broken or uses a feature that guards may not: {error}")))?;
    let types = types.as_ref();
    let mut inspection = Inspection {
        digest: component_digest(wasm),
        bytes: wasm.len(),
        code_bytes: 0,
        custom_bytes: 0,
        modules: 0,
        imports: Vec::new(),
        exports: Vec::new(),
        world: None,
        declared: Declared::read(wasm)?,
        no_snapshot: None,
    };
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(|error| NotAComponent(format!("it is broken: {error}")))?;
        match payload {
            Payload::ModuleSection { .. } => {
                inspection.modules += 1;
                depth += 1;
            }
            Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CodeSectionStart { size, .. } => {
                inspection.code_bytes += usize::try_from(size).unwrap_or(usize::MAX);
            }
            Payload::CustomSection(section) => inspection.custom_bytes += section.data().len(),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import.map_err(|error| NotAComponent(error.to_string()))?;
                    list_imports(types, import.name.name, &mut inspection.imports);
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export.map_err(|error| NotAComponent(error.to_string()))?;
                    inspection.exports.push(export.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    inspection.world = world(&inspection.exports);
    Ok(inspection)
}

fn check_header(wasm: &[u8]) -> Result<(), NotAComponent> {
    let refuse = |message: &str| Err(NotAComponent(message.into()));
    match wasm {
        [] => refuse("the file is empty"),
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => refuse(
            "it is a core module; make it a component (`cargo xtask guards` for a guard in this repository, \
             `wasm-tools component new` for others)",
        ),
        [b'\0', b'a', b's', b'm', ..] if wasm.len() >= 8 => Ok(()),
        [b'\0', ..] if b"\0asm\x0d\0\x01\0".starts_with(wasm) => refuse("the file is cut off within its first 8 bytes"),
        _ if wasm.trim_ascii_start().starts_with(b"(") => {
            refuse("it is WebAssembly text; translate it with `wasm-tools parse`")
        }
        _ => refuse("it does not start like WebAssembly; is the path right?"),
    }
}

/// What guards may use: what every engine of this version compiles alike. No threads, no garbage collection, no
/// exceptions, no 64-bit memories.
fn features() -> WasmFeatures {
    // `externref` is garbage collected.
    WasmFeatures::WASM2.difference(WasmFeatures::GC_TYPES)
        | WasmFeatures::COMPONENT_MODEL
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::RELAXED_SIMD
}

fn world(exports: &[String]) -> Option<World> {
    let has = |name| exports.iter().any(|export| export == name);
    match (has(VALIDATION), has(STREAMING), has(DETECTION)) {
        (true, true, false) => Some(World::StreamingValidator),
        (true, false, false) => Some(World::Validator),
        (false, false, true) => Some(World::Detector),
        _ => None,
    }
}

fn list_imports(types: TypesRef<'_>, name: &str, out: &mut Vec<String>) {
    let Some(item) = types.component_item_for_import(name) else {
        return;
    };
    match item.ty {
        ComponentEntityType::Instance(id) => {
            let instance = &types[id];
            for (inner, item) in &instance.exports {
                if !is_plain_type(&item.ty) {
                    out.push(format!("{name}#{inner}"));
                }
            }
        }
        ref entity if is_plain_type(entity) => {}
        _ => out.push(name.to_owned()),
    }
}

/// A type that is no resource: a name for a shape, without an ability. The contract's own interface `types` is imported
/// like this by every guard.
fn is_plain_type(entity: &ComponentEntityType) -> bool {
    matches!(
        entity,
        ComponentEntityType::Type { created, .. } if !matches!(created, ComponentAnyTypeId::Resource(_))
    )
}
