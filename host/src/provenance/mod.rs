//! Where a decision comes from: digests of weights, prompts and feature definitions, watched for
//! change, and the records that people hand in about them.
//!
//! Two ways lead into the ledger. What the box can see by itself it *observes*: [`Watcher`] hashes the
//! files that the configuration names, at start and when they change. What it cannot see (training
//! data, evaluations, approvals) is *recorded*: [`parse_record`] reads a JSON document of a strict shape.
//! Both end as a [`picket_ledger::entry::Record`], so an auditor meets one shape, and links between
//! digests tie them together.

mod cache;
mod document;
mod file;
mod folder;
mod observe;
mod watch;

pub use cache::{DigestCache, MAX_AGE};
pub use document::{DocumentError, MAX_DOCUMENT_BYTES, parse_record, read_record, record_kind};
pub use file::{FileStamp, Progress, hash_file};
pub use folder::{FolderDigest, FolderFile, FolderLimits, hash_folder};
pub use observe::{observed_features, observed_prompts, observed_weights};
pub use watch::{Observation, Observed, Role, Watched, Watcher};

use std::path::PathBuf;

/// Why a file or folder has no digest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvenanceError {
    /// The system refused a call on this path.
    #[error("{path}: {what}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        what: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Neither a regular file nor, where one is allowed, a folder.
    #[error("{path} is not a {expected}")]
    Kind {
        /// The path.
        path: PathBuf,
        /// What was expected there.
        expected: &'static str,
    },
    /// The bytes kept changing while they were read, so no digest would be true of them.
    #[error(
        "{path} changed while it was hashed, {tries} times in a row; write to another name and rename it into place"
    )]
    Changing {
        /// The file or folder.
        path: PathBuf,
        /// How often it was tried.
        tries: u32,
    },
    /// More than a folder may hold.
    #[error("{path} has more than {limit} {what}")]
    TooLarge {
        /// The file or folder.
        path: PathBuf,
        /// The limit that was passed.
        limit: u64,
        /// Its unit.
        what: &'static str,
    },
    /// A link that leads out of its folder: what it names could change without the digest noticing.
    #[error(
        "{path} is a symbolic link that leads out of its folder; put the file itself there, or name the folder that it is in"
    )]
    LinkOutside {
        /// The link.
        path: PathBuf,
    },
    /// A name that the manifest of a folder cannot hold without ambiguity.
    #[error("{path:?}: a name in a hashed folder has no line break, carriage return or backslash")]
    Name {
        /// The file.
        path: PathBuf,
    },
}

impl ProvenanceError {
    fn io(path: &std::path::Path, what: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), what, source }
    }
}
