//! A detector that attacks its host. `{"attack": "<name>"}` in the settings chooses how; [`Attack`] lists the names.

use std::hint::black_box;

use picket_sdk::prelude::*;
use picket_sdk::{Alarm, AlarmState, Bar, Batch, StreamStatus};
use serde::Deserialize;

/// The one rule that the descriptor declares.
pub const RULE: &str = "attack";

/// What the detector does to its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Attack {
    /// None: counts rows, raises one correct alarm at each row whose number is a multiple of `count`.
    None,
    /// `observe` never returns.
    Loop,
    /// `observe` allocates until it is refused.
    Memory,
    /// `observe` panics.
    Panic,
    /// `observe` answers with an error.
    Refuse,
    /// `observe` panics at its second call, so that a state is lost.
    PanicLater,
    /// `observe` raises `count` alarms.
    ManyAlarms,
    /// One alarm with a message of `bytes` bytes.
    HugeAnswer,
    /// One alarm with a rule that the descriptor does not declare.
    UndeclaredRule,
    /// One alarm for a stream that was not in the batch.
    UnknownStream,
    /// One alarm whose statistic is NaN.
    NanStatistic,
    /// One alarm with `count` bars.
    ManyBars,
    /// `fit` panics.
    FitPanic,
    /// `fit` never returns.
    FitLoop,
    /// `fit` gives `bytes` bytes.
    FitHuge,
    /// `snapshot` never returns.
    SnapshotLoop,
    /// `snapshot` gives `bytes` bytes.
    SnapshotHuge,
    /// `restore` panics.
    RestorePanic,
    /// `status` panics.
    StatusPanic,
    /// `merge` never returns.
    MergeLoop,
    /// `configure` never returns.
    ConfigureLoop,
    /// `configure` panics.
    ConfigurePanic,
    /// `configure` reports a problem.
    ConfigureProblems,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    attack: Attack,
    /// How many bytes the large answers have.
    #[serde(default = "default_bytes")]
    bytes: usize,
    /// How many members the long lists have.
    #[serde(default = "default_count")]
    count: u32,
}

fn default_bytes() -> usize {
    16 << 20
}

fn default_count() -> u32 {
    100_000
}

/// The detector, configured.
#[derive(Debug)]
pub struct Hostile {
    settings: Settings,
    rows: u64,
    calls: u64,
}

impl Detector for Hostile {
    fn describe() -> Descriptor {
        Descriptor {
            name: "hostile-detector".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Attacks its host in the way its settings say".to_owned(),
            settings_schema: include_str!("../../src/settings.schema.json").to_owned(),
            needs: Parts::empty(),
            rules: vec![Rule::after_the_fact(RULE, "What an attack reports")],
        }
    }

    fn configure(settings: &str, _reference: &[u8]) -> Result<Self, Vec<Problem>> {
        let settings: Settings = settings::parse(settings)?;
        match settings.attack {
            Attack::ConfigureLoop => never_return(),
            Attack::ConfigurePanic => panic!("configured to panic"),
            Attack::ConfigureProblems => return Err(vec![Problem::new("/attack", "told to have a problem")]),
            _ => {}
        }
        Ok(Self { settings, rows: 0, calls: 0 })
    }

    fn fit(&mut self, sample: &Batch) -> Result<Vec<u8>, String> {
        match self.settings.attack {
            Attack::FitLoop => never_return(),
            Attack::FitPanic => panic!("told to panic"),
            Attack::FitHuge => return Ok(vec![1; self.settings.bytes]),
            _ => {}
        }
        Ok(length(sample).to_le_bytes().to_vec())
    }

