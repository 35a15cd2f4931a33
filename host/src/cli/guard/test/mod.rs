//! `picket guard test`: does a guard say what its author means it to, always the same, and nothing that breaks?
//!
//! It runs a component in the sandbox without asking the trust policy: what it says here decides about nothing.

pub(in crate::cli::guard) mod cases;
mod diff;
mod difference;
mod generate;
mod judges;
mod property;
mod raw;
mod report;
mod show;
mod to_json;
mod update;

pub(in crate::cli::guard) use cases::default_limits as limits_of;
pub(in crate::cli::guard) use judges::options;

use crate::cli::{Answer, BadInput, Output, print};
use anyhow::Context as _;
use cases::{Case, Cases, Expect};
use judges::Judges;
use picket_engine::{Descriptor, Inspection, Limits, World};
use report::{Coverage, Report, Tried};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use update::{Got, Update};

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The component.
    component: PathBuf,
    /// Cases file, or a folder of them; may be given again. Default: `cases.toml` and `cases/*.toml` beside the component,
    /// or else in the working folder.
    #[arg(long, value_name = "FILE")]
    cases: Vec<PathBuf>,
    /// Write what the guard says now as what is expected of it, and show what has changed in the file.
    #[arg(long)]
    update: bool,
    /// Fail when fewer of the guard's rules than this are expected by a case.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    min_coverage: Option<u8>,
    /// Also try this many random inferences with each of the settings that the cases have.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    property: Option<u64>,
    /// Which random inferences: the same seed gives the same ones.
    #[arg(long, default_value_t = 1, requires = "property")]
    seed: u64,
}

pub(in crate::cli::guard) fn run(args: &Args, output: Output) -> Answer {
    let (wasm, inspection) = component(&args.component)?;
    let files = match files(&args.cases, &args.component) {
        // Random inferences need no cases.
        Err(_) if args.property.is_some() && args.cases.is_empty() => Vec::new(),
        files => files?,
    };
    if inspection.world == Some(World::Detector) {
        let message = "is a detector; cases are for guards that judge inferences";
        return Err(BadInput(format!("{}: {message}", args.component.display())).into());
    }
    let name = args.component.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut judges = Judges::new(&name, &wasm);
    let mut report = Report::new(output);
    let mut rules = Rules::default();
    let mut tried = Vec::new();
    for file in &files {
        let cases = read(file, &inspection)?;
        let mut update = Update::default();
        for (index, case) in cases.cases.iter().enumerate() {
            let noted = args.update.then_some((index, &mut update));
            let result = judge(&mut judges, &cases, case, &mut rules, noted)?;
            report.case(&cases, case, &result)?;
            let with = (case.settings.clone(), cases.limits);
            if !matches!(case.expect, Some(Expect::Problems(_))) && !tried.contains(&with) {
                tried.push(with);
            }
        }
        if let Some(text) = update.text(&cases.text) {
            write(&cases, &text, &inspection, output)?;
        }
    }
    if files.is_empty() {
        tried.push(("{}".to_owned(), limits_of(inspection.declared.as_ref())));
    }
    if let Some(count) = args.property {
        for (settings, limits) in &tried {
            properties(&mut judges, settings, limits, (count, args.seed), &mut report, &mut rules)?;
        }
    }
    let coverage = rules.coverage(args.min_coverage);
    report.end(coverage.as_ref())
}

/// The bytes of a component that may be a guard, and what it is.
pub(in crate::cli::guard) fn component(path: &Path) -> anyhow::Result<(Vec<u8>, Inspection)> {
    let shown = path.display();
    let bytes = super::describe::read(path)?;
    let inspection = picket_engine::inspect(&bytes).map_err(|error| BadInput(format!("{shown}: {error}")))?;
    if !inspection.imports.is_empty() {
        let imports = crate::cli::text::clean(&inspection.imports.join(", "));
        let message = "a guard may import nothing; build it without WASI and without host calls";
        return Err(BadInput(format!("{shown}: imports {imports}: {message}")).into());
    }
    if inspection.world.is_none() {
        let message = "has no world of picket:guard; `picket guard inspect` shows its exports";
        return Err(BadInput(format!("{shown}: {message}")).into());
    }
    Ok((bytes, inspection))
}

/// The cases files, in order of their names.
fn files(given: &[PathBuf], component: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if !given.is_empty() {
        for path in given {
            if path.is_dir() { files.extend(in_folder(path)?) } else { files.push(path.clone()) }
        }
        if files.is_empty() {
            return Err(BadInput("there is no *.toml in the folders given with --cases".into()).into());
        }
        return Ok(files);
    }
    let beside = component.parent().unwrap_or(Path::new(""));
    for folder in [beside, Path::new("")] {
        let single = folder.join("cases.toml");
        if single.is_file() {
            files.push(single);
        }
        let several = folder.join("cases");
        if several.is_dir() {
            files.extend(in_folder(&several)?);
        }
        if !files.is_empty() {
            return Ok(files);
        }
    }
    let message = "no cases: there is no cases.toml and no cases/*.toml beside the component or in this folder; \
                   name one with --cases";
    Err(BadInput(message.into()).into())
}

