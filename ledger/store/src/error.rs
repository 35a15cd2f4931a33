//! What can go wrong with the log on disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An error of the store.
///
/// Cloneable, because one fault (a full disk, a broken file) is reported to every commit that it stops.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the log open.
    #[error(
        "the log at {} is in use{}; stop that process first, or choose another data folder",
        path.display(),
        pid.map(|pid| format!(" by process {pid}")).unwrap_or_default()
    )]
    Locked {
        /// Folder of the log.
        path: PathBuf,
        /// The process that holds it, when it could be read.
        pid: Option<u32>,
    },
    /// No space is left. Nothing that was acknowledged is lost; commits succeed again once space is freed.
    #[error("no space left on the device for {}: nothing acknowledged is lost; free space and try again", path.display())]
    Full {
        /// The file that could not grow.
        path: PathBuf,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// The system refused an operation on a file.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as an infinitive: "write", "create".
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// Bytes on disk are not what was written, and no copy could replace them.
    #[error("{} is damaged: {lost}; {advice}", path.display())]
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// What is lost.
        lost: String,
        /// What the operator can do.
        advice: String,
    },
    /// The embedded store reported an error of its own.
    #[error("the embedded store at {} failed: {message}", path.display())]
    Backend {
        /// Its folder.
        path: PathBuf,
        /// Its words.
        message: String,
    },
    /// An earlier error left it unknown what is on disk; the log takes no more commits until it is opened again.
    #[error("the log stopped after an earlier error; open it again to go on")]
    Stopped {
        /// The error that stopped it.
        #[source]
        cause: Box<StoreError>,
    },
    /// The entries asked for were pruned behind a receipt.
    #[error("entry {index} was pruned: entries below {pruned_to} are only at the auditor")]
    Pruned {
        /// The first entry that is missing.
        index: u64,
        /// Entries below this index were removed.
        pruned_to: u64,
    },
    /// Something beyond the end of the log, or outside of its allowed range, was asked for.
    #[error("{what} {value} is out of range: it must be at most {limit}")]
    OutOfRange {
        /// What was out of range: "entry index", "tree size".
        what: &'static str,
        /// The value.
        value: u64,
        /// The largest allowed value.
        limit: u64,
    },
    /// Something given to a commit is larger than the store accepts.
    #[error("{what} of {bytes} bytes is too large: at most {limit} bytes are allowed")]
    TooLarge {
        /// What was too large: "entry", "payload", "name".
        what: &'static str,
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A proof or root could not be computed.
    #[error("cannot compute over the tree: {message}")]
    Tree {
        /// The ledger's words.
        message: String,
    },
}

impl StoreError {
    /// Wraps an error of the system on a file; a lack of space or quota becomes [`StoreError::Full`].
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, source: Arc::new(source) },
            _ => Self::Io { action, path, source: Arc::new(source) },
        }
    }

    /// Bytes on disk that contradict themselves.
    pub(crate) fn damaged(path: &Path, lost: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), lost: lost.into(), advice: advice.into() }
    }

    /// True for an error that freeing disk space cures.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Stopped { cause } => cause.is_full(),
            _ => false,
        }
    }
}
