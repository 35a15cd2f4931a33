//! The log on disk: what `picket-ledger` describes, durable, recoverable, and verified.
//!
//! A [`Log`] is one folder with one writer. [`Log::commit`] returns once its entries, payloads and values survive
//! a loss of power; [`Reader`]s read meanwhile. Below it, from the top down:
//!
//! | part | what it does |
//! |---|---|
//! | `log.rs`, `reader.rs`, `layout.rs` | entries, tree, checkpoints and payloads as keys and values |
//! | `sealed.rs` | entries of full tiles as immutable files, each a segment that anyone can verify |
//! | `lookup/` | an index beside the log, which finds entries by what is in them |
//! | `journaled.rs`, `journal.rs` | commits are durable in a preallocated journal, and reach the base in large steps |
//! | `store.rs` | the base: an ordered key/value store behind a trait |
//! | `packs.rs`, `sled.rs` | the base on disk: values in immutable files, their index in sled |
//!
//! What each step of a commit leaves behind when the power fails right there is said beside it.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a panic is how a test fails"))]

mod batch;
mod disk;
mod error;
#[cfg(test)]
mod faulty;
mod files;
mod findings;
mod fsck;
mod journal;
mod journaled;
mod layout;
mod lock;
mod log;
pub mod lookup;
#[cfg(test)]
mod memory;
mod pack_file;
mod packs;
mod pieces;
mod reader;
mod recovery;
mod sealed;
mod sled;
mod store;
#[cfg(test)]
mod tests;

pub use error::StoreError;
pub use fsck::Report;
pub use layout::TILE;
pub use log::{
    Commit, Committed, DiskUsage, Log, MAX_NAME_BYTES, MAX_NAMED_BYTES, MAX_PAYLOAD_BYTES, Opened, Options, Payload,
    Pruned, Sign, set_aside,
};
pub use reader::{Reader, SealedSegment, StoredCheckpoint};
