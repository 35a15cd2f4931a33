//! One pipeline in the place of another: what is new is warmed up, and what changes is told.

use super::{LoadedGuard, Pipeline};
use crate::measure::measure;
use picket_engine::{Cause, Content, Failure, Inference};
use picket_ledger::entry;

/// Tries that a new guard gets for its first check. More than one, because a busy box may make it miss its deadline.
const TRIES: usize = 10;

/// A guard gave no verdict on an ordinary text before it was in force.
#[derive(Debug, thiserror::Error)]
#[error("guard `{guard}` fails in its first check, before it is in force: {failure}")]
pub struct WarmUpError {
    /// Its name.
    pub guard: String,
    /// Line of its table.
    pub line: usize,
    /// How.
    pub failure: Failure,
}

/// What is different from the pipeline before.
#[derive(Debug, Default)]
pub struct Changes {
    /// Entries of the guards that were loaded, or are vouched for otherwise.
    pub loaded: Vec<entry::GuardLoad>,
    /// Guards that are not in force any more.
    pub retired: Vec<entry::GuardEvent>,
    /// Open breakers that end, because their policy does.
    pub closed: Vec<entry::GuardEvent>,
}

impl Pipeline {
    /// Lets every guard that has not judged yet judge a short text: its pages are mapped and its code has run before an
    /// inference waits for it, and a guard that cannot judge at all is found out.
    ///
    /// # Errors
    /// The first guard that traps, runs out of memory or answers badly, or misses its deadline each time.
    pub fn warm_up(&self) -> Result<(), WarmUpError> {
        self.all().filter(|guard| !guard.taken_over).try_for_each(LoadedGuard::warm_up)
    }

    /// What is different from `before`.
    pub fn changes_from(&self, before: &Self) -> Changes {
        let mut changes = Changes::default();
        for guard in self.all() {
            if !before.all().any(|old| old.load == guard.load && !old.is_revoked()) {
                changes.loaded.push(guard.load.clone());
            }
        }
        for old in before.all() {
            let next = self.all().find(|guard| old.is(guard));
            match next {
                // A guard that was revoked has its entry already.
                None if old.is_revoked() => {}
                None => changes.retired.push(old.retired(self)),
                Some(next) => changes.closed.extend(old.breaker_ends(next)),
            }
        }
        changes
    }
}

impl LoadedGuard {
    fn warm_up(&self) -> Result<(), WarmUpError> {
        let inference = ordinary(self.config.models.as_ref().and_then(|models| models.first()));
        for remaining in (0..TRIES).rev() {
            match self.validator.check(&inference) {
                Err(failure) if failure.cause == Cause::Deadline && remaining > 0 => {}
                Ok(_) | Err(Failure { cause: Cause::Refused | Cause::Unavailable, .. }) => return Ok(()),
                Err(failure) => {
                    return Err(WarmUpError { guard: self.config.name.clone(), line: self.config.line, failure });
                }
            }
        }
        Ok(())
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.standing.revoked().is_some()
    }

    /// Whether `other` is the same guard: what a verdict says of it is the same.
    fn is(&self, other: &Self) -> bool {
        let identity = |guard: &Self| (guard.load.component, guard.load.settings);
        self.config.name == other.config.name && identity(self) == identity(other)
    }

    fn retired(&self, after: &Pipeline) -> entry::GuardEvent {
        let followed = after.all().any(|guard| guard.config.name == self.config.name);
        let message = if followed { "a guard of the same name took its place" } else { "nothing took its place" };
        self.event_of(entry::GuardEventKind::Retired, message)
    }

    fn breaker_ends(&self, next: &Self) -> Option<entry::GuardEvent> {
        let open = self.breaker.as_ref().filter(|breaker| breaker.open().is_some())?;
        let goes_on = next.breaker.as_ref().is_some_and(|next| std::sync::Arc::ptr_eq(open, next));
        (!goes_on).then(|| self.event_of(entry::GuardEventKind::BreakerClosed, "the policy of its breaker was changed"))
    }

    fn event_of(&self, event: entry::GuardEventKind, message: &str) -> entry::GuardEvent {
        entry::GuardEvent {
            guard: Some(self.config.name.clone()),
            event,
            component: Some(self.load.component),
            settings: Some(self.load.settings),
            action: None,
            message: message.to_owned(),
        }
    }
}

fn ordinary(model: Option<&String>) -> Inference {
    let mut inference = Inference {
        id: "warm-up".to_owned(),
        model: model.cloned().unwrap_or_else(|| "warm-up".to_owned()),
        input: Some(Content::Text("What is checked before a guard is in force?".to_owned())),
        output: Some(Content::Text("That it gives a verdict on an ordinary text such as this one.".to_owned())),
        ..Inference::default()
    };
    inference.measurements = measure(&inference);
    inference
}
