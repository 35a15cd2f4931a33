//! `picket guard keygen`: a key to sign guards with.

use crate::cli::{Answer, Exit, Output, print};
use crate::keys;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of the key: of the person or team that signs with it.
    #[arg(long)]
    name: String,
    /// Where to write the key. Keep it away from the boxes.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let key = keys::create_signer(&args.output, &args.name)?.verifier();
    if output.json {
        let file = args.output.display().to_string();
        print(
            serde_json::json!({ "name": key.name(), "id": key.name_and_id(), "key": key.to_string(), "file": file }),
        )?;
    } else {
        print(&key)?;
        eprintln!("the key is in {}; [trust.keys] of a box takes the line above", args.output.display());
    }
    Ok(Exit::Done)
}
