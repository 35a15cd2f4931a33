//! Kind 2: an alarm of a detector that opened or closed.

use serde::Serialize;

use super::{EntryError, check_count, read_list};
use crate::cbor::{Reader, Writer};
use crate::hash::{Hash, as_hex};

/// The most bars of a histogram.
pub const MAX_BARS: usize = 256;

/// What a detector saw, and where it stood when it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// The name of the detector in the configuration.
    pub detector: String,
    /// SHA-256 of its component.
    #[serde(serialize_with = "as_hex::bytes")]
    pub component: Hash,
    /// SHA-256 of its settings as canonical JSON.
    #[serde(serialize_with = "as_hex::bytes")]
    pub settings: Hash,
    /// SHA-256 of its reference profile, if it has one.
    #[serde(serialize_with = "as_hex::option")]
    pub reference: Option<Hash>,
    /// The model whose inferences it watches.
    pub model: String,
    /// The measurement or feature.
    pub stream: String,
    /// The detector's rule.
    pub rule: String,
    /// Whether the alarm opened; `false` when it closed.
    pub opened: bool,
    /// 0 info, 1 low, 2 medium, 3 high, 4 critical.
    pub severity: u8,
    /// For a person to act on.
    pub message: String,
    /// The row of the stream at which it happened, counted from 0.
    pub row: u64,
    /// The row since which it is believed to be so.
    pub since_row: Option<u64>,
    /// The rule's statistic, in millionths.
    pub statistic: i64,
    /// What the statistic is held against, in millionths.
    pub threshold: i64,
    /// The reference window as a histogram: label and count.
    pub reference_bars: Vec<(String, u64)>,
    /// The current window, with the same labels.
    pub current_bars: Vec<(String, u64)>,
    /// SHA-256 of the detector's snapshot after the batch.
    #[serde(serialize_with = "as_hex::bytes")]
    pub state: Hash,
}

impl Drift {
    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), EntryError> {
        if self.severity > 4 {
            return Err(EntryError::Value { field: "severity", value: self.severity.into() });
        }
        writer.array(17);
        writer.name("detector", &self.detector)?;
        writer.bytes(&self.component);
        writer.bytes(&self.settings);
        writer.optional_hash(self.reference.as_ref());
        writer.name("model", &self.model)?;
        writer.name("stream", &self.stream)?;
        writer.name("rule", &self.rule)?;
        writer.boolean(self.opened);
        writer.unsigned(self.severity);
        writer.message("message", &self.message)?;
        writer.unsigned(self.row);
        writer.optional_unsigned(self.since_row);
        writer.signed(self.statistic);
        writer.signed(self.threshold);
        write_bars("reference bars", &self.reference_bars, writer)?;
        write_bars("current bars", &self.current_bars, writer)?;
        writer.bytes(&self.state);
        Ok(())
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        reader.array(17)?;
        Ok(Self {
            detector: reader.string()?,
            component: reader.fixed()?,
            settings: reader.fixed()?,
            reference: reader.optional(Reader::fixed)?,
            model: reader.string()?,
            stream: reader.string()?,
            rule: reader.string()?,
            opened: reader.boolean()?,
            severity: reader.narrow()?,
            message: reader.string()?,
            row: reader.unsigned()?,
            since_row: reader.optional(Reader::unsigned)?,
            statistic: reader.signed()?,
            threshold: reader.signed()?,
            reference_bars: read_list(reader, "reference bars", MAX_BARS, read_bar)?,
            current_bars: read_list(reader, "current bars", MAX_BARS, read_bar)?,
            state: reader.fixed()?,
        })
    }
}

fn write_bars(field: &'static str, bars: &[(String, u64)], writer: &mut Writer) -> Result<(), EntryError> {
    check_count(field, bars.len(), MAX_BARS)?;
    writer.array(bars.len());
    for (label, count) in bars {
        writer.array(2);
        // A label may be the empty category, so it is no name.
        writer.path(field, label)?;
        writer.unsigned(*count);
    }
    Ok(())
}

fn read_bar(reader: &mut Reader<'_>) -> Result<(String, u64), EntryError> {
    reader.array(2)?;
    Ok((reader.string()?, reader.unsigned()?))
}
