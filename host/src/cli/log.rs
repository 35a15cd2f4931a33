//! `picket log`: what the ledger holds, an entry a line.

use std::ops::Range;

use jiff::Timestamp;
use picket_ledger::Entry;
use picket_ledger::entry::{Body, Header, Kind};

use super::ledger::LedgerArgs;
use super::text::{Lines, entry_json, summary, time};
use super::{Answer, BadInput, Exit, Output};
use crate::evidence::{Evidence, decode};

/// Entries read at once on the way back from the newest.
const PIECE: u64 = 256;

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
    /// At most this many entries, 0 for all; the newest, or with --from the first ones.
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
    /// Only entries of this kind, such as verdict, drift, approval.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only verdicts, alarms and records of this model.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Only verdicts with this decision: allow, flag, redact, block.
    #[arg(long, value_name = "DECISION")]
    decision: Option<String>,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let filter = Filter::of(args)?;
    let evidence = args.ledger.evidence()?;
    let size = evidence.head()?.size;
    let range = filter.indexes.start..filter.indexes.end.min(size);
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut printer = Printer { lines: Lines::new(), output, printed: 0 };
    if args.from.is_some() || args.limit == 0 {
        forward(&evidence, range, &filter, limit, &mut printer)?;
    } else {
        newest(&evidence, range, &filter, limit, &mut printer)?;
    }
    if printer.printed == 0 && !output.json {
        eprintln!("no entry fits (the ledger has {size})");
    }
    printer.lines.end()?;
    Ok(Exit::Done)
}

fn forward(
    evidence: &Evidence,
    range: Range<u64>,
    filter: &Filter,
    limit: usize,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    for next in evidence.entries(range) {
        let (index, bytes) = next?;
        if let Some(entry) = filter.pass(index, &bytes)? {
            printer.print(&entry, &bytes)?;
            if printer.printed >= limit {
                break;
            }
        }
    }
    Ok(())
}

/// The last `limit` that pass, in the order of the ledger.
fn newest(
    evidence: &Evidence,
    range: Range<u64>,
    filter: &Filter,
    limit: usize,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    let mut found = Vec::new();
    let mut end = range.end;
    while end > range.start && found.len() < limit {
        // Aligned, because the store reads in such pieces.
        let start = ((end - 1) / PIECE * PIECE).max(range.start);
        let mut piece = Vec::new();
        for next in evidence.entries(start..end) {
            let (index, bytes) = next?;
            if let Some(entry) = filter.pass(index, &bytes)? {
                piece.push((entry, bytes));
            }
        }
        found.extend(piece.into_iter().rev());
        end = start;
    }
    found.truncate(limit);
    for (entry, bytes) in found.iter().rev() {
        printer.print(entry, bytes)?;
    }
    Ok(())
}

struct Printer {
    lines: Lines,
    output: Output,
    printed: usize,
}

impl Printer {
    fn print(&mut self, entry: &Entry, bytes: &[u8]) -> anyhow::Result<()> {
        self.printed += 1;
        if self.output.json {
            return self.lines.json(&entry_json(entry, bytes)?);
        }
        let kind = entry.body.kind().name();
        self.lines.text(format_args!("{:>8}  {}  {kind:18}  {}", entry.index, time(entry.wall_ms), summary(entry)))
    }
}

struct Filter {
    indexes: Range<u64>,
    times: Range<u64>,
    kind: Option<Kind>,
    model: Option<String>,
    decision: Option<String>,
}

impl Filter {
    fn of(args: &Args) -> anyhow::Result<Self> {
        let mut filter = Self {
            indexes: 0..u64::MAX,
            times: 0..u64::MAX,
            kind: args.kind.as_deref().map(kind).transpose()?,
            model: args.model.clone(),
            decision: args.decision.clone(),
        };
        match args.from.as_deref().map(bound).transpose()? {
            Some(Bound::Index(index)) => filter.indexes.start = index,
            Some(Bound::Time(time)) => filter.times.start = time,
            None => (),
        }
        match args.to.as_deref().map(bound).transpose()? {
            Some(Bound::Index(index)) => filter.indexes.end = index,
            Some(Bound::Time(time)) => filter.times.end = time,
            None => (),
        }
        if let Some(decision) = &filter.decision
            && !["allow", "flag", "redact", "block"].contains(&decision.as_str())
        {
            return Err(BadInput(format!("--decision {decision:?}: it is allow, flag, redact or block")).into());
        }
        Ok(filter)
    }

    /// The entry if it passes. The header decides where it can: most entries need not be decoded.
    fn pass(&self, index: u64, bytes: &[u8]) -> anyhow::Result<Option<Entry>> {
        if let Ok(header) = Header::read(bytes) {
            let kind_fits = self.kind.is_none_or(|kind| kind == header.kind);
            let decision_fits = self.decision.is_none() || header.kind == Kind::Verdict;
            if !kind_fits || !decision_fits || !self.times.contains(&header.wall_ms) {
                return Ok(None);
            }
        }
        let entry = decode(index, bytes)?;
        let fits = self.model_fits(&entry.body) && self.decision_fits(&entry.body);
        Ok(fits.then_some(entry))
    }

    fn model_fits(&self, body: &Body) -> bool {
        let Some(model) = &self.model else { return true };
        match body {
            Body::Verdict(verdict) => verdict.model == *model,
            Body::Drift(drift) => drift.model == *model,
            Body::Record(record) => record.name == *model,
            _ => false,
        }
    }

    fn decision_fits(&self, body: &Body) -> bool {
        match (&self.decision, body) {
            (None, _) => true,
            (Some(decision), Body::Verdict(verdict)) => verdict.decision.name() == decision,
            (Some(_), _) => false,
        }
    }
}

enum Bound {
    Index(u64),
    /// Milliseconds since 1970.
    Time(u64),
}

fn bound(text: &str) -> anyhow::Result<Bound> {
    if let Ok(index) = text.parse() {
        return Ok(Bound::Index(index));
    }
    let time: Timestamp = text.parse().map_err(|error| {
        BadInput(format!("{text:?} is neither an index nor a time such as 2026-11-23T09:00:00Z: {error}"))
    })?;
    // Times before 1970 are before every entry.
    Ok(Bound::Time(u64::try_from(time.as_millisecond()).unwrap_or(0)))
}

fn kind(name: &str) -> anyhow::Result<Kind> {
    Kind::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        BadInput(format!("--kind {name:?}: the kinds are {}", names.join(", "))).into()
    })
}
