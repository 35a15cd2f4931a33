//! What a guard may use, and the store data that enforces it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::ResourceLimiter;

/// What one guard may use. Every limit holds for each call by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall-clock time for one call, everything included: waiting for a free instance, instantiating, copying the
    /// inference in, the guard's own work and its post-return function. A guard still running then is stopped, at most
    /// two ticks of the engine later. For a detector: one call of `observe`, `status`, `merge`, …
    pub deadline: Duration,
    /// The same for `describe` and `configure`, which run at load.
    pub load_deadline: Duration,
    /// Bytes of linear memory, all memories of the guard together.
    pub memory: u64,
    /// Elements of all tables together.
    pub table_elements: u64,
    /// Core WebAssembly instances in the component.
    pub instances: u32,
    /// Bytes of an answer as the host holds it: strings, and list elements at their size in host memory (a finding is
    /// about 150). Bounds what a guard can make the host allocate.
    pub answer_bytes: usize,
    /// The same for a detector's snapshot and reference profile.
    pub state_bytes: usize,
    /// Findings of one verdict or alarms of one batch; the same number bounds edits and measurements.
    pub findings: usize,
}

impl Default for Limits {
    /// 20 ms, 10 s to load, 32 MiB, 65,536 table elements, 64 instances, 1 MiB of answer, 16 MiB of state, 256 findings.
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(20),
            load_deadline: Duration::from_secs(10),
            memory: 32 << 20,
            table_elements: 65_536,
            instances: 64,
            answer_bytes: 1 << 20,
            state_bytes: 16 << 20,
            findings: 256,
        }
    }
}

/// Which limit a guard ran into. A guard that survives a refused growth has not failed; one that traps after it failed
/// for want of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Memory,
    Table,
}

/// The data of every store: counts what the guard has and refuses what goes beyond.
pub(crate) struct Confines {
    memory_limit: usize,
    table_limit: usize,
    instance_limit: usize,
    memory: usize,
    table_elements: usize,
    /// Growth that was granted last, to be taken back when the runtime cannot carry it out.
    granted: usize,
    pub(crate) refusal: Option<Refusal>,
}

impl Confines {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory_limit: usize::try_from(limits.memory).unwrap_or(usize::MAX),
            table_limit: usize::try_from(limits.table_elements).unwrap_or(usize::MAX),
            instance_limit: usize::try_from(limits.instances).unwrap_or(usize::MAX),
            memory: 0,
            table_elements: 0,
            granted: 0,
            refusal: None,
        }
    }

    /// Room for the instance that instruments a guard of which a snapshot is taken.
    pub(crate) fn allow_instrumentation(&mut self) {
        self.instance_limit = self.instance_limit.saturating_add(1);
    }

    /// Linear memory granted, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.memory as u64
    }

    /// Room for the page of each memory in which the instrumentation leaves its answer. Only once the guard has run.
    pub(crate) fn allow_reading(&mut self) {
        self.memory_limit = usize::MAX;
    }
}

impl ResourceLimiter for Confines {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let total = self.memory.saturating_add(growth);
        if total > self.memory_limit {
            self.refusal = Some(Refusal::Memory);
            return Ok(false);
        }
        // Beyond the memory's own maximum growth fails by itself, and is no matter of ours. Looked at last: what the pool
        // can hold counts as a maximum too, and is just the limit of the guard that may have most.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.memory = total;
        self.granted = growth;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory -= std::mem::take(&mut self.granted);
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let total = self.table_elements.saturating_add(growth);
        if total > self.table_limit {
            self.refusal = Some(Refusal::Table);
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.table_elements = total;
        self.granted = growth;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.table_elements -= std::mem::take(&mut self.granted);
        Ok(())
    }

    fn instances(&self) -> usize {
        self.instance_limit
    }

    fn tables(&self) -> usize {
        crate::pool::TABLES_PER_GUARD
    }

    fn memories(&self) -> usize {
        crate::pool::MEMORIES_PER_GUARD
    }
}
