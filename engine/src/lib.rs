//! Runs guards: loads WebAssembly components of the package `picket:guard`, and calls them under limits.
//!
//! A guard is code from a stranger. It imports nothing, so all it can do is compute; what it computes on, and for how
//! long, is bounded here, and what it answers is checked before anyone sees it. Every check starts from the same memory
//! image (taken once, after `configure`) and leaves nothing behind, so a verdict depends on the component, its settings
//! and the inference alone, and can be computed again anywhere.
//!
//! ```no_run
//! use picket_engine::{Content, Engine, EngineOptions, Inference, Limits};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::new(EngineOptions::default())?;
//! let guard = engine.load_validator("pii", &std::fs::read("guards/pii.wasm")?, r#"{"action":"redact"}"#, Limits::default())?;
//! let verdict = guard.check(&Inference {
//!     output: Some(Content::Text("Write to jo@example.org.".into())),
//!     ..Inference::default()
//! })?;
//! # let _ = verdict;
//! # Ok(())
//! # }
//! ```

mod answer;
mod bindings;
mod cache;
mod call;
mod compile;
mod declared;
mod describe;
mod descriptor;
mod detector;
mod engine;
mod error;
mod inspect;
mod json;
mod limits;
mod load;
mod location;
mod lower;
mod pool;
mod settings;
mod slots;
mod snapshot;
mod stream;
mod text;
mod ticker;
mod types;
mod validator;
mod verdict;
mod warm;

pub use answer::MAX_MESSAGE_BYTES;
pub use compile::{CompilerError, CompilerProcess, compile_for_parent};
pub use declared::{Declared, LIMITS_SECTION};
pub use detector::Detector;
pub use engine::{CacheOptions, Engine, EngineOptions, Profile};
pub use error::{Cause, CompileLimit, EngineError, Failure, LoadError};
pub use inspect::{Inspection, NotAComponent, World, inspect};
pub use limits::Limits;
pub use load::{CacheUse, LoadReport, Start};
pub use location::{LocationError, MAX_PATH_BYTES, apply_edits, check_locations, part_name, text_at};
pub use pool::{Reservation, Sizing};
pub use settings::{Digest32, component_digest, settings_digest};
pub use stream::Stream;
pub use types::{
    Alarm, AlarmState, Attribute, Bar, Batch, Column, ColumnValues, Content, Datatype, Decision, Descriptor, Document,
    Edit, Finding, Guarantee, Inference, Location, Message, NamedValue, Part, Parts, Problem, Rule, Scalar, Severity,
    Span, StreamStatus, Tensor, Verdict,
};
pub use validator::Validator;
pub use verdict::verdict_bytes;
pub use warm::{Warm, answer_bytes};
