//! The compiler's side: one component, and the process ends.

use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};

use super::wire::{self, Allowance, Header, Refusal};
use super::{Job, Workplace, here};
use crate::cache::Name;
use crate::engine::{self, EngineOptions};
use crate::error::EngineError;
use crate::settings::Settings;
use crate::ticker::Ticker;

/// Files that are open at once: three pipes, a memory image each for some modules.
const FILES: u64 = 256;
/// Deeper recursion than any component that validates leads to.
const STACK: usize = 32 << 20;

/// The compiler could not do its work at all. What is wrong with a component is no error here but its answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompilerError {
    /// The question cannot be read, or the answer not be written.
    #[error("no engine asks ({0}); a guard is compiled by `picket` itself where it is loaded")]
    Conversation(#[source] io::Error),
    /// A limit cannot be set.
    #[error("the compiler's limit on {what} cannot be set: {source}")]
    Limit {
        /// On what.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No engine like the parent's.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No thread.
    #[error("no thread to compile in: {0}")]
    Thread(#[source] io::Error),
}

/// Answers the one question of a parent that was given a [`super::CompilerProcess`]: reads it from standard input,
/// confines this process, compiles, and writes the answer to standard output. Nothing else may be done in this process.
///
/// # Errors
/// [`CompilerError`]; the parent then refuses the guard.
pub fn compile_for_parent() -> Result<(), CompilerError> {
    // Of no use without the parent, and a loop may be under way when it dies.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| CompilerError::Limit { what: "life", source: error.into() })?;
    let mut input = io::stdin().lock();
    let allowance = wire::read_allowance(&mut input).map_err(CompilerError::Conversation)?;
    confine(allowance)?;
    let (header, wasm) = wire::read_job(&mut input).map_err(CompilerError::Conversation)?;
    // Of a size that does not depend on the machine's settings: what compiles here compiles elsewhere.
    let compiling = std::thread::Builder::new()
        .name("compile".into())
        .stack_size(STACK)
        .spawn(move || answer(&header, &wasm))
        .map_err(CompilerError::Thread)?;
    let answer = match compiling.join() {
        Ok(answer) => answer?,
        // The panic's own message is on standard error, which the parent reads.
        Err(_) => return Err(CompilerError::Thread(io::Error::other("the compiler panicked"))),
    };
    wire::write_answer(&mut io::stdout().lock(), &answer).map_err(CompilerError::Conversation)
}

/// Never more than this process has already. Address space is left alone: linear memories reserve much of it, and use
/// next to nothing.
fn confine(allowance: Allowance) -> Result<(), CompilerError> {
    let limits = [
        ("processor time", Resource::Cpu, allowance.cpu_seconds),
        ("memory", Resource::Data, allowance.memory),
        ("core files", Resource::Core, 0),
        ("open files", Resource::Nofile, FILES),
    ];
    for (what, resource, wanted) in limits {
        let maximum = getrlimit(resource).maximum;
        let current = maximum.map_or(wanted, |maximum| maximum.min(wanted));
        // A second later the kernel kills what ignores the first signal.
        let above = if resource == Resource::Cpu { current.saturating_add(1) } else { current };
        let maximum = maximum.map_or(above, |maximum| maximum.min(above));
        setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) })
            .map_err(|error| CompilerError::Limit { what, source: error.into() })?;
    }
    Ok(())
}

fn answer(header: &Header, wasm: &[u8]) -> Result<Result<Vec<u8>, Refusal>, CompilerError> {
    let options = EngineOptions {
        max_memory: header.max_memory,
        max_stack: header.max_stack,
        tick: Duration::from_micros(header.tick_micros),
        ..EngineOptions::default()
    };
    engine::check(&options)?;
    let target = engine::lasting(&options, header.reservation)?;
    if Name::new(&target, TARGET).finish() != header.target {
        return Ok(Err(Refusal::OtherTarget));
    }
    let workshop = engine::workshop(&options, header.reservation)?;
    let clock = workshop.weak();
    let ticker = Ticker::start(options.tick, move || {
        if let Some(engine) = clock.upgrade() {
            engine.increment_epoch();
        }
    })
    .map_err(EngineError::Ticker)?;
    let settings = match Settings::parse(&header.settings) {
        Ok(settings) => settings,
        Err(error) => return Err(CompilerError::Conversation(error.into())),
    };
    let place = Workplace { workshop: &workshop, ticker: &ticker, target: &target, profile: options.profile };
    let job = Job {
        role: header.role(),
        guard: &header.guard,
        wasm,
        settings: &settings,
        limits: &header.limits,
        plain: header.plain,
    };
    Ok(here(&place, &job).map_err(Refusal::from))
}

/// What [`Header::target`] is made under.
pub(super) const TARGET: &str = "target";
