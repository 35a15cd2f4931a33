//! Reading the ledger as evidence, whoever holds it.
//!
//! Only one process can open a data folder. So the commands that read it ask [`Evidence::open`], which
//! opens the folder if it is free and talks to the running service through its control socket if not.
//! Both answer the same questions, in bounded pieces, and neither is believed: what matters is verified
//! from the bytes by the caller.

mod chain;
mod compare;
mod export;
mod find;
mod folder;
mod payload;
mod prove;
mod select;
mod service;
mod verify;

pub use chain::{Chain, ChainConfig, ChainGuard, ChainRecord, DriftAlarm, Unexplained, trace};
pub use compare::{Cell, Comparison, Example, Version, compare};
pub use export::export;
pub use find::{Found, Query, decode, find};
pub use payload::{PayloadCheck, StoredPayload};
pub use prove::{bundle, bundle_under, newest_checkpoint};
pub(crate) use select::SelectRequest;
pub use select::{CAUSES, DECISIONS, Piece, Selected, cause_named, decision_named, kind_named};
pub use service::{ControlClient, Recorded};
pub use verify::{MAX_FILE_BYTES, Verified, VerifyError, verify_file};

use std::ops::Range;
use std::path::{Path, PathBuf};

use picket_ledger::Hash;
pub use picket_store::lookup::{Hit, Id, Query as Selection};

/// The control socket in a data folder.
pub const CONTROL_SOCKET: &str = "control.sock";

/// The ledger in a data folder.
pub const LEDGER_FOLDER: &str = "ledger";

/// The index beside the ledger, inside of its folder.
pub const LOOKUP_FOLDER: &str = "lookup";

/// The name under which the newest verified receipt is stored.
pub const RECEIPT_NAME: &str = "sync/receipt";

/// What the ledger says of itself now. Nothing in it is verified but `checkpoint`, by whoever has the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The name in the checkpoints, empty in a ledger without any.
    pub origin: String,
    /// Entries.
    pub size: u64,
    /// Entries below this index were removed, behind a receipt of the auditor.
    pub pruned_to: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// The newest checkpoint, a signed note. It may cover less than `size`.
    pub checkpoint: Option<String>,
}

