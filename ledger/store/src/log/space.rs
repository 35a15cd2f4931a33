//! What the log takes on disk, and the reserve for a full one.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::StoreError;
use crate::disk::sync_folder;

use super::Log;

/// What a log takes on disk, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskUsage {
    /// Sealed segments.
    pub segments: u64,
    /// Packs: payloads, the newest entries, and what the index can be rebuilt from.
    pub packs: u64,
    /// The index.
    pub index: u64,
    /// The journal, which never changes its size.
    pub journal: u64,
    /// The reserve; 0 while it is released or had no room.
    pub reserve: u64,
    /// Free for this process on the disk.
    pub free: u64,
}

impl DiskUsage {
    /// What the log takes in all, without what is free.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.segments + self.packs + self.index + self.journal + self.reserve
    }
}

/// The folder of a log on disk.
pub(super) struct Folder {
    path: PathBuf,
    reserve_bytes: u64,
}

impl Folder {
    pub(super) fn new(path: &Path, reserve_bytes: u64) -> Self {
        Self { path: path.to_owned(), reserve_bytes }
    }

    fn reserve(&self) -> PathBuf {
        self.path.join("reserve")
    }
}

impl Log {
    /// What the log takes on disk. Costs a look at the metadata of each pack, and of no sealed file.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn disk_usage(&self) -> Result<DiskUsage, StoreError> {
        let Some(folder) = &self.folder else { return Ok(DiskUsage::default()) };
        let space = statvfs(&folder.path).map_err(|e| StoreError::io("look at the disk of", &folder.path, e.into()))?;
        Ok(DiskUsage {
            segments: self.shared.store.sealed().bytes(),
            packs: in_folder(&folder.path.join("packs"))?,
            index: in_folder(&folder.path.join("index"))?,
            journal: allocated(&folder.path.join("journal"))?,
            reserve: allocated(&folder.reserve())?,
            free: space.f_bavail.saturating_mul(space.f_frsize),
        })
    }

    /// Gives the reserve back to the file system, so that there is room on a full disk for what frees space or says
    /// why nothing more is recorded: prune, erase, one last commit. Returns its bytes; 0 when there was none.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn release_reserve(&mut self) -> Result<u64, StoreError> {
        let Some(folder) = &self.folder else { return Ok(0) };
        let path = folder.reserve();
        let bytes = allocated(&path)?;
        // A crash before the removal is durable leaves the reserve, which may be released again.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("remove", &path, error)),
            _ => sync_folder(&folder.path).map(|()| bytes),
        }
    }

    /// Makes the reserve again, when it is not there and the disk has room for it. True when it is there now.
    ///
    /// # Errors
    /// [`StoreError::Io`]; a full disk is none.
    pub fn restore_reserve(&mut self) -> Result<bool, StoreError> {
        let Some(folder) = self.folder.as_ref().filter(|folder| folder.reserve_bytes > 0) else { return Ok(false) };
        let path = folder.reserve();
        if allocated(&path)? >= folder.reserve_bytes {
            return Ok(true);
        }
        let file = File::create(&path).map_err(|e| StoreError::io("create", &path, e));
        // Blocks, not a hole. What a crash leaves of it is completed by the next opening.
        let made = file.and_then(|file| match fallocate(&file, FallocateFlags::empty(), 0, folder.reserve_bytes) {
            Ok(()) => Ok(true),
            // A file system that cannot set space aside has no reserve.
            Err(rustix::io::Errno::OPNOTSUPP) => {
                std::fs::remove_file(&path).map(|()| false).map_err(|e| StoreError::io("remove", &path, e))
            }
            Err(error) => Err(StoreError::io("reserve space in", &path, error.into())),
        });
        match made {
            Ok(made) => Ok(made),
            Err(error) if error.is_full() => {
                let _ = std::fs::remove_file(&path);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

fn allocated(path: &Path) -> Result<u64, StoreError> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(std::os::unix::fs::MetadataExt::blocks(&metadata) * 512),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(StoreError::io("look at", path, error)),
    }
}

/// Bytes of the files in a folder.
fn in_folder(folder: &Path) -> Result<u64, StoreError> {
    let listing = std::fs::read_dir(folder).map_err(|e| StoreError::io("list", folder, e))?;
    let mut bytes = 0;
    for file in listing {
        let path = file.map_err(|e| StoreError::io("list", folder, e))?.path();
        if path.is_file() {
            // One that is removed meanwhile takes nothing.
            bytes += allocated(&path)?;
        }
    }
    Ok(bytes)
}
