//! `picket guard pull`: a guard, and the signature that refers to it, out of an OCI registry.

use super::registry::{self, RegistryArgs};
use crate::cli::{Answer, BadInput, Exit, Output, print};
use crate::guards::cache::Cache;
use crate::guards::note_path;
use crate::oci::{self, Pulled, Reference};
use anyhow::Context as _;
use serde_json::json;
use std::io::Write as _;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// What: `host:port/repository:tag`, `…@sha256:digest`, or both, with or without `oci://`.
    reference: String,
    /// Where the component is written; its signature goes beside it, into FILE.sig. Default: the last part of the
    /// repository, with `.wasm`.
    #[arg(short, long, value_name = "FILE", conflicts_with = "cache")]
    output: Option<PathBuf>,
    /// Put it into the data folder of the box that `--config` is of, for a start without a network.
    #[arg(long)]
    cache: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let reference = registry::reference(&args.reference)?;
    let access = args.registry.access(&reference)?;
    let data = if args.cache { Some(args.registry.data()?) } else { None };
    let pulled = oci::pull(&access, &reference).map_err(registry::explained)?;
    let place = match data {
        Some(data) => {
            let cache = Cache::of(&data);
            cache.keep(&pulled).with_context(|| format!("{} cannot be written", cache.folder().display()))?;
            cache.folder().to_path_buf()
        }
        None => {
            let path = args.output.clone().unwrap_or_else(|| default_output(&reference));
            write(&path, &pulled)?;
            path
        }
    };
    if output.json {
        print(json!({
            "reference": pulled.pinned.to_string(), "manifest": pulled.pinned.digest.to_string(),
            "component": oci::Digest::of(&pulled.component).to_string(), "bytes": pulled.component.len(),
            "signatures": pulled.signatures, "written": place.display().to_string(),
        }))?;
    } else {
        print(format_args!("component  {} bytes, in {}", pulled.component.len(), place.display()))?;
        print(format_args!(
            "signature  {}",
            match pulled.signatures {
                0 => "none".to_owned(),
                1 => "one, not verified yet".to_owned(),
                more => format!("the newest of {more}, not verified yet"),
            }
        ))?;
        print(format_args!("pinned     {}", pulled.pinned))?;
    }
    Ok(Exit::Done)
}

fn default_output(reference: &Reference) -> PathBuf {
    let last = reference.repository.rsplit('/').next().unwrap_or("guard");
    PathBuf::from(format!("{last}.wasm"))
}

/// The signature first: what is left of an earlier one would be taken for that of the new component.
fn write(path: &Path, pulled: &Pulled) -> anyhow::Result<()> {
    let signature = note_path(path);
    match &pulled.signature {
        Some(bytes) => replace(&signature, bytes)?,
        None => match std::fs::remove_file(&signature) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(BadInput(format!("{}: {error}", signature.display())).into());
            }
            _ => (),
        },
    }
    replace(path, &pulled.component)
}

/// A file that is there whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.new", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = || {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    written().map_err(|error| {
        // What was begun is of no use to anybody; that it cannot be removed either is no further news.
        drop(std::fs::remove_file(&temporary));
        BadInput(format!("{}: {error}", path.display())).into()
    })
}
