//! `verify`: re-reads all evidence and says whether anything is missing or altered.
//!
//! Per box: every file is a segment, signed by the box, at its place; the first starts at entry 0 and each continues the
//! one before; every entry decodes and names its own place; the numbers of invocations have no unexplained holes; there
//! is a receipt for each segment, and it holds. Then what is on record: incidents, and declared checkpoints that the
//! evidence does not reach. The index is not looked at.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use picket_ledger::entry::{Body, Entry};
use picket_ledger::hash::to_hex;
use picket_ledger::receipt::{CosignerKey, Receipt};
use picket_ledger::segment::SegmentRef;
use picket_ledger::tree::CompactRange;
use picket_ledger::{KeyChain, SignedCheckpoint, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::epochs::{self, EpochReport};
use crate::error::{AuditorError, Result};
use crate::evidence::{self, Held};
use crate::holes::{Account, Holes};
use crate::incidents::Report;
use crate::origin::Origin;
use crate::own::OwnReport;
use crate::vault::Vault;

/// The most problems that are listed for one box; the first one matters most.
const MAX_PROBLEMS: usize = 32;

/// The answer to `verify`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Verification {
    /// Whether all of it holds.
    pub verified: bool,
    /// Box by box.
    pub boxes: Vec<BoxReport>,
    /// The auditor's own ledger; absent when it was not looked at (another process has it open).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub own: Option<OwnReport>,
    /// What is wrong beyond single boxes.
    pub problems: Vec<String>,
}

/// What `verify` found for one box.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct BoxReport {
    /// The box.
    pub origin: String,
    /// Whether all of its evidence holds, nothing is missing, and no incident stands.
    pub verified: bool,
    /// How many entries hold, counted from entry 0 without a break.
    pub size: u64,
    /// The root over them, in hexadecimal.
    pub root: String,
    /// Its keys, as the evidence hands them over, each with the entries that it speaks for.
    #[serde(default)]
    pub epochs: Vec<EpochReport>,
    /// How many segments they came in.
    pub segments: u64,
    /// How many bytes those have.
    pub bytes: u64,
    /// Entries by kind.
    pub kinds: BTreeMap<String, u64>,
    /// Verdicts by decision.
    pub decisions: BTreeMap<String, u64>,
    /// Invocations without a verdict.
    pub invocations: Account,
    /// The earliest and the latest time of an entry, RFC 3339, by the clock of the box.
    pub times: Option<(String, String)>,
    /// Segments that have no receipt: the auditor stopped before it gave one, and the box has not asked again.
    pub without_receipt: u64,
    /// The size of the latest declared checkpoint that the evidence does not reach yet.
    pub declared: Option<u64>,
    /// Whether the box has signed contradictory statements.
    pub disputed: bool,
    /// The incidents on record.
    pub incidents: Vec<Report>,
    /// The first file or entry that does not hold, in words.
    pub first_break: Option<String>,
    /// All that is wrong, at most 32 lines.
    pub problems: Vec<String>,
}

/// Verifies one box or, with `None`, all.
///
/// # Errors
/// [`AuditorError::Cancelled`] when `cancel` is set, and faults. What does not hold is part of the answer.
pub fn verify(
    vault: &Vault,
    auditor: &CosignerKey,
    only: Option<&Origin>,
    cancel: &AtomicBool,
) -> Result<Verification> {
    let enrolled = vault.boxes.enrolled()?;
    let origins = only.map_or_else(|| enrolled.clone(), |origin| vec![origin.clone()]);
    let mut boxes = Vec::new();
    for origin in &origins {
        boxes.push(verify_box(vault, auditor, origin, cancel)?);
    }
    let mut problems = Vec::new();
    if only.is_none() {
        for origin in vault.archive.origins()?.iter().filter(|origin| !enrolled.contains(origin)) {
            problems.push(format!("there is evidence of {origin}, whose key is gone from boxes/"));
        }
    }
    let verified = problems.is_empty() && boxes.iter().all(|report| report.verified);
    Ok(Verification { verified, boxes, own: None, problems })
}

