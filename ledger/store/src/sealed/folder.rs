//! The folder of sealed files: written whole, read at places, removed.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::StoreError;
use crate::disk::{quarantine, sync_folder, write_file};

/// Files kept open for reading.
const OPEN_FILES: usize = 32;

/// Where sealed files lie.
///
/// A trait, so that tests can refuse, half-do and lose what is written.
pub(crate) trait SegmentFolder: Send + Sync {
    /// Names and lengths in bytes of all files. Removes what a crash left unfinished.
    fn list(&self) -> Result<Vec<(String, u64)>, StoreError>;
    /// Length in bytes of one file; `None` when it is not there.
    fn length(&self, name: &str) -> Result<Option<u64>, StoreError>;
    /// Creates a file with these bytes, whole and durable or not at all.
    fn create(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError>;
    /// Reads `length` bytes at a place; `None` when the file is not there or ends before.
    fn read(&self, name: &str, at: u64, length: usize) -> Result<Option<Vec<u8>>, StoreError>;
    /// Removes a file, if it is there.
    fn remove(&self, name: &str) -> Result<(), StoreError>;
    /// Moves a damaged file aside and returns its new path.
    fn set_aside(&self, name: &str) -> Result<PathBuf, StoreError>;
    /// A file's path, for messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// The folder on disk. It is made with the first file.
pub(crate) struct SegmentFiles {
    folder: PathBuf,
    open: Mutex<HashMap<String, Arc<File>>>,
}

impl SegmentFiles {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, open: Mutex::default() }
    }

    fn file(&self, path: &Path, name: &str) -> Result<Option<Arc<File>>, StoreError> {
        let lock = || self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = lock().get(name) {
            return Ok(Some(Arc::clone(file)));
        }
        let file = match File::open(path) {
            Ok(file) => Arc::new(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("open", path, error)),
        };
        let mut open = lock();
        if open.len() >= OPEN_FILES {
            open.clear();
        }
        open.insert(name.to_owned(), Arc::clone(&file));
        Ok(Some(file))
    }
}

impl SegmentFolder for SegmentFiles {
    fn list(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let failed = |e| StoreError::io("list", &self.folder, e);
        let listing = match std::fs::read_dir(&self.folder) {
            Ok(listing) => listing,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut files = Vec::new();
        for file in listing {
            let file = file.map_err(failed)?;
            let name = file.file_name().to_string_lossy().into_owned();
            if name.ends_with(".new") {
                // Its entries are still in the journal: a file counts once it has its final name.
                std::fs::remove_file(file.path()).map_err(|e| StoreError::io("remove", &file.path(), e))?;
                continue;
            }
            files.push((name, file.metadata().map_err(failed)?.len()));
        }
        // A process that was killed may have renamed one without making its name durable: rows are about to rely on it.
        sync_folder(&self.folder)?;
        Ok(files)
    }

    fn length(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let path = self.folder.join(name);
        match std::fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("look at", &path, error)),
        }
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.folder.join(name);
        if !self.folder.exists() {
            std::fs::create_dir_all(&self.folder).map_err(|e| StoreError::io("create", &self.folder, e))?;
            // After this a crash keeps the folder's name; before it there is nothing in it yet.
            self.folder.parent().map_or(Ok(()), sync_folder)?;
        }
        // A crash before the rename in here leaves nothing; after it, a file that nothing refers to, whose entries are
        // still in the journal: the next opening seals them again.
        write_file(&path, &[bytes])
    }

    fn read(&self, name: &str, at: u64, length: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.folder.join(name);
        let Some(file) = self.file(&path, name)? else {
            return Ok(None);
        };
        let mut bytes = vec![0; length];
        match file.read_exact_at(&mut bytes, at) {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(StoreError::io("read", &path, error)),
        }
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        let path = self.folder.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("remove", &path, error)),
            _ => Ok(()),
        }
    }

    fn set_aside(&self, name: &str) -> Result<PathBuf, StoreError> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        quarantine(&self.folder.join(name))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
