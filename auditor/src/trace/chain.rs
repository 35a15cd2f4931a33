//! What stood behind a decision: the digests that its entry binds, and what the ledgers say about each.
//!
//! Links are walked both ways, with one limit. From a thing, along its own links: a model version leads to the slices it
//! was trained on. To a thing, from what speaks of it: evaluations, approvals, and the prompt libraries of some weights.
//! Not followed is what was *built from* it: another model that was trained on the same slice is no part of this
//! decision.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use picket_ledger::Hash;
use picket_ledger::entry::{Body, Entry, RecordKind, Verdict};
use picket_ledger::hash::to_hex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock;
use crate::error::{AuditorError, Result};
use crate::index::{Index, Place};
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

/// The entries that speak of things, read once for all decisions of one answer.
pub(super) struct Library<'a> {
    shelf: &'a Shelf<'a>,
    index: Option<&'a Index>,
    cancel: &'a AtomicBool,
    read: BTreeMap<Hash, Rc<Shelved>>,
}

/// What is said of one thing, earliest first, and what did not hold while it was read.
struct Shelved {
    entries: Vec<(Place, Entry, u64)>,
    problems: Vec<String>,
}

impl<'a> Library<'a> {
    /// An empty one. Without an index it stays so.
    pub(super) fn new(shelf: &'a Shelf<'a>, index: Option<&'a Index>, cancel: &'a AtomicBool) -> Self {
        Self { shelf, index, cancel, read: BTreeMap::new() }
    }

    fn about(&mut self, digest: &Hash) -> Result<Rc<Shelved>> {
        if let Some(shelved) = self.read.get(digest) {
            return Ok(Rc::clone(shelved));
        }
        let mut shelved = Shelved { entries: Vec::new(), problems: Vec::new() };
        let mut found = match self.index {
            Some(index) => index.find_digest(digest, MAX_STATEMENTS + 1)?,
            None => Vec::new(),
        };
        if found.len() > MAX_STATEMENTS {
            found.truncate(MAX_STATEMENTS);
            let digest = to_hex(digest);
            shelved
                .problems
                .push(format!("more than {MAX_STATEMENTS} entries speak of {digest}; the rest is left out"));
        }
        for statement in found {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(AuditorError::Cancelled);
            }
            let place = statement.first;
            match self.shelf.entry(&place.origin, place.first, place.index) {
                Ok(entry) => shelved.entries.push((place, entry, statement.times)),
                Err(error @ AuditorError::Evidence { .. }) => shelved.problems.push(error.to_string()),
                Err(other) => return Err(other),
            }
        }
        shelved.entries.sort_by(|a, b| (a.1.wall_ms, &a.0).cmp(&(b.1.wall_ms, &b.0)));
        let shelved = Rc::new(shelved);
        self.read.insert(*digest, Rc::clone(&shelved));
        Ok(shelved)
    }
}

/// Walks from a verdict.
///
/// # Errors
/// Faults. Evidence that does not hold is added to `problems`.
pub(super) fn chain(
    library: &mut Library<'_>,
    origin: &Origin,
    entry: &Entry,
    verdict: &Verdict,
    problems: &mut Vec<String>,
) -> Result<Vec<Thing>> {
    let mut walk = Walk { origin, entry, seen: BTreeSet::new(), queue: VecDeque::new() };
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
        let shelved = library.about(&digest)?;
        problems.extend(shelved.problems.iter().cloned());
        let statements = shelved.entries.iter().filter_map(|said| walk.statement(&digest, said)).collect();
        things.push(Thing { role, of: of.map(|of| to_hex(&of)), digest: to_hex(&digest), statements });
    }
    Ok(things)
}

struct Walk<'a> {
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

    /// What one entry says of a thing, and the things that it leads to. `None` when the index was wrong about it, or
    /// when it speaks of something that was built from the thing.
    fn statement(&mut self, digest: &Hash, (place, entry, times): &(Place, Entry, u64)) -> Option<Statement> {
        let (relation, name) = about(&entry.body, digest)?;
        if let Body::Record(record) = &entry.body {
            let built_from_it = record.kind == RecordKind::ModelVersion || record.kind == RecordKind::DatasetSlice;
            if relation != "itself" && built_from_it {
                return None;
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
        Some(Statement {
            origin: place.origin.to_string(),
            index: place.index,
            kind: entry.body.kind().name().to_owned(),
            name,
            relation,
            time: clock::rfc3339(entry.wall_ms),
            later,
            times: *times,
            entry: super::as_json(entry).get("body").cloned().unwrap_or(Value::Null),
        })
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
