//! Weights, prompts and features under watch: hashed at the start and on change, recorded, then in force. The revocation
//! list is looked at on the same thread.

use super::revocation::ListWatch;
use crate::config::Config;
use crate::pipeline::{Bindings, InForce};
use crate::provenance::{DigestCache, Observation, Role, Watched, Watcher};
use crate::sequencer::Sequencer;
use picket_ledger::entry::Body;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// The watching thread.
pub(super) struct Watching {
    stop: crossbeam_channel::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

/// Hashes everything once, records it, and goes on watching when there is a ledger to record in.
pub(super) fn start(
    config: &Config,
    sequencer: Option<&Sequencer>,
    in_force: &Arc<InForce>,
) -> std::io::Result<Watching> {
    let mut watcher = Watcher::new(watched(config), DigestCache::open(&config.edge.data.join("digests.json")));
    for observation in watcher.poll(&mut |_, _| {}) {
        apply(observation, sequencer, in_force);
    }
    let mut revoked = config.trust.revoked.clone().map(ListWatch::new);
    if let (Some(revoked), Some(sequencer)) = (&mut revoked, sequencer) {
        revoked.look(in_force, sequencer);
    }
    let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
    let Some(sequencer) = sequencer.cloned() else { return Ok(Watching { stop, thread: None }) };
    let (in_force, every) = (in_force.clone(), config.edge.watch_every);
    let watch = move || {
        while !over(&stopped, every) {
            for observation in watcher.poll(&mut |_, _| {}) {
                apply(observation, Some(&sequencer), &in_force);
            }
            if let Some(revoked) = &mut revoked {
                revoked.look(&in_force, &sequencer);
            }
        }
    };
    let thread = std::thread::Builder::new().name("provenance".into()).spawn(watch)?;
    Ok(Watching { stop, thread: Some(thread) })
}

impl Watching {
    pub(super) fn stop(self) {
        drop(self.stop);
        if self.thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that watches weights and prompts panicked");
        }
    }
}

/// Waits for one interval; true when the other end is gone.
fn over(stopped: &crossbeam_channel::Receiver<()>, every: Duration) -> bool {
    matches!(stopped.recv_timeout(every), Err(crossbeam_channel::RecvTimeoutError::Disconnected))
}

fn watched(config: &Config) -> Vec<Watched> {
    let mut watched = Vec::new();
    for model in &config.models {
        let paths =
            [(Role::Weights, &model.weights), (Role::Prompts, &model.prompts), (Role::Features, &model.features)];
        for (role, path) in paths {
            watched.extend(path.iter().map(|path| Watched {
                model: model.name.clone(),
                version: model.version.clone(),
                role,
                path: path.clone(),
            }));
        }
    }
    watched
}

/// Records a new digest, and only then puts it in force.
fn apply(observation: Observation, sequencer: Option<&Sequencer>, in_force: &InForce) {
    let Observation { model, role, path, outcome } = observation;
    let observed = match outcome {
        Ok(observed) => observed,
        Err(error) => {
            let (what, path) = (role.name(), path.display());
            tracing::error!(model, what, %path, %error, "cannot be hashed; verdicts name the last digest that was seen");
            return;
        }
    };
    if let Some(sequencer) = sequencer
        && let Err(error) = sequencer.append_blocking(Body::Record(observed.record).into())
    {
        let what = role.name();
        tracing::error!(model, what, %error, "a change could not be recorded; verdicts go on naming the old digest");
        return;
    }
    if let Some(previous) = observed.previous {
        let (old, new) = (picket_ledger::hash::to_hex(&previous), picket_ledger::hash::to_hex(&observed.digest));
        tracing::info!(model, what = role.name(), old, new, "has changed");
    }
    let now = in_force.of(&model);
    let now = match role {
        Role::Weights => Bindings { weights: Some(observed.digest), ..now },
        Role::Prompts => Bindings { prompts: Some(observed.digest), ..now },
        Role::Features => Bindings { features: Some(observed.digest), ..now },
    };
    in_force.set(&model, now);
}
