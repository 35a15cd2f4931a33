//! What is fuzzed, as plain functions: each takes any bytes and panics if a property does not hold.
//!
//! "No panic" is the least of them. What is accepted must encode to the very bytes that were read; an independent
//! reader (`ciborium`) must read the same; what verifies must be derivable again another way, and must stop to verify
//! when a bit of it changes. `fuzz/run` gives them to libFuzzer; `ledger/tests/fuzz.rs` runs the same functions for
//! seconds, without it.

pub mod checkpoint;
pub mod entry;
pub mod keychain;
pub mod proof;
pub mod seeds;
pub mod segment;
pub mod sync;

/// A function that takes any bytes, with the inputs to start from.
pub struct Target {
    /// The name of its binary and its corpus.
    pub name: &'static str,
    /// Panics if a property does not hold.
    pub run: fn(&[u8]),
    /// Inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "entry", run: entry::run, seeds: seeds::entries },
    Target { name: "segment", run: segment::run, seeds: seeds::segments },
    Target { name: "checkpoint", run: checkpoint::run, seeds: seeds::notes },
    Target { name: "proof", run: proof::run, seeds: seeds::proofs },
    Target { name: "keychain", run: keychain::run, seeds: seeds::keychains },
    Target { name: "sync", run: sync::run, seeds: sync::seeds },
];
