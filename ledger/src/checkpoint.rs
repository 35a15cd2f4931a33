//! Signed tree heads, C2SP tlog-checkpoint (<https://c2sp.org/tlog-checkpoint>): origin, size and root of a
//! log in three lines, signed as a note.

use crate::hash::{Hash, hash_from_base64, to_base64};
use crate::note::{Note, NoteError, SigningKey, VerifyingKey, check_key_name};

/// What a log says of itself: at `size` entries, its root is `root`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: the edge id of a box, or the id of an auditor. It is the name of the key that signs.
    pub origin: String,
    /// The number of entries.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// Further lines, non-empty. Picket writes none.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint without extensions.
    #[must_use]
    pub fn new(origin: impl Into<String>, size: u64, root: Hash) -> Self {
        Self { origin: origin.into(), size, root, extensions: Vec::new() }
    }

    /// The text that is signed, with its final newline.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, to_base64(&self.root));
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Signs: the note, text and one signature line.
    ///
    /// The origin should be the key's name, as [`SignedCheckpoint::open`] demands it.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> String {
        let text = self.to_text();
        let signature = key.sign(&text);
        format!("{text}\n{signature}")
    }

    /// Reads the text of a checkpoint, canonical form only.
    ///
    /// # Errors
    /// [`NoteError::Checkpoint`] or [`NoteError::KeyName`] for the origin.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let text = text.strip_suffix('\n').ok_or(NoteError::Checkpoint("its last line does not end"))?;
        let mut lines = text.split('\n');
        let origin = lines.next().unwrap_or_default();
        check_key_name(origin)?;
        let size =
            lines.next().and_then(decimal).ok_or(NoteError::Checkpoint("the second line is not a size in decimal"))?;
        let root = lines
            .next()
            .and_then(hash_from_base64)
            .ok_or(NoteError::Checkpoint("the third line is not a hash in base64"))?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(NoteError::Checkpoint("an extension line is empty"));
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }
}

/// A checkpoint whose signature has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The whole note as it was read, signatures included: the evidence to keep.
    pub text: String,
}

impl SignedCheckpoint {
    /// Reads a note and verifies its signature by `key`, whose name must be the checkpoint's origin.
    /// Signatures by other keys are passed over, as C2SP demands.
    ///
    /// # Errors
    /// [`NoteError`] for whatever is wrong with the note, its signature, or its text.
    pub fn open(note: &str, key: &VerifyingKey) -> Result<Self, NoteError> {
        let parsed = Note::parse(note)?;
        let checkpoint = open_parsed(&parsed, key)?;
        Ok(Self { checkpoint, text: note.to_owned() })
    }

    /// The same, for a note that must have no other signature than the one by `key`, so that not one byte of
    /// it is beyond the signature's reach.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`NoteError::Malformed`] when there are other signatures.
    pub fn open_alone(note: &str, key: &VerifyingKey) -> Result<Self, NoteError> {
        let parsed = Note::parse(note)?;
        let checkpoint = open_parsed(&parsed, key)?;
        if parsed.signatures() != 1 {
            return Err(NoteError::Malformed("it has other signatures than the log's"));
        }
        Ok(Self { checkpoint, text: note.to_owned() })
    }
}

pub(crate) fn open_parsed(note: &Note<'_>, key: &VerifyingKey) -> Result<Checkpoint, NoteError> {
    note.verify(key)?;
    let checkpoint = Checkpoint::parse(note.text)?;
    if checkpoint.origin != key.name() {
        return Err(NoteError::Origin { origin: checkpoint.origin, name: key.name().to_owned() });
    }
    Ok(checkpoint)
}

/// Reads an unverified note's checkpoint: whose it claims to be. To find the key with which to
/// [`SignedCheckpoint::open`] it, and for nothing else.
///
/// # Errors
/// [`NoteError`] for a malformed note or text.
pub fn peek(note: &str) -> Result<Checkpoint, NoteError> {
    Checkpoint::parse(Note::parse(note)?.text)
}

/// Decimal digits without leading zeroes.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical { text.parse().ok() } else { None }
}
