//! The detector: all streams of one model.

use std::collections::BTreeMap;

use picket_sdk::{
    Alarm, AlarmState, Batch, Column, ColumnValues, Descriptor, Detector, Parts, Problem, Rule as RuleDescription,
    StreamStatus,
};

use crate::codec::{MAX_NAME, Reader, Reason, Writer, fingerprint};
use crate::reference::Reference;
use crate::settings::{SCHEMA, Settings};
use crate::stream::{Phase, Rule, Sample, Scope, Stream, Value, shortened};

/// Streams of one model, at most.
const MAX_STREAMS: usize = 10_000;
/// Rows of a sample, at least: fewer bound nothing.
const LEAST_SAMPLE: usize = 30;
const PROFILE: &[u8; 6] = b"PKDP\0\x01";
const STATE: &[u8; 6] = b"PKDS\0\x01";

/// The detector as configured, with its state.
pub struct Drift {
    settings: Settings,
    /// What it was configured with; streams that are not in it learn their own.
    references: BTreeMap<String, Reference>,
    /// Tells settings and references apart.
    fingerprint: u64,
    streams: BTreeMap<String, Stream>,
    next_row: u64,
}

impl Detector for Drift {
    fn describe() -> Descriptor {
        Descriptor {
            name: "drift".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Finds streams of measurements that have moved away from their reference".to_owned(),
            settings_schema: SCHEMA.to_owned(),
            needs: Parts::FEATURES | Parts::MEASUREMENTS,
            rules: Rule::ALL.map(|rule| RuleDescription::after_the_fact(rule.id(), rule.summary())).to_vec(),
        }
    }

    fn configure(settings: &str, reference: &[u8]) -> Result<Self, Vec<Problem>> {
        let settings = Settings::parse(settings)?;
        let references = if reference.is_empty() {
            BTreeMap::new()
        } else {
            decode_profile(reference)
                .map_err(|reason| vec![Problem::new("", format!("the reference profile is broken: {reason}"))])?
        };
        let fingerprint = fingerprint(&[&settings.bytes(), reference]);
        let mut detector = Self { settings, references, fingerprint, streams: BTreeMap::new(), next_row: 0 };
        detector.begin();
        Ok(detector)
    }

    fn fit(&mut self, sample: &Batch) -> Result<Vec<u8>, String> {
        let rows = check(sample)?;
        if rows < LEAST_SAMPLE {
            return Err(format!("the sample has {rows} rows; at least {LEAST_SAMPLE} are needed"));
        }
        let mut references: BTreeMap<&str, Reference> = BTreeMap::new();
        for column in sample.columns.iter().filter(|column| self.settings.watches(&column.name)) {
            let mut kept = Sample::default();
            each(column, &[], |_, value| kept.take(value));
            references.insert(&column.name, kept.reference(&self.settings));
        }
        if references.is_empty() {
            return Err("the sample holds none of the streams that the settings name".to_owned());
        }
        if references.len() > MAX_STREAMS {
            return Err(format!("the sample holds {} streams; at most {MAX_STREAMS} are watched", references.len()));
        }
        let mut writer = Writer::default();
        writer.bytes(PROFILE);
        writer.length(references.len());
        for (name, reference) in &references {
            writer.text(name);
            reference.encode(&mut writer);
        }
        Ok(writer.finish())
    }

