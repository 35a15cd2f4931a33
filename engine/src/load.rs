//! From bytes to a compiled component that is known to keep the contract.

use wasmtime::component::{Component, InstancePre, Linker};

use crate::bindings::exports::picket::guard::validation as wit;
use crate::cache::{Found, Name};
use crate::call::Live;
use crate::compile::{self, Job, Workplace};
use crate::descriptor;
use crate::engine::{Inner, Profile};
use crate::error::{Failure, LoadError};
use crate::inspect::{STREAMING, World};
use crate::limits::{Confines, Limits};
use crate::settings::{Digest32, Settings, component_digest};
use crate::types::{Descriptor, Problem};

/// How instances of a guard begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From the snapshot taken after `configure`.
    Snapshot,
    /// From nothing, `configure` first: the component has what a snapshot cannot hold. As isolated and deterministic,
    /// and slower by the time that `configure` takes.
    ConfiguredFresh,
}

/// What the compile cache had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheUse {
    /// There is no cache.
    Off,
    /// The guard, ready to run.
    Hit,
    /// Nothing; the guard is there now.
    Miss,
    /// A file that was altered, cut off or not written by this box. It was not run, and has been replaced. Says what
    /// was wrong with it: worth an operator's look.
    Replaced(String),
    /// Nothing usable, and the guard could not be written. Says why; the next start compiles again.
    Unwritable(String),
}

/// How a load went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadReport {
    /// How instances begin.
    pub start: Start,
    /// Why there is no snapshot; `None` when there is one.
    pub no_snapshot: Option<String>,
    /// What the compile cache had.
    pub cache: CacheUse,
    /// Size of the component.
    pub component_bytes: usize,
    /// Size of the native code with its memory image.
    pub compiled_bytes: usize,
}

/// A component that may run on one of the engines.
pub(crate) struct Prepared {
    pub(crate) pre: InstancePre<Confines>,
    pub(crate) report: LoadReport,
    pub(crate) component_digest: Digest32,
}

/// What a guard is loaded as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Validator,
    Detector,
}

impl Role {
    pub(crate) fn world(self) -> &'static str {
        match self {
            Self::Validator => "validator",
            Self::Detector => "detector",
        }
    }

    pub(crate) fn runtime(self, engine: &Inner) -> &wasmtime::Engine {
        match self {
            Self::Validator => &engine.pooled,
            Self::Detector => &engine.lasting,
        }
    }
}

/// Compiles `wasm`, or takes it from the cache. Validators are configured and snapshotted on the way.
pub(crate) fn prepare(
    engine: &Inner,
    role: Role,
    guard: &str,
    wasm: &[u8],
    settings: &Settings,
    limits: &Limits,
) -> Result<Prepared, LoadError> {
    check_limits(engine, guard, limits)?;
    if wasm.len() > engine.options.max_component {
        return Err(LoadError::TooLarge {
            guard: guard.into(),
            bytes: wasm.len(),
            limit: engine.options.max_component,
        });
    }
    let runtime = role.runtime(engine);
    let digest = component_digest(wasm);
    // A snapshot depends on the settings, and on the limits under which `configure` ran.
    let name = match role {
        Role::Validator => Name::new(runtime, "validator")
            .with(&digest)
            .with(&settings.digest)
            .with(&limits.memory.to_be_bytes())
            .with(&limits.table_elements.to_be_bytes()),
        Role::Detector => Name::new(runtime, "detector").with(&digest),
    }
    .finish();

    let found = engine.cache.as_ref().map(|cache| cache.get(&name));
    let (compiled, cache) = match found {
        None => (None, CacheUse::Off),
        Some(Found::Nothing) => (None, CacheUse::Miss),
        Some(Found::Unusable(reason)) => (None, CacheUse::Replaced(reason)),
        Some(Found::Contents(contents)) => match Compiled::decode(runtime, contents.bytes()) {
            Ok(compiled) => (Some(compiled), CacheUse::Hit),
            Err(reason) => (None, CacheUse::Replaced(reason)),
        },
    };
    let (compiled, cache) = match compiled {
        Some(compiled) => (compiled, cache),
        None => {
            let bytes = native(engine, &Job { role, guard, wasm, settings, limits, plain: false })?;
            let compiled = Compiled::decode(runtime, &bytes)
                .map_err(|message| LoadError::Compile { guard: guard.into(), message })?;
            let written = engine.cache.as_ref().map(|cache| cache.put(&name, &bytes));
            let cache = match written {
                Some(Err(error)) => CacheUse::Unwritable(error.to_string()),
                _ => cache,
            };
            (compiled, cache)
        }
    };
    let pre = linked(runtime, guard, &compiled.component)?;
    Ok(Prepared {
        pre,
        report: LoadReport {
            start: compiled.start,
            no_snapshot: compiled.no_snapshot,
            cache,
            component_bytes: wasm.len(),
            compiled_bytes: compiled.bytes,
        },
        component_digest: digest,
    })
}

/// A component that imports nothing, ready to be instantiated.
fn linked(runtime: &wasmtime::Engine, guard: &str, component: &Component) -> Result<InstancePre<Confines>, LoadError> {
    Linker::new(runtime)
        .instantiate_pre(component)
        .map_err(|error| LoadError::Compile { guard: guard.into(), message: error.root_cause().to_string() })
}

/// What `bytes`, which [`native`] gave for `runtime`, are the code of.
pub(crate) fn ready(runtime: &wasmtime::Engine, guard: &str, bytes: &[u8]) -> Result<InstancePre<Confines>, LoadError> {
    let decoded =
        Compiled::decode(runtime, bytes).map_err(|message| LoadError::Compile { guard: guard.into(), message })?;
    linked(runtime, guard, &decoded.component)
}

