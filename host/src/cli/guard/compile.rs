//! `picket guard compile`: what the box starts to have a guard compiled. Hidden, because nobody else has a use for it.

use crate::cli::{Answer, BadInput, Exit};

pub(super) fn run() -> Answer {
    picket_engine::compile_for_parent().map_err(|error| BadInput(error.to_string()))?;
    Ok(Exit::Done)
}
