//! Secrets as files: made, replaced and destroyed durably, and refused when others could have had them.

use super::KeyError;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// No secret here has more bytes.
const MAX_SECRET_BYTES: usize = 4096;

pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> KeyError {
    let path = path.to_path_buf();
    move |source| KeyError::Io { path, source }
}

/// Makes the folder if it is not there, and refuses one that others can look into.
pub(super) fn folder(path: &Path) -> Result<(), KeyError> {
    if !exists(path)? {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io(path))?;
    }
    let metadata = std::fs::symlink_metadata(path).map_err(io(path))?;
    if !metadata.is_dir() {
        return Err(KeyError::NotPlain { path: path.to_path_buf(), wanted: "folder" });
    }
    private(path, &metadata, "700")
}

/// Whether there is anything of this name, a dangling link included.
pub(super) fn exists(path: &Path) -> Result<bool, KeyError> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io(path)(error)),
    }
}

/// Reads a secret: a plain file, ours, closed to others.
pub(super) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let seen = std::fs::symlink_metadata(path).map_err(io(path))?;
    if !seen.is_file() {
        return Err(KeyError::NotPlain { path: path.to_path_buf(), wanted: "file" });
    }
    let file = File::open(path).map_err(io(path))?;
    let metadata = file.metadata().map_err(io(path))?;
    if (metadata.dev(), metadata.ino()) != (seen.dev(), seen.ino()) {
        return Err(KeyError::NotPlain { path: path.to_path_buf(), wanted: "file" });
    }
    private(path, &metadata, "600")?;
    // All at once: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SECRET_BYTES + 1));
    file.take(MAX_SECRET_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(io(path))?;
    if bytes.len() > MAX_SECRET_BYTES {
        let message = format!("has more than {MAX_SECRET_BYTES} bytes");
        return Err(KeyError::Malformed { path: path.to_path_buf(), message });
    }
    Ok(bytes)
}

fn private(path: &Path, metadata: &Metadata, wanted: &'static str) -> Result<(), KeyError> {
    let path = path.to_path_buf();
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Loose { path, mode, wanted });
    }
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner == user { Ok(()) } else { Err(KeyError::Owner { path, owner, user }) }
}

/// Writes a file in place of what was there, and makes it durable: after a crash either of the two is there, whole.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeyError> {
    let temporary = extended(path, ".new");
    // What a crash left. Its mode may be another one, so it is not written over.
    remove(&temporary)?;
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(&temporary).map_err(io(&temporary))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io(&temporary))?;
    std::fs::rename(&temporary, path).map_err(io(path))?;
    // A crash before this may bring the old file back; whoever relies on the new one comes after.
    sync_folder(path)
}

/// Overwrites a secret and removes it. What a flash controller keeps of the old blocks is beyond our reach.
pub(super) fn destroy(path: &Path) -> Result<(), KeyError> {
    let length = std::fs::symlink_metadata(path).map_err(io(path))?.len();
    let mut file = OpenOptions::new().write(true).custom_flags(NO_FOLLOW).open(path).map_err(io(path))?;
    let zeros = vec![0; usize::try_from(length).unwrap_or(0).min(MAX_SECRET_BYTES)];
    file.write_all(&zeros).and_then(|()| file.sync_all()).map_err(io(path))?;
    std::fs::remove_file(path).map_err(io(path))?;
    // A crash before this brings back a name with zeros behind it, which the next start removes.
    sync_folder(path)
}

/// `O_NOFOLLOW`, so that a link that was put here is not written through.
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// A second name for a file.
pub(super) fn link(from: &Path, to: &Path) -> Result<(), KeyError> {
    std::fs::hard_link(from, to).map_err(io(to))?;
    sync_folder(to)
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<(), KeyError> {
    std::fs::rename(from, to).map_err(io(to))?;
    sync_folder(to)
}

/// Removes a name; none is fine.
pub(super) fn remove(path: &Path) -> Result<(), KeyError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(path)(error)),
        _ => Ok(()),
    }
}

/// Whether two names stand for one file.
pub(super) fn same(one: &Path, other: &Path) -> Result<bool, KeyError> {
    let id = |path: &Path| std::fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino())).map_err(io(path));
    Ok(id(one)? == id(other)?)
}

/// Reads a text that anybody may read.
pub(super) fn read_public(path: &Path, limit: usize) -> Result<String, KeyError> {
    let mut text = String::new();
    let file = File::open(path).map_err(io(path))?;
    file.take(limit as u64 + 1).read_to_string(&mut text).map_err(io(path))?;
    Ok(text)
}

fn sync_folder(path: &Path) -> Result<(), KeyError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))
}

fn extended(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(extension);
    PathBuf::from(name)
}
