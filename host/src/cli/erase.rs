//! `picket erase`: removes payloads for good.

use std::ops::Range;

use picket_ledger::Entry;
use picket_ledger::entry::Body;
use picket_store::lookup::Id;
use serde_json::json;

use super::ledger::{LedgerArgs, find_entry};
use super::text::safe_json;
use super::{Answer, BadInput, Exit, Output, print};
use crate::evidence::{ControlClient, Evidence, Query, Selection};
use crate::sequencer::{Erased, MAX_ERASE_INVOCATIONS, MAX_ERASE_RANGES, Sequencer};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    ledger: LedgerArgs,
    /// Whose payloads: entry indexes, `#` and an invocation, or inference or trace ids (every verdict with that id).
    #[arg(value_name = "ID", required_unless_present = "older_than")]
    ids: Vec<String>,
    /// Payloads of all verdicts older than this: `30d`, `12h`.
    #[arg(long, value_name = "AGE", conflicts_with = "ids")]
    older_than: Option<String>,
    /// Why; stands in the ledger.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let data = args.ledger.data()?;
    let ranges = {
        // Closed again before it is opened for writing.
        let evidence = args.ledger.evidence()?;
        match &args.older_than {
            Some(age) => older_than(&evidence, age)?,
            None => named(&evidence, &args.ids)?,
        }
    };
    let mut erased = Erased { payloads: 0, entries: Vec::new() };
    for ranges in pieces(&ranges) {
        let piece = match ControlClient::connect(&data)? {
            Some(service) => service.erase(&ranges, &args.reason)?,
            None => locally(args, ranges)?,
        };
        erased.payloads += piece.payloads;
        erased.entries.extend(piece.entries);
    }
    if output.json {
        print(safe_json(&json!(erased)))?;
    } else {
        let entries: Vec<_> = erased.entries.iter().map(ToString::to_string).collect();
        print(format_args!("erased {} payloads; recorded in entry {}", erased.payloads, entries.join(", ")))?;
        print(
            "the journal overwrites its last copies of them with the next 8 MiB of commits; copies elsewhere are yours to find",
        )?;
    }
    Ok(Exit::Done)
}

/// Every verdict that is meant by these names.
fn named(evidence: &Evidence, ids: &[String]) -> anyhow::Result<Vec<Range<u64>>> {
    let mut invocations = Vec::new();
    for id in ids {
        // Also for an id: it says when there is none.
        let found = find_entry(evidence, id)?;
        match &found.entry.body {
            Body::Verdict(verdict) => invocations.push(verdict.invocation),
            other => {
                let message = format!("{id}: entry {} is a {}, which has no payload", found.index, other.kind().name());
                return Err(BadInput(message).into());
            }
        }
        if let Query::Inference(name) = Query::parse(id) {
            // All of them: `found` names a hundred others at most.
            let mut query = Selection::default();
            query.id = Some(Id::Text(name));
            for hit in evidence.select(query, usize::MAX) {
                invocations.extend(invocation(&hit?.bytes));
            }
        }
    }
    invocations.sort_unstable();
    invocations.dedup();
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for invocation in invocations {
        match ranges.last_mut() {
            Some(last) if last.end == invocation => last.end += 1,
            _ => ranges.push(invocation..invocation + 1),
        }
    }
    Ok(ranges)
}

fn invocation(entry: &[u8]) -> Option<u64> {
    match Entry::decode(entry).ok()?.body {
        Body::Verdict(verdict) => Some(verdict.invocation),
        _ => None,
    }
}

/// Everything up to the newest verdict that is older.
fn older_than(evidence: &Evidence, age: &str) -> anyhow::Result<Vec<Range<u64>>> {
    let age = crate::config::duration(age).map_err(|error| BadInput(format!("--older-than: {error}")))?;
    let cutoff = jiff::Timestamp::now().as_millisecond().saturating_sub(i64::try_from(age.as_millis())?);
    let mut bounds: Option<(u64, u64)> = None;
    for entry in evidence.entries(0..evidence.head()?.size) {
        let Ok(entry) = Entry::decode(&entry?.1) else { continue };
        if i64::try_from(entry.wall_ms)? >= cutoff {
            break;
        }
        if let Body::Verdict(verdict) = entry.body {
            let (low, high) = bounds.unwrap_or((verdict.invocation, verdict.invocation));
            bounds = Some((low.min(verdict.invocation), high.max(verdict.invocation)));
        }
    }
    match bounds {
        Some((low, high)) => Ok(std::iter::once(low..high + 1).collect()),
        None => Err(BadInput("--older-than: no verdict in this ledger is that old".into()).into()),
    }
}

/// As much as can be erased at a time.
fn pieces(ranges: &[Range<u64>]) -> Vec<Vec<Range<u64>>> {
    let mut pieces: Vec<Vec<Range<u64>>> = Vec::new();
    let mut room = 0;
    for range in ranges {
        let mut start = range.start;
        while start < range.end {
            if room == 0 || pieces.last().is_none_or(|piece| piece.len() >= MAX_ERASE_RANGES) {
                pieces.push(Vec::new());
                room = MAX_ERASE_INVOCATIONS;
            }
            let end = range.end.min(start + room);
            if let Some(piece) = pieces.last_mut() {
                piece.push(start..end);
            }
            room -= end - start;
            start = end;
        }
    }
    pieces
}

/// Opens the ledger as the service would.
fn locally(args: &Args, ranges: Vec<Range<u64>>) -> anyhow::Result<Erased> {
    let config = args.ledger.load()?;
    let keys = crate::keys::load_or_create(&config.edge.data, &config.edge.id)?;
    let (sequencer, writer, _) = Sequencer::open(&config.edge.data, &config.edge, &config.ledger, keys)?;
    let erased = sequencer.erase_blocking(ranges, &args.reason);
    writer.stop();
    Ok(erased?)
}
