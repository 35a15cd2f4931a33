//! A stream's state as bytes.

use std::collections::BTreeMap;

use crate::bets::Stakes;
use crate::codec::{Reader, Reason, Writer};
use crate::reference::Reference;
use crate::settings::Settings;
use crate::window::{Outcome, Outcomes, Window};

use super::report::Rule;
use super::sample::{MAX_LEARNED_CATEGORIES, Sample};
use super::watch::Watch;
use super::{Open, Phase, Stream};

impl Stream {
    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.number(self.rows);
        writer.length(self.open.len());
        for open in &self.open {
            writer.byte(open.rule as u8);
            writer.number(open.last);
        }
        match &self.phase {
            Phase::Learning(sample) => {
                writer.byte(0);
                writer.floats(&sample.numbers);
                writer.length(sample.categories.len());
                for (name, count) in &sample.categories {
                    writer.text(name);
                    writer.number(*count);
                }
                writer.number(sample.untold);
                writer.number(sample.missing);
            }
            Phase::Watching(watch) => {
                writer.byte(1);
                writer.byte(u8::from(watch.learned));
                if watch.learned {
                    watch.reference.encode(writer);
                }
                watch.current.encode(writer);
                watch.previous.encode(writer);
                let Outcomes { psi, missing, unknown } = watch.outcomes;
                for outcome in [psi, missing, unknown] {
                    writer.byte(u8::from(outcome.is_some()));
                    let outcome = outcome.unwrap_or(Outcome { statistic: 0.0, threshold: 0.0 });
                    writer.float(outcome.statistic);
                    writer.float(outcome.threshold);
                }
                writer.floats(&watch.stakes.wealth);
                writer.floats(&watch.stakes.run);
                writer.numbers(&watch.stakes.since);
            }
        }
    }

    /// `given` is the reference that the detector was configured with, if it has one for this stream.
    pub(crate) fn decode(
        reader: &mut Reader<'_>,
        given: Option<&Reference>,
        settings: &Settings,
    ) -> Result<Self, Reason> {
        let rows = reader.count()?;
        let length = reader.length(9, Rule::ALL.len())?;
        let mut open: Vec<Open> = Vec::new();
        for _ in 0..length {
            let rule = *Rule::ALL.get(usize::from(reader.byte()?)).ok_or("an alarm has an unknown rule")?;
            if open.last().is_some_and(|before| before.rule >= rule) {
                return Err("open alarms are out of order");
            }
            open.push(Open { rule, last: reader.count()? });
        }
        let phase = match reader.byte()? {
            0 => Phase::Learning(decode_sample(reader, settings)?),
            1 => {
                let learned = reader.flag()?;
                let reference = match (learned, given) {
                    (true, None) => Reference::decode(reader)?,
                    (false, Some(given)) => given.clone(),
                    _ => return Err("a stream's reference is not where it should be"),
                };
                Phase::Watching(Box::new(decode_watch(reader, reference, learned, settings)?))
            }
            _ => return Err("a stream is neither learning nor watched"),
        };
        if given.is_some() && matches!(phase, Phase::Learning(_)) {
            return Err("a stream learns although it has a reference");
        }
        Ok(Self { phase, rows, open })
    }
}

fn decode_sample(reader: &mut Reader<'_>, settings: &Settings) -> Result<Sample, Reason> {
    let most = usize::try_from(settings.warmup).unwrap_or(usize::MAX);
    let numbers = reader.floats(most)?;
    let mut categories: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..reader.length(16, MAX_LEARNED_CATEGORIES)? {
        let name = reader.text()?;
        if categories.last_key_value().is_some_and(|(last, _)| last.as_str() >= name) {
            return Err("categories are out of order");
        }
        categories.insert(name.to_owned(), reader.count()?);
    }
    let sample = Sample { numbers, categories, untold: reader.count()?, missing: reader.count()? };
    let mixed = !sample.numbers.is_empty() && (sample.untold > 0 || !sample.categories.is_empty());
    if mixed || sample.rows() >= settings.warmup { Err("a sample makes no sense") } else { Ok(sample) }
}

fn decode_watch(
    reader: &mut Reader<'_>,
    reference: Reference,
    learned: bool,
    settings: &Settings,
) -> Result<Watch, Reason> {
    let cells = reference.counts.len();
    let mut watch = Watch::new(reference, learned, settings);
    watch.current = Window::decode(reader, cells)?;
    watch.previous = Window::decode(reader, cells)?;
    let mut outcome = || -> Result<Option<Outcome>, Reason> {
        let present = reader.flag()?;
        let outcome = Outcome { statistic: reader.float()?, threshold: reader.float()? };
        Ok(present.then_some(outcome))
    };
    watch.outcomes = Outcomes { psi: outcome()?, missing: outcome()?, unknown: outcome()? };
    let bets = watch.book.len();
    let (wealth, run, since) = (reader.floats(bets)?, reader.floats(bets)?, reader.counts(bets)?);
    // No run length and number of streams lead beyond it.
    let sound = |values: &[f64]| values.len() == bets && values.iter().all(|value| (0.0..=1e30).contains(value));
    if !sound(&wealth) || !sound(&run) || since.len() != bets {
        return Err("the sequential test does not fit its reference");
    }
    watch.stakes = Stakes { wealth, run, since };
    Ok(watch)
}
