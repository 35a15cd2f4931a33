//! Files that may be of any size, and are not to fill the memory.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The contents of `path`; `None` when there are more than `most` bytes. What the file's length says is not believed:
/// a device has none, and a file may grow meanwhile.
pub(crate) fn bounded(path: &Path, most: usize) -> io::Result<Option<Vec<u8>>> {
    // Before it is opened: opening a pipe waits for whoever writes into it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    file.take((most as u64).saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= most).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_no_further() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("component");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(bounded(&path, 5).unwrap(), Some(b"12345".to_vec()));
        assert_eq!(bounded(&path, 4).unwrap(), None);
        // 200 MiB of nothing, on disk and in memory.
        File::options().write(true).open(&path).unwrap().set_len(200 << 20).unwrap();
        assert_eq!(bounded(&path, 1 << 20).unwrap(), None);
        assert!(bounded(folder.path(), 5).is_err() && bounded(&folder.path().join("none"), 5).is_err());
    }
}
