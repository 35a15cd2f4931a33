//! A box that was restored or copied goes on with a new log, `<box>~<n>`, which starts with a recovery entry.
//!
//! The new log is taken on without anybody's doing when all of this holds: the log before it is enrolled; its checkpoint
//! is signed with the newest key that is known of that log, under the new name; its first entry is a recovery; and that
//! commits to a head of the log before that is held here, or that was seen as a fork. An incident on the log before says
//! so for good. Anything else needs an operator: `picket-auditor enrol --origin <box>~<n>`.

use picket_ledger::entry::{Body, Entry, Head, Recovery};
use picket_ledger::segment::SegmentRef;
use picket_ledger::{Hash, SignedCheckpoint, VerifyingKey};

use crate::auditor::Auditor;
use crate::boxes::{self, BoxState};
use crate::error::Result;
use crate::evidence;
use crate::incidents::{IncidentKind, Observed};
use crate::origin::Origin;
use picket_ledger::hash::to_hex;

/// Lines of the box's own account that are repeated in an incident.
const TOLD: usize = 3;

/// The key that a new log must be signed with for its checkpoints to be looked at: the newest one of the log before.
/// `None` when there is no log before it, or the next one is not the one that comes next.
///
/// # Errors
/// Faults.
pub(crate) fn expected_key(auditor: &Auditor, origin: &Origin) -> Result<Option<VerifyingKey>> {
    let Some(previous) = origin.previous() else { return Ok(None) };
    let Some(state) = auditor.state(&previous)? else { return Ok(None) };
    let key = boxes::lock(&state).keys.current().renamed(origin.as_str());
    Ok(key.ok())
}

/// Whether a checkpoint of a log that is not enrolled may be the first word of a new incarnation. Nothing is kept of it.
///
/// # Errors
/// Faults.
pub(crate) fn expects(auditor: &Auditor, origin: &Origin, note: &str) -> Result<bool> {
    let key = expected_key(auditor, origin)?;
    Ok(key.is_some_and(|key| SignedCheckpoint::open_alone(note, &key).is_ok()))
}

/// Takes a new incarnation on if its first segment shows that it is one. True when it is enrolled now.
///
/// # Errors
/// Faults.
pub(crate) fn admit(auditor: &Auditor, origin: &Origin, segment: &SegmentRef<'_>, bytes: &[u8]) -> Result<bool> {
    let (Some(previous), Some(key)) = (origin.previous(), expected_key(auditor, origin)?) else { return Ok(false) };
    if segment.first != 0 || segment.verify(&key).is_err() {
        return Ok(false);
    }
    let Some(recovery) = segment.entries.first().and_then(|bytes| recovery(bytes)) else { return Ok(false) };
    let Some(state) = auditor.state(&previous)? else { return Ok(false) };
    let mut state = boxes::lock(&state);
    if !commits(auditor, &state, &recovery)? {
        eprintln!("{origin} is not taken on: its first entry commits to no head of {previous} that is held here");
        return Ok(false);
    }
    // The incident first: a log that is taken on without one would look like nothing had happened.
    let told: Vec<&str> = recovery.found.iter().take(TOLD).map(String::as_str).collect();
    let message = format!(
        "the box goes on as {origin}, because its data folder of {} entries was restored or copied: {}",
        recovery.previous_size,
        told.join("; ")
    );
    let held = state.head.as_ref().ok().and_then(|head| head.checkpoint.clone());
    let message = picket_ledger::entry::clip_message(&message);
    let seen = Observed {
        kind: IncidentKind::Rollback,
        size: recovery.previous_size,
        root: recovery.previous_root,
        message: &message,
        bytes,
        form: "segment",
        held: held.as_deref(),
    };
    auditor.record(&mut state, &seen)?;
    drop(state);
    auditor.enrol(origin, &key.to_string())?;
    Ok(true)
}

fn recovery(bytes: &[u8]) -> Option<Recovery> {
    match Entry::decode(bytes).ok()? {
        Entry { index: 0, body: Body::Recovery(recovery), .. } => Some(recovery),
        _ => None,
    }
}

/// Whether a recovery names a head of the log before that is held, or that an incident is about.
fn commits(auditor: &Auditor, state: &BoxState, recovery: &Recovery) -> Result<bool> {
    let Ok(held) = &state.head else { return Ok(false) };
    let previous =
        Head { origin: state.origin.to_string(), size: recovery.previous_size, root: recovery.previous_root };
    let named = || recovery.heads.iter().chain([&previous]).filter(|head| head.origin == state.origin.as_str());
    // A box that never reached its auditor has nothing to commit to.
    if held.size == 0 {
        return Ok(named().next().is_some());
    }
    for head in named() {
        let seen =
            |root: &Hash| state.incidents.iter().any(|report| report.size == head.size && report.root == to_hex(root));
        let here = head.size > 0
            && head.size <= held.size
            && evidence::root_at(auditor.archive(), &state.origin, &state.keys, head.size)? == head.root;
        if here || seen(&head.root) {
            return Ok(true);
        }
    }
    Ok(false)
}
