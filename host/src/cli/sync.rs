//! `picket sync`: ships what the auditor does not have yet.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use picket_ledger::Checkpoint;
use picket_ledger::receipt::CosignerKey;
use picket_store::{Commit, Log, Options, StoreError};
use serde_json::{Value, json};

use super::ledger::LedgerArgs;
use super::text::{clean, safe_json};
use super::{Answer, BadInput, Exit, Output, print};
use crate::config::{Auditor, Config};
use crate::evidence::{ControlClient, EvidenceError, LEDGER_FOLDER};
use crate::keys;
use crate::sync::{Client, ClientOptions, CutLimits, SyncError, Uplink, pause_after};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    ledger: LedgerArgs,
    /// Try once, instead of until everything is acknowledged.
    #[arg(long)]
    once: bool,
    /// Take back the alarm that stands, after somebody looked into it.
    #[arg(long)]
    clear_alarm: bool,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let config = args.ledger.load()?;
    let data = args.ledger.data()?;
    if let Some(service) = ControlClient::connect(&data)? {
        if args.clear_alarm {
            return tell(&service.clear_alarm()?, output);
        }
        return match service.sync() {
            Ok(report) => tell(&report, output),
            // An alarm is something found, not a fault of ours.
            Err(EvidenceError::Refused { message, .. }) if stands(&service) => {
                eprintln!("{}", clean(&message));
                Ok(Exit::Found)
            }
            Err(error) => Err(error.into()),
        };
    }
    let Some(auditor) = &config.auditor else {
        return Err(BadInput(format!("{} has no [auditor] to sync with", config.file.display())).into());
    };
    if !data.join(LEDGER_FOLDER).is_dir() {
        return Err(
            BadInput(format!("{} holds no ledger; `picket run` or `picket check` makes one", data.display())).into()
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let uplink = uplink(&config, auditor, &data)?;
    if args.clear_alarm {
        let cleared = runtime.block_on(uplink.clear_alarm())?;
        return tell(&json!({ "cleared": cleared }), output);
    }
    match runtime.block_on(rounds(&uplink, args.once)) {
        Ok(report) => tell(&json!(report), output),
        Err(error @ SyncError::Alarm(_)) => {
            eprintln!("{}", clean(&error.full()));
            Ok(Exit::Found)
        }
        Err(error) => Err(error.into()),
    }
}

fn stands(service: &ControlClient) -> bool {
    service.sync_status().is_ok_and(|status| status.get("alarm").is_some_and(|alarm| !alarm.is_null()))
}

fn tell(value: &Value, output: Output) -> Answer {
    if output.json {
        print(safe_json(value))?;
    } else if let Some(cleared) = value.get("cleared") {
        print(if cleared.is_null() { "there was no alarm" } else { "the alarm is taken back" })?;
    } else {
        let number = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
        print(format_args!(
            "{} segments with {} entries sent; {} of {} entries acknowledged",
            number("segments"),
            number("entries"),
            number("acknowledged"),
            number("signed")
        ))?;
    }
    Ok(Exit::Done)
}

/// The way to the auditor for a ledger that no service holds.
fn uplink(config: &Config, auditor: &Auditor, data: &std::path::Path) -> anyhow::Result<Uplink> {
    let mut keys = keys::load_or_create(data, &config.edge.id)?;
    let mut options = Options::default();
    options.cache_bytes = config.ledger.cache;
    let (mut log, opened) = match Log::open(&data.join(LEDGER_FOLDER), &options) {
        Err(error @ StoreError::Locked { .. }) => {
            return Err(anyhow::Error::new(error).context("a service that holds the ledger does not answer"));
        }
        other => other?,
    };
    for repair in &opened.repaired {
        tracing::warn!(repair, "the ledger was mended");
    }
    keys.settle(&log.reader())?;
    sign_the_rest(&mut log, &keys)?;
    let reader = log.reader();
    let client = Client::new(&ClientOptions::from(auditor))?;
    let cosigner = CosignerKey::parse(&auditor.key).context("auditor.key")?;
    Ok(Uplink::new(reader, Arc::new(Mutex::new(log)), client, keys.keyring(), cosigner, CutLimits::default())?)
}

/// Signs what a crash left without a checkpoint; only what is under one can be sent.
fn sign_the_rest(log: &mut Log, keys: &keys::Keys) -> anyhow::Result<()> {
    let signed = log.reader().latest_checkpoint()?.map_or(0, |checkpoint| checkpoint.size);
    if log.size() > signed {
        let sign = |size: u64, root: &picket_ledger::Hash| {
            Checkpoint::new(keys.signing.name(), size, *root).sign(&keys.signing)
        };
        log.commit(Commit { checkpoint: Some(&sign), ..Commit::default() })?;
    }
    Ok(())
}

async fn rounds(uplink: &Uplink, once: bool) -> Result<crate::sync::Report, SyncError> {
    let mut failures = 0;
    loop {
        match uplink.round().await {
            Ok(report) => return Ok(report),
            Err(error) if once || !error.passes() => return Err(error),
            Err(error) => {
                failures += 1;
                let pause = pause_after(failures).min(Duration::from_secs(60));
                tracing::warn!("sync: {}; next try in {} s", error.full(), pause.as_secs().max(1));
                tokio::time::sleep(pause).await;
            }
        }
    }
}
