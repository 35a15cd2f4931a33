//! What a box records of its guards: kinds 8, 17 and 18.

use serde::Serialize;

use super::{Decision, EntryError, check_count, read_list};
use crate::cbor::{Reader, Writer};
use crate::hash::{Hash, as_hex};

/// The most signers that a guard-load entry names.
pub const MAX_SIGNERS: usize = 16;

/// How the checks of a guard start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Start {
    /// From a snapshot taken after it was configured.
    Snapshot = 1,
    /// In a fresh instance that is configured each time.
    ConfiguredFresh = 2,
    /// In an instance that is used again.
    Warm = 3,
}

/// Kind 8: a guard was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuardLoad {
    /// The name of the guard in the configuration.
    pub name: String,
    /// SHA-256 of its component.
    #[serde(serialize_with = "as_hex::bytes")]
    pub component: Hash,
    /// SHA-256 of its settings as canonical JSON.
    #[serde(serialize_with = "as_hex::bytes")]
    pub settings: Hash,
    /// The world that it exports: `validator` or `detector`, with package and version.
    pub world: String,
    /// The version that its descriptor names.
    pub guard_version: String,
    /// The size of the component in bytes.
    pub bytes: u64,
    /// How its checks start.
    pub start: Start,
    /// The keys, `name+id`, whose signatures over the component were verified before it ran; at most
    /// [`MAX_SIGNERS`]. Empty: nobody's.
    pub signers: Vec<String>,
    /// SHA-256 of what they signed: of a statement, or of the component where only signatures over that alone are there; none
    /// without a signature.
    #[serde(serialize_with = "as_hex::option")]
    pub statement: Option<Hash>,
    /// The rule of the trust policy that let it in, in words: `any of sec-team, vendor` or `unsigned allowed`.
    pub admitted: String,
}

impl GuardLoad {
    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), EntryError> {
        writer.array(10);
        writer.name("guard", &self.name)?;
        writer.bytes(&self.component);
        writer.bytes(&self.settings);
        writer.name("world", &self.world)?;
        writer.name("guard version", &self.guard_version)?;
        writer.unsigned(self.bytes);
        writer.unsigned(self.start as u8);
        check_count("signers", self.signers.len(), MAX_SIGNERS)?;
        if self.statement.is_none() && !self.signers.is_empty() {
            return Err(EntryError::Contradiction("signers without a statement that they signed"));
        }
        writer.array(self.signers.len());
        for signer in &self.signers {
            writer.name("signer", signer)?;
        }
        writer.optional_hash(self.statement.as_ref());
        writer.message("admitted", &self.admitted)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        reader.array(10)?;
        Ok(Self {
            name: reader.string()?,
            component: reader.fixed()?,
            settings: reader.fixed()?,
            world: reader.string()?,
            guard_version: reader.string()?,
            bytes: reader.unsigned()?,
            start: match reader.unsigned()? {
                1 => Start::Snapshot,
                2 => Start::ConfiguredFresh,
                3 => Start::Warm,
                value => return Err(EntryError::Value { field: "start", value }),
            },
            signers: read_list(reader, "signers", MAX_SIGNERS, Reader::string)?,
            statement: reader.optional(Reader::fixed)?,
            admitted: reader.string()?,
        })
    }
}

/// What happened to a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum GuardEventKind {
    /// A guard, its settings or a whole configuration was refused; what was in force stays so.
    Refused = 1,
    /// It failed too often and is not asked for a while.
    BreakerOpened = 2,
    /// It is asked again.
    BreakerClosed = 3,
    /// It is not in force any more: another took its place, or nothing did.
    Retired = 4,
}

impl GuardEventKind {
    /// The word for it: `refused`, `breaker-opened`, `breaker-closed`, `retired`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::BreakerOpened => "breaker-opened",
            Self::BreakerClosed => "breaker-closed",
            Self::Retired => "retired",
        }
    }
}

/// Kind 17: something happened to a guard while the box ran, or was to be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuardEvent {
    /// The name of the guard in the configuration; none when no single guard is meant.
    pub guard: Option<String>,
    /// What happened.
    pub event: GuardEventKind,
    /// SHA-256 of its component, as far as it is known.
    #[serde(serialize_with = "as_hex::option")]
    pub component: Option<Hash>,
    /// SHA-256 of its settings as canonical JSON, as far as they are known.
    #[serde(serialize_with = "as_hex::option")]
    pub settings: Option<Hash>,
    /// What inferences get in place of its verdict from here on: [`Decision::Allow`] or [`Decision::Block`]; only when its
    /// breaker opens.
    pub action: Option<Decision>,
    /// Why, for a person to act on.
    pub message: String,
}

impl GuardEvent {
    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), EntryError> {
        let opened = self.event == GuardEventKind::BreakerOpened;
        if opened != matches!(self.action, Some(Decision::Allow | Decision::Block)) || opened != self.action.is_some() {
            return Err(EntryError::Contradiction("an open breaker allows or blocks, and nothing else does"));
        }
        writer.array(6);
        writer.optional_name("guard", self.guard.as_deref())?;
        writer.unsigned(self.event as u8);
        writer.optional_hash(self.component.as_ref());
        writer.optional_hash(self.settings.as_ref());
        writer.optional_unsigned(self.action.map(|action| action as u64));
        writer.message("message", &self.message)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        reader.array(6)?;
        Ok(Self {
            guard: reader.optional(Reader::string)?,
            event: match reader.unsigned()? {
                1 => GuardEventKind::Refused,
                2 => GuardEventKind::BreakerOpened,
                3 => GuardEventKind::BreakerClosed,
                4 => GuardEventKind::Retired,
                value => return Err(EntryError::Value { field: "guard event", value }),
            },
            component: reader.optional(Reader::fixed)?,
            settings: reader.optional(Reader::fixed)?,
            action: reader.optional(Decision::read)?,
            message: reader.string()?,
        })
    }
}

/// Kind 18: the list of components and keys that nothing may run or sign any more, from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Revocation {
    /// SHA-256 of the list as it was read.
    #[serde(serialize_with = "as_hex::bytes")]
    pub digest: Hash,
    /// The list, as a JSON text with sorted members.
    pub document: String,
}

impl Revocation {
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
