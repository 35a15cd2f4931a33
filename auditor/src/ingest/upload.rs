//! `add-entries`: packages of entries, each verified against a pending checkpoint before it is kept, and sealed into a
//! segment once all of them are here.
//!
//! No lock is held between packages, so uploads of one box may run beside each other: each is verified by itself, all
//! entries belong to the histories that the box signed, and what is here already is passed over.

use picket_ledger::Segment;
use picket_ledger::hash::sha256;
use picket_ledger::keychain::KeyChainError;
use picket_ledger::mirror::{Header, MirrorError, MirrorInfo, Package, PackageVerifier};
use picket_ledger::segment::{MAX_SEGMENT_ENTRIES, SegmentError, SegmentRef};
use picket_ledger::{Hash, SignedCheckpoint};

use super::{Answer, ConflictKind, Ingest, current_head};
use crate::auditor::Auditor;
use crate::boxes::{self, Head};
use crate::error::{AuditorError, Result};
use crate::incidents::{IncidentKind, Observed};
use crate::origin::Origin;

/// What an upload is told: at its end, or when it is refused.
#[derive(Debug)]
pub enum UploadAnswer {
    /// All entries are durably archived: the signature lines that make the checkpoint a receipt. 200.
    Receipt(String),
    /// A part of the entries is durably kept: where to go on. 202.
    Partial(MirrorInfo),
    /// Where to go on instead; the conflict names its reason, and the newest checkpoint of the box. 409.
    Elsewhere(MirrorInfo, super::Conflict),
    /// The request makes no sense. 400.
    Malformed(String),
    /// A proof does not hold. 422.
    Invalid(String),
    /// The segment would be longer than one may be. 413.
    TooLarge(String),
    /// No box of this name is enrolled. 404.
    Unknown(String),
}

/// An upload under way.
#[derive(Debug)]
pub struct Upload {
    origin: Origin,
    checkpoint: SignedCheckpoint,
    verifier: PackageVerifier,
    /// Packages that are durably here or will be with the next sync, whoever sent them first.
    taken: u64,
}

impl Upload {
    /// Whether any package of it was taken.
    pub fn progressed(&self) -> bool {
        self.taken > 0
    }
}

/// Looks at the header of an upload.
pub(crate) fn begin(auditor: &Auditor, header: &Header) -> Result<Result<Upload, UploadAnswer>> {
    let unknown = || Ok(Err(UploadAnswer::Unknown(header.origin.clone())));
    let Ok(origin) = Origin::parse(&header.origin) else { return unknown() };
    let Some(state) = auditor.state(&origin)? else { return unknown() };
    let mut state = boxes::lock(&state);
    let head = current_head(auditor, &mut state)?;
    let mut ingest = Ingest { auditor, state: &mut state, head };
    let Some(checkpoint) = ingest.pending_checkpoint(header.end) else {
        let message = format!("no pending checkpoint of size {} is known", header.end);
        return Ok(Err(ingest.go_on(None, ConflictKind::Known, message)?));
    };
    let next = ingest.pending()?.next();
    if header.start > next {
        return Ok(Err(ingest.too_early(header, &checkpoint, next)?));
    }
    // Below what is here only the question for the receipt makes sense, which needs no entries.
    if header.start < next && header.start != header.end {
        let message = format!("the entries below {next} are here already");
        return Ok(Err(ingest.go_on(Some(header.end), ConflictKind::Known, message)?));
    }
    let verifier = PackageVerifier::new(ingest.pending()?.tree(), &checkpoint.checkpoint);
    Ok(Ok(Upload { origin, checkpoint, verifier, taken: 0 }))
}

/// Takes in the next package; `Some` ends the upload.
pub(crate) fn package(auditor: &Auditor, upload: &mut Upload, package: &Package) -> Result<Option<UploadAnswer>> {
    // Before the lock: hashing is most of the work.
    let verified = upload.verifier.verify(package);
    let answer = with(auditor, &upload.origin, |ingest| match verified {
        Ok(leaves) => ingest.keep(upload, package, &leaves),
        Err(error) => ingest.unproven(upload, package, &error).map(Some),
    })?;
    upload.taken += u64::from(answer.is_none());
    Ok(answer)
}

/// Ends an upload: of all its packages, or of as many as there are.
pub(crate) fn finish(auditor: &Auditor, upload: &Upload, complete: bool) -> Result<UploadAnswer> {
    with(auditor, &upload.origin, |ingest| {
        let end = upload.checkpoint.checkpoint.size;
        let pending = ingest.pending()?;
        if complete && pending.next() >= end {
            return ingest.seal(&upload.checkpoint);
        }
        pending.sync()?;
        let next = pending.next();
        Ok(UploadAnswer::Partial(MirrorInfo { size: end, next, ticket: Vec::new() }))
    })
}

