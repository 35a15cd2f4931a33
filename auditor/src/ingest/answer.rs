//! What a box is told.

/// The answer to a segment or a declared checkpoint.
#[derive(Debug)]
pub enum Answer {
    /// The segment is durably stored: the checkpoint with the auditor's cosignature.
    Receipt(String),
    /// The checkpoint is noted; the box goes on with this entry.
    Next(u64),
    /// It does not fit what is held.
    Conflict(Conflict),
    /// It is malformed, or not signed by the box.
    Invalid(String),
    /// No box of this name is enrolled.
    Unknown(String),
}

/// Why something does not fit what is held.
#[derive(Debug)]
pub struct Conflict {
    /// What is wrong.
    pub kind: ConflictKind,
    /// The number of entries held: where the box goes on.
    pub next: u64,
    /// The same in words.
    pub message: String,
    /// With [`ConflictKind::Known`], fork and rollback: the receipt that covers all entries below `next`. It carries the
    /// box's own signature, which proves to a box that was restored what it has signed before.
    pub receipt: Option<String>,
}

/// The kinds of [`Conflict`]: the four words of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "defined in the documentation of the module above")]
pub enum ConflictKind {
    Gap,
    Known,
    Fork,
    Rollback,
}

impl ConflictKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Known => "known",
            Self::Fork => "fork",
            Self::Rollback => "rollback",
        }
    }
}
