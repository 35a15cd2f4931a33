//! Taking in what boxes send. The protocol is C2SP tlog-mirror: a box shows a signed checkpoint, sends the entries that
//! it covers in packages, and gets a receipt once they are archived as one segment. The rules:
//!
//! **A checkpoint** (`add-checkpoint`, module `checkpoint`) must be signed by the box, 403 otherwise, and must not
//! contradict what is held (see *fork*). With *newest* the size of the newest checkpoint known, and *held* the number
//! of entries archived:
//!
//! | the checkpoint | and | answer |
//! |---|---|---|
//! | is newer | its old size is *newest*, and the proof from there holds | kept as pending, 200 |
//! | is newer | the proof leads to its root from another start than the one held | *fork*, 409 |
//! | is newer | the proof leads nowhere | 422; it says nothing about the box |
//! | is *newest*, with that old size, or is pending already | | 200 |
//! | lies between *held* and *newest* | its old size is at most *held*, and the proof from there holds | kept as pending, 200: a segment can end there |
//! | is older than *newest* | its old size is *newest*: the box says that it knows, and has less | *rollback*, 400 |
//! | any other | | 409 with *newest* |
//!
//! **Entries** (`add-entries`, module `upload`) come for a pending checkpoint, in packages of at most 256, each with its
//! subtree proof. What holds is appended to the pending entries of the box ([`crate::pending`]), what is there already
//! is passed over. With `next` the first entry that is neither archived nor pending:
//!
//! | the upload | answer |
//! |---|---|
//! | is for no pending checkpoint | 409 with *newest* and `next` |
//! | starts after `next` | *gap*, 409 |
//! | starts before `next` | 409 with `next` |
//! | breaks off, or has fewer packages than belong to it | 202 with `next`, and it goes on there |
//! | has a package whose proof does not hold | 422; *invalid* when the very same comes again |
//! | is complete | the segment is made of head, entries and checkpoint, treated as one that was brought, 200 with the receipt |
//!
//! **A segment** that somebody brings (`POST /v1/segments`: a box without a link) is verified
//! alone first: canonical bytes, the box's signature, and a frontier and entries that lead to the signed root. If its
//! signature holds and its entries do not, the box (or the way) altered it: `invalid`, 422. A bad signature proves
//! nothing about the box and leaves no more than a count. Then the signed checkpoint must not contradict what is held:
//!
//! | the segment starts | and | answer |
//! |---|---|---|
//! | at *held* | its frontier has the root that is held | stored durably, 200 with the receipt |
//! | at *held* | its frontier has another root | *fork*, 409 |
//! | at *held* | it passes a pending checkpoint with another root | *fork*, 409 |
//! | after *held* | | *gap*, 409 |
//! | before *held* | the same bytes are stored | 200 with the same receipt |
//! | before *held* | its root agrees with the evidence where both end, or where the shorter ends | *known*, 409, with the receipt that covers all that is held |
//! | before *held* | it does not | *fork*, 409 |
//!
//! **Fork**: two signed statements that no single history explains. The refused bytes and the statement they contradict
//! are kept. **Rollback**: the signed note is kept. It is an observation, not a proof. An old request that a link
//! delivers late is none: only a box that names what is held here and says that it has less is. Either marks the box
//! *disputed* in all answers, for good. A disputed box goes on: what continues what is held is stored as before, because
//! evidence that is refused is evidence lost. Every 409 carries the newest checkpoint of the box, as the box signed it,
//! so that a restored box sees for itself. **Gap**: a lost or reordered request is an ordinary thing, so the first
//! answer says only where to go on. If the same comes again while nothing else has arrived, the box means it: that is
//! recorded, with its signed checkpoint. It is closed when the missing entries arrive; so is an `invalid`. The same
//! incident is recorded once.
//!
//! **What entries say** is not judged here. What a box signed is evidence also when it makes no sense; `verify` says so.

