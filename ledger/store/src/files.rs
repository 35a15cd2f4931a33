//! Where the parts of a log lie in its folder, and how they are created.
//!
//! ```text
//! <folder>/lock             who has it open
//! <folder>/journal          the newest commits (journal.rs)
//! <folder>/segments/        entries of full tiles, sealed (sealed.rs)
//! <folder>/reserve          space for a last commit on a full disk (log/space.rs)
//! <folder>/packs/           large values, and the history of the index (packs.rs)
//! <folder>/index/           sled: db, conf, snap.*, blobs (sled.rs)
//! <folder>/damaged-N-NAME   what was moved aside as unreadable
//! ```

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::StoreError;
use crate::disk::{Disk, FileDisk, quarantine, sync_folder, write_file};
use crate::journal::Identity;
use crate::journaled::{JournalFile, OpenBase};
use crate::lock::FolderLock;
use crate::packs::PackedStore;
use crate::store::Store;

/// Makes sure that the folder is there, durably, and locks it.
pub(crate) fn prepare(folder: &Path) -> Result<FolderLock, StoreError> {
    std::fs::create_dir_all(folder).map_err(|e| StoreError::io("create", folder, e))?;
    let lock = FolderLock::take(folder)?;
    // After this a crash keeps the folder; before it nothing in it was acknowledged.
    if let Some(parent) = folder.parent() {
        sync_folder(parent)?;
    }
    Ok(lock)
}

/// Opens the index with its packs.
pub(crate) fn open_base(folder: &Path, cache_bytes: u64) -> OpenBase {
    let folder = folder.to_owned();
    Box::new(move |findings| {
        let store = PackedStore::open(&folder, cache_bytes, findings)?;
        Ok(Box::new(store) as Box<dyn Store>)
    })
}

/// The journal as a file.
pub(crate) struct JournalPath {
    path: PathBuf,
}

impl JournalPath {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { path: folder.join("journal") }
    }
}

impl JournalFile for JournalPath {
    fn open(&self) -> Result<Option<Box<dyn Disk>>, StoreError> {
        match FileDisk::open(&self.path) {
            Ok(disk) => Ok(Some(Box::new(disk))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("open", &self.path, error)),
        }
    }

    fn create(&self, bytes: &[u8]) -> Result<(), StoreError> {
        // Zeros that are written, not a hole: overwriting them later changes no metadata.
        write_file(&self.path, &[bytes])
    }

    fn set_aside(&self) -> Result<PathBuf, StoreError> {
        quarantine(&self.path)
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn identity(&self) -> Result<Identity, StoreError> {
        let source = Path::new("/dev/urandom");
        let mut identity = [0; 16];
        File::open(source)
            .and_then(|mut file| file.read_exact(&mut identity))
            .map_err(|e| StoreError::io("read", source, e))?;
        Ok(identity)
    }
}
