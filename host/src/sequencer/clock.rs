//! The clocks that an entry's header carries.

use std::time::{SystemTime, UNIX_EPOCH};

/// Wall clock, boot clock and boot id of this machine.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    boot: [u8; 16],
}

/// One reading.
pub(super) struct Reading {
    /// Milliseconds since 1970, as the machine believes; may jump.
    pub wall_ms: u64,
    /// Nanoseconds since the machine booted, suspension included; never runs backwards within one boot.
    pub monotonic_ns: u64,
    /// Which boot `monotonic_ns` counts from.
    pub boot: [u8; 16],
}

impl Clock {
    /// Reads the boot id that the kernel gives; without one (no Linux), a zero id says that boots cannot be told apart.
    pub(super) fn new() -> Self {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        let boot = u128::from_str_radix(&digits, 16).unwrap_or(0).to_be_bytes();
        Self { boot }
    }

    pub(super) fn read(&self) -> Reading {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(since_boot.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(since_boot.tv_nsec).unwrap_or(0);
        Reading {
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
            monotonic_ns: seconds.saturating_mul(1_000_000_000).saturating_add(nanos),
            boot: self.boot,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_does_not_run_backwards_and_the_boot_has_a_name() {
        let clock = Clock::new();
        let first = clock.read();
        let second = clock.read();
        assert!(second.monotonic_ns >= first.monotonic_ns);
        assert_eq!(first.boot, second.boot);
        assert!(first.wall_ms > 1_600_000_000_000);
    }
}
