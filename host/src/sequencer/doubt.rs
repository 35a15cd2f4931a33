//! Is this the ledger that this box left behind? A copy and an old image look well by themselves.
//!
//! Three things are asked at each start, and any of them is enough for the next incarnation:
//!
//! - `<data>/place` says where the ledger lies: inode and birth time of that file itself and of the ledger's folder, and
//!   the machine. A copied or restored folder lies elsewhere. Whoever moves a box in earnest removes the file before the
//!   first start at the new place.
//! - `[edge] witness`, a file outside of the data folder, holds the newest checkpoint. One that is larger than the
//!   ledger, or of another root, tells of a rollback or a fork.
//! - An alarm of sync that stands, with the auditor's proof: a checkpoint of this very box that this ledger does not have.

use crate::keys::{KeyError, Keys};
use picket_ledger::checkpoint::peek;
use picket_ledger::entry::Head;
use picket_ledger::hash::{sha256, to_hex};
use picket_store::{Log, StoreError};
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// A witness has no more bytes than a note with one signature.
const MAX_WITNESS_BYTES: u64 = 64 << 10;

/// One reason not to go on with this log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doubt {
    /// For people and for the first entry of the next incarnation.
    pub(super) message: String,
    /// The head that contradicts this log, when one is known.
    pub(super) head: Option<Head>,
}

/// Where something lies: inode, and birth in nanoseconds since 1970 where the file system knows it.
type Identity = (u64, Option<u64>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    file: Identity,
    ledger: Identity,
    /// The first 16 hexadecimal characters of SHA-256 of the machine's id; none where it has no id.
    machine: Option<String>,
}

/// Whether the data folder lies where it lay. Without a record of that, it makes one, and knows nothing.
pub(super) fn moved(data: &Path) -> Result<Option<Doubt>, KeyError> {
    let path = data.join("place");
    let io = |source| KeyError::Io { path: path.clone(), source };
    let recorded = match std::fs::read(&path) {
        // An empty one is what a crash leaves while it is made.
        Ok(bytes) if !bytes.is_empty() => bytes,
        Ok(_) => return settle_at(data).map(|()| None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return settle_at(data).map(|()| None),
        Err(error) => return Err(io(error)),
    };
    let here = Place { file: identity(&path).map_err(io)?, ledger: ledger(data).map_err(io)?, machine: machine() };
    let reason = match serde_json::from_slice::<Place>(&recorded) {
        Err(_) => "the record of its place was changed".to_owned(),
        Ok(place) if place == here => return Ok(None),
        Ok(place) if place.machine != here.machine => "it was written on another machine".to_owned(),
        Ok(_) => "the files are copies: their inodes or times of birth are others".to_owned(),
    };
    let message = format!("ROLLBACK or COPY: this data folder was copied or restored: {reason} ({})", path.display());
    Ok(Some(Doubt { message, head: None }))
}

/// Records that the ledger lies here.
pub(super) fn settle_at(data: &Path) -> Result<(), KeyError> {
    let path = data.join("place");
    let write = || {
        // Made first, because it records itself; empty until then. A crash on the way is a record that says nothing.
        let mut file = std::fs::File::create(&path)?;
        let place = Place { file: identity(&path)?, ledger: ledger(data)?, machine: machine() };
        file.write_all(&serde_json::to_vec(&place)?)?;
        file.sync_all()?;
        std::fs::File::open(data)?.sync_all()
    };
    write().map_err(|source| KeyError::Io { path: path.clone(), source })
}

fn ledger(data: &Path) -> std::io::Result<Identity> {
    identity(&data.join("ledger"))
}

fn identity(path: &Path) -> std::io::Result<Identity> {
    let metadata = std::fs::metadata(path)?;
    let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    Ok((metadata.ino(), born.map(|born| u64::try_from(born.as_nanos()).unwrap_or(u64::MAX))))
}

fn machine() -> Option<String> {
    let id = std::fs::read_to_string("/etc/machine-id").ok()?;
    (!id.trim().is_empty()).then(|| to_hex(&sha256(id.trim().as_bytes()))[..16].to_owned())
}

/// What the witness says against this log.
pub(super) fn witnessed(path: &Path, keys: &Keys, log: &Log) -> Result<Option<Doubt>, StoreError> {
    let text = match std::fs::metadata(path).map(|metadata| metadata.len()) {
        Ok(length) if length <= MAX_WITNESS_BYTES => std::fs::read_to_string(path),
        Ok(_) => Ok(String::new()),
        Err(error) => Err(error),
    };
    let text = match text {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "the witness cannot be read; nothing is compared with it");
            return Ok(None);
        }
    };
    contradiction(&text, keys, log, &format!("the witness {}", path.display()))
}

/// What a checkpoint that is said to be of this log says against it. One of another log or without its signature says
/// nothing; but a larger one by a key of the same name may be of a key that came after an old image was made.
pub(super) fn contradiction(note: &str, keys: &Keys, log: &Log, whose: &str) -> Result<Option<Doubt>, StoreError> {
    let Ok(claim) = peek(note) else {
        tracing::warn!("{whose} is no checkpoint; nothing is compared with it");
        return Ok(None);
    };
    if claim.origin != keys.chain.origin() {
        return Ok(None);
    }
    let signed = keys.chain.open(note).is_ok();
    let size = log.size();
    let words = if claim.size > size {
        let key = if signed { "" } else { " with a key that this folder does not know" };
        format!(
            "ROLLBACK: the ledger ends at entry {size}, and {whose} holds a checkpoint of {} entries, signed{key}",
            claim.size
        )
    } else if !signed {
        tracing::warn!("{whose} is not signed by this box; nothing is compared with it");
        return Ok(None);
    } else if log.reader().tree_at(claim.size)?.root() != claim.root {
        format!("FORK: the first {} entries are not those of the checkpoint that {whose} holds", claim.size)
    } else {
        return Ok(None);
    };
    let head = Some(Head { origin: claim.origin, size: claim.size, root: claim.root });
    Ok(Some(Doubt { message: words, head }))
}

/// Puts the newest checkpoint where the witness is. A crash leaves the one before, which says less and nothing false.
pub(super) fn testify(path: &Path, note: &str) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(note.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}
