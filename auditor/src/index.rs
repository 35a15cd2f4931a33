//! Where to look: from ids and digests to places in the evidence. Rebuildable, never believed.
//!
//! One sled tree under `data/index`. All integers are big-endian, so that keys sort by number; `<id>` and `<digest>` are
//! 32 bytes (ids are hashed to that); names are followed by a zero byte.
//!
//! | key | value |
//! |---|---|
//! | `c` origin | the number of entries indexed (u64) |
//! | `i` SHA-256(inference id) origin first index | nothing: the segment at `first` holds entry `index` with that id |
//! | `t` SHA-256(trace id) origin first index | the same for trace ids |
//! | `d` digest fingerprint(16) origin | first, index, last first, last index, times (5 × u64): entries that speak of it |
//! | `n` origin level(u8) index(u64) | the root of a complete subtree, from level [`LEAST_LEVEL`] up |
//!
//! The fingerprint is that of the entry's body, so that a thing that a box observes at each start takes one key. Each
//! segment is one atomic batch together with its `c`, and is indexed once.

mod keys;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use picket_ledger::entry::{Body, Entry};
use picket_ledger::hash::leaf_hash;
use picket_ledger::tree::CompactRange;
use picket_ledger::{Hash, KeyChain};

use crate::archive::Archive;
use crate::error::{AuditorError, Result};
use crate::evidence::{self, Held};
use crate::origin::Origin;

pub use keys::{IdKind, Place, Statement};

/// Subtrees below this level are computed from the evidence: 2^4 entries at most.
pub const LEAST_LEVEL: u8 = 4;

/// The cache of sled in bytes; its default is 1 GiB.
const CACHE_BYTES: u64 = 32 << 20;

/// The index of one auditor. One process at a time, and within it one thread that changes it.
#[derive(Debug)]
pub struct Index {
    path: PathBuf,
    /// Empty only while it is begun anew: sled must let go of its files before they can be removed.
    db: RwLock<Option<sled::Db>>,
}

