//! `picket verify`: is this evidence what a box signed?

mod folder;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use picket_ledger::keychain::MAX_CHAIN_BYTES;
use picket_ledger::receipt::CosignerKey;
use picket_ledger::{KeyChain, VerifyingKey};
use serde_json::json;

use super::text::{clean, safe_json, time};
use super::{Answer, BadInput, Exit, Output, print};
use crate::evidence::{MAX_FILE_BYTES, verify_file};

#[derive(clap::Args)]
pub(super) struct Args {
    /// A data folder, a segment, or a .tlog-proof bundle.
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The box's first public key, or a file that holds it. A data folder has its own, which shows that the
    /// folder is consistent, not whose it is.
    #[arg(long, value_name = "KEY|FILE")]
    key: Option<String>,
    /// The chain of keys that leads from it to the later ones (`picket key show --chain` on the box). A data
    /// folder has its own in its entries.
    #[arg(long, value_name = "FILE", requires = "key")]
    chain: Option<PathBuf>,
    /// The auditor's public key, or a file that holds it: its signature is then demanded too.
    #[arg(long, value_name = "KEY|FILE")]
    auditor_key: Option<String>,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let key = args.key.as_deref().map(box_key).transpose()?;
    let auditor = args.auditor_key.as_deref().map(auditor_key).transpose()?;
    let metadata =
        std::fs::metadata(&args.path).map_err(|error| BadInput(format!("{}: {error}", args.path.display())))?;
    if metadata.is_dir() {
        return folder::verify(&args.path, key, auditor.as_ref(), output);
    }
    let Some(key) = key else {
        let message = "--key is needed: the box's public key (<data>/keys/box.pub on the box, or as it was enrolled with the auditor)";
        return Err(BadInput(message.to_owned()).into());
    };
    let keys = match &args.chain {
        None => KeyChain::new(key),
        Some(path) => read_chain(path, &key)?,
    };
    file(&args.path, &keys, auditor.as_ref(), output)
}

fn file(path: &Path, keys: &KeyChain, auditor: Option<&CosignerKey>, output: Output) -> Answer {
    let shown = path.display();
    let bytes = read_bounded(path)?;
    match verify_file(&bytes, keys, auditor) {
        Ok(verified) => {
            if output.json {
                let mut value = serde_json::to_value(&verified)?;
                value["verified"] = true.into();
                value["file"] = shown.to_string().into();
                print(safe_json(&value))?;
                return Ok(Exit::Done);
            }
            let last = verified.first + verified.entries - 1;
            let range = if verified.entries == 1 {
                format!("entry {last}")
            } else {
                format!("entries {} to {last}", verified.first)
            };
            print(format_args!("VERIFIED {shown}: {range} of {}", clean(&verified.origin)))?;
            print(format_args!("  under its checkpoint of {} entries, root {}", verified.size, verified.root))?;
            let number = if keys.epochs().len() > 1 { format!(" (key {})", verified.epoch) } else { String::new() };
            print(format_args!("  signed by {}{number}", verified.key))?;
            if let Some(received) = verified.received {
                print(format_args!("  the auditor signed for it at {}", time(received.saturating_mul(1000))))?;
            }
            Ok(Exit::Done)
        }
        Err(error) => {
            let mut why = format!("{:#}", anyhow::Error::new(error));
            if keys.epochs().len() == 1 && why.contains("no signature by") {
                why += "; if the box has handed its key over since, give --chain";
            }
            if output.json {
                print(safe_json(&json!({ "verified": false, "file": shown.to_string(), "message": why })))?;
            } else {
                print(format_args!("NOT VERIFIED {shown}: {}", clean(&why)))?;
            }
            Ok(Exit::Found)
        }
    }
}

fn read_bounded(path: &Path) -> anyhow::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| BadInput(format!("{}: {error}", path.display())))?;
    file.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("reading {}", path.display()))?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(
            BadInput(format!("{}: no segment or bundle has more than {MAX_FILE_BYTES} bytes", path.display())).into()
        );
    }
    Ok(bytes)
}

fn read_chain(path: &Path, first: &VerifyingKey) -> anyhow::Result<KeyChain> {
    use std::io::Read as _;
    let wrong = |error: &dyn std::fmt::Display| BadInput(format!("{}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| wrong(&error))?;
    let mut text = String::new();
    file.take(MAX_CHAIN_BYTES as u64 + 1).read_to_string(&mut text).map_err(|error| wrong(&error))?;
    KeyChain::parse(&text, first).map_err(|error| wrong(&format!("{:#}", anyhow::Error::new(error))).into())
}

fn box_key(text: &str) -> anyhow::Result<VerifyingKey> {
    let text = key_text(text)?;
    VerifyingKey::parse(&text).map_err(|error| BadInput(format!("--key: {error}")).into())
}

fn auditor_key(text: &str) -> anyhow::Result<CosignerKey> {
    let text = key_text(text)?;
    CosignerKey::parse(&text).map_err(|error| BadInput(format!("--auditor-key: {error}")).into())
}

/// The key itself, or the first line of the file that is named.
fn key_text(text: &str) -> anyhow::Result<String> {
    if !Path::new(text).is_file() {
        return Ok(text.to_owned());
    }
    let content = std::fs::read_to_string(text).map_err(|error| BadInput(format!("{text}: {error}")))?;
    Ok(content.lines().next().unwrap_or_default().trim().to_owned())
}
