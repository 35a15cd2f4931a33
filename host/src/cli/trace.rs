//! `picket trace`: everything that stood behind one decision, and the proof of it.

use anyhow::Context as _;
use picket_ledger::KeyChain;
use picket_ledger::checkpoint::peek;
use picket_ledger::entry::{Body, Verdict};
use picket_ledger::hash::to_hex;
use picket_ledger::receipt::{CosignerKey, Receipt};
use serde_json::{Value, json};

use super::ledger::{LedgerArgs, find_entry};
use super::show::payload;
use super::text::{Lines, clean, entry_json, leaf_text, outline, short, shortened, time, vouching};
use super::{Answer, BadInput, Exit, Output};
use crate::evidence::{Chain, Evidence, EvidenceError, Found, PayloadCheck, bundle_under, newest_checkpoint, trace};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    ledger: LedgerArgs,
    /// An inference id, the index of a verdict, or #n for invocation n. An id of digits alone: id:17.
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let evidence = args.ledger.evidence()?;
    let found = find_entry(&evidence, &args.id)?;
    let Body::Verdict(verdict) = &found.entry.body else {
        let kind = found.entry.body.kind().name();
        let message = format!(
            "entry {} is a {kind}, and only verdicts have a trace; `picket show {}` shows it",
            found.index, found.index
        );
        return Err(BadInput(message).into());
    };
    let keys = args.ledger.own_keys()?;
    let chain = trace(&evidence, found.index, verdict)?;
    let proof = prove(&evidence, &found, &keys)?;
    let receipt = receipt(&evidence, &found, &keys, args.ledger.auditor_key().as_ref())?;
    let (payload, payload_check) = payload(&evidence, verdict)?;
    let sound = payload_check != Some(PayloadCheck::Differs)
        && !matches!(proof, Proof::Broken(_))
        && !matches!(receipt, ReceiptState::Broken(_));
    let mut lines = Lines::new();
    if output.json {
        lines.json(&json!({
            "verdict": entry_json(&found.entry, &found.bytes)?,
            "older_verdicts": found.others,
            "payload": payload,
            "chain": chain,
            "proof": proof.json(),
            "receipt": receipt.json(),
        }))?;
    } else {
        Text { lines: &mut lines, found: &found, verdict, chain: &chain }.print(&payload, &proof, &receipt)?;
    }
    lines.end()?;
    Ok(if sound { Exit::Done } else { Exit::Found })
}

/// What proving the entry against the newest checkpoint gave.
enum Proof {
    Holds {
        size: u64,
        root: String,
        hashes: Vec<String>,
        key: String,
    },
    /// No checkpoint covers it yet.
    NotCovered(String),
    Broken(String),
}

impl Proof {
    fn json(&self) -> Value {
        match self {
            Self::Holds { size, root, hashes, key } => {
                json!({ "verified": true, "size": size, "root": root, "hashes": hashes, "key": key })
            }
            Self::NotCovered(why) => json!({ "verified": null, "message": why }),
            Self::Broken(why) => json!({ "verified": false, "message": why }),
        }
    }
}

fn prove(evidence: &Evidence, found: &Found, keys: &KeyChain) -> anyhow::Result<Proof> {
    let made = newest_checkpoint(evidence, keys, found.index)
        .and_then(|note| bundle_under(evidence, found.index, found.bytes.clone(), note));
    let bundle = match made {
        Ok(bundle) => bundle,
        Err(error @ EvidenceError::NotCovered { .. }) => return Ok(Proof::NotCovered(error.to_string())),
        Err(error) => return Err(error).context("making the proof"),
    };
    Ok(match keys.verify_bundle(&bundle) {
        Ok(verified) => Proof::Holds {
            size: verified.checkpoint.checkpoint.size,
            root: to_hex(&verified.checkpoint.checkpoint.root),
            hashes: bundle.proof.iter().map(|hash| to_hex(hash)).collect(),
            key: keys.epoch_of(found.index).key.to_string(),
        },
        Err(error) => Proof::Broken(format!("{:#}", anyhow::Error::new(error))),
    })
}

/// Whether the auditor has the entry.
enum ReceiptState {
    /// Both signatures hold, and so does the proof under them.
    Holds {
        size: u64,
        time: u64,
        auditor: String,
    },
    /// There is one, and no key of the auditor to verify it with.
    NoKey(u64),
    /// Not yet.
    None,
    Broken(String),
}

impl ReceiptState {
    fn json(&self) -> Value {
        match self {
            Self::Holds { size, time: seconds, auditor } => {
                json!({ "verified": true, "size": size, "time": time(seconds.saturating_mul(1000)), "auditor": auditor })
            }
            Self::NoKey(size) => {
                json!({ "verified": null, "size": size, "message": "no [auditor] key in the configuration" })
            }
            Self::None => Value::Null,
            Self::Broken(why) => json!({ "verified": false, "message": why }),
        }
    }
}

