//! Feeding recordings to the box over HTTP.

use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// What became of some inferences.
#[derive(Default, Clone)]
pub(super) struct Tally {
    pub(super) judged: usize,
    pub(super) allowed: usize,
    pub(super) flagged: usize,
    pub(super) redacted: usize,
    /// Ids.
    pub(super) blocked: Vec<String>,
    /// Rules by how often they were the reason, most often first when reported.
    rules: Vec<(String, usize)>,
    failures: usize,
}

/// Posts the lines of a recording in their order.
pub(super) fn feed(url: &str, recording: &Path, lines: Range<usize>) -> Result<Tally> {
    let file = std::fs::File::open(recording).with_context(|| format!("{} cannot be opened", recording.display()))?;
    let agent = agent();
    let mut tally = Tally::default();
    for line in BufReader::new(file).lines().skip(lines.start).take(lines.len()) {
        let line = line?;
        let mut response = agent
            .post(format!("{url}/v1/check"))
            .content_type("application/json")
            .send(line.as_str())
            .with_context(|| format!("the box does not answer: {line}"))?;
        let body = response.body_mut().read_to_string()?;
        if response.status() != 200 {
            bail!("the box answered {} to {line}: {body}", response.status());
        }
        tally.count(&serde_json::from_str(&body)?)?;
    }
    Ok(tally)
}

/// The body of an answer to GET.
pub(super) fn get(url: &str) -> Result<String> {
    Ok(agent().get(url).call().with_context(|| format!("{url} does not answer"))?.body_mut().read_to_string()?)
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

impl Tally {
    fn count(&mut self, answer: &Value) -> Result<()> {
        if answer["entry"]["index"].as_u64().is_none() {
            bail!("an answer without an entry: {answer}");
        }
        self.judged += 1;
        match answer["decision"].as_str() {
            Some("allow") => self.allowed += 1,
            Some("flag") => self.flagged += 1,
            Some("redact") => self.redacted += 1,
            Some("block") => self.blocked.push(answer["id"].as_str().unwrap_or_default().to_owned()),
            other => bail!("{other:?} is no decision"),
        }
        self.failures += answer["failures"].as_array().map_or(0, Vec::len);
        for finding in answer["findings"].as_array().into_iter().flatten().filter(|finding| finding["shadow"] != true) {
            let text = |name: &str| finding[name].as_str().unwrap_or("?").to_owned();
            self.rule(&format!("{}.{}", text("guard"), text("rule")), 1);
        }
        Ok(())
    }

    fn rule(&mut self, rule: &str, times: usize) {
        match self.rules.iter_mut().find(|(known, _)| known == rule) {
            Some((_, count)) => *count += times,
            None => self.rules.push((rule.to_owned(), times)),
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.judged += other.judged;
        self.allowed += other.allowed;
        self.flagged += other.flagged;
        self.redacted += other.redacted;
        self.failures += other.failures;
        self.blocked.extend(other.blocked.iter().cloned());
        for (rule, times) in &other.rules {
            self.rule(rule, *times);
        }
    }

    /// Prints one line, and another with the rules that found something.
    pub(super) fn report(mut self, name: &str) -> Self {
        let Self { judged, allowed, flagged, redacted, blocked, failures, .. } = &self;
        println!(
            "  {name:28} {judged} judged: {allowed} allowed, {flagged} flagged, {redacted} redacted, {} blocked, {failures} failures",
            blocked.len()
        );
        self.rules.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        let rules: Vec<String> = self.rules.iter().map(|(rule, times)| format!("{rule} {times}")).collect();
        if !rules.is_empty() {
            println!("  {:28} {}", "", rules.join(", "));
        }
        self
    }
}
