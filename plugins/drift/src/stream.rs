//! One stream: learning its reference, then watched against it.

use std::collections::BTreeMap;

use picket_sdk::{Alarm, AlarmState, Bar, Severity, StreamStatus};

use crate::bets::{Book, Claim, Stakes};
use crate::codec::{MAX_NAME, Reader, Reason, Writer};
use crate::reference::{Reference, Shape, bin_of};
use crate::settings::Settings;
use crate::window::{Examiner, Outcome, Outcomes, TESTS, Window, stability_index};

/// Categories that are counted one by one while a reference is learned.
const MAX_LEARNED_CATEGORIES: usize = 1024;

/// The rules, in the order of their alarms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    Psi,
    Missing,
    Unseen,
    OutOfRange,
    Sequential,
    TypeChange,
}

impl Rule {
    pub(crate) const ALL: [Self; 6] =
        [Self::Psi, Self::Missing, Self::Unseen, Self::OutOfRange, Self::Sequential, Self::TypeChange];

    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Psi => "psi",
            Self::Missing => "missing",
            Self::Unseen => "unseen-category",
            Self::OutOfRange => "out-of-range",
            Self::Sequential => "sequential",
            Self::TypeChange => "type-change",
        }
    }

    pub(crate) fn summary(self) -> &'static str {
        match self {
            Self::Psi => "A window's distribution differs from the reference's",
            Self::Missing => "A window holds more nulls, NaN and infinities than the reference",
            Self::Unseen => "A window holds categories that the reference does not know",
            Self::OutOfRange => "A window holds values beyond the reference's range",
            Self::Sequential => "Values have moved, by a test that looks at each row",
            Self::TypeChange => "Numbers became categories, or the other way round",
        }
    }
}

/// One value of a row, as its column gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Number(f64),
    /// With its cell where that has been looked up already.
    Category(&'a str, Option<usize>),
    Null,
}

/// What thresholds depend on beyond the stream.
pub(crate) struct Scope<'a> {
    pub(crate) settings: &'a Settings,
    /// How many streams share the promises.
    pub(crate) streams: f64,
}

/// One stream's whole state.
pub(crate) struct Stream {
    pub(crate) phase: Phase,
    pub(crate) rows: u64,
    open: Vec<Open>,
}

/// An alarm that has opened and not closed.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Open {
    rule: Rule,
    /// The last row at which there was cause for it.
    last: u64,
}

pub(crate) enum Phase {
    Learning(Sample),
    Watching(Box<Watch>),
}

/// What a reference will be made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    pub(crate) numbers: Vec<f64>,
    pub(crate) categories: BTreeMap<String, u64>,
    /// Values of categories beyond those that are counted one by one.
    pub(crate) untold: u64,
    pub(crate) missing: u64,
}

pub(crate) struct Watch {
    pub(crate) reference: Reference,
    /// Whether the reference was learned from the stream itself.
    pub(crate) learned: bool,
    current: Window,
    /// The last full window.
    previous: Window,
    outcomes: Outcomes,
    stakes: Stakes,
    // Made from reference and settings, and no part of the state.
    book: Book,
    examiner: Examiner,
}

impl Sample {
    fn rows(&self) -> u64 {
        self.numbers.len() as u64 + self.categories.values().sum::<u64>() + self.untold + self.missing
    }

    /// Whether its values are numbers; none while it has none.
    fn is_numeric(&self) -> Option<bool> {
        if !self.numbers.is_empty() {
            Some(true)
        } else if !self.categories.is_empty() || self.untold > 0 {
            Some(false)
        } else {
            None
        }
    }

    /// Takes in a value of the sample's own kind.
    pub(crate) fn take(&mut self, value: Value<'_>) {
        match value {
            Value::Number(number) if number.is_finite() => self.numbers.push(number + 0.0),
            Value::Number(_) | Value::Null => self.missing += 1,
            Value::Category(name, _) => self.take_category(name, 1),
        }
    }

