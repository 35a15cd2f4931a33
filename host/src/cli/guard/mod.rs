//! `picket guard`: work on guards.

mod bench;
mod build;
mod compare;
mod compile;
mod describe;
mod inspect;
mod keygen;
mod new;
mod pull;
mod push;
mod registry;
mod sign;
mod test;
mod verify;

use super::{Answer, Output};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Show where a guard and its candidate disagree, from the ledger.
    Compare(compare::Args),
    /// Measure what a check costs, and compare with a baseline.
    Bench(bench::Args),
    /// Make a folder with a guard that builds, passes its cases and can be changed into yours.
    New(new::Args),
    /// Build the guard of a folder into a component.
    Build(build::Args),
    /// Show what a component is: world, imports, exports, sizes, digest, limits, signers, rules, settings.
    Inspect(inspect::Args),
    /// Make a key to sign guards with, and print its public key.
    Keygen(keygen::Args),
    /// Sign a component: what it is, what it says of itself, and the limits that it asks for.
    Sign(sign::Args),
    /// Verify the signatures of a component.
    Verify(verify::Args),
    /// Fetch a guard, and the signature over it, from an OCI registry.
    Pull(pull::Args),
    /// Bring a guard, and the signature over it, to an OCI registry.
    Push(push::Args),
    /// Try a guard on cases: what it is to say, and that it always says the same.
    Test(test::Args),
    /// Compile one guard for the process that started this one.
    #[command(hide = true)]
    Compile,
}

pub(super) fn run(command: &Command, output: Output) -> Answer {
    match command {
        Command::Compare(args) => compare::run(args, output),
        Command::Bench(args) => bench::run(args, output),
        Command::New(args) => new::run(args, output),
        Command::Build(args) => build::run(args, output),
        Command::Inspect(args) => inspect::run(args, output),
        Command::Keygen(args) => keygen::run(args, output),
        Command::Sign(args) => sign::run(args, output),
        Command::Verify(args) => verify::run(args, output),
        Command::Pull(args) => pull::run(args, output),
        Command::Push(args) => push::run(args, output),
        Command::Test(args) => test::run(args, output),
        Command::Compile => compile::run(),
    }
}
