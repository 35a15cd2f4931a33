//! Kind 1: what the guards decided on one inference, and everything that was in force when they did.

use serde::Serialize;

use super::guard_result::{GuardResult, MAX_FINDINGS, Outcome};
use super::{EntryError, MAX_ENTRY_BYTES, check_count, clip_message, read_list};
use crate::cbor::{Reader, Writer};
use crate::hash::{Hash, as_hex};

/// The most guards of one verdict.
pub const MAX_GUARDS: usize = 64;

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

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        match reader.unsigned()? {
            0 => Ok(Self::Allow),
            1 => Ok(Self::Flag),
            2 => Ok(Self::Redact),
            3 => Ok(Self::Block),
            value => Err(EntryError::Value { field: "decision", value }),
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
        let mut room = (MAX_ENTRY_BYTES - OWN).saturating_sub(self.guards.len() * GUARD);
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
