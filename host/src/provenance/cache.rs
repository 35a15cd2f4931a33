//! Digests that need not be computed again after a restart.
//!
//! Hashing 10 GB takes a small box half a minute of reading, and a box restarts often. A digest is taken
//! from here only if all of this holds:
//!
//! - device, inode, size, modification time and change time (ctime) are those for which it was computed.
//!   No call sets a ctime back, so a write by anybody but the kernel or raw access to the disk shows;
//! - the file was at rest: its ctime and mtime lay at least [`SETTLED_NS`] before the hashing began.
//!   Otherwise a second write within the same clock tick could leave the same stamp (the "racily clean"
//!   problem of git's index);
//! - the digest was computed from bytes less than [`MAX_AGE`] ago, so raw access to the disk and silent
//!   decay are noticed within a day;
//! - the clock does not stand before the time of hashing.
//!
//! The cache is not authenticated: it lies beside the box's private key under the same owner, and whoever
//! can write the one can read the other.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use picket_ledger::Hash;
use picket_ledger::hash::{from_hex, to_hex};
use serde::{Deserialize, Serialize};

use super::ProvenanceError;
use super::file::{FileStamp, Progress, hash_file};

/// After this long the bytes are read again although nothing seems to have changed.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Two seconds: the coarsest timestamp of a file system in use (FAT).
const SETTLED_NS: i128 = 2_000_000_000;

/// Bounds the file: a box has a handful of models.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Known digests by path. Losing or deleting its file costs time, never truth.
#[derive(Debug)]
pub struct DigestCache {
    file: Option<PathBuf>,
    known: BTreeMap<PathBuf, Known>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    path: PathBuf,
    stamp: FileStamp,
    digest: String,
    hashed_ns: i128,
}

impl DigestCache {
    /// Reads the cache at `file`. A missing or unreadable file is an empty cache.
    #[must_use]
    pub fn open(file: &Path) -> Self {
        let known = read(file).unwrap_or_default();
        Self { file: Some(file.to_owned()), known: known.into_iter().map(|one| (one.path.clone(), one)).collect() }
    }

    /// A cache that nothing outlives.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { file: None, known: BTreeMap::new() }
    }

    /// The digest of the file at `path`, read from disk unless it is known to be unchanged.
    ///
    /// # Errors
    /// As [`hash_file`].
    pub fn digest(&mut self, path: &Path, progress: Progress<'_>) -> Result<(Hash, FileStamp), ProvenanceError> {
        let metadata =
            std::fs::metadata(path).map_err(|error| ProvenanceError::io(path, "looking at the file", error))?;
        let stamp = FileStamp::of(&metadata);
        if let Some(digest) = self.lookup(path, &stamp, now_ns()) {
            return Ok((digest, stamp));
        }
        let started = now_ns();
        let (digest, stamp) = hash_file(path, progress)?;
        self.remember(path, stamp, digest, started);
        Ok((digest, stamp))
    }

    fn lookup(&self, path: &Path, stamp: &FileStamp, now: i128) -> Option<Hash> {
        let known = self.known.get(path)?;
        let age = now - known.hashed_ns;
        let fresh = age >= 0 && age < i128::try_from(MAX_AGE.as_nanos()).unwrap_or(0);
        if known.stamp == *stamp && fresh { from_hex(&known.digest).ok() } else { None }
    }

    fn remember(&mut self, path: &Path, stamp: FileStamp, digest: Hash, started_ns: i128) {
        if !settled(&stamp, started_ns) {
            self.known.remove(path);
            return;
        }
        let known = Known { path: path.to_owned(), stamp, digest: to_hex(&digest), hashed_ns: started_ns };
        self.known.insert(path.to_owned(), known);
        // Not written is not remembered: the next start hashes again.
        let _unsaved = self.save();
    }

    /// Rename into place, without fsync: after a crash an old, a new or an empty cache is equally true.
    fn save(&self) -> std::io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let known: Vec<&Known> = self.known.values().collect();
        let text = serde_json::to_vec_pretty(&known)?;
        let part = file.with_extension("part");
        let mut out = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        out.write_all(&text)?;
        drop(out);
        std::fs::rename(part, file)
    }
}

fn read(file: &Path) -> Option<Vec<Known>> {
    if std::fs::metadata(file).ok()?.len() > MAX_FILE_BYTES {
        return None;
    }
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// Whether the file was at rest before the reading that began at `started_ns`.
pub(super) fn settled(stamp: &FileStamp, started_ns: i128) -> bool {
    stamp.changed_ns.max(stamp.modified_ns) + SETTLED_NS <= started_ns
}

pub(super) fn now_ns() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const DAY_NS: i128 = 86_400_000_000_000;

    fn stamp(changed_ns: i128) -> FileStamp {
        FileStamp { device: 1, inode: 2, size: 3, modified_ns: changed_ns, changed_ns }
    }

    #[test]
    fn a_settled_file_is_known_again_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("digests.json");
        let mut cache = DigestCache::open(&file);
        cache.remember(Path::new("m"), stamp(5), [7; 32], 10 + SETTLED_NS);
        let again = DigestCache::open(&file);
        assert_eq!(again.lookup(Path::new("m"), &stamp(5), 20 + SETTLED_NS), Some([7; 32]));
        assert_eq!(again.lookup(Path::new("other"), &stamp(5), 20 + SETTLED_NS), None);
    }

    #[test]
    fn any_field_of_the_stamp_that_differs_means_hash_again() {
        let mut cache = DigestCache::in_memory();
        let base = stamp(5);
        cache.remember(Path::new("m"), base, [7; 32], DAY_NS);
        let changed = [
            FileStamp { device: 9, ..base },
            FileStamp { inode: 9, ..base },
            FileStamp { size: 9, ..base },
            FileStamp { modified_ns: 9, ..base },
            FileStamp { changed_ns: 9, ..base },
        ];
        for other in changed {
            assert_eq!(cache.lookup(Path::new("m"), &other, DAY_NS), None, "{other:?}");
        }
        assert!(cache.lookup(Path::new("m"), &base, DAY_NS).is_some());
    }

    #[test]
    fn a_file_written_within_the_tick_is_not_remembered() {
        let mut cache = DigestCache::in_memory();
        cache.remember(Path::new("m"), stamp(DAY_NS), [7; 32], DAY_NS + SETTLED_NS - 1);
        assert_eq!(cache.lookup(Path::new("m"), &stamp(DAY_NS), DAY_NS + SETTLED_NS), None);
    }

    #[test]
    fn a_day_later_or_before_its_own_time_a_digest_does_not_count() {
        let mut cache = DigestCache::in_memory();
        cache.remember(Path::new("m"), stamp(5), [7; 32], DAY_NS);
        assert!(cache.lookup(Path::new("m"), &stamp(5), 2 * DAY_NS - 1).is_some());
        assert_eq!(cache.lookup(Path::new("m"), &stamp(5), 2 * DAY_NS), None);
        assert_eq!(cache.lookup(Path::new("m"), &stamp(5), DAY_NS - 1), None);
    }

    #[test]
    fn rubbish_in_its_place_is_an_empty_cache() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("digests.json");
        std::fs::write(&file, "[{\"path\":1}]").unwrap();
        assert!(DigestCache::open(&file).known.is_empty());
    }
}
