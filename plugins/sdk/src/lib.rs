//! Write a Picket guard in Rust.
//!
//! A guard is a type that implements [`Guard`] (judges one inference), [`StreamingGuard`] (judges an output while it
//! streams) or [`Detector`] (watches measurements over time), and one line that exports it. The crate is a `cdylib`
//! for the component and an `rlib` for native tests and benches:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//! ```
//!
//! This is a whole guard, which `picket guard build` turns into a component:
//!
//! ```
//! use picket_sdk::prelude::*;
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     /// Longest output that passes, in bytes.
//!     max_bytes: usize,
//! }
//!
//! pub struct Length {
//!     settings: Settings,
//! }
//!
//! impl Guard for Length {
//!     fn describe() -> Descriptor {
//!         Descriptor {
//!             name: "length".to_owned(),
//!             version: "1.0.0".to_owned(),
//!             summary: "Flags outputs that are too long".to_owned(),
//!             settings_schema: r#"{"type": "object", "required": ["max_bytes"], "additionalProperties": false,
//!                 "properties": {"max_bytes": {"type": "integer", "minimum": 0}}}"#.to_owned(),
//!             needs: Parts::OUTPUT,
//!             rules: vec![Rule::held("too-long", "The output is longer than the settings allow")],
//!         }
//!     }
//!
//!     fn configure(settings: &str) -> Result<Self, Vec<Problem>> {
//!         Ok(Self { settings: settings::parse(settings)? })
//!     }
//!
//!     fn check(&self, inference: &Inference) -> Result<Verdict, String> {
//!         let mut verdict = Verdict::allow();
//!         if let Some(output) = &inference.output {
//!             for view in text_views(Part::Output, output).map_err(|error| error.to_string())? {
//!                 if view.text().len() > self.settings.max_bytes {
//!                     let message = format!("{} bytes; at most {} pass", view.text().len(), self.settings.max_bytes);
//!                     let rest = self.settings.max_bytes..view.text().len();
//!                     verdict.flag(Finding::new("too-long", Severity::Low, message).at(view.location(rest)));
//!                 }
//!             }
//!         }
//!         Ok(verdict)
//!     }
//! }
//!
//! picket_sdk::export_guard!(Length);
//!
//! // Natively it is plain Rust:
//! let guard = Length::configure(r#"{"max_bytes": 3}"#).unwrap();
//! let verdict = guard.check(&Inference::of_text("four")).unwrap();
//! assert_eq!(verdict.decision, Decision::Flag);
//! assert_eq!(verdict.findings[0].location.as_ref().unwrap().span, Some(Span { start: 3, end: 4 }));
//!
//! // A mistake in the settings is named by its place.
//! let problems = Length::configure(r#"{"max_bytes": "3"}"#).err().unwrap();
//! assert_eq!(problems[0].pointer, "/max_bytes");
//! ```
//!
//! # What a guard must keep to
//!
//! - **It imports nothing.** `wasm32-unknown-unknown` has no clock, no files, no randomness: `SystemTime::now` panics,
//!   and a crate that pulls in `getrandom` with a JavaScript backend gives a component that `picket guard build`
//!   refuses.
//! - **It is a function of settings and inference.** Every check starts from the memory that `configure` left. `HashMap`
//!   is allowed inside: without randomness its seeds derive from addresses, which are the same each time. Where the
//!   order of iteration reaches the verdict, use a `BTreeMap` all the same: then the order survives a change of code.
//! - **What is expensive is built in `configure`**: automata, validators, tables. The host keeps the memory image that
//!   results, so a check does not pay for it; a value that is built lazily is built anew by each check.
//! - **A panic is a trap**, which the host records as a failure of the guard. Answer `Err` with a reason instead.
//! - **A finding never repeats a secret or a personal datum.**

#[doc(hidden)]
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "generated from wit/guard.wit, which documents it"
)]
pub mod bindings;
#[doc(hidden)]
pub mod export;
mod guard;
pub mod json;
pub mod settings;
mod tensor;
mod text;
mod types;

/// What most guards want in scope.
pub mod prelude {
    pub use crate::settings;
    pub use crate::text::{TextView, text_views};
    pub use crate::types::*;
    pub use crate::{Detector, Guard, StreamingGuard};
}

pub use guard::{Detector, Guard, StreamingGuard};
pub use tensor::{ByteElements, Truncated};
pub use text::{TextView, span_of, text_views};
pub use types::*;
