//! `picket record`: puts a record document into the ledger.

use std::path::PathBuf;

use picket_ledger::entry::{Body, Record};
use picket_ledger::hash::to_hex;
use serde_json::json;

use super::ledger::LedgerArgs;
use super::text::safe_json;
use super::{Answer, BadInput, Exit, Output, print};
use crate::evidence::{ControlClient, Recorded};
use crate::provenance::{DocumentError, read_record, record_kind};
use crate::sequencer::Sequencer;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    ledger: LedgerArgs,
    /// model-version, evaluation, dataset-slice, feature-definition, prompt-library or approval.
    #[arg(value_name = "KIND")]
    kind: String,
    /// The document: JSON of the kind's shape (docs/records.md).
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let wrong = |error: DocumentError| {
        let text = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        BadInput(text)
    };
    let kind = record_kind(&args.kind).map_err(wrong)?;
    let record = read_record(kind, &args.file).map_err(wrong)?;
    let data = args.ledger.data()?;
    let shown = (record.name.clone(), record.version.clone(), to_hex(&record.digest));
    let recorded = match ControlClient::connect(&data)? {
        Some(service) => service.record(&args.kind, record.document.into_bytes())?,
        None => record_locally(args, record)?,
    };
    if output.json {
        print(safe_json(&json!({
            "kind": args.kind,
            "name": shown.0,
            "version": shown.1,
            "digest": shown.2,
            "index": recorded.index,
            "leaf": recorded.leaf,
        })))?;
    } else {
        let (name, version, digest) = shown;
        print(format_args!("entry {}: {} {name} {version} sha256:{digest}", recorded.index, args.kind))?;
    }
    Ok(Exit::Done)
}

/// Opens the ledger as the service would, so that the entry gets its place, times and checkpoint the same way.
fn record_locally(args: &Args, record: Record) -> anyhow::Result<Recorded> {
    let config = args.ledger.load()?;
    std::fs::create_dir_all(&config.edge.data)?;
    let keys = crate::keys::load_or_create(&config.edge.data, &config.edge.id)?;
    let (sequencer, writer, opening) = Sequencer::open(&config.edge.data, &config.edge, &config.ledger, keys)?;
    for repair in &opening.repaired {
        tracing::warn!(repair, "the ledger was mended");
    }
    let placed = sequencer.append_blocking(Body::Record(record).into());
    writer.stop();
    let placed = placed?;
    Ok(Recorded { index: placed.index, leaf: to_hex(&placed.leaf) })
}
