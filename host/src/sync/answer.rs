//! Reading what the auditor answered, as if it were hostile: bounded, and typed or refused.

use serde::Deserialize;

use super::SyncError;

/// No answer of the protocol comes near this: a receipt is a note of a few hundred bytes.
pub(super) const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Characters of the auditor's words that are repeated in logs.
const MAX_MESSAGE_CHARS: usize = 300;

/// What the auditor says to a checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CheckpointAnswer {
    /// It wants the entries from here on.
    Next(u64),
    Conflict(Conflict),
}

/// What it says to a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SegmentAnswer {
    /// The text of a receipt, not yet verified.
    Receipt(String),
    Conflict(Conflict),
    TooLarge,
}

/// A 409.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Conflict {
    pub(super) kind: ConflictKind,
    #[serde(default)]
    pub(super) next: u64,
    #[serde(default)]
    pub(super) message: String,
    /// A note: what the auditor holds, under its signature and ours. Not verified yet.
    #[serde(default)]
    pub(super) receipt: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ConflictKind {
    Gap,
    Known,
    Rollback,
    Fork,
}

/// A response with its body read to the end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
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
        let mut body = Vec::new();
        let unreachable = |source| SyncError::Unreachable { url: url.to_owned(), source };
        while let Some(piece) = response.chunk().await.map_err(unreachable)? {
            if body.len() + piece.len() > MAX_ANSWER_BYTES {
                return Err(SyncError::AnswerTooLarge { request, limit: MAX_ANSWER_BYTES });
            }
            body.extend_from_slice(&piece);
        }
        Ok(Self { status, body })
    }

    pub(super) fn checkpoint(self, request: &'static str, origin: &str) -> Result<CheckpointAnswer, SyncError> {
        #[derive(Deserialize)]
        struct Next {
            next: u64,
        }
        match self.status {
            200 => Ok(CheckpointAnswer::Next(self.json::<Next>(request)?.next)),
            409 => Ok(CheckpointAnswer::Conflict(self.conflict(request)?)),
            _ => Err(self.failure(request, origin)),
        }
    }

    pub(super) fn segment(self, request: &'static str, origin: &str) -> Result<SegmentAnswer, SyncError> {
        match self.status {
            200 => {
                let text = String::from_utf8(self.body)
                    .map_err(|_| SyncError::Answer { request, what: "the receipt is no text".to_owned() })?;
                Ok(SegmentAnswer::Receipt(text))
            }
            409 => Ok(SegmentAnswer::Conflict(self.conflict(request)?)),
            413 => Ok(SegmentAnswer::TooLarge),
            _ => Err(self.failure(request, origin)),
        }
    }

    fn conflict(&self, request: &'static str) -> Result<Conflict, SyncError> {
        let mut conflict: Conflict = self.json(request)?;
        conflict.message = printable(&conflict.message);
        Ok(conflict)
    }

    fn json<T: serde::de::DeserializeOwned>(&self, request: &'static str) -> Result<T, SyncError> {
        serde_json::from_slice(&self.body).map_err(|error| SyncError::Answer {
            request,
            what: format!("{error} in {:?}", printable(&String::from_utf8_lossy(&self.body))),
        })
    }

    fn failure(&self, request: &'static str, origin: &str) -> SyncError {
        let message = self.message();
        match self.status {
            404 => SyncError::Unknown { origin: origin.to_owned() },
            422 => SyncError::Refused { request, message },
            status => SyncError::Status { request, status, message },
        }
    }

    /// The member `message`, or else the beginning of the body.
    fn message(&self) -> String {
        #[derive(Deserialize)]
        struct Message {
            message: String,
        }
        match serde_json::from_slice::<Message>(&self.body) {
            Ok(found) => printable(&found.message),
            Err(_) => printable(&String::from_utf8_lossy(&self.body)),
        }
    }
}

/// One line without control characters, of bounded length.
pub(super) fn printable(text: &str) -> String {
    text.chars().take(MAX_MESSAGE_CHARS).map(|one| if one.is_control() { ' ' } else { one }).collect()
}