/// Why the ledger could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// There is no ledger in this folder.
    #[error("{0} holds no ledger")]
    Missing(PathBuf),
    /// Another process holds the folder and does not answer on the control socket.
    #[error(
        "{path} is held by another process{}, which does not answer on its control socket",
        pid.map(|pid| format!(" ({pid})")).unwrap_or_default()
    )]
    Held {
        /// The data folder.
        path: PathBuf,
        /// Its holder, if it could be read.
        pid: Option<u32>,
    },
    /// The store failed.
    #[error("reading the ledger")]
    Store(#[from] picket_store::StoreError),
    /// An entry is not one: the ledger is damaged, or newer than this program.
    #[error("entry {index} does not decode")]
    Entry {
        /// Its index.
        index: u64,
        /// What is wrong with it.
        source: picket_ledger::entry::EntryError,
    },
    /// No checkpoint covers the entry yet.
    #[error(
        "entry {index} is not under a checkpoint yet (the newest covers {size} entries); wait for [ledger] checkpoint_every, or run `picket sync`"
    )]
    NotCovered {
        /// Its index.
        index: u64,
        /// Entries under the newest checkpoint.
        size: u64,
    },
    /// A checkpoint is not a signed note.
    #[error("a checkpoint of the ledger is malformed")]
    Note(#[source] picket_ledger::NoteError),
    /// The range is more than a segment holds, or the ledger is damaged.
    #[error("this range makes no segment; choose a smaller one with --first and --to")]
    Segment(#[source] picket_ledger::segment::SegmentError),
    /// The running service could not be reached.
    #[error("asking the running service")]
    Request(#[source] reqwest::Error),
    /// The running service refused.
    #[error("the running service answered {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its message, without control characters.
        message: String,
    },
    /// The running service answered something that makes no sense.
    #[error("the running service's answer makes no sense: {0}")]
    Answer(String),
    /// The system refused something.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// The log that a note claims to speak for; nothing is verified.
pub(crate) fn origin_of(note: &str) -> String {
    note.lines().next().unwrap_or_default().to_owned()
}

/// Where the answers come from.
trait Ledger: Send {
    fn head(&self) -> Result<Head, EvidenceError>;
    /// At least one entry if `from < to` and they exist; fewer than asked when they are large.
    fn entries(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>, EvidenceError>;
    /// Some of the entries that fit, at most `limit`, and where to go on.
    fn select(&self, query: &Selection, limit: usize) -> Result<Piece, EvidenceError>;
    fn checkpoint_at_or_after(&self, size: u64) -> Result<Option<String>, EvidenceError>;
    fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, EvidenceError>;
    fn frontier(&self, size: u64) -> Result<Vec<Hash>, EvidenceError>;
    fn payload(&self, invocation: u64) -> Result<Option<Vec<u8>>, EvidenceError>;
    fn named(&self, name: &str) -> Result<Option<Vec<u8>>, EvidenceError>;
}

/// A ledger that can be asked.
pub struct Evidence {
    ledger: Box<dyn Ledger>,
    through_service: bool,
}

impl std::fmt::Debug for Evidence {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Evidence").field("through_service", &self.through_service).finish_non_exhaustive()
    }
}

impl Evidence {
    /// The ledger in the data folder `data`: of the running service if one answers there, else from disk.
    ///
    /// # Errors
    /// [`EvidenceError::Missing`] without a ledger, [`EvidenceError::Held`] when its holder is silent.
    pub fn open(data: &Path) -> Result<Self, EvidenceError> {
        if let Some(client) = ControlClient::connect(data)? {
            return Ok(Self { ledger: Box::new(client), through_service: true });
        }
        if !data.join(LEDGER_FOLDER).is_dir() {
            return Err(EvidenceError::Missing(data.to_owned()));
        }
        match folder::FolderLedger::open(&data.join(LEDGER_FOLDER)) {
            Ok(folder) => Ok(Self { ledger: Box::new(folder), through_service: false }),
            Err(EvidenceError::Held { path, pid }) => {
                // The service may have begun to listen between the two looks.
                let client = ControlClient::connect(data)?.ok_or(EvidenceError::Held { path, pid })?;
                Ok(Self { ledger: Box::new(client), through_service: true })
            }
            Err(error) => Err(error),
        }
    }

    /// The ledger in a folder of its own, such as one that was kept from an earlier incarnation.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_kept(ledger: &Path) -> Result<Self, EvidenceError> {
        Ok(Self { ledger: Box::new(folder::FolderLedger::open(ledger)?), through_service: false })
    }

    /// The ledger behind a reader that this process has open.
    #[must_use]
    pub fn from_reader(reader: picket_store::Reader) -> Self {
        Self { ledger: Box::new(folder::FolderLedger::of(reader)), through_service: false }
    }

    /// Whether the answers come from the running service.
    #[must_use]
    pub fn through_service(&self) -> bool {
        self.through_service
    }

    /// Size, root and newest checkpoint.
    ///
    /// # Errors
    /// [`EvidenceError`], as for every question below.
    pub fn head(&self) -> Result<Head, EvidenceError> {
        self.ledger.head()
    }

    /// The entries of `range` with their indexes, read piece by piece. Ends early where the ledger does.
    pub fn entries(&self, range: Range<u64>) -> Entries<'_> {
        Entries {
            evidence: self,
            next: range.start,
            end: range.end,
            piece: Vec::new().into_iter(),
            begun: false,
            done: false,
        }
    }

    /// The entries that fit `query`, at most `limit`, without reading all the others. Each is read from the ledger and
    /// looked at: no index is believed.
    #[must_use]
    pub fn select(&self, query: Selection, limit: usize) -> Selected<'_> {
        Selected { evidence: self, query, limit, hits: Vec::new().into_iter(), done: false }
    }

    /// One entry's bytes.
    ///
    /// # Errors
    /// As [`head`](Self::head).
    pub fn entry(&self, index: u64) -> Result<Option<Vec<u8>>, EvidenceError> {
        self.entries(index..index.saturating_add(1)).next().transpose().map(|found| found.map(|(_, bytes)| bytes))
    }

    /// The oldest checkpoint that covers at least `size` entries, a signed note.
    ///
    /// # Errors
    /// As [`head`](Self::head).
    pub fn checkpoint_at_or_after(&self, size: u64) -> Result<Option<String>, EvidenceError> {
        self.ledger.checkpoint_at_or_after(size)
    }

    /// The inclusion proof of entry `index` in the tree of `size` entries; `index < size`.
    ///
    /// # Errors
    /// As [`head`](Self::head).
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, EvidenceError> {
        self.ledger.inclusion_proof(index, size)
    }

    /// The peaks of the tree of the first `size` entries, left to right: what a segment starts from.
    ///
    /// # Errors
    /// As [`head`](Self::head).
    pub fn frontier(&self, size: u64) -> Result<Vec<Hash>, EvidenceError> {
        self.ledger.frontier(size)
    }

    /// What is kept of an invocation's payload.
    ///
    /// # Errors
    /// As [`head`](Self::head); [`EvidenceError::Answer`] if the stored bytes have another form.
    pub fn payload(&self, invocation: u64) -> Result<Option<StoredPayload>, EvidenceError> {
        self.ledger.payload(invocation)?.map(|bytes| StoredPayload::decode(&bytes)).transpose()
    }

    /// The newest receipt of the auditor that this box verified, a note with both signatures.
    ///
    /// # Errors
    /// As [`head`](Self::head).
    pub fn receipt(&self) -> Result<Option<String>, EvidenceError> {
        let bytes = self.ledger.named(RECEIPT_NAME)?;
        bytes
            .map(|bytes| String::from_utf8(bytes).map_err(|_| EvidenceError::Answer("the receipt is no text".into())))
            .transpose()
    }

    /// A value that the box keeps beside the ledger, such as the state of sync.
    ///
    /// # Errors
    /// As [`head`](Self::head).
    pub fn named(&self, name: &str) -> Result<Option<Vec<u8>>, EvidenceError> {
        self.ledger.named(name)
    }
}

/// Entries with their indexes; memory is bounded by one piece.
#[derive(Debug)]
pub struct Entries<'a> {
    evidence: &'a Evidence,
    next: u64,
    end: u64,
    piece: std::vec::IntoIter<Vec<u8>>,
    /// What was removed from the start of the ledger has been passed over.
    begun: bool,
    done: bool,
}

impl Iterator for Entries<'_> {
    type Item = Result<(u64, Vec<u8>), EvidenceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.begun {
            match self.evidence.ledger.head() {
                Ok(head) => self.next = self.next.max(head.pruned_to),
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
            self.begun = true;
        }
        if self.done || self.next >= self.end {
            return None;
        }
        if self.piece.len() == 0 {
            match self.evidence.ledger.entries(self.next..self.end) {
                Ok(piece) => self.piece = piece.into_iter(),
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        let Some(bytes) = self.piece.next() else {
            self.done = true;
            return None;
        };
        let index = self.next;
        self.next += 1;
        Some(Ok((index, bytes)))
    }
}
