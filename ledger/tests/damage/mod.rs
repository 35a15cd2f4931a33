//! Good evidence, and the same damaged in ways that each have a name: what every verifier must agree on.

#![allow(dead_code, reason = "each user of the cases uses its part")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bundles;
pub(crate) mod chains;
mod entries;
mod notes;
mod segments;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use picket_ledger::bundle::Bundle;
use picket_ledger::checkpoint::Checkpoint;
use picket_ledger::entry::{Body, Heartbeat};
use picket_ledger::hash::leaf_hash;
use picket_ledger::note::SigningKey;
use picket_ledger::receipt::{CosignerKey, Receipt, cosign};
use picket_ledger::segment::{Segment, SegmentRef};
use picket_ledger::tree::{CompactRange, NodeSource, inclusion_proof};
use picket_ledger::{Entry, Hash, KeyChain};
use serde_json::{Value, json};

use crate::common;

/// The box whose evidence it all is, or pretends to be.
pub(crate) const BOX: &str = "box-17";

/// Entries of the log that the cases are made from. It has a verdict at [`VERDICT`], heartbeats elsewhere.
pub(crate) const SIZE: u64 = 11;

/// The place of the one entry that is no heartbeat.
pub(crate) const VERDICT: u64 = 6;

/// Evidence, and whether it holds.
pub(crate) struct Case {
    /// What was done to it.
    pub(crate) name: String,
    /// A segment or a bundle.
    pub(crate) data: Vec<u8>,
    /// Whether it holds, by design.
    pub(crate) holds: bool,
    /// Whether the auditor's cosignature is demanded.
    pub(crate) cosigned: bool,
    /// The chain of keys that comes with it.
    pub(crate) chain: Option<String>,
}

impl Case {
    pub(crate) fn good(name: &str, data: impl Into<Vec<u8>>) -> Self {
        Self { name: name.to_owned(), data: data.into(), holds: true, cosigned: false, chain: None }
    }

    pub(crate) fn bad(name: &str, data: impl Into<Vec<u8>>) -> Self {
        Self { holds: false, ..Self::good(name, data) }
    }

    pub(crate) fn cosigned(self) -> Self {
        Self { cosigned: true, ..self }
    }

    pub(crate) fn with_chain(self, chain: &str) -> Self {
        Self { chain: Some(chain.to_owned()), ..self }
    }

    /// What our own verifier says: the steps of `picket verify FILE`.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        let first = signer().verifier();
        let keys = match &self.chain {
            None => KeyChain::new(first),
            Some(text) => KeyChain::parse(text, &first).map_err(|error| explain(&error))?,
        };
        verify(&self.data, &keys, self.cosigned.then(|| CosignerKey::of(&auditor())).as_ref())
    }

    /// One line of a case file.
    pub(crate) fn to_json(&self) -> Value {
        let mut value = json!({
            "name": self.name,
            "holds": self.holds,
            "key": signer().verifier().to_string(),
            "data": STANDARD.encode(&self.data),
        });
        if let Some(chain) = &self.chain {
            value["chain"] = STANDARD.encode(chain).into();
        }
        if self.cosigned {
            value["auditor_key"] = CosignerKey::of(&auditor()).to_string().into();
        }
        value
    }
}

/// Every case, good ones first in each group.
pub(crate) fn cases() -> Vec<Case> {
    [segments::cases(), notes::cases(), entries::cases(), bundles::cases(), chains::cases()]
        .into_iter()
        .flatten()
        .collect()
}

pub(crate) fn signer() -> SigningKey {
    common::key(BOX)
}

pub(crate) fn auditor() -> SigningKey {
    common::key("auditor")
}

fn explain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", explain(source)),
        None => error.to_string(),
    }
}

fn verify(data: &[u8], keys: &KeyChain, auditor: Option<&CosignerKey>) -> Result<(), String> {
    if !data.starts_with(b"c2sp.org/tlog-proof@v1\n") {
        let segment = SegmentRef::parse(data).map_err(|error| explain(&error))?;
        keys.verify_segment(&segment).map_err(|error| explain(&error))?;
        return segment.check_entries().map_err(|error| explain(&error));
    }
    let bundle = std::str::from_utf8(data).map_err(|error| explain(&error))?;
    let bundle = Bundle::parse(bundle).map_err(|error| explain(&error))?;
    let verified = keys.verify_bundle(&bundle).map_err(|error| explain(&error))?;
    let entry = Entry::decode(&verified.entry).map_err(|error| explain(&error))?;
    if entry.index != verified.index {
        return Err(format!("entry {} says that it is entry {}", verified.index, entry.index));
    }
    let Some(auditor) = auditor else { return Ok(()) };
    let key = &keys.epoch_of(verified.index).key;
    Receipt::open(&verified.checkpoint.text, key, auditor).map(drop).map_err(|error| explain(&error))
}