mod answer;
mod checkpoint;
mod upload;

pub use answer::{Answer, Conflict, ConflictKind};
pub(crate) use checkpoint::add;
pub use upload::{Upload, UploadAnswer};
pub(crate) use upload::{begin, finish, package};

use picket_ledger::keychain::KeyChainError;
use picket_ledger::segment::{SegmentRef, VerifiedSegment};
use picket_ledger::{SignedCheckpoint, receipt};

use crate::auditor::Auditor;
use crate::boxes::{self, BoxState, Head};
use crate::clock;
use crate::durable::Put;
use crate::error::{AuditorError, Result};
use crate::evidence;
use crate::incarnations;
use crate::incidents::{IncidentKind, Observed};
use crate::origin::Origin;

/// Takes in a segment. The box's lock is held from the first look at its head to the answer.
pub(crate) fn segment(auditor: &Auditor, bytes: &[u8]) -> Result<Answer> {
    let segment = match SegmentRef::parse(bytes) {
        Ok(segment) => segment,
        Err(error) => return Ok(Answer::Invalid(crate::words(&error))),
    };
    let Ok(origin) = Origin::parse(segment.origin) else { return Ok(Answer::Unknown(segment.origin.to_owned())) };
    let known = auditor.state(&origin)?.is_some() || incarnations::admit(auditor, &origin, &segment, bytes)?;
    let Some(state) = auditor.state(&origin)?.filter(|_| known) else {
        return Ok(Answer::Unknown(origin.to_string()));
    };
    let mut state = boxes::lock(&state);
    let head = current_head(auditor, &mut state)?;
    let mut ingest = Ingest { auditor, state: &mut state, head };
    match ingest.state.keys.verify_segment(&segment) {
        Ok(verified) => ingest.verified(&segment, &verified, bytes),
        Err(error) => ingest.unverified(&segment, &error, bytes),
    }
}

/// What is held of a box. Evidence that was damaged is looked at again: somebody may have put it right.
fn current_head(auditor: &Auditor, state: &mut BoxState) -> Result<Head> {
    if state.head.is_err() {
        state.head = boxes::load_head(&state.origin, &state.keys, auditor.archive())?;
    }
    Ok(state.head.clone()?)
}

struct Ingest<'a> {
    auditor: &'a Auditor,
    state: &'a mut BoxState,
    /// `state.head`, which is known to be undamaged.
    head: Head,
}

