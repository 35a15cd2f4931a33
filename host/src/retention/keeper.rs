//! One look at the ledger, and what follows from it.

use super::disk_bytes;
use crate::config;
use crate::evidence::RECEIPT_NAME;
use crate::sequencer::{MAX_ERASE_INVOCATIONS, Sequencer, SequencerError};
use picket_ledger::Entry;
use picket_ledger::checkpoint;
use picket_ledger::entry::{Body, TimeAnchor};
use picket_ledger::hash::sha256;
use picket_ledger::receipt::{CosignerKey, Receipt};
use picket_store::{Reader, StoreError};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Named value: the cosigner's time in the last time anchor, seconds, u64, big-endian.
const ANCHORED: &str = "retention/anchored";

/// An auditor's time is recorded no more often than this, by his clock.
const ANCHOR_EVERY: u64 = 60 * 60;

/// Entries that are looked through at a time: a few tiles of the store.
const STEP: u64 = 4096;

/// Why a round went wrong; the next one tries again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetentionError {
    /// The ledger could not be read.
    #[error("reading the ledger")]
    Store(#[from] StoreError),
    /// The ledger could not be written.
    #[error("writing the ledger")]
    Ledger(#[from] SequencerError),
    /// The space could not be measured.
    #[error("measuring {}", path.display())]
    Space {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What a round did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    /// Bytes that the ledger's folder takes on disk at the end.
    pub disk_bytes: u64,
    /// Payloads and salts that were erased.
    pub erased: u64,
    /// Entries below this index are gone.
    pub pruned_to: u64,
    /// More than the budget, and nothing may go.
    pub over_budget: bool,
}

/// Keeps a ledger within its bounds.
pub struct Keeper {
    sequencer: Sequencer,
    reader: Reader,
    settings: config::Ledger,
    auditor: Option<CosignerKey>,
    folder: PathBuf,
    /// No verdict below this entry has a payload that is not erased.
    searched: u64,
    /// A receipt that was found wanting, so that it is told once.
    refused: Option<String>,
}

impl Keeper {
    /// Looks after the ledger in `folder`; only receipts by `auditor` count.
    #[must_use]
    pub fn new(sequencer: Sequencer, settings: config::Ledger, auditor: Option<CosignerKey>, folder: PathBuf) -> Self {
        let reader = sequencer.reader();
        Self { sequencer, reader, settings, auditor, folder, searched: 0, refused: None }
    }

    /// Does what is due.
    ///
    /// # Errors
    /// [`RetentionError`]; what was done before it stays done.
    pub fn round(&mut self) -> Result<Round, RetentionError> {
        let receipt = self.receipt()?;
        if let Some(receipt) = &receipt {
            self.anchor(receipt)?;
        }
        let covered = receipt.map_or(0, |receipt| receipt.checkpoint.size);
        let mut round = Round::default();
        let now = now_ms();
        if let Some(age) = self.settings.keep_payloads {
            let cutoff = before(now, age);
            while let Some(erased) = self.erase_step(cutoff, "older than ledger.keep_payloads")? {
                round.erased += erased;
            }
        }
        if let Some(age) = self.settings.keep_entries {
            let cutoff = before(now, age);
            while self.prune_step(covered, cutoff)? {}
        }
        round.disk_bytes = self.measure()?;
        if let Some(budget) = self.settings.disk_budget {
            while round.disk_bytes > budget {
                if let Some(erased) = self.erase_step(u64::MAX, "ledger.disk_budget was reached")? {
                    round.erased += erased;
                } else if !self.prune_step(covered, u64::MAX)? {
                    round.over_budget = true;
                    break;
                }
                round.disk_bytes = self.measure()?;
            }
            if round.over_budget != self.sequencer.is_over_budget() {
                self.sequencer.set_over_budget(round.over_budget);
                tracing::warn!(
                    over = round.over_budget,
                    bytes = round.disk_bytes,
                    budget,
                    "the ledger and its disk budget; entries go only behind a receipt of the auditor"
                );
            }
        }
        round.pruned_to = self.reader.pruned_to();
        Ok(round)
    }

    fn measure(&self) -> Result<u64, RetentionError> {
        disk_bytes(&self.folder).map_err(|source| RetentionError::Space { path: self.folder.clone(), source })
    }

    /// The newest receipt, if it is the auditor's and speaks of this very ledger.
    fn receipt(&mut self) -> Result<Option<Receipt>, RetentionError> {
        let (Some(auditor), Some(bytes)) = (&self.auditor, self.reader.named(RECEIPT_NAME)?) else { return Ok(None) };
        let Ok(text) = String::from_utf8(bytes) else { return Ok(None) };
        let chain = self.sequencer.keyring().chain();
        let opened = checkpoint::peek(&text)
            .and_then(|said| Receipt::open(&text, chain.key_at(said.size), auditor))
            .map_err(|error| error.to_string());
        let wanting = match opened {
            Ok(receipt) => {
                let size = receipt.checkpoint.size;
                if size <= self.reader.size() && size >= self.reader.pruned_to() {
                    if self.reader.tree_at(size)?.root() == receipt.checkpoint.root {
                        return Ok(Some(receipt));
                    }
                    "its root is not that of this ledger".to_owned()
                } else {
                    format!("it is for {size} entries, which are not here")
                }
            }
            Err(error) => error,
        };
        if self.refused.as_ref() != Some(&text) {
            tracing::error!(reason = wanting, "the stored receipt does not count, so nothing is removed behind it");
            self.refused = Some(text);
        }
        Ok(None)
    }

    /// Records the auditor's time: entries below the receipt were there then, and this entry was not.
    fn anchor(&self, receipt: &Receipt) -> Result<(), RetentionError> {
        let last = number(&self.reader, ANCHORED)?;
        if last.is_some_and(|last| receipt.time < last.saturating_add(ANCHOR_EVERY)) {
            return Ok(());
        }
        let Some(auditor) = &self.auditor else { return Ok(()) };
        let body = Body::TimeAnchor(TimeAnchor::Receipt {
            cosigner: auditor.name().to_owned(),
            time: receipt.time,
            size: receipt.checkpoint.size,
            signature: sha256(&receipt.signature),
        });
        let mut pending = crate::sequencer::Pending::from(body);
        pending.named.push((ANCHORED.to_owned(), Some(receipt.time.to_be_bytes().to_vec())));
        self.sequencer.append_blocking(pending)?;
        Ok(())
    }

    /// Erases the payloads of the oldest verdicts that have any and were made before `cutoff`. `None` when there are
    /// none.
    fn erase_step(&mut self, cutoff: u64, reason: &str) -> Result<Option<u64>, RetentionError> {
        let mut at = self.searched.max(self.reader.pruned_to());
        // What was found: the lowest and the highest invocation.
        let mut found: Option<(u64, u64)> = None;
        'search: while at < self.reader.size() && found.is_none() {
            let end = (at + STEP).min(self.reader.size());
            for entry in self.reader.read(at..end)? {
                let Ok(entry) = Entry::decode(&entry) else { continue };
                if entry.wall_ms >= cutoff {
                    break 'search;
                }
                let Body::Verdict(verdict) = entry.body else { continue };
                let invocation = verdict.invocation;
                if self.reader.has_payload(invocation)? {
                    let (low, high) = found.unwrap_or((invocation, invocation));
                    found = Some((low.min(invocation), high.max(invocation)));
                }
            }
            if found.is_none() {
                self.searched = end;
            }
            at = end;
        }
        let Some((low, high)) = found else { return Ok(None) };
        let range = low..(high + 1).min(low.saturating_add(MAX_ERASE_INVOCATIONS));
        Ok(Some(self.sequencer.erase_blocking(std::iter::once(range).collect(), reason)?.payloads))
    }

    /// Removes some of the oldest entries below `covered` that were made before `cutoff`; false when there are none.
    fn prune_step(&self, covered: u64, cutoff: u64) -> Result<bool, RetentionError> {
        let from = self.reader.pruned_to();
        let limit = covered.min(self.reader.size()).min(from + STEP);
        let mut to = limit / picket_store::TILE * picket_store::TILE;
        // The last entry of a tile tells for the tile; clocks that were set make this approximate, never unsafe.
        while to > from {
            let last = Entry::decode(&self.reader.entry(to - 1)?);
            if last.is_ok_and(|entry| entry.wall_ms < cutoff) {
                break;
            }
            to -= picket_store::TILE;
        }
        if to <= from {
            return Ok(false);
        }
        Ok(self.sequencer.prune_blocking(to)? > from)
    }
}

fn number(reader: &Reader, name: &str) -> Result<Option<u64>, StoreError> {
    Ok(reader.named(name)?.and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes))
}

fn before(now: u64, age: Duration) -> u64 {
    now.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
