//! Reading what the auditor answered, as if it were hostile: bounded, and typed or refused.

use picket_ledger::mirror::{CHECKPOINT_HEADER, CONFLICT_HEADER, MirrorInfo, note_from_header, parse_size};
use serde::Deserialize;

use super::SyncError;

/// No answer of the protocol comes near this: a receipt is a line of some hundred bytes.
pub(super) const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Characters of the auditor's words that are repeated in logs.
const MAX_MESSAGE_CHARS: usize = 300;

/// What the auditor says to a checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CheckpointAnswer {
    /// It takes entries for it.
    Added,
    /// It knows another size.
    Conflict { size: u64, seen: Seen },
}

/// What it says to entries.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum UploadAnswer {
    /// The signature lines of a receipt, not yet verified.
    Receipt(String),
    /// It has a part of them, and wants the rest.
    Partial(MirrorInfo),
    /// It wants others.
    Elsewhere { info: MirrorInfo, seen: Seen },
    /// It takes no segment of this size.
    TooLarge,
}

/// What a 409 carries beside its text. Nothing of it is verified.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Whether the auditor calls it a fork.
    pub(super) fork: bool,
    /// The newest checkpoint of this log that the auditor holds: a note that this log's key must have signed.
    pub(super) newest: Option<String>,
}

/// A response with its body read to the end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) seen: Seen,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Reads the body, at most [`MAX_ANSWER_BYTES`] of it.
    pub(super) async fn read(
        mut response: reqwest::Response,
        request: &'static str,
        url: &str,
    ) -> Result<Self, SyncError> {
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let seen = Seen {
            fork: header(CONFLICT_HEADER) == Some("fork"),
            newest: header(CHECKPOINT_HEADER).and_then(note_from_header),
        };
        let mut body = Vec::new();
        let unreachable = |source| SyncError::Unreachable { url: url.to_owned(), source };
        while let Some(piece) = response.chunk().await.map_err(unreachable)? {
            if body.len() + piece.len() > MAX_ANSWER_BYTES {
                return Err(SyncError::AnswerTooLarge { request, limit: MAX_ANSWER_BYTES });
            }
            body.extend_from_slice(&piece);
        }
        Ok(Self { status, seen, body })
    }

    pub(super) fn checkpoint(self, request: &'static str, origin: &str) -> Result<CheckpointAnswer, SyncError> {
        match self.status {
            200 => Ok(CheckpointAnswer::Added),
            409 => {
                let size = parse_size(self.text(request)?).map_err(|error| self.nonsense(request, &error))?;
                Ok(CheckpointAnswer::Conflict { size, seen: self.seen })
            }
            _ => Err(self.failure(request, origin)),
        }
    }

    pub(super) fn upload(self, request: &'static str, origin: &str) -> Result<UploadAnswer, SyncError> {
        let info = |answer: &Self| MirrorInfo::parse(answer.text(request)?).map_err(|e| answer.nonsense(request, &e));
        match self.status {
            200 => Ok(UploadAnswer::Receipt(self.text(request)?.to_owned())),
            202 => Ok(UploadAnswer::Partial(info(&self)?)),
            409 => Ok(UploadAnswer::Elsewhere { info: info(&self)?, seen: self.seen }),
            413 => Ok(UploadAnswer::TooLarge),
            _ => Err(self.failure(request, origin)),
        }
    }

    /// The answer to a whole segment: its receipt.
    pub(super) fn receipt(self, request: &'static str, origin: &str) -> Result<String, SyncError> {
        match self.status {
            200 => Ok(self.text(request)?.to_owned()),
            _ => Err(self.failure(request, origin)),
        }
    }

    fn text(&self, request: &'static str) -> Result<&str, SyncError> {
        std::str::from_utf8(&self.body)
            .map_err(|_| SyncError::Answer { request, what: "the answer is no text".to_owned() })
    }

    fn nonsense(&self, request: &'static str, error: &dyn std::error::Error) -> SyncError {
        let what = format!("{error} in {:?}", printable(&String::from_utf8_lossy(&self.body)));
        SyncError::Answer { request, what }
    }

    fn failure(&self, request: &'static str, origin: &str) -> SyncError {
        let (kind, message) = self.problem();
        match self.status {
            404 if kind.as_deref() == Some("unknown") => SyncError::Unknown { origin: origin.to_owned() },
            403 => SyncError::Refused { request, message },
            status => SyncError::Status { request, status, message },
        }
    }

    /// The members `kind` and `message`, or else the beginning of the body.
    fn problem(&self) -> (Option<String>, String) {
        #[derive(Deserialize)]
        struct Problem {
            kind: Option<String>,
            message: String,
        }
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(found) => (found.kind, printable(&found.message)),
            Err(_) => (None, printable(&String::from_utf8_lossy(&self.body))),
        }
    }
}

/// One line without control characters, of bounded length.
pub(super) fn printable(text: &str) -> String {
    text.chars().take(MAX_MESSAGE_CHARS).map(|one| if one.is_control() { ' ' } else { one }).collect()
}
