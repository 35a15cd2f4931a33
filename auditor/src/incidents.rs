//! Incidents: what was refused, with the bytes that prove it, once each.
//!
//! | path under the data folder | holds |
//! |---|---|
//! | `incidents/<origin>/<name>.segment`, `.note`, `.package` or `.add-checkpoint` | the bytes that were refused |
//! | `incidents/<origin>/<name>.json` | the [`Report`]: what was wrong, and what the auditor held against it |
//!
//! The name is made of kind, size and root that the refused checkpoint claims, so that the same claim made again finds
//! its own report and adds nothing. The evidence is durable before the report, and the report before the entry in the
//! auditor's own ledger; the next start adds an entry that a crash has kept out.

use std::path::{Path, PathBuf};

use picket_ledger::Hash;
use picket_ledger::hash::{sha256, to_hex};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::durable::{self, Put, Writer};
use crate::error::{AuditorError, Result};
use crate::origin::Origin;

/// The ways in which a box's statements can fail to fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IncidentKind {
    /// The box leaves out entries, and does so again after it was told where to go on. Closed when they arrive.
    Gap,
    /// The box signed two histories. Proof against the box, for good.
    Fork,
    /// The box signed that its log is shorter than the auditor knows it to be. It was restored from an old copy, or
    /// somebody replayed an old checkpoint; the log that follows shows which.
    Rollback,
    /// The box signed a checkpoint, and the segment that came with it does not lead to it. Closed when one does.
    Invalid,
}

impl IncidentKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Gap, Self::Fork, Self::Rollback, Self::Invalid];

    /// The word for it in messages and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Fork => "fork",
            Self::Rollback => "rollback",
            Self::Invalid => "invalid",
        }
    }

    /// Whether it leaves a doubt about the box that no later segment removes.
    pub fn disputes(self) -> bool {
        matches!(self, Self::Fork | Self::Rollback)
    }
}

/// One incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What kind.
    pub kind: IncidentKind,
    /// Which box signed it.
    pub origin: String,
    /// The size that the refused checkpoint claims; of a gap, the first entry of the segment that came too early.
    pub size: u64,
    /// The root that the refused checkpoint claims, in hexadecimal.
    pub root: String,
    /// What was wrong, in words.
    pub message: String,
    /// The file with the refused bytes, relative to the data folder.
    pub evidence: String,
    /// SHA-256 of that file, in hexadecimal.
    pub evidence_sha256: String,
    /// The statement of the same box that it contradicts: a signed note.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// When it was first seen, by the auditor's clock, in milliseconds since 1970.
    pub seen_ms: u64,
}

impl Report {
    /// Whether it still stands when `size` entries of the box are in the archive.
    pub fn is_open(&self, size: u64) -> bool {
        self.kind.disputes() || size < self.size || (self.kind == IncidentKind::Gap && size == self.size)
    }
}

/// What ingest saw.
#[derive(Debug)]
pub struct Observed<'a> {
    /// What kind.
    pub kind: IncidentKind,
    /// See [`Report::size`].
    pub size: u64,
    /// See [`Report::root`].
    pub root: Hash,
    /// See [`Report::message`].
    pub message: &'a str,
    /// The refused bytes.
    pub bytes: &'a [u8],
    /// What the bytes are, which becomes the extension of their file: a `segment`; a signed `note`; a `package`, which is
    /// the note and an upload of one package for it; the body of an `add-checkpoint`.
    pub form: &'static str,
    /// See [`Report::held`].
    pub held: Option<&'a str>,
}

/// The incident folder of one auditor.
#[derive(Debug)]
pub struct Incidents {
    root: PathBuf,
}

impl Incidents {
    /// Names the folder under `data`; creates nothing.
    pub fn new(data: &Path) -> Self {
        Self { root: data.join("incidents") }
    }

    /// Keeps an incident for good; `None` when the same one is kept already.
    pub fn keep(&self, writer: &Writer, origin: &Origin, seen: &Observed<'_>) -> Result<Option<Report>> {
        let folder = self.root.join(origin.as_str());
        let name = format!("{}-{:020}-{}", seen.kind.as_str(), seen.size, &to_hex(&seen.root)[..16]);
        let report_path = folder.join(format!("{name}.json"));
        if durable::read(&report_path)?.is_some() {
            return Ok(None);
        }
        durable::create_folder(&folder)?;
        let evidence_path = folder.join(format!("{name}.{}", seen.form));
        // Other bytes for the same claim are there only after a crash before the report. They prove the same.
        let evidence = match writer.create_only(&evidence_path, seen.bytes)? {
            Put::Stored | Put::Same => sha256(seen.bytes),
            Put::Other => sha256(&durable::read(&evidence_path)?.unwrap_or_default()),
        };
        let report = Report {
            kind: seen.kind,
            origin: origin.to_string(),
            size: seen.size,
            root: to_hex(&seen.root),
            message: seen.message.to_owned(),
            evidence: format!("incidents/{origin}/{name}.{}", seen.form),
            evidence_sha256: to_hex(&evidence),
            held: seen.held.map(str::to_owned),
            seen_ms: clock::wall_ms(),
        };
        let json = serde_json::to_vec_pretty(&report).map_err(|e| AuditorError::Input(e.to_string()))?;
        writer.create_only(&report_path, &json)?;
        Ok(Some(report))
    }

    /// All incidents of a box, in the order of their names: by kind, then by size.
    ///
    /// # Errors
    /// [`AuditorError::Evidence`] for a report that cannot be read as one.
    pub fn of(&self, origin: &Origin) -> Result<Vec<Report>> {
        let folder = self.root.join(origin.as_str());
        let mut reports = Vec::new();
        for name in durable::names(&folder)?.iter().filter(|name| name.ends_with(".json")) {
            let path = folder.join(name);
            let bytes = durable::read(&path)?.unwrap_or_default();
            let report = serde_json::from_slice(&bytes)
                .map_err(|error| AuditorError::Evidence { path, message: format!("no incident report: {error}") })?;
            reports.push(report);
        }
        Ok(reports)
    }
}
