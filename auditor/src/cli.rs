//! The command line. Exit codes: 0 done; 1 the check found something; 2 bad input or configuration; 3 fault.

mod serve;
mod show;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use picket_ledger::receipt::CosignerKey;
use picket_store::StoreError;
use serde::Serialize;
use serde_json::json;

use crate::auditor::{Auditor, BoxList, summary};
use crate::boxes;
use crate::client;
use crate::config::Config;
use crate::durable::{self, Writer};
use crate::error::AuditorError;
use crate::origin::Origin;
use crate::own::Own;
use crate::trace::{self, Trace};
use crate::vault::Vault;
use crate::verify;

/// Takes in the signed segments of boxes, keeps them as evidence, and proves what it answers.
#[derive(Parser)]
#[command(name = "picket-auditor", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Common {
    /// The configuration file.
    #[arg(long, default_value = "auditor.toml", global = true)]
    config: PathBuf,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Make the auditor's signing key and print its public half, which boxes put into their configuration.
    Keygen {
        /// Make no key: print the public half of the one there is.
        #[arg(long)]
        public: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Take in segments over HTTP until SIGTERM or SIGINT.
    Serve {
        #[command(flatten)]
        common: Common,
    },
    /// Accept segments of a box from now on. Works beside a running server.
    Enrol {
        /// The name of the box: its edge id.
        #[arg(long)]
        origin: String,
        /// Its public key, `name+hash+base64`.
        #[arg(long, required_unless_present = "key_file", conflicts_with = "key_file")]
        key: Option<String>,
        /// A file with its public key.
        #[arg(long)]
        key_file: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// List the boxes and where they stand. Works beside a running server.
    Boxes {
        #[command(flatten)]
        common: Common,
    },
    /// Re-read all evidence: signatures, roots, continuity, missing invocations, incidents. Works beside a running server.
    Verify {
        /// One box alone.
        origin: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// One decision and everything that stood behind it, proven. Asks the running server if there is one.
    Trace {
        /// An inference id or a trace id.
        id: String,
        /// Read all evidence instead of trusting the index to know the id.
        #[arg(long)]
        scan: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Build the index anew from the evidence. The server must not run.
    Reindex {
        #[command(flatten)]
        common: Common,
    },
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match run(cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("picket-auditor: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(|cause| cause.downcast_ref::<AuditorError>()).map_or(3, AuditorError::exit_code)
}

fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Keygen { public, common } => keygen(&common, public),
        Command::Serve { common } => serve::serve(&Config::load(&common.config)?, common.json),
        Command::Enrol { origin, key, key_file, common } => enrol(&common, &origin, key, key_file),
        Command::Boxes { common } => list_boxes(&common),
        Command::Verify { origin, common } => verify_evidence(&common, origin.as_deref()),
        Command::Trace { id, scan, common } => trace_id(&common, &id, scan),
        Command::Reindex { common } => reindex(&common),
    }
}

fn keygen(common: &Common, public: bool) -> anyhow::Result<u8> {
    let config = Config::load(&common.config)?;
    let key = if public {
        crate::key::load(&config.key, &config.id)?
    } else {
        crate::key::generate(&config.key, &config.id)?
    };
    let cosigner = CosignerKey::of(&key);
    let value =
        json!({ "id": config.id.as_str(), "key": cosigner.to_string(), "ledger_key": key.verifier().to_string() });
    print(common, &value, || format!("{cosigner}\n"))?;
    Ok(0)
}

fn enrol(common: &Common, origin: &str, key: Option<String>, file: Option<PathBuf>) -> anyhow::Result<u8> {
    let config = Config::load(&common.config)?;
    let origin = Origin::parse(origin).map_err(|error| AuditorError::Input(format!("--origin: {error}")))?;
    let key = match (key, file) {
        (Some(key), _) => key,
        (None, Some(path)) => std::fs::read_to_string(&path)
            .map_err(|error| AuditorError::Input(format!("--key-file: {}: {error}", path.display())))?,
        (None, None) => return Err(AuditorError::Input("--key or --key-file is needed".into()).into()),
    };
    durable::create_folder(&config.data)?;
    // The entry in the auditor's own ledger is written by whoever holds it: a running server when it first hears of
    // the box, or we.
    let own = open_own(&config)?;
    let writer = Writer::open(&config.data, false)?;
    let vault = Vault::new(&config.data);
    let new = vault.boxes.enrol(&writer, &origin, &key)?;
    if let (Some(own), Some(key)) = (own, vault.boxes.key(&origin)?) {
        own.enrolment(&origin, &key).context("the box is enrolled, but the enrolment could not be recorded")?;
    }
    let value = json!({ "origin": origin.as_str(), "new": new });
    let word = if new { "enrolled" } else { "was enrolled already" };
    print(common, &value, || format!("{origin} {word}\n"))?;
    Ok(0)
}

fn list_boxes(common: &Common) -> anyhow::Result<u8> {
    let config = Config::load(&common.config)?;
    let vault = Vault::new(&config.data);
    let mut list = BoxList { boxes: Vec::new() };
    for origin in vault.boxes.enrolled()? {
        if let Some((state, _)) = vault.boxes.get(&origin, &vault.archive, &vault.incidents)? {
            list.boxes.push(summary(&boxes::lock(&state)));
        }
    }
    print(common, &list, || show::boxes(&list))?;
    Ok(0)
}

fn verify_evidence(common: &Common, origin: Option<&str>) -> anyhow::Result<u8> {
    let config = Config::load(&common.config)?;
    let key = crate::key::load(&config.key, &config.id)?;
    let vault = Vault::new(&config.data);
    let only =
        match origin {
            None => None,
            Some(name) => Some(vault.enrolled(name)?.ok_or_else(|| {
                AuditorError::Input(format!("no box {name:?} is enrolled in {}", config.data.display()))
            })?),
        };
    let never = AtomicBool::new(false);
    let mut verification = verify::verify(&vault, &CosignerKey::of(&key), only.as_ref(), &never)?;
    if only.is_none()
        && let Some(own) = open_own(&config)?
    {
        let own = own.verify()?;
        verification.verified &= own.problems.is_empty();
        verification.own = Some(own);
    }
    print(common, &verification, || show::verification(&verification))?;
    Ok(u8::from(!verification.verified))
}

fn trace_id(common: &Common, id: &str, scan: bool) -> anyhow::Result<u8> {
    let config = Config::load(&common.config)?;
    let never = AtomicBool::new(false);
    let trace = match Auditor::open(&config) {
        Ok(auditor) => {
            auditor.catch_up()?;
            auditor.trace(id, scan, &never)?
        }
        // The index is the server's. Without it there is still the evidence.
        Err(AuditorError::Store(StoreError::Locked { .. })) if scan => {
            let vault = Vault::new(&config.data);
            trace::trace(&vault, None, true, id, config.limits.matches, &never)?
        }
        Err(AuditorError::Store(StoreError::Locked { .. })) => {
            let path = format!("/v1/trace/{}", client::encode(id));
            let body = client::get(&config.data, &path, config.limits.deadline)?;
            serde_json::from_str::<Trace>(&body).context("the answer of the running auditor")?
        }
        Err(error) => return Err(error.into()),
    };
    print(common, &trace, || show::trace(&trace))?;
    Ok(u8::from(!trace.verified))
}

fn reindex(common: &Common) -> anyhow::Result<u8> {
    let config = Config::load(&common.config)?;
    let entries = Auditor::open(&config)?.reindex()?;
    print(common, &json!({ "entries": entries }), || format!("{entries} entries indexed\n"))?;
    Ok(0)
}

/// The auditor's own ledger, or `None` while another process has it.
fn open_own(config: &Config) -> Result<Option<Own>, AuditorError> {
    let key = crate::key::load(&config.key, &config.id)?;
    match Own::open(&config.data, key) {
        Ok(own) => Ok(Some(own)),
        Err(AuditorError::Store(StoreError::Locked { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

fn print<T: Serialize>(common: &Common, value: &T, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    let out = if common.json { format!("{}\n", serde_json::to_string(value)?) } else { text() };
    match std::io::stdout().write_all(out.as_bytes()) {
        // `| head` is no fault of ours.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
