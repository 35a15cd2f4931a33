//! One ledger record, and its one canonical form.
//!
//! An entry is deterministic CBOR (RFC 8949 section 4.2.1), a fixed-position array:
//! `[1, kind, incarnation, index, wall_ms, monotonic_ns, boot, body]`. Optional values are `null` or the
//! value, enumerations are small unsigned integers, statistics and scores are integers in millionths. There
//! are no maps, tags or floating-point numbers. `docs/ledger-format.md` gives the body of each kind.
//!
//! [`Entry::decode`] accepts the bytes that [`Entry::encode`] writes and no others: it reads strictly, encodes
//! again and compares, so that limits and canonical form are decided in one place.

mod acts;
mod drift;
mod record;
mod text;
mod verdict;

pub use acts::{Config, Drop, Enrolment, GuardLoad, Heartbeat, Incident, IncidentKind, Recovery, Start};
pub use drift::{Drift, MAX_BARS};
pub use record::{Link, MAX_LINKS, Record, RecordKind, Source};
pub use text::{MAX_DOCUMENT_BYTES, MAX_MESSAGE_BYTES, MAX_NAME_BYTES, MAX_PATH_BYTES, clip, clip_message};
pub use verdict::{Decision, FailureCause, Finding, GuardResult, MAX_FINDINGS, MAX_GUARDS, Mode, Outcome, Verdict};

use serde::Serialize;

use crate::cbor::{CborError, Reader, Writer};
use crate::hash::as_hex;

/// The longest encoded entry, in bytes.
pub const MAX_ENTRY_BYTES: usize = 256 * 1024;

/// The version that every entry starts with.
const VERSION: u64 = 1;

/// Why an entry cannot be written, or bytes are no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The bytes are not canonical CBOR of an entry's shape.
    #[error("malformed entry")]
    Cbor(#[from] CborError),
    /// A later version of the format.
    #[error("entry format version {0} is not known")]
    Version(u64),
    /// A kind that this version does not know.
    #[error("entry kind {0} is not known")]
    UnknownKind(u64),
    /// A kind whose number is taken and whose body is not yet specified.
    #[error("entry kind {} is reserved for a later version", .0.name())]
    ReservedKind(Kind),
    /// A number without a meaning in an enumeration or a range.
    #[error("{value} has no meaning as {field}")]
    Value {
        /// Which field.
        field: &'static str,
        /// The number that is there.
        value: u64,
    },
    /// A text is longer than its field allows.
    #[error("{field} has {length} bytes, at most {limit} are allowed")]
    TextTooLong {
        /// Which field.
        field: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The longest that is allowed.
        limit: usize,
    },
    /// A name or an id is empty.
    #[error("{field} is empty")]
    Empty {
        /// Which field.
        field: &'static str,
    },
    /// A text has a control character that its field does not allow.
    #[error("{field} has a control character, U+{:04X}", u32::from(*.character))]
    ControlCharacter {
        /// Which field.
        field: &'static str,
        /// The character.
        character: char,
    },
    /// A list has more members than its field allows.
    #[error("{count} {field}, at most {limit} are allowed")]
    TooMany {
        /// Which field.
        field: &'static str,
        /// How many there are.
        count: usize,
        /// The most that are allowed.
        limit: usize,
    },
    /// Fields that contradict each other.
    #[error("{0}")]
    Contradiction(&'static str),
    /// More bytes than [`MAX_ENTRY_BYTES`].
    #[error("the entry has {0} bytes, at most {MAX_ENTRY_BYTES} are allowed")]
    TooLarge(usize),
    /// The bytes differ from what their own content encodes to.
    #[error("the entry is not in its canonical form")]
    NotCanonical,
}

/// One record of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// How often this ledger has been opened anew after a rollback or a loss; 0 for its first life.
    pub incarnation: u32,
    /// The place in the log, which is the index of its leaf.
    pub index: u64,
    /// The wall clock in milliseconds since 1970-01-01T00:00:00Z, as the box believed it.
    pub wall_ms: u64,
    /// The monotonic clock in nanoseconds; comparable between entries of one `boot` only.
    pub monotonic_ns: u64,
    /// The boot of the machine that the monotonic clock counts from.
    #[serde(serialize_with = "as_hex::bytes")]
    pub boot: [u8; 16],
    /// What is recorded.
    pub body: Body,
}

