//! The clocks that an entry's header carries.

use picket_ledger::Entry;
use picket_store::{Reader, StoreError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Wall clock, boot clock and boot id of this machine.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    boot: [u8; 16],
}

/// One reading.
#[derive(Clone)]
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

/// A wall clock that moves by so much against the boot clock from one reading to the next was set, in milliseconds. What
/// a time daemon slews, 500 ppm, stays far below between two heartbeats.
const STEP_MS: i64 = 1000;

/// Notices that the wall clock was set.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// Wall minus boot clock at the last reading, in milliseconds, and the boot.
    last: Option<(i64, [u8; 16])>,
    /// Steps seen and not yet in the ledger, summed up.
    pub(super) unrecorded: i64,
}

impl Steps {
    /// Goes on from the clocks of the last entry: they may have been set while the box was down.
    pub(super) fn of_last(reader: &Reader) -> Result<Self, StoreError> {
        let mut steps = Self::default();
        if let Some(last) = reader.size().checked_sub(1).filter(|last| *last >= reader.pruned_to())
            && let Ok(entry) = Entry::decode(&reader.entry(last)?)
        {
            steps.seed(entry.wall_ms, entry.monotonic_ns, entry.boot);
        }
        Ok(steps)
    }

    fn seed(&mut self, wall_ms: u64, monotonic_ns: u64, boot: [u8; 16]) {
        self.last = Some((offset(wall_ms, monotonic_ns), boot));
    }

    pub(super) fn observe(&mut self, now: &Reading) {
        let offset = offset(now.wall_ms, now.monotonic_ns);
        if let Some((before, boot)) = self.last
            && boot == now.boot
        {
            let step = offset.saturating_sub(before);
            if step.unsigned_abs() >= STEP_MS.unsigned_abs() {
                self.unrecorded = self.unrecorded.saturating_add(step);
            }
        }
        self.last = Some((offset, now.boot));
    }
}

fn offset(wall_ms: u64, monotonic_ns: u64) -> i64 {
    let wall = i64::try_from(wall_ms).unwrap_or(i64::MAX);
    wall.saturating_sub(i64::try_from(monotonic_ns / 1_000_000).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_noticed_and_one_that_is_slewed_or_rebooted_is_not() {
        let at = |wall_ms: u64, seconds: u64, boot: u8| Reading {
            wall_ms,
            monotonic_ns: seconds * 1_000_000_000,
            boot: [boot; 16],
        };
        let mut steps = Steps::default();
        steps.observe(&at(1_000_000, 10, 1));
        steps.observe(&at(1_060_030, 70, 1));
        assert_eq!(steps.unrecorded, 0, "30 ms in a minute is the work of a time daemon");
        steps.observe(&at(1_061_029, 70, 1));
        assert_eq!(steps.unrecorded, 0, "999 ms are below what counts");
        steps.observe(&at(1_062_029, 70, 1));
        assert_eq!(steps.unrecorded, 1000);
        steps.observe(&at(62_029, 70, 1));
        assert_eq!(steps.unrecorded, 1000 - 1_000_000, "back, and summed up until it is recorded");
        steps.unrecorded = 0;
        steps.observe(&at(9_000_000, 1, 2));
        assert_eq!(steps.unrecorded, 0, "another boot counts from another zero");
    }

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
