//! Everything that stood behind one decision.
//!
//! One pass over the ledger gathers what can be linked (records, guard loads, configurations, drift
//! alarms), without documents; then the links are walked from the digests in the verdict, both ways:
//!
//! ```text
//! verdict ── weights ──► model-version ── trained-on ──► dataset-slice
//!    │           ▲  ▲                                        ▲
//!    │     model │  │ weights                          slice │
//!    │      evaluation · prompt-library         evaluation ──┘
//!    ├── prompts ──► prompt-library
//!    ├── features ─► feature-definition
//!    ├── policy ───► config
//!    └── guards ───► guard-load
//!                     approval ── subject ──► any of these
//! ```

use std::collections::{BTreeMap, BTreeSet};

use picket_ledger::Hash;
use picket_ledger::entry::{Body, Drift, GuardLoad, Header, Kind, Record, RecordKind, Source, Verdict};
use picket_ledger::hash::to_hex;
use serde::Serialize;

use super::find::decode;
use super::{Evidence, EvidenceError};

/// Records in one chain; more are counted, not shown.
const MAX_RECORDS: usize = 1000;

/// What stood behind one verdict.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Chain {
    /// The configuration in force, if it was recorded.
    pub config: Option<ChainConfig>,
    /// The guards that judged, in their order in the verdict.
    pub guards: Vec<ChainGuard>,
    /// Records, those in force at the verdict first, then later ones; by index within each.
    pub records: Vec<ChainRecord>,
    /// Records beyond the limit.
    pub omitted: usize,
    /// Drift alarms of the model that were open at the verdict.
    pub drift: Vec<DriftAlarm>,
    /// Digests in the verdict that no record says anything about.
    pub unexplained: Vec<Unexplained>,
}

/// The entry of a configuration.
#[derive(Debug, Clone, Serialize)]
pub struct ChainConfig {
    /// Its entry.
    pub index: u64,
    /// Digest, in hexadecimal.
    pub digest: String,
}

/// A guard in the verdict, and the entry that says which one it was.
#[derive(Debug, Clone, Serialize)]
pub struct ChainGuard {
    /// Name in the configuration.
    pub name: String,
    /// SHA-256 of the component, in hexadecimal.
    pub component: String,
    /// SHA-256 of its settings, in hexadecimal.
    pub settings: String,
    /// Entry of its last load before the verdict.
    pub load: Option<u64>,
    /// The version that it gives itself.
    pub version: Option<String>,
    /// The keys, `name+id`, whose signatures over it were verified at that load.
    pub signers: Vec<String>,
    /// The rule of the trust policy that let it in then.
    pub admitted: Option<String>,
}

/// A record that is linked with the verdict.
#[derive(Debug, Clone, Serialize)]
pub struct ChainRecord {
    /// Its entry.
    pub index: u64,
    /// Whether it stood in the ledger before the verdict.
    pub before: bool,
    /// How it belongs to the verdict, such as `weights` or `evaluation of the weights`.
    pub why: String,
    /// Kind of record.
    pub kind: RecordKind,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its digest, in hexadecimal.
    pub digest: String,
    /// Observed by the box or recorded by people.
    pub source: Source,
    /// When it was recorded, milliseconds since 1970.
    pub wall_ms: u64,
    /// The document: JSON if it is, else text.
    pub document: serde_json::Value,
}

/// An alarm that was open.
#[derive(Debug, Clone, Serialize)]
pub struct DriftAlarm {
    /// Entry that opened it.
    pub index: u64,
    /// Detector.
    pub detector: String,
    /// What it watches.
    pub stream: String,
    /// Rule.
    pub rule: String,
    /// Severity, 0 to 4.
    pub severity: u8,
    /// Its words.
    pub message: String,
}

/// A digest without a record.
#[derive(Debug, Clone, Serialize)]
pub struct Unexplained {
    /// Which digest of the verdict.
    pub what: &'static str,
    /// In hexadecimal.
    pub digest: String,
}

