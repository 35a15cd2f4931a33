//! What one guard said of one inference: its verdict with findings, or its failure to give one.

use serde::Serialize;

use super::{Decision, EntryError, MAX_NAME_BYTES, MAX_PATH_BYTES, check_count, clip, clip_message, read_list};
use crate::cbor::{CborError, Reader, Writer};
use crate::hash::{Hash, as_hex};

/// The most findings of one guard that an entry lists.
pub const MAX_FINDINGS: usize = 256;

pub(super) const MAX_SEVERITY: u8 = 4;
pub(super) const MAX_PART: u8 = 4;

/// What one guard said, or that it said nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuardResult {
    /// The name of the guard in the configuration.
    pub name: String,
    /// SHA-256 of its component.
    #[serde(serialize_with = "as_hex::bytes")]
    pub component: Hash,
    /// SHA-256 of its settings as canonical JSON.
    #[serde(serialize_with = "as_hex::bytes")]
    pub settings: Hash,
    /// Whether its verdict counted.
    pub mode: Mode,
    /// Whether it ran in an instance that had seen other inferences, so that its verdict may depend on them.
    pub warm: bool,
    /// Its verdict or its failure.
    pub outcome: Outcome,
}

impl GuardResult {
    pub(super) fn size_hint(&self) -> usize {
        let outcome = match &self.outcome {
            Outcome::Verdict { findings, .. } => findings.iter().map(Finding::size_hint).sum(),
            Outcome::Failure { message, .. } => message.len(),
        };
        self.name.len() + 128 + outcome
    }

    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), EntryError> {
        writer.array(6);
        writer.name("guard", &self.name)?;
        writer.bytes(&self.component);
        writer.bytes(&self.settings);
        writer.unsigned(self.mode as u8);
        writer.boolean(self.warm);
        self.outcome.write(writer)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        reader.array(6)?;
        Ok(Self {
            name: reader.string()?,
            component: reader.fixed()?,
            settings: reader.fixed()?,
            mode: Mode::read(reader)?,
            warm: reader.boolean()?,
            outcome: Outcome::read(reader)?,
        })
    }
}

/// Whether a guard's verdict counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Mode {
    /// It counts.
    Enforce = 1,
    /// It is recorded alone.
    Shadow = 2,
}

impl Mode {
    fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        match reader.unsigned()? {
            1 => Ok(Self::Enforce),
            2 => Ok(Self::Shadow),
            value => Err(EntryError::Value { field: "mode", value }),
        }
    }
}

/// A verdict, or the failure to give one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The guard decided.
    Verdict {
        /// What it decided.
        decision: Decision,
        /// SHA-256 of the canonical bytes of its whole verdict: what a replay must reproduce.
        #[serde(serialize_with = "as_hex::bytes")]
        digest: Hash,
        /// What it noticed.
        findings: Vec<Finding>,
        /// How many findings this entry leaves out to fit; see
        /// [`Verdict::clip`](super::Verdict::clip).
        omitted: u32,
    },
    /// The guard gave no verdict.
    Failure {
        /// Why not.
        cause: FailureCause,
        /// More about it.
        message: String,
        /// What the policy made of it: [`Decision::Allow`] (fail open) or [`Decision::Block`] (fail closed).
        action: Decision,
    },
}

impl Outcome {
    const VERDICT: u8 = 1;
    const FAILURE: u8 = 2;

    fn write(&self, writer: &mut Writer) -> Result<(), EntryError> {
        match self {
            Self::Verdict { decision, digest, findings, omitted } => {
                check_count("findings", findings.len(), MAX_FINDINGS)?;
                writer.array(5);
                writer.unsigned(Self::VERDICT);
                writer.unsigned(*decision as u8);
                writer.bytes(digest);
                writer.array(findings.len());
                for finding in findings {
                    finding.write(writer)?;
                }
                writer.unsigned(*omitted);
            }
            Self::Failure { cause, message, action } => {
                if !matches!(action, Decision::Allow | Decision::Block) {
                    return Err(EntryError::Contradiction("a failure allows or blocks, nothing between"));
                }
                writer.array(4);
                writer.unsigned(Self::FAILURE);
                writer.unsigned(*cause as u8);
                writer.message("failure message", message)?;
                writer.unsigned(*action as u8);
            }
        }
        Ok(())
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        let offset = reader.position();
        let members = reader.list()?;
        let (expected, outcome) = match reader.unsigned()? {
            value if value == u64::from(Self::VERDICT) => (
                5,
                Self::Verdict {
                    decision: Decision::read(reader)?,
                    digest: reader.fixed()?,
                    findings: read_list(reader, "findings", MAX_FINDINGS, Finding::read)?,
                    omitted: reader.narrow()?,
                },
            ),
            value if value == u64::from(Self::FAILURE) => (
                4,
                Self::Failure {
                    cause: FailureCause::read(reader)?,
                    message: reader.string()?,
                    action: Decision::read(reader)?,
                },
            ),
            value => return Err(EntryError::Value { field: "outcome", value }),
        };
        if members != expected {
            return Err(CborError::Members { offset, expected, found: members }.into());
        }
        Ok(outcome)
    }
}

