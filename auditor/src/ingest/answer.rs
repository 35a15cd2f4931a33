//! What a box is told.

/// The answer to a segment or a checkpoint.
#[derive(Debug)]
pub enum Answer {
    /// The segment is durably stored: the checkpoint with the auditor's cosignature.
    Receipt(String),
    /// The checkpoint is durably noted: entries may be sent to it.
    Added,
    /// It does not fit what is held.
    Conflict(Conflict),
    /// It makes no sense.
    Malformed(String),
    /// It is not signed by the box.
    Forbidden(String),
    /// It is malformed, or a proof in it does not hold.
    Invalid(String),
    /// No box of this name is enrolled.
    Unknown(String),
}

/// Why something does not fit what is held.
#[derive(Debug)]
pub struct Conflict {
    /// What is wrong.
    pub kind: ConflictKind,
    /// The number of entries archived.
    pub next: u64,
    /// The size of the newest checkpoint of the box that is known.
    pub size: u64,
    /// That checkpoint, as the box signed it: what shows a restored box that it is older.
    pub newest: Option<String>,
    /// The same in words.
    pub message: String,
    /// With [`ConflictKind::Known`] and fork, to a segment: the receipt that covers all entries below `next`. It carries the
    /// box's own signature, which proves to a box that was restored what it has signed before.
    pub receipt: Option<String>,
}

/// The kinds of [`Conflict`]: the words of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "defined in the documentation of the module above")]
pub enum ConflictKind {
    Gap,
    Known,
    Fork,
}

impl ConflictKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Known => "known",
            Self::Fork => "fork",
        }
    }
}
