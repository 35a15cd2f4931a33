//! Where each box stands, in short: the answer to `boxes`.

use picket_ledger::hash::to_hex;
use serde::{Deserialize, Serialize};

use crate::boxes::BoxState;
use crate::clock;
use crate::epochs::{self, EpochReport};
use crate::error::AuditorError;
use crate::incidents::IncidentKind;

/// From here on a box counts as silent: ten heartbeats of the usual 60 seconds, in milliseconds.
const SILENT_AFTER_MS: u64 = 10 * 60 * 1000;

/// One box in the answer to `boxes`.
#[derive(Debug, Serialize, Deserialize)]
pub struct BoxSummary {
    /// The box.
    pub origin: String,
    /// Its first public key, with which it was enrolled.
    pub key: String,
    /// All its keys, each with the entries that it speaks for.
    #[serde(default)]
    pub epochs: Vec<EpochReport>,
    /// How many of its entries are held: the next one that the auditor takes.
    pub next: u64,
    /// The root over them, in hexadecimal; absent when the last segment on disk does not hold.
    pub root: Option<String>,
    /// The largest size that the box has declared; `next` when all of it is here.
    pub declared: u64,
    /// When a segment was taken in last, RFC 3339.
    pub received: Option<String>,
    /// For how many seconds nothing has come, when that is longer than ten minutes: an idle box sends heartbeats,
    /// so it is off, without a link, or somebody cuts its log off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_seconds: Option<u64>,
    /// Whether the box has signed contradictory statements.
    pub disputed: bool,
    /// Incidents on record: gap, fork, rollback, invalid.
    pub incidents: IncidentCounts,
    /// What is wrong with the evidence on disk; ingest for this box has stopped.
    pub damage: Option<String>,
}

/// Incidents by kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "defined at IncidentKind")]
pub struct IncidentCounts {
    pub gap: usize,
    pub fork: usize,
    pub rollback: usize,
    pub invalid: usize,
}

/// The answer to `boxes`.
#[derive(Debug, Serialize, Deserialize)]
pub struct BoxList {
    /// All enrolled boxes, by name.
    pub boxes: Vec<BoxSummary>,
}

/// What is known of a box, in short.
pub fn summary(state: &BoxState) -> BoxSummary {
    let (head, damage) = match &state.head {
        Ok(head) => (Some(head), None),
        Err(damage) => (None, Some(AuditorError::from(damage.clone()).to_string())),
    };
    let mut incidents = IncidentCounts::default();
    for report in &state.incidents {
        *match report.kind {
            IncidentKind::Gap => &mut incidents.gap,
            IncidentKind::Fork => &mut incidents.fork,
            IncidentKind::Rollback => &mut incidents.rollback,
            IncidentKind::Invalid => &mut incidents.invalid,
        } += 1;
    }
    BoxSummary {
        origin: state.origin.to_string(),
        key: state.keys.first().to_string(),
        epochs: epochs::report(&state.keys),
        next: head.map_or(0, |head| head.size),
        root: head.map(|head| to_hex(&head.root)),
        declared: state.largest_claim(),
        received: state.received_ms.map(clock::rfc3339),
        silent_seconds: state.received_ms.and_then(|received| silent(clock::wall_ms(), received)),
        disputed: state.disputed(),
        incidents,
        damage,
    }
}

/// For how many seconds a box has been silent, if for too long.
fn silent(now_ms: u64, received_ms: u64) -> Option<u64> {
    let silence = now_ms.saturating_sub(received_ms);
    (silence > SILENT_AFTER_MS).then_some(silence / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_silent_after_ten_heartbeats() {
        assert_eq!(silent(SILENT_AFTER_MS, 0), None);
        assert_eq!(silent(SILENT_AFTER_MS + 1, 0), Some(600));
        assert_eq!(silent(5, 10), None, "a clock that was set back is no silence");
    }
}
