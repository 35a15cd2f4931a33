//! The tamper-evident log as pure data.
//!
//! Entries, the Merkle tree over them, proofs, signed checkpoints, segments, receipts and proof bundles:
//! what they are made of, how they are written as bytes, and how anyone verifies them. Nothing here does
//! I/O, reads a clock or draws randomness; whoever calls brings those in. The byte layouts are specified in
//! `docs/ledger-format.md`, precisely enough to write an independent verifier from.
//!
//! | module | holds |
//! |---|---|
//! | [`entry`] | one ledger record: deterministic CBOR, canonical form only |
//! | [`hash`] | RFC 9162 leaf and node hashes, payload commitments |
//! | [`tree`] | compact ranges; proofs computed from stored nodes |
//! | [`proof`] | verification of inclusion, consistency and subtree proofs |
//! | [`note`], [`checkpoint`] | C2SP signed notes with strict Ed25519; signed tree heads |
//! | [`segment`] | a run of entries with what binds them, shipped as one unit |
//! | [`mirror`] | what box and auditor say to each other: C2SP tlog-mirror, as bytes |
//! | [`receipt`] | the auditor's cosignature under a checkpoint |
//! | [`bundle`] | C2SP `.tlog-proof` files |
//! | [`keychain`] | epochs of keys: which key speaks for which entries |
//!
//! From an entry to a segment that anybody with the public key can verify:
//!
//! ```
//! use picket_ledger::entry::{Body, Heartbeat};
//! use picket_ledger::hash::leaf_hash;
//! use picket_ledger::tree::CompactRange;
//! use picket_ledger::{Checkpoint, Entry, Segment, SigningKey};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = SigningKey::generate("box-17", [7; 32])?; // 32 bytes of randomness, in earnest
//! let body = Body::Heartbeat(Heartbeat { next_invocation: 0 });
//! let entry = Entry { incarnation: 0, index: 0, wall_ms: 0, monotonic_ns: 0, boot: [0; 16], body }.encode()?;
//!
//! let mut log = CompactRange::new();
//! let frontier = log.peaks().to_vec();
//! log.push(leaf_hash(&entry));
//! let checkpoint = Checkpoint::new("box-17", log.size(), log.root()).sign(&key);
//!
//! let segment = Segment { origin: "box-17".into(), first: 0, frontier, entries: vec![entry], checkpoint };
//! let bytes = segment.encode()?;
//! let verified = Segment::decode(&bytes)?.verify(&key.verifier())?;
//! assert_eq!(verified.checkpoint.checkpoint.size, 1);
//! assert_eq!(verified.after, log);
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a panic is how a test fails"))]

pub mod bundle;
mod cbor;
pub mod checkpoint;
pub mod entry;
pub mod hash;
pub mod keychain;
pub mod mirror;
pub mod note;
pub mod proof;
pub mod receipt;
pub mod segment;
pub mod tree;
#[cfg(test)]
mod vectors;

pub use cbor::CborError;
pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use entry::Entry;
pub use hash::Hash;
pub use keychain::{KeyChain, KeyChainError};
pub use note::{NoteError, SigningKey, VerifyingKey};
pub use segment::Segment;
