//! A cases file, checked: inferences, and what the guard is to say to each.

use super::raw::{RawCase, RawExpect, RawFile, RawFinding};
use super::to_json::{json, scalar};
use crate::config::units;
use crate::inference;
use picket_engine::{Declared, Inference, Limits, NamedValue, Scalar};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// What a deadline is when neither the file nor the component names one. Long, because a test is to fail for what a
/// guard says and not for how busy the machine is.
const PATIENT: Duration = Duration::from_secs(2);

/// The cases of one file.
pub(super) struct Cases {
    pub(super) file: PathBuf,
    pub(super) text: String,
    pub(super) limits: Limits,
    pub(super) cases: Vec<Case>,
}

pub(super) struct Case {
    pub(super) name: String,
    /// Of its `[[case]]`, from 1.
    pub(super) line: usize,
    pub(super) settings: String,
    /// Absent only where settings are to be refused.
    pub(super) inference: Option<Inference>,
    /// Absent until it is written.
    pub(super) expect: Option<Expect>,
    /// Bytes of the file where that stands.
    pub(super) expect_at: Option<Range<usize>>,
}

/// What is to come of a case.
pub(super) enum Expect {
    Verdict(ExpectVerdict),
    /// The name of a cause.
    Failure(String),
    /// The settings are refused, with these problems among others.
    Problems(Vec<ExpectProblem>),
}

/// What is absent is not looked at.
#[derive(Default)]
pub(super) struct ExpectVerdict {
    pub(super) decision: Option<String>,
    pub(super) findings: Option<Vec<ExpectFinding>>,
    /// Findings beside those are no difference.
    pub(super) more: bool,
    pub(super) output: Option<ExpectOutput>,
    pub(super) measurements: Vec<(String, Scalar)>,
}

pub(super) struct ExpectFinding {
    pub(super) rule: Option<String>,
    pub(super) severity: Option<String>,
    pub(super) part: Option<String>,
    pub(super) path: Option<String>,
    pub(super) span: Option<(u32, u32)>,
    /// The text that is spanned.
    pub(super) text: Option<String>,
    /// A part of the message.
    pub(super) message: Option<String>,
    pub(super) score: Option<f64>,
}

/// The output as it may be used.
#[derive(PartialEq, Eq)]
pub(super) enum ExpectOutput {
    /// A text, or the text of a JSON document.
    Text(String),
    /// The contents of messages.
    Messages(Vec<String>),
}

pub(super) struct ExpectProblem {
    pub(super) pointer: String,
    pub(super) message: Option<String>,
}

/// What is wrong with a cases file.
#[derive(Debug, thiserror::Error)]
#[error("{}:{line}: {}{message}", file.display(), case.as_ref().map(|case| format!("case `{case}`: ")).unwrap_or_default())]
pub(super) struct BadCases {
    file: PathBuf,
    line: usize,
    case: Option<String>,
    message: String,
}

/// Where we are in the file.
struct Place<'a> {
    file: &'a Path,
    text: &'a str,
    case: Option<&'a str>,
}

impl Place<'_> {
    fn wrong(&self, span: &Range<usize>, message: impl Into<String>) -> BadCases {
        BadCases {
            file: self.file.to_owned(),
            line: line(self.text, span.start),
            case: self.case.map(str::to_owned),
            message: message.into(),
        }
    }

    /// The value as JSON text.
    fn json_text(&self, key: &str, value: &Spanned<toml::Table>) -> Result<String, BadCases> {
        let table = toml::Value::Table(value.get_ref().clone());
        json(&table).map(|json| json.to_string()).map_err(|why| self.wrong(&value.span(), format!("{key}: {why}")))
    }

    fn values(&self, key: &str, table: &Spanned<toml::Table>) -> Result<Vec<(String, Scalar)>, BadCases> {
        let value = |(name, value): (&String, &toml::Value)| {
            let value = scalar(value).ok_or_else(|| {
                self.wrong(&table.span(), format!("{key}.{name}: wants a boolean, a number or a text"))
            })?;
            Ok((name.clone(), value))
        };
        table.get_ref().iter().map(value).collect()
    }

    fn word(&self, key: &str, written: &Spanned<String>, allowed: &[&str]) -> Result<String, BadCases> {
        if allowed.contains(&written.get_ref().as_str()) {
            return Ok(written.get_ref().clone());
        }
        Err(self.wrong(&written.span(), not_one_of(key, written.get_ref(), allowed)))
    }
}

fn not_one_of(key: &str, written: &str, allowed: &[&str]) -> String {
    format!("{key}: `{written}` is none of {}", allowed.join(", "))
}