    fn observe(&mut self, batch: &Batch) -> Result<Vec<Alarm>, String> {
        let rows = check(batch)?;
        if batch.first_row < self.next_row {
            return Err(format!("row {} has been seen; the next is {}", batch.first_row, self.next_row));
        }
        if batch.first_row > 1 << 47 {
            return Err(format!("row {} is beyond what is counted", batch.first_row));
        }
        if rows == 0 {
            return Ok(Vec::new());
        }
        let watched: Vec<&Column> = batch.columns.iter().filter(|column| self.settings.watches(&column.name)).collect();
        let fresh = watched.iter().filter(|column| !self.streams.contains_key(&column.name)).count();
        if self.streams.len() + fresh > MAX_STREAMS {
            return Err(format!("more than {MAX_STREAMS} streams"));
        }
        // All at once and before any value: thresholds depend on how many streams there are.
        for column in &watched {
            self.streams.entry(column.name.clone()).or_insert_with(Stream::learning);
        }
        let scope = Scope { settings: &self.settings, streams: self.streams.len() as f64 };
        let mut alarms = Vec::new();
        for column in watched {
            let Some(stream) = self.streams.get_mut(&column.name) else { continue };
            let cells = cells(column, stream);
            each(column, &cells, |row, value| {
                stream.take(&column.name, batch.first_row + row, value, &scope, &mut alarms)
            });
        }
        // In the order of the rows, however they were cut into batches.
        let key = |alarm: &Alarm| (alarm.row, alarm.state == AlarmState::Opened);
        alarms.sort_by(|left, right| {
            key(left).cmp(&key(right)).then_with(|| (&left.stream, &left.rule).cmp(&(&right.stream, &right.rule)))
        });
        self.next_row = batch.first_row + rows as u64;
        Ok(alarms)
    }

    fn status(&self) -> Vec<StreamStatus> {
        let scope = Scope { settings: &self.settings, streams: (self.streams.len() as f64).max(1.0) };
        self.streams.iter().flat_map(|(name, stream)| stream.status(name, &scope)).collect()
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.bytes(STATE);
        writer.number(self.fingerprint);
        writer.number(self.next_row);
        writer.length(self.streams.len());
        for (name, stream) in &self.streams {
            writer.text(name);
            stream.encode(&mut writer);
        }
        writer.finish()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        (self.next_row, self.streams) =
            self.decode_state(state).map_err(|reason| format!("no state of this detector: {reason}"))?;
        Ok(())
    }

    fn merge(&mut self, states: &[Vec<u8>]) -> Result<(), String> {
        // The state stays as it is when any of them is bad.
        let before = self.snapshot();
        let outcome = states.iter().enumerate().try_for_each(|(index, state)| {
            self.merge_one(state).map_err(|reason| format!("state {index} cannot be merged: {reason}"))
        });
        if outcome.is_err() {
            self.restore(&before)?;
        }
        outcome
    }
}

impl Drift {
    /// Starts with the streams of the references.
    fn begin(&mut self) {
        let watched = self.references.iter().filter(|(name, _)| self.settings.watches(name));
        self.streams = watched
            .map(|(name, reference)| (name.clone(), Stream::watching(reference.clone(), &self.settings)))
            .collect();
    }

    fn decode_state(&self, state: &[u8]) -> Result<(u64, BTreeMap<String, Stream>), Reason> {
        let mut reader = Reader::new(state);
        if reader.bytes(STATE.len())? != STATE {
            return Err("it is of another kind or version");
        }
        if reader.number()? != self.fingerprint {
            return Err("it was made with other settings or another reference");
        }
        let next_row = reader.count()?;
        let mut streams: BTreeMap<String, Stream> = BTreeMap::new();
        for _ in 0..reader.length(16, MAX_STREAMS)? {
            let name = reader.text()?;
            if streams.last_key_value().is_some_and(|(last, _)| last.as_str() >= name) || !self.settings.watches(name) {
                return Err("its streams are out of order or not watched");
            }
            let stream = Stream::decode(&mut reader, self.references.get(name), &self.settings)?;
            streams.insert(name.to_owned(), stream);
        }
        reader.finish()?;
        Ok((next_row, streams))
    }

    fn merge_one(&mut self, state: &[u8]) -> Result<(), Reason> {
        let (next_row, streams) = self.decode_state(state)?;
        for (name, theirs) in streams {
            if let Some(stream) = self.streams.get_mut(&name) {
                stream.merge(theirs, &self.settings)?;
            } else if self.streams.len() < MAX_STREAMS {
                self.streams.insert(name, theirs);
            } else {
                return Err("more streams than are watched at most");
            }
        }
        self.next_row = self.next_row.max(next_row);
        Ok(())
    }
}

