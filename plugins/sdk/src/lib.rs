//! Placeholder.
pub mod bindings;
