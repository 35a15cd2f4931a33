//! The auditor of one data folder: everything together.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use picket_ledger::SigningKey;
use picket_ledger::receipt::CosignerKey;
use serde::{Deserialize, Serialize};

use crate::archive::Archive;
use crate::boxes::{self, BoxState, Boxes};
use crate::clock;
use crate::config::{Config, Limits};
use crate::durable::{self, Writer};
use crate::error::{AuditorError, Result};
use crate::incidents::{IncidentKind, Observed};
use crate::index::Index;
use crate::ingest::{self, Answer, ConflictKind};
use crate::metrics::{CheckpointResult, Metrics, SegmentResult, sample};
use crate::origin::Origin;
use crate::own::Own;
use crate::trace::{self, Trace};
use crate::vault::Vault;
use crate::verify::{self, Verification};

/// The auditor of one data folder. There is one at a time: it holds the lock of its own ledger.
#[derive(Debug)]
pub struct Auditor {
    limits: Limits,
    pub(crate) key: SigningKey,
    pub(crate) writer: Writer,
    pub(crate) vault: Vault,
    pub(crate) index: Index,
    pub(crate) metrics: Metrics,
    own: Own,
}

/// One box in the answer to `boxes`.
#[derive(Debug, Serialize, Deserialize)]
pub struct BoxSummary {
    /// The box.
    pub origin: String,
    /// Its public key.
    pub key: String,
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

impl Auditor {
    /// Opens the data folder, which becomes this process's alone, and brings the index up to date.
    ///
    /// # Errors
    /// `StoreError::Locked` when another process serves it; [`AuditorError::Config`] for the key file; faults.
    pub fn open(config: &Config) -> Result<Self> {
        let key = crate::key::load(&config.key, &config.id)?;
        durable::create_folder(&config.data)?;
        // The ledger's lock comes first: nothing else here may be touched by two processes.
        let own = Own::open(&config.data, key.clone())?;
        let writer = Writer::open(&config.data, true)?;
        let (index, _) = Index::open(&config.data)?;
        let auditor = Self {
            limits: config.limits.clone(),
            key,
            writer,
            vault: Vault::new(&config.data),
            index,
            metrics: Metrics::default(),
            own,
        };
        auditor.catch_up()?;
        Ok(auditor)
    }

    /// Records the start of a service, and what a crash kept out of the auditor's own ledger.
    pub fn start(&self) -> Result<()> {
        self.own.start()?;
        for origin in self.vault.boxes.enrolled()? {
            let Some(state) = self.state(&origin)? else { continue };
            for report in &boxes::lock(&state).incidents {
                self.own.incident(report)?;
            }
        }
        Ok(())
    }

    /// Records an orderly end and writes out the index.
    pub fn end(&self) -> Result<()> {
        self.own.end()?;
        self.index.flush()
    }

    /// Builds the index anew from the evidence. Returns the number of entries indexed.
    pub fn reindex(&self) -> Result<u64> {
        self.index.clear()?;
        self.catch_up()?;
        self.index.flush()?;
        let origins = self.vault.boxes.enrolled()?;
        origins.iter().try_fold(0_u64, |sum, origin| Ok(sum.saturating_add(self.index.cursor(origin)?)))
    }

    fn catch_up(&self) -> Result<()> {
        let origins = self.vault.boxes.enrolled()?;
        let mut ahead = false;
        for pass in 0..2 {
            for origin in &origins {
                let Some(state) = self.state(origin)? else { continue };
                let state = boxes::lock(&state);
                let Ok(head) = &state.head else { continue };
                ahead |= self.index.cursor(origin)? > head.size;
                if !ahead {
                    self.index.add(&self.vault.archive, origin, &state.key, head.size)?;
                }
            }
            // An index that knows more than the evidence is of another time, say from a restored backup.
            if !ahead || pass > 0 {
                break;
            }
            self.index.clear()?;
            ahead = false;
        }
        Ok(())
    }

    /// The limits it was configured with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Its counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The public key of its receipts.
    pub fn cosigner(&self) -> CosignerKey {
        CosignerKey::of(&self.key)
    }

