//! Files that are there completely, or not at all, and for good once a function here returns.
//!
//! The way of every write: a temporary file in the same file system → its bytes → fsync → a hard link to its final
//! name, which fails when that name exists (create-only) → fsync of the folder. A crash before the link leaves a
//! temporary file, which the next start removes; a crash after the link may or may not leave the final name, and in
//! both cases it holds all the bytes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{AuditorError, Result};

/// What [`Writer::create_only`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The name was free; the bytes are durable now.
    Stored,
    /// The name holds the same bytes, and they are durable.
    Same,
    /// The name holds other bytes; nothing was changed.
    Other,
}

/// Writes files durably under one folder.
#[derive(Debug)]
pub struct Writer {
    temporary: PathBuf,
    next: AtomicU64,
}

impl Writer {
    /// Opens `root`, creating it, and removes what an earlier process left half written.
    ///
    /// Only one process may hold a writer on a folder with `clear`; others (an enrolment beside a running server) leave
    /// the temporary files alone.
    pub fn open(root: &Path, clear: bool) -> Result<Self> {
        let temporary = root.join("tmp");
        create_folder(&temporary)?;
        if clear {
            for name in names(&temporary)? {
                let path = temporary.join(name);
                fs::remove_file(&path).map_err(|e| AuditorError::io("removing", &path, e))?;
            }
        }
        Ok(Self { temporary, next: AtomicU64::new(0) })
    }

    /// Stores `bytes` at `path` unless that name is taken. The folder of `path` must exist.
    ///
    /// # Errors
    /// I/O errors; nothing is at `path` then, or all of `bytes` is.
    pub fn create_only(&self, path: &Path, bytes: &[u8]) -> Result<Put> {
        let temporary = self.write_temporary(bytes)?;
        // Crash here: the temporary file stays, `path` does not exist, the sender sends again.
        let linked = fs::hard_link(&temporary, path);
        let removed = fs::remove_file(&temporary);
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                removed.map_err(|e| AuditorError::io("removing", &temporary, e))?;
                return self.compare(path, bytes);
            }
            Err(error) => return Err(AuditorError::io("creating", path, error)),
        }
        // Crash here: `path` may or may not exist after a loss of power. Nobody was told yet that it does.
        sync_folder_of(path)?;
        removed.map_err(|e| AuditorError::io("removing", &temporary, e))?;
        Ok(Put::Stored)
    }

    fn compare(&self, path: &Path, bytes: &[u8]) -> Result<Put> {
        let held = fs::read(path).map_err(|e| AuditorError::io("reading", path, e))?;
        if held != bytes {
            return Ok(Put::Other);
        }
        // The process that linked it may have died before its fsync of the folder: make it durable before saying so.
        sync_folder_of(path)?;
        Ok(Put::Same)
    }

    fn write_temporary(&self, bytes: &[u8]) -> Result<PathBuf> {
        // The process id keeps an enrolment beside a running server out of the server's names.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.temporary.join(format!("{}-{number}", std::process::id()));
        let wrap = |e| AuditorError::io("writing", &path, e);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&path).map_err(wrap)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // A full disk: give the space back, as far as that works.
            drop(file);
            let _ = fs::remove_file(&path);
            return Err(AuditorError::io("writing", &path, error));
        }
        Ok(path)
    }
}

/// Creates a folder and its parents; its own name is durable when this returns.
pub fn create_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        create_folder(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => sync_folder_of(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(AuditorError::io("creating", path, error)),
    }
}

/// Makes the names in the folder of `path` durable.
pub fn sync_folder_of(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| AuditorError::io("syncing", folder, e))
}

/// Removes a file; one that is not there is fine. Not durable: use it only where the file coming back does no harm.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(AuditorError::io("removing", path, error)),
        _ => Ok(()),
    }
}

/// The bytes of a file, or `None` when there is no such file.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(AuditorError::io("reading", path, error)),
    }
}

/// The names in a folder, sorted; a folder that is not there has none. Names that are not UTF-8 are left out: nothing
/// here writes such names.
pub fn names(folder: &Path) -> Result<Vec<String>> {
    let wrap = |e| AuditorError::io("listing", folder, e);
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(wrap(error)),
    };
    let mut names = Vec::new();
    for item in listing {
        if let Ok(name) = item.map_err(wrap)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_name_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::open(folder.path(), true).unwrap();
        let path = folder.path().join("name");
        assert_eq!(writer.create_only(&path, b"one").unwrap(), Put::Stored);
        assert_eq!(writer.create_only(&path, b"one").unwrap(), Put::Same);
        assert_eq!(writer.create_only(&path, b"two").unwrap(), Put::Other);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(names(&folder.path().join("tmp")).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_half_written_file_of_a_dead_process_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        create_folder(&folder.path().join("tmp")).unwrap();
        fs::write(folder.path().join("tmp/1-0"), b"half").unwrap();
        Writer::open(folder.path(), false).unwrap();
        assert!(folder.path().join("tmp/1-0").exists());
        Writer::open(folder.path(), true).unwrap();
        assert!(!folder.path().join("tmp/1-0").exists());
    }

    #[test]
    fn an_error_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::open(folder.path(), true).unwrap();
        let path = folder.path().join("missing/name");
        assert!(writer.create_only(&path, b"one").is_err());
        assert_eq!(names(&folder.path().join("tmp")).unwrap(), Vec::<String>::new());
    }
}