    fn take_category(&mut self, name: &str, times: u64) {
        let name = shortened(name);
        if let Some(count) = self.categories.get_mut(name) {
            *count += times;
        } else if self.categories.len() < MAX_LEARNED_CATEGORIES {
            self.categories.insert(name.to_owned(), times);
        } else {
            self.untold += times;
        }
    }

    pub(crate) fn reference(self, settings: &Settings) -> Reference {
        match self.is_numeric() {
            Some(false) => Reference::of_categories(&self.categories, self.untold, self.missing),
            _ => Reference::of_numbers(self.numbers, self.missing, settings.bins, settings.window),
        }
    }
}

impl Watch {
    pub(crate) fn new(reference: Reference, learned: bool, settings: &Settings) -> Self {
        let cells = reference.counts.len();
        let book = Book::new(&reference, settings);
        Self {
            current: Window::new(cells),
            previous: Window::new(cells),
            outcomes: Outcomes::default(),
            stakes: Stakes::new(book.len()),
            examiner: Examiner::new(&reference, settings),
            book,
            learned,
            reference,
        }
    }

    /// The cell of a value, or none for a missing one; an error for a value of the other kind.
    fn place(&mut self, value: Value<'_>) -> Result<Option<usize>, ()> {
        match (value, &self.reference.shape) {
            (Value::Number(number), Shape::Numeric { edges, low, high, .. }) => {
                if !number.is_finite() {
                    return Ok(None);
                }
                self.current.outside += u64::from(number < *low || number > *high);
                Ok(Some(bin_of(edges, number)))
            }
            (Value::Category(name, cell), Shape::Categorical { .. }) => {
                Ok(Some(cell.unwrap_or_else(|| self.reference.category(shortened(name)))))
            }
            (Value::Null, _) => Ok(None),
            _ => Err(()),
        }
    }

    fn average_wealth(&self) -> f64 {
        let bets = self.book.len().max(1) as f64;
        self.stakes.total() / bets
    }

    fn bars(&self) -> (Vec<Bar>, Vec<Bar>) {
        let labels = self.reference.labels();
        let mut recent = self.previous.clone();
        recent.add(&self.current);
        let bars = |counts: &[u64], missing: u64| {
            let counts = counts.iter().copied().chain([missing]);
            labels.iter().cloned().zip(counts).map(|(label, count)| Bar { label, count }).collect()
        };
        (bars(&self.reference.counts, self.reference.missing), bars(&recent.counts, recent.missing))
    }

    /// Counts of the window under way.
    #[cfg(test)]
    pub(crate) fn recent(&self) -> &Window {
        &self.current
    }

    /// The mean rank of recent values among the reference's.
    fn recent_rank(&self) -> f64 {
        let (mut sum, mut count) = (0.0, 0);
        for (cell, rank) in self.reference.ranks().iter().enumerate() {
            let here = self.previous.counts[cell] + self.current.counts[cell];
            sum += rank * here as f64;
            count += here;
        }
        if count == 0 { 0.5 } else { sum / count as f64 }
    }
}

impl Stream {
    pub(crate) fn learning() -> Self {
        Self { phase: Phase::Learning(Sample::default()), rows: 0, open: Vec::new() }
    }

    pub(crate) fn watching(reference: Reference, settings: &Settings) -> Self {
        Self { phase: Phase::Watching(Box::new(Watch::new(reference, false, settings))), rows: 0, open: Vec::new() }
    }

