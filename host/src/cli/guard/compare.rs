//! `picket guard compare`: where a guard and its candidate disagree.

use crate::cli::ledger::LedgerArgs;
use crate::cli::log::moment;
use crate::cli::text::{Lines, clean, short};
use crate::cli::{Answer, BadInput, Exit, Output};
use crate::evidence::{Comparison, Selection, Version, compare};
use std::collections::BTreeMap;
use std::fmt::Display;

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    ledger: LedgerArgs,
    /// The guard's name in the configuration.
    name: String,
    /// Only verdicts since then: an RFC 3339 time, or an age such as 30m, 2h, 7d.
    #[arg(long, value_name = "TIME|AGE")]
    since: Option<String>,
    /// Only verdicts before then: an RFC 3339 time, or an age such as 30m, 2h, 7d.
    #[arg(long, value_name = "TIME|AGE")]
    until: Option<String>,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let mut query = Selection::default();
    if let Some(since) = &args.since {
        query.times.start = moment("--since", since)?;
    }
    if let Some(until) = &args.until {
        query.times.end = moment("--until", until)?;
    }
    let comparisons = compare(&args.ledger.evidence()?, &args.name, query)?;
    if comparisons.is_empty() {
        let message = format!(
            "no verdict holds results of both `{}` and a candidate of it; give the guard a `candidate` in the \
             configuration, or look at another time with --since and --until",
            args.name
        );
        return Err(BadInput(message).into());
    }
    let mut lines = Lines::new();
    if output.json {
        lines.json(&serde_json::json!({ "guard": args.name, "pairs": comparisons }))?;
    } else {
        comparisons.iter().try_for_each(|comparison| tell(&args.name, comparison, &mut lines))?;
    }
    lines.end()?;
    let disagree = comparisons.iter().any(|comparison| comparison.disagree > 0);
    Ok(if disagree { Exit::Found } else { Exit::Done })
}

fn tell(name: &str, comparison: &Comparison, lines: &mut Lines) -> anyhow::Result<()> {
    let Comparison { current, candidate, .. } = comparison;
    let words =
        |version: &Version| format!("component {} settings {}", short(&version.component), short(&version.settings));
    lines.text(format_args!("guard      {name}: {}", words(current)))?;
    lines.text(format_args!("candidate  {name}: {}", words(candidate)))?;
    lines.text(format_args!(
        "both judged {}: {} agree ({} byte for byte), {} disagree; {} more were not asked of both",
        comparison.both, comparison.agree, comparison.identical, comparison.disagree, comparison.not_asked
    ))?;
    for cell in &comparison.decisions {
        lines.text(format_args!("  {:8} -> {:8} {}", cell.current, cell.candidate, cell.count))?;
    }
    counts("findings of the guard alone", &comparison.only_current, lines)?;
    counts("findings of the candidate alone", &comparison.only_candidate, lines)?;
    counts("failures of the guard", &comparison.failures_current, lines)?;
    counts("failures of the candidate", &comparison.failures_candidate, lines)?;
    for example in &comparison.examples {
        let (entry, inference) = (example.entry, clean(&example.inference));
        lines.text(format_args!("  entry {entry} {inference}: {} -> {}", example.current, example.candidate))?;
    }
    Ok(())
}

fn counts<N: Display>(what: &str, counts: &BTreeMap<N, u64>, lines: &mut Lines) -> anyhow::Result<()> {
    if counts.is_empty() {
        return Ok(());
    }
    let list: Vec<String> =
        counts.iter().map(|(name, count)| format!("{} {count}", clean(&name.to_string()))).collect();
    lines.text(format_args!("{what}: {}", list.join(", ")))
}
