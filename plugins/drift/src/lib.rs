//! The `drift` detector: finds streams of measurements that have moved away from their reference.
//!
//! Formulas with their sources, settings, what is promised and what a state holds stand in `docs/guards/drift.md`.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that fails may panic"))]

mod bets;
mod codec;
mod detector;
mod reference;
mod settings;
mod statistics;
mod stream;
mod window;

pub use detector::Drift;
pub use settings::{SCHEMA, Settings};

picket_sdk::export_detector!(Drift);
