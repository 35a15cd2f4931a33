//! A data folder: everything in its ledger, from the first entry on that is still there.

use std::path::Path;

use picket_ledger::entry::{Body, Header, Kind};
use picket_ledger::hash::{leaf_hash, to_hex};
use picket_ledger::keychain::hand_over_bundle;
use picket_ledger::receipt::CosignerKey;
use picket_ledger::tree::CompactRange;
use picket_ledger::{KeyChain, VerifyingKey};
use serde_json::{Value, json};

use crate::cli::text::{clean, safe_json};
use crate::cli::{Answer, BadInput, Exit, Output, print};
use crate::evidence::{Evidence, EvidenceError, LEDGER_FOLDER, PayloadCheck, decode};
use crate::keys::{self, KeyError};

/// Problems that are told; more are counted.
const MAX_PROBLEMS: usize = 100;

/// What was found in a folder.
struct Findings {
    pruned_to: u64,
    entries: u64,
    checkpoints: u64,
    payloads: u64,
    problems: Vec<(Option<u64>, String)>,
    more: u64,
}

impl Findings {
    fn add(&mut self, index: Option<u64>, problem: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push((index, problem));
        } else {
            self.more += 1;
        }
    }
}

pub(super) fn verify(path: &Path, key: Option<VerifyingKey>, auditor: Option<&CosignerKey>, output: Output) -> Answer {
    // The ledger's own folder is taken for the data folder around it.
    let name = path.file_name().and_then(|name| name.to_str()).filter(|_| !path.join(LEDGER_FOLDER).is_dir());
    let kept = name.and_then(|name| name.strip_prefix("ledger-")?.parse::<u32>().ok());
    let inner = name == Some(LEDGER_FOLDER) || kept.is_some();
    let data =
        if inner { path.parent().filter(|data| !data.as_os_str().is_empty()).unwrap_or(Path::new(".")) } else { path };
    let own = key.is_none();
    let mut findings =
        Findings { pruned_to: 0, entries: 0, checkpoints: 0, payloads: 0, problems: Vec::new(), more: 0 };
    let mut keys = match own_chain(data, key.as_ref(), kept) {
        Ok(keys) => keys,
        Err(error) => match key {
            None => return Err(error.into()),
            Some(key) => {
                findings.add(None, format!("{:#}", anyhow::Error::new(error)));
                KeyChain::new(key)
            }
        },
    };
    let mut head = Value::Null;
    let evidence = if kept.is_some() { Evidence::open_kept(path) } else { Evidence::open(data) };
    match evidence {
        Err(error @ EvidenceError::Missing(_)) => return Err(BadInput(error.to_string()).into()),
        Err(error @ EvidenceError::Held { .. }) => return Err(error.into()),
        // What cannot be opened is damaged, and that is a finding.
        Err(error) => findings.add(None, format!("{:#}", anyhow::Error::new(error))),
        Ok(evidence) => {
            if let Err(error) = walk(&evidence, &mut keys, auditor, &mut findings) {
                findings.add(Some(findings.entries), format!("{error:#}"));
            }
            if let Ok(seen) = evidence.head() {
                head = json!({ "origin": seen.origin, "size": seen.size, "root": to_hex(&seen.root) });
            }
        }
    }
    tell(path, &keys, own, &head, &findings, output)
}

