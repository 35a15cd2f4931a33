//! Whether a log that was opened after a loss of power holds what was acknowledged before.

use picket_store::{Log, Opened};

use crate::common::key;
use crate::work::{State, Step, Work};

/// Compares a log with what `acknowledged` steps led to, and, in parts that may be, with what the step led to that
/// was under way. Returns how many steps it holds.
pub fn holds(log: &Log, opened: &Opened, work: &Work, acknowledged: usize) -> Result<usize, String> {
    if !opened.lost.is_empty() {
        return Err(format!("it says that something is lost: {:?}", opened.lost));
    }
    let report = log.fsck(Some(&key().verifier())).map_err(|error| format!("fsck: {error}"))?;
    if !report.is_clean() {
        return Err(format!("fsck: {:?}", report.problems));
    }
    let before = work.after(acknowledged);
    let Some((step, _)) = work.done.get(acknowledged) else {
        return is(log, &before, None).map(|()| acknowledged);
    };
    is(log, &before, Some(step)).map(|()| acknowledged).or_else(|complaint| {
        // A commit is there whole or not at all.
        let after = is(log, &work.after(acknowledged + 1), None).map(|()| acknowledged + 1);
        after.map_err(|other| format!("{complaint}; and if not, {other}"))
    })
}

fn is(log: &Log, state: &State, under_way: Option<&Step>) -> Result<(), String> {
    let reader = log.reader();
    let wrong = |what: String| Err(what);
    if log.size() != state.size() {
        return wrong(format!("{} entries were acknowledged, {} are there", state.size(), log.size()));
    }
    if state.root.is_some_and(|root| root != log.root()) {
        return wrong("the root is another".into());
    }
    let may_prune_to = match under_way {
        Some(Step::Prune(up_to)) => state.pruned_to.max(*up_to),
        _ => state.pruned_to,
    };
    let pruned_to = reader.pruned_to();
    if pruned_to < state.pruned_to || pruned_to > may_prune_to {
        return wrong(format!("it is pruned to {pruned_to}, asked for was {}", state.pruned_to));
    }
    let entries = reader.read(pruned_to..log.size()).map_err(|error| format!("reading: {error}"))?;
    if entries != state.entries[usize::try_from(pruned_to).unwrap()..] {
        return wrong("entries are not those that were written".into());
    }
    let checkpoint = reader.latest_checkpoint().map_err(|error| format!("the checkpoint: {error}"))?;
    let checkpoint = checkpoint.map(|checkpoint| checkpoint.size);
    if checkpoint != state.checkpoint {
        return wrong(format!("the checkpoint is of {checkpoint:?}, acknowledged was {:?}", state.checkpoint));
    }
    for (invocation, payload) in &state.payloads {
        let found = reader.payload(*invocation).map_err(|error| format!("payload {invocation}: {error}"))?;
        let may_be_gone = match under_way {
            Some(Step::Erase(invocations)) => invocations.contains(invocation),
            Some(Step::Prune(_)) => *invocation < pruned_to,
            _ => false,
        };
        if found.as_ref() != Some(payload) && !(may_be_gone && found.is_none()) {
            return wrong(format!("payload {invocation} is not there"));
        }
    }
    for invocation in &state.erased {
        if reader.payload(*invocation).map_err(|error| format!("payload {invocation}: {error}"))?.is_some() {
            return wrong(format!("payload {invocation} was erased and is there again"));
        }
    }
    for (name, value) in &state.named {
        if reader.named(name).map_err(|error| format!("value {name}: {error}"))? != *value {
            return wrong(format!("value {name} is not what was acknowledged"));
        }
    }
    Ok(())
}