/// Walks the ledger for what stood behind the verdict at entry `at`.
///
/// # Errors
/// [`EvidenceError`].
pub fn trace(evidence: &Evidence, at: u64, verdict: &Verdict) -> Result<Chain, EvidenceError> {
    let gathered = Gathered::read(evidence, at, verdict)?;
    let mut linked: Vec<(usize, String)> = walk(&gathered.records, verdict).into_iter().collect();
    linked.sort_by_key(|(position, _)| {
        let index = gathered.records[*position].index;
        (index > at, index)
    });
    let omitted = linked.len().saturating_sub(MAX_RECORDS);
    linked.truncate(MAX_RECORDS);
    let mut records = Vec::with_capacity(linked.len());
    for (position, why) in linked {
        records.push(gathered.records[position].show(evidence, at, why)?);
    }
    let explained: BTreeSet<&str> = records.iter().map(|record| record.digest.as_str()).collect();
    let unexplained = [("weights", verdict.weights), ("prompts", verdict.prompts), ("features", verdict.features)]
        .into_iter()
        .filter_map(|(what, digest)| Some((what, to_hex(&digest?))))
        .filter(|(_, digest)| !explained.contains(digest.as_str()))
        .map(|(what, digest)| Unexplained { what, digest })
        .collect();
    Ok(Chain { config: gathered.config, guards: gathered.guards, records, omitted, drift: gathered.drift, unexplained })
}

/// A record without its document.
struct Linkable {
    index: u64,
    wall_ms: u64,
    record: Record,
}

impl Linkable {
    fn links_to(&self, relation: &str, digests: &BTreeSet<Hash>) -> bool {
        self.record.links.iter().any(|link| link.relation == relation && digests.contains(&link.digest))
    }

    fn targets(&self, relation: &'static str) -> impl Iterator<Item = Hash> {
        self.record.links.iter().filter(move |link| link.relation == relation).map(|link| link.digest)
    }

    fn show(&self, evidence: &Evidence, at: u64, why: String) -> Result<ChainRecord, EvidenceError> {
        let text = match evidence.entry(self.index)?.map(|bytes| decode(self.index, &bytes)).transpose()? {
            Some(entry) => match entry.body {
                Body::Record(record) => record.document,
                _ => String::new(),
            },
            None => String::new(),
        };
        let record = &self.record;
        Ok(ChainRecord {
            index: self.index,
            before: self.index < at,
            why,
            kind: record.kind,
            name: record.name.clone(),
            version: record.version.clone(),
            digest: to_hex(&record.digest),
            source: record.source,
            wall_ms: self.wall_ms,
            document: serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)),
        })
    }
}

#[derive(Default)]
struct Gathered {
    records: Vec<Linkable>,
    config: Option<ChainConfig>,
    guards: Vec<ChainGuard>,
    drift: Vec<DriftAlarm>,
}

impl Gathered {
    fn read(evidence: &Evidence, at: u64, verdict: &Verdict) -> Result<Self, EvidenceError> {
        let mut gathered = Self { guards: guards_of(verdict), ..Self::default() };
        let mut open: BTreeMap<[String; 3], DriftAlarm> = BTreeMap::new();
        for next in evidence.entries(0..u64::MAX) {
            let (index, bytes) = next?;
            let skipped = match Header::read(&bytes).map(|header| header.kind) {
                Ok(Kind::Verdict | Kind::Heartbeat) => true,
                // Only records count after the verdict.
                Ok(Kind::Drift | Kind::GuardLoad | Kind::Config) => index >= at,
                _ => false,
            };
            if skipped {
                continue;
            }
            let entry = decode(index, &bytes)?;
            match entry.body {
                Body::Record(mut record) => {
                    record.document = String::new();
                    gathered.records.push(Linkable { index, wall_ms: entry.wall_ms, record });
                }
                Body::GuardLoad(load) => gathered.guard_load(index, &load),
                Body::Config(config) if config.digest == verdict.policy => {
                    gathered.config = Some(ChainConfig { index, digest: to_hex(&config.digest) });
                }
                Body::Drift(drift) if drift.model == verdict.model => drift_alarm(&mut open, index, drift),
                _ => (),
            }
        }
        gathered.drift = open.into_values().collect();
        gathered.drift.sort_by_key(|alarm| alarm.index);
        Ok(gathered)
    }

