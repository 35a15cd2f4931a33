//! How much address space is set aside, and what an engine does when there is little.
//!
//! A pool reserves the most that each instance may grow to, and for speed 4 GiB and a guard region each. Address space
//! costs nothing where there is enough; under a limit of the process (`ulimit -v`), or with few address bits, it is what
//! runs out first. [`Sizing::fit`] tries the fast way, then smaller ones, and says what it came to.

use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::engine::{EngineOptions, Profile, base};
use crate::error::EngineError;

/// Linear memories a guard may have. Components from Rust and C have one, those from JavaScript and Python one or two.
pub(crate) const MEMORIES_PER_GUARD: usize = 2;
/// Tables a guard may have.
pub(crate) const TABLES_PER_GUARD: usize = 8;
/// Bytes of a table's element on a machine of 64 bits.
const ELEMENT: u64 = 8;
/// Address space of a full reservation.
const FULL: u64 = 4 << 30;
/// Guard region behind a full reservation.
const GUARD: u64 = 32 << 20;

/// Address space set aside for each linear memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reservation {
    /// 4 GiB and a guard region: guards run without bounds checks.
    Full,
    /// Only [`EngineOptions::max_memory`]: the machine's address space is limited; guards run with bounds checks.
    Tight,
    /// None: there is no pool, and a memory takes what it uses. Guards run with bounds checks, and instances take longer
    /// to make.
    OnDemand,
}

impl Reservation {
    /// Sets `config` up for it.
    pub(crate) fn apply(self, config: &mut Config, max_memory: u64) {
        match self {
            Self::Full => config.memory_reservation(FULL).memory_guard_size(GUARD),
            Self::Tight => config
                .memory_reservation(max_memory)
                .memory_reservation_for_growth(0)
                .memory_guard_size(0)
                .guard_before_linear_memory(false),
            Self::OnDemand => config
                .memory_reservation(0)
                .memory_reservation_for_growth(1 << 20)
                .memory_guard_size(0)
                .guard_before_linear_memory(false),
        };
    }
}

/// What the engine could have of what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizing {
    /// Address space of each memory.
    pub reservation: Reservation,
    /// Checks that run at the same time.
    pub instances: u32,
    /// Streams that are open at the same time.
    pub streams: u32,
    /// The process's limit on its address space in bytes (`ulimit -v`), when it has one.
    pub address_space: Option<u64>,
    /// [`EngineOptions::instances`].
    pub wanted: u32,
}

impl Sizing {
    /// What an operator should know: `None` when everything is as asked for, and fast.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        let limit = match self.address_space {
            Some(bytes) => format!("the address space is limited to {} MiB (`ulimit -v`)", bytes >> 20),
            None => "the machine has little address space".to_owned(),
        };
        let instances = if self.instances < self.wanted {
            format!("; {} checks run at a time instead of {}", self.instances, self.wanted)
        } else {
            String::new()
        };
        match self.reservation {
            Reservation::Full if instances.is_empty() => None,
            Reservation::Full | Reservation::Tight => {
                Some(format!("{limit}: guards run with bounds checks, somewhat slower{instances}"))
            }
            Reservation::OnDemand => Some(format!(
                "{limit}: there is no room for a pool of instances, and each check makes its own, slower{instances}; \
                 lower the guards' `memory`, or raise the limit"
            )),
        }
    }

    /// The largest that fits, and the engine of it.
    pub(crate) fn fit(options: &EngineOptions) -> Result<(Self, wasmtime::Engine), EngineError> {
        let address_space = getrlimit(Resource::As).current;
        // The rest is for threads, the ledger, and whatever else the process maps.
        let budget = address_space.map(|limit| limit.saturating_sub(mapped()) / 2);
        let mut refused = None;
        if options.profile == Profile::Contrast {
            let (instances, streams) = (options.instances, options.streams);
            let sizing = Self { reservation: Reservation::Tight, instances, streams, address_space, wanted: instances };
            let config = base(options, sizing.reservation).cranelift_opt_level(OptLevel::None).clone();
            return wasmtime::Engine::new(&config).map(|engine| (sizing, engine)).map_err(EngineError::Runtime);
        }
        for (reservation, instances, streams) in candidates(options) {
            let sizing = Self { reservation, instances, streams, address_space, wanted: options.instances };
            if budget.is_some_and(|budget| sizing.reserves(options) > budget) {
                continue;
            }
            match sizing.start(options) {
                Ok(engine) => return Ok((sizing, engine)),
                Err(error) => refused = Some(error),
            }
        }
        Err(EngineError::AddressSpace {
            instances: options.instances,
            max_memory: options.max_memory,
            source: refused.unwrap_or_else(|| wasmtime::format_err!("nothing fits")),
        })
    }

    /// Address space of the pool, in bytes, about.
    fn reserves(&self, options: &EngineOptions) -> u64 {
        let memory = match self.reservation {
            Reservation::Full => FULL + GUARD,
            Reservation::Tight => options.max_memory,
            Reservation::OnDemand => return 0,
        };
        let tables = TABLES_PER_GUARD as u64 * options.max_table_elements * ELEMENT;
        let place = memory.saturating_mul(MEMORIES_PER_GUARD as u64).saturating_add(tables);
        place.saturating_mul(u64::from(self.instances) + u64::from(self.streams))
    }

    fn start(&self, options: &EngineOptions) -> Result<wasmtime::Engine, wasmtime::Error> {
        let mut config = base(options, self.reservation);
        if self.reservation != Reservation::OnDemand {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(self.pool(options)?));
        }
        wasmtime::Engine::new(&config)
    }

    fn pool(&self, options: &EngineOptions) -> Result<PoolingAllocationConfig, wasmtime::Error> {
        let places = self.instances.saturating_add(self.streams);
        let memory = usize::try_from(options.max_memory)?;
        let elements = usize::try_from(options.max_table_elements)?;
        let memories = u32::try_from(MEMORIES_PER_GUARD)?;
        let tables = u32::try_from(TABLES_PER_GUARD)?;

        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(places)
            .total_core_instances(places.saturating_mul(64))
            .total_memories(places.saturating_mul(memories))
            .total_tables(places.saturating_mul(tables))
            .max_core_instances_per_component(1024)
            .max_memories_per_component(memories)
            .max_memories_per_module(memories)
            .max_tables_per_component(tables)
            .max_tables_per_module(tables)
            .max_memory_size(memory)
            .table_elements(elements)
            .max_component_instance_size(4 << 20)
            .max_core_instance_size(4 << 20)
            // What a check has written is put back page by page from the image, not unmapped: no page faults in the next.
            .linear_memory_keep_resident(options.keep_resident)
            .table_keep_resident(64 << 10)
            // Linux 6.7 says which pages those are. Older kernels put back all that is to be kept resident.
            .pagemap_scan(Enabled::Auto);
        Ok(pool)
    }
}

