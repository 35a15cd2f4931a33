//! `picket show`: one entry in full.

use picket_ledger::entry::{Body, Verdict};
use serde_json::{Value, json};

use super::ledger::{LedgerArgs, find_entry};
use super::text::{Lines, entry_json, outline};
use super::{Answer, Exit, Output};
use crate::evidence::{Evidence, PayloadCheck};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    ledger: LedgerArgs,
    /// An inference id, the index of an entry, or #n for invocation n. An id of digits alone: id:17.
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let evidence = args.ledger.evidence()?;
    let found = find_entry(&evidence, &args.id)?;
    let mut value = entry_json(&found.entry, &found.bytes)?;
    let mut exit = Exit::Done;
    if let Value::Object(members) = &mut value {
        if !found.others.is_empty() {
            members.insert("older_verdicts".to_owned(), json!(found.others));
        }
        if let Body::Verdict(verdict) = &found.entry.body {
            let (payload, check) = payload(&evidence, verdict)?;
            if check == Some(PayloadCheck::Differs) {
                exit = Exit::Found;
            }
            members.insert("payload".to_owned(), payload);
        }
    }
    let mut lines = Lines::new();
    if output.json {
        lines.json(&value)?;
    } else {
        outline(&value, 0, &mut lines)?;
    }
    lines.end()?;
    if exit == Exit::Found {
        eprintln!("the stored payload is not the one that this entry committed to: it was altered");
    }
    Ok(exit)
}

/// What is kept of the payload, and whether it is the one that was judged.
pub(super) fn payload(evidence: &Evidence, verdict: &Verdict) -> anyhow::Result<(Value, Option<PayloadCheck>)> {
    let Some(stored) = evidence.payload(verdict.invocation)? else {
        return Ok((json!({ "kept": false, "commitment": "nothing is stored, not even the salt" }), None));
    };
    let check = stored.check(verdict.invocation, &verdict.payload);
    let mut shown = json!({ "kept": stored.payload.is_some(), "commitment": check.name() });
    if let (Some(payload), Value::Object(members)) = (&stored.payload, &mut shown) {
        let content = serde_json::from_slice(payload)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(payload).into_owned()));
        members.insert("bytes".to_owned(), json!(payload.len()));
        members.insert("content".to_owned(), content);
    }
    Ok((shown, Some(check)))
}
