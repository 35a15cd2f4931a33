//! `picket guard verify`: whether a component is what somebody signed, and whether a box would let it in.

use super::describe::{describe, read};
use crate::cli::{Answer, BadInput, Exit, Output, print};
use crate::config::{self, Key, Rule, Trust, TrustedKey, Unsigned};
use crate::guards::{self, List, Signatures, Statement, Vouched, vouch};
use picket_ledger::hash::to_hex;
use picket_ledger::note::VerifyingKey;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The component; its signatures lie beside it.
    component: PathBuf,
    /// Hold it against the trust policy of this configuration.
    #[arg(long, default_value = "picket.toml", value_name = "FILE", conflicts_with = "key")]
    config: PathBuf,
    /// The name of the guard in the configuration, whose rule counts. Without it, the rule for all guards.
    #[arg(long, value_name = "NAME", conflicts_with = "key")]
    guard: Option<String>,
    /// A public key that must have signed it, as `picket guard keygen` prints it; may be given several times.
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let (trust, revoked) = policy(args)?;
    let wasm = read(&args.component)?;
    let signatures = Signatures::beside(&args.component)
        .map_err(|(path, error)| BadInput(format!("{}: {error}", path.display())))?;
    let name = args.guard.as_deref().unwrap_or("*");
    let verified = vouch(&trust, name, &wasm, &signatures, &revoked).map_err(|refusal| refusal.to_string());
    let verified = match verified {
        Ok(vouched) => confirm(args, &wasm, &vouched)?.map_or(Ok(vouched), Err),
        Err(refusal) => Err(refusal),
    };
    let path = args.component.display();
    match &verified {
        Ok(vouched) => {
            let signers = vouched.signers();
            if output.json {
                print(serde_json::json!({
                    "verified": true, "component": to_hex(vouched.component()), "signers": signers,
                    "statement": vouched.signed.map(|hash| to_hex(&hash)), "admitted": vouched.admitted(),
                }))?;
            } else {
                print(format_args!("VERIFIED  {path} is signed by {} ({})", signers.join(", "), vouched.admitted()))?;
            }
            Ok(Exit::Done)
        }
        Err(refusal) => {
            if output.json {
                print(serde_json::json!({ "verified": false, "reason": refusal }))?;
            } else {
                print(format_args!("REFUSED   {path}: {refusal}"))?;
            }
            Ok(Exit::Found)
        }
    }
}

fn policy(args: &Args) -> anyhow::Result<(Trust, List)> {
    if args.key.is_empty() {
        let config = config::load(&args.config)?;
        if let Some(name) = &args.guard {
            let mut known = config
                .guards
                .iter()
                .map(|guard| &guard.name)
                .chain(config.detectors.iter().map(|detector| &detector.name));
            if !known.any(|known| known == name) {
                return Err(BadInput(format!("--guard: no guard or detector is called `{name}`")).into());
            }
        }
        let revoked = guards::revoked(&config).map_err(|error| BadInput(error.to_string()))?;
        // The question is who signed it; that unsigned guards run on this box all the same is no answer to it.
        return Ok((Trust { unsigned: Unsigned::Refuse, ..config.trust }, revoked));
    }
    let mut keys = Vec::new();
    for text in &args.key {
        let key = VerifyingKey::parse(text).map_err(|error| BadInput(format!("--key {text}: {error}")))?;
        keys.push(TrustedKey { name: key.name_and_id(), key: Key::Note(key) });
    }
    let all_of = keys.iter().map(|key| key.name.clone()).collect();
    let rules = vec![Rule { guards: None, any_of: Vec::new(), all_of }];
    Ok((Trust { keys, rules, ..Trust::default() }, List::default()))
}

/// Loads the component, now that it is known whose it is, and holds what it says of itself against what was signed.
fn confirm(args: &Args, wasm: &[u8], vouched: &Vouched) -> anyhow::Result<Option<String>> {
    let Some(signed) = &vouched.statement else { return Ok(None) };
    let (world, descriptor) = describe(&args.component, wasm)?;
    let found = Statement::of(wasm, world, &descriptor).map_err(|error| BadInput(error.to_string()))?;
    Ok(signed.difference(&found).map(|field| guards::Refusal::Difference(field).to_string()))
}
