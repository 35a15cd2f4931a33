//! The auditor of one data folder: everything together.

mod summary;

pub use summary::{BoxList, BoxSummary, IncidentCounts, summary};

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use picket_ledger::SigningKey;
use picket_ledger::mirror::{Header, Package};
use picket_ledger::receipt::CosignerKey;

use crate::archive::Archive;
use crate::boxes::{self, BoxState, Boxes};
use crate::config::{Config, Limits};
use crate::durable::{self, Writer};
use crate::error::Result;
use crate::incidents::Observed;
use crate::index::Index;
use crate::indexer::{self, Indexer};
use crate::ingest::{self, Answer, ConflictKind, Upload, UploadAnswer};
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
    pub(crate) vault: Arc<Vault>,
    pub(crate) metrics: Arc<Metrics>,
    index: Arc<Index>,
    /// Set once, by [`Auditor::start`].
    indexer: OnceLock<Indexer>,
    own: Own,
}

impl Auditor {
    /// Opens the data folder, which becomes this process's alone.
    ///
    /// # Errors
    /// `StoreError::Locked` when another process serves it; [`AuditorError::Config`] for the key file; faults.
    pub fn open(config: &Config) -> Result<Self> {
        let key = crate::key::load(&config.key, &config.id)?;
        durable::create_folder(&config.data)?;
        // The ledger's lock comes first: nothing else here may be touched by two processes.
        let own = Own::open(&config.data, key.clone())?;
        let writer = Writer::open(&config.data, true)?;
        Ok(Self {
            limits: config.limits.clone(),
            key,
            writer,
            vault: Arc::new(Vault::new(&config.data)),
            metrics: Arc::default(),
            index: Arc::new(Index::open(&config.data)?),
            indexer: OnceLock::new(),
            own,
        })
    }

    /// Records the start of a service, and what a crash kept out of the auditor's own ledger; from here on the index
    /// follows by itself.
    pub fn start(&self) -> Result<()> {
        let (vault, index) = (Arc::clone(&self.vault), Arc::clone(&self.index));
        let indexer = Indexer::start(vault, index, Arc::clone(&self.metrics))?;
        self.indexer.get_or_init(|| indexer);
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
        self.index.begin_anew()?;
        self.catch_up()?;
        self.index.flush()?;
        let origins = self.vault.boxes.enrolled()?;
        origins.iter().try_fold(0_u64, |sum, origin| Ok(sum.saturating_add(self.index.cursor(origin)?)))
    }

    /// Brings the index up to date: for a process that serves nobody.
    pub fn catch_up(&self) -> Result<()> {
        indexer::catch_up(&self.vault, &self.index, &indexer::everything(&self.vault)?, &|| false)
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

    /// Takes in a segment that somebody brings: `POST /v1/segments`.
    pub fn segment(&self, bytes: &[u8]) -> Result<Answer> {
        let started = Instant::now();
        let answer = ingest::segment(self, bytes);
        let result = match &answer {
            Ok(Answer::Receipt(_) | Answer::Added) => SegmentResult::Accepted,
            Ok(Answer::Unknown(_)) => SegmentResult::Unknown,
            Ok(Answer::Invalid(_) | Answer::Malformed(_) | Answer::Forbidden(_)) => SegmentResult::Invalid,
            Ok(Answer::Conflict(conflict)) => of_conflict(conflict.kind),
            Err(_) => SegmentResult::Fault,
        };
        self.metrics.segment(result, micros(started));
        answer
    }

    /// Takes in a checkpoint: `POST /add-checkpoint`.
    pub fn add_checkpoint(&self, body: &[u8]) -> Result<Answer> {
        let answer = ingest::add(self, body);
        self.metrics.checkpoint(match &answer {
            Ok(Answer::Receipt(_) | Answer::Added) => CheckpointResult::Accepted,
            Ok(Answer::Unknown(_)) => CheckpointResult::Unknown,
            Ok(Answer::Invalid(_) | Answer::Malformed(_) | Answer::Forbidden(_)) => CheckpointResult::Invalid,
            Ok(Answer::Conflict(conflict)) if conflict.kind == ConflictKind::Fork => CheckpointResult::Fork,
            Ok(Answer::Conflict(_)) => CheckpointResult::Elsewhere,
            Err(_) => CheckpointResult::Fault,
        });
        answer
    }

    /// Begins an upload: the header of `POST /add-entries`. The inner error is the answer that refuses it.
    pub fn begin_upload(&self, header: &Header) -> Result<Result<Upload, UploadAnswer>> {
        let begun = ingest::begin(self, header);
        if let Ok(Err(answer)) = &begun {
            self.metrics.segment(of_upload(answer), 0);
        }
        begun
    }

    /// Takes in the next package of an upload; an answer ends it.
    pub fn upload_package(&self, upload: &mut Upload, package: &Package) -> Result<Option<UploadAnswer>> {
        let started = Instant::now();
        let answer = ingest::package(self, upload, package);
        self.metrics.package(micros(started));
        if let Ok(Some(answer)) = &answer {
            self.metrics.segment(of_upload(answer), 0);
        }
        answer
    }

    /// Ends an upload: seals the segment when all of it is here.
    pub fn finish_upload(&self, upload: &Upload, complete: bool) -> Result<UploadAnswer> {
        let started = Instant::now();
        let answer = ingest::finish(self, upload, complete);
        let result = answer.as_ref().map_or(SegmentResult::Fault, of_upload);
        self.metrics.segment(result, micros(started));
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
        if let Some(indexer) = self.indexer.get() {
            indexer.wait(cancel)?;
        }
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
            let key = boxes::lock(&state).keys.first().clone();
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

    /// Says that more of a box is held, for the index to follow.
    pub(crate) fn advanced(&self, origin: &Origin, size: u64) {
        if let Some(indexer) = self.indexer.get() {
            indexer.ask(origin, size);
        }
    }

    pub(crate) fn archive(&self) -> &Archive {
        &self.vault.archive
    }

    pub(crate) fn boxes_store(&self) -> &Boxes {
        &self.vault.boxes
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn of_conflict(kind: ConflictKind) -> SegmentResult {
    match kind {
        ConflictKind::Gap => SegmentResult::Gap,
        ConflictKind::Known => SegmentResult::Known,
        ConflictKind::Fork => SegmentResult::Fork,
    }
}

fn of_upload(answer: &UploadAnswer) -> SegmentResult {
    match answer {
        UploadAnswer::Receipt(_) => SegmentResult::Accepted,
        UploadAnswer::Partial(_) => SegmentResult::Partial,
        UploadAnswer::Elsewhere(_, conflict) => of_conflict(conflict.kind),
        UploadAnswer::Malformed(_) | UploadAnswer::Invalid(_) | UploadAnswer::TooLarge(_) => SegmentResult::Invalid,
        UploadAnswer::Unknown(_) => SegmentResult::Unknown,
    }
}