fn line(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

impl Cases {
    /// Reads `text`, which stands in `file`. `declared` are the limits that the component asks for.
    pub(super) fn parse(file: &Path, text: &str, declared: Option<&Declared>) -> Result<Self, BadCases> {
        let raw: RawFile = toml::from_str(text).map_err(|error| BadCases {
            file: file.to_owned(),
            line: error.span().map_or(1, |span| line(text, span.start)),
            case: None,
            message: error.message().to_owned(),
        })?;
        let place = Place { file, text, case: None };
        let limits = limits(&place, &raw, declared)?;
        let settings = raw.settings.as_ref().map_or(Ok("{}".to_owned()), |it| place.json_text("settings", it))?;
        let mut names = BTreeSet::new();
        let mut cases = Vec::with_capacity(raw.case.len());
        for spanned in raw.case {
            let span = spanned.span();
            let raw = spanned.into_inner();
            let name = raw.name.clone();
            if name.is_empty() || name.len() > inference::MAX_ID_BYTES || name.chars().any(char::is_control) {
                return Err(place.wrong(&span, "name: 1 to 256 bytes without control characters are wanted"));
            }
            if !names.insert(name.clone()) {
                return Err(place.wrong(&span, format!("two cases have the name `{name}`")));
            }
            cases.push(case(&Place { case: Some(&name), ..place }, &span, raw, &settings)?);
        }
        Ok(Self { file: file.to_owned(), text: text.to_owned(), limits, cases })
    }
}

/// What the file says, or else the component, or else a box.
fn limits(place: &Place, raw: &RawFile, declared: Option<&Declared>) -> Result<Limits, BadCases> {
    let mut limits = default_limits(declared);
    let wrong = |span: Range<usize>, key: &str, why: String| place.wrong(&span, format!("{key}: {why}"));
    if let Some(written) = &raw.deadline {
        limits.deadline = units::duration(written.get_ref()).map_err(|why| wrong(written.span(), "deadline", why))?;
    }
    if let Some(written) = &raw.memory {
        let bytes = units::bytes(written.get_ref()).map_err(|why| wrong(written.span(), "memory", why))?;
        if bytes > MOST_MEMORY {
            return Err(wrong(written.span(), "memory", "is more than 4GiB".into()));
        }
        limits.memory = bytes;
    }
    if let Some(written) = &raw.answer {
        let bytes = units::bytes(written.get_ref()).map_err(|why| wrong(written.span(), "answer", why))?;
        limits.answer_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some(written) = &raw.findings {
        limits.findings = usize::try_from(*written.get_ref())
            .ok()
            .filter(|count| (1..=4096).contains(count))
            .ok_or_else(|| wrong(written.span(), "findings", "wants 1 to 4096".into()))?;
    }
    Ok(limits)
}

/// More than this no memory of a guard can have.
const MOST_MEMORY: u64 = 4 << 30;

/// The limits under which a guard is tried that declares these.
pub(in crate::cli::guard) fn default_limits(declared: Option<&Declared>) -> Limits {
    let mut limits = Limits { deadline: PATIENT, load_deadline: Duration::from_secs(60), ..Limits::default() };
    let Some(declared) = declared else { return limits };
    if let Some(milliseconds) = declared.deadline_ms {
        limits.deadline = PATIENT.max(Duration::from_millis(milliseconds.min(600_000)));
    }
    if let Some(bytes) = declared.memory_bytes {
        limits.memory = bytes.min(MOST_MEMORY);
    }
    if let Some(elements) = declared.table_elements {
        limits.table_elements = elements.min(10_000_000);
    }
    if let Some(bytes) = declared.answer_bytes {
        limits.answer_bytes = usize::try_from(bytes.min(256 << 20)).unwrap_or(usize::MAX);
    }
    if let Some(count) = declared.findings {
        limits.findings = usize::try_from(count.min(4096)).unwrap_or(4096);
    }
    limits
}

fn case(place: &Place, span: &Range<usize>, raw: RawCase, settings: &str) -> Result<Case, BadCases> {
    let expect_at = raw.expect.as_ref().map(Spanned::span);
    let expect = raw.expect.map(|expect| self::expect(place, expect)).transpose()?;
    let refused = matches!(expect, Some(Expect::Problems(_)));
    let mut inference = match (raw.text, raw.json, raw.inference) {
        (Some(text), None, None) => {
            Some(read(place, span, &serde_json::json!({ "output": { "text": text } }).to_string())?)
        }
        (None, Some(json), None) => {
            let document = json.get_ref();
            serde_json::from_str::<IgnoredAny>(document)
                .map_err(|why| place.wrong(&json.span(), format!("json: is no JSON document: {why}")))?;
            Some(read(place, &json.span(), &format!("{{\"output\":{{\"json\":{document}}}}}"))?)
        }
        (None, None, Some(written)) => {
            let text = match written.get_ref() {
                toml::Value::String(text) => text.clone(),
                toml::Value::Table(_) => json(written.get_ref())
                    .map_err(|why| place.wrong(&written.span(), format!("inference: {why}")))?
                    .to_string(),
                _ => return Err(place.wrong(&written.span(), "inference: wants a table, or JSON as text")),
            };
            Some(read(place, &written.span(), &text)?)
        }
        (None, None, None) if refused => None,
        _ => return Err(place.wrong(span, "wants exactly one of `text`, `json` and `inference`")),
    };
    if let Some(inference) = &mut inference {
        // As in the pipeline: the host's own measurements first, then those of other guards.
        inference.measurements = crate::measure::measure(inference);
        let given = raw.measurements.as_ref().map_or(Ok(Vec::new()), |it| place.values("measurements", it))?;
        inference.measurements.extend(given.into_iter().map(|(name, value)| NamedValue { name, value }));
    }
    Ok(Case {
        name: raw.name,
        line: line(place.text, span.start),
        settings: raw.settings.as_ref().map_or(Ok(settings.to_owned()), |it| place.json_text("settings", it))?,
        inference,
        expect,
        expect_at,
    })
}

/// The inference that `text` is, which may leave out `id` and `model`.
fn read(place: &Place, span: &Range<usize>, text: &str) -> Result<Inference, BadCases> {
    #[derive(Deserialize)]
    struct Named {
        id: Option<IgnoredAny>,
        model: Option<IgnoredAny>,
    }
    let text = text.trim();
    let named: Named = serde_json::from_str(text)
        .map_err(|error| place.wrong(span, format!("inference: is no JSON object: {error}")))?;
    let mut whole = String::with_capacity(text.len() + 64);
    whole.push('{');
    let rest = text.strip_prefix('{').unwrap_or(text);
    for (member, is_there, value) in [("id", named.id, place.case.unwrap_or("case")), ("model", named.model, "test")] {
        if is_there.is_none() {
            whole.push_str(&format!("{}:{},", Json::from(member), Json::from(value)));
        }
    }
    if rest.trim_start().starts_with('}') {
        whole.pop();
    }
    whole.push_str(rest);
    let received =
        inference::parse(whole.as_bytes()).map_err(|error| place.wrong(span, format!("inference: {error}")))?;
    Ok(received.inference)
}

const DECISIONS: [&str; 4] = ["allow", "flag", "redact", "block"];
const CAUSES: [&str; 5] = ["trap", "deadline", "memory", "answer", "refused"];
const SEVERITIES: [&str; 5] = ["info", "low", "medium", "high", "critical"];
const PARTS: [&str; 5] = ["input", "context", "output", "features", "attributes"];

fn expect(place: &Place, spanned: Spanned<RawExpect>) -> Result<Expect, BadCases> {
    let span = spanned.span();
    let raw = spanned.into_inner();
    let of_verdict = raw.decision.is_some()
        || raw.findings.is_some()
        || raw.more
        || raw.output.is_some()
        || raw.measurements.is_some();
    match (raw.failure, raw.problems) {
        (Some(failure), None) if !of_verdict => {
            return Ok(Expect::Failure(place.word("expect.failure", &failure, &CAUSES)?));
        }
        (None, Some(problems)) if !of_verdict => {
            let problem = |raw: super::raw::RawProblem| ExpectProblem { pointer: raw.pointer, message: raw.message };
            return Ok(Expect::Problems(problems.into_iter().map(problem).collect()));
        }
        (None, None) => {}
        _ => {
            let message = "expect: `failure`, `problems` and the keys of a verdict exclude each other";
            return Err(place.wrong(&span, message));
        }
    }
    let findings =
        raw.findings.map(|findings| findings.into_iter().map(|raw| finding(place, raw)).collect::<Result<Vec<_>, _>>());
    Ok(Expect::Verdict(ExpectVerdict {
        decision: raw.decision.map(|word| place.word("expect.decision", &word, &DECISIONS)).transpose()?,
        findings: findings.transpose()?,
        more: raw.more,
        output: raw.output.map(|written| output(place, &written)).transpose()?,
        measurements: raw.measurements.map_or(Ok(Vec::new()), |table| place.values("expect.measurements", &table))?,
    }))
}

fn finding(place: &Place, spanned: Spanned<RawFinding>) -> Result<ExpectFinding, BadCases> {
    let span = spanned.span();
    let raw = spanned.into_inner();
    let words = [("severity", &raw.severity, &SEVERITIES), ("part", &raw.part, &PARTS)];
    for (key, written, allowed) in words {
        if let Some(word) = written.as_ref().filter(|word| !allowed.contains(&word.as_str())) {
            return Err(place.wrong(&span, not_one_of(&format!("expect.findings.{key}"), word, allowed)));
        }
    }
    Ok(ExpectFinding {
        rule: raw.rule,
        severity: raw.severity,
        part: raw.part,
        path: raw.path,
        span: raw.span,
        text: raw.text,
        message: raw.message,
        score: raw.score,
    })
}

fn output(place: &Place, written: &Spanned<toml::Value>) -> Result<ExpectOutput, BadCases> {
    let texts = |values: &[toml::Value]| {
        values.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
    };
    match written.get_ref() {
        toml::Value::String(text) => Some(ExpectOutput::Text(text.clone())),
        toml::Value::Array(values) => texts(values).map(ExpectOutput::Messages),
        _ => None,
    }
    .ok_or_else(|| {
        place.wrong(&written.span(), "expect.output: wants a text, or for messages a list of their contents")
    })
}