/// From what was asked for down to what always fits.
fn candidates(options: &EngineOptions) -> impl Iterator<Item = (Reservation, u32, u32)> {
    let (instances, streams) = (options.instances, options.streams);
    let fewer = std::iter::successors(Some((instances, streams)), |&(instances, streams)| {
        (instances > 2 || streams > 1)
            .then_some(((instances / 2).max(instances.min(2)), (streams / 2).max(streams.min(1))))
    });
    std::iter::once((Reservation::Full, instances, streams))
        .chain(fewer.map(|(instances, streams)| (Reservation::Tight, instances, streams)))
        .chain([(Reservation::Tight, 1, streams.min(1)), (Reservation::OnDemand, instances.min(2), streams.min(1))])
}

/// Bytes of address space that the process has mapped; 0 where the kernel does not say.
fn mapped() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_ascii_whitespace().next().and_then(|pages| pages.parse::<u64>().ok()));
    pages.unwrap_or(0).saturating_mul(rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_gets_smaller_and_ends_without_a_pool() {
        for (instances, streams) in [(1, 0), (2, 1), (3, 8), (33, 8), (4096, 4096)] {
            let options = EngineOptions { instances, streams, ..EngineOptions::default() };
            let tried: Vec<_> = candidates(&options).collect();
            assert_eq!(tried.first(), Some(&(Reservation::Full, instances, streams)));
            assert_eq!(tried.last(), Some(&(Reservation::OnDemand, instances.min(2), streams.min(1))));
            assert!(tried.len() < 32, "{tried:?}");
            let places: Vec<_> = tried.iter().map(|(_, instances, streams)| instances + streams).collect();
            let tight = &places[..places.len() - 1];
            assert!(tight.is_sorted_by(|before, after| before >= after), "{tried:?}");
            assert!(tried.iter().all(|(_, instances, _)| *instances >= 1));
        }
    }

    #[test]
    fn only_what_is_less_than_was_asked_for_has_a_message() {
        let full = Sizing { reservation: Reservation::Full, instances: 4, streams: 1, address_space: None, wanted: 4 };
        assert_eq!(full.message(), None);
        let small = Sizing { reservation: Reservation::Tight, instances: 2, address_space: Some(2 << 30), ..full };
        let message = small.message().unwrap_or_default();
        assert!(message.contains("2048 MiB") && message.contains("2 checks run at a time instead of 4"), "{message}");
        let none = Sizing { reservation: Reservation::OnDemand, ..small };
        assert!(none.message().unwrap_or_default().contains("no room for a pool"));
    }
}
