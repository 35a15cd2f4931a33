//! One instance of a guard, and what its ways to fail are called.

use std::time::Duration;

use wasmtime::component::{ComponentNamedList, Instance, InstancePre, Lift, Lower, TypedFunc};
use wasmtime::{OutOfMemory, PoolConcurrencyLimitError, Store, Trap};

use crate::engine::Profile;
use crate::error::{Cause, Failure};
use crate::limits::{Confines, Limits, Refusal};
use crate::ticker::Ticker;

/// An instance of a guard with all that it owns; gone without a trace when dropped.
pub(crate) struct Live {
    pub(crate) store: Store<Confines>,
    pub(crate) instance: Instance,
}

/// A store for one instance, with every limit in place. The deadline runs from here.
pub(crate) fn store(
    ticker: &Ticker,
    profile: Profile,
    runtime: &wasmtime::Engine,
    limits: &Limits,
    time: Duration,
) -> Store<Confines> {
    let mut store = Store::new(runtime, Confines::new(limits));
    store.limiter(|confines| confines);
    store.set_hostcall_fuel(limits.answer_bytes);
    // A guard has no resources of the host to hold.
    store.set_max_component_handles(1024);
    // Past it the guard traps (the default): it is stopped, never resumed.
    store.set_epoch_deadline(ticker.ticks(time));
    if profile == Profile::Metered {
        // Never runs out: it is there to be counted. The runtime counts it, so this cannot fail.
        let _counted = store.set_fuel(u64::MAX);
    }
    store
}

impl Live {
    /// A fresh instance under `limits`, with `time` left for it and the calls that follow.
    pub(crate) fn start(
        ticker: &Ticker,
        profile: Profile,
        pre: &InstancePre<Confines>,
        limits: &Limits,
        time: Duration,
    ) -> Result<Self, Failure> {
        let mut store = store(ticker, profile, pre.engine(), limits, time);
        match pre.instantiate(&mut store) {
            Ok(instance) => Ok(Self { store, instance }),
            Err(error) => Err(failure(&error, store.data(), Stage::Start)),
        }
    }

    /// Gives the calls that follow `time`, and answers of `bytes`.
    pub(crate) fn allow(&mut self, ticker: &Ticker, time: Duration, bytes: usize) {
        self.store.set_epoch_deadline(ticker.ticks(time));
        self.store.set_hostcall_fuel(bytes);
    }

    /// Calls `function`, its post-return function included.
    pub(crate) fn call<P, R>(&mut self, function: &TypedFunc<P, R>, arguments: P) -> Result<R, Failure>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        function.call(&mut self.store, arguments).map_err(|error| failure(&error, self.store.data(), Stage::Call))
    }
}

/// What was going on when the runtime gave an error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Start,
    Call,
}

/// Names a runtime error. Whatever is not a trap in a call comes from reading or writing the guard's memory by the
/// canonical ABI: the guard handed out a bad pointer, a bad string or too much.
pub(crate) fn failure(error: &wasmtime::Error, confines: &Confines, stage: Stage) -> Failure {
    if let Some(Trap::Interrupt) = error.downcast_ref() {
        return Failure::new(Cause::Deadline, "stopped at its deadline");
    }
    // A guard that could not get memory mostly traps in its allocator, a place later.
    if let Some(refusal) = confines.refusal {
        let what = match refusal {
            Refusal::Memory => "needed more memory than its limit `memory`",
            Refusal::Table => "needed more table elements than its limit `table_elements`",
        };
        return Failure::new(Cause::Memory, what);
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return Failure::new(Cause::Trap, trap.to_string());
    }
    let message = error.root_cause().to_string();
    let exhausted =
        error.downcast_ref::<PoolConcurrencyLimitError>().is_some() || error.downcast_ref::<OutOfMemory>().is_some();
    if exhausted || stage == Stage::Start {
        return Failure::new(Cause::Unavailable, format!("no instance could be made: {message}"));
    }
    if message.contains("fuel allocated for hostcalls") {
        return Failure::answer("the answer is larger than the limit `answer_bytes`");
    }
    Failure::answer(message)
}