/// A log of encoded entries, with its leaf hashes as the only nodes.
pub(crate) struct Log {
    pub(crate) entries: Vec<Vec<u8>>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { entries: (0..SIZE).map(|index| encoded(index, index)).collect() }
    }

    /// The log with one entry replaced: what a box that writes nonsense would sign.
    pub(crate) fn with(index: u64, entry: Vec<u8>) -> Self {
        let mut log = Self::new();
        log.entries[place(index)] = entry;
        log
    }

    pub(crate) fn range(&self, size: u64) -> CompactRange {
        let mut range = CompactRange::new();
        self.entries[..place(size)].iter().for_each(|entry| range.push(leaf_hash(entry)));
        range
    }

    pub(crate) fn head(&self, size: u64) -> Checkpoint {
        Checkpoint::new(BOX, size, self.range(size).root())
    }

    pub(crate) fn note(&self, size: u64) -> String {
        self.head(size).sign(&signer())
    }

    pub(crate) fn segment(&self, first: u64, end: u64) -> Segment {
        Segment {
            origin: BOX.into(),
            first,
            frontier: self.range(first).peaks().to_vec(),
            entries: self.entries[place(first)..place(end)].to_vec(),
            checkpoint: self.note(end),
        }
    }

    pub(crate) fn bundle(&self, index: u64, size: u64) -> Bundle {
        Bundle {
            entry: Some(self.entries[place(index)].clone()),
            index,
            proof: inclusion_proof(self, index, size).unwrap(),
            checkpoint: self.note(size),
        }
    }

    /// A bundle whose checkpoint the auditor cosigned.
    pub(crate) fn receipt(&self, index: u64, size: u64) -> Bundle {
        let bundle = self.bundle(index, size);
        Bundle { checkpoint: cosign(&bundle.checkpoint, &auditor(), 1_795_426_660).unwrap(), ..bundle }
    }
}

impl NodeSource for Log {
    type Error = std::convert::Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let mut range = CompactRange::new();
        let (start, end) = (index << level, (index + 1) << level);
        self.entries[place(start)..place(end)].iter().for_each(|entry| range.push(leaf_hash(entry)));
        Ok(range.root())
    }
}

/// The entry of the log at a place, saying that it is number `says`.
pub(crate) fn encoded(index: u64, says: u64) -> Vec<u8> {
    let body = if index == VERDICT {
        Body::Verdict(common::verdict())
    } else {
        Body::Heartbeat(Heartbeat { next_invocation: 7 })
    };
    common::entry(says, body).encode().unwrap()
}

pub(crate) fn place(index: u64) -> usize {
    usize::try_from(index).unwrap()
}

/// Replaces `old`, which must stand at `at`, by `new`.
pub(crate) fn spliced(bytes: &[u8], at: usize, old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(&bytes[at..at + old.len()], old, "the case aims at the wrong place");
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}

/// Replaces the only occurrence of `old` by `new`.
pub(crate) fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let places: Vec<usize> = (0..=bytes.len() - old.len()).filter(|at| bytes[*at..].starts_with(old)).collect();
    assert_eq!(places.len(), 1, "the case aims at {places:?}");
    spliced(bytes, places[0], old, new)
}

/// The evidence cut off at each quarter and before its last byte.
pub(crate) fn truncated(name: &str, data: &[u8]) -> Vec<Case> {
    let cuts = [("0", 0), ("1-quarter", 1), ("2-quarters", 2), ("3-quarters", 3)];
    let mut cases: Vec<Case> = cuts
        .iter()
        .map(|(text, quarters)| Case::bad(&format!("{name}-truncated-at-{text}"), &data[..data.len() * quarters / 4]))
        .collect();
    cases.push(Case::bad(&format!("{name}-without-its-last-byte"), &data[..data.len() - 1]));
    cases
}