/// Everything from the first entry on that is there: each decodes and stands where it says; the tree over them gives the
/// root of every checkpoint that the ledger has; each checkpoint is signed by `key`; each payload that is
/// kept is the one that was judged.
fn walk(
    evidence: &Evidence,
    keys: &mut KeyChain,
    auditor: Option<&CosignerKey>,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let head = evidence.head()?;
    // What was removed is vouched for by the checkpoints of what remains: no other frontier leads to their roots.
    let mut tree = CompactRange::from_parts(head.pruned_to, evidence.frontier(head.pruned_to)?)?;
    findings.pruned_to = head.pruned_to;
    let mut next_checkpoint = checkpoint_from(evidence, 0, keys, findings)?;
    for next in evidence.entries(head.pruned_to..head.size) {
        let (index, bytes) = next?;
        check_entry(evidence, index, &bytes, findings)?;
        if Header::read(&bytes).is_ok_and(|header| header.kind == Kind::KeyRotation) {
            learn(evidence, index, &bytes, &tree, keys, findings)?;
        }
        tree.push(leaf_hash(&bytes));
        findings.entries += 1;
        while let Some((size, root)) = next_checkpoint {
            if size > tree.size() {
                break;
            }
            if size == tree.size() && root.is_some_and(|root| root != tree.root()) {
                findings.add(
                    Some(index),
                    format!("the first {size} entries do not give the root that their checkpoint signs"),
                );
            }
            next_checkpoint = checkpoint_from(evidence, size + 1, keys, findings)?;
        }
    }
    if tree.size() != head.size {
        findings.add(
            Some(tree.size()),
            format!("the ledger ends at {} and says that it has {} entries", tree.size(), head.size),
        );
    } else if tree.root() != head.root {
        findings.add(None, "the entries do not give the root that the ledger states".to_owned());
    }
    if let Some((size, _)) = next_checkpoint {
        findings.add(
            Some(tree.size()),
            format!("TRUNCATION: a checkpoint signs {size} entries, and there are {}", tree.size()),
        );
    }
    check_receipt(evidence, keys, auditor, &tree, findings)
}

/// The next checkpoint of at least `size` entries: its size, and its root if the signature holds.
fn checkpoint_from(
    evidence: &Evidence,
    size: u64,
    keys: &KeyChain,
    findings: &mut Findings,
) -> anyhow::Result<Option<(u64, Option<picket_ledger::Hash>)>> {
    let Some(note) = evidence.checkpoint_at_or_after(size)? else { return Ok(None) };
    findings.checkpoints += 1;
    match keys.open(&note) {
        Ok(signed) => Ok(Some((signed.checkpoint.size, Some(signed.checkpoint.root)))),
        Err(error) => {
            findings
                .add(size.checked_sub(1), format!("a checkpoint of at least {size} entries does not hold: {error}"));
            Ok(picket_ledger::checkpoint::peek(&note).ok().map(|checkpoint| (checkpoint.size, None)))
        }
    }
}

/// Learns the hand-over that the entry at `index` makes, `tree` being the log before it.
fn learn(
    evidence: &Evidence,
    index: u64,
    bytes: &[u8],
    tree: &CompactRange,
    keys: &mut KeyChain,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let epoch = keys.epoch_of(index);
    if epoch.end.is_some() {
        // Known from `keys.chain`: then it must be the very entry.
        let next = keys.epoch_of(index + 1).hand_over().and_then(|bundle| bundle.entry.as_deref());
        if epoch.end != Some(index + 1) || next != Some(bytes) {
            findings.add(Some(index), "keys.chain and this entry do not hand over to the same key".to_owned());
        }
        return Ok(());
    }
    let Some(checkpoint) = evidence.checkpoint_at_or_after(index + 1)? else {
        findings.add(Some(index), format!("entry {index} hands the key over, and no checkpoint covers it"));
        return Ok(());
    };
    if let Err(error) = keys.learn(&hand_over_bundle(bytes.to_vec(), tree, checkpoint)) {
        findings.add(Some(index), format!("the hand-over of the key: {:#}", anyhow::Error::new(error)));
    }
    Ok(())
}

/// The chain beside the ledger, from the trusted key on. Evidence may come without it: then its entries teach it.
fn own_chain(data: &Path, key: Option<&VerifyingKey>, kept: Option<u32>) -> Result<KeyChain, KeyError> {
    match (kept, key) {
        (Some(incarnation), key) => keys::load_earlier_chain(data, incarnation, key),
        (None, Some(key)) => keys::load_chain_from(data, &keys::trusted_now(data, key)?),
        (None, None) => keys::load_chain(data),
    }
}

