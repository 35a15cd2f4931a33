//! What a guard answers is input from a stranger: checked here, whole, before anyone acts on it.

use std::collections::HashSet;

use crate::error::Failure;
use crate::limits::Limits;
use crate::location::{MAX_PATH_BYTES, apply_edits, check_locations, part_name};
use crate::text::{cut, is_name, shown};
use crate::types::{
    Alarm, Batch, Decision, Descriptor, Inference, Location, NamedValue, Part, Parts, Scalar, StreamStatus, Verdict,
};

/// Longest message of a finding or an alarm, in bytes; longer ones are cut.
pub const MAX_MESSAGE_BYTES: usize = 1024;
const MAX_LABEL_BYTES: usize = 256;
const MAX_BARS: usize = 1024;

/// What answers of one guard are held against.
pub(crate) struct Judge {
    rules: HashSet<String>,
    needs: Parts,
    limit: usize,
}

impl Judge {
    pub(crate) fn new(descriptor: &Descriptor, limits: &Limits) -> Self {
        Self {
            rules: descriptor.rules.iter().map(|rule| rule.id.clone()).collect(),
            needs: descriptor.needs,
            limit: limits.findings,
        }
    }

    /// `verdict` with its messages cut and its edits in order of path and span.
    pub(crate) fn verdict(&self, mut verdict: Verdict, inference: &Inference) -> Result<Verdict, Failure> {
        self.count("findings", verdict.findings.len())?;
        for finding in &mut verdict.findings {
            self.rule(&finding.rule)?;
            cut(&mut finding.message, MAX_MESSAGE_BYTES);
            if finding.score.is_some_and(|score| !score.is_finite()) {
                return Err(Failure::answer(format!(
                    "the score of a finding of {} is not finite",
                    shown(&finding.rule)
                )));
            }
            if let Some(location) = &finding.location {
                self.location(location)?;
            }
        }
        check_locations(inference, verdict.findings.iter().filter_map(|finding| finding.location.as_ref()))
            .map_err(|error| Failure::answer(format!("a finding points wrongly: {error}")))?;
        self.decision(&mut verdict.decision, inference)?;
        self.measurements(&verdict.measurements)?;
        Ok(verdict)
    }

    fn decision(&self, decision: &mut Decision, inference: &Inference) -> Result<(), Failure> {
        let Decision::Redact(edits) = decision else {
            return Ok(());
        };
        self.count("edits", edits.len())?;
        if edits.is_empty() {
            return Err(Failure::answer("it decides to redact without an edit"));
        }
        for edit in edits.iter() {
            self.location(&edit.location)?;
        }
        let output =
            inference.output.as_ref().ok_or_else(|| Failure::answer("it edits an output that is not there"))?;
        apply_edits(output, edits).map_err(|error| Failure::answer(format!("an edit is wrong: {error}")))?;
        edits.sort_by(|one, other| {
            let key = |location: &Location| location.span.map_or((0, 0), |span| (span.start, span.end));
            (&one.location.path, key(&one.location)).cmp(&(&other.location.path, key(&other.location)))
        });
        Ok(())
    }

    fn measurements(&self, measurements: &[NamedValue]) -> Result<(), Failure> {
        self.count("measurements", measurements.len())?;
        let mut seen = HashSet::new();
        for measurement in measurements {
            if !is_name(&measurement.name) {
                return Err(Failure::answer(format!("{} is no name for a measurement", shown(&measurement.name))));
            }
            if !seen.insert(measurement.name.as_str()) {
                return Err(Failure::answer(format!("the measurement {} comes twice", shown(&measurement.name))));
            }
            if matches!(&measurement.value, Scalar::Text(text) if text.len() > MAX_MESSAGE_BYTES) {
                return Err(Failure::answer(format!("the measurement {} is too long", shown(&measurement.name))));
            }
        }
        Ok(())
    }

    fn location(&self, location: &Location) -> Result<(), Failure> {
        let (part, name) = match location.part {
            Part::Input => (Parts::INPUT, part_name(Part::Input)),
            Part::Context => (Parts::CONTEXT, part_name(Part::Context)),
            Part::Output => (Parts::OUTPUT, part_name(Part::Output)),
            Part::Features => (Parts::FEATURES, part_name(Part::Features)),
            Part::Attributes => (Parts::ATTRIBUTES, part_name(Part::Attributes)),
        };
        if !self.needs.contains(part) {
            return Err(Failure::answer(format!("it points into the {name}, which it does not read")));
        }
        if location.path.len() > MAX_PATH_BYTES {
            return Err(Failure::answer("a path is too long"));
        }
        Ok(())
    }

    /// `alarms` with their messages cut.
    pub(crate) fn alarms(&self, mut alarms: Vec<Alarm>, batch: &Batch) -> Result<Vec<Alarm>, Failure> {
        self.count("alarms", alarms.len())?;
        let rows = u64::try_from(batch.times.len()).unwrap_or(u64::MAX);
        let rows = batch.first_row..batch.first_row.saturating_add(rows);
        for alarm in &mut alarms {
            self.rule(&alarm.rule)?;
            if !batch.columns.iter().any(|column| column.name == alarm.stream) {
                return Err(Failure::answer(format!(
                    "an alarm for {}, which is no stream of the batch",
                    shown(&alarm.stream)
                )));
            }
            if !rows.contains(&alarm.row) || alarm.since_row.is_some_and(|since| since > alarm.row) {
                return Err(Failure::answer(format!("an alarm at row {}, outside of the batch {rows:?}", alarm.row)));
            }
            finite(alarm.statistic, "statistic")?;
            finite(alarm.threshold, "threshold")?;
            cut(&mut alarm.message, MAX_MESSAGE_BYTES);
            for bars in [&mut alarm.reference, &mut alarm.current] {
                if bars.len() > MAX_BARS {
                    return Err(Failure::answer(format!("an alarm with {} bars, more than {MAX_BARS}", bars.len())));
                }
                for bar in bars {
                    cut(&mut bar.label, MAX_LABEL_BYTES);
                }
            }
        }
        Ok(alarms)
    }

    pub(crate) fn status(&self, status: Vec<StreamStatus>) -> Result<Vec<StreamStatus>, Failure> {
        for stream in &status {
            self.rule(&stream.rule)?;
            finite(stream.statistic, "statistic")?;
            finite(stream.threshold, "threshold")?;
        }
        Ok(status)
    }

    fn rule(&self, rule: &str) -> Result<(), Failure> {
        if self.rules.contains(rule) {
            return Ok(());
        }
        Err(Failure::answer(format!("it names the rule {}, which it does not declare", shown(rule))))
    }

    fn count(&self, what: &str, count: usize) -> Result<(), Failure> {
        if count <= self.limit {
            return Ok(());
        }
        Err(Failure::answer(format!("{count} {what}, more than its limit of {}", self.limit)))
    }
}

/// A guard's own word that it cannot answer.
pub(crate) fn refused(message: String) -> Failure {
    Failure::new(crate::error::Cause::Refused, message)
}

fn finite(number: f64, what: &str) -> Result<(), Failure> {
    if number.is_finite() {
        return Ok(());
    }
    Err(Failure::answer(format!("a {what} that is not finite")))
}
