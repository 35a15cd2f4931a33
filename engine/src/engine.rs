//! The engine: one per process. Owns the runtime, its pool of instances, the ticker and the compile cache.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Config, OptLevel};

use crate::cache::Cache;
use crate::compile::CompilerProcess;
use crate::detector::Detector;
use crate::error::{EngineError, LoadError};
use crate::limits::Limits;
use crate::pool::{Reservation, Sizing};
use crate::slots::Slots;
use crate::ticker::Ticker;
use crate::validator::Validator;

/// How an engine is built.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Checks that run at the same time; a further one waits until its deadline. 1 to 4096. Fewer where the address
    /// space does not hold them: see [`Engine::sizing`].
    pub instances: u32,
    /// Streams that are open at the same time, each with an instance of its own. At most 4096.
    pub streams: u32,
    /// Most memory that any guard's limits may ask for, in bytes; at most 4 GiB. Address space for it is reserved for
    /// every instance.
    pub max_memory: u64,
    /// Most table elements that any guard's limits may ask for.
    pub max_table_elements: u64,
    /// Memory that each place of the pool keeps between checks, in bytes: what the next one need not fault in.
    pub keep_resident: usize,
    /// Largest component that is taken, in bytes. Compiling takes time and memory in proportion.
    pub max_component: usize,
    /// Stack of a guard's call, in bytes. A thread that calls a guard needs as much, and 256 KiB for the host.
    pub max_stack: usize,
    /// Where compiled guards are kept; `None` compiles at every start.
    pub cache: Option<CacheOptions>,
    /// Who compiles what the cache does not have; `None` compiles in this process, without limits on time and memory
    /// but those of `configure`.
    pub compiler: Option<CompilerProcess>,
    /// How often deadlines are looked at. A guard is stopped at most two ticks after its deadline.
    pub tick: Duration,
    /// How guards are compiled and started.
    pub profile: Profile,
}

/// How guards are compiled and started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// As a box runs them.
    #[default]
    Service,
    /// Otherwise, in all that must make no difference to a verdict: code that is not optimised and checks its bounds,
    /// instances that come from no pool, no snapshot. For finding out whether it really makes none.
    Contrast,
    /// As [`Profile::Service`], and every instruction is counted, which takes time. For measurement.
    Metered,
}

/// Where compiled guards are kept.
#[derive(Clone)]
pub struct CacheOptions {
    /// The folder, made when it is missing. Nothing else may be in it.
    pub folder: PathBuf,
    /// Known to this box alone. What is in the folder runs as native code, so it is only trusted under this key.
    pub key: [u8; 32],
}

impl std::fmt::Debug for CacheOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CacheOptions").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Default for EngineOptions {
    /// 32 instances, 8 streams, 256 MiB, 65,536 table elements, 2 MiB kept, components of 64 MiB, 512 KiB of stack, no cache,
    /// compiled in this process, ticks of 1 ms, the profile of a box.
    fn default() -> Self {
        Self {
            instances: 32,
            streams: 8,
            max_memory: 256 << 20,
            max_table_elements: 65_536,
            keep_resident: 2 << 20,
            max_component: 64 << 20,
            max_stack: 512 << 10,
            cache: None,
            compiler: None,
            tick: Duration::from_millis(1),
            profile: Profile::Service,
        }
    }
}

/// Runs guards. Cheap to clone; all clones are one engine.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) options: EngineOptions,
    /// Checks and streams: pooled, copy-on-write.
    pub(crate) pooled: wasmtime::Engine,
    /// Detectors, which live long and would keep a place in the pool for ever.
    pub(crate) lasting: wasmtime::Engine,
    /// Where guards are configured before their snapshot is taken: compiles fast, runs once.
    pub(crate) workshop: wasmtime::Engine,
    pub(crate) checks: Slots,
    pub(crate) streams: Slots,
    pub(crate) cache: Option<Cache>,
    pub(crate) ticker: Ticker,
    pub(crate) sizing: Sizing,
}