fn check_entry(evidence: &Evidence, index: u64, bytes: &[u8], findings: &mut Findings) -> anyhow::Result<()> {
    let entry = match decode(index, bytes) {
        Ok(entry) => entry,
        Err(error) => {
            findings.add(Some(index), format!("{:#}", anyhow::Error::new(error)));
            return Ok(());
        }
    };
    if entry.index != index {
        findings.add(Some(index), format!("entry {index} says that it is entry {}", entry.index));
    }
    let Body::Verdict(verdict) = &entry.body else { return Ok(()) };
    debug_assert!(matches!(Header::read(bytes), Ok(Header { kind: Kind::Verdict, .. })));
    match evidence.payload(verdict.invocation) {
        Ok(Some(stored)) => {
            findings.payloads += 1;
            if stored.check(verdict.invocation, &verdict.payload) == PayloadCheck::Differs {
                findings.add(Some(index), format!("the payload kept for entry {index} is not the one that was judged"));
            }
        }
        Ok(None) => (),
        Err(EvidenceError::Answer(why)) => findings.add(Some(index), format!("the payload of entry {index}: {why}")),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn check_receipt(
    evidence: &Evidence,
    keys: &KeyChain,
    auditor: Option<&CosignerKey>,
    tree: &CompactRange,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let (note, auditor) = match (evidence.receipt()?, auditor) {
        (Some(note), Some(auditor)) => (note, auditor),
        (None, Some(_)) => {
            findings.add(None, "there is no receipt of the auditor".to_owned());
            return Ok(());
        }
        (_, None) => return Ok(()),
    };
    let size = picket_ledger::checkpoint::peek(&note).map_or(0, |checkpoint| checkpoint.size);
    match picket_ledger::receipt::Receipt::open(&note, keys.key_at(size), auditor) {
        Err(error) => findings.add(None, format!("the receipt does not hold: {error}")),
        Ok(receipt) if receipt.checkpoint.size > tree.size() => findings.add(
            Some(tree.size()),
            format!(
                "TRUNCATION: the auditor signed for {} entries, and there are {}",
                receipt.checkpoint.size,
                tree.size()
            ),
        ),
        Ok(receipt) if receipt.checkpoint.size < findings.pruned_to => findings.add(
            None,
            format!(
                "GAP: entries below {} were removed, and the auditor signed for {}",
                findings.pruned_to, receipt.checkpoint.size
            ),
        ),
        Ok(receipt) => {
            let size = receipt.checkpoint.size;
            if CompactRange::from_parts(size, evidence.frontier(size)?)?.root() != receipt.checkpoint.root {
                findings.add(
                    size.checked_sub(1),
                    format!("FORK: the auditor signed for {size} entries with another root; keep both ledgers"),
                );
            }
        }
    }
    Ok(())
}

fn tell(path: &Path, keys: &KeyChain, own: bool, head: &Value, findings: &Findings, output: Output) -> Answer {
    let sound = findings.problems.is_empty();
    let first = findings.problems.iter().filter_map(|(index, _)| *index).min();
    if output.json {
        let problems: Vec<Value> =
            findings.problems.iter().map(|(index, problem)| json!({ "index": index, "message": problem })).collect();
        print(safe_json(&json!({
            "verified": sound,
            "what": "data folder",
            "path": path.display().to_string(),
            "head": head,
            "pruned_to": findings.pruned_to,
            "entries": findings.entries,
            "checkpoints": findings.checkpoints,
            "payloads": findings.payloads,
            "key": keys.first().to_string(),
            "epochs": keys.epochs().len(),
            "own_key": own,
            "first_bad": first,
            "problems": problems,
            "more_problems": findings.more,
        })))?;
    } else {
        let word = if sound { "VERIFIED" } else { "NOT VERIFIED" };
        print(format_args!(
            "{word} {}: {} entries, {} checkpoints, {} payloads",
            path.display(),
            findings.entries,
            findings.checkpoints,
            findings.payloads
        ))?;
        for (index, problem) in &findings.problems {
            let place = index.map_or(String::new(), |index| format!("entry {index}: "));
            print(format_args!("  {place}{}", clean(problem)))?;
        }
        if findings.more > 0 {
            print(format_args!("  … and {} more", findings.more))?;
        }
        print(format_args!("  key {}", keys.first()))?;
        if keys.epochs().len() > 1 {
            let epoch = keys.current_epoch();
            print(format_args!("  key {} from entry {} on: {}", epoch.number, epoch.start, epoch.key))?;
        }
        if findings.pruned_to > 0 {
            print(format_args!(
                "  Entries below {} were removed from here behind a receipt; the auditor has them.",
                findings.pruned_to
            ))?;
        }
        if own {
            print(
                "  That is the folder's own key: this shows that the folder is consistent, not whose it is. Give --key to tell.",
            )?;
        }
    }
    Ok(if sound { Exit::Done } else { Exit::Found })
}
