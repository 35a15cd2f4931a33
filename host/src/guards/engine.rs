//! How the box's engine is built: from the configuration, and from what this process is.

use super::MAX_COMPONENT;
use super::memory::Memory;
use crate::config::Config;
use picket_engine::{CacheOptions, CompilerProcess, Engine, EngineOptions};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// The program that compiles guards, when this process is one that knows how to.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Arguments under which the program compiles.
const ARGUMENTS: [&str; 2] = ["guard", "compile"];

/// What a tool's compiler may use: a box's defaults.
const TOOL_MEMORY: u64 = 1 << 30;
const TOOL_TIME: Duration = Duration::from_secs(120);

/// From now on every engine of this process has guards compiled by this very program in a process of its own. For the
/// program itself; whoever uses the library from another one compiles in its own process.
pub fn compile_with_this_program() {
    // Without its own path it compiles by itself, as a library does.
    if let Ok(program) = this_program() {
        PROGRAM.get_or_init(|| program);
    }
}

/// The file that runs. On Linux a name that stays right when the file is replaced: an upgrade under a running service
/// must not have a guard compiled by another version.
fn this_program() -> std::io::Result<PathBuf> {
    #[cfg(target_os = "linux")]
    return Ok(PathBuf::from("/proc/self/exe"));
    #[cfg(not(target_os = "linux"))]
    std::env::current_exe()
}

/// Options for an engine that runs the guards and detectors of `config`.
#[must_use]
pub fn engine_options(config: &Config, cache: Option<CacheOptions>) -> EngineOptions {
    let limits = config.guards.iter().map(|guard| guard.limits).chain(config.detectors.iter().map(|d| d.limits));
    let max_memory = limits.map(|limits| limits.memory).max().unwrap_or(32 << 20);
    let watched = config.detectors.len() * config.models.len().max(1);
    let wanted = u32::try_from(config.edge.workers + watched + 1).unwrap_or(u32::MAX);
    let memory = Memory::of(config);
    let affordable = u32::try_from(memory.guards / max_memory).unwrap_or(u32::MAX);
    let instances = wanted.min(affordable).max(2);
    let options = EngineOptions::default();
    EngineOptions {
        instances,
        max_memory,
        keep_resident: memory.keep_resident(instances.saturating_add(options.streams)),
        max_component: MAX_COMPONENT,
        cache,
        compiler: compiler(config, memory.compiling),
        ..options
    }
}

/// Options for a tool's engine, which works on one guard that may be anybody's: compiled under the limits that a box has
/// by default.
#[must_use]
pub fn tool_options() -> EngineOptions {
    EngineOptions {
        max_component: MAX_COMPONENT,
        compiler: confined(TOOL_MEMORY, TOOL_TIME),
        ..EngineOptions::default()
    }
}

/// What the operator should know of how `engine` came out: a sentence each.
#[must_use]
pub fn notes(config: &Config, engine: &Engine) -> Vec<String> {
    engine.sizing().message().into_iter().chain(Memory::of(config).warnings()).collect()
}

fn compiler(config: &Config, memory: u64) -> Option<CompilerProcess> {
    confined(memory, config.edge.compile_time)
}

fn confined(memory: u64, cpu: Duration) -> Option<CompilerProcess> {
    Some(CompilerProcess {
        program: PROGRAM.get()?.clone(),
        arguments: ARGUMENTS.map(str::to_owned).to_vec(),
        memory,
        cpu,
        // A busy machine gives it half of a processor at least, or is in no state to load a guard.
        wall: cpu * 2 + Duration::from_secs(10),
    })
}
