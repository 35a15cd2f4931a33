//! The SHA-256 of one file, streamed, and the stamp by which an unchanged file is known again.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use picket_ledger::Hash;
use sha2::{Digest, Sha256};

use super::ProvenanceError;

/// Called after each block with the bytes done and the bytes in all.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Read block. Large enough that the cost of a call vanishes beside hashing (about 2 ms a MiB without
/// SHA instructions), small enough for a box with 64 MiB.
const BLOCK: usize = 1 << 20;

/// How often a file that changes under the reader is tried again.
const TRIES: u32 = 3;

/// What the file system says about a file without reading it.
///
/// `changed_ns` (ctime) is the field that carries the weight: every write, truncation, rename over the
/// path or `utimensat` moves it, and unlike the modification time no call sets it back. The other fields
/// are there because a restored image or a moved clock can repeat one of them, hardly all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileStamp {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970.
    pub modified_ns: i128,
    /// Time of the last change of content or inode, nanoseconds since 1970.
    pub changed_ns: i128,
}

impl FileStamp {
    /// The stamp in `metadata`.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Hashes the regular file at `path`; a link at `path` itself is followed, because model stores keep
/// their files behind links. Returns the digest and the stamp for which it is true.
///
/// # Errors
/// [`ProvenanceError::Changing`] if the file is different after each of three readings,
/// [`ProvenanceError::Kind`] if it is no regular file, [`ProvenanceError::Io`] otherwise.
pub fn hash_file(path: &Path, progress: Progress<'_>) -> Result<(Hash, FileStamp), ProvenanceError> {
    for _ in 0..TRIES {
        let mut file = open_regular(path)?;
        let before = stamp(&file, path)?;
        let digest = hash_open(&mut file, path, before.size, progress)?;
        // The descriptor tells of writes to this inode, the path of a rename over it.
        let after = stamp(&file, path)?;
        let named = std::fs::metadata(path).map_err(|error| ProvenanceError::io(path, "looking at the file", error))?;
        if before == after && after == FileStamp::of(&named) {
            return Ok((digest, after));
        }
    }
    Err(ProvenanceError::Changing { path: path.to_owned(), tries: TRIES })
}

/// Opens without blocking on a pipe that somebody put there, and refuses what is no regular file.
pub(super) fn open_regular(path: &Path) -> Result<File, ProvenanceError> {
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)
        .map_err(|error| ProvenanceError::io(path, "opening the file", error))?;
    let metadata = file.metadata().map_err(|error| ProvenanceError::io(path, "looking at the file", error))?;
    if metadata.is_file() {
        Ok(file)
    } else {
        Err(ProvenanceError::Kind { path: path.to_owned(), expected: "regular file" })
    }
}

fn stamp(file: &File, path: &Path) -> Result<FileStamp, ProvenanceError> {
    let metadata = file.metadata().map_err(|error| ProvenanceError::io(path, "looking at the file", error))?;
    Ok(FileStamp::of(&metadata))
}

fn hash_open(file: &mut File, path: &Path, total: u64, progress: Progress<'_>) -> Result<Hash, ProvenanceError> {
    let mut hasher = Sha256::new();
    let mut block = vec![0_u8; BLOCK];
    let mut done = 0_u64;
    loop {
        let count = match file.read(&mut block) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ProvenanceError::io(path, "reading the file", error)),
        };
        hasher.update(&block[..count]);
        done = done.saturating_add(count as u64);
        progress(done, total);
        if done > total {
            // It grows faster than we read; the caller sees another size and tries again.
            break;
        }
    }
    Ok(hasher.finalize().into())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_digest_is_that_of_the_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.bin");
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let mut last = (0, 0);
        let (digest, stamp) = hash_file(&path, &mut |done, total| last = (done, total)).unwrap();
        assert_eq!(digest, picket_ledger::hash::sha256(&bytes));
        assert_eq!(stamp.size, 3_000_000);
        assert_eq!(last, (3_000_000, 3_000_000));
    }

    #[test]
    fn a_file_that_changes_once_is_read_again_and_one_that_never_rests_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.bin");
        std::fs::write(&path, vec![1_u8; BLOCK * 2]).unwrap();
        let mut changes = 0;
        let (digest, _) = hash_file(&path, &mut |_, _| {
            if changes == 0 {
                changes = 1;
                std::fs::write(&path, b"new").unwrap();
            }
        })
        .unwrap();
        assert_eq!(digest, picket_ledger::hash::sha256(b"new"));

        let result = hash_file(&path, &mut |_, _| {
            let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(b"x").unwrap();
        });
        assert!(matches!(result, Err(ProvenanceError::Changing { tries: TRIES, .. })), "{result:?}");
    }

    #[test]
    fn a_file_renamed_over_while_it_is_read_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.bin");
        let other = folder.path().join("other.bin");
        std::fs::write(&path, b"old").unwrap();
        std::fs::write(&other, b"new").unwrap();
        let (digest, _) = hash_file(&path, &mut |_, _| {
            if other.exists() {
                std::fs::rename(&other, &path).unwrap();
            }
        })
        .unwrap();
        assert_eq!(digest, picket_ledger::hash::sha256(b"new"));
    }

    #[test]
    fn a_folder_and_a_pipe_are_no_weights() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(hash_file(folder.path(), &mut |_, _| ()), Err(ProvenanceError::Kind { .. })));
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert!(matches!(hash_file(&pipe, &mut |_, _| ()), Err(ProvenanceError::Kind { .. })));
    }
}
