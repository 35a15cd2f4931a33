//! `picket guard`: work on guards.

mod inspect;

use super::{Answer, Output};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Show what a component is: world, imports, exports, size, digest.
    Inspect(inspect::Args),
}

pub(super) fn run(command: &Command, output: Output) -> Answer {
    match command {
        Command::Inspect(args) => inspect::run(args, output),
    }
}
