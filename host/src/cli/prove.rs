//! `picket prove`: the proof of one entry as a C2SP `.tlog-proof` file.

use std::path::PathBuf;

use anyhow::Context as _;
use picket_ledger::hash::to_hex;
use serde_json::json;

use super::ledger::{LedgerArgs, find_entry};
use super::text::safe_json;
use super::{Answer, Exit, Output, print};
use crate::evidence::{bundle, bundle_under, newest_checkpoint};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    ledger: LedgerArgs,
    /// An inference id, the index of an entry, or #n for invocation n.
    #[arg(value_name = "ID")]
    id: String,
    /// Where to write the proof; standard output without it.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Prove against the newest checkpoint, although an older one carries the auditor's signature too.
    #[arg(long)]
    newest: bool,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let evidence = args.ledger.evidence()?;
    let found = find_entry(&evidence, &args.id)?;
    let made = if args.newest {
        let note = newest_checkpoint(&evidence, found.index)?;
        bundle_under(&evidence, found.index, found.bytes, note)?
    } else {
        bundle(&evidence, found.index, found.bytes)?
    };
    // What leaves the box holds: a proof that does not verify would accuse the box, not the reader.
    let key = args.ledger.own_key()?;
    let verified = made.verify(&key).context("the ledger gives a proof that does not hold; run `picket verify`")?;
    let text = made.encode();
    let Some(path) = &args.output else {
        print(text.trim_end())?;
        return Ok(Exit::Done);
    };
    std::fs::write(path, &text).with_context(|| format!("writing {}", path.display()))?;
    let checkpoint = &verified.checkpoint.checkpoint;
    if output.json {
        print(safe_json(&json!({
            "file": path.display().to_string(),
            "index": verified.index,
            "leaf": to_hex(&verified.leaf),
            "size": checkpoint.size,
            "root": to_hex(&checkpoint.root),
            "key": key.to_string(),
        })))?;
    } else {
        print(format_args!(
            "{}: entry {} of {} under a checkpoint of {} entries",
            path.display(),
            verified.index,
            checkpoint.origin,
            checkpoint.size
        ))?;
        print(format_args!("verify it anywhere: picket verify {} --key {key}", path.display()))?;
    }
    Ok(Exit::Done)
}