    fn observe(&mut self, batch: &Batch) -> Result<Vec<Alarm>, String> {
        self.calls += 1;
        let first = self.rows;
        self.rows += length(batch);
        let stream = batch.columns.first().map_or("", |column| &column.name);
        let mut alarm = alarm(stream, first);
        let alarms = match self.settings.attack {
            Attack::Loop => {
                never_return();
                vec![]
            }
            Attack::Memory => use_up_memory(),
            Attack::Panic => panic!("told to panic"),
            Attack::PanicLater if self.calls > 1 => panic!("told to panic later"),
            Attack::Refuse => return Err("told to refuse".to_owned()),
            Attack::ManyAlarms => (0..self.settings.count).map(|_| alarm.clone()).collect(),
            Attack::HugeAnswer => {
                alarm.message = "x".repeat(self.settings.bytes);
                vec![alarm]
            }
            Attack::UndeclaredRule => {
                alarm.rule = "undeclared".to_owned();
                vec![alarm]
            }
            Attack::UnknownStream => {
                alarm.stream = "no.such.stream".to_owned();
                vec![alarm]
            }
            Attack::NanStatistic => {
                alarm.statistic = f64::NAN;
                vec![alarm]
            }
            Attack::ManyBars => {
                alarm.current =
                    (0..self.settings.count).map(|label| Bar { label: label.to_string(), count: 1 }).collect();
                vec![alarm]
            }
            Attack::None => {
                let step = u64::from(self.settings.count.max(1));
                (first..self.rows).filter(|row| row % step == 0).map(|row| self::alarm(stream, row)).collect()
            }
            _ => vec![],
        };
        Ok(alarms)
    }

    fn status(&self) -> Vec<StreamStatus> {
        assert!(self.settings.attack != Attack::StatusPanic, "told to panic");
        let status = StreamStatus {
            stream: "all".to_owned(),
            rows: self.rows,
            rule: RULE.to_owned(),
            statistic: 0.0,
            threshold: 1.0,
            open: false,
        };
        vec![status]
    }

    fn snapshot(&self) -> Vec<u8> {
        match self.settings.attack {
            Attack::SnapshotLoop => never_return(),
            Attack::SnapshotHuge => return vec![1; self.settings.bytes],
            _ => {}
        }
        self.rows.to_le_bytes().to_vec()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        assert!(self.settings.attack != Attack::RestorePanic, "told to panic");
        self.rows = rows(state)?;
        Ok(())
    }

    fn merge(&mut self, states: &[Vec<u8>]) -> Result<(), String> {
        if self.settings.attack == Attack::MergeLoop {
            never_return();
        }
        let mut sum = self.rows;
        for state in states {
            sum = sum.saturating_add(rows(state)?);
        }
        self.rows = sum;
        Ok(())
    }
}

fn rows(state: &[u8]) -> Result<u64, String> {
    state.try_into().map(u64::from_le_bytes).map_err(|_| format!("a state has 8 bytes, this one {}", state.len()))
}

fn length(batch: &Batch) -> u64 {
    u64::try_from(batch.times.len()).unwrap_or(u64::MAX)
}

fn alarm(stream: &str, row: u64) -> Alarm {
    Alarm {
        stream: stream.to_owned(),
        rule: RULE.to_owned(),
        state: AlarmState::Opened,
        severity: Severity::Low,
        message: "told to report this".to_owned(),
        row,
        since_row: None,
        statistic: 2.0,
        threshold: 1.0,
        reference: vec![],
        current: vec![],
    }
}

fn never_return() {
    let mut count = 0_u64;
    while black_box(true) {
        count = count.wrapping_add(1);
        black_box(count);
    }
}

fn use_up_memory() -> Vec<Alarm> {
    let mut hoard = Vec::new();
    while black_box(true) {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
    Vec::new()
}

picket_sdk::export_detector!(Hostile);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn without_an_attack_it_counts_rows_and_merges() {
        let configure = || Hostile::configure(r#"{"attack": "none", "count": 2}"#, &[]).unwrap();
        let mut detector = configure();
        let alarms = detector.observe(&Batch { first_row: 0, times: vec![1; 5], columns: vec![] }).unwrap();
        assert_eq!(alarms.iter().map(|alarm| alarm.row).collect::<Vec<_>>(), [0, 2, 4]);
        let mut other = configure();
        other.restore(&detector.snapshot()).unwrap();
        other.merge(&[detector.snapshot()]).unwrap();
        assert_eq!(other.status()[0].rows, 10);
        assert!(other.restore(&[1]).is_err());
        assert_eq!(other.status()[0].rows, 10);
    }
}
