//! What stood behind a decision: the digests that its entry binds, and what the ledgers say about each.
//!
//! Links are walked both ways, with one limit. From a thing, along its own links: a model version leads to the slices it
//! was trained on. To a thing, from what speaks of it: evaluations, approvals, and the prompt libraries of some weights.
//! Not followed is what was *built from* it: another model that was trained on the same slice is no part of this
//! decision.

use std::collections::{BTreeSet, VecDeque};

use picket_ledger::Hash;
use picket_ledger::entry::{Body, Entry, RecordKind, Verdict};
use picket_ledger::hash::to_hex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock;
use crate::error::{AuditorError, Result};
use crate::index::{self, Index};
use crate::origin::Origin;
use crate::shelf::Shelf;

/// The most things of one chain.
const MAX_THINGS: usize = 256;

/// The most statements that are looked at for one thing.
const MAX_STATEMENTS: usize = 64;

/// One thing in the chain.
#[derive(Debug, Serialize, Deserialize)]
pub struct Thing {
    /// What it was to the decision: `weights`, `prompts`, `features`, `policy`, `guard <name>`; or the relation by which
    /// it hangs on another thing.
    pub role: String,
    /// The digest of the thing whose link led here; absent for those that the entry itself binds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub of: Option<String>,
    /// Its digest, in hexadecimal.
    pub digest: String,
    /// What the ledgers say about it, earliest first.
    pub statements: Vec<Statement>,
}

/// One entry that speaks of a thing.
#[derive(Debug, Serialize, Deserialize)]
pub struct Statement {
    /// In whose log.
    pub origin: String,
    /// At which place.
    pub index: u64,
    /// The kind of entry: `model-version`, `evaluation`, `approval`, `guard-load`, `config` and so on.
    pub kind: String,
    /// Its name and version, where it has them.
    pub name: String,
    /// `itself` when the entry is about the thing; otherwise the relation by which the entry refers to it.
    pub relation: String,
    /// When it was recorded, RFC 3339, by the clock of its box.
    pub time: String,
    /// Whether it was recorded after the decision, so that it cannot have stood behind it.
    pub later: bool,
    /// How often the same was said, by the index.
    pub times: u64,
    /// The body of the entry.
    pub entry: Value,
}

/// Walks from a verdict.
///
/// # Errors
/// Faults. Evidence that does not hold is added to `problems`.
pub(super) fn chain(
    shelf: &Shelf<'_>,
    index: Option<&Index>,
    origin: &Origin,
    entry: &Entry,
    verdict: &Verdict,
    problems: &mut Vec<String>,
) -> Result<Vec<Thing>> {
    let mut walk = Walk { shelf, index, origin, entry, seen: BTreeSet::new(), queue: VecDeque::new() };
    for (role, digest) in [("weights", verdict.weights), ("prompts", verdict.prompts), ("features", verdict.features)] {
        if let Some(digest) = digest {
            walk.reach(role.to_owned(), None, digest);
        }
    }
    walk.reach("policy".to_owned(), None, verdict.policy);
    for guard in &verdict.guards {
        walk.reach(format!("guard {}", guard.name), None, guard.component);
    }
    let mut things = Vec::new();
    while let Some((role, of, digest)) = walk.queue.pop_front() {
        if things.len() >= MAX_THINGS {
            problems.push(format!("the chain has more than {MAX_THINGS} things; the rest is left out"));
            break;
        }
        let statements = walk.statements(&digest, problems)?;
        things.push(Thing { role, of: of.map(|of| to_hex(&of)), digest: to_hex(&digest), statements });
    }
    Ok(things)
}

struct Walk<'a> {
    shelf: &'a Shelf<'a>,
    index: Option<&'a Index>,
    origin: &'a Origin,
    entry: &'a Entry,
    seen: BTreeSet<Hash>,
    queue: VecDeque<(String, Option<Hash>, Hash)>,
}

impl Walk<'_> {
    fn reach(&mut self, role: String, of: Option<Hash>, digest: Hash) {
        if self.seen.insert(digest) {
            self.queue.push_back((role, of, digest));
        }
    }

    fn statements(&mut self, digest: &Hash, problems: &mut Vec<String>) -> Result<Vec<Statement>> {
        let Some(index) = self.index else { return Ok(Vec::new()) };
        let found = index.find_digest(digest, MAX_STATEMENTS + 1)?;
        if found.len() > MAX_STATEMENTS {
            problems.push(format!("more than {MAX_STATEMENTS} entries speak of {}; the rest is left out", to_hex(digest)));
        }
        let mut kept: Vec<(u64, Statement)> = Vec::new();
        for place in found.iter().take(MAX_STATEMENTS) {
            match self.statement(digest, place) {
                Ok(Some(statement)) => kept.push(statement),
                Ok(None) => {}
                Err(error @ AuditorError::Evidence { .. }) => problems.push(error.to_string()),
                Err(other) => return Err(other),
            }
        }
        kept.sort_by(|a, b| (a.0, &a.1.origin, a.1.index).cmp(&(b.0, &b.1.origin, b.1.index)));
        Ok(kept.into_iter().map(|(_, statement)| statement).collect())
    }

    fn statement(&mut self, digest: &Hash, found: &index::Statement) -> Result<Option<(u64, Statement)>> {
        let place = &found.first;
        let entry = self.shelf.entry(&place.origin, place.first, place.index)?;
        let Some((relation, name)) = about(&entry.body, digest) else { return Ok(None) };
        if let Body::Record(record) = &entry.body {
            let built_from_it = record.kind == RecordKind::ModelVersion || record.kind == RecordKind::DatasetSlice;
            if relation != "itself" && built_from_it {
                return Ok(None);
            }
            if relation != "itself" {
                self.reach(record.kind.name().to_owned(), Some(*digest), record.digest);
            }
            for link in &record.links {
                self.reach(link.relation.clone(), Some(record.digest), link.digest);
            }
        }
        // Within one log, places decide; between logs there are only clocks.
        let later = if place.origin == *self.origin {
            entry.index > self.entry.index
        } else {
            entry.wall_ms > self.entry.wall_ms
        };
        let statement = Statement {
            origin: place.origin.to_string(),
            index: place.index,
            kind: entry.body.kind().name().to_owned(),
            name,
            relation,
            time: clock::rfc3339(entry.wall_ms),
            later,
            times: found.times,
            entry: super::as_json(&entry).get("body").cloned().unwrap_or(Value::Null),
        };
        Ok(Some((entry.wall_ms, statement)))
    }
}

/// How an entry speaks of a digest: the relation, and the name of what the entry is about. `None` when it does not.
fn about(body: &Body, digest: &Hash) -> Option<(String, String)> {
    match body {
        Body::Record(record) => {
            let relation = if record.digest == *digest {
                "itself".to_owned()
            } else {
                record.links.iter().find(|link| link.digest == *digest)?.relation.clone()
            };
            Some((relation, format!("{} {}", record.name, record.version).trim_end().to_owned()))
        }
        Body::GuardLoad(load) if load.component == *digest => {
            Some(("itself".to_owned(), format!("{} {}", load.name, load.guard_version)))
        }
        Body::Config(config) if config.digest == *digest => Some(("itself".to_owned(), "configuration".to_owned())),
        _ => None,
    }
}
