//! Files, as far as the store needs them beyond `std`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::StoreError;

/// A file of fixed size whose parts are overwritten in place. The journal stands on one.
///
/// A trait, so that tests can refuse, tear and lose writes.
pub(crate) trait Disk: Send + Sync {
    /// All its bytes.
    ///
    /// # Errors
    /// Those of the system.
    fn read(&self) -> io::Result<Vec<u8>>;

    /// Overwrites bytes at an offset. Not yet durable; a crash may leave any part of it.
    ///
    /// # Errors
    /// Those of the system; it is then unknown which of the bytes were written.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// When it returns, everything written survives a loss of power.
    ///
    /// # Errors
    /// Those of the system; it is then unknown what is durable.
    fn sync(&self) -> io::Result<()>;
}

/// A [`Disk`] that is a file.
#[derive(Debug)]
pub(crate) struct FileDisk {
    file: File,
}

impl FileDisk {
    /// Opens an existing file for reading and writing.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self { file })
    }
}

impl Disk for FileDisk {
    fn read(&self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.file.metadata()?.len()).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|file| file.sync_all()).map_err(|e| StoreError::io("sync the folder", folder, e))
}

/// Writes a file that is there whole or not at all: under another name first, durable, then renamed.
pub(crate) fn write_file(path: &Path, parts: &[&[u8]]) -> Result<(), StoreError> {
    let unfinished = path.with_extension("new");
    let written = (|| {
        let mut file = File::create(&unfinished)?;
        for part in parts {
            io::Write::write_all(&mut file, part)?;
        }
        // A crash before the rename leaves only the unfinished name, which is removed at the next opening.
        file.sync_data()?;
        std::fs::rename(&unfinished, path)
    })();
    if let Err(error) = written {
        let _ = std::fs::remove_file(&unfinished);
        return Err(StoreError::io("write", path, error));
    }
    // After this the name survives as well as the bytes.
    path.parent().map_or(Ok(()), sync_folder)
}

/// Moves a damaged file or folder aside, so that the evidence stays. Returns its new name.
pub(crate) fn quarantine(path: &Path) -> Result<PathBuf, StoreError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The prefix comes first: names that start with "snap." or end in ".pack" have a meaning.
    let kept = (1u32..)
        .map(|number| path.with_file_name(format!("damaged-{number}-{name}")))
        .find(|candidate| !candidate.exists())
        .expect("four thousand million names are not all taken");
    std::fs::rename(path, &kept).map_err(|e| StoreError::io("move aside", path, e))?;
    path.parent().map_or(Ok(()), sync_folder)?;
    Ok(kept)
}