    /// Takes in the value of one row.
    pub(crate) fn take(&mut self, name: &str, row: u64, value: Value<'_>, scope: &Scope<'_>, alarms: &mut Vec<Alarm>) {
        self.rows += 1;
        let mut reporter = Reporter { name, row, scope, open: &mut self.open, alarms };
        match &mut self.phase {
            Phase::Learning(sample) => {
                let numeric = sample.is_numeric();
                let other =
                    matches!((numeric, value), (Some(true), Value::Category(..)) | (Some(false), Value::Number(_)));
                if other {
                    reporter.type_changed(None, numeric == Some(true));
                } else {
                    sample.take(value);
                    if sample.rows() >= scope.settings.warmup {
                        let reference = std::mem::take(sample).reference(scope.settings);
                        self.phase = Phase::Watching(Box::new(Watch::new(reference, true, scope.settings)));
                    }
                    reporter.close_quiet(Rule::TypeChange, None, 0.0, 0.0);
                }
            }
            Phase::Watching(watch) => match watch.place(value) {
                Err(()) => reporter.type_changed(Some(watch), watch.reference.is_numeric()),
                Ok(cell) => {
                    reporter.close_quiet(Rule::TypeChange, Some(watch), 0.0, 0.0);
                    take_value(watch, cell, &mut reporter);
                }
            },
        }
    }

    pub(crate) fn status(&self, name: &str, scope: &Scope<'_>) -> Vec<StreamStatus> {
        let is_open = |rule: Rule| self.open.iter().any(|open| open.rule == rule);
        let row = |rule: Rule, statistic: f64, threshold: f64| StreamStatus {
            stream: name.to_owned(),
            rows: self.rows,
            rule: rule.id().to_owned(),
            statistic,
            threshold,
            open: is_open(rule),
        };
        let mut list = Vec::new();
        if let Phase::Watching(watch) = &self.phase {
            let unknown = if watch.reference.is_numeric() { Rule::OutOfRange } else { Rule::Unseen };
            let outcomes = watch.outcomes;
            for (rule, outcome) in
                [(Rule::Psi, outcomes.psi), (Rule::Missing, outcomes.missing), (unknown, outcomes.unknown)]
            {
                if let Some(outcome) = outcome {
                    list.push(row(rule, outcome.statistic, outcome.threshold));
                }
            }
            if watch.book.len() > 0 {
                list.push(row(Rule::Sequential, watch.average_wealth(), alarm_wealth(scope)));
            }
        }
        if is_open(Rule::TypeChange) {
            list.push(row(Rule::TypeChange, 1.0, 0.0));
        }
        list
    }

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

    /// Takes in what another instance saw of the same stream. Counts add up; the sequential test starts anew.
    pub(crate) fn merge(&mut self, other: Self, settings: &Settings) -> Result<(), &'static str> {
        self.rows += other.rows;
        for theirs in other.open {
            match self.open.iter_mut().find(|open| open.rule == theirs.rule) {
                Some(open) => open.last = open.last.max(theirs.last),
                None => self.open.push(theirs),
            }
        }
        self.open.sort_by_key(|open| open.rule);
        match (&mut self.phase, other.phase) {
            (Phase::Watching(watch), Phase::Watching(theirs)) => {
                if watch.reference != theirs.reference {
                    return Err("two instances have learned different references of one stream");
                }
                watch.current.add(&theirs.current);
                watch.previous.add(&theirs.previous);
                watch.stakes.reset();
            }
            (Phase::Watching(watch), Phase::Learning(sample)) => watch.take_sample(sample),
            (Phase::Learning(sample), Phase::Watching(mut theirs)) => {
                theirs.take_sample(std::mem::take(sample));
                self.phase = Phase::Watching(theirs);
            }
            (Phase::Learning(sample), Phase::Learning(theirs)) => {
                if sample.is_numeric().zip(theirs.is_numeric()).is_some_and(|(mine, other)| mine != other) {
                    return Err("a stream has numbers in one instance and categories in another");
                }
                sample.numbers.extend(theirs.numbers);
                theirs.categories.iter().for_each(|(name, count)| sample.take_category(name, *count));
                sample.untold += theirs.untold;
                sample.missing += theirs.missing;
                if sample.rows() >= settings.warmup {
                    let reference = std::mem::take(sample).reference(settings);
                    self.phase = Phase::Watching(Box::new(Watch::new(reference, true, settings)));
                }
            }
        }
        Ok(())
    }
}

