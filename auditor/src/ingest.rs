//! Taking in what boxes send. The rules:
//!
//! **A segment** is verified alone first: canonical bytes, the box's signature, and a frontier and entries that lead to
//! the signed root. If its signature holds and its entries do not, the box (or the way) altered it: `invalid`, 422.
//! A bad signature proves nothing about the box and leaves no more than a count. Then, with `next` the number of entries
//! held, and before anything else, the signed checkpoint must not contradict what is held (see *fork*). Then:
//!
//! | the segment starts | and | answer |
//! |---|---|---|
//! | at `next` | its frontier has the root that is held | stored durably, 200 with the receipt |
//! | at `next` | its frontier has another root | *fork*, 409 |
//! | at `next` | it passes a declared checkpoint with another root | *fork*, 409 |
//! | after `next` | | *gap*, 409 |
//! | before `next` | the same bytes are stored | 200 with the same receipt |
//! | before `next` | its root agrees with the evidence where both end, or where the shorter ends | *known*, 409, with the receipt that covers all that is held |
//! | before `next` | it does not | *fork*, 409 |
//!
//! **A declared checkpoint** (the latest one of the box, sent first in each sync) must be signed by the box, 422
//! otherwise. If it contradicts what is held: *fork*. If it is smaller than what the box has claimed before: *rollback*,
//! 409. Otherwise 200 with `next`; one ahead of the segments is kept, and the segments that reach it must agree.
//!
//! **Fork**: two signed statements that no single history explains. The refused bytes and the statement they contradict
//! are kept. **Rollback**: the signed note is kept. It is an observation, not a proof: while links have no TLS, somebody
//! may have replayed an old note. Either marks the box *disputed* in all answers, for good. A disputed box goes on:
//! segments that continue what is held are stored as before, because evidence that is refused is evidence lost.
//! **Gap**: a lost or reordered request is an ordinary thing, so the first answer says only where to go on. If the same
//! segment comes again while nothing else has arrived, the box means it: that is recorded, with its signed checkpoint.
//! It is closed when the missing entries arrive; so is an `invalid`. The same incident is recorded once.
//!
//! **Entries** are not judged here. What a box signed is evidence also when it makes no sense; `verify` says so.

mod answer;

pub use answer::{Answer, Conflict, ConflictKind};

use picket_ledger::checkpoint::peek;
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

/// Takes in a declared checkpoint.
pub(crate) fn checkpoint(auditor: &Auditor, bytes: &[u8]) -> Result<Answer> {
    let Ok(note) = std::str::from_utf8(bytes) else { return Ok(Answer::Invalid("not UTF-8".into())) };
    let name = match peek(note) {
        Ok(checkpoint) => checkpoint.origin,
        Err(error) => return Ok(Answer::Invalid(crate::words(&error))),
    };
    let Ok(origin) = Origin::parse(&name) else { return Ok(Answer::Unknown(name)) };
    let Some(state) = auditor.state(&origin)? else {
        // The first word of a box that was restored: its first entry decides whether it is taken on.
        let expected = incarnations::expects(auditor, &origin, note)?;
        return Ok(if expected { Answer::Next(0) } else { Answer::Unknown(name) });
    };
    let mut state = boxes::lock(&state);
    let head = current_head(auditor, &mut state)?;
    match boxes::open_alone(note, &state.keys) {
        Ok(note) => Ingest { auditor, state: &mut state, head }.declared(note),
        Err(error) => Ok(Answer::Invalid(crate::words(&error))),
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
            checkpoint: Some(checkpoint.text.clone()),
            last_first: Some(first),
        });
        boxes.epochs.learn(writer, &self.state.origin, &mut self.state.keys, segment, verified)?;
        self.auditor.advanced(&self.state.origin, checkpoint.checkpoint.size);
        self.state.early = None;
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
        Ok(conflict(ConflictKind::Gap, next, message))
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
        Ok(Answer::Conflict(Conflict { kind: ConflictKind::Known, next, message, receipt }))
    }

    /// The receipt that covers all that is held: what a box is shown that has signed something else.
    fn held_receipt(&self) -> Result<Option<String>> {
        match (self.head.last_first, &self.head.checkpoint) {
            (Some(first), Some(note)) => self.receipt(first, note).map(Some),
            _ => Ok(None),
        }
    }

    fn declared(&mut self, note: SignedCheckpoint) -> Result<Answer> {
        if let Some(held) = self.contradicted(&note)? {
            let bytes = note.text.clone().into_bytes();
            return self.fork(&note, &bytes, "note", held);
        }
        let next = self.head.size;
        let size = note.checkpoint.size;
        let claimed = self.state.largest_claim();
        if size < claimed {
            let message = format!("the box says that it has {size} entries, and has signed {claimed} before");
            let held =
                self.state.declared.last().map(|last| last.text.clone()).or_else(|| self.head.checkpoint.clone());
            let seen = Observed {
                kind: IncidentKind::Rollback,
                size,
                root: note.checkpoint.root,
                message: &message,
                bytes: note.text.as_bytes(),
                form: "note",
                held: held.as_deref(),
            };
            self.auditor.record(self.state, &seen)?;
            let receipt = self.held_receipt()?;
            return Ok(Answer::Conflict(Conflict { kind: ConflictKind::Rollback, next, message, receipt }));
        }
        // At the head, or declared before: nothing new. (Neither has another root: that was a contradiction.)
        if size > next && size > self.state.declared.last().map_or(0, |last| last.checkpoint.size) {
            self.auditor.boxes_store().declare(&self.auditor.writer, self.state, note)?;
        }
        Ok(Answer::Next(next))
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
        let receipt = self.held_receipt()?;
        Ok(Answer::Conflict(Conflict { kind: ConflictKind::Fork, next: self.head.size, message, receipt }))
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

fn conflict(kind: ConflictKind, next: u64, message: String) -> Answer {
    Answer::Conflict(Conflict { kind, next, message, receipt: None })
}