impl Entry {
    /// Encodes: the canonical bytes, whose leaf hash goes into the tree.
    ///
    /// # Errors
    /// [`EntryError`] when a text, a list or the whole passes its limit, or fields contradict each other.
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        let mut writer = Writer::with_capacity(self.body.size_hint());
        writer.array(8);
        writer.unsigned(VERSION);
        writer.unsigned(self.body.kind() as u8);
        writer.unsigned(self.incarnation);
        writer.unsigned(self.index);
        writer.unsigned(self.wall_ms);
        writer.unsigned(self.monotonic_ns);
        writer.bytes(&self.boot);
        self.body.write(&mut writer)?;
        let bytes = writer.into_bytes();
        if bytes.len() > MAX_ENTRY_BYTES {
            return Err(EntryError::TooLarge(bytes.len()));
        }
        Ok(bytes)
    }

    /// Decodes an entry, canonical form only.
    ///
    /// # Errors
    /// [`EntryError`] for anything but the exact bytes that [`encode`](Self::encode) writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let (header, mut reader) = Header::read_from(bytes)?;
        let body = Body::read(header.kind, &mut reader)?;
        reader.finish()?;
        let entry = Self {
            incarnation: header.incarnation,
            index: header.index,
            wall_ms: header.wall_ms,
            monotonic_ns: header.monotonic_ns,
            boot: header.boot,
            body,
        };
        if entry.encode()? == bytes { Ok(entry) } else { Err(EntryError::NotCanonical) }
    }
}

/// What stands before the body of an entry: enough to index by, read without allocating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the body is.
    pub kind: Kind,
    /// As [`Entry::incarnation`].
    pub incarnation: u32,
    /// As [`Entry::index`].
    pub index: u64,
    /// As [`Entry::wall_ms`].
    pub wall_ms: u64,
    /// As [`Entry::monotonic_ns`].
    pub monotonic_ns: u64,
    /// As [`Entry::boot`].
    pub boot: [u8; 16],
}

impl Header {
    /// Reads the header of an encoded entry. The body may still be malformed.
    ///
    /// # Errors
    /// [`EntryError`] when the bytes do not start as an entry does.
    pub fn read(bytes: &[u8]) -> Result<Self, EntryError> {
        Ok(Self::read_from(bytes)?.0)
    }

    fn read_from(bytes: &[u8]) -> Result<(Self, Reader<'_>), EntryError> {
        if bytes.len() > MAX_ENTRY_BYTES {
            return Err(EntryError::TooLarge(bytes.len()));
        }
        let mut reader = Reader::new(bytes);
        reader.array(8)?;
        match reader.unsigned()? {
            VERSION => (),
            other => return Err(EntryError::Version(other)),
        }
        let header = Self {
            kind: Kind::from_number(reader.unsigned()?)?,
            incarnation: reader.narrow()?,
            index: reader.unsigned()?,
            wall_ms: reader.unsigned()?,
            monotonic_ns: reader.unsigned()?,
            boot: reader.fixed()?,
        };
        Ok((header, reader))
    }
}

/// The kinds of entries, with their numbers in the encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// What the guards decided on one inference.
    Verdict = 1,
    /// An alarm of a detector that opened or closed.
    Drift = 2,
    /// The weights of a model.
    ModelVersion = 3,
    /// An evaluation of a model.
    Evaluation = 4,
    /// A slice of training data.
    DatasetSlice = 5,
    /// The definition of features.
    FeatureDefinition = 6,
    /// A library of prompts.
    PromptLibrary = 7,
    /// A guard was loaded.
    GuardLoad = 8,
    /// The configuration in force.
    Config = 9,
    /// Somebody approved something.
    Approval = 10,
    /// The box is alive though idle.
    Heartbeat = 11,
    /// Something was not recorded, by policy.
    Drop = 12,
    /// Reserved: the hand-over from one signing key to the next.
    KeyRotation = 13,
    /// Reserved: the erasure of payloads.
    Erase = 14,
    /// What was found when the ledger was opened.
    Recovery = 15,
    /// Reserved: a time that somebody else vouches for.
    TimeAnchor = 16,
    /// An auditor saw a log lie.
    Incident = 32,
    /// An auditor took a box on.
    Enrolment = 33,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 18] = [
        Self::Verdict,
        Self::Drift,
        Self::ModelVersion,
        Self::Evaluation,
        Self::DatasetSlice,
        Self::FeatureDefinition,
        Self::PromptLibrary,
        Self::GuardLoad,
        Self::Config,
        Self::Approval,
        Self::Heartbeat,
        Self::Drop,
        Self::KeyRotation,
        Self::Erase,
        Self::Recovery,
        Self::TimeAnchor,
        Self::Incident,
        Self::Enrolment,
    ];

    /// The word for it: `model-version`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Drift => "drift",
            Self::ModelVersion => "model-version",
            Self::Evaluation => "evaluation",
            Self::DatasetSlice => "dataset-slice",
            Self::FeatureDefinition => "feature-definition",
            Self::PromptLibrary => "prompt-library",
            Self::GuardLoad => "guard-load",
            Self::Config => "config",
            Self::Approval => "approval",
            Self::Heartbeat => "heartbeat",
            Self::Drop => "drop",
            Self::KeyRotation => "key-rotation",
            Self::Erase => "erase",
            Self::Recovery => "recovery",
            Self::TimeAnchor => "time-anchor",
            Self::Incident => "incident",
            Self::Enrolment => "enrolment",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    fn from_number(number: u64) -> Result<Self, EntryError> {
        let kind = Self::ALL.into_iter().find(|kind| *kind as u64 == number);
        match kind.ok_or(EntryError::UnknownKind(number))? {
            kind @ (Self::KeyRotation | Self::Erase | Self::TimeAnchor) => Err(EntryError::ReservedKind(kind)),
            kind => Ok(kind),
        }
    }
}

