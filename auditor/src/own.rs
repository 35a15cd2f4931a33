//! The auditor's own ledger: what it did, in a log of the same make as the boxes', signed with its own key.
//!
//! Enrolments, incidents, starts and orderly ends. Each entry is followed by a signed checkpoint at once: there are few.
//! It is written after the thing itself is durable in its file, and marked with a named value in the same commit, so
//! that a start after a crash adds exactly what is missing.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use picket_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use picket_ledger::entry::{self, Body, Enrolment, Entry, Heartbeat, Incident, MAX_MESSAGE_BYTES, Recovery, clip};
use picket_ledger::hash::{from_hex, leaf_hash, to_hex};
use picket_ledger::tree::CompactRange;
use picket_ledger::{SigningKey, VerifyingKey};
use picket_store::{Commit, Log, Opened, Options};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::error::{AuditorError, Result};
use crate::incidents::{IncidentKind, Report};
use crate::origin::Origin;

/// Set by an orderly end, removed by the next start.
const CLEAN: &str = "clean";

/// How many entries are read at once when the ledger is verified.
const READ_AT_ONCE: u64 = 1024;

/// The most lines of what was repaired that go into a start entry.
const MAX_FOUND: usize = 64;

/// The auditor's own ledger. One process has it open at a time, and that process is *the* auditor of its data folder.
pub struct Own {
    /// One writer: entries get their place under this lock.
    log: Mutex<Log>,
    key: SigningKey,
    opened: Opened,
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Own").field("key", &self.key).finish_non_exhaustive()
    }
}

/// What `verify` found in the auditor's own ledger.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct OwnReport {
    /// The number of entries.
    pub size: u64,
    /// The root over them, in hexadecimal.
    pub root: String,
    /// The latest signed checkpoint.
    pub checkpoint: Option<String>,
    /// What is wrong.
    pub problems: Vec<String>,
}

impl Own {
    /// Opens or creates the ledger under `data`.
    ///
    /// # Errors
    /// `StoreError::Locked` when another process has it.
    pub fn open(data: &Path, key: SigningKey) -> Result<Self> {
        let (log, opened) = Log::open(&data.join("ledger"), &Options::default())?;
        Ok(Self { log: Mutex::new(log), key, opened })
    }

    /// Records that the auditor starts to serve, and in which state it found this ledger.
    pub fn start(&self) -> Result<()> {
        let reader = self.lock().reader();
        let clean = self.opened.fresh || reader.named(CLEAN)?.is_some();
        let found = self.opened.repaired.iter().chain(&self.opened.lost).take(MAX_FOUND);
        let recovery = Recovery {
            previous_size: reader.size(),
            previous_root: reader.root(),
            first_invocation: 0,
            clean,
            found: found.map(|line| clip(line, MAX_MESSAGE_BYTES)).collect(),
            heads: Vec::new(),
        };
        self.append(Body::Recovery(recovery), vec![(CLEAN.to_owned(), None)])
    }

    /// Records an orderly end.
    pub fn end(&self) -> Result<()> {
        let named = vec![(CLEAN.to_owned(), Some(b"1".to_vec()))];
        self.append(Body::Heartbeat(Heartbeat { next_invocation: 0 }), named)
    }

    /// Records an enrolment, once.
    pub fn enrolment(&self, origin: &Origin, key: &VerifyingKey) -> Result<()> {
        let mark = format!("enrolment/{origin}");
        if self.is_marked(&mark)? {
            return Ok(());
        }
        let body = Enrolment { origin: origin.to_string(), key: key.to_string() };
        self.append(Body::Enrolment(body), vec![(mark, Some(b"1".to_vec()))])
    }

    /// Records an incident, once.
    pub fn incident(&self, report: &Report) -> Result<()> {
        let mark = report.evidence.clone();
        if self.is_marked(&mark)? {
            return Ok(());
        }
        let digest = |text: &str| {
            let message = format!("a digest in the report of {}", report.evidence);
            from_hex(text).map_err(|error| AuditorError::Input(format!("{message}: {error}")))
        };
        let body = Incident {
            origin: report.origin.clone(),
            kind: match report.kind {
                IncidentKind::Gap => entry::IncidentKind::Gap,
                IncidentKind::Fork => entry::IncidentKind::Fork,
                IncidentKind::Rollback => entry::IncidentKind::Rollback,
                IncidentKind::Invalid => entry::IncidentKind::Invalid,
            },
            size: report.size,
            root: digest(&report.root)?,
            message: clip(&report.message, MAX_MESSAGE_BYTES),
            evidence: digest(&report.evidence_sha256)?,
        };
        self.append(Body::Incident(body), vec![(mark, Some(b"1".to_vec()))])
    }

    /// Re-reads the ledger: entries decode, are at their places, and lead to the signed root.
    pub fn verify(&self) -> Result<OwnReport> {
        let reader = self.lock().reader();
        let size = reader.size();
        let mut range = CompactRange::new();
        let mut report = OwnReport { size, ..OwnReport::default() };
        while range.size() < size {
            let from = range.size();
            for (index, bytes) in (from..).zip(reader.read(from..size.min(from + READ_AT_ONCE))?) {
                match Entry::decode(&bytes) {
                    Ok(entry) if entry.index == index => {}
                    Ok(entry) => report.problems.push(format!("entry {index} says that it is entry {}", entry.index)),
                    Err(error) => report.problems.push(format!("entry {index}: {}", crate::words(&error))),
                }
                range.push(leaf_hash(&bytes));
            }
            if range.size() == from {
                report.problems.push(format!("the entries from {from} on cannot be read"));
                break;
            }
        }
        report.root = to_hex(&range.root());
        if let Some(note) = reader.latest_checkpoint()?.map(|stored| stored.text) {
            match SignedCheckpoint::open_alone(&note, &self.key.verifier()) {
                Ok(signed) if signed.checkpoint.size == size && signed.checkpoint.root == range.root() => {}
                Ok(signed) => {
                    let size = signed.checkpoint.size;
                    report.problems.push(format!("the entries do not lead to the checkpoint of {size} entries"));
                }
                Err(error) => report.problems.push(format!("the latest checkpoint: {}", crate::words(&error))),
            }
            report.checkpoint = Some(note);
        } else if size > 0 {
            report.problems.push("there is no signed checkpoint".to_owned());
        }
        Ok(report)
    }

    fn is_marked(&self, name: &str) -> Result<bool> {
        Ok(self.lock().reader().named(name)?.is_some())
    }

    fn append(&self, body: Body, named: Vec<(String, Option<Vec<u8>>)>) -> Result<()> {
        let mut log = self.lock();
        let now = clock::now();
        let entry = Entry {
            incarnation: 1,
            index: log.size(),
            wall_ms: now.wall_ms,
            monotonic_ns: now.monotonic_ns,
            boot: now.boot,
            body,
        };
        let bytes = entry.encode().map_err(|error| AuditorError::Input(crate::words(&error)))?;
        let sign =
            |size: u64, root: &picket_ledger::Hash| Checkpoint::new(self.key.name(), size, *root).sign(&self.key);
        let commit = Commit { entries: vec![bytes], named, checkpoint: Some(&sign), ..Commit::default() };
        log.commit(commit)?;
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
