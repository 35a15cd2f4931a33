//! Answers as text for people.

use std::fmt::Write as _;

use serde_json::Value;

use crate::auditor::BoxList;
use crate::epochs::EpochReport;
use crate::trace::{Match, Thing, Trace};
use crate::verify::{BoxReport, Verification};

pub(super) fn boxes(list: &BoxList) -> String {
    if list.boxes.is_empty() {
        return "no box is enrolled; see `picket-auditor enrol`\n".to_owned();
    }
    let mut out = format!("{:<24} {:>12} {:>12}  state\n", "box", "held", "declared");
    for item in &list.boxes {
        let mut state = Vec::new();
        if item.disputed {
            state.push("DISPUTED".to_owned());
        }
        let counts = item.incidents;
        let kinds =
            [("gap", counts.gap), ("fork", counts.fork), ("rollback", counts.rollback), ("invalid", counts.invalid)];
        state.extend(kinds.iter().filter(|(_, n)| *n > 0).map(|(word, n)| format!("{n} {word}")));
        state.extend(item.damage.clone());
        state.extend(item.silent_seconds.map(|seconds| format!("SILENT for {} min", seconds / 60)));
        if state.is_empty() {
            state.push(if item.declared > item.next { "behind" } else { "ok" }.to_owned());
        }
        let _ = writeln!(out, "{:<24} {:>12} {:>12}  {}", item.origin, item.next, item.declared, state.join(", "));
        epochs(&mut out, &item.epochs);
    }
    out
}

pub(super) fn verification(answer: &Verification) -> String {
    let mut out = String::new();
    for report in &answer.boxes {
        box_report(&mut out, report);
    }
    match &answer.own {
        Some(own) if own.problems.is_empty() => {
            let _ = writeln!(out, "own ledger: {} entries, holds", own.size);
        }
        Some(own) => {
            let _ = writeln!(out, "own ledger: {} entries, DOES NOT HOLD", own.size);
            lines(&mut out, &own.problems);
        }
        None => {}
    }
    lines(&mut out, &answer.problems);
    out.push_str(if answer.verified { "verified\n" } else { "NOT VERIFIED\n" });
    out
}

fn box_report(out: &mut String, report: &BoxReport) {
    let word = if report.verified { "holds" } else { "DOES NOT HOLD" };
    let _ = writeln!(out, "{}: {} entries in {} segments, {word}", report.origin, report.size, report.segments);
    if report.size > 0 {
        let _ = writeln!(out, "  root {}", report.root);
    }
    epochs(out, &report.epochs);
    if let Some((from, to)) = &report.times {
        let _ = writeln!(out, "  from {from} to {to}");
    }
    for counts in [&report.kinds, &report.decisions] {
        if !counts.is_empty() {
            let words: Vec<_> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
            let _ = writeln!(out, "  {}", words.join(", "));
        }
    }
    let account = &report.invocations;
    for (count, words) in [
        (account.missing, "invocations are missing"),
        (account.lost, "invocations at most were under way when the box crashed, as it says"),
        (account.dropped, "entries were dropped by policy, as the box says"),
        (account.in_flight, "invocations may still be on their way"),
        (report.without_receipt, "segments have no receipt yet"),
    ] {
        if count > 0 {
            let _ = writeln!(out, "  {count} {words}");
        }
    }
    if let Some(size) = report.declared {
        let _ = writeln!(out, "  the box says that it has {size} entries");
    }
    lines(out, &report.problems);
}

/// The keys of a box that has had more than one.
fn epochs(out: &mut String, epochs: &[EpochReport]) {
    for epoch in epochs.iter().filter(|_| epochs.len() > 1) {
        let end = epoch.end.map_or("on".to_owned(), |end| format!("to {}", end.saturating_sub(1)));
        let _ = writeln!(out, "  key {} speaks from entry {} {end}: {}", epoch.epoch, epoch.start, epoch.key);
    }
}

pub(super) fn trace(answer: &Trace) -> String {
    let mut out = String::new();
    for found in &answer.matches {
        decision(&mut out, found);
    }
    if answer.matches.is_empty() {
        let _ = writeln!(out, "no decision with the id {:?} (`--scan` reads all evidence to make sure)", answer.id);
    }
    if answer.cut {
        let _ = writeln!(out, "there are more; only the first {} are shown", answer.matches.len());
    }
    lines(&mut out, &answer.problems);
    out
}

fn decision(out: &mut String, found: &Match) {
    let _ = writeln!(out, "{} entry {}: {} at {}", found.origin, found.index, found.decision, found.time);
    let verdict = &found.entry["body"]["verdict"];
    for (label, key) in [
        ("inference", "inference_id"),
        ("trace", "trace_id"),
        ("model", "model"),
        ("model version", "model_version"),
        ("prompt version", "prompt_version"),
    ] {
        if let Some(text) = verdict[key].as_str() {
            let _ = writeln!(out, "  {label:<15} {text}");
        }
    }
    for guard in verdict["guards"].as_array().into_iter().flatten() {
        one_guard(out, guard);
    }
    for thing in &found.chain {
        one_thing(out, thing);
    }
    let proof = &found.proof;
    let word = if found.verified { "proven" } else { "NOT PROVEN" };
    let _ = writeln!(out, "  {word}: leaf {} under the checkpoint of {} entries", proof.leaf, proof.size);
    let _ = writeln!(out, "  evidence        {}", proof.evidence);
    if found.disputed {
        let _ = writeln!(out, "  DISPUTED: this box has signed contradictory statements; see `picket-auditor verify`");
    }
    lines(out, &found.problems);
}

fn one_guard(out: &mut String, guard: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let outcome = &guard["outcome"];
    let said = match (outcome.get("verdict"), outcome.get("failure")) {
        (Some(verdict), _) => text(&verdict["decision"]),
        (_, Some(failure)) => format!("failure ({}), so {}", text(&failure["cause"]), text(&failure["action"])),
        _ => "?".to_owned(),
    };
    let shadow = if guard["mode"] == "shadow" { " (shadow)" } else { "" };
    let _ = writeln!(out, "  guard {:<9} {said}{shadow}", text(&guard["name"]));
    for finding in outcome["verdict"]["findings"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "    {}: {}", text(&finding["rule"]), text(&finding["message"]));
    }
}

fn one_thing(out: &mut String, thing: &Thing) {
    let _ = writeln!(out, "  {:<15} {}", thing.role, thing.digest);
    for statement in &thing.statements {
        let later = if statement.later { ", LATER than the decision" } else { "" };
        let relation = if statement.relation == "itself" { "" } else { &statement.relation };
        let relation = if relation.is_empty() { String::new() } else { format!(" ({relation})") };
        let _ = writeln!(
            out,
            "    {} {}{relation}: {} entry {}, {}{later}",
            statement.kind, statement.name, statement.origin, statement.index, statement.time
        );
    }
}

fn lines(out: &mut String, problems: &[String]) {
    for problem in problems {
        let _ = writeln!(out, "  ! {problem}");
    }
}
