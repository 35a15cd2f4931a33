//! Rounds again and again, in the background of the service.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::{Alarm, Report, State, SyncError, Uplink};

/// How often rounds are made.
#[derive(Debug, Clone, Copy)]
pub struct TaskOptions {
    /// Pause after a round that went well.
    pub every: Duration,
    /// Pause after the first failure; it doubles with each further one.
    pub first_backoff: Duration,
    /// The longest pause, and the pause after failures that only people can mend.
    pub longest_backoff: Duration,
}

impl TaskOptions {
    /// Rounds every `every`, backing off from one second to five minutes.
    #[must_use]
    pub fn every(every: Duration) -> Self {
        Self { every, first_backoff: Duration::from_secs(1), longest_backoff: Duration::from_secs(300) }
    }
}

/// What is asked of the running task.
#[derive(Debug)]
enum Request {
    Round(oneshot::Sender<Result<Report, String>>),
    ClearAlarm(oneshot::Sender<Result<Option<Alarm>, String>>),
}

/// To the running task.
#[derive(Debug, Clone)]
pub struct SyncHandle {
    state: Arc<State>,
    requests: mpsc::Sender<Request>,
    stop: Arc<watch::Sender<bool>>,
}

impl SyncHandle {
    /// Counters and alarm.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Makes a round now, whatever the backoff says, and returns how it went.
    ///
    /// # Errors
    /// The round's error in words, or that sync has stopped.
    pub async fn sync_now(&self) -> Result<Report, String> {
        let (sender, receiver) = oneshot::channel();
        self.requests.send(Request::Round(sender)).await.map_err(|_| stopped())?;
        receiver.await.map_err(|_| stopped())?
    }

    /// Takes the alarm back, after somebody looked into it. Returns it.
    ///
    /// # Errors
    /// In words, when that could not be stored.
    pub async fn clear_alarm(&self) -> Result<Option<Alarm>, String> {
        let (sender, receiver) = oneshot::channel();
        self.requests.send(Request::ClearAlarm(sender)).await.map_err(|_| stopped())?;
        receiver.await.map_err(|_| stopped())?
    }

    /// Ends the task; a request under way is dropped. Nothing is lost: what has no receipt is sent again.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

fn stopped() -> String {
    "sync has stopped".to_owned()
}

/// The background task.
#[derive(Debug)]
pub struct Task {
    uplink: Uplink,
    options: TaskOptions,
    /// Size of the newest checkpoint: rounds without anything new are skipped.
    signed: watch::Receiver<u64>,
    requests: mpsc::Receiver<Request>,
    failures: u32,
    last_error: Option<String>,
}

impl Task {
    /// Starts the task on the current runtime. `signed` tells the size of the newest checkpoint.
    pub fn start(uplink: Uplink, options: TaskOptions, signed: watch::Receiver<u64>) -> (SyncHandle, JoinHandle<()>) {
        let (requests, receiver) = mpsc::channel(4);
        let (stop, mut stopped) = watch::channel(false);
        let handle = SyncHandle { state: uplink.state(), requests, stop: Arc::new(stop) };
        let task = Self { uplink, options, signed, requests: receiver, failures: 0, last_error: None };
        let joined = tokio::spawn(async move {
            // Dropping the round where it stands is a crash at that point, which sync survives by design.
            tokio::select! {
                () = task.run() => (),
                _ = stopped.wait_for(|stop| *stop) => (),
            }
        });
        (handle, joined)
    }

    async fn run(mut self) {
        let mut due = Instant::now();
        loop {
            tokio::select! {
                request = self.requests.recv() => {
                    let Some(request) = request else { return };
                    self.answer(request).await;
                }
                () = sleep_until(due) => {
                    if self.something_to_send() {
                        let _logged = self.round().await;
                    }
                }
            }
            due = Instant::now() + self.pause();
        }
    }

    async fn answer(&mut self, request: Request) {
        // If nobody waits any more, it was done all the same.
        match request {
            Request::Round(waiting) => drop(waiting.send(self.round().await)),
            Request::ClearAlarm(waiting) => {
                let outcome = self.uplink.clear_alarm().await.map_err(|error| error.full());
                self.failures = 0;
                drop(waiting.send(outcome));
            }
        }
    }

    fn something_to_send(&self) -> bool {
        let state = self.uplink.state();
        *self.signed.borrow() > state.acknowledged.load(Ordering::Relaxed) || self.failures > 0
    }

    async fn round(&mut self) -> Result<Report, String> {
        match self.uplink.round().await {
            Ok(report) => {
                if self.failures > 0 {
                    tracing::info!(failures = self.failures, acknowledged = report.acknowledged, "sync works again");
                }
                self.failures = 0;
                self.last_error = None;
                Ok(report)
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn failed(&mut self, error: &SyncError) -> String {
        // What only people can mend waits longest at once.
        self.failures = if error.passes() { self.failures.saturating_add(1) } else { u32::MAX };
        let text = error.full();
        // A week offline is one line, not ten thousand.
        if self.last_error.as_ref() == Some(&text) {
            tracing::debug!("sync: {text}");
        } else {
            tracing::warn!("sync: {text}; nothing is lost, it is tried again");
            self.last_error = Some(text.clone());
        }
        text
    }

    fn pause(&self) -> Duration {
        if self.failures == 0 {
            return self.options.every;
        }
        jittered(backoff(self.failures, &self.options), random_fraction())
    }
}

/// How long to wait after so many failures in a row, with jitter: one second, doubling, at most five minutes.
#[must_use]
pub fn pause_after(failures: u32) -> Duration {
    jittered(backoff(failures, &TaskOptions::every(Duration::ZERO)), random_fraction())
}

/// `first × 2^(failures - 1)`, at most the longest.
fn backoff(failures: u32, options: &TaskOptions) -> Duration {
    let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    options.first_backoff.saturating_mul(factor).min(options.longest_backoff)
}

/// Between half of it and all of it, so that a fleet that lost its auditor does not return in one moment.
fn jittered(pause: Duration, fraction: u16) -> Duration {
    pause / 2 + (pause / 2).mul_f64(f64::from(fraction) / f64::from(u16::MAX))
}

fn random_fraction() -> u16 {
    let mut bytes = [0; 2];
    // Without randomness there is no jitter, and nothing else is wrong.
    let _kept_zero = getrandom::fill(&mut bytes);
    u16::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_to_its_cap_and_jitter_stays_within_half() {
        let options = TaskOptions::every(Duration::from_secs(5));
        let seconds: Vec<u64> = [1, 2, 3, 9, 10, 40, u32::MAX].map(|n| backoff(n, &options).as_secs()).to_vec();
        assert_eq!(seconds, [1, 2, 4, 256, 300, 300, 300]);
        let pause = Duration::from_secs(8);
        assert_eq!(jittered(pause, 0), Duration::from_secs(4));
        assert_eq!(jittered(pause, u16::MAX), Duration::from_secs(8));
        assert!(jittered(pause, 30_000) > Duration::from_secs(5));
    }
}
