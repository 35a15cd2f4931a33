//! The embedded store on disk. The only file that names sled.
//!
//! What is known of sled 0.34.7, and what is done about it here:
//! - `flush()` ends in `sync_file_range`, which writes neither the file's metadata nor the device's cache:
//!   [`Store::sync`] follows it with `fdatasync` on a descriptor of its own.
//! - A message above a quarter of a segment goes to `blobs/`, which that descriptor does not cover, and a leaf
//!   of up to 17 values is one message. [`MAX_VALUE_BYTES`] keeps a leaf below; larger values stay outside
//!   (`packs.rs`).
//! - It panics on flipped bits: every call is under `catch_unwind`, and a store that panicked is not used again.
//! - Its threads let go of `db`, and of the lock on it, some time after an opening failed or a database was dropped:
//!   opening it again waits for that.
//! - An I/O error is kept forever ("global error"): the store must be opened again.
//! - Opening writes: it zeroes what follows the last readable message, and goes on with what it then has, which may
//!   lack pages from the middle. The applied sequence and a digest of all that is in the index (`packs.rs`) show it.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::StoreError;
use crate::disk::{quarantine, sync_folder};
use crate::store::{Pair, Store, Write};

/// Largest value in bytes that this store takes.
///
/// A leaf has at most 16 + 4 values (a merge can add a small sibling) and must stay below a quarter of a
/// segment, 131,052 bytes: 20 × (4,096 + key) fits.
pub(crate) const MAX_VALUE_BYTES: usize = 4096;

const SEGMENT_BYTES: usize = 512 * 1024;
/// How often sled's own thread cleans segments, in milliseconds. Durability does not depend on it.
const CLEAN_EVERY_MS: u64 = 1000;
/// How long dropping may wait for sled's own threads before they are left behind.
const CLOSE_PATIENCE: Duration = Duration::from_secs(20);
/// How long opening waits for the lock on `db`. The folder is locked, so only threads of this process can have it.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// Where the applied sequence is kept. Keys of the log start with a letter.
pub(crate) const APPLIED_KEY: &[u8] = b"\0applied";

/// A sled database in a folder.
pub(crate) struct SledStore {
    /// `None` only while dropping.
    database: Option<sled::Db>,
    /// Our own descriptor of `<folder>/db`, for `fdatasync`.
    file: File,
    folder: PathBuf,
    /// Set when sled panicked: its memory may contradict itself, so nothing more is asked of it.
    panicked: AtomicBool,
    /// Set when a write failed: sled keeps the error and refuses every write from then on.
    broken: AtomicBool,
}

