//! What is printed about a run of cases.

use super::cases::{Case, Cases};
use super::property::Found;
use super::show;
use crate::cli::text::{clean, safe_json, shortened};
use crate::cli::{Answer, Exit, Output, print};
use picket_engine::{Failure, Verdict};
use serde_json::{Value, json};

/// What came of a case.
pub(super) struct Tried {
    /// What is not as expected, a line each.
    pub(super) differences: Vec<String>,
    /// The guard does not say the same each time.
    pub(super) unstable: Option<String>,
    /// Another expectation has been written.
    pub(super) updated: bool,
    /// What it said; nothing where it was not loaded.
    pub(super) outcome: Option<Result<Verdict, Failure>>,
}

impl Tried {
    pub(super) fn refused(differences: Vec<String>) -> Self {
        Self { differences, unstable: None, updated: false, outcome: None }
    }

    pub(super) fn is_good(&self) -> bool {
        self.differences.is_empty() && self.unstable.is_none()
    }

    fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let unstable = self.unstable.iter().map(|how| format!("not deterministic: {how}"));
        self.differences.iter().cloned().chain(unstable)
    }
}

/// Which of a guard's rules some case expects.
pub(super) struct Coverage {
    pub(super) declared: Vec<String>,
    pub(super) missing: Vec<String>,
    /// Percentage that is demanded.
    pub(super) least: Option<u8>,
}

impl Coverage {
    /// Rounded down: 100 means all of them.
    fn percent(&self) -> usize {
        let covered = self.declared.len() - self.missing.len();
        (covered * 100).checked_div(self.declared.len()).unwrap_or(100)
    }

    fn is_enough(&self) -> bool {
        self.least.is_none_or(|least| self.percent() >= usize::from(least))
    }
}

/// What the guard said, in words.
pub(super) fn got(outcome: &Result<Verdict, Failure>) -> String {
    match outcome {
        Ok(verdict) => format!("the guard says {}", show::verdict(verdict)),
        Err(failure) => format!("the guard fails: {failure}"),
    }
}

/// Prints as it goes; JSON comes whole at the end.
pub(super) struct Report {
    output: Output,
    cases: Vec<Value>,
    good: usize,
    bad: usize,
    unstable: usize,
    properties: Vec<Value>,
    /// Settings with which a random inference showed something.
    broken: usize,
}

impl Report {
    pub(super) fn new(output: Output) -> Self {
        Self { output, cases: Vec::new(), good: 0, bad: 0, unstable: 0, properties: Vec::new(), broken: 0 }
    }

    pub(super) fn case(&mut self, cases: &Cases, case: &Case, result: &Tried) -> anyhow::Result<()> {
        let good = result.is_good();
        *if good { &mut self.good } else { &mut self.bad } += 1;
        self.unstable += usize::from(result.unstable.is_some());
        let file = cases.file.display();
        if self.output.json {
            self.cases.push(json!({
                "name": case.name, "file": file.to_string(), "line": case.line, "ok": good, "updated": result.updated,
                "deterministic": result.unstable.is_none(),
                "decision": decision(result), "failure": failure(result),
                "differences": result.lines().collect::<Vec<_>>(),
            }));
        } else if good {
            let word = if result.updated { "updated" } else { "ok     " };
            print(format_args!("{word} {}", clean(&case.name)))?;
        } else {
            print(format_args!("FAILED  {}  ({file}:{})", clean(&case.name), case.line))?;
            for line in result.lines() {
                print(format_args!("        {line}"))?;
            }
        }
        Ok(())
    }

    /// What random inferences have shown.
    pub(super) fn property(
        &mut self,
        settings: &str,
        count: u64,
        seed: u64,
        found: Option<&Found>,
    ) -> anyhow::Result<()> {
        self.broken += usize::from(found.is_some());
        if self.output.json {
            let found =
                found.map(|found| json!({ "number": found.number, "inference": found.inference, "why": found.why }));
            self.properties.push(json!({ "settings": settings, "inferences": count, "seed": seed, "found": found }));
            return Ok(());
        }
        let shown = shortened(settings, 60);
        let Some(found) = found else {
            return print(format_args!("ok      {count} random inferences, seed {seed}, settings {shown}"));
        };
        print(format_args!("FAILED  random inference {} of seed {seed}, settings {shown}", found.number))?;
        print(format_args!("        {}", clean(&found.why)))?;
        if !found.inference.is_empty() {
            print("        as a case:\n")?;
            print(as_case(settings, seed, found))?;
        }
        Ok(())
    }

    /// The summary, and how it ended.
    pub(super) fn end(self, coverage: Option<&Coverage>) -> Answer {
        let enough = coverage.is_none_or(Coverage::is_enough);
        if self.output.json {
            let rules = coverage.map(|coverage| {
                json!({ "declared": coverage.declared, "missing": coverage.missing, "percent": coverage.percent() })
            });
            let all = json!({
                "cases": self.cases, "ok": self.good, "failed": self.bad, "not_deterministic": self.unstable,
                "rules": rules, "properties": self.properties,
            });
            print(safe_json(&all))?;
        } else {
            print(format_args!("{} cases: {} ok, {} failed", self.good + self.bad, self.good, self.bad))?;
            if self.unstable == 0 && self.good > 0 {
                print("each judged twice, and once without snapshot, pool and optimisation: the same each time")?;
            }
            if let Some(coverage) = coverage {
                print(words(coverage))?;
            }
        }
        if let Some(coverage) = coverage.filter(|coverage| !coverage.is_enough()) {
            let least = coverage.least.unwrap_or_default();
            eprintln!(
                "error: {} % of the rules are expected by a case; --min-coverage wants {least} %",
                coverage.percent()
            );
        }
        Ok(if self.bad == 0 && self.broken == 0 && enough { Exit::Done } else { Exit::Found })
    }
}

/// To be put into a cases file as it is.
fn as_case(settings: &str, seed: u64, found: &Found) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let name = quoted(&format!("random inference {} of seed {seed}", found.number));
    let mut case = format!("[[case]]\nname = {name}\ninference = {}\n", quoted(&found.inference));
    // TOML has no null; such settings come from no cases file.
    let settings: Option<toml::Value> = serde_json::from_str(settings).ok();
    if let Some(settings) = settings {
        case.push_str(&format!("settings = {settings}\n"));
    }
    case + "expect = {}\n"
}

fn words(coverage: &Coverage) -> String {
    let declared = coverage.declared.len();
    let mut line = format!("rules: {} of {declared} expected by a case", declared - coverage.missing.len());
    if !coverage.missing.is_empty() {
        line.push_str(&format!("; by none: {}", coverage.missing.join(", ")));
    }
    line
}

fn decision(result: &Tried) -> Option<&'static str> {
    Some(show::decision(&result.outcome.as_ref()?.as_ref().ok()?.decision))
}

fn failure(result: &Tried) -> Option<Value> {
    let failure = result.outcome.as_ref()?.as_ref().err()?;
    Some(json!({ "cause": failure.cause.to_string(), "message": failure.message }))
}
