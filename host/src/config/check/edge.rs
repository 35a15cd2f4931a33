//! Keys of `[edge]` with ranges of their own.

use super::{Config, ConfigError, Place, RawEdge};
use std::time::Duration;

/// Less than 128 MiB does not compile the smallest guard: the compiler itself takes some.
pub(super) fn compile_memory(place: &Place, raw: &RawEdge) -> Result<Option<u64>, ConfigError> {
    const KEY: &str = "edge.compile_memory";
    let Some(written) = &raw.compile_memory else { return Ok(None) };
    let bytes = place.bytes(KEY, Some(written), 0)?;
    if !(128 << 20..=64 << 30).contains(&bytes) {
        return Err(place.wrong(&written.span(), KEY, format!("`{}` is not 128 MiB to 64 GiB", written.get_ref())));
    }
    Ok(Some(bytes))
}

pub(super) fn guard_memory(place: &Place, raw: &RawEdge) -> Result<Option<u64>, ConfigError> {
    let written = raw.guard_memory.as_ref();
    written.map(|_| place.bytes("edge.guard_memory", written, 0)).transpose()
}

/// With less, checks would have to wait for each other for want of memory that the guards are promised: a live change and
/// a check need an instance at the same time.
pub(super) fn two_instances(place: &Place, raw: &RawEdge, config: &Config) -> Result<(), ConfigError> {
    let (Some(written), Some(guard_memory)) = (&raw.guard_memory, config.edge.guard_memory) else { return Ok(()) };
    let guards = config.guards.iter().map(|guard| (&guard.name, guard.limits.memory));
    let detectors = config.detectors.iter().map(|detector| (&detector.name, detector.limits.memory));
    let Some((name, memory)) = guards.chain(detectors).max_by_key(|(_, memory)| *memory) else { return Ok(()) };
    if guard_memory >= memory.saturating_mul(2) {
        return Ok(());
    }
    let message = format!(
        "`{}` holds fewer than two instances of `{name}`, each of which may have {} KiB: write at least `{}KiB`, or lower \
         its `memory`",
        written.get_ref(),
        memory >> 10,
        (memory * 2).div_ceil(1024)
    );
    Err(place.wrong(&written.span(), "edge.guard_memory", message))
}

pub(super) fn compile_time(place: &Place, raw: &RawEdge) -> Result<Duration, ConfigError> {
    const KEY: &str = "edge.compile_time";
    let written = raw.compile_time.as_ref();
    let time = place.duration(KEY, written, Duration::from_secs(120))?;
    match written {
        Some(written) if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&time) => {
            Err(place.wrong(&written.span(), KEY, format!("`{}` is not 1 s to 1 h", written.get_ref())))
        }
        _ => Ok(time),
    }
}