impl Index {
    /// Opens the index under `data`; one that cannot be read is begun anew.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn open(data: &Path) -> Result<Self> {
        let index = Self { path: data.join("index"), db: RwLock::new(None) };
        match open_sled(&index.path) {
            Ok(db) => *index.write() = Some(db),
            Err(reason) => {
                eprintln!("the index at {} cannot be read and is built again: {reason}", index.path.display());
                index.begin_anew()?;
            }
        }
        Ok(index)
    }

    /// Removes all of it.
    ///
    /// # Errors
    /// When the folder cannot be removed or created, say because the disk is full. Everything else fails then as well,
    /// until this succeeds.
    pub fn begin_anew(&self) -> Result<()> {
        let mut db = self.write();
        // After an error sled may panic while it closes; the files are about to go.
        let old = db.take();
        let _ = catching(|| drop(old));
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(AuditorError::io("removing", &self.path, error));
            }
            _ => *db = Some(open_sled(&self.path).map_err(AuditorError::Index)?),
        }
        Ok(())
    }

    /// How many entries of a box are indexed.
    pub fn cursor(&self, origin: &Origin) -> Result<u64> {
        let value = self.with(|db| db.get(keys::cursor(origin)))?;
        Ok(value.as_deref().and_then(keys::number).unwrap_or(0))
    }

    /// Indexes the evidence of a box up to `size` entries, from where it stands, or until `stop` says so.
    ///
    /// Evidence that does not hold is passed over: `verify` is what speaks about it.
    pub fn add(
        &self,
        archive: &Archive,
        origin: &Origin,
        keys: &KeyChain,
        size: u64,
        stop: &dyn Fn() -> bool,
    ) -> Result<()> {
        let cursor = self.cursor(origin)?;
        if cursor >= size {
            return Ok(());
        }
        let firsts = archive.firsts(origin)?;
        let from = firsts.partition_point(|first| *first < cursor);
        for first in firsts.into_iter().skip(from).filter(|first| *first < size) {
            if stop() {
                return Ok(());
            }
            match evidence::read(archive, origin, keys, first) {
                Ok(held) => self.add_segment(origin, &held)?,
                Err(AuditorError::Evidence { path, message }) => {
                    eprintln!("not indexed: {}: {message}", path.display());
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    fn add_segment(&self, origin: &Origin, held: &Held) -> Result<()> {
        let segment = held.segment();
        let mut batch = sled::Batch::default();
        let mut statements = HashMap::new();
        let mut range = CompactRange::from_parts(segment.first, segment.frontier.clone())
            .map_err(|error| held.damage(error.to_string()))?;
        for (index, bytes) in (segment.first..).zip(&segment.entries) {
            range.push_with(leaf_hash(bytes), |level, number, hash| {
                if level >= LEAST_LEVEL {
                    batch.insert(keys::node(origin, level, number), &hash[..]);
                }
            });
            // An entry that is none is evidence all the same, but there is nothing to find it by.
            let Ok(entry) = Entry::decode(bytes) else { continue };
            let place = Place { origin: origin.clone(), first: segment.first, index };
            if let Body::Verdict(verdict) = &entry.body {
                batch.insert(keys::id(IdKind::Inference, &verdict.inference_id, &place), &[][..]);
                if let Some(trace_id) = &verdict.trace_id {
                    batch.insert(keys::id(IdKind::Trace, trace_id, &place), &[][..]);
                }
            } else {
                self.add_statements(&entry.body, &place, &mut statements)?;
            }
        }
        for (key, statement) in statements {
            batch.insert(key, statement);
        }
        batch.insert(keys::cursor(origin), &held.end().to_be_bytes()[..]);
        self.with(|db| db.apply_batch(batch))
    }

    fn add_statements(&self, body: &Body, place: &Place, statements: &mut HashMap<Vec<u8>, Vec<u8>>) -> Result<()> {
        let digests: Vec<Hash> = match body {
            Body::Record(record) => {
                std::iter::once(record.digest).chain(record.links.iter().map(|link| link.digest)).collect()
            }
            Body::GuardLoad(load) => vec![load.component],
            Body::Config(config) => vec![config.digest],
            _ => return Ok(()),
        };
        let fingerprint = keys::fingerprint(body);
        for digest in digests {
            let key = keys::statement(&digest, &fingerprint, &place.origin);
            let known = match statements.get(&key) {
                Some(value) => Some(value.clone()),
                None => self.with(|db| db.get(&key))?.map(|value| value.to_vec()),
            };
            statements.insert(key, keys::seen_again(known.as_deref(), place));
        }
        Ok(())
    }

    /// Places that may hold an id, at most `limit` and one more.
    pub fn find_id(&self, kind: IdKind, id: &str, limit: usize) -> Result<Vec<Place>> {
        let prefix = keys::id_prefix(kind, id);
        self.with(|db| {
            let mut places = Vec::new();
            for key in db.scan_prefix(&prefix).keys().take(limit.saturating_add(1)) {
                places.extend(keys::place(&key?[prefix.len()..]));
            }
            Ok(places)
        })
    }

    /// Statements that may speak of a digest, at most `limit`.
    pub fn find_digest(&self, digest: &Hash, limit: usize) -> Result<Vec<Statement>> {
        let prefix = keys::statement_prefix(digest);
        self.with(|db| {
            let mut statements = Vec::new();
            for pair in db.scan_prefix(&prefix).take(limit) {
                let (key, value) = pair?;
                statements.extend(keys::parse_statement(&key[prefix.len()..], &value));
            }
            Ok(statements)
        })
    }

    /// The root of a complete subtree, as indexed.
    pub fn node(&self, origin: &Origin, level: u8, number: u64) -> Result<Option<Hash>> {
        let value = self.with(|db| db.get(keys::node(origin, level, number)))?;
        Ok(value.and_then(|value| value.as_ref().try_into().ok()))
    }

    /// Writes everything to disk: for an orderly end, which spares the next start a catch-up.
    pub fn flush(&self) -> Result<()> {
        self.with(sled::Tree::flush)?;
        Ok(())
    }

    fn with<T>(&self, work: impl FnOnce(&sled::Tree) -> sled::Result<T>) -> Result<T> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let failed = |reason: &str| AuditorError::Index(format!("{}: {reason}", self.path.display()));
        let db = db.as_ref().ok_or_else(|| failed("it could not be begun anew"))?;
        match catching(|| work(db)) {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(failed(&error.to_string())),
            None => Err(failed("its files are damaged")),
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<sled::Db>> {
        self.db.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open_sled(path: &Path) -> Result<sled::Db, String> {
    let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(Some(1000));
    let opened = catching(|| {
        let db = config.open()?;
        // Damage shows when a page is read: read all of the cursors, which are what the rest hangs on.
        for pair in db.scan_prefix([b'c']) {
            pair?;
        }
        Ok(db)
    });
    match opened {
        Some(Ok(db)) => Ok(db),
        Some(Err(error)) => Err(sled::Error::to_string(&error)),
        None => Err("its files are damaged".into()),
    }
}

/// Runs what may panic: sled does on some damaged files. `None` when it did; the panic is told on stderr like any other.
fn catching<T>(work: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).ok()
}