fn verify_box(vault: &Vault, auditor: &CosignerKey, origin: &Origin, cancel: &AtomicBool) -> Result<BoxReport> {
    let mut read = Read::new(vault, origin);
    match vault.boxes.key(origin) {
        Ok(Some(key)) => read.segments(KeyChain::new(key), auditor, cancel)?,
        Ok(None) => read.problem("the box is not enrolled".into()),
        Err(error @ AuditorError::Evidence { .. }) => read.problem(error.to_string()),
        Err(other) => return Err(other),
    }
    read.incidents()?;
    for path in vault.archive.strangers(origin)? {
        read.problem(format!("{} was not put there by the auditor", path.display()));
    }
    Ok(read.finish())
}

/// The reading of one box's evidence from the start.
struct Read<'a> {
    vault: &'a Vault,
    origin: &'a Origin,
    report: BoxReport,
    /// The log so far; where it stands is where the next segment must start.
    log: CompactRange,
    holes: Holes,
    times: Option<(u64, u64)>,
}

impl<'a> Read<'a> {
    fn new(vault: &'a Vault, origin: &'a Origin) -> Self {
        let report = BoxReport { origin: origin.to_string(), ..BoxReport::default() };
        Self { vault, origin, report, log: CompactRange::new(), holes: Holes::default(), times: None }
    }

    /// The keys are learned again from the evidence, from the enrolled one on.
    fn segments(&mut self, mut keys: KeyChain, auditor: &CosignerKey, cancel: &AtomicBool) -> Result<()> {
        for first in self.vault.archive.firsts(self.origin)? {
            if cancel.load(Ordering::Relaxed) {
                return Err(AuditorError::Cancelled);
            }
            match evidence::read(&self.vault.archive, self.origin, &keys, first) {
                Ok(held) => {
                    if let Err(error) = keys.learn_segment(&held.segment(), &held.verified) {
                        self.problem(format!("{}: {}", held.path.display(), crate::words(&error)));
                    }
                    self.segment(&held, first, &keys, auditor)?;
                }
                Err(error @ AuditorError::Evidence { .. }) => self.problem(error.to_string()),
                Err(other) => return Err(other),
            }
        }
        // Asked last: a segment that arrives meanwhile can only have settled some of them.
        let declared = self.vault.boxes.declared(self.origin, &keys)?;
        self.declared(&declared);
        self.report.epochs = epochs::report(&keys);
        Ok(())
    }

    fn segment(&mut self, held: &Held, first: u64, keys: &KeyChain, auditor: &CosignerKey) -> Result<()> {
        let file = held.path.display();
        let size = self.log.size();
        if first > size {
            self.problem(format!("entries {size} to {} are missing before {file}", first - 1));
        } else if first < size || held.verified.root_before != self.log.root() {
            self.problem(format!("{file} does not continue the evidence before it"));
        }
        let segment = held.segment();
        self.entries(&segment, held);
        self.receipt(first, keys.key_at(held.end()), auditor, &held.verified.checkpoint)?;
        self.report.segments += 1;
        self.report.bytes += held.len() as u64;
        // After a break the reading goes on from here: one break is told once.
        self.log = held.verified.after.clone();
        Ok(())
    }

    fn entries(&mut self, segment: &SegmentRef<'_>, held: &Held) {
        for (index, bytes) in (segment.first..).zip(&segment.entries) {
            let entry = match Entry::decode(bytes) {
                Ok(entry) => entry,
                Err(error) => {
                    let file = held.path.display();
                    self.problem(format!("entry {index} in {file} was signed malformed: {}", crate::words(&error)));
                    continue;
                }
            };
            if entry.index != index {
                let file = held.path.display();
                self.problem(format!("entry {index} in {file} says that it is entry {}", entry.index));
            }
            self.entry(&entry);
        }
    }