    /// Takes in a segment: `POST /v1/segments`.
    pub fn segment(&self, bytes: &[u8]) -> Result<Answer> {
        let started = Instant::now();
        let answer = ingest::segment(self, bytes);
        let result = match &answer {
            Ok(Answer::Receipt(_) | Answer::Next(_)) => SegmentResult::Accepted,
            Ok(Answer::Unknown(_)) => SegmentResult::Unknown,
            Ok(Answer::Invalid(_)) => SegmentResult::Invalid,
            Ok(Answer::Conflict(conflict)) => match conflict.kind {
                ConflictKind::Gap => SegmentResult::Gap,
                ConflictKind::Known => SegmentResult::Known,
                ConflictKind::Fork | ConflictKind::Rollback => SegmentResult::Fork,
            },
            Err(_) => SegmentResult::Fault,
        };
        self.metrics.segment(result, u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
        answer
    }

    /// Takes in a declared checkpoint: `POST /v1/checkpoint`.
    pub fn checkpoint(&self, bytes: &[u8]) -> Result<Answer> {
        let answer = ingest::checkpoint(self, bytes);
        self.metrics.checkpoint(match &answer {
            Ok(Answer::Receipt(_) | Answer::Next(_)) => CheckpointResult::Accepted,
            Ok(Answer::Unknown(_)) => CheckpointResult::Unknown,
            Ok(Answer::Invalid(_)) => CheckpointResult::Invalid,
            Ok(Answer::Conflict(conflict)) if conflict.kind == ConflictKind::Rollback => CheckpointResult::Rollback,
            Ok(Answer::Conflict(_)) => CheckpointResult::Fork,
            Err(_) => CheckpointResult::Fault,
        });
        answer
    }

    /// Enrols a box; returns whether it is new. See [`Boxes::enrol`].
    pub fn enrol(&self, origin: &Origin, key: &str) -> Result<bool> {
        let new = self.vault.boxes.enrol(&self.writer, origin, key)?;
        self.state(origin)?;
        Ok(new)
    }

    /// All boxes and where they stand.
    pub fn boxes(&self) -> Result<BoxList> {
        let mut list = Vec::new();
        for origin in self.vault.boxes.enrolled()? {
            if let Some(state) = self.state(&origin)? {
                list.push(summary(&boxes::lock(&state)));
            }
        }
        Ok(BoxList { boxes: list })
    }

    /// The origin of this name when such a box is enrolled.
    pub fn enrolled(&self, name: &str) -> Result<Option<Origin>> {
        self.vault.enrolled(name)
    }

    /// One decision and what stood behind it. See [`trace::trace`].
    pub fn trace(&self, id: &str, scan: bool, cancel: &AtomicBool) -> Result<Trace> {
        trace::trace(&self.vault, Some(&self.index), scan, id, self.limits.matches, cancel)
    }

    /// Re-reads all evidence. See [`verify::verify`].
    pub fn verify(&self, only: Option<&Origin>, cancel: &AtomicBool) -> Result<Verification> {
        let mut verification = verify::verify(&self.vault, &self.cosigner(), only, cancel)?;
        if only.is_none() {
            let own = self.own.verify()?;
            verification.verified &= own.problems.is_empty();
            verification.own = Some(own);
        }
        Ok(verification)
    }

    /// Counters and gauges as text for Prometheus.
    pub fn metrics_text(&self) -> Result<String> {
        let mut text = self.metrics.render();
        let list = self.boxes()?.boxes;
        let count = |matches: &dyn Fn(&BoxSummary) -> bool| list.iter().filter(|item| matches(item)).count() as u64;
        sample(&mut text, "boxes", "gauge", "Boxes enrolled.", list.len() as u64);
        let disputed = count(&|item| item.disputed);
        sample(&mut text, "boxes_disputed", "gauge", "Boxes with a fork or rollback on record.", disputed);
        let behind = count(&|item| item.declared > item.next);
        sample(&mut text, "boxes_behind", "gauge", "Boxes that declared more than they have sent.", behind);
        let damaged = count(&|item| item.damage.is_some());
        sample(&mut text, "boxes_damaged", "gauge", "Boxes whose last segment on disk does not hold.", damaged);
        Ok(text)
    }

    /// The state of a box; `None` when it is not enrolled. The first time, its enrolment is recorded.
    pub(crate) fn state(&self, origin: &Origin) -> Result<Option<Arc<Mutex<BoxState>>>> {
        let Some((state, loaded)) = self.vault.boxes.get(origin, &self.vault.archive, &self.vault.incidents)? else {
            return Ok(None);
        };
        if loaded {
            let key = boxes::lock(&state).key.clone();
            self.own.enrolment(origin, &key)?;
        }
        Ok(Some(state))
    }

    /// Keeps an incident of a box whose lock the caller holds.
    pub(crate) fn record(&self, state: &mut BoxState, seen: &Observed<'_>) -> Result<()> {
        if state.incidents.len() >= self.limits.incidents {
            return Ok(());
        }
        let Some(report) = self.vault.incidents.keep(&self.writer, &state.origin, seen)? else { return Ok(()) };
        eprintln!("{} of {}: {}", report.kind.as_str(), state.origin, report.message);
        // Crash here: the next start finds the report without its mark and adds the entry.
        state.incidents.push(report.clone());
        self.own.incident(&report)
    }

    pub(crate) fn archive(&self) -> &Archive {
        &self.vault.archive
    }

    pub(crate) fn boxes_store(&self) -> &Boxes {
        &self.vault.boxes
    }
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
        key: state.key.to_string(),
        next: head.map_or(0, |head| head.size),
        root: head.map(|head| picket_ledger::hash::to_hex(&head.root)),
        declared: state.largest_claim(),
        received: state.received_ms.map(clock::rfc3339),
        disputed: state.disputed(),
        incidents,
        damage,
    }
}