impl Ingest<'_> {
    fn verified(&mut self, segment: &SegmentRef<'_>, verified: &VerifiedSegment, bytes: &[u8]) -> Result<Answer> {
        let next = self.head.size;
        if segment.first < next
            && self.auditor.archive().segment(&self.state.origin, segment.first)?.as_deref() == Some(bytes)
        {
            return self.again(verified, bytes);
        }
        if let Some(held) = self.contradicted(&verified.checkpoint)? {
            return self.fork(&verified.checkpoint, bytes, "segment", held);
        }
        match segment.first.cmp(&next) {
            std::cmp::Ordering::Equal => self.continues(segment, verified, bytes),
            std::cmp::Ordering::Greater => self.early(segment, verified),
            std::cmp::Ordering::Less => self.overlaps(segment, verified, bytes),
        }
    }

    /// A segment whose checkpoint may be signed, and whose entries do not lead to it.
    fn unverified(&mut self, segment: &SegmentRef<'_>, error: &KeyChainError, bytes: &[u8]) -> Result<Answer> {
        let message = crate::words(error);
        if let Ok(note) = boxes::open_alone(segment.checkpoint, &self.state.keys) {
            if let Some(held) = self.contradicted(&note)? {
                return self.fork(&note, note.text.as_bytes(), "note", held);
            }
            // What is held already needs no second look at how it can be spoilt.
            if note.checkpoint.size > self.head.size {
                let seen = Observed {
                    kind: IncidentKind::Invalid,
                    size: note.checkpoint.size,
                    root: note.checkpoint.root,
                    message: &message,
                    bytes,
                    form: "segment",
                    held: None,
                };
                self.auditor.record(self.state, &seen)?;
            }
        }
        Ok(Answer::Invalid(message))
    }

    fn continues(&mut self, segment: &SegmentRef<'_>, verified: &VerifiedSegment, bytes: &[u8]) -> Result<Answer> {
        if verified.root_before != self.head.root {
            let held = self.head.checkpoint.clone();
            return self.fork(&verified.checkpoint, bytes, "segment", held);
        }
        let end = verified.checkpoint.checkpoint.size;
        let reached = self.state.declared.iter().take_while(|note| note.checkpoint.size <= end);
        let broken = reached
            .filter(|note| evidence::root_within(segment, note.checkpoint.size) != Some(note.checkpoint.root))
            .map(|note| note.text.clone())
            .next();
        if let Some(held) = broken {
            return self.fork(&verified.checkpoint, bytes, "segment", Some(held));
        }
        self.store(segment, verified, bytes)
    }

    fn store(&mut self, segment: &SegmentRef<'_>, verified: &VerifiedSegment, bytes: &[u8]) -> Result<Answer> {
        let Auditor { writer, metrics, .. } = self.auditor;
        let (archive, boxes) = (self.auditor.archive(), self.auditor.boxes_store());
        let first = verified.size_before;
        let checkpoint = &verified.checkpoint;
        // Crash or error before this returns: the file is there or not, and nobody was told. What is there is read
        // again below, or at the next start, by the same function.
        let put = archive.put_segment(writer, &self.state.origin, first, bytes);
        if !matches!(put, Ok(Put::Stored | Put::Same)) {
            self.state.head = boxes::load_head(&self.state.origin, &self.state.keys, archive)?;
            put?;
            // Other bytes are here: an earlier attempt failed after its link, or somebody wrote into the archive.
            self.head = self.state.head.clone()?;
            return self.known();
        }
        self.state.head = Ok(Head {
            size: checkpoint.checkpoint.size,
            root: checkpoint.checkpoint.root,
            tree: verified.after.clone(),
            checkpoint: Some(checkpoint.text.clone()),
            last_first: Some(first),
        });
        boxes.epochs.learn(writer, &self.state.origin, &mut self.state.keys, segment, verified)?;
        self.auditor.advanced(&self.state.origin, checkpoint.checkpoint.size);
        self.state.early = None;
        self.state.refused = None;
        if let Some(pending) = &mut self.state.pending {
            pending.advance(&verified.after)?;
        }
        self.state.received_ms = Some(clock::wall_ms());
        metrics.stored(checkpoint.checkpoint.size - first, bytes.len() as u64);
        // Crash here: the segment is stored without a receipt; the box sends it again and gets one.
        let receipt = self.receipt(first, &checkpoint.text)?;
        boxes.settle(self.state, checkpoint.checkpoint.size)?;
        Ok(Answer::Receipt(receipt))
    }

    fn early(&mut self, segment: &SegmentRef<'_>, verified: &VerifiedSegment) -> Result<Answer> {
        let next = self.head.size;
        let first = segment.first;
        let message = format!("entries {next} to {} are missing before this segment", first - 1);
        if self.state.early == Some((next, first)) {
            let seen = Observed {
                kind: IncidentKind::Gap,
                size: first,
                root: verified.root_before,
                message: &message,
                bytes: verified.checkpoint.text.as_bytes(),
                form: "note",
                held: self.head.checkpoint.as_deref(),
            };
            self.auditor.record(self.state, &seen)?;
        }
        self.state.early = Some((next, first));
        Ok(self.conflict(ConflictKind::Gap, message))
    }

    /// A segment that is stored already.
    fn again(&mut self, verified: &VerifiedSegment, bytes: &[u8]) -> Result<Answer> {
        let first = verified.size_before;
        // Having read it is not enough for the promise that it is durable: an earlier process may have died between
        // the link and its fsync. This syncs.
        self.auditor.archive().put_segment(&self.auditor.writer, &self.state.origin, first, bytes)?;
        Ok(Answer::Receipt(self.receipt(first, &verified.checkpoint.text)?))
    }

    fn overlaps(&mut self, segment: &SegmentRef<'_>, verified: &VerifiedSegment, bytes: &[u8]) -> Result<Answer> {
        // Where it ends inside of what is held, its root was compared with the evidence before. Where it goes beyond,
        // it must pass the head.
        let end = verified.checkpoint.checkpoint.size;
        if end > self.head.size && evidence::root_within(segment, self.head.size) != Some(self.head.root) {
            let held = self.head.checkpoint.clone();
            return self.fork(&verified.checkpoint, bytes, "segment", held);
        }
        self.known()
    }

    fn known(&self) -> Result<Answer> {
        let next = self.head.size;
        let receipt = self.held_receipt()?;
        let message = format!("the entries below {next} are held already, cut into other segments");
        let mut answer = self.elsewhere(message);
        if let Answer::Conflict(conflict) = &mut answer {
            conflict.receipt = receipt;
        }
        Ok(answer)
    }

    /// The receipt that covers all that is held: what a box is shown that has signed something else.
    fn held_receipt(&self) -> Result<Option<String>> {
        match (self.head.last_first, &self.head.checkpoint) {
            (Some(first), Some(note)) => self.receipt(first, note).map(Some),
            _ => Ok(None),
        }
    }

    /// Whether a signed checkpoint cannot be true of the history that is held. `Some` with the note that says so.
    #[expect(clippy::option_option, reason = "the outer says whether, the inner with what: nothing is held at size 0")]
    fn contradicted(&self, note: &SignedCheckpoint) -> Result<Option<Option<String>>> {
        let claim = &note.checkpoint;
        let twin = self.state.declared.iter().find(|held| held.checkpoint.size == claim.size);
        if let Some(twin) = twin.filter(|twin| twin.checkpoint.root != claim.root) {
            return Ok(Some(Some(twin.text.clone())));
        }
        if claim.size > self.head.size {
            return Ok(None);
        }
        let root = if claim.size == self.head.size {
            self.head.root
        } else {
            evidence::root_at(self.auditor.archive(), &self.state.origin, &self.state.keys, claim.size)?
        };
        Ok((root != claim.root).then(|| self.head.checkpoint.clone()))
    }

    fn fork(
        &mut self,
        note: &SignedCheckpoint,
        bytes: &[u8],
        form: &'static str,
        held: Option<String>,
    ) -> Result<Answer> {
        let size = note.checkpoint.size;
        let message = format!("the box signed two histories: this one of {size} entries does not fit the one held");
        let seen = Observed {
            kind: IncidentKind::Fork,
            size,
            root: note.checkpoint.root,
            message: &message,
            bytes,
            form,
            held: held.as_deref(),
        };
        self.auditor.record(self.state, &seen)?;
        let mut answer = self.conflict(ConflictKind::Fork, message);
        if let Answer::Conflict(conflict) = &mut answer {
            conflict.receipt = self.held_receipt()?;
        }
        Ok(answer)
    }

    /// The receipt of a stored segment: the one given before, or a new one.
    fn receipt(&self, first: u64, note: &str) -> Result<String> {
        let Auditor { writer, key, .. } = self.auditor;
        let archive = self.auditor.archive();
        if let Some(given) = archive.receipt(&self.state.origin, first)? {
            return Ok(given);
        }
        let text = receipt::cosign(note, key, clock::wall_ms() / 1000)
            .map_err(|error| AuditorError::Input(format!("cosigning: {}", crate::words(&error))))?;
        archive.put_receipt(writer, &self.state.origin, first, &text)
    }
}
