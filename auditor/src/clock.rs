//! The clocks of this machine, for the entries of the auditor's own ledger.

use std::time::{SystemTime, UNIX_EPOCH};

/// One reading of all clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Milliseconds since 1970-01-01 UTC by the wall clock; 0 when it stands before that.
    pub wall_ms: u64,
    /// Nanoseconds since boot, suspended time included.
    pub monotonic_ns: u64,
    /// Which boot `monotonic_ns` counts from: the kernel's boot id, or zeros where there is none.
    pub boot: [u8; 16],
}

/// Reads the clocks.
pub fn now() -> Now {
    Now { wall_ms: wall_ms(), monotonic_ns: monotonic_ns(), boot: boot_id() }
}

/// Milliseconds since 1970-01-01 UTC.
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A wall time as RFC 3339 in UTC, to the millisecond; the number itself when it is no date.
pub fn rfc3339(wall_ms: u64) -> String {
    i64::try_from(wall_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| format!("{wall_ms} ms"), |time| format!("{time:.3}"))
}

fn monotonic_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

fn boot_id() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: Vec<u8> = text.trim().bytes().filter(|b| *b != b'-').collect();
    let mut id = [0; 16];
    if digits.len() != 32 {
        return id;
    }
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        let hex = std::str::from_utf8(pair).unwrap_or("00");
        *byte = u8::from_str_radix(hex, 16).unwrap_or(0);
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_795_424_400_123), "2026-11-23T09:00:00.123Z");
        assert_eq!(rfc3339(u64::MAX), format!("{} ms", u64::MAX));
    }

    #[test]
    fn the_monotonic_clock_does_not_stand_still() {
        let before = now();
        assert!(before.monotonic_ns > 0);
        assert!(now().monotonic_ns >= before.monotonic_ns);
    }
}
