//! What can go wrong, by the stage at which it does.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::types::Problem;

/// The engine could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// An option is out of its range.
    #[error("engine option `{option}`: {message}")]
    Option {
        /// The field of [`crate::EngineOptions`].
        option: &'static str,
        /// What is wrong with it, and what would be right.
        message: String,
    },
    /// The address space does not hold the pool, not even with the smallest reservation per instance.
    #[error(
        "no address space for {instances} concurrent instances of up to {max_memory} bytes each: lower `instances` or \
         `max_memory`, or raise the process's address-space limit ({source})"
    )]
    AddressSpace {
        /// As asked for.
        instances: u32,
        /// As asked for, in bytes.
        max_memory: u64,
        /// The runtime's word on it.
        source: wasmtime::Error,
    },
    /// The runtime refused the configuration.
    #[error("the WebAssembly runtime does not start on this machine: {0}")]
    Runtime(#[source] wasmtime::Error),
    /// The cache folder cannot be made or read.
    #[error("the compile cache at {folder}: {source}")]
    Cache {
        /// The folder as configured.
        folder: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The thread that enforces deadlines did not start; without it no guard may run.
    #[error("the thread that enforces deadlines does not start: {0}")]
    Ticker(#[source] std::io::Error),
}

/// A guard was refused. The message names the guard and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The bytes are no valid WebAssembly component.
    #[error("guard `{guard}` is not a WebAssembly component: {message}")]
    NotAComponent {
        /// The guard's name in the configuration.
        guard: String,
        /// What it is instead, and how to make it one.
        message: String,
    },
    /// The component is larger than the engine takes.
    #[error("guard `{guard}` has {bytes} bytes; at most {limit} are taken (engine option `max_component`)")]
    TooLarge {
        /// The guard's name in the configuration.
        guard: String,
        /// Size of the component.
        bytes: usize,
        /// The cap.
        limit: usize,
    },
    /// Guards import nothing; this one does.
    #[error(
        "guard `{guard}` imports {}: a guard may import nothing; build it without WASI and without host calls",
        quoted(imports)
    )]
    Imports {
        /// The guard's name in the configuration.
        guard: String,
        /// Every import, as `interface#item`.
        imports: Vec<String>,
    },
    /// The component lacks an export of the world it is loaded for.
    #[error("guard `{guard}` does not have the world `{world}`: {message}")]
    World {
        /// The guard's name in the configuration.
        guard: String,
        /// The world asked for.
        world: &'static str,
        /// Which export is missing or has another type.
        message: String,
    },
    /// The settings are no JSON document.
    #[error("the settings of guard `{guard}` are not JSON: {source}")]
    SettingsNotJson {
        /// The guard's name in the configuration.
        guard: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The guard found mistakes in its settings.
    #[error("guard `{guard}` refuses its settings: {}", listed(problems))]
    Settings {
        /// The guard's name in the configuration.
        guard: String,
        /// All mistakes, as the guard named them.
        problems: Vec<Problem>,
    },
    /// What the guard says of itself breaks the contract.
    #[error("guard `{guard}` describes itself wrongly: {}", problems.join("; "))]
    Descriptor {
        /// The guard's name in the configuration.
        guard: String,
        /// All mistakes.
        problems: Vec<String>,
    },
    /// The guard failed while it was started, described or configured.
    #[error("guard `{guard}` failed in `{during}`: {failure}")]
    Failed {
        /// The guard's name in the configuration.
        guard: String,
        /// `instantiate`, `describe`, `configure` or `restore`.
        during: &'static str,
        /// How.
        failure: Failure,
    },
    /// The limits asked for are outside of what the engine was built for.
    #[error("guard `{guard}`: limit `{limit}` {message}")]
    Limits {
        /// The guard's name in the configuration.
        guard: String,
        /// The field of [`crate::Limits`].
        limit: &'static str,
        /// What would be right.
        message: String,
    },
    /// The component is valid but does not compile here.
    #[error("guard `{guard}` does not compile: {message}")]
    Compile {
        /// The guard's name in the configuration.
        guard: String,
        /// The compiler's word.
        message: String,
    },
    /// Compiling it takes more than the compiler may have: see [`crate::CompilerProcess`].
    #[error(
        "guard `{guard}` was not compiled: it takes more {limit} than the {allowed} that compiling one guard may; make \
         the component smaller, or raise `{}` if you trust it",
        limit.key()
    )]
    CompileLimit {
        /// The guard's name in the configuration.
        guard: String,
        /// What there was too little of.
        limit: CompileLimit,
        /// How much there was, with its unit.
        allowed: String,
    },
    /// The process that compiles did not do its work.
    #[error(
        "guard `{guard}` was not compiled, because the process that compiles failed: {message}; if that happens with \
         this component alone, do not trust it"
    )]
    Compiler {
        /// The guard's name in the configuration.
        guard: String,
        /// How it ended, and what it said.
        message: String,
    },
}

/// What compiling one guard may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompileLimit {
    /// Bytes that the process can write to.
    Memory,
    /// Processor time.
    Cpu,
    /// Time.
    Time,
}

impl CompileLimit {
    /// The key of the box's configuration that raises it.
    fn key(self) -> &'static str {
        match self {
            Self::Memory => "compile_memory",
            Self::Cpu | Self::Time => "compile_time",
        }
    }
}

impl fmt::Display for CompileLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Memory => "memory",
            Self::Cpu => "processor time",
            Self::Time => "time",
        })
    }
}

/// A guard gave no verdict. Never a decision by itself: policy turns it into an action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}: {message}")]
pub struct Failure {
    /// What kind of failure.
    pub cause: Cause,
    /// One line for the operator and for the ledger; at most 512 bytes, no control characters, no paths of the host.
    pub message: String,
}

/// Why a guard gave no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The guard's code trapped: unreachable, stack overflow, out of bounds, division by zero.
    Trap,
    /// The guard ran past its deadline and was stopped.
    Deadline,
    /// The guard needed more memory or table elements than it may have.
    Memory,
    /// The guard answered with something that breaks the contract.
    Answer,
    /// The guard's own word that it can give no verdict.
    Refused,
    /// No instance was to be had: every one was busy for as long as the guard's deadline, or the machine lacks memory.
    Unavailable,
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Answer => "answer",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        })
    }
}

impl Failure {
    /// Longest [`Failure::message`], in bytes.
    pub const MAX_MESSAGE_BYTES: usize = 512;

    pub(crate) fn new(cause: Cause, message: impl Into<String>) -> Self {
        // It may be the guard's own words, and goes to terminals.
        let mut message = message.into().replace(char::is_control, "\u{fffd}");
        crate::text::cut(&mut message, Self::MAX_MESSAGE_BYTES);
        Self { cause, message }
    }

    pub(crate) fn answer(message: impl Into<String>) -> Self {
        Self::new(Cause::Answer, message)
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn listed(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| match problem.pointer.as_str() {
            "" => problem.message.clone(),
            pointer => format!("{pointer}: {}", problem.message),
        })
        .collect::<Vec<_>>()
        .join("; ")
}
