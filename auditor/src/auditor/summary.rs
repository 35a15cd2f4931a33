//! Where each box stands, in short: the answer to `boxes`.

use picket_ledger::hash::to_hex;
use serde::{Deserialize, Serialize};

use crate::boxes::BoxState;
use crate::clock;
use crate::epochs::{self, EpochReport};
use crate::error::AuditorError;
use crate::incidents::IncidentKind;

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
    /// When this process took in a segment last, RFC 3339.
    pub received: Option<String>,
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
        disputed: state.disputed(),
        incidents,
        damage,
    }
}
