//! Opening the log in a data folder: the one that was there, or the next incarnation.

use super::doubt::{self, Doubt};
use super::writer::{CEILING, CLEAN};
use super::{SequencerError, config};
use crate::keys::{self, Keys, Reopening};
use picket_ledger::checkpoint::peek;
use picket_ledger::entry::{MAX_FOUND, MAX_HEADS, clip_message};
use picket_ledger::hash::to_hex;
use picket_store::{Log, Opened, Options, StoreError};
use std::path::Path;
use std::sync::Arc;

/// Where sync keeps its newest receipt and its alarm; the names are part of what is on disk.
const RECEIPT: &str = "sync/receipt";
const ALARM: &str = "sync/alarm";

/// Opens the log. One that was rolled back or copied is kept aside, and a new one takes its place.
pub(super) fn open(
    data: &Path,
    edge: &config::Edge,
    settings: &config::Ledger,
    mut keys: Keys,
) -> Result<(Log, Opened, Keys), SequencerError> {
    let store = |error| SequencerError::Store(Arc::new(error));
    let mut options = Options::default();
    options.cache_bytes = settings.cache;
    options.reserve_bytes = settings.reserve;
    let (log, opened) = Log::open(&data.join("ledger"), &options).map_err(store)?;
    // A rotation that a crash cut short is finished or undone before anything is signed.
    keys.settle(&log.reader())?;
    if opened.fresh || log.size() == 0 {
        doubt::settle_at(data)?;
        return Ok((log, opened, keys));
    }
    let doubts = doubts(data, edge, &keys, &log)?;
    if doubts.is_empty() {
        return Ok((log, opened, keys));
    }
    for doubt in &doubts {
        tracing::error!("{}", doubt.message);
    }
    let reopening = reopening(edge, &keys, &log, &doubts).map_err(store)?;
    // The lock must be free before the folder gets its other name.
    drop(log);
    reopening.begin(data)?;
    let keys = keys::load_or_create(data, &edge.id)?;
    let (log, opened) = Log::open(&data.join("ledger"), &options).map_err(store)?;
    doubt::settle_at(data)?;
    tracing::error!(
        "this box goes on as {}; its old ledger is kept in {}: keep it as evidence, with the auditor's, and find out \
         who restored or copied it",
        keys.signing.name(),
        data.join(format!("ledger-{}", reopening.from)).display()
    );
    Ok((log, opened, keys))
}

fn doubts(data: &Path, edge: &config::Edge, keys: &Keys, log: &Log) -> Result<Vec<Doubt>, SequencerError> {
    let store = |error: StoreError| SequencerError::Store(Arc::new(error));
    let mut doubts: Vec<Doubt> = doubt::moved(data)?.into_iter().collect();
    if let Some(witness) = &edge.witness {
        doubts.extend(doubt::witnessed(witness, keys, log).map_err(store)?);
    }
    if let Some(held) = proof_of_alarm(log).map_err(store)? {
        doubts.extend(doubt::contradiction(&held, keys, log, "the auditor").map_err(store)?);
    }
    Ok(doubts)
}

/// The checkpoint of this box that the auditor held against it, with an alarm that stands.
fn proof_of_alarm(log: &Log) -> Result<Option<String>, StoreError> {
    #[derive(serde::Deserialize)]
    struct Proven {
        #[serde(default)]
        held: Option<String>,
    }
    let alarm = log.reader().named(ALARM)?;
    Ok(alarm.and_then(|bytes| serde_json::from_slice::<Proven>(&bytes).ok()?.held))
}

fn reopening(edge: &config::Edge, keys: &Keys, log: &Log, doubts: &[Doubt]) -> Result<Reopening, StoreError> {
    let reader = log.reader();
    let number = |name: &str| -> Result<Option<u64>, StoreError> {
        Ok(reader.named(name)?.and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes))
    };
    let mut heads: Vec<(String, u64, String)> = Vec::new();
    let mut add = |origin: &str, size: u64, root: &[u8; 32]| {
        let head = (origin.to_owned(), size, to_hex(root));
        if heads.len() < MAX_HEADS && !heads.contains(&head) {
            heads.push(head);
        }
    };
    for head in doubts.iter().filter_map(|doubt| doubt.head.as_ref()) {
        add(&head.origin, head.size, &head.root);
    }
    // What the auditor signed for is what it holds for sure: by that it knows the new log for one of this box.
    let receipt = reader.named(RECEIPT)?.and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some(receipt) = receipt.and_then(|note| peek(&note).ok()) {
        add(&receipt.origin, receipt.size, &receipt.root);
    }
    Ok(Reopening {
        from: keys::incarnation_of(keys.signing.name(), &edge.id).unwrap_or(1),
        previous_size: log.size(),
        previous_root: to_hex(&log.root()),
        first_invocation: number(CEILING)?.max(number(CLEAN)?).unwrap_or(0),
        found: doubts.iter().take(MAX_FOUND).map(|doubt| clip_message(&doubt.message)).collect(),
        heads,
    })
}
