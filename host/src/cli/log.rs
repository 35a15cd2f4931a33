//! `picket log`: what the ledger holds, an entry a line.

mod filter;
mod follow;

pub(super) use filter::moment;

use picket_ledger::Entry;

use super::ledger::LedgerArgs;
use super::text::{Lines, entry_json, summary, time};
use super::{Answer, BadInput, Exit, Output};
use crate::evidence::{Evidence, Hit, Selection, decode};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    ledger: LedgerArgs,
    /// First entry: an index, or an RFC 3339 time.
    #[arg(long, value_name = "INDEX|TIME")]
    from: Option<String>,
    /// End, not included: an index, or an RFC 3339 time.
    #[arg(long, value_name = "INDEX|TIME")]
    to: Option<String>,
    /// Only entries since then: an RFC 3339 time, or an age such as 30m, 2h, 7d.
    #[arg(long, value_name = "TIME|AGE")]
    since: Option<String>,
    /// Only entries before then: an RFC 3339 time, or an age such as 30m, 2h, 7d.
    #[arg(long, value_name = "TIME|AGE")]
    until: Option<String>,
    /// At most this many entries, 0 for all; the newest, or with --from or --since the first ones.
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
    /// Only entries of this kind, such as verdict, drift, approval. May be given again for more kinds.
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Only verdicts, alarms and records of this model.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Only verdicts on this version of a model, and its record.
    #[arg(long, value_name = "VERSION")]
    model_version: Option<String>,
    /// Only verdicts with this decision: allow, flag, redact, block. May be given again for more.
    #[arg(long, value_name = "DECISION")]
    decision: Vec<String>,
    /// Only verdicts in which this guard found something or failed, its loads, and alarms of this detector.
    #[arg(long, value_name = "NAME")]
    guard: Option<String>,
    /// Only verdicts with a finding of this rule, and alarms of it.
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// Only verdicts in which a guard failed so: trap, deadline, memory, answer, refused, unavailable. May be given
    /// again for more.
    #[arg(long, value_name = "CAUSE")]
    failure: Vec<String>,
    /// Only verdicts with this inference id or trace id, or #n for invocation n.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Go on with the entries that the running service writes, until interrupted.
    #[arg(long, conflicts_with_all = ["to", "until"])]
    follow: bool,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let query = filter::query(args)?;
    let evidence = args.ledger.evidence()?;
    let mut printer = Printer { lines: Lines::new(), output, printed: 0 };
    if args.follow {
        follow::run(&evidence, query, args, &mut printer)?;
    } else {
        let size = evidence.head()?.size;
        existing(&evidence, query, args, &mut printer)?;
        if printer.printed == 0 && !output.json {
            eprintln!("no entry fits (the ledger has {size})");
        }
    }
    printer.lines.end()?;
    Ok(Exit::Done)
}

/// What is there, in the order of the ledger: the newest of what fits, or the first ones where a start was given.
fn existing(evidence: &Evidence, mut query: Selection, args: &Args, printer: &mut Printer) -> anyhow::Result<()> {
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    if args.from.is_some() || args.since.is_some() || args.limit == 0 {
        for hit in evidence.select(query, limit) {
            printer.print(&hit?)?;
        }
        return Ok(());
    }
    query.newest_first = true;
    let found = evidence.select(query, limit).collect::<Result<Vec<Hit>, _>>()?;
    found.iter().rev().try_for_each(|hit| printer.print(hit))
}

struct Printer {
    lines: Lines,
    output: Output,
    printed: usize,
}

impl Printer {
    fn print(&mut self, hit: &Hit) -> anyhow::Result<()> {
        self.printed += 1;
        let entry: Entry = decode(hit.index, &hit.bytes)?;
        if self.output.json {
            return self.lines.json(&entry_json(&entry, &hit.bytes)?);
        }
        let kind = entry.body.kind().name();
        self.lines.text(format_args!("{:>8}  {}  {kind:18}  {}", entry.index, time(entry.wall_ms), summary(&entry)))
    }
}
