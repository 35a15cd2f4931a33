//! The boxes: who is enrolled, and up to where each one's log is held.
//!
//! | path under the data folder | holds | written |
//! |---|---|---|
//! | `boxes/<origin>` | the box's first public key, `name+hash+base64` | create-only |
//! | `declared/<origin>/<size>-<root>` | a pending checkpoint: the box declared it, and what is held does not reach it yet | removed once it does and agrees |
//! | `pending/<origin>` | entries on their way to a pending checkpoint, see [`crate::pending`] | appended, removed once sealed |
//!
//! What is held is read from the evidence at start: the names in a box's folder give its last segment, and that one
//! segment, verified, gives size and root. So a start reads one segment per box, however long its log is; what lies
//! before is bound to it by the frontier that it was accepted with, and `verify` re-reads it all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use picket_ledger::checkpoint::peek;
use picket_ledger::hash::{empty_root, to_hex};
use picket_ledger::tree::CompactRange;
use picket_ledger::{Hash, KeyChain, NoteError, SignedCheckpoint, VerifyingKey};

use crate::archive::Archive;
use crate::durable::{self, Put, Writer};
use crate::epochs::Epochs;
use crate::error::{AuditorError, Result};
use crate::evidence;
use crate::incidents::{Incidents, Report};
use crate::origin::Origin;
use crate::pending::Pending;

/// How many declared checkpoints ahead of the segments are kept for one box. A box declares its newest in each sync, and
/// one for each segment that it sends, so there are two, or a few after broken syncs.
pub const MAX_DECLARED: usize = 64;

/// How much of a box's log is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The number of entries.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// The tree itself: what it takes to go on.
    pub tree: CompactRange,
    /// The signed checkpoint of that size; `None` before the first segment.
    pub checkpoint: Option<String>,
    /// The first entry of the last segment; `None` before the first segment.
    pub last_first: Option<u64>,
}

impl Head {
    /// Nothing is held.
    pub fn empty() -> Self {
        Self { size: 0, root: empty_root(), tree: CompactRange::new(), checkpoint: None, last_first: None }
    }
}

/// What the auditor knows of one box. Owned by [`Boxes`], changed by ingest alone, under the box's lock.
#[derive(Debug)]
pub struct BoxState {
    /// The box.
    pub origin: Origin,
    /// Its keys, each with the entries that it speaks for.
    pub keys: KeyChain,
    /// What is held; or why the last segment on disk cannot be trusted, which stops ingest for this box.
    pub head: Result<Head, Damage>,
    /// Checkpoints ahead of the head, by ascending size.
    pub declared: Vec<SignedCheckpoint>,
    /// Its incidents.
    pub incidents: Vec<Report>,
    /// Entries on their way; `None` until somebody sends some.
    pub pending: Option<Pending>,
    /// `(head, first)` of the last segment or upload that came too early: the same one again is a gap incident.
    pub early: Option<(u64, u64)>,
    /// Digest of the package that was refused last: the same one again is an incident.
    pub refused: Option<Hash>,
    /// When the last segment was taken in, in milliseconds since 1970; by an earlier process, as its file says.
    pub received_ms: Option<u64>,
}

/// Evidence that is not what was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Which check failed.
    pub message: String,
}

impl From<Damage> for AuditorError {
    fn from(damage: Damage) -> Self {
        Self::Evidence { path: damage.path, message: damage.message }
    }
}

impl BoxState {
    /// Size, root and note of the newest checkpoint of the box that is known; size 0 before the first.
    pub fn newest(&self, head: &Head) -> (u64, Hash, Option<String>) {
        match self.declared.last().filter(|last| last.checkpoint.size > head.size) {
            Some(last) => (last.checkpoint.size, last.checkpoint.root, Some(last.text.clone())),
            None => (head.size, head.root, head.checkpoint.clone()),
        }
    }

    /// Whether the box has an incident that no later segment removes.
    pub fn disputed(&self) -> bool {
        self.incidents.iter().any(|report| report.kind.disputes())
    }

    /// The largest size that the box has ever claimed to us with its signature.
    pub fn largest_claim(&self) -> u64 {
        let held = self.head.as_ref().map_or(0, |head| head.size);
        self.declared.last().map_or(held, |last| last.checkpoint.size.max(held))
    }
}