fn with<T>(auditor: &Auditor, origin: &Origin, work: impl FnOnce(&mut Ingest<'_>) -> Result<T>) -> Result<T> {
    let state = auditor.state(origin)?.ok_or_else(|| AuditorError::Input(format!("{origin} is not enrolled")))?;
    let mut state = boxes::lock(&state);
    let head = current_head(auditor, &mut state)?;
    work(&mut Ingest { auditor, state: &mut state, head })
}

impl Ingest<'_> {
    pub(super) fn pending(&mut self) -> Result<&mut crate::pending::Pending> {
        self.auditor.boxes_store().pending(self.state, &self.head)
    }

    /// The checkpoint of this size to which entries may be sent: one that is declared, or that of the head.
    fn pending_checkpoint(&self, size: u64) -> Option<SignedCheckpoint> {
        if size == self.head.size {
            let note = self.head.checkpoint.as_deref()?;
            return boxes::open_alone(note, &self.state.keys).ok();
        }
        let declared = self.state.declared.iter().find(|note| note.checkpoint.size == size);
        declared.filter(|_| size > self.head.size).cloned()
    }

    /// A 409 that says where to go on, and to which checkpoint. What it names is durable.
    fn go_on(&mut self, size: Option<u64>, kind: ConflictKind, message: String) -> Result<UploadAnswer> {
        let pending = self.pending()?;
        pending.sync()?;
        let next = pending.next();
        let (newest, _, _) = self.state.newest(&self.head);
        let info = MirrorInfo { size: size.unwrap_or(newest), next, ticket: Vec::new() };
        match self.conflict(kind, message) {
            Answer::Conflict(conflict) => Ok(UploadAnswer::Elsewhere(info, conflict)),
            _ => Ok(UploadAnswer::Partial(info)),
        }
    }

    fn too_early(&mut self, header: &Header, checkpoint: &SignedCheckpoint, next: u64) -> Result<UploadAnswer> {
        let message = format!("entries {next} to {} are missing before this upload", header.start - 1);
        if self.state.early == Some((next, header.start)) {
            let seen = Observed {
                kind: IncidentKind::Gap,
                size: header.start,
                root: checkpoint.checkpoint.root,
                message: &message,
                bytes: checkpoint.text.as_bytes(),
                form: "note",
                held: self.head.checkpoint.as_deref(),
            };
            self.auditor.record(self.state, &seen)?;
        }
        self.state.early = Some((next, header.start));
        self.go_on(Some(header.end), ConflictKind::Gap, message)
    }

    /// A package that does not belong to the tree that the box signed. On a bad link that is an ordinary thing; if the
    /// very same one comes again while nothing else has arrived, it is recorded.
    fn unproven(&mut self, upload: &Upload, package: &Package, error: &MirrorError) -> Result<UploadAnswer> {
        let message = crate::words(error);
        let claim = &upload.checkpoint.checkpoint;
        let mut bytes = upload.checkpoint.text.clone().into_bytes();
        let header = Header { origin: claim.origin.clone(), start: package.start, end: claim.size, ticket: Vec::new() };
        let encoded = header.encode(&mut bytes).and_then(|()| package.encode(&mut bytes));
        let digest = sha256(&bytes);
        if encoded.is_ok() && self.state.refused == Some(digest) && claim.size > self.head.size {
            let seen = Observed {
                kind: IncidentKind::Invalid,
                size: claim.size,
                root: claim.root,
                message: &message,
                bytes: &bytes,
                form: "package",
                held: Some(&upload.checkpoint.text),
            };
            self.auditor.record(self.state, &seen)?;
        }
        self.state.refused = Some(digest);
        Ok(UploadAnswer::Invalid(message))
    }

    fn keep(&mut self, upload: &Upload, package: &Package, leaves: &[Hash]) -> Result<Option<UploadAnswer>> {
        let most = self.auditor.limits().segment;
        let head = self.head.size;
        let pending = self.pending()?;
        let next = pending.next();
        if package.end() <= next {
            return Ok(None);
        }
        let Some(known) = next.checked_sub(package.start).and_then(|known| usize::try_from(known).ok()) else {
            // What was here was found to be of no use meanwhile.
            let message = format!("the entries from {next} on are needed again");
            return self.go_on(Some(upload.checkpoint.checkpoint.size), ConflictKind::Known, message).map(Some);
        };
        let (entries, leaves) =
            (package.entries.get(known..).unwrap_or_default(), leaves.get(known..).unwrap_or_default());
        let bytes = entries.iter().map(|entry| entry.len() + 4).sum::<usize>() + pending.bytes();
        let count = package.end() - head;
        if bytes > most || count > MAX_SEGMENT_ENTRIES as u64 {
            pending.sync()?;
            let message = format!(
                "a segment from {head} to {} would have more than {most} bytes or {MAX_SEGMENT_ENTRIES} entries; \
                 send them to an earlier checkpoint",
                package.end()
            );
            return Ok(Some(UploadAnswer::TooLarge(message)));
        }
        pending.append(entries, leaves, &upload.checkpoint.checkpoint.root)?;
        self.state.early = None;
        self.state.refused = None;
        Ok(None)
    }

    /// Everything below this checkpoint is here: makes the segment, archives it, and gives the receipt.
    fn seal(&mut self, end: &SignedCheckpoint) -> Result<UploadAnswer> {
        let size = end.checkpoint.size;
        let Head { size: first, checkpoint: held, last_first, .. } = self.head.clone();
        if size < first {
            return self.go_on(None, ConflictKind::Known, format!("the entries below {first} are archived already"));
        }
        if size == first {
            let Some(last_first) = last_first else {
                return self.go_on(None, ConflictKind::Known, "nothing is archived yet".into());
            };
            let receipt = self.receipt(last_first, &end.text)?;
            return Ok(UploadAnswer::Receipt(signatures(&receipt, &end.text)?));
        }
        let head = self.head.tree.clone();
        let entries = match self.pending()?.entries(first, size) {
            Ok(entries) => entries,
            // The file was damaged behind our back. The box has them all, and sends them again.
            Err(AuditorError::Evidence { message, .. }) => {
                self.pending()?.clear(&head)?;
                return self.go_on(Some(size), ConflictKind::Known, format!("pending entries were lost: {message}"));
            }
            Err(other) => return Err(other),
        };
        let segment = Segment {
            origin: self.state.origin.to_string(),
            first,
            frontier: head.peaks().to_vec(),
            entries,
            checkpoint: end.text.clone(),
        };
        let bytes = match segment.encode() {
            Ok(bytes) => bytes,
            Err(error) => return Ok(UploadAnswer::TooLarge(crate::words(&error))),
        };
        drop(segment);
        let invalid = |error: &dyn std::error::Error| AuditorError::Input(crate::words(error));
        let segment = SegmentRef::parse(&bytes).map_err(|error| invalid(&error))?;
        match self.state.keys.verify_segment(&segment) {
            // Crash before this is durable: the entries are pending, and the box asks again. After: they are archived.
            Ok(verified) => match self.continues(&segment, &verified, &bytes)? {
                Answer::Receipt(text) => Ok(UploadAnswer::Receipt(signatures(&text, &end.text)?)),
                Answer::Conflict(conflict) => {
                    let tree = self.head.tree.clone();
                    self.pending()?.advance(&tree)?;
                    self.go_on(None, conflict.kind, conflict.message)
                }
                _ => Err(AuditorError::Input("the segment was refused".into())),
            },
            Err(KeyChainError::Segment { source: SegmentError::Root, .. }) => {
                let proven = self.pending()?.is_under(&end.checkpoint.root);
                self.pending()?.clear(&head)?;
                if proven {
                    // All of it belongs to what this checkpoint signs, and with what is archived it makes another tree:
                    // the box signed two histories.
                    let _answer = self.fork(end, end.text.as_bytes(), "note", held)?;
                    let message = "the entries belong to another history than the one held".to_owned();
                    return self.go_on(None, ConflictKind::Fork, message);
                }
                let message = "entries of several checkpoints did not fit together; they are needed again".to_owned();
                self.go_on(Some(size), ConflictKind::Known, message)
            }
            // It spans a hand-over of keys, say. The entries may be part of another segment.
            Err(error) => Ok(UploadAnswer::Invalid(crate::words(&error))),
        }
    }
}

/// The lines that a receipt adds to the checkpoint.
fn signatures(receipt: &str, checkpoint: &str) -> Result<String> {
    let lines = receipt.strip_prefix(checkpoint).map(str::to_owned);
    lines.ok_or_else(|| AuditorError::Input("the stored receipt is for another checkpoint".into()))
}
