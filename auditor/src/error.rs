//! What can go wrong, sorted by whose fault it is, because the exit code and the HTTP status follow from that.

use std::path::{Path, PathBuf};

/// Anything that stops the auditor from doing what it was asked.
///
/// A refused segment is *not* an error: it is an answer ([`crate::ingest::Answer`]).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditorError {
    /// The configuration file or a key file cannot be used. Exit code 2.
    #[error("{path}: {message}", path = path.display())]
    Config {
        /// The file that is wrong.
        path: PathBuf,
        /// What is wrong with it; names the line where there is one.
        message: String,
    },
    /// What the caller passed in cannot be used. Exit code 2.
    #[error("{0}")]
    Input(String),
    /// A file or folder could not be read or written. Exit code 3.
    #[error("{action} {path}", path = path.display())]
    Io {
        /// What was being done, as in "reading".
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// Stored evidence is not what was stored. Exit code 1: it is a finding about the archive.
    #[error("evidence {path} is damaged: {message}", path = path.display())]
    Evidence {
        /// The evidence file.
        path: PathBuf,
        /// Which check failed.
        message: String,
    },
    /// The auditor's own ledger failed. Exit code 3.
    #[error("the auditor's own ledger")]
    Store(#[from] picket_store::StoreError),
    /// The index failed; it can be rebuilt with `reindex`. Exit code 3.
    #[error("the index (it can be rebuilt with `picket-auditor reindex`): {0}")]
    Index(String),
    /// The caller gave up waiting, so the work was stopped half way. Exit code 3.
    #[error("stopped before the end because the deadline of the request passed")]
    Cancelled,
    /// A running auditor could not be asked. Exit code 3.
    #[error("asking the running auditor at {address}: {message}")]
    Remote {
        /// Where it was expected.
        address: String,
        /// Why there is no answer.
        message: String,
    },
}

impl AuditorError {
    /// Wraps an I/O error with what was done to which path.
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }

    /// The exit code of the command line: 1 a check found something, 2 bad input or configuration, 3 a fault.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Evidence { .. } => 1,
            Self::Config { .. } | Self::Input(_) => 2,
            Self::Io { .. } | Self::Store(_) | Self::Index(_) | Self::Cancelled | Self::Remote { .. } => 3,
        }
    }
}

/// The result of most functions here.
pub type Result<T, E = AuditorError> = std::result::Result<T, E>;
