//! The `pii` guard: finds personal data in what a model wrote, and redacts, masks, flags or blocks it.
//!
//! What it catches, what it misses, its settings and its measured accuracy stand in `docs/guards/pii.md`.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that fails may panic"))]

mod json;
mod judge;
mod scan;
mod settings;

pub use judge::Pii;
pub use scan::{Entity, EntitySet, Hit, Scanner};
pub use settings::{Action, Place, SCHEMA, Settings};

picket_sdk::export_guard!(Pii);
