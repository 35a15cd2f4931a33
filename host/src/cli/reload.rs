//! `picket reload`: a changed configuration, without a restart.

use super::{Answer, BadInput, ConfigArgs, Exit, Output, print};
use crate::config;
use crate::evidence::{ControlClient, EvidenceError};
use anyhow::Context as _;
use serde_json::Value;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let file = std::path::absolute(&args.config.config).context("the folder at hand")?;
    let folder = config::data_folder(&file);
    // A file that does not even parse is for the service to refuse, which then records it: it is asked where the default says.
    let data = match &folder {
        Ok(data) => data.clone(),
        Err(_) => file.with_file_name("data"),
    };
    let Some(service) = ControlClient::connect(&data)? else {
        folder?;
        let message = format!("no service runs with the data folder {}; start it with `picket run`", data.display());
        return Err(BadInput(message).into());
    };
    match service.reload(&file) {
        Ok(done) => tell(&done, output),
        Err(EvidenceError::Refused { status: 422, message }) => Err(BadInput(message).into()),
        Err(error) => Err(error.into()),
    }
}

fn tell(done: &Value, output: Output) -> Answer {
    if output.json {
        print(done)?;
        return Ok(Exit::Done);
    }
    let names = |list: &str| {
        let names: Vec<&str> = done[list].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let policy = done["policy"].as_str().unwrap_or_default();
    match done["entry"].as_u64() {
        Some(entry) => print(format_args!("policy {policy} is in force, by entry {entry}"))?,
        None => print(format_args!("policy {policy} is in force, as before"))?,
    }
    print(format_args!("loaded: {}; retired: {}", names("loaded"), names("retired")))?;
    if done["drained"] == false {
        print("the guards before are still judging what came earlier")?;
    }
    Ok(Exit::Done)
}