    fn entry(&mut self, entry: &Entry) {
        let wall = entry.wall_ms;
        self.times = Some(self.times.map_or((wall, wall), |(from, to)| (from.min(wall), to.max(wall))));
        *self.report.kinds.entry(entry.body.kind().name().to_owned()).or_default() += 1;
        match &entry.body {
            Body::Verdict(verdict) => {
                *self.report.decisions.entry(verdict.decision.name().to_owned()).or_default() += 1;
                self.holes.verdict(verdict.invocation, wall);
            }
            Body::Heartbeat(heartbeat) => self.holes.heartbeat(heartbeat.next_invocation, wall),
            Body::Recovery(recovery) => self.holes.recovery(recovery.first_invocation, wall),
            Body::Drop(dropped) => self.holes.dropped(dropped.count, wall),
            _ => {}
        }
    }

    fn receipt(
        &mut self,
        first: u64,
        key: &VerifyingKey,
        auditor: &CosignerKey,
        checkpoint: &SignedCheckpoint,
    ) -> Result<()> {
        match self.vault.archive.receipt(self.origin, first)? {
            None => self.report.without_receipt += 1,
            Some(text) => match Receipt::open(&text, key, auditor) {
                Ok(receipt) if receipt.checkpoint == checkpoint.checkpoint => {}
                Ok(_) => self.problem(format!("the receipt for the segment at {first} is for another checkpoint")),
                Err(error) => {
                    let why = crate::words(&error);
                    self.problem(format!("the receipt for the segment at {first} does not hold: {why}"));
                }
            },
        }
        Ok(())
    }

    fn declared(&mut self, declared: &[SignedCheckpoint]) {
        let ahead = declared.last().map(|note| note.checkpoint.size);
        self.report.declared = ahead.filter(|size| *size > self.log.size());
    }

    fn incidents(&mut self) -> Result<()> {
        match self.vault.incidents.of(self.origin) {
            Ok(incidents) => self.report.incidents = incidents,
            Err(error @ AuditorError::Evidence { .. }) => self.problem(error.to_string()),
            Err(other) => return Err(other),
        }
        let mut lines = Vec::new();
        for incident in &self.report.incidents {
            lines.extend(incident_problem(&self.vault.data, incident)?);
            if incident.is_open(self.log.size()) {
                lines.push(format!("{} on record: {}", incident.kind.as_str(), incident.message));
            }
        }
        self.report.disputed = self.report.incidents.iter().any(|incident| incident.kind.disputes());
        lines.into_iter().for_each(|line| self.problem(line));
        Ok(())
    }

    fn problem(&mut self, line: String) {
        self.report.first_break.get_or_insert_with(|| line.clone());
        if self.report.problems.len() < MAX_PROBLEMS {
            self.report.problems.push(line);
        }
    }

    fn finish(mut self) -> BoxReport {
        let account = self.holes.account();
        if account.missing > 0 {
            self.problem(format!("{} invocations have no verdict, and nothing says why", account.missing));
        }
        if account.twice > 0 {
            self.problem(format!("{} invocations have more than one verdict", account.twice));
        }
        let mut report = self.report;
        report.invocations = account;
        report.size = self.log.size();
        report.root = to_hex(&self.log.root());
        report.times = self.times.map(|(from, to)| (clock::rfc3339(from), clock::rfc3339(to)));
        report.verified = report.problems.is_empty();
        report
    }
}

/// Whether the file that an incident names is still the one it was recorded with.
fn incident_problem(data: &Path, incident: &Report) -> Result<Option<String>> {
    let path = data.join(&incident.evidence);
    let bytes = crate::durable::read(&path)?.unwrap_or_default();
    let same = to_hex(&picket_ledger::hash::sha256(&bytes)) == incident.evidence_sha256;
    Ok((!same).then(|| format!("{} is not what was recorded with its incident", path.display())))
}
