//! `picket key`: the signing keys of the box.

use picket_ledger::KeyChain;
use serde_json::json;

use super::ledger::LedgerArgs;
use super::text::safe_json;
use super::{Answer, Exit, Output, print};
use crate::evidence::ControlClient;
use crate::keys;
use crate::sequencer::{Rotated, Sequencer};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Hand the ledger over to a new key, and destroy the old one.
    Rotate(RotateArgs),
    /// Show all public keys, each with the entries that it speaks for.
    Show(ShowArgs),
}

#[derive(clap::Args)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    ledger: LedgerArgs,
}

#[derive(clap::Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    ledger: LedgerArgs,
    /// Print the chain of keys, as `picket verify --chain` takes it.
    #[arg(long)]
    chain: bool,
}

pub(super) fn run(command: &Command, output: Output) -> Answer {
    match command {
        Command::Rotate(args) => rotate(args, output),
        Command::Show(args) => show(args, output),
    }
}

fn rotate(args: &RotateArgs, output: Output) -> Answer {
    let data = args.ledger.data()?;
    let rotated = match ControlClient::connect(&data)? {
        Some(service) => service.rotate_key()?,
        None => rotate_locally(args)?,
    };
    if output.json {
        print(safe_json(&json!(rotated)))?;
    } else {
        print(format_args!("key {} speaks from entry {} on: {}", rotated.epoch, rotated.start, rotated.key))?;
        print("the old key is destroyed; `picket key show --chain` prints the chain that verifiers need")?;
    }
    Ok(Exit::Done)
}

/// Opens the ledger as the service would.
fn rotate_locally(args: &RotateArgs) -> anyhow::Result<Rotated> {
    let config = args.ledger.load()?;
    std::fs::create_dir_all(&config.edge.data)?;
    let keys = keys::load_or_create(&config.edge.data, &config.edge.id)?;
    let (sequencer, writer, opening) = Sequencer::open(&config.edge.data, &config.edge, &config.ledger, keys)?;
    for repair in &opening.repaired {
        tracing::warn!(repair, "the ledger was mended");
    }
    let rotated = sequencer.rotate_blocking();
    writer.stop();
    Ok(rotated?)
}

fn show(args: &ShowArgs, output: Output) -> Answer {
    let keys = keys::load_chain(&args.ledger.data()?)?;
    if args.chain {
        print(keys.to_text().trim_end_matches('\n'))?;
    } else if output.json {
        print(safe_json(&shown(&keys)))?;
    } else {
        for epoch in keys.epochs() {
            let range = match epoch.end {
                Some(end) => format!("entries {} to {}", epoch.start, end - 1),
                None => format!("entries from {} on", epoch.start),
            };
            let now = if epoch.end.is_none() { "  (signs now)" } else { "" };
            print(format_args!("key {} {}  {range}  {}{now}", epoch.number, epoch.key_id(), epoch.key))?;
        }
    }
    Ok(Exit::Done)
}

fn shown(keys: &KeyChain) -> serde_json::Value {
    let epoch = |epoch: &picket_ledger::keychain::Epoch| {
        json!({
            "epoch": epoch.number,
            "id": epoch.key_id(),
            "key": epoch.key.to_string(),
            "start": epoch.start,
            "end": epoch.end,
            "current": epoch.end.is_none(),
        })
    };
    json!({ "origin": keys.origin(), "epochs": keys.epochs().iter().map(epoch).collect::<Vec<_>>() })
}