impl Engine {
    /// Starts an engine.
    ///
    /// # Errors
    /// When an option is out of range, the cache folder cannot be made, or the machine does not have the address space.
    pub fn new(options: EngineOptions) -> Result<Self, EngineError> {
        check(&options)?;
        let cache = options.cache.as_ref().map(Cache::open).transpose()?;
        let (sizing, pooled) = Sizing::fit(&options)?;
        let reservation = sizing.reservation;
        let lasting = lasting(&options, reservation)?;
        let workshop = workshop(&options, reservation)?;
        let clocks = [pooled.weak(), lasting.weak(), workshop.weak()];
        let ticker = Ticker::start(options.tick, move || {
            for engine in clocks.iter().filter_map(wasmtime::EngineWeak::upgrade) {
                engine.increment_epoch();
            }
        })
        .map_err(EngineError::Ticker)?;
        Ok(Self {
            inner: Arc::new(Inner {
                checks: Slots::new(sizing.instances),
                streams: Slots::new(sizing.streams),
                options,
                pooled,
                lasting,
                workshop,
                cache,
                ticker,
                sizing,
            }),
        })
    }

    /// Loads a guard of the world `validator` or `streaming-validator`: checks the component, configures it, snapshots
    /// it, compiles it. `name` is the guard's name in the configuration, for messages. `settings` is one JSON document.
    ///
    /// Takes milliseconds when the cache knows the guard; compiling takes seconds for large components.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_validator(
        &self,
        name: &str,
        wasm: &[u8],
        settings: &str,
        limits: Limits,
    ) -> Result<Validator, LoadError> {
        Validator::load(self, name, wasm, settings, limits)
    }

    /// Loads a guard of the world `detector` and configures it with `settings` (one JSON document) and `reference`:
    /// what [`Detector::fit`] returned, or empty for none.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_detector(
        &self,
        name: &str,
        wasm: &[u8],
        settings: &str,
        reference: &[u8],
        limits: Limits,
    ) -> Result<Detector, LoadError> {
        Detector::load(self, name, wasm, settings, reference, limits)
    }

    /// How much of what was asked for the machine could give, for `doctor` and the start-up message.
    pub fn sizing(&self) -> &Sizing {
        &self.inner.sizing
    }

    /// Whether `other` is a clone of this engine.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// As given to [`Engine::new`].
    pub fn options(&self) -> &EngineOptions {
        &self.inner.options
    }
}

pub(crate) fn check(options: &EngineOptions) -> Result<(), EngineError> {
    let refuse = |option, message: &str| Err(EngineError::Option { option, message: message.into() });
    if !(1..=4096).contains(&options.instances) {
        return refuse("instances", "must be 1 to 4096");
    }
    if options.streams > 4096 {
        return refuse("streams", "must be at most 4096");
    }
    if !(64 << 10..=4 << 30).contains(&options.max_memory) {
        return refuse("max_memory", "must be 64 KiB to 4 GiB");
    }
    if !(1..=10_000_000).contains(&options.max_table_elements) {
        return refuse("max_table_elements", "must be 1 to 10,000,000");
    }
    if !(64 << 10..=64 << 20).contains(&options.max_stack) {
        return refuse("max_stack", "must be 64 KiB to 64 MiB");
    }
    if !(Duration::from_micros(100)..=Duration::from_secs(1)).contains(&options.tick) {
        return refuse("tick", "must be 100 µs to 1 s");
    }
    Ok(())
}

/// The engine of [`Inner::lasting`]. All engines but the workshop make code for each other.
pub(crate) fn lasting(options: &EngineOptions, reservation: Reservation) -> Result<wasmtime::Engine, EngineError> {
    wasmtime::Engine::new(&base(options, reservation)).map_err(EngineError::Runtime)
}

/// The engine of [`Inner::workshop`].
pub(crate) fn workshop(options: &EngineOptions, reservation: Reservation) -> Result<wasmtime::Engine, EngineError> {
    wasmtime::Engine::new(base(options, reservation).cranelift_opt_level(OptLevel::None)).map_err(EngineError::Runtime)
}

/// What every engine has in common. Whatever a verdict depends on is fixed here: an auditor replays it elsewhere.
pub(crate) fn base(options: &EngineOptions, reservation: Reservation) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        // One memory per module is what guards have; several are needed for the snapshot's own accessor.
        .wasm_multi_memory(true)
        .wasm_memory64(false)
        .epoch_interruption(true)
        .max_wasm_stack(options.max_stack)
        // A message names the trap. Frames of a stripped guard say nothing, and gathering them takes time.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .consume_fuel(options.profile == Profile::Metered)
        .memory_init_cow(true);
    reservation.apply(&mut config, options.max_memory);
    config
}