impl Watch {
    /// Counts what another instance kept for a reference of its own.
    fn take_sample(&mut self, sample: Sample) {
        for number in sample.numbers {
            if let Ok(Some(cell)) = self.place(Value::Number(number)) {
                self.current.counts[cell] += 1;
            }
        }
        for (name, count) in &sample.categories {
            if let Ok(Some(cell)) = self.place(Value::Category(name, None)) {
                self.current.counts[cell] += count;
            }
        }
        self.current.missing += sample.missing;
        self.stakes.reset();
    }
}

/// A category's name as it is kept.
pub(crate) fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME)]
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

/// What the average M of one stream's bets must reach. The average over all streams has then reached the configured
/// run length, so the promise holds for the box.
fn alarm_wealth(scope: &Scope<'_>) -> f64 {
    scope.settings.average_run_length * scope.streams
}

fn take_value(watch: &mut Watch, cell: Option<usize>, reporter: &mut Reporter<'_>) {
    match cell {
        Some(cell) => watch.current.counts[cell] += 1,
        None => watch.current.missing += 1,
    }
    let bets = watch.book.len() as f64;
    let wealth = watch.stakes.take(&watch.book, cell, reporter.row);
    let threshold = alarm_wealth(reporter.scope);
    if bets > 0.0 && wealth >= threshold * bets {
        reporter.sequential(watch, wealth / bets, threshold);
        watch.stakes.reset();
    } else if !reporter.open.is_empty() {
        let statistic = if bets > 0.0 { wealth / bets } else { 0.0 };
        reporter.close_quiet(Rule::Sequential, Some(watch), statistic, threshold);
    }
    if watch.current.rows() >= reporter.scope.settings.window {
        let tail = reporter.scope.settings.alpha / (TESTS * reporter.scope.streams);
        watch.outcomes = watch.examiner.examine(&watch.reference, &watch.current, tail, reporter.scope.settings);
        let cells = watch.current.counts.len();
        // An alarm shows this window's counts alone.
        watch.previous = std::mem::replace(&mut watch.current, Window::new(cells));
        reporter.window(watch);
    }
}

/// Opens and closes the alarms of one stream at one row.
struct Reporter<'a> {
    name: &'a str,
    row: u64,
    scope: &'a Scope<'a>,
    open: &'a mut Vec<Open>,
    alarms: &'a mut Vec<Alarm>,
}

struct Cause {
    severity: Severity,
    message: String,
    since: Option<u64>,
    statistic: f64,
    threshold: f64,
}

