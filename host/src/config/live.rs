//! What of a configuration can change while the box runs.

use super::{Auditor, Config, Edge, Ledger, Model};
use std::path::{Path, PathBuf};

/// Keys that are different in `new` and take effect at a restart only; none: `new` can be put in force. Every field stands
/// here, so that a new one is not forgotten. Files of TLS are read at a start only and are not compared.
pub(crate) fn restart_keys(old: &Config, new: &Config) -> Vec<String> {
    let mut keys = edge(&old.edge, &new.edge);
    keys.extend(auditor(old.auditor.as_ref(), new.auditor.as_ref()));
    keys.extend(ledger(&old.ledger, &new.ledger));
    let mut keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
    keys.extend(models(&old.models, &new.models));
    // The list itself may change at any time; which file it is, the watch is told at the start.
    if !same_paths(old.trust.revoked.as_ref(), new.trust.revoked.as_ref()) {
        keys.push("trust.revoked".to_owned());
    }
    keys
}

/// Paths are relative to the configuration file, which may be named in another way the next time.
fn same_path(old: &Path, new: &Path) -> bool {
    matches!((std::path::absolute(old), std::path::absolute(new)), (Ok(old), Ok(new)) if old == new)
}

fn same_paths(old: Option<&PathBuf>, new: Option<&PathBuf>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => same_path(old, new),
        (old, new) => old.is_none() && new.is_none(),
    }
}

fn same_model(old: &Model, new: &Model) -> bool {
    old.name == new.name
        && old.version == new.version
        && same_paths(old.weights.as_ref(), new.weights.as_ref())
        && same_paths(old.prompts.as_ref(), new.prompts.as_ref())
        && same_paths(old.features.as_ref(), new.features.as_ref())
}

/// The names of those of which the two values differ.
fn different<const N: usize>(pairs: [(&'static str, bool); N]) -> Vec<&'static str> {
    pairs.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

fn edge(old: &Edge, new: &Edge) -> Vec<&'static str> {
    // What is kept is decided for each inference, by the pipeline; how guards are compiled, by the engine.
    let Edge {
        id,
        data,
        listen,
        retention: _,
        workers,
        queue,
        max_inference,
        guard_memory,
        compile_memory: _,
        compile_time: _,
        watch_every,
        witness,
    } = old;
    different([
        ("edge.id", *id == new.id),
        ("edge.data", same_path(data, &new.data)),
        ("edge.listen", *listen == new.listen),
        ("edge.workers", *workers == new.workers),
        ("edge.queue", *queue == new.queue),
        ("edge.max_inference", *max_inference == new.max_inference),
        ("edge.guard_memory", *guard_memory == new.guard_memory),
        ("edge.watch_every", *watch_every == new.watch_every),
        ("edge.witness", same_paths(witness.as_ref(), new.witness.as_ref())),
    ])
}

fn auditor(old: Option<&Auditor>, new: Option<&Auditor>) -> Vec<&'static str> {
    let (Some(old), Some(new)) = (old, new) else { return different([("[auditor]", old.is_none() && new.is_none())]) };
    let Auditor { url, tls: _, key, every, timeout, connect_timeout, bandwidth } = old;
    different([
        ("auditor.url", *url == new.url),
        ("auditor.key", *key == new.key),
        ("auditor.every", *every == new.every),
        ("auditor.timeout", *timeout == new.timeout),
        ("auditor.connect_timeout", *connect_timeout == new.connect_timeout),
        ("auditor.bandwidth", *bandwidth == new.bandwidth),
    ])
}

fn ledger(old: &Ledger, new: &Ledger) -> Vec<&'static str> {
    let Ledger {
        checkpoint_entries,
        checkpoint_every,
        heartbeat_every,
        cache,
        key_lifetime,
        disk_budget,
        reserve,
        on_full,
        keep_payloads,
        keep_entries,
    } = old;
    different([
        ("ledger.checkpoint_entries", *checkpoint_entries == new.checkpoint_entries),
        ("ledger.checkpoint_every", *checkpoint_every == new.checkpoint_every),
        ("ledger.heartbeat_every", *heartbeat_every == new.heartbeat_every),
        ("ledger.cache", *cache == new.cache),
        ("ledger.key_lifetime", *key_lifetime == new.key_lifetime),
        ("ledger.disk_budget", *disk_budget == new.disk_budget),
        ("ledger.reserve", *reserve == new.reserve),
        ("ledger.on_full", *on_full == new.on_full),
        ("ledger.keep_payloads", *keep_payloads == new.keep_payloads),
        ("ledger.keep_entries", *keep_entries == new.keep_entries),
    ])
}

/// The files of models are hashed by a watch that begins at the start. A model without files can come, go and change.
fn models(old: &[Model], new: &[Model]) -> Vec<String> {
    let watched = |models: &[Model]| {
        let files = |model: &&Model| model.weights.is_some() || model.prompts.is_some() || model.features.is_some();
        models.iter().filter(files).cloned().collect::<Vec<_>>()
    };
    let (old, new) = (watched(old), watched(new));
    let is_in = |model: &Model, others: &[Model]| others.iter().any(|other| same_model(model, other));
    let named = |model: &Model, others: &[Model]| others.iter().any(|other| other.name == model.name);
    let gone = old.iter().filter(|model| !is_in(model, &new));
    let come = new.iter().filter(|model| !named(model, &old));
    gone.chain(come).map(|model| format!("model.{}", model.name)).collect()
}