/// Has `job` compiled for the engine of its role, in a process of its own where there is one for that.
pub(crate) fn native(engine: &Inner, job: &Job<'_>) -> Result<Vec<u8>, LoadError> {
    let profile = engine.options.profile;
    match &engine.options.compiler {
        // Only a box compiles for a box: a trial with other settings has the guard's author before it.
        Some(process) if profile == Profile::Service => process.compile(engine, job),
        _ => {
            let (workshop, ticker, target) = (&engine.workshop, &engine.ticker, job.role.runtime(engine));
            compile::here(&Workplace { workshop, ticker, target, profile }, job)
        }
    }
}

fn check_limits(engine: &Inner, guard: &str, limits: &Limits) -> Result<(), LoadError> {
    let refuse = |limit, message: String| Err(LoadError::Limits { guard: guard.into(), limit, message });
    let options = &engine.options;
    if limits.memory > options.max_memory {
        return refuse("memory", format!("must be at most {}, the engine's `max_memory`", options.max_memory));
    }
    if limits.table_elements > options.max_table_elements {
        return refuse(
            "table_elements",
            format!("must be at most {}, the engine's `max_table_elements`", options.max_table_elements),
        );
    }
    if limits.deadline.is_zero() {
        return refuse("deadline", "must be longer than nothing".into());
    }
    if limits.load_deadline.is_zero() {
        return refuse("load_deadline", "must be longer than nothing".into());
    }
    Ok(())
}

/// Native code, and how to begin with it.
struct Compiled {
    component: Component,
    start: Start,
    no_snapshot: Option<String>,
    bytes: usize,
}

impl Compiled {
    /// `bytes` must come from [`compile`], on this box: from the compiler, or from a cache file whose code was verified.
    fn decode(runtime: &wasmtime::Engine, bytes: &[u8]) -> Result<Self, String> {
        let (start, no_snapshot, code) = compile::decode(bytes)?;
        // SAFETY: `deserialize` runs whatever code the bytes hold. These were made by this very crate from a component
        // that wasmtime had validated and compiled: a moment ago in this process, or in a child that is the program
        // which whoever built this engine named, or by a process with this box's cache key, as the HMAC over them says,
        // which was verified over this same copy in memory (nobody can exchange the file between the check and the
        // use). Version, target and settings of the compiler are in the file's name and checked by wasmtime once more.
        let component =
            unsafe { Component::deserialize(runtime, code) }.map_err(|error| error.root_cause().to_string())?;
        Ok(Self { component, start, no_snapshot, bytes: code.len() })
    }
}

/// The world of a compiled validator.
pub(crate) fn validator_world(pre: &InstancePre<Confines>) -> World {
    match pre.component().get_export_index(None, STREAMING) {
        Some(_) => World::StreamingValidator,
        None => World::Validator,
    }
}

/// Configures `live`, an instance of a validator.
pub(crate) fn configure(live: &mut Live, guard: &str, settings: &Settings) -> Result<(), LoadError> {
    let exports = validation(live, guard)?;
    let answer = live.call(&exports.func_configure(), (&settings.text,));
    configured(guard, answer)
}

/// What `configure` came to.
pub(crate) fn configured(guard: &str, answer: Result<(Result<(), Vec<Problem>>,), Failure>) -> Result<(), LoadError> {
    match answer {
        Ok((Ok(()),)) => Ok(()),
        Ok((Err(mut problems),)) => {
            problems.truncate(64);
            for problem in &mut problems {
                crate::text::cut(&mut problem.pointer, 1024);
                crate::text::cut(&mut problem.message, 1024);
            }
            Err(LoadError::Settings { guard: guard.into(), problems })
        }
        Err(failure) => Err(LoadError::Failed { guard: guard.into(), during: "configure", failure }),
    }
}

/// The checked descriptor that `answer` holds.
pub(crate) fn described(guard: &str, answer: Result<(Descriptor,), Failure>) -> Result<Descriptor, LoadError> {
    let (mut descriptor,) =
        answer.map_err(|failure| LoadError::Failed { guard: guard.into(), during: "describe", failure })?;
    descriptor::check(&mut descriptor).map_err(|problems| LoadError::Descriptor { guard: guard.into(), problems })?;
    Ok(descriptor)
}

/// The functions of interface `validation`, with their types checked.
pub(crate) fn validation(live: &mut Live, guard: &str) -> Result<wit::Guest, LoadError> {
    let pre = live.instance.instance_pre(&live.store);
    wit::GuestIndices::new(&pre)
        .and_then(|indices| indices.load(&mut live.store, &live.instance))
        .map_err(|error| mistyped(guard, "validator", &error))
}

/// An export that is missing or has another type than the contract gives it.
pub(crate) fn mistyped(guard: &str, world: &'static str, error: &wasmtime::Error) -> LoadError {
    LoadError::World { guard: guard.into(), world, message: format!("an export differs from the contract: {error:#}") }
}

/// An instance for load, under the load deadline.
pub(crate) fn start(
    engine: &Inner,
    guard: &str,
    pre: &InstancePre<Confines>,
    limits: &Limits,
) -> Result<Live, LoadError> {
    Live::start(&engine.ticker, engine.options.profile, pre, limits, limits.load_deadline)
        .map_err(|failure| LoadError::Failed { guard: guard.into(), during: "instantiate", failure })
}

/// Looks up the index of a function of an interface, once, so that calls need no names.
pub(crate) fn function(
    pre: &InstancePre<Confines>,
    interface: &str,
    name: &str,
) -> Option<wasmtime::component::ComponentExportIndex> {
    let interface = pre.component().get_export_index(None, interface)?;
    pre.component().get_export_index(Some(&interface), name)
}
