//! What a box and an auditor say to each other: C2SP tlog-mirror (<https://c2sp.org/tlog-mirror>) with the
//! `add-checkpoint` of tlog-witness (<https://c2sp.org/tlog-witness>), as bytes.
//!
//! | request | body | here |
//! |---|---|---|
//! | `add-checkpoint` | an old size, a consistency proof from it, a signed checkpoint | [`AddCheckpoint`] |
//! | `add-entries` | a header, then packages of at most 256 entries, each with its subtree proof | [`Header`], [`Package`], read by a [`Decoder`] |
//! | 409 to the former | the size that the auditor knows | [`size_text`], [`parse_size`] |
//! | 202 and 409 to the latter | where to go on | [`MirrorInfo`] |
//!
//! One thing differs from the specification: the length before each entry has four bytes, big-endian, not two, because
//! an entry may have [`MAX_ENTRY_BYTES`](crate::entry::MAX_ENTRY_BYTES). So the body has a media type of its own,
//! [`ENTRIES_MEDIA_TYPE`].
//!
//! Nothing here trusts anybody: every length is bounded before it is believed, and a [`PackageVerifier`] accepts a
//! package only if its entries belong to the tree that the checkpoint signs.

mod checkpoint;
mod decoder;
mod entries;
mod info;
mod verifier;

pub use checkpoint::AddCheckpoint;
pub use decoder::{Decoder, Event};
pub use entries::{Header, Package, package_end};
pub use info::{MirrorInfo, note_from_header, note_to_header, parse_size, size_text};
pub use verifier::PackageVerifier;

use crate::note::{MAX_NOTE_BYTES, NoteError};
use crate::proof::ProofError;

/// Path of `add-checkpoint` below the auditor's address.
pub const ADD_CHECKPOINT: &str = "/add-checkpoint";

/// Path of `add-entries` below the auditor's address.
pub const ADD_ENTRIES: &str = "/add-entries";

/// Media type of the body of `add-entries`.
pub const ENTRIES_MEDIA_TYPE: &str = "application/vnd.picket.entries";

/// Media type of the size in a 409 to `add-checkpoint`.
pub const SIZE_MEDIA_TYPE: &str = "text/x.tlog.size";

/// Media type of a [`MirrorInfo`].
pub const INFO_MEDIA_TYPE: &str = "text/x.tlog.mirror-info";

/// Header of a 409: the newest checkpoint of this log that the auditor holds, as the log signed it, in base64. So the
/// log's owner can see for himself whether his copy is older, or another one.
pub const CHECKPOINT_HEADER: &str = "picket-checkpoint";

/// Header of a 409: which incident was found, in one word: `fork`, `rollback` or `gap`. Absent when nothing is wrong.
pub const CONFLICT_HEADER: &str = "picket-conflict";

/// Packages are aligned at multiples of this many entries.
pub const PACKAGE_ENTRIES: u64 = 256;

/// How many packages a client should send in one request.
pub const MAX_REQUEST_PACKAGES: u64 = 32;

/// The most hashes of a proof.
pub const MAX_PROOF_HASHES: usize = 63;

/// The longest `add-checkpoint` body, in bytes: the old size, 63 hashes in base64, an empty line, a note.
pub const MAX_ADD_CHECKPOINT_BYTES: usize = MAX_NOTE_BYTES + MAX_PROOF_HASHES * 45 + 32;

/// The longest origin in a header, in bytes.
pub const MAX_ORIGIN_BYTES: usize = 1024;

/// The longest ticket, in bytes. Picket's auditor gives empty ones.
pub const MAX_TICKET_BYTES: usize = 4096;

/// Why bytes are no message of the protocol, or a message does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// A message that is text has another form.
    #[error("line {line}: {what}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A message has more bytes than any that makes sense.
    #[error("{what} has {found} bytes, at most {limit} are allowed")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// How long it is, or would be.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The checkpoint of an `add-checkpoint`.
    #[error("the checkpoint")]
    Note(#[from] NoteError),
    /// A field of the header.
    #[error("the header: {0}")]
    Header(&'static str),
    /// An entry is empty or longer than [`MAX_ENTRY_BYTES`](crate::entry::MAX_ENTRY_BYTES).
    #[error("entry {index} has {length} bytes, 1 to {} are allowed", crate::entry::MAX_ENTRY_BYTES)]
    EntryLength {
        /// Its index in the log.
        index: u64,
        /// Its length.
        length: usize,
    },
    /// A package that cannot be: entries of two tiles, or another number than its place demands.
    #[error("a package at entry {start} has {found} entries, {expected} belong there")]
    Count {
        /// Its first entry.
        start: u64,
        /// How many it has.
        found: u64,
        /// How many belong there.
        expected: u64,
    },
    /// More hashes than a proof can have.
    #[error("the proof of the package at entry {start} has {found} hashes, at most {MAX_PROOF_HASHES} are allowed")]
    ProofLength {
        /// The package's first entry.
        start: u64,
        /// How many hashes.
        found: usize,
    },
    /// Bytes after the last package.
    #[error("there are bytes after the last package")]
    Trailing,
    /// The package's proof does not lead from its entries to the checkpoint.
    #[error("the proof of the package at entry {start} does not hold")]
    Proof {
        /// The package's first entry.
        start: u64,
        /// What does not hold.
        source: ProofError,
    },
}
