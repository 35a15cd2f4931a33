//! `picket guard inspect`: what a component is, before any of it runs.

use crate::cli::{Answer, BadInput, Exit, Output, print};
use picket_ledger::hash::to_hex;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The component.
    component: PathBuf,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let path = args.component.display();
    let bytes = std::fs::read(&args.component).map_err(|error| BadInput(format!("{path}: {error}")))?;
    let inspection = picket_engine::inspect(&bytes).map_err(|error| BadInput(format!("{path}: {error}")))?;
    let digest = to_hex(&inspection.digest);
    let world = inspection.world.map_or_else(|| "none of picket:guard".to_owned(), |world| world.to_string());
    if output.json {
        print(serde_json::json!({
            "world": world, "digest": digest, "bytes": bytes.len(),
            "code_bytes": inspection.code_bytes, "modules": inspection.modules,
            "snapshot": inspection.no_snapshot.is_none(), "no_snapshot": inspection.no_snapshot,
            "imports": inspection.imports, "exports": inspection.exports,
        }))?;
    } else {
        print(format_args!("world    {world}"))?;
        print(format_args!("digest   sha256:{digest}"))?;
        print(format_args!("size     {} bytes", bytes.len()))?;
        print(format_args!("code     {} bytes in {} modules", inspection.code_bytes, inspection.modules))?;
        match &inspection.no_snapshot {
            None => print("start    from a snapshot taken after configure")?,
            Some(why) => print(format_args!("start    configured anew for each check, because {why}"))?,
        }
        let imports = if inspection.imports.is_empty() { "none".to_owned() } else { inspection.imports.join(", ") };
        print(format_args!("imports  {imports}"))?;
        print(format_args!("exports  {}", inspection.exports.join(", ")))?;
    }
    Ok(if inspection.imports.is_empty() { Exit::Done } else { Exit::Found })
}
