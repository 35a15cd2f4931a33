//! From a component to native code, here or in a process of its own.
//!
//! Compiling runs a validator, an instrumentation and an optimizing compiler over bytes from a stranger, and the
//! stranger's `configure` besides. A component can be made to cost them minutes and gigabytes; [`process`] has it done
//! by a child that the kernel confines, so that the worst a component comes to is a refusal.

mod child;
mod process;
mod wire;

pub use child::{CompilerError, compile_for_parent};
pub use process::CompilerProcess;

use crate::engine::Profile;
use crate::error::LoadError;
use crate::inspect::{self, DETECTION, VALIDATION};
use crate::limits::Limits;
use crate::load::{Role, Start};
use crate::settings::Settings;
use crate::snapshot::{self, Outcome};
use crate::text;
use crate::ticker::Ticker;

/// Imports or exports that a message lists.
const LISTED: usize = 16;

/// What is to be compiled.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) role: Role,
    pub(crate) guard: &'a str,
    pub(crate) wasm: &'a [u8],
    pub(crate) settings: &'a Settings,
    pub(crate) limits: &'a Limits,
    /// Only compiled, never configured: to be asked what it is.
    pub(crate) plain: bool,
}

/// What compiling takes.
#[derive(Clone, Copy)]
pub(crate) struct Workplace<'a> {
    /// Where guards are configured before their snapshot is taken: compiles fast, runs once.
    pub(crate) workshop: &'a wasmtime::Engine,
    /// Stops `configure` at its deadline.
    pub(crate) ticker: &'a Ticker,
    /// Its settings are those that the code is made for.
    pub(crate) target: &'a wasmtime::Engine,
    /// How guards are started.
    pub(crate) profile: Profile,
}

/// Compiles in this process. Validators are configured and snapshotted on the way.
pub(crate) fn here(place: &Workplace<'_>, job: &Job<'_>) -> Result<Vec<u8>, LoadError> {
    check(job.role, job.guard, job.wasm)?;
    let precompile = |wasm: &[u8]| place.target.precompile_component(wasm);
    let (start, no_snapshot, code) = match job.role {
        // One instance lives as long as the detector: there is nothing to save by a snapshot.
        Role::Detector => (Start::ConfiguredFresh, None, precompile(job.wasm)),
        Role::Validator if job.plain => (Start::ConfiguredFresh, None, precompile(job.wasm)),
        Role::Validator => match snapshot::take(place, job)? {
            Outcome::Snapshot(snapshot) => (Start::Snapshot, None, precompile(&snapshot)),
            Outcome::Unsupported(reason) => (Start::ConfiguredFresh, Some(reason), precompile(job.wasm)),
        },
    };
    let code =
        code.map_err(|error| LoadError::Compile { guard: job.guard.into(), message: error.root_cause().to_string() })?;
    Ok(encode(start, no_snapshot.as_deref(), &code))
}

/// Layout: u8 1 (snapshot) or 2 (configured fresh), then u16 big-endian length and UTF-8 of the reason why there is no
/// snapshot (empty for none), then wasmtime's serialized component.
fn encode(start: Start, no_snapshot: Option<&str>, code: &[u8]) -> Vec<u8> {
    let mut reason = no_snapshot.unwrap_or_default().to_owned();
    text::cut(&mut reason, 1024);
    let mut out = Vec::with_capacity(code.len() + reason.len() + 3);
    out.push(match start {
        Start::Snapshot => 1,
        Start::ConfiguredFresh => 2,
    });
    out.extend_from_slice(&u16::try_from(reason.len()).unwrap_or_default().to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(code);
    out
}

/// The parts of what [`here`] made: how instances begin, why there is no snapshot, wasmtime's serialized component.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Start, Option<String>, &[u8]), String> {
    let ([start, high, low], rest) = bytes.split_first_chunk().ok_or("it is cut off")?;
    let start = match start {
        1 => Start::Snapshot,
        2 => Start::ConfiguredFresh,
        _ => return Err("it has an unknown form".into()),
    };
    let (reason, code) =
        rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low]))).ok_or("it is cut off")?;
    let reason = String::from_utf8_lossy(reason).into_owned();
    Ok((start, (!reason.is_empty()).then_some(reason), code))
}

/// The component is valid, imports nothing and has the world that it is loaded for.
pub(crate) fn check(role: Role, guard: &str, wasm: &[u8]) -> Result<(), LoadError> {
    let mut inspection =
        inspect::survey(wasm).map_err(|error| LoadError::NotAComponent { guard: guard.into(), message: error.0 })?;
    if !inspection.imports.is_empty() {
        let more = inspection.imports.len().saturating_sub(LISTED);
        inspection.imports.truncate(LISTED);
        inspection.imports.iter_mut().for_each(|import| text::cut(import, 256));
        if more > 0 {
            inspection.imports.push(format!("and {more} more"));
        }
        return Err(LoadError::Imports { guard: guard.into(), imports: inspection.imports });
    }
    let wanted = match role {
        Role::Validator => VALIDATION,
        Role::Detector => DETECTION,
    };
    if inspection.exports.iter().any(|export| export == wanted) {
        return Ok(());
    }
    let message = match inspection.world {
        Some(world) => format!("it has the world `{world}`; load it as one"),
        None if inspection.exports.is_empty() => format!("it exports nothing; `{wanted}` is missing"),
        None => {
            inspection.exports.truncate(LISTED);
            inspection.exports.iter_mut().for_each(|export| text::cut(export, 256));
            format!("it exports {} and lacks `{wanted}`", inspection.exports.join(", "))
        }
    };
    Err(LoadError::World { guard: guard.into(), world: role.world(), message })
}
