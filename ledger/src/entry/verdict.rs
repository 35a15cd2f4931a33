//! Kind 1: what the guards decided on one inference, and everything that was in force when they did.

use serde::Serialize;

use super::{EntryError, MAX_ENTRY_BYTES, MAX_NAME_BYTES, MAX_PATH_BYTES, check_count, clip, clip_message, read_list};
use crate::cbor::{CborError, Reader, Writer};
use crate::hash::{Hash, as_hex};

/// The most guards of one verdict.
pub const MAX_GUARDS: usize = 64;

/// The most findings of one guard that an entry lists.
pub const MAX_FINDINGS: usize = 256;

const MAX_SEVERITY: u8 = 4;
const MAX_PART: u8 = 4;

/// What is to be done with an output; of several, the largest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Decision {
    /// Nothing to say against it.
    Allow = 0,
    /// Let pass, and marked.
    Flag = 1,
    /// Let pass with parts replaced.
    Redact = 2,
    /// Not let pass.
    Block = 3,
}

impl Decision {
    /// The word for it: `allow`, `flag`, `redact`, `block`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Flag => "flag",
            Self::Redact => "redact",
            Self::Block => "block",
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        match reader.unsigned()? {
            0 => Ok(Self::Allow),
            1 => Ok(Self::Flag),
            2 => Ok(Self::Redact),
            3 => Ok(Self::Block),
            value => Err(EntryError::Value { field: "decision", value }),
        }
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

/// One decision, and what it stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The number that the box gave the inference before any guard ran. A number without an entry is a
    /// visible hole.
    pub invocation: u64,
    /// The caller's id of the inference.
    pub inference_id: String,
    /// The trace id that came with it (W3C Trace Context, 32 hexadecimal characters).
    pub trace_id: Option<String>,
    /// When the model answered, by the caller's word, in milliseconds since 1970-01-01T00:00:00Z.
    pub inference_time_ms: Option<u64>,
    /// The name of the model.
    pub model: String,
    /// Its version, by the caller's word.
    pub model_version: Option<String>,
    /// The version of the prompt, by the caller's word.
    pub prompt_version: Option<String>,
    /// SHA-256 of the weights that were in force.
    #[serde(serialize_with = "as_hex::option")]
    pub weights: Option<Hash>,
    /// Digest of the prompt library that was in force.
    #[serde(serialize_with = "as_hex::option")]
    pub prompts: Option<Hash>,
    /// Digest of the feature definition that was in force.
    #[serde(serialize_with = "as_hex::option")]
    pub features: Option<Hash>,
    /// Digest of the configuration that was in force.
    #[serde(serialize_with = "as_hex::bytes")]
    pub policy: Hash,
    /// What was done.
    pub decision: Decision,
    /// What each guard said, in the order in which they ran.
    pub guards: Vec<GuardResult>,
    /// [`crate::hash::commitment`] to the inference as received, with `invocation` as the sequence.
    #[serde(serialize_with = "as_hex::bytes")]
    pub payload: Hash,
    /// The same for the output as released; `None` when it was blocked.
    #[serde(serialize_with = "as_hex::option")]
    pub released: Option<Hash>,
}

impl Verdict {
    /// Makes whatever guards wrote fit an entry: texts are clipped, and findings beyond [`MAX_FINDINGS`] of a
    /// guard, or beyond what an entry can hold, are left out from the end and counted in
    /// [`Outcome::Verdict::omitted`]. The digest of the guard's whole verdict still covers them.
    ///
    /// Ids and names from the caller are not touched: clipping them would break the trace. When those are
    /// within their limits and there are at most [`MAX_GUARDS`] guards, the entry encodes afterwards.
    pub fn clip(&mut self) {
        // What an entry takes beside its findings: its own fields, and those of each guard.
        const OWN: usize = 4 * 1024;
        const GUARD: usize = 3 * 1024;
        let mut room = MAX_ENTRY_BYTES - OWN - MAX_GUARDS * GUARD;
        for guard in &mut self.guards {
            match &mut guard.outcome {
                Outcome::Failure { message, .. } => *message = clip_message(message),
                Outcome::Verdict { findings, omitted, .. } => {
                    let mut kept = 0;
                    for finding in findings.iter_mut().take(MAX_FINDINGS) {
                        finding.clip();
                        let size = finding.size_hint();
                        if size > room {
                            break;
                        }
                        room -= size;
                        kept += 1;
                    }
                    let dropped = u32::try_from(findings.len() - kept).unwrap_or(u32::MAX);
                    *omitted = omitted.saturating_add(dropped);
                    findings.truncate(kept);
                }
            }
        }
    }

    pub(super) fn size_hint(&self) -> usize {
        let names = self.inference_id.len() + self.model.len();
        512 + names + self.guards.iter().map(GuardResult::size_hint).sum::<usize>()
    }

    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), EntryError> {
        if self.decision == Decision::Block && self.released.is_some() {
            return Err(EntryError::Contradiction("an output that was blocked cannot have been released"));
        }
        writer.array(15);
        writer.unsigned(self.invocation);
        writer.name("inference id", &self.inference_id)?;
        writer.optional_name("trace id", self.trace_id.as_deref())?;
        writer.optional_unsigned(self.inference_time_ms);
        writer.name("model", &self.model)?;
        writer.optional_name("model version", self.model_version.as_deref())?;
        writer.optional_name("prompt version", self.prompt_version.as_deref())?;
        writer.optional_hash(self.weights.as_ref());
        writer.optional_hash(self.prompts.as_ref());
        writer.optional_hash(self.features.as_ref());
        writer.bytes(&self.policy);
        writer.unsigned(self.decision as u8);
        check_count("guards", self.guards.len(), MAX_GUARDS)?;
        writer.array(self.guards.len());
        for guard in &self.guards {
            guard.write(writer)?;
        }
        writer.bytes(&self.payload);
        writer.optional_hash(self.released.as_ref());
        Ok(())
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        reader.array(15)?;
        Ok(Self {
            invocation: reader.unsigned()?,
            inference_id: reader.string()?,
            trace_id: reader.optional_string()?,
            inference_time_ms: reader.optional(Reader::unsigned)?,
            model: reader.string()?,
            model_version: reader.optional_string()?,
            prompt_version: reader.optional_string()?,
            weights: reader.optional(Reader::fixed)?,
            prompts: reader.optional(Reader::fixed)?,
            features: reader.optional(Reader::fixed)?,
            policy: reader.fixed()?,
            decision: Decision::read(reader)?,
            guards: read_list(reader, "guards", MAX_GUARDS, GuardResult::read)?,
            payload: reader.fixed()?,
            released: reader.optional(Reader::fixed)?,
        })
    }
}

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
    fn size_hint(&self) -> usize {
        let outcome = match &self.outcome {
            Outcome::Verdict { findings, .. } => findings.iter().map(Finding::size_hint).sum(),
            Outcome::Failure { message, .. } => message.len(),
        };
        self.name.len() + 128 + outcome
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EntryError> {
        writer.array(6);
        writer.name("guard", &self.name)?;
        writer.bytes(&self.component);
        writer.bytes(&self.settings);
        writer.unsigned(self.mode as u8);
        writer.boolean(self.warm);
        self.outcome.write(writer)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
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
        /// How many findings this entry leaves out to fit; see [`Verdict::clip`].
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
    fn clip(&mut self) {
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
    fn size_hint(&self) -> usize {
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
