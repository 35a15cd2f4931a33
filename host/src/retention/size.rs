//! What a folder takes on disk.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Bytes that the file system has given to all files below a folder; holes do not count. Files that vanish meanwhile
/// count nothing.
///
/// # Errors
/// When the folder cannot be listed.
pub fn disk_bytes(folder: &Path) -> std::io::Result<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // Not through links: what they lead to is somebody else's.
        match entry.metadata() {
            Ok(found) if found.is_dir() => total += disk_bytes(&entry.path())?,
            Ok(found) => total += found.blocks() * 512,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}
