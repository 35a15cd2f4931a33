//! The engine against guards that keep the contract, break it, or attack the host.
#![expect(clippy::unwrap_used, reason = "tests")]

mod answers;
mod cache;
mod compiler;
mod detector;
mod edits;
mod guard;
mod hostile;
mod isolation;
mod limits;
mod load;
mod small;
mod stream;

use std::sync::OnceLock;

use picket_engine::{Content, Engine, EngineOptions, Failure, Inference, Limits, Validator, Verdict};

/// One engine for all tests that need no options of their own.
fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(EngineOptions { instances: 4, ..EngineOptions::default() }).unwrap())
}

/// Limits under which a slow test machine does not trip the deadline by accident.
fn patient() -> Limits {
    Limits { deadline: std::time::Duration::from_secs(30), ..Limits::default() }
}

fn load(guard: &guard::Guard) -> Validator {
    load_with(guard, patient())
}

fn load_with(guard: &guard::Guard, limits: Limits) -> Validator {
    engine().load_validator("test", &guard.component(), "{}", limits).unwrap_or_else(|error| panic!("{error}"))
}

fn text(output: &str) -> Inference {
    Inference { output: Some(Content::Text(output.into())), ..Inference::default() }
}

fn check(guard: &guard::Guard, inference: &Inference) -> Result<Verdict, Failure> {
    load(guard).check(inference)
}
