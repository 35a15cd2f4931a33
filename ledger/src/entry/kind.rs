//! The kinds of entries.

use serde::Serialize;

use super::EntryError;

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
    /// The hand-over from one signing key to the next.
    KeyRotation = 13,
    /// The erasure of payloads.
    Erase = 14,
    /// What was found when the ledger was opened.
    Recovery = 15,
    /// A time that somebody else vouches for, or a jump of the wall clock.
    TimeAnchor = 16,
    /// Something happened to a guard.
    GuardEvent = 17,
    /// Components and keys that are not to be trusted any more.
    Revocation = 18,
    /// An auditor saw a log lie.
    Incident = 32,
    /// An auditor took a box on.
    Enrolment = 33,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 20] = [
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
        Self::GuardEvent,
        Self::Revocation,
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
            Self::GuardEvent => "guard-event",
            Self::Revocation => "revocation",
            Self::Incident => "incident",
            Self::Enrolment => "enrolment",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(super) fn from_number(number: u64) -> Result<Self, EntryError> {
        let kind = Self::ALL.into_iter().find(|kind| *kind as u64 == number);
        kind.ok_or(EntryError::UnknownKind(number))
    }
}
