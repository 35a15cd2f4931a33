//! `[ledger]`: when checkpoints are signed, and what is kept.

use super::{Place, trust};
use crate::config::raw::RawLedger;
use crate::config::{ConfigError, Ledger, OnFull};
use std::time::Duration;
use toml::Spanned;

pub(super) fn ledger(place: &Place, raw: &RawLedger) -> Result<Ledger, ConfigError> {
    let entries = place.number("ledger.checkpoint_entries", raw.checkpoint_entries.as_ref(), 1..=4096, 256)?;
    Ok(Ledger {
        checkpoint_entries: entries as u64,
        checkpoint_every: place.duration(
            "ledger.checkpoint_every",
            raw.checkpoint_every.as_ref(),
            Duration::from_secs(5),
        )?,
        heartbeat_every: place.duration(
            "ledger.heartbeat_every",
            raw.heartbeat_every.as_ref(),
            Duration::from_secs(60),
        )?,
        cache: place.bytes("ledger.cache", raw.cache.as_ref(), 16 << 20)?,
        key_lifetime: trust::key_lifetime(place, raw.key_lifetime.as_ref())?,
        disk_budget: disk_budget(place, raw.disk_budget.as_ref())?,
        reserve: place.bytes("ledger.reserve", raw.reserve.as_ref(), 16 << 20)?,
        on_full: place.choice(
            "ledger.on_full",
            raw.on_full.as_ref(),
            &[("block", OnFull::Block), ("drop", OnFull::Drop)],
            OnFull::Block,
        )?,
        keep_payloads: age(place, "ledger.keep_payloads", raw.keep_payloads.as_ref())?,
        keep_entries: age(place, "ledger.keep_entries", raw.keep_entries.as_ref())?,
    })
}

fn age(place: &Place, key: &str, written: Option<&Spanned<String>>) -> Result<Option<Duration>, ConfigError> {
    written.map(|written| place.duration(key, Some(written), Duration::ZERO)).transpose()
}

/// The journal alone takes 8 MiB, and one half of it again while it is brought to the packs.
fn disk_budget(place: &Place, written: Option<&Spanned<String>>) -> Result<Option<u64>, ConfigError> {
    const KEY: &str = "ledger.disk_budget";
    let Some(written) = written else { return Ok(None) };
    let bytes = place.bytes(KEY, Some(written), 0)?;
    if bytes < 64 << 20 {
        return Err(place.wrong(&written.span(), KEY, format!("`{}` is less than `64MiB`", written.get_ref())));
    }
    Ok(Some(bytes))
}