/// What an entry records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Body {
    /// Kind 1.
    Verdict(Verdict),
    /// Kind 2.
    Drift(Drift),
    /// Kinds 3 to 7 and 10, told apart by [`Record::kind`].
    Record(Record),
    /// Kind 8.
    GuardLoad(GuardLoad),
    /// Kind 9.
    Config(Config),
    /// Kind 11.
    Heartbeat(Heartbeat),
    /// Kind 12.
    Drop(Drop),
    /// Kind 15.
    Recovery(Recovery),
    /// Kind 32, in the ledger of an auditor.
    Incident(Incident),
    /// Kind 33, in the ledger of an auditor.
    Enrolment(Enrolment),
}

impl Body {
    /// The kind of entry that this is the body of.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Verdict(_) => Kind::Verdict,
            Self::Drift(_) => Kind::Drift,
            Self::Record(record) => record.kind.into(),
            Self::GuardLoad(_) => Kind::GuardLoad,
            Self::Config(_) => Kind::Config,
            Self::Heartbeat(_) => Kind::Heartbeat,
            Self::Drop(_) => Kind::Drop,
            Self::Recovery(_) => Kind::Recovery,
            Self::Incident(_) => Kind::Incident,
            Self::Enrolment(_) => Kind::Enrolment,
        }
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EntryError> {
        match self {
            Self::Verdict(body) => body.write(writer),
            Self::Drift(body) => body.write(writer),
            Self::Record(body) => body.write(writer),
            Self::GuardLoad(body) => body.write(writer),
            Self::Config(body) => body.write(writer),
            Self::Heartbeat(body) => body.write(writer),
            Self::Drop(body) => body.write(writer),
            Self::Recovery(body) => body.write(writer),
            Self::Incident(body) => body.write(writer),
            Self::Enrolment(body) => body.write(writer),
        }
    }

    fn read(kind: Kind, reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        let record = |reader: &mut Reader<'_>, kind| Record::read(kind, reader).map(Self::Record);
        match kind {
            Kind::Verdict => Verdict::read(reader).map(Self::Verdict),
            Kind::Drift => Drift::read(reader).map(Self::Drift),
            Kind::ModelVersion => record(reader, RecordKind::ModelVersion),
            Kind::Evaluation => record(reader, RecordKind::Evaluation),
            Kind::DatasetSlice => record(reader, RecordKind::DatasetSlice),
            Kind::FeatureDefinition => record(reader, RecordKind::FeatureDefinition),
            Kind::PromptLibrary => record(reader, RecordKind::PromptLibrary),
            Kind::Approval => record(reader, RecordKind::Approval),
            Kind::GuardLoad => GuardLoad::read(reader).map(Self::GuardLoad),
            Kind::Config => Config::read(reader).map(Self::Config),
            Kind::Heartbeat => Heartbeat::read(reader).map(Self::Heartbeat),
            Kind::Drop => Drop::read(reader).map(Self::Drop),
            Kind::Recovery => Recovery::read(reader).map(Self::Recovery),
            Kind::Incident => Incident::read(reader).map(Self::Incident),
            Kind::Enrolment => Enrolment::read(reader).map(Self::Enrolment),
            Kind::KeyRotation | Kind::Erase | Kind::TimeAnchor => Err(EntryError::ReservedKind(kind)),
        }
    }

    /// A guess at the encoded length that is seldom too small, so that encoding allocates once.
    fn size_hint(&self) -> usize {
        const HEADER: usize = 64;
        HEADER
            + match self {
                Self::Verdict(body) => body.size_hint(),
                Self::Record(body) => 256 + body.document.len() + body.links.len() * 64,
                Self::Config(body) => 64 + body.document.len(),
                _ => 512,
            }
    }
}

/// Refuses a list beyond its limit.
fn check_count(field: &'static str, count: usize, limit: usize) -> Result<(), EntryError> {
    if count <= limit { Ok(()) } else { Err(EntryError::TooMany { field, count, limit }) }
}

/// Reads a list of at most `limit` members.
fn read_list<'a, T>(
    reader: &mut Reader<'a>,
    field: &'static str,
    limit: usize,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, EntryError>,
) -> Result<Vec<T>, EntryError> {
    let count = reader.list()?;
    check_count(field, count, limit)?;
    (0..count).map(|_| read(reader)).collect()
}
