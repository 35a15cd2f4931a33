//! Printing what others wrote: no control characters, times in RFC 3339, and JSON that stays one line.

use std::io::Write as _;

use jiff::Timestamp;
use picket_ledger::Entry;
use picket_ledger::entry::{Body, Outcome, TimeAnchor, Verdict};
use picket_ledger::hash::{leaf_hash, to_hex};
use serde_json::Value;

/// Standard output, buffered; lines that people and programs read.
pub(super) struct Lines {
    out: std::io::BufWriter<std::io::Stdout>,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self { out: std::io::BufWriter::new(std::io::stdout()) }
    }

    pub(super) fn text(&mut self, line: impl std::fmt::Display) -> anyhow::Result<()> {
        Ok(writeln!(self.out, "{line}")?)
    }

    pub(super) fn json(&mut self, value: &Value) -> anyhow::Result<()> {
        Ok(writeln!(self.out, "{}", safe_json(value))?)
    }

    /// Hands over what was printed so far.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.out.flush()?)
    }

    pub(super) fn end(mut self) -> anyhow::Result<()> {
        Ok(self.out.flush()?)
    }
}

/// Whether a terminal could take this character for an instruction, or show the rest of the line in another
/// order: control characters, and the invisible ones that change direction (Unicode bidirectional controls)
/// or break lines (U+2028, U+2029).
fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The text on one line, with dangerous characters as `\u{…}`.
pub(super) fn clean(text: &str) -> String {
    if !text.contains(is_dangerous) {
        return text.to_owned();
    }
    text.chars().map(|one| if is_dangerous(one) { one.escape_unicode().to_string() } else { one.to_string() }).collect()
}

/// The text, at most `limit` characters of it.
pub(super) fn shortened(text: &str, limit: usize) -> String {
    let clean = clean(text);
    if clean.chars().count() <= limit {
        return clean;
    }
    let mut cut: String = clean.chars().take(limit.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// JSON on one line; dangerous characters as `\uXXXX`, which means the same.
pub(super) fn safe_json(value: &Value) -> String {
    let text = value.to_string();
    if !text.contains(is_dangerous) {
        return text;
    }
    // Outside of strings JSON has no such characters, so an escape is right wherever one stands.
    text.chars()
        .map(|one| if is_dangerous(one) { format!("\\u{:04x}", u32::from(one)) } else { one.to_string() })
        .collect()
}

/// Milliseconds since 1970 as RFC 3339, UTC.
pub(super) fn time(milliseconds: u64) -> String {
    let parsed = i64::try_from(milliseconds).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    parsed.map_or_else(|| format!("{milliseconds} ms"), |time| format!("{time:.3}"))
}

/// The first digits of a digest, for tables.
pub(super) fn short(hex: &str) -> &str {
    hex.get(..12).unwrap_or(hex)
}

/// The entry as JSON, with kind, time and leaf hash beside what is in it.
pub(super) fn entry_json(entry: &Entry, bytes: &[u8]) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(entry)?;
    if let Value::Object(members) = &mut value {
        members.insert("kind".to_owned(), entry.body.kind().name().into());
        members.insert("time".to_owned(), time(entry.wall_ms).into());
        members.insert("leaf".to_owned(), to_hex(&leaf_hash(bytes)).into());
    }
    Ok(value)
}

/// What an entry says, in one line.
pub(super) fn summary(entry: &Entry) -> String {
    match &entry.body {
        Body::Verdict(verdict) => verdict_summary(verdict),
        Body::Drift(drift) => format!(
            "{} {} {}/{}: {}",
            if drift.opened { "opened" } else { "closed" },
            clean(&drift.model),
            clean(&drift.stream),
            clean(&drift.rule),
            shortened(&drift.message, 80)
        ),
        Body::Record(record) => format!(
            "{} {} sha256:{} ({}, {} links)",
            clean(&record.name),
            clean(&record.version),
            short(&to_hex(&record.digest)),
            if record.source == picket_ledger::entry::Source::Observed { "observed" } else { "recorded" },
            record.links.len()
        ),
        Body::GuardLoad(load) => format!(
            "{} {} {} sha256:{} ({})",
            clean(&load.name),
            clean(&load.guard_version),
            clean(&load.world),
            short(&to_hex(&load.component)),
            vouching(&load.signers, &load.admitted)
        ),
        Body::GuardEvent(event) => format!(
            "{} {}: {}",
            event.guard.as_deref().map_or_else(|| "configuration".to_owned(), clean),
            event.event.name(),
            shortened(&event.message, 120)
        ),
        Body::Revocation(list) => format!("list sha256:{}", short(&to_hex(&list.digest))),
        Body::Config(config) => format!("sha256:{}", short(&to_hex(&config.digest))),
        Body::Heartbeat(heartbeat) => format!("next invocation #{}", heartbeat.next_invocation),
        Body::Drop(drop) => format!("{} not recorded: {}", drop.count, shortened(&drop.reason, 80)),
        Body::KeyRotation(rotation) => format!("key {} {}", rotation.epoch, clean(&rotation.key)),
        Body::Erase(erase) => {
            format!("{} payloads of #{} to #{}: {}", erase.count, erase.from, erase.to, shortened(&erase.reason, 80))
        }
        Body::TimeAnchor(TimeAnchor::Receipt { cosigner, time, size, .. }) => {
            format!("receipt of {} for {size} entries at {}", clean(cosigner), self::time(time.saturating_mul(1000)))
        }
        Body::TimeAnchor(TimeAnchor::ClockStep { step_ms }) => format!("the wall clock jumped by {step_ms} ms"),
        Body::Recovery(recovery) => format!(
            "{} after {} entries, invocations from #{}{}",
            if recovery.clean { "clean start" } else { "unclean start" },
            recovery.previous_size,
            recovery.first_invocation,
            recovery.found.first().map(|found| format!(": {}", shortened(found, 80))).unwrap_or_default()
        ),
        Body::Incident(incident) => {
            format!(
                "{} {} at {}: {}",
                incident.kind.name(),
                clean(&incident.origin),
                incident.size,
                shortened(&incident.message, 80)
            )
        }
        Body::Enrolment(enrolment) => clean(&enrolment.origin),
        _ => String::new(),
    }
}

fn verdict_summary(verdict: &Verdict) -> String {
    let mut notes = Vec::new();
    for guard in &verdict.guards {
        let name = clean(&guard.name);
        match &guard.outcome {
            Outcome::Failure { cause, .. } => notes.push(format!("{name}: {} failure", cause.name())),
            Outcome::Verdict { findings, .. } if !findings.is_empty() => {
                let mut rules: Vec<&str> = findings.iter().map(|finding| finding.rule.as_str()).collect();
                rules.dedup();
                notes.push(format!("{name}: {}", shortened(&rules.join(", "), 60)));
            }
            Outcome::Verdict { .. } => (),
        }
    }
    format!(
        "{:6} {} {} #{} {}",
        verdict.decision.name(),
        clean(&verdict.model),
        shortened(&verdict.inference_id, 40),
        verdict.invocation,
        notes.join("; ")
    )
    .trim_end()
    .to_owned()
}

/// A JSON value as indented lines for people.
pub(super) fn outline(value: &Value, indent: usize, lines: &mut Lines) -> anyhow::Result<()> {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if is_leaf(member) {
                    lines.text(format_args!("{pad}{}: {}", clean(name), leaf(member)))?;
                } else {
                    lines.text(format_args!("{pad}{}:", clean(name)))?;
                    outline(member, indent + 2, lines)?;
                }
            }
        }
        Value::Array(members) => {
            for member in members {
                if is_leaf(member) {
                    lines.text(format_args!("{pad}- {}", leaf(member)))?;
                } else {
                    lines.text(format_args!("{pad}-"))?;
                    outline(member, indent + 2, lines)?;
                }
            }
        }
        other => lines.text(format_args!("{pad}{}", leaf(other)))?,
    }
    Ok(())
}

