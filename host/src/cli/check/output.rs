//! The output stage: puts verdicts back into the order of the input, writes them, and feeds the detectors in that order.

use super::budget::Budget;
use crate::detectors::Detectors;
use crate::inference::BadInference;
use crate::service::{Outcome, ProcessError};
use crossbeam_channel::Receiver;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What became of a line.
pub(super) enum Event {
    Judged(Box<Result<Outcome, ProcessError>>),
    Bad(BadInference),
    /// A blank line.
    Skipped,
}

pub(super) struct Numbered {
    /// From 1.
    pub line: u64,
    /// What it took from the budget.
    pub cost: usize,
    pub event: Event,
}

/// How it went.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub judged: u64,
    pub allowed: u64,
    pub flagged: u64,
    pub redacted: u64,
    pub blocked: u64,
    pub failures: u64,
    pub bad_lines: u64,
    pub drift_alarms: u64,
    /// Why judging ended early.
    pub fault: Option<String>,
}

pub(super) struct Stage {
    writer: Box<dyn Write + Send>,
    detectors: Detectors,
    budget: Arc<Budget>,
    /// Tells the reader to stop.
    stop: Arc<AtomicBool>,
    summary: Summary,
}

impl Stage {
    pub(super) fn new(
        writer: Box<dyn Write + Send>,
        detectors: Detectors,
        budget: Arc<Budget>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self { writer, detectors, budget, stop, summary: Summary::default() }
    }

    pub(super) fn run(mut self, events: &Receiver<Numbered>) -> io::Result<Summary> {
        let mut waiting: BTreeMap<u64, Numbered> = BTreeMap::new();
        let mut next = 1;
        let mut written = Ok(());
        for event in events {
            waiting.insert(event.line, event);
            while let Some(event) = waiting.remove(&next) {
                next += 1;
                let cost = event.cost;
                if written.is_ok() {
                    written = self.put(event);
                    if written.is_err() {
                        self.stop.store(true, Ordering::Release);
                    }
                }
                // Also after an error: whoever waits for room must get it, or nothing ends.
                self.budget.give(cost);
            }
        }
        written.and_then(|()| self.writer.flush())?;
        Ok(self.summary)
    }

    fn put(&mut self, event: Numbered) -> io::Result<()> {
        match event.event {
            Event::Skipped => Ok(()),
            Event::Bad(problem) => {
                self.summary.bad_lines += 1;
                let error = json!({ "field": problem.field, "message": problem.message });
                writeln!(self.writer, "{}", json!({ "line": event.line, "error": error }))
            }
            Event::Judged(outcome) => match *outcome {
                Ok(outcome) => self.answer(outcome),
                Err(problem) => {
                    self.stop.store(true, Ordering::Release);
                    let message = format!("line {}: {problem}", event.line);
                    let error = json!({ "field": "", "message": problem.to_string() });
                    self.summary.fault.get_or_insert(message);
                    writeln!(self.writer, "{}", json!({ "line": event.line, "error": error }))
                }
            },
        }
    }

    fn answer(&mut self, outcome: Outcome) -> io::Result<()> {
        let summary = &mut self.summary;
        summary.judged += 1;
        match outcome.answer.decision {
            "allow" => summary.allowed += 1,
            "flag" => summary.flagged += 1,
            "redact" => summary.redacted += 1,
            _ => summary.blocked += 1,
        }
        summary.failures += outcome.answer.failures.len() as u64;
        if let Some(row) = outcome.row {
            self.detectors.feed(row);
        }
        serde_json::to_writer(&mut self.writer, &outcome.answer)?;
        self.writer.write_all(b"\n")
    }
}

impl Summary {
    /// To standard error, so that it never mixes with verdicts.
    pub(super) fn print(&self, as_json: bool) {
        let Self { judged, allowed, flagged, redacted, blocked, failures, bad_lines, drift_alarms, .. } = self;
        if as_json {
            let summary = json!({
                "judged": judged, "allow": allowed, "flag": flagged, "redact": redacted, "block": blocked,
                "failures": failures, "bad_lines": bad_lines, "drift_alarms": drift_alarms,
            });
            eprintln!("{summary}");
            return;
        }
        eprintln!(
            "{judged} judged: {allowed} allowed, {flagged} flagged, {redacted} redacted, {blocked} blocked; \
             {failures} guard failures, {bad_lines} bad lines, {drift_alarms} drift alarms"
        );
    }
}
