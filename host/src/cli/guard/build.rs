//! `picket guard build`: the language's own tools make a module or a component, and this makes a guard of it.

mod c;
mod component;
mod manifest;
mod rust;
mod script;
mod tool;

pub(super) use manifest::Lang;

use crate::cli::{Answer, BadInput, Exit, Output, print};
use manifest::Manifest;
use picket_ledger::hash::to_hex;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The guard's folder, with its `guard.toml`.
    #[arg(default_value = ".", value_name = "FOLDER")]
    folder: PathBuf,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let manifest = Manifest::read(&args.folder)?;
    let made = match manifest.lang {
        Lang::Rust => rust::build(&manifest)?,
        Lang::C => c::build(&manifest)?,
        Lang::Js => script::build_js(&manifest)?,
        Lang::Python => script::build_python(&manifest)?,
    };
    let (component, inspection) = component::finish(&manifest, made)?;
    let path = args.folder.join(format!("{}.wasm", manifest.name));
    let path = path.strip_prefix(".").unwrap_or(&path);
    write(path, &component)?;

    let digest = to_hex(&inspection.digest);
    let world = inspection.world.map(|world| world.name());
    if output.json {
        print(serde_json::json!({
            "name": manifest.name, "lang": manifest.lang.name(), "component": path, "bytes": component.len(),
            "digest": digest, "world": world, "limits": inspection.declared,
        }))?;
    } else {
        print(format_args!("made {}, {} bytes, world {}", path.display(), component.len(), world.unwrap_or("none")))?;
        print(format_args!("sha256:{digest}"))?;
    }
    Ok(Exit::Done)
}

/// A reader sees the old component or the new one, never half of it.
fn write(path: &std::path::Path, component: &[u8]) -> anyhow::Result<()> {
    let part = path.with_extension("wasm.part");
    std::fs::write(&part, component)
        .and_then(|()| std::fs::rename(&part, path))
        .map_err(|error| BadInput(format!("{}: cannot be written: {error}", path.display())).into())
}
