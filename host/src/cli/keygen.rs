//! `picket keygen`: makes the box's keys, and prints the public one for the auditor.

use super::{Answer, ConfigArgs, Exit, Output, print};
use crate::keys;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let config = args.config.load()?;
    let keys = keys::load_or_create(&config.edge.data, &config.edge.id)?;
    if output.json {
        let made =
            serde_json::json!({ "origin": config.edge.id, "key": keys.verifying.to_string(), "made": keys.fresh });
        print(made)?;
    } else {
        print(&keys.verifying)?;
        if !keys.fresh {
            eprintln!("the keys were there already and have not been changed");
        }
    }
    Ok(Exit::Done)
}