impl Reporter<'_> {
    fn window(&mut self, watch: &Watch) {
        let unknown = if watch.reference.is_numeric() { Rule::OutOfRange } else { Rule::Unseen };
        let outcomes = watch.outcomes;
        let since = self.row.saturating_sub(watch.previous.rows().saturating_sub(1));
        for (rule, outcome) in
            [(Rule::Psi, outcomes.psi), (Rule::Missing, outcomes.missing), (unknown, outcomes.unknown)]
        {
            let outcome = outcome.unwrap_or(Outcome { statistic: 0.0, threshold: 0.0 });
            let Outcome { statistic, threshold } = outcome;
            if !outcome.exceeds() {
                self.close_quiet(rule, Some(watch), statistic, threshold);
                continue;
            }
            let severity = match rule {
                Rule::Psi if statistic < 0.1 => Severity::Low,
                Rule::Psi if statistic < 0.25 => Severity::Medium,
                Rule::Psi => Severity::High,
                _ if statistic >= 0.5 => Severity::High,
                _ => Severity::Medium,
            };
            let message = match rule {
                Rule::Psi => {
                    format!("population stability index {statistic:.4} above {threshold:.4}; {}", shift(watch))
                }
                Rule::Missing => format!("{:.1} % of the values are missing", statistic * 100.0),
                Rule::Unseen => format!(
                    "{:.1} % of the values are in categories that the reference does not know",
                    statistic * 100.0
                ),
                _ => format!("{:.1} % of the values lie outside of the reference's range", statistic * 100.0),
            };
            self.cause(rule, Some(watch), Cause { severity, message, since: Some(since), statistic, threshold });
        }
    }

    fn sequential(&mut self, watch: &Watch, statistic: f64, threshold: f64) {
        let Some((claim, since)) = watch.stakes.leader(&watch.book) else { return };
        let mut recent = watch.previous.clone();
        recent.add(&watch.current);
        let index = stability_index(&watch.reference.counts, &recent.counts);
        let severity = if index >= 0.25 { Severity::High } else { Severity::Medium };
        let labels = watch.reference.labels();
        let message = match claim {
            Claim::Higher => format!("values are higher; {}", shift(watch)),
            Claim::Lower => format!("values are lower; {}", shift(watch)),
            Claim::Commoner(cell) => format!("{} has become more frequent", labels[cell]),
            Claim::Rarer(cell) => format!("{} has become less frequent", labels[cell]),
            Claim::MoreMissing => "more values are missing".to_owned(),
        };
        self.cause(
            Rule::Sequential,
            Some(watch),
            Cause { severity, message, since: Some(since), statistic, threshold },
        );
    }

    fn type_changed(&mut self, watch: Option<&Watch>, numeric: bool) {
        let message = if numeric { "categories where numbers were" } else { "numbers where categories were" };
        let cause = Cause {
            severity: Severity::High,
            message: message.to_owned(),
            since: Some(self.row),
            statistic: 1.0,
            threshold: 0.0,
        };
        self.cause(Rule::TypeChange, watch, cause);
    }

    /// There is cause for an alarm: opens it, or keeps it open.
    fn cause(&mut self, rule: Rule, watch: Option<&Watch>, cause: Cause) {
        if let Some(open) = self.open.iter_mut().find(|open| open.rule == rule) {
            open.last = self.row;
            return;
        }
        self.open.push(Open { rule, last: self.row });
        self.open.sort_by_key(|open| open.rule);
        self.report(rule, AlarmState::Opened, watch, cause);
    }

    /// There is no cause: closes the alarm when there was none for long enough.
    fn close_quiet(&mut self, rule: Rule, watch: Option<&Watch>, statistic: f64, threshold: f64) {
        let quiet =
            |open: &Open| open.rule == rule && self.row.saturating_sub(open.last) >= self.scope.settings.cool_down;
        let Some(index) = self.open.iter().position(quiet) else { return };
        let open = self.open.remove(index);
        let message = format!("no cause for the alarm in {} rows", self.row - open.last);
        let since = Some(open.last + 1);
        self.report(
            rule,
            AlarmState::Closed,
            watch,
            Cause { severity: Severity::Info, message, since, statistic, threshold },
        );
    }

    fn report(&mut self, rule: Rule, state: AlarmState, watch: Option<&Watch>, cause: Cause) {
        let (reference, current) = watch.map_or((Vec::new(), Vec::new()), Watch::bars);
        self.alarms.push(Alarm {
            stream: self.name.to_owned(),
            rule: rule.id().to_owned(),
            state,
            severity: cause.severity,
            message: cause.message,
            row: self.row,
            since_row: cause.since,
            statistic: cause.statistic,
            threshold: cause.threshold,
            reference,
            current,
        });
    }
}

/// How the recent values lie to the reference's, for people.
fn shift(watch: &Watch) -> String {
    if watch.reference.is_numeric() {
        format!("mean rank {:.2} among the reference's values, 0.50 expected", watch.recent_rank())
    } else {
        "shares of categories differ".to_owned()
    }
}
