//! What a box records of keeping its ledger: payloads that were erased (kind 14), and times that others vouch
//! for or that jumped (kind 16).

use serde::Serialize;

use super::EntryError;
use crate::cbor::{Reader, Writer};
use crate::hash::{Hash, as_hex};

/// Kind 14: payloads were erased, with their salts. Entries and proofs stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Erase {
    /// The first invocation whose payload was erased if it had one.
    pub from: u64,
    /// The first one behind them.
    pub to: u64,
    /// How many payloads there were, at most `to - from`.
    pub count: u64,
    /// Why.
    pub reason: String,
}

impl Erase {
    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), EntryError> {
        match self.to.checked_sub(self.from) {
            None => return Err(EntryError::Contradiction("an erasure cannot end before it starts")),
            Some(invocations) if self.count > invocations => {
                return Err(EntryError::Contradiction("an erasure cannot erase more payloads than invocations"));
            }
            Some(_) => (),
        }
        writer.array(4);
        writer.unsigned(self.from);
        writer.unsigned(self.to);
        writer.unsigned(self.count);
        writer.message("reason", &self.reason)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        reader.array(4)?;
        Ok(Self {
            from: reader.unsigned()?,
            to: reader.unsigned()?,
            count: reader.unsigned()?,
            reason: reader.string()?,
        })
    }
}

/// Kind 16: something that ties the box's clocks to the world, or tells of their break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeAnchor {
    /// A receipt arrived: this entry was made after the cosigner's time, and the entries below `size` before it.
    Receipt {
        /// The name of the cosigner: the auditor.
        cosigner: String,
        /// The time of the cosignature, in seconds since 1970-01-01T00:00:00Z.
        time: u64,
        /// The size of the checkpoint that was cosigned.
        size: u64,
        /// SHA-256 of the cosignature's 64 bytes.
        #[serde(serialize_with = "as_hex::bytes")]
        signature: Hash,
    },
    /// The wall clock jumped against the monotonic clock.
    ClockStep {
        /// By so many milliseconds; negative when it was set back.
        step_ms: i64,
    },
}

impl TimeAnchor {
    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), EntryError> {
        match self {
            Self::Receipt { cosigner, time, size, signature } => {
                writer.array(5);
                writer.unsigned(1_u8);
                writer.name("cosigner", cosigner)?;
                writer.unsigned(*time);
                writer.unsigned(*size);
                writer.bytes(signature);
            }
            Self::ClockStep { step_ms } => {
                writer.array(2);
                writer.unsigned(2_u8);
                writer.signed(*step_ms);
            }
        }
        Ok(())
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        // Decoding ends with encoding and comparing, so a wrong number of members does not pass.
        reader.list()?;
        match reader.unsigned()? {
            1 => Ok(Self::Receipt {
                cosigner: reader.string()?,
                time: reader.unsigned()?,
                size: reader.unsigned()?,
                signature: reader.fixed()?,
            }),
            2 => Ok(Self::ClockStep { step_ms: reader.signed()? }),
            value => Err(EntryError::Value { field: "time anchor", value }),
        }
    }
}