fn in_folder(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let shown = folder.display();
    let entries = std::fs::read_dir(folder).map_err(|error| BadInput(format!("{shown}: {error}")))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("{shown}"))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path, inspection: &Inspection) -> anyhow::Result<Cases> {
    let text = std::fs::read_to_string(file).map_err(|error| BadInput(format!("{}: {error}", file.display())))?;
    let cases = Cases::parse(file, &text, inspection.declared.as_ref()).map_err(|error| BadInput(error.to_string()))?;
    Ok(cases)
}

/// What the guard declares and what the cases speak of.
#[derive(Default)]
struct Rules {
    declared: Option<Vec<String>>,
    expected: BTreeSet<String>,
}

impl Rules {
    fn declares(&mut self, descriptor: &Descriptor) {
        self.declared.get_or_insert_with(|| descriptor.rules.iter().map(|rule| rule.id.clone()).collect());
    }

    fn expects(&mut self, expect: Option<&Expect>) {
        if let Some(Expect::Verdict(verdict)) = expect {
            let rules = verdict.findings.iter().flatten().filter_map(|finding| finding.rule.clone());
            self.expected.extend(rules);
        }
    }

    /// Nothing where the guard never came to say what its rules are.
    fn coverage(self, least: Option<u8>) -> Option<Coverage> {
        let declared = self.declared?;
        let missing = declared.iter().filter(|rule| !self.expected.contains(*rule)).cloned().collect();
        Some(Coverage { declared, missing, least })
    }
}

/// Writes the renewed file, once it is known to be one.
fn write(cases: &Cases, text: &str, inspection: &Inspection, output: Output) -> anyhow::Result<()> {
    let file = cases.file.display();
    Cases::parse(&cases.file, text, inspection.declared.as_ref())
        .map_err(|error| BadInput(format!("--update cannot write into this file as it is written: {error}")))?;
    std::fs::write(&cases.file, text).with_context(|| file.to_string())?;
    if !output.json {
        print(format_args!("{file}:"))?;
        for line in diff::lines(&cases.text, text) {
            print(format_args!("  {}", crate::cli::text::clean(&line)))?;
        }
    }
    Ok(())
}

/// Tries random inferences with these settings. Settings that do not load have been told with their case.
fn properties(
    judges: &mut Judges,
    settings: &str,
    limits: &Limits,
    (count, seed): (u64, u64),
    report: &mut Report,
    rules: &mut Rules,
) -> anyhow::Result<()> {
    match judges.pair(settings, limits)? {
        Ok(pair) => {
            rules.declares(pair.service.descriptor());
            report.property(settings, count, seed, property::search(pair, count, seed).as_ref())
        }
        Err(error) => {
            let found = property::Found { number: 0, inference: String::new(), why: error.to_string() };
            report.property(settings, count, seed, Some(&found))
        }
    }
}

/// Tries one case.
fn judge(
    judges: &mut Judges,
    cases: &Cases,
    case: &Case,
    rules: &mut Rules,
    update: Option<(usize, &mut Update)>,
) -> anyhow::Result<Tried> {
    let noted = |mut tried: Tried, got: &Got| {
        if let Some((index, update)) = update.filter(|_| !tried.differences.is_empty() && tried.unstable.is_none()) {
            match update.note(cases, index, case, got) {
                Ok(()) => (tried.differences, tried.updated) = (Vec::new(), true),
                Err(why) => tried.differences.push(format!("not updated: {why}")),
            }
        }
        tried
    };
    rules.expects(case.expect.as_ref());
    let pair = match judges.pair(&case.settings, &cases.limits)? {
        Ok(pair) => pair,
        Err(error) => {
            let tried = Tried::refused(difference::of_load(case.expect.as_ref(), error));
            return Ok(noted(tried, &Got::Refused(error)));
        }
    };
    rules.declares(pair.service.descriptor());
    let Some(inference) = &case.inference else {
        return Ok(Tried::refused(vec!["the settings are accepted; problems were expected".to_owned()]));
    };
    let judged = pair.judge(inference);
    let differences = match &case.expect {
        Some(expect) => difference::of_outcome(expect, &judged.outcome, inference),
        None => vec![format!("expects nothing; {}", report::got(&judged.outcome))],
    };
    let tried = Tried { differences, unstable: judged.unstable, updated: false, outcome: None };
    let tried = noted(tried, &Got::Outcome(&judged.outcome, inference));
    Ok(Tried { outcome: Some(judged.outcome), ..tried })
}