    fn guard_load(&mut self, index: u64, load: &GuardLoad) {
        let (component, settings) = (to_hex(&load.component), to_hex(&load.settings));
        for guard in self.guards.iter_mut().filter(|guard| guard.component == component && guard.settings == settings) {
            guard.load = Some(index);
            guard.version = Some(load.guard_version.clone());
            guard.signers.clone_from(&load.signers);
            guard.admitted = Some(load.admitted.clone());
        }
    }
}

fn guards_of(verdict: &Verdict) -> Vec<ChainGuard> {
    let guard = |guard: &picket_ledger::entry::GuardResult| ChainGuard {
        name: guard.name.clone(),
        component: to_hex(&guard.component),
        settings: to_hex(&guard.settings),
        load: None,
        version: None,
        signers: Vec::new(),
        admitted: None,
    };
    verdict.guards.iter().map(guard).collect()
}

fn drift_alarm(open: &mut BTreeMap<[String; 3], DriftAlarm>, index: u64, drift: Drift) {
    let key = [drift.detector.clone(), drift.stream.clone(), drift.rule.clone()];
    if drift.opened {
        let Drift { detector, stream, rule, severity, message, .. } = drift;
        open.insert(key, DriftAlarm { index, detector, stream, rule, severity, message });
    } else {
        open.remove(&key);
    }
}

/// Positions of the records that belong to the verdict, each with the first reason found.
fn walk(records: &[Linkable], verdict: &Verdict) -> BTreeMap<usize, String> {
    let set = |digest: Option<Hash>| digest.into_iter().collect::<BTreeSet<Hash>>();
    let (weights, prompts, features) = (set(verdict.weights), set(verdict.prompts), set(verdict.features));
    let mut linked = Linked { records, found: BTreeMap::new() };
    linked.add("weights", |one| one.kind(RecordKind::ModelVersion) && weights.contains(&one.record.digest));
    linked.add("prompts", |one| one.kind(RecordKind::PromptLibrary) && prompts.contains(&one.record.digest));
    linked.add("features", |one| one.kind(RecordKind::FeatureDefinition) && features.contains(&one.record.digest));
    linked.add("prompts for these weights", |one| {
        one.kind(RecordKind::PromptLibrary) && one.links_to("weights", &weights)
    });
    linked.add("evaluation of the weights", |one| one.kind(RecordKind::Evaluation) && one.links_to("model", &weights));
    let trained = linked.targets("trained-on");
    let evaluated = linked.targets("slice");
    linked.add("training data", |one| one.kind(RecordKind::DatasetSlice) && trained.contains(&one.record.digest));
    linked.add("evaluation data", |one| one.kind(RecordKind::DatasetSlice) && evaluated.contains(&one.record.digest));
    let mut subjects: BTreeSet<Hash> = linked.found.keys().map(|position| records[*position].record.digest).collect();
    subjects.extend([verdict.policy]);
    subjects.extend(weights.iter().chain(&prompts).chain(&features).chain(&trained).chain(&evaluated));
    subjects.extend(verdict.guards.iter().flat_map(|guard| [guard.component, guard.settings]));
    linked.add("approval", |one| one.kind(RecordKind::Approval) && one.links_to("subject", &subjects));
    linked.found
}

impl Linkable {
    fn kind(&self, kind: RecordKind) -> bool {
        self.record.kind == kind
    }
}

struct Linked<'a> {
    records: &'a [Linkable],
    found: BTreeMap<usize, String>,
}

impl Linked<'_> {
    fn add(&mut self, why: &str, belongs: impl Fn(&Linkable) -> bool) {
        for (position, _) in self.records.iter().enumerate().filter(|(_, record)| belongs(record)) {
            self.found.entry(position).or_insert_with(|| why.to_owned());
        }
    }

    fn targets(&self, relation: &'static str) -> BTreeSet<Hash> {
        self.found.keys().flat_map(|position| self.records[*position].targets(relation)).collect()
    }
}

#[cfg(test)]
mod tests;
