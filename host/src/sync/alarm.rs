//! The auditor says that this ledger was altered. That is for people to look at, and stays until they did.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmKind {
    /// The auditor holds more entries than this ledger: an old copy of the data folder was restored.
    Rollback,
    /// The auditor holds other entries than this ledger: two copies of the box ran, or entries were altered.
    Fork,
    /// The auditor holds less than it signed for: it lost evidence, or its archive was altered.
    AuditorRollback,
}

impl AlarmKind {
    /// The word for output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Fork => "fork",
            Self::AuditorRollback => "auditor-rollback",
        }
    }

    /// Whether sending goes on. After a rollback or a fork there is nothing to send that would be accepted;
    /// an auditor that lost evidence needs it again.
    #[must_use]
    pub fn stops(self) -> bool {
        !matches!(self, Self::AuditorRollback)
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Rollback => {
                "this data folder is older than what the auditor holds; keep it as it is, find out who restored it, and compare with `picket-auditor verify`"
            }
            Self::Fork => {
                "this ledger and the auditor's evidence disagree; keep both as they are, and see whether a copy of this box is running"
            }
            Self::AuditorRollback => {
                "the auditor signed for entries that it no longer has; they are sent again, the receipt in this box is the evidence"
            }
        }
    }
}

/// A standing alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alarm {
    /// What was found.
    pub kind: AlarmKind,
    /// Size of this ledger's newest checkpoint when it was found.
    pub size: u64,
    /// The size that the auditor named.
    pub auditor_size: u64,
    /// The auditor's words, without control characters.
    pub message: String,
    /// The proof: a checkpoint that this box signed and that this ledger does not have. The next start opens a new
    /// incarnation because of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// When it was first found, milliseconds since 1970.
    pub since_ms: u64,
}

impl fmt::Display for Alarm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "ALARM {}: ledger of {} entries, auditor at {}: {}; {}",
            self.kind.name(),
            self.size,
            self.auditor_size,
            self.message,
            self.kind.advice()
        )
    }
}
