//! Handing the ledger over to a new key, when told to and when the present one has lived long enough.

use super::{Group, State};
use crate::config;
use crate::keys::{Keys, Step};
use crate::sequencer::{Rotated, SequencerError};
use picket_ledger::entry::{Body, KeyRotation};
use std::time::{Duration, Instant};

/// Pause after a rotation that failed.
const RETRY: Duration = Duration::from_secs(60 * 60);

impl State {
    /// Hands the ledger over to a new key. The rotation entry is alone in its commit, the last under a checkpoint by the
    /// old key; behind it the new one signs.
    pub(super) fn rotate(&mut self, until: Step) -> Result<Rotated, SequencerError> {
        let next = self.keys.prepare()?;
        if until < Step::Committed {
            return Err(SequencerError::Closed);
        }
        let index = self.log.size();
        let epoch = self.keys.chain.current_epoch().number + 1;
        let rotation = KeyRotation::new(epoch, index, &self.keys.signing.verifier(), &next);
        let mut group = Group::default();
        self.place(&mut group, Body::KeyRotation(rotation).into(), Box::new(|_| {}));
        // A crash inside of it leaves the rotation happened or not; `next.key` is there for either.
        self.commit(group, true, true)?;
        let rotated = Rotated { epoch, key: next.verifier().to_string(), start: index + 1 };
        if let Err(error) = self.keys.hand_over(next, &self.log.reader(), until) {
            tracing::error!(%error, epoch, "the new key signs, but the old one could not be put away; the next start does it");
        }
        self.rotate_at = self.settings.key_lifetime.and_then(|lifetime| Instant::now().checked_add(lifetime));
        tracing::info!(epoch, key = rotated.key, start = rotated.start, "the ledger was handed over to a new key");
        Ok(rotated)
    }

    pub(super) fn rotate_if_due(&mut self) {
        if self.rotate_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        if let Err(error) = self.rotate(Step::Destroyed) {
            tracing::error!(%error, "the key is due and could not be rotated; it is tried again in an hour");
            self.rotate_at = Instant::now().checked_add(RETRY);
        }
    }
}

/// When the present key is due.
pub(super) fn due(keys: &Keys, settings: &config::Ledger) -> Result<Option<Instant>, SequencerError> {
    let Some(lifetime) = settings.key_lifetime else { return Ok(None) };
    Ok(Instant::now().checked_add(lifetime.saturating_sub(keys.age()?)))
}
