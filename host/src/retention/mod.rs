//! How much the box keeps, and for how long.
//!
//! A thread looks after the ledger every few seconds ([`Keeping`]). In a round ([`Keeper::round`]) it
//!
//! 1. verifies the newest receipt against the ledger itself: nothing else permits to remove an entry;
//! 2. records the auditor's time as a time anchor, at most once an hour;
//! 3. erases payloads older than `ledger.keep_payloads`, and removes entries older than `ledger.keep_entries` that the
//!    receipt covers;
//! 4. when the ledger takes more than `ledger.disk_budget`: erases the oldest payloads, then removes the oldest entries
//!    that the receipt covers, and when nothing more may go, tells the sequencer, which then does what
//!    `ledger.on_full` says.
//!
//! Every erasure is an entry. A removed entry needs none: its segment is at the auditor, and the roots that stay prove
//! whatever he shows.

mod keeper;
mod size;
#[cfg(test)]
mod tests;

pub use keeper::{Keeper, RetentionError, Round};
pub use size::disk_bytes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Pause between two rounds.
const EVERY: Duration = Duration::from_secs(5);

/// What the last round saw, for metrics.
#[derive(Debug, Default)]
pub struct State {
    /// Bytes that the ledger's folder takes on disk.
    pub disk_bytes: AtomicU64,
    /// Rounds that ended with an error.
    pub failed_rounds: AtomicU64,
}

fn words(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The thread that keeps the ledger within its bounds.
pub struct Keeping {
    stop: crossbeam_channel::Sender<()>,
    thread: JoinHandle<()>,
    state: Arc<State>,
}

impl Keeping {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(mut keeper: Keeper) -> std::io::Result<Self> {
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let state = Arc::new(State::default());
        let seen = state.clone();
        let watch = move || {
            loop {
                match keeper.round() {
                    Ok(round) => seen.disk_bytes.store(round.disk_bytes, Ordering::Relaxed),
                    Err(error) => {
                        seen.failed_rounds.fetch_add(1, Ordering::Relaxed);
                        tracing::error!(error = words(&error), "the ledger could not be tidied");
                    }
                }
                if !matches!(stopped.recv_timeout(EVERY), Err(crossbeam_channel::RecvTimeoutError::Timeout)) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("retention".into()).spawn(watch)?;
        Ok(Self { stop, thread, state })
    }

    /// What the last round saw.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.state.clone()
    }

    /// Waits for the round under way and ends.
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the retention thread panicked");
        }
    }
}
