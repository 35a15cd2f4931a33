//! The clock of deadlines: a thread that moves the epoch of the engines on, and rests while no guard runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

/// A thread that ticks while calls are under way.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
    tick: Duration,
}

struct Shared {
    /// Calls under way. Raised before `resting` is read, as the ticker sets `resting` before it reads this: one of the
    /// two sees the other, so no call runs beside a resting ticker.
    calls: AtomicUsize,
    resting: AtomicBool,
    stop: AtomicBool,
}

/// A call under way; the ticker ticks as long as there is one.
pub(crate) struct Running<'a>(&'a Shared);

/// Idle ticks before the thread goes to rest: waking it up costs a system call, which a busy box should not pay for
/// each check.
const IDLE_TICKS: u32 = 256;

/// Ticks made up for after one sleep at most. A process that was stopped for a while must not kill its guards for it.
const MAX_CATCH_UP: u128 = 4;

impl Ticker {
    /// Starts the thread. `advance` moves the epochs on by one.
    pub(crate) fn start(tick: Duration, advance: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            calls: AtomicUsize::new(0),
            resting: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        let handle = std::thread::Builder::new()
            .name("picket-ticker".into())
            .stack_size(64 << 10)
            .spawn(move || theirs.tick(tick, advance))?;
        Ok(Self { shared, thread: handle.thread().clone(), handle: Some(handle), tick })
    }

    /// Notes that a call is under way.
    pub(crate) fn running(&self) -> Running<'_> {
        self.shared.calls.fetch_add(1, Ordering::SeqCst);
        if self.shared.resting.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(&self.shared)
    }

    /// How many ticks are at least `time`. The current tick is under way already, so one more is added.
    pub(crate) fn ticks(&self, time: Duration) -> u64 {
        u64::try_from(time.as_nanos().div_ceil(self.tick.as_nanos().max(1))).unwrap_or(u64::MAX).clamp(1, u64::MAX / 4)
            + 1
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            // It ends within a tick; a panic in it would be an engine defect and is reported by the panic hook.
            let _ = handle.join();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn tick(&self, tick: Duration, advance: impl Fn()) {
        let mut idle = 0;
        let mut last = Instant::now();
        while !self.stop.load(Ordering::SeqCst) {
            if self.calls.load(Ordering::SeqCst) > 0 {
                idle = 0;
            } else {
                idle += 1;
            }
            if idle > IDLE_TICKS {
                self.rest();
                idle = 0;
                last = Instant::now();
            }
            std::thread::sleep(tick);
            let passed = last.elapsed().as_nanos() / tick.as_nanos().max(1);
            last = Instant::now();
            for _ in 0..passed.clamp(1, MAX_CATCH_UP) {
                advance();
            }
        }
    }

    fn rest(&self) {
        self.resting.store(true, Ordering::SeqCst);
        while self.calls.load(Ordering::SeqCst) == 0 && !self.stop.load(Ordering::SeqCst) {
            std::thread::park();
        }
        self.resting.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn it_ticks_while_a_call_runs_also_after_it_rested() {
        let count = Arc::new(AtomicU64::new(0));
        let theirs = Arc::clone(&count);
        let ticker = Ticker::start(Duration::from_micros(50), move || {
            theirs.fetch_add(1, Ordering::SeqCst);
        })
        .unwrap();
        while !ticker.shared.resting.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        let before = count.load(Ordering::SeqCst);
        let running = ticker.running();
        while count.load(Ordering::SeqCst) < before + 10 {
            std::thread::yield_now();
        }
        drop(running);
    }

    #[test]
    fn a_deadline_is_never_shorter_than_asked_for() {
        let ticker = Ticker::start(Duration::from_millis(1), || {}).unwrap();
        assert_eq!(ticker.ticks(Duration::from_millis(20)), 21);
        assert_eq!(ticker.ticks(Duration::from_micros(20_001)), 22);
        assert_eq!(ticker.ticks(Duration::ZERO), 2);
        assert!(ticker.ticks(Duration::MAX) > 1 << 40);
    }
}