fn is_leaf(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.is_empty(),
        Value::Array(members) => {
            members.is_empty() || (members.len() <= 4 && members.iter().all(|one| one.is_number() || one.is_null()))
        }
        _ => true,
    }
}

/// A value on one line.
pub(super) fn leaf_text(value: &Value) -> String {
    leaf(value)
}

fn leaf(value: &Value) -> String {
    match value {
        Value::String(text) => clean(text),
        Value::Null => "-".to_owned(),
        other => safe_json(other),
    }
}

/// Who vouched for a guard when it was loaded, and which rule that met.
pub(crate) fn vouching(signers: &[String], admitted: &str) -> String {
    match signers {
        [] => clean(admitted),
        signers => format!("signed by {} ({})", clean(&signers.join(", ")), clean(admitted)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_cannot_steer_a_terminal() {
        let hostile = "a\u{1b}[2Jb\r\nc\u{9b}31m\u{202e}drowssap\u{2028}";
        let cleaned = clean(hostile);
        assert!(!cleaned.contains(is_dangerous), "{cleaned}");
        assert!(cleaned.starts_with("a\\u{1b}[2Jb\\u{d}\\u{a}c"));
        let json = safe_json(&Value::String(hostile.to_owned()));
        assert!(!json.contains(is_dangerous), "{json}");
        assert_eq!(serde_json::from_str::<Value>(&json).ok(), Some(Value::String(hostile.to_owned())));
        assert_eq!(shortened("abcdef", 4), "abc…");
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(1_795_424_400_000), "2026-11-23T09:00:00.000Z");
        assert_eq!(time(u64::MAX), format!("{} ms", u64::MAX));
    }
}
