//! `picket reference`: reference profiles for detectors.

use super::{Answer, BadInput, Exit, GuardsArgs, Output, print};
use crate::detectors::fit;
use picket_ledger::hash;
use std::path::PathBuf;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a reference profile from recorded inferences.
    Fit(FitArgs),
}

#[derive(clap::Args)]
pub(super) struct FitArgs {
    #[command(flatten)]
    config: GuardsArgs,
    /// Name of the [[detector]] whose component and settings to use.
    #[arg(long, value_name = "NAME")]
    detector: String,
    /// JSONL inferences; all of them are taken, so they should be of one model.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Where to write the profile.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub(super) fn run(command: &Command, output: Output) -> Answer {
    let Command::Fit(args) = command;
    let config = args.config.load()?;
    let detector = config.detectors.iter().find(|detector| detector.name == args.detector).ok_or_else(|| {
        let known: Vec<_> = config.detectors.iter().map(|detector| detector.name.as_str()).collect();
        BadInput(format!(
            "--detector: there is no [[detector]] called `{}`; there are: {}",
            args.detector,
            known.join(", ")
        ))
    })?;
    let fitted = fit(&config, detector, &args.from)?;
    std::fs::write(&args.output, &fitted.profile)
        .map_err(|error| BadInput(format!("--output {}: {error}", args.output.display())))?;
    let digest = hash::to_hex(&hash::sha256(&fitted.profile));
    if output.json {
        print(
            serde_json::json!({ "rows": fitted.rows, "streams": fitted.streams, "bytes": fitted.profile.len(), "digest": digest }),
        )?;
    } else {
        let (rows, streams, bytes) = (fitted.rows, fitted.streams, fitted.profile.len());
        print(format_args!("{rows} rows, {streams} streams, {bytes} bytes, sha256:{digest}"))?;
    }
    Ok(Exit::Done)
}
