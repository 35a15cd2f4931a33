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
mod check;
mod drift;
mod error;
mod guard_result;
mod guards;
mod keeping;
mod kind;
mod record;
mod recovery;
mod rotation;
mod text;
mod verdict;

pub use acts::{Config, Drop, Enrolment, Heartbeat, Incident, IncidentKind};
pub use drift::{Drift, MAX_BARS};
pub use error::EntryError;
pub use guard_result::{FailureCause, Finding, GuardResult, MAX_FINDINGS, Mode, Outcome};
pub use guards::{GuardEvent, GuardEventKind, GuardLoad, MAX_SIGNERS, Revocation, Start};
pub use keeping::{Erase, TimeAnchor};
pub use kind::Kind;
pub use record::{Link, MAX_LINKS, Record, RecordKind, Source};
pub use recovery::{Head, MAX_FOUND, MAX_HEADS, Recovery};
pub use rotation::KeyRotation;
pub use text::{MAX_DOCUMENT_BYTES, MAX_MESSAGE_BYTES, MAX_NAME_BYTES, MAX_PATH_BYTES, clip, clip_message};
pub use verdict::{Decision, MAX_GUARDS, Verdict};

use serde::Serialize;

use crate::cbor::{Reader, Writer};
use crate::hash::as_hex;

/// The longest encoded entry, in bytes.
pub const MAX_ENTRY_BYTES: usize = 256 * 1024;

/// The version that every entry starts with.
const VERSION: u64 = 1;

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

    /// Whether bytes are an entry in canonical form: as [`decode`](Self::decode), but a verdict costs no
    /// allocation.
    ///
    /// # Errors
    /// [`EntryError`], the same as of [`decode`](Self::decode).
    pub fn check(bytes: &[u8]) -> Result<Header, EntryError> {
        let (header, mut reader) = Header::read_from(bytes)?;
        if header.kind == Kind::Verdict && check::verdict(&mut reader).is_ok() && reader.finish().is_ok() {
            return Ok(header);
        }
        Self::decode(bytes).map(|_| header)
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
    /// Kind 13.
    KeyRotation(KeyRotation),
    /// Kind 14.
    Erase(Erase),
    /// Kind 15.
    Recovery(Recovery),
    /// Kind 16.
    TimeAnchor(TimeAnchor),
    /// Kind 17.
    GuardEvent(GuardEvent),
    /// Kind 18.
    Revocation(Revocation),
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
            Self::KeyRotation(_) => Kind::KeyRotation,
            Self::Erase(_) => Kind::Erase,
            Self::Recovery(_) => Kind::Recovery,
            Self::TimeAnchor(_) => Kind::TimeAnchor,
            Self::GuardEvent(_) => Kind::GuardEvent,
            Self::Revocation(_) => Kind::Revocation,
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
            Self::KeyRotation(body) => body.write(writer),
            Self::Erase(body) => body.write(writer),
            Self::Recovery(body) => body.write(writer),
            Self::TimeAnchor(body) => body.write(writer),
            Self::GuardEvent(body) => body.write(writer),
            Self::Revocation(body) => body.write(writer),
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
            Kind::KeyRotation => KeyRotation::read(reader).map(Self::KeyRotation),
            Kind::Erase => Erase::read(reader).map(Self::Erase),
            Kind::Recovery => Recovery::read(reader).map(Self::Recovery),
            Kind::TimeAnchor => TimeAnchor::read(reader).map(Self::TimeAnchor),
            Kind::GuardEvent => GuardEvent::read(reader).map(Self::GuardEvent),
            Kind::Revocation => Revocation::read(reader).map(Self::Revocation),
            Kind::Incident => Incident::read(reader).map(Self::Incident),
            Kind::Enrolment => Enrolment::read(reader).map(Self::Enrolment),
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
                Self::Revocation(body) => 64 + body.document.len(),
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
