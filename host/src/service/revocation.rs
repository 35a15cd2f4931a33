//! The revocation list under watch: read at the start and on change, recorded, and in force at once.

use crate::guards::List;
use crate::pipeline::InForce;
use crate::sequencer::Sequencer;
use picket_ledger::Hash;
use picket_ledger::entry::Body;
use picket_ledger::hash::to_hex;
use std::path::PathBuf;

pub(super) struct ListWatch {
    path: PathBuf,
    /// The list in force.
    in_force: Option<Hash>,
    /// The newest one that has an entry.
    recorded: Option<Hash>,
    /// What was said last of a list that cannot be taken, so that it is said once.
    complaint: Option<String>,
}

impl ListWatch {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, in_force: None, recorded: None, complaint: None }
    }

    /// One look. A list that cannot be taken changes nothing: the last good one stays in force.
    pub(super) fn look(&mut self, in_force: &InForce, sequencer: &Sequencer) {
        let list = match List::read(&self.path) {
            Ok(list) => list,
            Err(error) => {
                let complaint = error.to_string();
                if self.complaint.as_ref() != Some(&complaint) {
                    tracing::error!("{complaint}; the last good list stays in force");
                    self.complaint = Some(complaint);
                }
                return;
            }
        };
        self.complaint = None;
        let (digest, entry) = (*list.digest(), list.entry());
        // Recorded first, so that no verdict shows what no entry explains; but a ledger that takes no entry does not keep
        // a revoked guard running. Without its entry the list is recorded at a later look.
        if self.recorded != Some(digest) {
            match sequencer.append_blocking(Body::Revocation(entry).into()) {
                Ok(_) => self.recorded = Some(digest),
                Err(error) => {
                    tracing::error!(%error, "the revocation list could not be recorded; it counts all the same")
                }
            }
        }
        if self.in_force == Some(digest) {
            return;
        }
        let (components, keys) = list.counts();
        tracing::info!(components, keys, digest = to_hex(&digest), "a revocation list is in force");
        for struck in in_force.revocations().apply(list) {
            let event = struck.event();
            tracing::error!(guard = event.guard, "is not asked any more: {}", event.message);
            if let Err(error) = sequencer.append_blocking(Body::GuardEvent(event).into()) {
                tracing::error!(%error, "this could not be recorded");
            }
        }
        self.in_force = Some(digest);
    }
}