fn receipt(
    evidence: &Evidence,
    found: &Found,
    keys: &KeyChain,
    auditor: Option<&CosignerKey>,
) -> anyhow::Result<ReceiptState> {
    let Some(note) = evidence.receipt()? else { return Ok(ReceiptState::None) };
    let bundle = match bundle_under(evidence, found.index, found.bytes.clone(), note.clone()) {
        Ok(bundle) => bundle,
        Err(EvidenceError::NotCovered { .. }) => return Ok(ReceiptState::None),
        Err(error) => return Ok(ReceiptState::Broken(format!("{:#}", anyhow::Error::new(error)))),
    };
    // Of whichever epoch: the question is what the auditor has, and this box asks itself.
    let Ok(size) = peek(&note).map(|checkpoint| checkpoint.size) else {
        return Ok(ReceiptState::Broken("it is no checkpoint".to_owned()));
    };
    let key = keys.key_at(size);
    let size = match bundle.verify(key) {
        Ok(verified) => verified.checkpoint.checkpoint.size,
        Err(error) => return Ok(ReceiptState::Broken(format!("{:#}", anyhow::Error::new(error)))),
    };
    let Some(auditor) = auditor else { return Ok(ReceiptState::NoKey(size)) };
    Ok(match Receipt::open(&note, key, auditor) {
        Ok(receipt) => ReceiptState::Holds { size, time: receipt.time, auditor: auditor.name().to_owned() },
        Err(error) => ReceiptState::Broken(error.to_string()),
    })
}

/// The trace for people.
struct Text<'a> {
    lines: &'a mut Lines,
    found: &'a Found,
    verdict: &'a Verdict,
    chain: &'a Chain,
}

