//! What a box or an auditor records of its own doing: kinds 9, 11, 12, 32 and 33.

use serde::Serialize;

use super::EntryError;
use crate::cbor::{Reader, Writer};
use crate::hash::{Hash, as_hex};

/// Kind 9: the configuration from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Config {
    /// The digest that verdicts name as their policy.
    #[serde(serialize_with = "as_hex::bytes")]
    pub digest: Hash,
    /// The configuration as a JSON text, without secrets.
    pub document: String,
}

impl Config {
    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), EntryError> {
        writer.array(2);
        writer.bytes(&self.digest);
        writer.document("document", &self.document)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        reader.array(2)?;
        Ok(Self { digest: reader.fixed()?, document: reader.string()? })
    }
}

/// Kind 11: the box is alive though idle, so that a log that ends early is told from one that is quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Heartbeat {
    /// The number that the next inference will get.
    pub next_invocation: u64,
}

impl Heartbeat {
    #[expect(clippy::unnecessary_wraps, reason = "as every other body")]
    pub(super) fn write(self, writer: &mut Writer) -> Result<(), EntryError> {
        writer.array(1);
        writer.unsigned(self.next_invocation);
        Ok(())
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        reader.array(1)?;
        Ok(Self { next_invocation: reader.unsigned()? })
    }
}

/// Kind 12: something was not recorded, by policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drop {
    /// How many entries are missing.
    pub count: u64,
    /// Why.
    pub reason: String,
}

impl Drop {
    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), EntryError> {
        writer.array(2);
        writer.unsigned(self.count);
        writer.message("reason", &self.reason)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        reader.array(2)?;
        Ok(Self { count: reader.unsigned()?, reason: reader.string()? })
    }
}

/// How a log lied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum IncidentKind {
    /// Entries are missing between what is known and what was sent.
    Gap = 1,
    /// Two histories under one key.
    Fork = 2,
    /// The log is shorter than it was.
    Rollback = 3,
    /// A signature or a proof does not hold.
    Invalid = 4,
}

impl IncidentKind {
    /// The word for it: `gap`, `fork`, `rollback`, `invalid`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Fork => "fork",
            Self::Rollback => "rollback",
            Self::Invalid => "invalid",
        }
    }
}

/// Kind 32: an auditor saw a log lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Incident {
    /// Whose log: the edge id of the box.
    pub origin: String,
    /// In which way.
    pub kind: IncidentKind,
    /// The size that was claimed.
    pub size: u64,
    /// The root that was claimed.
    #[serde(serialize_with = "as_hex::bytes")]
    pub root: Hash,
    /// For a person to act on.
    pub message: String,
    /// SHA-256 of the evidence that is kept.
    #[serde(serialize_with = "as_hex::bytes")]
    pub evidence: Hash,
}

impl Incident {
    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), EntryError> {
        writer.array(6);
        writer.name("origin", &self.origin)?;
        writer.unsigned(self.kind as u8);
        writer.unsigned(self.size);
        writer.bytes(&self.root);
        writer.message("message", &self.message)?;
        writer.bytes(&self.evidence);
        Ok(())
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        reader.array(6)?;
        Ok(Self {
            origin: reader.string()?,
            kind: match reader.unsigned()? {
                1 => IncidentKind::Gap,
                2 => IncidentKind::Fork,
                3 => IncidentKind::Rollback,
                4 => IncidentKind::Invalid,
                value => return Err(EntryError::Value { field: "incident kind", value }),
            },
            size: reader.unsigned()?,
            root: reader.fixed()?,
            message: reader.string()?,
            evidence: reader.fixed()?,
        })
    }
}

/// Kind 33: an auditor took a box on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Enrolment {
    /// The edge id of the box.
    pub origin: String,
    /// Its public key as `name+id+base64`.
    pub key: String,
}

impl Enrolment {
    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), EntryError> {
        writer.array(2);
        writer.name("origin", &self.origin)?;
        // A key is its name, of at most 256 bytes, and 54 bytes more.
        writer.path("key", &self.key)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        reader.array(2)?;
        Ok(Self { origin: reader.string()?, key: reader.string()? })
    }
}
