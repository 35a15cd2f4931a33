//! What a component says of itself, for commands that have no configuration for it.

use crate::cli::BadInput;
use crate::guards;
use picket_engine::{Declared, Descriptor, Engine, EngineOptions, Limits, World};
use std::path::Path;

/// Most memory that a component may ask for to describe itself.
const MAX_MEMORY: u64 = 1 << 30;

pub(super) fn read(path: &Path) -> Result<Vec<u8>, BadInput> {
    let refuse = |what: String| BadInput(format!("{}: {what}", path.display()));
    let read = guards::bounded(path, guards::MAX_COMPONENT).map_err(|error| refuse(error.to_string()))?;
    read.ok_or_else(|| refuse(format!("it has more than {} bytes, the most that are loaded", guards::MAX_COMPONENT)))
}

/// Loads the component under the limits that it declares, or the default ones, and asks it.
pub(super) fn describe(path: &Path, wasm: &[u8]) -> anyhow::Result<(World, Descriptor)> {
    let declared = Declared::read(wasm).ok().flatten().unwrap_or_default();
    let default = Limits::default();
    let memory = declared.memory_bytes.unwrap_or(default.memory).clamp(default.memory, MAX_MEMORY);
    let engine = Engine::new(EngineOptions { instances: 2, max_memory: memory, ..guards::tool_options() })?;
    let limits = Limits { memory, ..default };
    let described = engine.describe(&path.display().to_string(), wasm, limits);
    Ok(described.map_err(|error| BadInput(error.to_string()))?)
}