impl Settings {
    /// The same settings give the same bytes.
    fn bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        self.streams.iter().for_each(|name| writer.text(name));
        for number in [self.window, self.warmup, self.bins, self.cool_down] {
            writer.number(number);
        }
        for number in [self.alpha, self.average_run_length, self.psi_min, self.tolerance, self.reference_error] {
            writer.float(number);
        }
        writer.finish()
    }
}

fn decode_profile(bytes: &[u8]) -> Result<BTreeMap<String, Reference>, Reason> {
    let mut reader = Reader::new(bytes);
    if reader.bytes(PROFILE.len())? != PROFILE {
        return Err("it is of another kind or version");
    }
    let mut references: BTreeMap<String, Reference> = BTreeMap::new();
    for _ in 0..reader.length(16, MAX_STREAMS)? {
        let name = reader.text()?;
        if references.last_key_value().is_some_and(|(last, _)| last.as_str() >= name) {
            return Err("its streams are out of order");
        }
        references.insert(name.to_owned(), Reference::decode(&mut reader)?);
    }
    reader.finish()?;
    Ok(references)
}

/// Checks a batch against the contract; returns how many rows it has.
fn check(batch: &Batch) -> Result<usize, String> {
    let rows = batch.times.len();
    let mut names: Vec<&str> = batch.columns.iter().map(|column| column.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("two columns are named {}", shortened(pair[0])));
    }
    for column in &batch.columns {
        let name = shortened(&column.name);
        let length = match &column.values {
            ColumnValues::Numbers(numbers) => numbers.len(),
            ColumnValues::Categories(categories) => categories.codes.len(),
        };
        if column.name.is_empty() || column.name.len() > MAX_NAME {
            return Err(format!("the name of column {name:?} has not 1 to {MAX_NAME} bytes"));
        }
        if length != rows {
            return Err(format!("column {name} has {length} values for {rows} rows"));
        }
        let ascending = column.nulls.is_sorted_by(|left, right| left < right);
        if !ascending || column.nulls.last().is_some_and(|last| *last as usize >= rows) {
            return Err(format!("the nulls of column {name} are out of order or beyond its rows"));
        }
        if let ColumnValues::Categories(categories) = &column.values {
            let known = categories.names.len();
            let mut nulls = column.nulls.iter().peekable();
            for (row, code) in categories.codes.iter().enumerate() {
                let null = nulls.next_if(|null| **null as usize == row).is_some();
                if !null && *code as usize >= known {
                    return Err(format!("column {name} has code {code} for {known} categories"));
                }
            }
        }
    }
    Ok(rows)
}

/// The cell of each of a column's categories, once for all rows.
fn cells(column: &Column, stream: &Stream) -> Vec<usize> {
    match (&column.values, &stream.phase) {
        (ColumnValues::Categories(categories), Phase::Watching(watch)) => {
            categories.names.iter().map(|name| watch.reference.category(shortened(name))).collect()
        }
        _ => Vec::new(),
    }
}

/// Shows each row's value, with its number in the batch. The column has been checked.
fn each<'a>(column: &'a Column, cells: &[usize], mut visit: impl FnMut(u64, Value<'a>)) {
    let mut nulls = column.nulls.iter().map(|null| u64::from(*null)).peekable();
    let mut show = |row: u64, value: Value<'a>| {
        let null = nulls.next_if_eq(&row).is_some();
        visit(row, if null { Value::Null } else { value });
    };
    match &column.values {
        ColumnValues::Numbers(numbers) => {
            for (row, number) in (0..).zip(numbers) {
                show(row, Value::Number(*number));
            }
        }
        ColumnValues::Categories(categories) => {
            for (row, code) in (0..).zip(&categories.codes) {
                let code = *code as usize;
                let name = categories.names.get(code).map_or("", String::as_str);
                show(row, Value::Category(name, cells.get(code).copied()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
