//! The command line.
//!
//! Exit codes: 0 done; 1 the check found something (blocked, unverifiable, drifted); 2 bad input or configuration;
//! 3 fault. Results go to standard output, everything else to standard error.

mod check;
mod doctor;
mod erase;
mod export;
mod guard;
mod key;
mod keygen;
mod ledger;
mod log;
mod prove;
mod record;
mod reference;
mod reload;
mod run;
mod show;
mod sync;
mod text;
mod trace;
mod verify;

use clap::{Parser, Subcommand};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Judges model outputs with sandboxed guards, and keeps a ledger that cannot be altered unnoticed.
#[derive(Parser)]
#[command(name = "picket", version, about, max_term_width = 100)]
struct Arguments {
    /// Print JSON instead of text for people.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service.
    Run(run::Args),
    /// Put a changed configuration in force while the service runs.
    Reload(reload::Args),
    /// Judge JSONL inferences from a file or standard input.
    Check(check::Args),
    /// List what the ledger holds.
    Log(Box<log::Args>),
    /// Show one entry in full.
    Show(show::Args),
    /// Show everything that stood behind one decision.
    Trace(trace::Args),
    /// Write the proof of one entry.
    Prove(prove::Args),
    /// Write a range of the ledger as a segment.
    Export(export::Args),
    /// Verify a data folder, a segment or a proof, offline.
    Verify(verify::Args),
    /// Put a record document into the ledger.
    Record(record::Args),
    /// Erase payloads, for good; entries and proofs stay.
    Erase(erase::Args),
    /// Ship what the auditor does not have yet.
    Sync(sync::Args),
    /// Make the box's keys and print its public key.
    Keygen(keygen::Args),
    /// Rotate the box's signing key, or show its keys.
    #[command(subcommand)]
    Key(key::Command),
    /// Look for whatever may be wrong with a box.
    Doctor(doctor::Args),
    /// Work on guards.
    #[command(subcommand)]
    Guard(guard::Command),
    /// Work on references of detectors.
    #[command(subcommand)]
    Reference(reference::Command),
}

/// How a command ended when it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Code 0.
    Done,
    /// Code 1: the check found something.
    Found,
    /// Code 2, already explained: some of the input was bad, the rest has been worked on.
    BadInput,
}

/// What a command returns.
pub(crate) type Answer = anyhow::Result<Exit>;

/// How to print results.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// JSON instead of text.
    pub(crate) json: bool,
}

/// An error that is the caller's to mend: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadInput(pub(crate) String);

/// The configuration file that most commands take.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct ConfigArgs {
    /// The configuration file.
    #[arg(long, default_value = "picket.toml", value_name = "FILE")]
    pub(crate) config: PathBuf,
}

impl ConfigArgs {
    pub(crate) fn load(&self) -> anyhow::Result<crate::config::Config> {
        Ok(crate::config::load(Path::new(&self.config))?)
    }
}

/// The same for commands that load guards.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct GuardsArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Let guards and detectors run that nobody signed; for development. One with a wrong signature, or a revoked one,
    /// is refused all the same.
    #[arg(long)]
    pub(crate) allow_unsigned: bool,
}

impl GuardsArgs {
    pub(crate) fn load(&self) -> anyhow::Result<crate::config::Config> {
        let mut config = self.config.load()?;
        if self.allow_unsigned {
            config.trust.unsigned = crate::config::Unsigned::Allow;
        }
        Ok(config)
    }
}

/// Reads the arguments, runs the command and says how it went.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors; for the rest clap's own code is 2 as well.
            let code = if error.use_stderr() { 2 } else { 0 };
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    let output = Output { json: arguments.json };
    log_to_stderr();
    crate::guards::compile_with_this_program();
    let answer = match &arguments.command {
        Command::Run(args) => run::run(args),
        Command::Reload(args) => reload::run(args, output),
        Command::Check(args) => check::run(args, output),
        Command::Log(args) => log::run(args, output),
        Command::Show(args) => show::run(args, output),
        Command::Trace(args) => trace::run(args, output),
        Command::Prove(args) => prove::run(args, output),
        Command::Export(args) => export::run(args, output),
        Command::Verify(args) => verify::run(args, output),
        Command::Record(args) => record::run(args, output),
        Command::Erase(args) => erase::run(args, output),
        Command::Sync(args) => sync::run(args, output),
        Command::Keygen(args) => keygen::run(args, output),
        Command::Key(command) => key::run(command, output),
        Command::Doctor(args) => doctor::run(args, output),
        Command::Guard(command) => guard::run(command, output),
        Command::Reference(command) => reference::run(command, output),
    };
    match answer {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Found) => ExitCode::from(1),
        Ok(Exit::BadInput) => ExitCode::from(2),
        Err(error) => {
            let code = if is_bad_input(&error) { 2 } else { 3 };
            if broken_pipe(&error) {
                // Whoever read our output has had enough of it.
                return ExitCode::SUCCESS;
            }
            report(&error, output);
            ExitCode::from(code)
        }
    }
}

/// One line to standard output. A pipe that has been closed is an error like any other, not a panic.
pub(crate) fn print(line: impl std::fmt::Display) -> anyhow::Result<()> {
    use std::io::Write as _;
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn report(error: &anyhow::Error, output: Output) {
    let error = in_words(error);
    if output.json {
        eprintln!("{}", serde_json::json!({ "error": error }));
    } else {
        eprintln!("error: {error}");
    }
}

/// The error and its causes. One that has said already what its cause says is not followed by it.
fn in_words(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |mut words, cause| {
        let cause = cause.to_string();
        if !words.contains(&cause) {
            words += if words.is_empty() { "" } else { ": " };
            words += &cause;
        }
        words
    })
}

fn is_bad_input(error: &anyhow::Error) -> bool {
    use crate::detectors::FitError;
    use crate::pipeline::PipelineError;
    use crate::service::ServiceError;
    use picket_engine::EngineError;
    error.chain().any(|cause| {
        cause.is::<BadInput>()
            || cause.is::<crate::config::ConfigError>()
            || cause.is::<PipelineError>()
            || cause.is::<crate::keys::KeyError>()
            || cause.is::<FitError>()
            || matches!(
                cause.downcast_ref(),
                Some(
                    ServiceError::Pipeline(_)
                        | ServiceError::Keys(_)
                        | ServiceError::Engine(EngineError::Option { .. } | EngineError::AddressSpace { .. })
                )
            )
    })
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn log_to_stderr() {
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(ansi).with_target(false).init();
}
