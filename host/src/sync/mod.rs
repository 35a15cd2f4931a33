//! Shipping the ledger to the auditor.
//!
//! The outbox is no queue of its own: it is the part of the ledger between what the auditor has
//! acknowledged and the newest checkpoint. So nothing is ever copied, nothing can be lost between ledger
//! and outbox, and a week offline costs no memory.
//!
//! The protocol is C2SP tlog-mirror, see `docs/auditor.md`. One round ([`Uplink::round`]): show the auditor the newest
//! checkpoint with the proof that it continues the one that it knows; choose checkpoints on the way where segments
//! end; send the entries up to each in packages with subtree proofs, made while the link takes them; verify each receipt,
//! and store it with the acknowledged size durably. A receipt that does not verify never counts. [`Task`] repeats
//! rounds, with jittered exponential backoff.
//!
//! What the auditor can answer, and what follows:
//!
//! | answer | follows |
//! |---|---|
//! | slow: nothing moves for the timeout | as below, and smaller segments from then on, until some arrive |
//! | nothing, connection dropped, 5xx, 400, 422, rubbish, too long | a log line, backoff, the same again later |
//! | 404: box not enrolled; 403: signature refused | a log line that says what to do, backoff at the cap |
//! | 202, or 409 with a next entry | go on there |
//! | 409 with a next entry below what it acknowledged, twice | an [`Alarm`]; the entries are sent again |
//! | 413 | smaller segments |
//! | 409 with a checkpoint that this box's key signed, and that is not of this ledger | an [`Alarm`] with that checkpoint as evidence: stored, shown by `picket doctor` and `/metrics`, sending stops |
//! | 409 that claims so without showing it, twice | the same without evidence |

mod alarm;
mod answer;
mod bandwidth;
mod client;
mod outbox;
mod round;
mod state;
mod task;
mod upload;

pub use alarm::{Alarm, AlarmKind};
pub use client::{Client, ClientOptions};
pub use outbox::{CutLimits, Outbox, OutboxError};
pub use round::{Keeper, Report, Uplink};
pub use state::{State, Status, Stored, stored};
pub use task::{SyncHandle, Task, TaskOptions, pause_after};

/// Named value: the size up to which the auditor acknowledged, 8 bytes big-endian.
pub const ACKNOWLEDGED_NAME: &str = "sync/acknowledged";

/// Named value: the [`Alarm`] that stands, as JSON.
pub const ALARM_NAME: &str = "sync/alarm";

/// Why a round ended before everything was acknowledged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The request did not get through, or took too long.
    #[error("the auditor at {url} cannot be reached{}", crate::tls::explain(source).map_or_else(String::new, |words| format!(": {words}")))]
    Unreachable {
        /// The auditor's address.
        url: String,
        /// What the client says.
        source: reqwest::Error,
    },
    /// An upload stood still.
    #[error("nothing moved in {request} for {} s", after.as_secs())]
    Stalled {
        /// What was sent.
        request: &'static str,
        /// For how long.
        after: std::time::Duration,
    },
    /// The answer is longer than any that makes sense.
    #[error("the auditor's answer to {request} has more than {limit} bytes")]
    AnswerTooLarge {
        /// What was asked.
        request: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The answer makes no sense.
    #[error("the auditor's answer to {request} makes no sense: {what}")]
    Answer {
        /// What was asked.
        request: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// A status that says the auditor is in trouble.
    #[error("the auditor answered {request} with {status}: {message}")]
    Status {
        /// What was asked.
        request: &'static str,
        /// HTTP status.
        status: u16,
        /// The beginning of the body, without control characters.
        message: String,
    },
    /// The auditor does not know this box.
    #[error("the auditor does not know {origin}; on the auditor: picket-auditor enrol, with this box's public key")]
    Unknown {
        /// This box.
        origin: String,
    },
    /// The auditor refuses what was sent.
    #[error("the auditor refuses {request}: {message}; is it enrolled with this box's present key?")]
    Refused {
        /// What was sent.
        request: &'static str,
        /// The auditor's words.
        message: String,
    },
    /// The receipt is not one: nothing was acknowledged.
    #[error("the receipt for entries up to {size} does not verify, so it does not count")]
    Receipt {
        /// The size of the segment's checkpoint.
        size: u64,
        /// What is wrong with it.
        source: picket_ledger::NoteError,
    },
    /// A true receipt for another checkpoint than the one that was sent.
    #[error("the receipt for entries up to {size} speaks of another checkpoint, of size {found}, so it does not count")]
    OtherReceipt {
        /// The size that was sent.
        size: u64,
        /// The size in the receipt.
        found: u64,
    },
    /// The auditor says that the ledger was altered.
    #[error("{0}")]
    Alarm(Alarm),
    /// The auditor keeps asking for other entries without taking any.
    #[error("the auditor asked {times} times to resume elsewhere without taking a segment")]
    NoProgress {
        /// How often.
        times: u32,
    },
    /// The segment cannot be made smaller, and the auditor takes no larger one.
    #[error("the auditor takes no segment from {first} to {end}, and the checkpoints there leave none smaller")]
    TooLarge {
        /// First entry of the segment.
        first: u64,
        /// The size of its checkpoint.
        end: u64,
    },
    /// The ledger could not be read.
    #[error("reading the outbox")]
    Outbox(#[from] OutboxError),
    /// The acknowledgement could not be stored; the auditor will be asked again.
    #[error("storing what the auditor acknowledged")]
    Keep(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl SyncError {
    /// Whether trying again soon can help. The rest needs somebody to act, so it waits longest.
    #[must_use]
    pub fn passes(&self) -> bool {
        !matches!(
            self,
            Self::Unknown { .. } | Self::Refused { .. } | Self::Alarm(_) | Self::TooLarge { .. } | Self::Outbox(_)
        )
    }

    /// Whether a request took longer than its deadline.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Stalled { .. } => true,
            Self::Unreachable { source, .. } => source.is_timeout(),
            _ => false,
        }
    }

    /// The message with the messages of everything below it.
    #[must_use]
    pub fn full(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(inner) = source {
            text = format!("{text}: {inner}");
            source = inner.source();
        }
        text
    }
}

#[cfg(test)]
mod tests;
