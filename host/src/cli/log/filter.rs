//! The filters of `picket log` as one query.

use jiff::Timestamp;

use super::{Args, BadInput};
use crate::evidence::{Id, Query, Selection, cause_named, decision_named, kind_named};

/// What is asked for; bad values are named with what is allowed.
pub(super) fn query(args: &Args) -> anyhow::Result<Selection> {
    let mut query = Selection::default();
    query.kinds = each("--kind", &args.kind, kind_named)?;
    query.decisions = each("--decision", &args.decision, decision_named)?;
    query.failures = each("--failure", &args.failure, cause_named)?;
    query.model.clone_from(&args.model);
    query.model_version.clone_from(&args.model_version);
    query.guard.clone_from(&args.guard);
    query.rule.clone_from(&args.rule);
    query.id = args.id.as_deref().map(|id| match Query::parse(id) {
        Query::Invocation(invocation) => Id::Invocation(invocation),
        Query::Inference(id) => Id::Text(id),
        Query::Index(_) => Id::Text(id.to_owned()),
    });
    match args.from.as_deref().map(|text| bound("--from", text)).transpose()? {
        Some(Bound::Index(index)) => query.indexes.start = index,
        Some(Bound::Time(time)) => query.times.start = time,
        None => (),
    }
    match args.to.as_deref().map(|text| bound("--to", text)).transpose()? {
        Some(Bound::Index(index)) => query.indexes.end = index,
        Some(Bound::Time(time)) => query.times.end = time,
        None => (),
    }
    if let Some(since) = &args.since {
        query.times.start = query.times.start.max(moment("--since", since)?);
    }
    if let Some(until) = &args.until {
        query.times.end = query.times.end.min(moment("--until", until)?);
    }
    Ok(query)
}

fn each<T>(option: &str, names: &[String], read: fn(&str) -> Result<T, String>) -> anyhow::Result<Vec<T>> {
    let read = |name: &String| read(name).map_err(|message| BadInput(format!("{option} {message}")).into());
    names.iter().map(read).collect()
}

enum Bound {
    Index(u64),
    /// Milliseconds since 1970.
    Time(u64),
}

fn bound(option: &str, text: &str) -> anyhow::Result<Bound> {
    if let Ok(index) = text.parse() {
        return Ok(Bound::Index(index));
    }
    let time: Timestamp = text.parse().map_err(|error| {
        BadInput(format!("{option} {text:?} is neither an index nor a time such as 2026-11-23T09:00:00Z: {error}"))
    })?;
    Ok(Bound::Time(milliseconds(time)))
}

/// A time, or how long ago; milliseconds since 1970.
pub(in crate::cli) fn moment(option: &str, text: &str) -> anyhow::Result<u64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(milliseconds(time));
    }
    let age = crate::config::duration(text).map_err(|_| {
        BadInput(format!(
            "{option} {text:?} is neither a time such as 2026-11-23T09:00:00Z nor an age such as 30m, 2h or 7d (at most ten years)"
        ))
    })?;
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    Ok(milliseconds(Timestamp::now()).saturating_sub(age))
}

/// Times before 1970 are before every entry.
fn milliseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or(0)
}