/// All enrolled boxes.
#[derive(Debug)]
pub struct Boxes {
    keys: PathBuf,
    declared: PathBuf,
    pending: PathBuf,
    /// The hand-overs of keys.
    pub epochs: Epochs,
    /// Grows by enrolment, never shrinks. Each box has its own lock, held for the whole of one ingest: that is what
    /// makes ingest one at a time for a box, and in parallel for different boxes. Lock order: this map, then one box.
    loaded: RwLock<BTreeMap<Origin, Arc<Mutex<BoxState>>>>,
}

impl Boxes {
    /// Names the folders under `data`; loads nothing yet.
    pub fn new(data: &Path) -> Self {
        Self {
            keys: data.join("boxes"),
            declared: data.join("declared"),
            pending: data.join("pending"),
            epochs: Epochs::new(data),
            loaded: RwLock::default(),
        }
    }

    /// Enrols a box: from now on its segments are accepted. Returns whether it is new.
    ///
    /// # Errors
    /// [`AuditorError::Input`] for a key that is none, whose name is not the origin, or other than the one enrolled.
    pub fn enrol(&self, writer: &Writer, origin: &Origin, key: &str) -> Result<bool> {
        let key = VerifyingKey::parse(key.trim()).map_err(|error| AuditorError::Input(format!("--key: {error}")))?;
        if key.name() != origin.as_str() {
            let message = format!("--key is the key of {:?}, not of {:?}", key.name(), origin.as_str());
            return Err(AuditorError::Input(message));
        }
        durable::create_folder(&self.keys)?;
        match writer.create_only(&self.key_path(origin), key.to_string().as_bytes())? {
            Put::Stored => Ok(true),
            Put::Same => Ok(false),
            Put::Other => Err(AuditorError::Input(format!(
                "{origin} is enrolled with another key; an enrolment is never changed. \
                 If the box has a new key, it needs a new name"
            ))),
        }
    }

    /// All enrolled boxes, by name.
    pub fn enrolled(&self) -> Result<Vec<Origin>> {
        Ok(durable::names(&self.keys)?.iter().filter_map(|name| Origin::parse(name).ok()).collect())
    }

    /// All keys of a box, or `None` when it is not enrolled.
    pub fn chain(&self, origin: &Origin, archive: &Archive) -> Result<Option<KeyChain>> {
        self.key(origin)?.map(|first| self.epochs.load(origin, first, archive)).transpose()
    }

    /// The first public key of a box, with which it was enrolled, or `None` when it is not.
    pub fn key(&self, origin: &Origin) -> Result<Option<VerifyingKey>> {
        let path = self.key_path(origin);
        let Some(bytes) = durable::read(&path)? else { return Ok(None) };
        let key = std::str::from_utf8(&bytes).ok().and_then(|text| VerifyingKey::parse(text.trim()).ok());
        match key {
            Some(key) if key.name() == origin.as_str() => Ok(Some(key)),
            _ => Err(AuditorError::Evidence { path, message: "not the public key of this box".into() }),
        }
    }

    /// The state of a box, loaded when it is asked for the first time; `None` when it is not enrolled. The flag says
    /// whether this call loaded it.
    pub fn get(
        &self,
        origin: &Origin,
        archive: &Archive,
        incidents: &Incidents,
    ) -> Result<Option<(Arc<Mutex<BoxState>>, bool)>> {
        if let Some(state) = self.loaded.read().unwrap_or_else(PoisonError::into_inner).get(origin) {
            return Ok(Some((Arc::clone(state), false)));
        }
        let Some(keys) = self.chain(origin, archive)? else { return Ok(None) };
        // Loaded under the lock of the map, so that there is never a second state of one box.
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = loaded.get(origin) {
            return Ok(Some((Arc::clone(state), false)));
        }
        let state = self.load(origin, keys, archive, incidents)?;
        let state = Arc::new(Mutex::new(state));
        loaded.insert(origin.clone(), Arc::clone(&state));
        Ok(Some((state, true)))
    }

    fn load(&self, origin: &Origin, keys: KeyChain, archive: &Archive, incidents: &Incidents) -> Result<BoxState> {
        let head = load_head(origin, &keys, archive)?;
        let received_ms = match head.as_ref().ok().and_then(|head| head.last_first) {
            Some(first) => archive.stored_ms(origin, first)?,
            None => None,
        };
        let declared = self.declared(origin, &keys)?;
        let incidents = incidents.of(origin)?;
        Ok(BoxState {
            origin: origin.clone(),
            keys,
            head,
            declared,
            incidents,
            pending: None,
            early: None,
            refused: None,
            received_ms,
        })
    }

