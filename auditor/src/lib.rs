//! The central auditor: takes in the signed segments of many boxes, keeps them as evidence, and proves what it answers.
//!
//! | module | holds |
//! |---|---|
//! | [`config`], [`key`], [`origin`] | what comes from outside, checked once |
//! | [`durable`], [`archive`], [`evidence`] | files that are never changed, and how they are read: verified |
//! | [`boxes`], [`epochs`], [`ingest`], [`pending`], `incarnations`, [`incidents`] | where each box stands, its keys, the rules for what it sends, what is on its way, what was refused |
//! | [`own`] | the auditor's own ledger |
//! | [`index`], [`indexer`] | where to look; rebuildable, never believed |
//! | [`trace`](mod@trace), [`verify`](mod@verify), [`holes`] | the answers |
//! | [`http`], [`metrics`], [`client`], [`cli`] | how it is asked |
//!
//! It depends on the ledger and the store, never on the host: what it verifies, it verifies from the bytes.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a panic is how a test fails"))]

pub mod archive;
pub mod auditor;
pub mod boxes;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod durable;
pub mod epochs;
pub mod error;
pub mod evidence;
pub mod holes;
pub mod http;
pub(crate) mod incarnations;
pub mod incidents;
pub mod index;
pub mod indexer;
pub mod ingest;
pub mod key;
pub mod metrics;
pub mod origin;
pub mod own;
pub mod pending;
pub mod shelf;
pub mod tls;
pub mod trace;
pub mod vault;
pub mod verify;

/// An error and its causes in one line.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