impl SledStore {
    /// Opens or creates the database. A snapshot file that sled refuses is moved aside and rebuilt from `db`;
    /// each such repair is told in `repaired`.
    pub(crate) fn open(folder: &Path, cache_bytes: u64, repaired: &mut Vec<String>) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(|e| StoreError::io("create", folder, e))?;
        let database = match open_database(folder, cache_bytes) {
            Ok(database) => database,
            Err(Refusal::System(error)) => return Err(error),
            Err(Refusal::Damaged(message)) => {
                // The snapshot only speeds recovery up: without it sled reads the whole of `db`.
                for snapshot in snapshots(folder)? {
                    let kept = quarantine(&snapshot)?;
                    repaired.push(format!(
                        "{} was unreadable ({message}): moved to {} and rebuilt",
                        snapshot.display(),
                        kept.display()
                    ));
                }
                match open_database(folder, cache_bytes) {
                    Ok(database) => database,
                    Err(Refusal::System(error)) => return Err(error),
                    Err(Refusal::Damaged(message)) => {
                        return Err(StoreError::damaged(
                            &folder.join("db"),
                            format!("the index cannot be read ({message})"),
                            "it is rebuilt from the packs and the journal",
                        ));
                    }
                }
            }
        };
        let path = folder.join("db");
        let file = File::open(&path).map_err(|e| StoreError::io("open", &path, e))?;
        // A crash before this leaves a folder without `db`, which opens as an empty store; after it the file's
        // name survives, and whatever it holds is found again.
        sync_folder(folder)?;
        if let Some(parent) = folder.parent() {
            sync_folder(parent)?;
        }
        Ok(Self {
            database: Some(database),
            file,
            folder: folder.to_owned(),
            panicked: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        })
    }

    /// Runs one call of sled; turns its errors and panics into ours.
    fn call<T>(&self, work: impl FnOnce(&sled::Db) -> Result<T, sled::Error>) -> Result<T, StoreError> {
        let database = self
            .database
            .as_ref()
            .filter(|_| !self.panicked.load(Ordering::Acquire))
            .ok_or_else(|| self.damaged("it panicked before"))?;
        match catch_unwind(AssertUnwindSafe(|| work(database))) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(match Refusal::of(&self.folder, error) {
                Refusal::System(error) => error,
                Refusal::Damaged(message) => self.damaged(&message),
            }),
            Err(panic) => {
                self.panicked.store(true, Ordering::Release);
                Err(self.damaged(&panic_message(panic.as_ref())))
            }
        }
    }

    fn write<T>(&self, work: impl FnOnce(&sled::Db) -> Result<T, sled::Error>) -> Result<T, StoreError> {
        let result = self.call(work);
        if result.is_err() {
            self.broken.store(true, Ordering::Release);
        }
        result
    }

    fn damaged(&self, message: &str) -> StoreError {
        StoreError::damaged(
            &self.folder.join("db"),
            format!("the index cannot be read ({message})"),
            "open the log again: the index is rebuilt from the packs and the journal",
        )
    }
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.call(|database| Ok(database.get(key)?.map(|value| value.to_vec())))
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        self.call(|database| {
            let pairs = database.range(from..to).take(limit);
            pairs.map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
        })
    }

    fn apply(&self, sequence: u64, writes: &[Write]) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) if value.len() > MAX_VALUE_BYTES => {
                    return Err(StoreError::TooLarge {
                        what: "value for the index",
                        bytes: value.len(),
                        limit: MAX_VALUE_BYTES,
                    });
                }
                Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                None => batch.remove(key.as_slice()),
            }
        }
        batch.insert(APPLIED_KEY, &sequence.to_le_bytes());
        // A crash from here until `sync` returns leaves all of the batch or nothing of it: sled recovers a batch
        // as a whole, and the applied sequence is one of its keys.
        self.write(|database| database.apply_batch(batch))
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    fn applied(&self) -> Result<u64, StoreError> {
        let Some(bytes) = self.get(APPLIED_KEY)? else {
            return Ok(0);
        };
        let bytes: [u8; 8] =
            bytes.as_slice().try_into().map_err(|_| self.damaged("the applied sequence is not a number"))?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.write(|database| database.flush())?;
        // After `flush` the bytes have left the process and survive a kill; after `fdatasync` they, and the size
        // of the file, survive a loss of power.
        self.file.sync_data().map_err(|e| StoreError::io("sync", &self.folder.join("db"), e))
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        let Some(database) = self.database.take() else {
            return;
        };
        // sled joins its cleaning thread when dropped, and would wait forever for one that panicked. So it is
        // dropped on a thread of its own, and left behind when that does not end.
        let (done, finished) = mpsc::channel();
        let closing = std::thread::Builder::new().name("picket-store-close".into()).spawn(move || {
            let _ = catch_unwind(AssertUnwindSafe(move || drop(database)));
            let _ = done.send(());
        });
        if closing.is_ok() {
            let _ = finished.recv_timeout(CLOSE_PATIENCE);
        }
    }
}

/// Why sled did not do what it was asked.
enum Refusal {
    /// The system refused: no space, no permission.
    System(StoreError),
    /// Its files make no sense to it.
    Damaged(String),
}

impl Refusal {
    fn of(folder: &Path, error: sled::Error) -> Self {
        let path = folder.join("db");
        match error {
            sled::Error::Io(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
                Refusal::Damaged("it ends too early".into())
            }
            sled::Error::Io(source) => Refusal::System(StoreError::io("read or write", &path, source)),
            sled::Error::Corruption { at, .. } => Refusal::Damaged(match at {
                Some(at) => format!("a checksum fails at {at}"),
                None => "a checksum fails".into(),
            }),
            other => Refusal::Damaged(other.to_string()),
        }
    }
}

fn open_database(folder: &Path, cache_bytes: u64) -> Result<sled::Db, Refusal> {
    let configuration = sled::Config::new()
        .path(folder)
        .cache_capacity(cache_bytes)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(Some(CLEAN_EVERY_MS));
    let began = Instant::now();
    loop {
        match catch_unwind(AssertUnwindSafe(|| configuration.open())) {
            Ok(Ok(database)) => return Ok(database),
            Ok(Err(error)) if is_locked(&error) && began.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(Err(error)) => return Err(Refusal::of(folder, error)),
            Err(panic) => return Err(Refusal::Damaged(panic_message(panic.as_ref()))),
        }
    }
}

/// Whether somebody has the lock on `db`: sled has no kind of its own for that.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(source) if source.to_string().starts_with("could not acquire lock"))
}

fn snapshots(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let listing = std::fs::read_dir(folder).map_err(|e| StoreError::io("list", folder, e))?;
    let mut found = Vec::new();
    for file in listing {
        let file = file.map_err(|e| StoreError::io("list", folder, e))?;
        if file.file_name().to_string_lossy().starts_with("snap.") {
            found.push(file.path());
        }
    }
    Ok(found)
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it panicked".into());
    // sled quotes whole pages in its assertions.
    text.lines().next().unwrap_or_default().chars().take(160).collect()
}

/// A snapshot that sled refuses was followed by an opening that met the lock of the one before, now and then.
#[test]
fn opening_waits_for_a_lock_that_is_let_go_of_late() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    drop(SledStore::open(&path, 1 << 20, &mut Vec::new()).unwrap());
    let held = File::open(path.join("db")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(held);
    });
    SledStore::open(&path, 1 << 20, &mut Vec::new()).unwrap();
    late.join().unwrap();
}
