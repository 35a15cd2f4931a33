//! `picket guard`: work on guards.

use super::{Answer, BadInput, Exit, Output, print};
use picket_ledger::hash::to_hex;
use std::path::PathBuf;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Show what a component is: world, imports, exports, size, digest.
    Inspect(InspectArgs),
}

#[derive(clap::Args)]
pub(super) struct InspectArgs {
    /// The component.
    component: PathBuf,
}

pub(super) fn run(command: &Command, output: Output) -> Answer {
    match command {
        Command::Inspect(args) => inspect(args, output),
    }
}

fn inspect(args: &InspectArgs, output: Output) -> Answer {
    let path = args.component.display();
    let bytes = std::fs::read(&args.component).map_err(|error| BadInput(format!("{path}: {error}")))?;
    let inspection = picket_engine::inspect(&bytes).map_err(|error| BadInput(format!("{path}: {error}")))?;
    let digest = to_hex(&inspection.digest);
    let world = inspection.world.map_or_else(|| "none of picket:guard".to_owned(), |world| world.to_string());
    if output.json {
        print(serde_json::json!({
            "world": world, "digest": digest, "bytes": bytes.len(),
            "imports": inspection.imports, "exports": inspection.exports,
        }))?;
    } else {
        print(format_args!("world    {world}"))?;
        print(format_args!("digest   sha256:{digest}"))?;
        print(format_args!("size     {} bytes", bytes.len()))?;
        let imports = if inspection.imports.is_empty() { "none".to_owned() } else { inspection.imports.join(", ") };
        print(format_args!("imports  {imports}"))?;
        print(format_args!("exports  {}", inspection.exports.join(", ")))?;
    }
    Ok(if inspection.imports.is_empty() { Exit::Done } else { Exit::Found })
}
