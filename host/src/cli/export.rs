//! `picket export`: a range of the ledger as a segment file.

use std::path::PathBuf;

use anyhow::Context as _;
use picket_ledger::hash::to_hex;
use picket_ledger::segment::SegmentRef;
use serde_json::json;

use super::ledger::LedgerArgs;
use super::prove::verify_with;
use super::text::safe_json;
use super::{Answer, Exit, Output, print};
use crate::evidence::export;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    ledger: LedgerArgs,
    /// Index of the first entry.
    #[arg(long, default_value_t = 0, value_name = "INDEX")]
    first: u64,
    /// End at the first checkpoint that covers this many entries; without it at the newest.
    #[arg(long, value_name = "SIZE")]
    to: Option<u64>,
    /// Where to write the segment.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let evidence = args.ledger.evidence()?;
    let keys = args.ledger.own_keys()?;
    let segment = export(&evidence, &keys, args.first, args.to)?;
    let bytes = segment.encode()?;
    let verified = keys
        .verify_segment(&SegmentRef::parse(&bytes)?)
        .context("the ledger gives a segment that does not hold; run `picket verify`")?;
    std::fs::write(&args.output, &bytes).with_context(|| format!("writing {}", args.output.display()))?;
    let checkpoint = &verified.checkpoint.checkpoint;
    let file = args.output.display();
    if output.json {
        print(safe_json(&json!({
            "file": file.to_string(),
            "origin": segment.origin,
            "first": segment.first,
            "entries": segment.entries.len(),
            "bytes": bytes.len(),
            "size": checkpoint.size,
            "root": to_hex(&checkpoint.root),
            "key": keys.first().to_string(),
            "epoch": keys.epoch_of(segment.first).number,
        })))?;
    } else {
        let last = checkpoint.size - 1;
        print(format_args!(
            "{file}: entries {} to {last} of {}, {} bytes",
            segment.first,
            segment.origin,
            bytes.len()
        ))?;
        let end = keys.epoch_of(segment.first).end;
        if end == Some(checkpoint.size) && checkpoint.size < evidence.head()?.size {
            print(format_args!("the key was handed over here; the rest: picket export --first {}", checkpoint.size))?;
        }
        print(verify_with(&args.output, &keys))?;
    }
    Ok(Exit::Done)
}
