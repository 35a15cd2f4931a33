//! `picket prove`: the proof of one entry as a C2SP `.tlog-proof` file.

use std::path::PathBuf;

use anyhow::Context as _;
use picket_ledger::KeyChain;
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
    /// Prove against the newest checkpoint of its epoch, although an older one carries the auditor's signature too.
    #[arg(long)]
    newest: bool,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let evidence = args.ledger.evidence()?;
    let found = find_entry(&evidence, &args.id)?;
    let keys = args.ledger.own_keys()?;
    let made = if args.newest {
        let note = newest_checkpoint(&evidence, &keys, found.index)?;
        bundle_under(&evidence, found.index, found.bytes, note)?
    } else {
        bundle(&evidence, &keys, found.index, found.bytes)?
    };
    // What leaves the box holds: a proof that does not verify would accuse the box, not the reader.
    let verified =
        keys.verify_bundle(&made).context("the ledger gives a proof that does not hold; run `picket verify`")?;
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
            "key": keys.first().to_string(),
            "epoch": keys.epoch_of(verified.index).number,
        })))?;
    } else {
        print(format_args!(
            "{}: entry {} of {} under a checkpoint of {} entries",
            path.display(),
            verified.index,
            checkpoint.origin,
            checkpoint.size
        ))?;
        print(verify_with(path, &keys))?;
    }
    Ok(Exit::Done)
}

/// How others verify a file of this box. What was signed by a later key needs the chain that leads to it.
pub(super) fn verify_with(path: &std::path::Path, keys: &KeyChain) -> String {
    let command = format!("verify it anywhere: picket verify {} --key {}", path.display(), keys.first());
    if keys.epochs().len() == 1 {
        return command;
    }
    format!("{command} --chain keys.chain, which `picket key show --chain` prints")
}