impl Text<'_> {
    fn print(mut self, payload: &Value, proof: &Proof, receipt: &ReceiptState) -> anyhow::Result<()> {
        self.inference(payload)?;
        self.guards()?;
        self.in_force()?;
        self.records()?;
        self.drift()?;
        self.proof(proof, receipt)
    }

    fn inference(&mut self, payload: &Value) -> anyhow::Result<()> {
        let verdict = self.verdict;
        self.lines.text(format_args!(
            "Inference {} of {}: {}",
            clean(&verdict.inference_id),
            clean(&verdict.model),
            verdict.decision.name().to_uppercase()
        ))?;
        self.field(
            "entry",
            format_args!(
                "{} at {}, invocation #{}",
                self.found.index,
                time(self.found.entry.wall_ms),
                verdict.invocation
            ),
        )?;
        if let Some(asked) = verdict.inference_time_ms {
            self.field("inference at", time(asked))?;
        }
        if let Some(trace) = &verdict.trace_id {
            self.field("trace id", clean(trace))?;
        }
        if !self.found.others.is_empty() {
            self.field(
                "older verdicts",
                format_args!("{} with the same id, entries {:?}", self.found.others.len(), self.found.others),
            )?;
        }
        let state = payload.get("commitment").and_then(Value::as_str).unwrap_or("-");
        self.field("payload", state)?;
        if let Some(content) = payload.get("content") {
            outline(content, 6, self.lines)?;
        }
        Ok(())
    }

    fn guards(&mut self) -> anyhow::Result<()> {
        use picket_ledger::entry::{Mode, Outcome};
        self.lines.text("\nGuards")?;
        if self.verdict.guards.is_empty() {
            self.lines.text("  none judged it")?;
        }
        for (guard, linked) in self.verdict.guards.iter().zip(&self.chain.guards) {
            let mode = if guard.mode == Mode::Shadow { " (shadow)" } else { "" };
            let outcome = match &guard.outcome {
                Outcome::Verdict { decision, .. } => decision.name().to_owned(),
                Outcome::Failure { cause, action, message } => {
                    format!("{} failure, so {}: {}", cause.name(), action.name(), shortened(message, 120))
                }
            };
            self.lines.text(format_args!("  {}{mode}: {outcome}", clean(&guard.name)))?;
            let version =
                linked.version.as_deref().map_or(String::new(), |version| format!(" version {}", clean(version)));
            let load = linked
                .load
                .map_or("its load is not in the ledger".to_owned(), |load| format!("loaded at entry {load}"));
            self.lines.text(format_args!("    component sha256:{}{version}, {load}", linked.component))?;
            self.lines.text(format_args!("    settings  sha256:{}", linked.settings))?;
            if let Some(admitted) = &linked.admitted {
                self.lines.text(format_args!("    {}", vouching(&linked.signers, admitted)))?;
            }
            if let Outcome::Verdict { findings, omitted, .. } = &guard.outcome {
                for finding in findings {
                    let place = finding.span.map_or(String::new(), |(start, end)| format!(" bytes {start}..{end}"));
                    let path = if finding.path.is_empty() {
                        String::new()
                    } else {
                        format!(" {}", shortened(&finding.path, 80))
                    };
                    self.lines.text(format_args!(
                        "    - {} (severity {}){path}{place}: {}",
                        clean(&finding.rule),
                        finding.severity,
                        shortened(&finding.message, 200)
                    ))?;
                }
                if *omitted > 0 {
                    self.lines.text(format_args!("    - {omitted} more findings are not in the entry"))?;
                }
            }
        }
        Ok(())
    }

    fn in_force(&mut self) -> anyhow::Result<()> {
        self.lines.text("\nIn force")?;
        let verdict = self.verdict;
        let version = |given: &Option<String>| {
            given.as_deref().map(|text| format!(" (called {})", clean(text))).unwrap_or_default()
        };
        let (model_version, prompt_version) = (version(&verdict.model_version), version(&verdict.prompt_version));
        for (what, digest, note) in [
            ("weights", verdict.weights, model_version),
            ("prompts", verdict.prompts, prompt_version),
            ("features", verdict.features, String::new()),
        ] {
            let digest = digest.map_or("not configured".to_owned(), |digest| format!("sha256:{}", to_hex(&digest)));
            self.field(what, format_args!("{digest}{note}"))?;
        }
        let config = match &self.chain.config {
            Some(config) => format!("sha256:{}, entry {}", config.digest, config.index),
            None => format!("sha256:{}, not recorded", to_hex(&verdict.policy)),
        };
        self.field("policy", config)
    }

    fn records(&mut self) -> anyhow::Result<()> {
        for (title, before) in [("\nProvenance before the decision", true), ("\nRecorded later", false)] {
            let records: Vec<_> = self.chain.records.iter().filter(|record| record.before == before).collect();
            if records.is_empty() {
                continue;
            }
            self.lines.text(title)?;
            for record in records {
                self.lines.text(format_args!(
                    "  {}: {} {} {} sha256:{} (entry {}, {})",
                    record.why,
                    record.kind.name(),
                    clean(&record.name),
                    clean(&record.version),
                    short(&record.digest),
                    record.index,
                    time(record.wall_ms)
                ))?;
                if let Value::Object(members) = &record.document {
                    let telling = |name: &str| {
                        matches!(
                            name,
                            "metrics"
                                | "notes"
                                | "filter"
                                | "rows"
                                | "change"
                                | "decision"
                                | "reason"
                                | "role"
                                | "tool"
                        )
                    };
                    for (name, value) in members.iter().filter(|(name, value)| telling(name) && !value.is_null()) {
                        self.lines.text(format_args!("    {name}: {}", shortened(&leaf_text(value), 160)))?;
                    }
                }
            }
        }
        if self.chain.omitted > 0 {
            self.lines.text(format_args!("  … and {} more records", self.chain.omitted))?;
        }
        for missing in &self.chain.unexplained {
            self.lines.text(format_args!(
                "  no record says what {} sha256:{} are; `picket record` can, also later",
                missing.what,
                short(&missing.digest)
            ))?;
        }
        Ok(())
    }

    fn drift(&mut self) -> anyhow::Result<()> {
        self.lines.text("\nDrift alarms open at the decision")?;
        if self.chain.drift.is_empty() {
            self.lines.text("  none")?;
        }
        for alarm in &self.chain.drift {
            self.lines.text(format_args!(
                "  {} on {} by {} (severity {}, entry {}): {}",
                clean(&alarm.rule),
                clean(&alarm.stream),
                clean(&alarm.detector),
                alarm.severity,
                alarm.index,
                shortened(&alarm.message, 160)
            ))?;
        }
        Ok(())
    }

    fn proof(&mut self, proof: &Proof, receipt: &ReceiptState) -> anyhow::Result<()> {
        self.lines.text("\nProof")?;
        match proof {
            Proof::Holds { size, root, hashes, key } => {
                self.field(
                    "inclusion",
                    format_args!(
                        "VERIFIED against the newest checkpoint: {size} entries, root {root}, {} hashes",
                        hashes.len()
                    ),
                )?;
                self.field("signed by", clean(key))?;
            }
            Proof::NotCovered(why) => self.field("inclusion", why)?,
            Proof::Broken(why) => self.field("inclusion", format_args!("DOES NOT HOLD: {}", clean(why)))?,
        }
        match receipt {
            ReceiptState::Holds { size, time: seconds, auditor } => self.field(
                "receipt",
                format_args!(
                    "VERIFIED: {} signed for {size} entries at {}",
                    clean(auditor),
                    time(seconds.saturating_mul(1000))
                ),
            ),
            ReceiptState::NoKey(size) => self.field(
                "receipt",
                format_args!("covers {size} entries; without [auditor] key in the configuration it is not verified"),
            ),
            ReceiptState::None => self.field("receipt", "none yet: the entry is only on this box"),
            ReceiptState::Broken(why) => self.field("receipt", format_args!("DOES NOT HOLD: {}", clean(why))),
        }
    }

    fn field(&mut self, name: &str, value: impl std::fmt::Display) -> anyhow::Result<()> {
        self.lines.text(format_args!("  {name:15} {value}"))
    }
}
