//! Kinds 3 to 7 and 10: where a model comes from, and who agreed to it.

use serde::Serialize;

use super::{EntryError, Kind, check_count, read_list};
use crate::cbor::{Reader, Writer};
use crate::hash::{Hash, as_hex};

/// The most links of one record.
pub const MAX_LINKS: usize = 1024;

/// The kinds of entries that are records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordKind {
    /// Kind 3; the digest is SHA-256 of the weights.
    ModelVersion,
    /// Kind 4; the digest is that of the document.
    Evaluation,
    /// Kind 5; the digest is SHA-256 of the bytes of the slice.
    DatasetSlice,
    /// Kind 6; the digest is SHA-256 of the file.
    FeatureDefinition,
    /// Kind 7; the digest is that of the folder.
    PromptLibrary,
    /// Kind 10; the digest is that of the document.
    Approval,
}

impl RecordKind {
    /// Every kind of record.
    pub const ALL: [Self; 6] = [
        Self::ModelVersion,
        Self::Evaluation,
        Self::DatasetSlice,
        Self::FeatureDefinition,
        Self::PromptLibrary,
        Self::Approval,
    ];

    /// The word for it: `model-version`.
    #[must_use]
    pub fn name(self) -> &'static str {
        Kind::from(self).name()
    }

    /// The kind of record of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl From<RecordKind> for Kind {
    fn from(kind: RecordKind) -> Self {
        match kind {
            RecordKind::ModelVersion => Self::ModelVersion,
            RecordKind::Evaluation => Self::Evaluation,
            RecordKind::DatasetSlice => Self::DatasetSlice,
            RecordKind::FeatureDefinition => Self::FeatureDefinition,
            RecordKind::PromptLibrary => Self::PromptLibrary,
            RecordKind::Approval => Self::Approval,
        }
    }
}

/// Where a record comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Source {
    /// The box saw and hashed the thing itself.
    Observed = 1,
    /// Somebody recorded it by hand.
    Recorded = 2,
}

/// What is known of one thing that a model stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// What it is.
    pub kind: RecordKind,
    /// Its name.
    pub name: String,
    /// Its version; empty when it has none.
    pub version: String,
    /// Its digest; see [`RecordKind`] for of what.
    #[serde(serialize_with = "as_hex::bytes")]
    pub digest: Hash,
    /// Where the record comes from.
    pub source: Source,
    /// What it is tied to.
    pub links: Vec<Link>,
    /// More about it: a JSON text, or empty.
    pub document: String,
}

/// A tie from a record to another thing.
///
/// Relations in use: model-version `trained-on` slice; evaluation `model` weights, `slice` slice;
/// prompt-library `weights` weights; approval `subject` any digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// In which way.
    pub relation: String,
    /// The digest of the other thing.
    #[serde(serialize_with = "as_hex::bytes")]
    pub digest: Hash,
}

impl Record {
    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), EntryError> {
        writer.array(6);
        writer.name("name", &self.name)?;
        if self.version.is_empty() {
            writer.text("");
        } else {
            writer.name("version", &self.version)?;
        }
        writer.bytes(&self.digest);
        writer.unsigned(self.source as u8);
        check_count("links", self.links.len(), MAX_LINKS)?;
        writer.array(self.links.len());
        for link in &self.links {
            writer.array(2);
            writer.name("relation", &link.relation)?;
            writer.bytes(&link.digest);
        }
        writer.document("document", &self.document)
    }

    pub(super) fn read(kind: RecordKind, reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        reader.array(6)?;
        Ok(Self {
            kind,
            name: reader.string()?,
            version: reader.string()?,
            digest: reader.fixed()?,
            source: match reader.unsigned()? {
                1 => Source::Observed,
                2 => Source::Recorded,
                value => return Err(EntryError::Value { field: "source", value }),
            },
            links: read_list(reader, "links", MAX_LINKS, |reader| {
                reader.array(2)?;
                Ok(Link { relation: reader.string()?, digest: reader.fixed()? })
            })?,
            document: reader.string()?,
        })
    }
}
