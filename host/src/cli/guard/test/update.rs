//! `--update`: what the guard says now becomes what is expected of it, where something else or nothing was. The rest of
//! the file stays byte for byte as it is; the expectation that is replaced is replaced whole.

use super::cases::{Case, Cases, ExpectOutput};
use super::difference::output;
use super::show;
use crate::inference::severity_name;
use picket_engine::{Decision, Failure, Finding, Inference, LoadError, Part, Verdict, part_name};
use std::ops::Range;
use toml::{Table, Value};

/// What the guard made of a case.
pub(super) enum Got<'a> {
    Outcome(&'a Result<Verdict, Failure>, &'a Inference),
    Refused(&'a LoadError),
}

/// Changes to one file, in the order of its cases.
#[derive(Default)]
pub(super) struct Update(Vec<(Range<usize>, String)>);

impl Update {
    /// Takes note of what came of the case at `index` of the file.
    ///
    /// # Errors
    /// A message: it cannot be written down.
    pub(super) fn note(&mut self, cases: &Cases, index: usize, case: &Case, got: &Got) -> Result<(), String> {
        let expectation = expectation(got)?;
        let end = cases.cases.get(index + 1).map_or(cases.text.len(), |next| line_start(&cases.text, next.line));
        let edit = match &case.expect_at {
            Some(at) if cases.text[at.clone()].starts_with('{') => (at.clone(), Value::Table(expectation).to_string()),
            Some(at) => {
                let start = cases.text[..at.start].rfind('\n').map_or(0, |at| at + 1);
                let head = cases.text[start..end].lines().next().unwrap_or_default();
                let more = cases.text[start..end].lines().skip(1).any(|line| line.trim_start().starts_with('['));
                if head.trim() != "[case.expect]" || more {
                    return Err(
                        "write `expect` as one table behind all else of the case, for --update to find it".into()
                    );
                }
                (start..start + cases.text[start..end].trim_end().len(), headed(&expectation))
            }
            None => {
                let kept = cases.text[..end].trim_end().len();
                (kept..kept, format!("\n{}", headed(&expectation)))
            }
        };
        self.0.push(edit);
        Ok(())
    }

    /// The file's text with all changes; nothing when there are none.
    pub(super) fn text(&self, old: &str) -> Option<String> {
        let mut text = old.to_owned();
        // From the end, so that what is before stays where it is.
        for (at, new) in self.0.iter().rev() {
            text.replace_range(at.clone(), new);
        }
        (!self.0.is_empty()).then_some(text)
    }
}

/// Where line `line`, from 1, begins.
fn line_start(text: &str, line: usize) -> usize {
    text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum()
}

fn headed(expectation: &Table) -> String {
    let keys: Vec<_> = expectation.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("[case.expect]\n{}", keys.join("\n"))
}

/// All of what `got` is, as an expectation.
fn expectation(got: &Got) -> Result<Table, String> {
    let mut table = Table::new();
    match got {
        Got::Refused(LoadError::Settings { problems, .. }) => {
            let problem = |pointer: &String| Table::from_iter([("pointer".to_owned(), Value::from(pointer.as_str()))]);
            let problems: Vec<_> = problems.iter().map(|it| Value::Table(problem(&it.pointer))).collect();
            table.insert("problems".into(), Value::Array(problems));
        }
        Got::Refused(error) => return Err(error.to_string()),
        Got::Outcome(Err(failure), _) => {
            table.insert("failure".into(), failure.cause.to_string().into());
        }
        Got::Outcome(Ok(verdict), inference) => {
            table.insert("decision".into(), show::decision(&verdict.decision).into());
            let findings = verdict.findings.iter().map(|it| Value::Table(finding(it, inference))).collect();
            table.insert("findings".into(), Value::Array(findings));
            if matches!(verdict.decision, Decision::Redact(_)) {
                let usable = match output(verdict, inference)? {
                    ExpectOutput::Text(text) => text.into(),
                    ExpectOutput::Messages(contents) => contents.into(),
                };
                table.insert("output".into(), usable);
            }
        }
    }
    Ok(table)
}

/// Rule, severity and place; the spanned text rather than its offsets, where it is short enough to be read.
fn finding(finding: &Finding, inference: &Inference) -> Table {
    let mut table = Table::new();
    table.insert("rule".into(), finding.rule.as_str().into());
    table.insert("severity".into(), severity_name(finding.severity).into());
    let Some(location) = &finding.location else { return table };
    if location.part != Part::Output {
        table.insert("part".into(), part_name(location.part).into());
    }
    if !location.path.is_empty() {
        table.insert("path".into(), location.path.as_str().into());
    }
    let Some(span) = location.span else { return table };
    match show::spanned(location, inference).filter(|text| text.len() <= 120) {
        Some(text) => table.insert("text".into(), text.into()),
        None => table.insert("span".into(), vec![i64::from(span.start), i64::from(span.end)].into()),
    };
    table
}
