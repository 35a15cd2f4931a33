//! A guard configured once, and kept: its memories and globals become the initial state of a new component.
//!
//! `wasmtime-wizer` instruments the component with exports that read its state and rewrites it with what they return.
//! Its own driver needs half of wasmtime's features; [`State`] does the same with what is here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasmtime::component::{Component, ComponentNamedList, Lift, Linker, WasmList};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use crate::call::{Live, Stage, failure, store};
use crate::compile::{Job, Workplace};
use crate::engine::Profile;
use crate::error::LoadError;
use crate::load::configure;

/// What came of it.
pub(crate) enum Outcome {
    /// The component with its configured state.
    Snapshot(Vec<u8>),
    /// The component has what a snapshot cannot hold. Says what.
    Unsupported(String),
}

/// Configures `wasm` and takes its snapshot.
///
/// # Errors
/// When the guard fails or refuses its settings: nothing else would help it.
pub(crate) fn take(place: &Workplace<'_>, job: &Job<'_>) -> Result<Outcome, LoadError> {
    let Workplace { workshop, ticker, profile, .. } = *place;
    let Job { guard, wasm, settings, limits, .. } = *job;
    if profile == Profile::Contrast {
        return Ok(Outcome::Unsupported("the engine is told to take none".into()));
    }
    let wizer = wizer();
    let instrumented = shielded(|| wizer.instrument_component(wasm).map_err(|error| error.root_cause().to_string()));
    let (context, instrumented) = match instrumented {
        Ok(instrumented) => instrumented,
        Err(reason) => return Ok(Outcome::Unsupported(reason)),
    };
    // The original may still compile: the instrumentation cannot read every memory.
    let component = match Component::new(workshop, &instrumented) {
        Ok(component) => component,
        Err(error) => return Ok(Outcome::Unsupported(error.root_cause().to_string())),
    };
    let failed = |failure| LoadError::Failed { guard: guard.into(), during: "instantiate", failure };
    let pre = match Linker::new(workshop).instantiate_pre(&component) {
        Ok(pre) => pre,
        Err(error) => return Ok(Outcome::Unsupported(error.root_cause().to_string())),
    };
    let _running = ticker.running();
    let mut store = store(ticker, profile, workshop, limits, limits.load_deadline);
    store.data_mut().allow_instrumentation();
    let instance = pre.instantiate(&mut store).map_err(|error| failed(failure(&error, store.data(), Stage::Start)))?;
    let mut live = Live { store, instance };
    configure(&mut live, guard, settings)?;

    live.allow(ticker, limits.load_deadline, usize::MAX);
    live.store.data_mut().allow_reading();
    let mut state = State { live, memories: Vec::new(), broken: None };
    let snapshot = shielded(|| {
        let mut taking = pin!(wizer.snapshot_component(&context, &mut state));
        // All that it awaits is done by `State` on the spot.
        match taking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(snapshot) => snapshot.map_err(|error| error.root_cause().to_string()),
            Poll::Pending => Err("the snapshot did not come to an end".into()),
        }
    });
    Ok(match (state.broken, snapshot) {
        (Some(reason), _) | (None, Err(reason)) => Outcome::Unsupported(reason),
        (None, Ok(snapshot)) => Outcome::Snapshot(snapshot),
    })
}

/// Why `wasm`, a valid component, cannot be snapshotted, as far as its code tells.
pub(crate) fn unsupported(wasm: &[u8]) -> Option<String> {
    shielded(|| wizer().instrument_component(wasm).map(drop).map_err(|error| error.root_cause().to_string())).err()
}

fn wizer() -> Wizer {
    let mut wizer = Wizer::new();
    // No export of a guard is an initializer of wizer's, whatever its name.
    wizer.keep_init_func(true);
    wizer
}

/// Runs wizer's code, which asserts its assumptions about a component: one that breaks them is a component that cannot
/// be snapshotted, and no reason for the host to stop.
fn shielded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    // Nothing that `work` touches is used after a panic but to be dropped.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("its form is not known to the snapshot".into()))
}

/// An instrumented, configured instance whose state wizer asks for. The questions cannot be answered by an error, so
/// the first one is kept aside, and a made-up answer given: the snapshot is then thrown away.
struct State {
    live: Live,
    /// Memories are asked for twice, and each answer costs the guard a page.
    memories: Vec<(String, Vec<u8>)>,
    broken: Option<String>,
}

impl State {
    fn value<R>(&mut self, instance: &str, function: &str) -> Option<R>
    where
        (R,): ComponentNamedList + Lift,
        R: Lift + 'static,
    {
        match self.call::<R>(instance, function) {
            Ok(value) => Some(value),
            Err(error) => {
                self.broken.get_or_insert(format!("its state cannot be read: {}", error.root_cause()));
                None
            }
        }
    }

    fn call<R>(&mut self, instance: &str, function: &str) -> wasmtime::Result<R>
    where
        (R,): ComponentNamedList + Lift,
        R: Lift + 'static,
    {
        let Live { store, instance: guard } = &mut self.live;
        let missing = || wasmtime::format_err!("its instrumentation lacks `{instance}#{function}`");
        let outer = guard.get_export_index(&mut *store, None, instance).ok_or_else(missing)?;
        let inner = guard.get_export_index(&mut *store, Some(&outer), function).ok_or_else(missing)?;
        let function = guard.get_typed_func::<(), (R,)>(&mut *store, inner)?;
        Ok(function.call(&mut *store, ())?.0)
    }

    fn memory(&mut self, instance: &str, function: &str) -> usize {
        if let Some(known) = self.memories.iter().position(|(name, _)| name == function) {
            return known;
        }
        let bytes = self
            .value::<WasmList<u8>>(instance, function)
            .map(|list| list.as_le_slice(&self.live.store).to_vec())
            .unwrap_or_default();
        self.memories.push((function.to_owned(), bytes));
        self.memories.len() - 1
    }
}

impl ComponentInstanceState for State {
    async fn call_func_ret_list_u8(&mut self, instance: &str, func: &str, contents: impl FnOnce(&[u8]) + Send) {
        let memory = self.memory(instance, func);
        contents(&self.memories[memory].1);
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.value(instance, func).unwrap_or_default()
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.value(instance, func).unwrap_or_default()
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.value::<f32>(instance, func).unwrap_or_default().to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.value::<f64>(instance, func).unwrap_or_default().to_bits()
    }
}
