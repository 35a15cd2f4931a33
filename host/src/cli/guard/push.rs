//! `picket guard push`: a guard, and the signature beside it, into an OCI registry.

use super::registry::{self, RegistryArgs};
use crate::cli::{Answer, BadInput, Exit, Output, print};
use crate::guards::note_path;
use crate::oci::{self, ComponentNames, MAX_COMPONENT_BYTES, MAX_SIGNATURE_BYTES};
use serde_json::json;
use std::io::Read as _;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// Where to: `host:port/repository:tag`, with or without `oci://`.
    reference: String,
    /// The component. `FILE.sig` beside it is pushed as its signature.
    component: PathBuf,
    #[command(flatten)]
    registry: RegistryArgs,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let reference = registry::reference(&args.reference)?;
    let path = &args.component;
    let wrong = |message: String| BadInput(format!("{}: {message}", path.display()));
    let component = read(path, MAX_COMPONENT_BYTES)?.ok_or_else(|| wrong("there is no such file".into()))?;
    let inspection = picket_engine::inspect(&component).map_err(|error| wrong(error.to_string()))?;
    let Some(world) = inspection.world.filter(|_| inspection.imports.is_empty()) else {
        let message = "is no guard or detector that a box would run; `picket guard inspect` says why";
        return Err(wrong(message.into()).into());
    };
    let signature = read(&note_path(path), MAX_SIGNATURE_BYTES)?;
    let title = path.file_name().and_then(|name| name.to_str()).unwrap_or("guard.wasm");
    let push = oci::Push {
        component: &component,
        names: ComponentNames {
            exports: inspection.exports,
            imports: inspection.imports,
            target: Some(format!("picket:guard/{world}")),
        },
        signature: signature.as_deref(),
        title,
        created: &created()?,
    };
    let pushed = oci::push(&args.registry.access(&reference)?, &reference, &push).map_err(registry::explained)?;
    let signed = pushed.signature.map(|digest| digest.to_string());
    if output.json {
        print(json!({
            "reference": pushed.pinned.to_string(), "manifest": pushed.pinned.digest.to_string(),
            "component": oci::Digest::of(&component).to_string(), "bytes": component.len(),
            "uploaded": !pushed.known, "signature": signed,
        }))?;
    } else {
        let how = if pushed.known { "was there already" } else { "uploaded" };
        print(format_args!("component  {} bytes, {how}", component.len()))?;
        let signature = signed.unwrap_or_else(|| format!("none: there is no {}", note_path(path).display()));
        print(format_args!("signature  {signature}"))?;
        print(format_args!("pinned     {}", pushed.pinned))?;
    }
    Ok(Exit::Done)
}

/// A file of at most `limit` bytes; `None` if there is none.
fn read(path: &Path, limit: usize) -> anyhow::Result<Option<Vec<u8>>> {
    let unreadable = |error: std::io::Error| BadInput(format!("{}: {error}", path.display()));
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(unreadable)?,
    };
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > limit {
        return Err(BadInput(format!("{} has more than {limit} bytes", path.display())).into());
    }
    Ok(Some(bytes))
}

/// Now; or when `SOURCE_DATE_EPOCH` says, by which builds are made to give the same bytes each time.
fn created() -> anyhow::Result<String> {
    let Some(epoch) = std::env::var_os("SOURCE_DATE_EPOCH") else {
        let now = jiff::Timestamp::now().as_second();
        return Ok(jiff::Timestamp::from_second(now)?.to_string());
    };
    let seconds = epoch.to_str().and_then(|text| text.parse().ok());
    let time = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let message = || BadInput("SOURCE_DATE_EPOCH is no number of seconds since 1970".into());
    Ok(time.ok_or_else(message)?.to_string())
}
