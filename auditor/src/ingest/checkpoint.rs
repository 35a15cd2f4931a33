//! `add-checkpoint`: a box shows a signed checkpoint, with the proof that it continues what it showed before.

use picket_ledger::checkpoint::peek;
use picket_ledger::mirror::AddCheckpoint;
use picket_ledger::proof::{ProofError, verify_consistency};
use picket_ledger::{Hash, SignedCheckpoint};

use super::{Answer, Conflict, ConflictKind, Ingest, current_head, evidence};
use crate::auditor::Auditor;
use crate::boxes::{self, BoxState};
use crate::error::Result;
use crate::incarnations;
use crate::incidents::{IncidentKind, Observed};
use crate::origin::Origin;

/// Takes in a checkpoint: `body` is a request of C2SP tlog-witness.
pub(crate) fn add(auditor: &Auditor, body: &[u8]) -> Result<Answer> {
    let request = match AddCheckpoint::parse(body) {
        Ok(request) => request,
        Err(error) => return Ok(Answer::Malformed(crate::words(&error))),
    };
    let claimed = match peek(&request.note) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return Ok(Answer::Malformed(crate::words(&error))),
    };
    let Ok(origin) = Origin::parse(&claimed.origin) else { return Ok(Answer::Unknown(claimed.origin)) };
    let Some(state) = auditor.state(&origin)? else {
        // The first word of a box that was restored: its first segment, brought whole, decides whether it is taken on.
        let expected = incarnations::expects(auditor, &origin, &request.note)?;
        return Ok(if expected { Answer::Added } else { Answer::Unknown(claimed.origin) });
    };
    let mut state = boxes::lock(&state);
    let head = current_head(auditor, &mut state)?;
    match open(&state, &request.note, claimed.size) {
        Ok(note) => Ingest { auditor, state: &mut state, head }.added(&request, body, note),
        Err(message) => Ok(Answer::Forbidden(message)),
    }
}

/// Verifies the box's own signature, and leaves out signatures of others: what is kept is what the box signed.
fn open(state: &BoxState, note: &str, size: u64) -> Result<SignedCheckpoint, String> {
    let key = state.keys.key_at(size);
    let found = match SignedCheckpoint::open(note, key) {
        Ok(found) => found,
        Err(error) => return Err(crate::words(&error)),
    };
    let Some((text, signatures)) = found.text.split_once("\n\n") else { return Ok(found) };
    let alone = |line: &str| SignedCheckpoint::open_alone(&format!("{text}\n\n{line}\n"), key).ok();
    Ok(signatures.lines().find_map(alone).unwrap_or(found))
}

impl Ingest<'_> {
    fn added(&mut self, request: &AddCheckpoint, body: &[u8], note: SignedCheckpoint) -> Result<Answer> {
        if let Some(held) = self.contradicted(&note)? {
            let bytes = note.text.clone().into_bytes();
            return self.fork(&note, &bytes, "note", held);
        }
        let size = note.checkpoint.size;
        let (newest, root, held) = self.state.newest(&self.head);
        if request.old > size {
            // No request of the protocol: this is how a box says that it knows what we hold, and has less.
            if request.old == newest && size < newest {
                self.rollback(&note, newest, held.as_deref())?;
            }
            let message = format!("the old size {} is larger than the checkpoint's, {size}", request.old);
            return Ok(Answer::Malformed(message));
        }
        if size > newest {
            if request.old != newest {
                return Ok(self.elsewhere(format!("the newest checkpoint known is of size {newest}")));
            }
            return self.prove(request, body, note, &root, held);
        }
        // Not newer, and no contradiction: it is true. Whether it is of use:
        let known = self.state.declared.iter().any(|pending| pending.checkpoint.size == size);
        let is_newest = size == newest && request.old == newest;
        if is_newest || (size < newest && known) {
            return Ok(Answer::Added);
        }
        // A checkpoint on the way to the newest, where a segment can end: it must continue what is held.
        if size < newest && size > self.head.size && request.old <= self.head.size {
            let before = match request.old {
                old if old == self.head.size => self.head.root,
                old => evidence::root_at(self.auditor.archive(), &self.state.origin, &self.state.keys, old)?,
            };
            let held = self.head.checkpoint.clone();
            return self.prove(request, body, note, &before, held);
        }
        Ok(self.elsewhere(format!("the newest checkpoint known is of size {newest}")))
    }

    /// Verifies the proof from `old`, whose root is `before`, and keeps the checkpoint.
    fn prove(
        &mut self,
        request: &AddCheckpoint,
        body: &[u8],
        note: SignedCheckpoint,
        before: &Hash,
        held: Option<String>,
    ) -> Result<Answer> {
        let claim = &note.checkpoint;
        let proven = match request.old {
            0 if request.proof.is_empty() => Ok(()),
            0 => return Ok(Answer::Invalid("from the size 0 there is nothing to prove".into())),
            old => verify_consistency(old, claim.size, &request.proof, before, &claim.root),
        };
        match proven {
            Ok(()) => {}
            // The hashes lead to the root that the box signed, and another start is under it than the one that the box
            // signed before.
            Err(ProofError::EarlierRoot) => return self.fork(&note, body, "add-checkpoint", held),
            // Damaged on the way, or made up: it says nothing about the box.
            Err(error) => return Ok(Answer::Invalid(crate::words(&error))),
        }
        // Crash before this is durable: the box was told nothing, and shows it again.
        self.auditor.boxes_store().declare(&self.auditor.writer, self.state, note)?;
        Ok(Answer::Added)
    }

    fn rollback(&mut self, note: &SignedCheckpoint, newest: u64, held: Option<&str>) -> Result<()> {
        let size = note.checkpoint.size;
        let message = format!("the box says that it has {size} entries, and has signed {newest} before");
        let seen = Observed {
            kind: IncidentKind::Rollback,
            size,
            root: note.checkpoint.root,
            message: &message,
            bytes: note.text.as_bytes(),
            form: "note",
            held,
        };
        self.auditor.record(self.state, &seen)
    }

    pub(super) fn elsewhere(&self, message: String) -> Answer {
        self.conflict(ConflictKind::Known, message)
    }

    /// A 409 with what the box needs to see for itself.
    pub(super) fn conflict(&self, kind: ConflictKind, message: String) -> Answer {
        let (size, _, newest) = self.state.newest(&self.head);
        Answer::Conflict(Conflict { kind, next: self.head.size, size, newest, message, receipt: None })
    }
}