/// Why a guard gave no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum FailureCause {
    /// Its code trapped.
    Trap = 1,
    /// It ran past its deadline.
    Deadline = 2,
    /// It asked for more memory, tables or instances than it may have.
    Memory = 3,
    /// Its answer is malformed or too large.
    Answer = 4,
    /// It said itself that it cannot judge.
    Refused = 5,
    /// It is not loaded, or no instance of it was free in time.
    Unavailable = 6,
}

impl FailureCause {
    /// The word for it: `trap`, `deadline`, `memory`, `answer`, `refused`, `unavailable`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Answer => "answer",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        match reader.unsigned()? {
            1 => Ok(Self::Trap),
            2 => Ok(Self::Deadline),
            3 => Ok(Self::Memory),
            4 => Ok(Self::Answer),
            5 => Ok(Self::Refused),
            6 => Ok(Self::Unavailable),
            value => Err(EntryError::Value { field: "failure cause", value }),
        }
    }
}

/// One thing that a guard noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The guard's rule.
    pub rule: String,
    /// 0 info, 1 low, 2 medium, 3 high, 4 critical.
    pub severity: u8,
    /// For a person to act on.
    pub message: String,
    /// The part of the inference: 0 input, 1 context, 2 output, 3 features, 4 attributes; `None` for the
    /// whole.
    pub part: Option<u8>,
    /// The place inside the part, a JSON Pointer (RFC 6901); empty for the whole of it.
    pub path: String,
    /// The bytes of the text there: first, and the one after the last.
    pub span: Option<(u32, u32)>,
    /// How sure the rule is, or its own statistic, in millionths.
    pub score: Option<i64>,
}

impl Finding {
    pub(super) fn clip(&mut self) {
        // An empty rule cannot be written, and the verdict must not be lost for it.
        if self.rule.is_empty() {
            "?".clone_into(&mut self.rule);
        }
        self.rule = clip(&self.rule, MAX_NAME_BYTES);
        self.message = clip_message(&self.message);
        self.path = clip(&self.path, MAX_PATH_BYTES);
        self.severity = self.severity.min(MAX_SEVERITY);
        self.part = self.part.filter(|part| *part <= MAX_PART);
        self.span = self.span.filter(|(start, end)| start <= end);
    }

    /// At least the encoded length.
    pub(super) fn size_hint(&self) -> usize {
        // Heads of three texts, an array and a pair (3 bytes each), two small integers, 2 × 5 and 9 bytes.
        self.rule.len() + self.message.len() + self.path.len() + 40
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EntryError> {
        if self.severity > MAX_SEVERITY {
            return Err(EntryError::Value { field: "severity", value: self.severity.into() });
        }
        if let Some(part) = self.part.filter(|part| *part > MAX_PART) {
            return Err(EntryError::Value { field: "part", value: part.into() });
        }
        writer.array(7);
        writer.name("rule", &self.rule)?;
        writer.unsigned(self.severity);
        writer.message("message", &self.message)?;
        writer.optional_unsigned(self.part.map(u64::from));
        writer.path("path", &self.path)?;
        match self.span {
            Some((start, end)) if start > end => {
                return Err(EntryError::Contradiction("a span ends before it starts"));
            }
            Some((start, end)) => {
                writer.array(2);
                writer.unsigned(start);
                writer.unsigned(end);
            }
            None => writer.null(),
        }
        match self.score {
            Some(score) => writer.signed(score),
            None => writer.null(),
        }
        Ok(())
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        reader.array(7)?;
        Ok(Self {
            rule: reader.string()?,
            severity: reader.narrow()?,
            message: reader.string()?,
            part: reader.optional(Reader::narrow)?,
            path: reader.string()?,
            span: reader.optional(|reader| {
                reader.array(2)?;
                Ok::<_, CborError>((reader.narrow()?, reader.narrow()?))
            })?,
            score: reader.optional(Reader::signed)?,
        })
    }
}
