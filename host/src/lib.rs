//! Picket's edge host: guards judge inferences, every judgement goes into the ledger, segments go to the auditor.
//!
//! The modules, lowest first; each may use those above it and none below (a test holds that):
//!
//! | module | does |
//! |---|---|
//! | [`tls`] | certificates for the way to the auditor and to registries |
//! | [`oci`] | guards in OCI registries |
//! | [`config`] | the configuration file, checked |
//! | [`keys`] | the box's keys on disk |
//! | [`guards`] | components before they run: where they come from, who vouches for them |
//! | [`inference`] | JSON in, JSON out |
//! | [`measure`] | measurements that the host takes itself |
//! | [`payload`] | salted commitments and stored payloads |
//! | [`provenance`] | digests of weights, prompts and features; record documents |
//! | [`sequencer`] | the single writer of the ledger |
//! | [`pipeline`] | guards in order, decision, redaction |
//! | [`detectors`] | measurements over time, alarms |
//! | [`evidence`] | reading the ledger, here or through a running service |
//! | [`sync`] | outbox and auditor |
//! | [`retention`] | how much is kept, and for how long |
//! | [`service`] | the box, put together |
//! | [`gateway`] | HTTP and the control socket |
//! | [`cli`] | the command line |

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod cli;
pub mod config;
pub mod detectors;
pub mod evidence;
pub mod gateway;
pub mod guards;
pub mod inference;
pub mod keys;
pub mod measure;
pub mod oci;
pub mod payload;
pub mod pipeline;
pub mod provenance;
pub mod retention;
pub mod sequencer;
pub mod service;
pub mod sync;
pub mod tls;
