//! What sync is doing, for `/metrics`, `/readyz` and `picket doctor`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::{ACKNOWLEDGED_NAME, ALARM_NAME, Alarm};
use crate::evidence::{Evidence, EvidenceError};

/// Counters since the start, and the state that outlives a restart. Written by the one round that runs,
/// read by anybody.
#[derive(Debug, Default)]
pub struct State {
    /// Entries below this size have a verified receipt.
    pub(super) acknowledged: AtomicU64,
    /// Size of the newest checkpoint at the last round.
    pub(super) signed: AtomicU64,
    pub(super) rounds: AtomicU64,
    pub(super) failed_rounds: AtomicU64,
    pub(super) segments: AtomicU64,
    pub(super) entries: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) receipts: AtomicU64,
    pub(super) bad_receipts: AtomicU64,
    pub(super) last_success_ms: AtomicU64,
    /// Not held across an await or a call of the ledger.
    words: Mutex<Words>,
}

#[derive(Debug, Default)]
struct Words {
    error: Option<String>,
    alarm: Option<Alarm>,
}

/// A copy of [`State`] at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Entries below this size have a verified receipt.
    pub acknowledged: u64,
    /// Size of the newest checkpoint at the last round; what lies between is the outbox.
    pub signed: u64,
    /// Rounds since the start.
    pub rounds: u64,
    /// Rounds that ended with an error.
    pub failed_rounds: u64,
    /// Segments that the auditor took.
    pub segments: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of segments sent, repetitions included.
    pub bytes: u64,
    /// Receipts that verified.
    pub receipts: u64,
    /// Receipts that did not verify, or spoke of something else.
    pub bad_receipts: u64,
    /// When a round last ended well, milliseconds since 1970; 0 for never.
    pub last_success_ms: u64,
    /// Why the last round failed; `None` if it did not.
    pub error: Option<String>,
    /// The alarm that stands.
    pub alarm: Option<Alarm>,
}

/// What of the state outlives a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// Entries below this size have a verified receipt.
    pub acknowledged: u64,
    /// The alarm that stands.
    pub alarm: Option<Alarm>,
}

/// Reads the stored state beside a ledger, whoever holds it.
///
/// # Errors
/// [`EvidenceError`]; [`EvidenceError::Answer`] if the alarm cannot be read, which is no sign of none.
pub fn stored(evidence: &Evidence) -> Result<Stored, EvidenceError> {
    let acknowledged = evidence.named(ACKNOWLEDGED_NAME)?.and_then(|bytes| bytes.try_into().ok());
    let alarm = evidence.named(ALARM_NAME)?.map(|bytes| serde_json::from_slice(&bytes)).transpose();
    let alarm = alarm.map_err(|error| EvidenceError::Answer(format!("the stored alarm: {error}")))?;
    Ok(Stored { acknowledged: acknowledged.map_or(0, u64::from_be_bytes), alarm })
}

impl State {
    /// A copy.
    #[must_use]
    pub fn status(&self) -> Status {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let words = self.words();
        Status {
            acknowledged: read(&self.acknowledged),
            signed: read(&self.signed),
            rounds: read(&self.rounds),
            failed_rounds: read(&self.failed_rounds),
            segments: read(&self.segments),
            entries: read(&self.entries),
            bytes: read(&self.bytes),
            receipts: read(&self.receipts),
            bad_receipts: read(&self.bad_receipts),
            last_success_ms: read(&self.last_success_ms),
            error: words.error.clone(),
            alarm: words.alarm.clone(),
        }
    }

    pub(super) fn set_error(&self, error: Option<String>) {
        self.words().error = error;
    }

    pub(super) fn set_alarm(&self, alarm: Option<Alarm>) {
        self.words().alarm = alarm;
    }

    pub(super) fn alarm(&self) -> Option<Alarm> {
        self.words().alarm.clone()
    }

    /// The values are replaced whole, so a panic between leaves nothing half done.
    fn words(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
