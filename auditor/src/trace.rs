//! `trace ID`: one decision and everything that stood behind it, from the evidence itself.
//!
//! The index says where to look. Each segment that it names is read, verified against the key of its box, and asked
//! whether it really says so; each decision is proven against the latest checkpoint of its box. What the index gets
//! wrong is left out and told; what it does not know is not found, which `--scan` helps against.

mod chain;
mod scan;

use std::sync::atomic::{AtomicBool, Ordering};

use picket_ledger::bundle::Bundle;
use picket_ledger::entry::{Body, Entry, Verdict};
use picket_ledger::hash::{leaf_hash, to_hex};
use picket_ledger::{Hash, KeyChain, tree};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock;
use crate::error::{AuditorError, Result};
use crate::index::{IdKind, Index, Place};
use crate::shelf::{SegmentNodes, Shelf};
use crate::vault::Vault;

use chain::Library;
pub use chain::{Statement, Thing};

/// The answer to `trace ID`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Trace {
    /// The inference id or trace id that was asked for.
    pub id: String,
    /// The decisions with that id, in the order of box and entry.
    pub matches: Vec<Match>,
    /// Whether there are more than were looked at.
    pub cut: bool,
    /// Where evidence does not say what the index says, or does not hold.
    pub problems: Vec<String>,
    /// Whether there is at least one decision and all is proven.
    pub verified: bool,
}

/// One decision.
#[derive(Debug, Serialize, Deserialize)]
pub struct Match {
    /// The box that decided.
    pub origin: String,
    /// Whether that box has signed contradictory statements; see `boxes`.
    pub disputed: bool,
    /// The number of the entry in its log.
    pub index: u64,
    /// `inference` or `trace`: what the id is of this decision.
    pub matched: String,
    /// When it was recorded, RFC 3339, by the clock of the box.
    pub time: String,
    /// `allow`, `flag`, `redact` or `block`.
    pub decision: String,
    /// The entry, as it stands in the log.
    pub entry: Value,
    /// What stood behind it.
    pub chain: Vec<Thing>,
    /// The proof.
    pub proof: Proof,
    /// What does not hold, in words; empty when all does.
    pub problems: Vec<String>,
    /// Whether the proof holds and nothing is a problem.
    pub verified: bool,
}

/// The proof that the entry is in the log that the box signed and the auditor holds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Proof {
    /// The evidence file, relative to the data folder.
    pub evidence: String,
    /// The leaf hash of the entry, in hexadecimal.
    pub leaf: String,
    /// The number of entries that the checkpoint covers.
    pub size: u64,
    /// Its root, in hexadecimal.
    pub root: String,
    /// The latest checkpoint of the box, with the auditor's cosignature where a receipt was given.
    pub checkpoint: String,
    /// The proof as a C2SP `.tlog-proof` with the entry in it: `picket verify` and others check it offline.
    pub bundle: String,
}

/// Traces an id. With an index it is looked up, unless `scan` is set; otherwise all evidence is read. Without an index
/// the chain has no statements.
///
/// # Errors
/// [`AuditorError::Cancelled`] when `cancel` is set; faults. Evidence that does not hold is part of the answer.
pub fn trace(
    vault: &Vault,
    index: Option<&Index>,
    scan: bool,
    id: &str,
    limit: usize,
    cancel: &AtomicBool,
) -> Result<Trace> {
    let mut problems = Vec::new();
    let mut places = Vec::new();
    match index.filter(|_| !scan) {
        Some(index) => {
            for (kind, word) in [(IdKind::Inference, "inference"), (IdKind::Trace, "trace")] {
                places.extend(index.find_id(kind, id, limit)?.into_iter().map(|place| (place, word)));
            }
        }
        None => places = scan::places(vault, id, limit, cancel, &mut problems)?,
    }
    places.sort();
    places.dedup_by(|later, earlier| later.0 == earlier.0);
    let cut = places.len() > limit;
    places.truncate(limit);
    let shelf = Shelf::new(&vault.archive, &vault.boxes);
    let mut library = Library::new(&shelf, index, cancel);
    let mut matches = Vec::new();
    for (place, word) in places {
        if cancel.load(Ordering::Relaxed) {
            return Err(AuditorError::Cancelled);
        }
        match one(vault, &shelf, index, &mut library, &place, word, id) {
            Ok(found) => matches.extend(found),
            Err(error @ AuditorError::Evidence { .. }) => problems.push(error.to_string()),
            Err(other) => return Err(other),
        }
    }
    let verified = !matches.is_empty() && problems.is_empty() && matches.iter().all(|found| found.verified);
    Ok(Trace { id: id.to_owned(), matches, cut, problems, verified })
}

