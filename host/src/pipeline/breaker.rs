//! Leaves a guard alone that keeps failing: each failure may cost its whole deadline, and the next would too.
//!
//! Closed, every check runs the guard. After `failures` failures in a row, without a verdict between them and within
//! `within`, it opens: the guard is not run, and its checks come to `then`. After `pause` one check, and only one at a
//! time, tries the guard: an answer closes the breaker, a failure leaves it open and doubles the pause, up to
//! [`MAX_DOUBLINGS`] times.
//!
//! Failures in a row, because a guard that fails at some inputs only does its work on the others: whoever sends one of
//! those now and then must not be able to switch the guard off. What counts is a failure of the guard's own doing. That it
//! refuses an inference is an answer; that no instance was to be had is not its doing.

use crate::config::{self, OnFailure};
use jiff::Timestamp;
use picket_engine::{Cause, Failure};
use picket_ledger::entry;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the pause is doubled at most.
const MAX_DOUBLINGS: u32 = 4;

/// The state of one guard, shared by the threads that run it.
#[derive(Debug)]
pub(super) struct Breaker {
    policy: config::Breaker,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// When the failures came since the last answer, oldest first; fewer than `failures`.
    Closed(VecDeque<Instant>),
    Open(Open),
}

#[derive(Debug)]
struct Open {
    since: Timestamp,
    /// Failures in a row so far.
    failures: usize,
    last: String,
    /// When the next check may try the guard.
    until: Instant,
    doublings: u32,
    /// A check tries the guard now.
    trying: bool,
}

/// What a check may do.
pub(super) enum Way<'a> {
    /// Run the guard, and tell how it went.
    Run(Attempt<'a>),
    /// Leave it alone, for this reason.
    Open(String),
}

/// A check under way. Dropped without a word, it has no effect, but that another may try.
pub(super) struct Attempt<'a> {
    breaker: &'a Breaker,
    /// The breaker is open, and this check finds out whether the guard works again.
    trial: bool,
}

/// A change of the state, to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// From here on checks come to this action.
    Opened { action: entry::Decision, message: String },
    /// The guard is asked again.
    Closed { message: String },
}

impl Breaker {
    pub(super) fn new(policy: config::Breaker) -> Self {
        Self { policy, state: Mutex::new(State::Closed(VecDeque::new())) }
    }

    pub(super) fn policy(&self) -> config::Breaker {
        self.policy
    }

    /// Whether the guard is left alone, and why.
    pub(super) fn open(&self) -> Option<String> {
        match &*self.state() {
            State::Closed(_) => None,
            State::Open(open) => Some(open.message()),
        }
    }

    pub(super) fn ask(&self, now: Instant) -> Way<'_> {
        match &mut *self.state() {
            State::Closed(_) => Way::Run(Attempt { breaker: self, trial: false }),
            State::Open(open) if now < open.until || open.trying => Way::Open(open.message()),
            State::Open(open) => {
                open.trying = true;
                Way::Run(Attempt { breaker: self, trial: true })
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `doublings` times doubled.
    fn pause(&self, doublings: u32) -> Duration {
        self.policy.pause.saturating_mul(1 << doublings)
    }

    fn failed(
        &self,
        failures: &mut VecDeque<Instant>,
        failure: &Failure,
        now: Instant,
        wall: Timestamp,
    ) -> Option<Open> {
        let within = self.policy.within;
        failures.push_back(now);
        failures.retain(|then| now.saturating_duration_since(*then) <= within);
        (failures.len() >= self.policy.failures).then(|| Open {
            since: wall,
            failures: failures.len(),
            last: format!("{}: {}", failure.cause, failure.message),
            until: now + self.pause(0),
            doublings: 0,
            trying: false,
        })
    }
}

impl Attempt<'_> {
    /// Says how the check went. `record` is called with a change while nobody else sees the new state yet: what it hands
    /// to the ledger stands there before every verdict that follows from it.
    pub(super) fn tell<T>(
        mut self,
        outcome: &Result<T, Failure>,
        now: Instant,
        wall: Timestamp,
        record: impl FnOnce(Change),
    ) {
        let failure = match outcome {
            Err(failure) if failure.cause == Cause::Unavailable => return,
            Err(failure) if failure.cause != Cause::Refused => Some(failure),
            _ => None,
        };
        let breaker = self.breaker;
        let mut state = breaker.state();
        match (&mut *state, failure) {
            (State::Closed(failures), None) => failures.clear(),
            (State::Closed(failures), Some(failure)) => {
                let Some(open) = breaker.failed(failures, failure, now, wall) else { return };
                record(Change::Opened { action: breaker.policy.then.into(), message: open.words() });
                *state = State::Open(open);
            }
            // Begun before it opened: whether the guard works now is what the trial finds out.
            (State::Open(_), _) if !self.trial => {}
            (State::Open(open), Some(failure)) => {
                open.failures += 1;
                open.last = format!("{}: {}", failure.cause, failure.message);
                open.doublings = (open.doublings + 1).min(MAX_DOUBLINGS);
                open.until = now + breaker.pause(open.doublings);
                open.trying = false;
            }
            (State::Open(open), None) => {
                let message =
                    format!("it answered again, after {} failures in a row since {}", open.failures, open.since);
                record(Change::Closed { message });
                *state = State::Closed(VecDeque::new());
            }
        }
        // Whoever tries next is not ours to end.
        self.trial = false;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.trial
            && let State::Open(open) = &mut *self.breaker.state()
        {
            open.trying = false;
        }
    }
}

impl Open {
    fn words(&self) -> String {
        format!("{} failures in a row, the last: {}", self.failures, self.last)
    }

    fn message(&self) -> String {
        entry::clip_message(&format!("its breaker is open since {}; {}", self.since, self.words()))
    }
}

impl From<OnFailure> for entry::Decision {
    fn from(action: OnFailure) -> Self {
        match action {
            OnFailure::Block => Self::Block,
            OnFailure::Allow => Self::Allow,
        }
    }
}

#[cfg(test)]
mod tests;