    /// The entries on their way to a pending checkpoint, read from disk when they are asked for the first time.
    pub fn pending<'a>(&self, state: &'a mut BoxState, head: &Head) -> Result<&'a mut Pending> {
        let pending = match state.pending.take() {
            Some(pending) => pending,
            None => Pending::open(&self.pending.join(state.origin.as_str()), &head.tree)?,
        };
        Ok(state.pending.insert(pending))
    }

    /// The declared checkpoints on disk, by ascending size.
    pub fn declared(&self, origin: &Origin, keys: &KeyChain) -> Result<Vec<SignedCheckpoint>> {
        let folder = self.declared.join(origin.as_str());
        let mut declared = Vec::new();
        for name in durable::names(&folder)? {
            let bytes = durable::read(&folder.join(&name))?.unwrap_or_default();
            let note = String::from_utf8_lossy(&bytes);
            // One that does not verify was not stored by us; it proves nothing and is passed over.
            declared.extend(open_alone(&note, keys).ok());
        }
        declared.sort_by_key(|note| note.checkpoint.size);
        Ok(declared)
    }

    /// Keeps a checkpoint that is ahead of the head. Durable when this returns.
    ///
    /// When [`MAX_DECLARED`] are kept, the second newest makes room: the oldest and the newest claims stay.
    pub fn declare(&self, writer: &Writer, state: &mut BoxState, note: SignedCheckpoint) -> Result<()> {
        let folder = self.declared.join(state.origin.as_str());
        durable::create_folder(&folder)?;
        while state.declared.len() >= MAX_DECLARED {
            let second_newest = state.declared.remove(state.declared.len().saturating_sub(2));
            durable::remove(&folder.join(declared_name(&second_newest)))?;
        }
        writer.create_only(&folder.join(declared_name(&note)), note.text.as_bytes())?;
        state.declared.push(note);
        state.declared.sort_by_key(|note| note.checkpoint.size);
        Ok(())
    }

    /// Forgets the declared checkpoints that the head has reached. They agreed, so the evidence says the same. One that
    /// comes back after a crash is reached again.
    pub fn settle(&self, state: &mut BoxState, size: u64) -> Result<()> {
        let folder = self.declared.join(state.origin.as_str());
        let reached = state.declared.partition_point(|note| note.checkpoint.size <= size);
        for note in state.declared.drain(..reached) {
            durable::remove(&folder.join(declared_name(&note)))?;
        }
        Ok(())
    }

    fn key_path(&self, origin: &Origin) -> PathBuf {
        self.keys.join(origin.as_str())
    }
}

/// Locks a box. A panic during an ingest leaves the head where it was: it moves last.
pub fn lock(state: &Mutex<BoxState>) -> MutexGuard<'_, BoxState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a checkpoint that a box signed alone, with the key that speaks at its size.
///
/// # Errors
/// [`NoteError`] for what is wrong with it, a signature by another of its keys included.
pub fn open_alone(note: &str, keys: &KeyChain) -> std::result::Result<SignedCheckpoint, NoteError> {
    SignedCheckpoint::open_alone(note, keys.key_at(peek(note)?.size))
}

/// Reads what is held for a box from its last segment.
pub fn load_head(origin: &Origin, keys: &KeyChain, archive: &Archive) -> Result<Result<Head, Damage>> {
    let Some(&first) = archive.firsts(origin)?.last() else { return Ok(Ok(Head::empty())) };
    match evidence::read(archive, origin, keys, first) {
        Ok(held) => {
            let picket_ledger::segment::VerifiedSegment { checkpoint, after, .. } = held.verified;
            Ok(Ok(Head {
                size: checkpoint.checkpoint.size,
                root: checkpoint.checkpoint.root,
                tree: after,
                checkpoint: Some(checkpoint.text),
                last_first: Some(first),
            }))
        }
        Err(AuditorError::Evidence { path, message }) => Ok(Err(Damage { path, message })),
        Err(other) => Err(other),
    }
}

fn declared_name(note: &SignedCheckpoint) -> String {
    format!("{:020}-{}", note.checkpoint.size, &to_hex(&note.checkpoint.root)[..16])
}