fn one(
    vault: &Vault,
    shelf: &Shelf<'_>,
    index: Option<&Index>,
    library: &mut Library<'_>,
    place: &Place,
    word: &str,
    id: &str,
) -> Result<Option<Match>> {
    let entry = shelf.entry(&place.origin, place.first, place.index)?;
    let Body::Verdict(verdict) = &entry.body else { return Ok(None) };
    // The index hashes ids; only the evidence says whose this is.
    if !names(verdict, id) {
        return Ok(None);
    }
    let mut problems = Vec::new();
    let proof = prove(vault, shelf, index, place, &mut problems)?;
    let chain = chain::chain(library, &place.origin, &entry, verdict, &mut problems)?;
    let disputed = vault.incidents.of(&place.origin)?.iter().any(|report| report.kind.disputes());
    Ok(Some(Match {
        origin: place.origin.to_string(),
        disputed,
        index: place.index,
        matched: word.to_owned(),
        time: clock::rfc3339(entry.wall_ms),
        decision: verdict.decision.name().to_owned(),
        entry: as_json(&entry),
        chain,
        proof,
        verified: problems.is_empty(),
        problems,
    }))
}

/// Whether a verdict is about this inference or of this trace.
fn names(verdict: &Verdict, id: &str) -> bool {
    verdict.inference_id == id || verdict.trace_id.as_deref() == Some(id)
}

fn prove(
    vault: &Vault,
    shelf: &Shelf<'_>,
    index: Option<&Index>,
    place: &Place,
    problems: &mut Vec<String>,
) -> Result<Proof> {
    let known = shelf.known(&place.origin)?;
    let bytes = shelf.entry_bytes(&place.origin, place.first, place.index)?;
    let head = &known.head;
    let receipt = match head.last_first {
        Some(first) => vault.archive.receipt(&place.origin, first)?,
        None => None,
    };
    let checkpoint = receipt.or_else(|| head.checkpoint.clone()).unwrap_or_default();
    let mut bundle = Bundle { entry: Some(bytes.clone()), index: place.index, proof: Vec::new(), checkpoint };
    let (mut size, mut root) = (head.size, head.root);
    // Nodes from the index first; if they do not lead to the signed root, they are wrong, and the evidence decides.
    let mut outcome = Err(String::new());
    // A key that came later says nothing of this entry: then its own segment proves it.
    let later = known.keys.key_for(place.index, head.size).is_err();
    for source in [index, None].into_iter().filter(|_| !later) {
        let nodes = shelf.nodes(&place.origin, source);
        outcome = check(&mut bundle, tree::inclusion_proof(&nodes, place.index, size), &known.keys);
        if outcome.is_ok() {
            break;
        }
    }
    if let Err(why) = outcome {
        if !later {
            problems.push(format!("not proven against the latest checkpoint of {}: {why}", place.origin));
        }
        // Its own segment proves it all the same, under the checkpoint that came with it.
        let held = shelf.segment(&place.origin, place.first)?;
        let own = &held.verified.checkpoint;
        (size, root) = (own.checkpoint.size, own.checkpoint.root);
        bundle.checkpoint = vault.archive.receipt(&place.origin, place.first)?.unwrap_or_else(|| own.text.clone());
        let path = tree::inclusion_proof(&SegmentNodes::new(held), place.index, size);
        if let Err(why) = check(&mut bundle, path, &known.keys) {
            problems.push(format!("not proven against the checkpoint of its segment: {why}"));
        }
    }
    Ok(Proof {
        evidence: format!("ev/{}/{}", place.origin, crate::archive::number_name(place.first)),
        leaf: to_hex(&leaf_hash(&bytes)),
        size,
        root: to_hex(&root),
        checkpoint: bundle.checkpoint.clone(),
        bundle: bundle.encode(),
    })
}

/// Puts a proof into a bundle and verifies the bundle, as whoever gets it will.
fn check(
    bundle: &mut Bundle,
    path: Result<Vec<Hash>, tree::TreeError<AuditorError>>,
    keys: &KeyChain,
) -> Result<(), String> {
    bundle.proof = path.map_err(|error| crate::words(&error))?;
    keys.verify_bundle(bundle).map(|_| ()).map_err(|error| crate::words(&error))
}

/// An entry as JSON, with digests in hexadecimal and documents as JSON where they are.
fn as_json(entry: &Entry) -> Value {
    let mut value = serde_json::to_value(entry).unwrap_or(Value::Null);
    open_documents(&mut value);
    value
}

fn open_documents(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(text)) = object.get("document") {
                if let Ok(inner) = serde_json::from_str(text) {
                    object.insert("document".into(), inner);
                }
            } else {
                object.values_mut().for_each(open_documents);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(open_documents),
        _ => {}
    }
}
