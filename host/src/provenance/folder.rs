//! The digest of a folder: prompts, or weights in several files.
//!
//! The digest is the SHA-256 of a manifest, a text with one line for each file, sorted by the bytes of the
//! path relative to the folder, `/` between its parts:
//!
//! ```text
//! <64 hex digits: SHA-256 of the file> SP SP <path> LF
//! ```
//!
//! These are the lines that `sha256sum` prints, so nobody needs Picket to check one:
//!
//! ```text
//! find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
//! ```
//!
//! A symbolic link is not followed. It has a line of its own, `link SP <target> SP SP <path> LF`, and is
//! refused if it leads out of the folder: what it names there could change without the digest noticing.
//! Empty folders, owners, modes and times do not count. Names with a line feed, a carriage return or a
//! backslash are refused, because `sha256sum` escapes them; sockets, pipes and devices are refused.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use picket_ledger::Hash;
use picket_ledger::hash::{sha256, to_hex};

use super::ProvenanceError;
use super::file::{FileStamp, Progress, hash_file};

/// How often a folder that changes under the reader is tried again.
const TRIES: u32 = 3;

/// What a folder may hold. The defaults are meant for prompts.
#[derive(Debug, Clone, Copy)]
pub struct FolderLimits {
    /// Files and links, default 10,000.
    pub files: usize,
    /// Bytes of all files together, default 64 MiB.
    pub bytes: u64,
    /// Folders within folders, default 32.
    pub depth: usize,
}

impl Default for FolderLimits {
    fn default() -> Self {
        Self { files: 10_000, bytes: 64 << 20, depth: 32 }
    }
}

impl FolderLimits {
    /// For weights in several files: the bytes are not bounded.
    #[must_use]
    pub fn weights() -> Self {
        Self { bytes: u64::MAX, ..Self::default() }
    }
}

/// One line of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderFile {
    /// Relative path, `/` between its parts.
    pub path: PathBuf,
    /// SHA-256 of the file, or the target of the link.
    pub content: Result<Hash, PathBuf>,
    /// Bytes; 0 for a link.
    pub bytes: u64,
}

/// The digest of a folder, and what it is made of.
#[derive(Debug, Clone)]
pub struct FolderDigest {
    /// SHA-256 of the manifest.
    pub digest: Hash,
    /// In the order of the manifest.
    pub files: Vec<FolderFile>,
}

/// A listing with stamps: equal listings mean, as far as the file system tells, equal content.
pub(super) type Listing = Vec<(PathBuf, FileStamp, Option<PathBuf>)>;

/// Hashes everything below `folder`. A link at `folder` itself is followed.
///
/// # Errors
/// [`ProvenanceError`]: limits, links that lead out, names that cannot be written, a folder that changed
/// during each of three readings.
pub fn hash_folder(
    folder: &Path,
    limits: &FolderLimits,
    progress: Progress<'_>,
) -> Result<FolderDigest, ProvenanceError> {
    hash_listed(folder, limits, progress).map(|(digest, _)| digest)
}

/// As [`hash_folder`], with the listing for which the digest is true.
pub(super) fn hash_listed(
    folder: &Path,
    limits: &FolderLimits,
    progress: Progress<'_>,
) -> Result<(FolderDigest, Listing), ProvenanceError> {
    for _ in 0..TRIES {
        let before = list_folder(folder, limits)?;
        let read = hash_listing(folder, &before, progress);
        // A file that vanished half way is a change too: the listing is compared before the error counts.
        if list_folder(folder, limits)? == before {
            return Ok((read?, before));
        }
    }
    Err(ProvenanceError::Changing { path: folder.to_owned(), tries: TRIES })
}

fn hash_listing(folder: &Path, listing: &Listing, progress: Progress<'_>) -> Result<FolderDigest, ProvenanceError> {
    let total = listing.iter().map(|(_, stamp, _)| stamp.size).sum();
    let mut done = 0_u64;
    let mut files = Vec::with_capacity(listing.len());
    for (path, stamp, target) in listing {
        let (content, bytes) = match target {
            Some(target) => (Err(target.clone()), 0),
            None => {
                let (digest, _) = hash_file(&folder.join(path), &mut |part, _| progress(done + part, total))?;
                (Ok(digest), stamp.size)
            }
        };
        done += bytes;
        files.push(FolderFile { path: path.clone(), content, bytes });
    }
    Ok(FolderDigest { digest: sha256(&manifest(&files)), files })
}

/// The bytes that are hashed; see the head of this module.
fn manifest(files: &[FolderFile]) -> Vec<u8> {
    let mut text = Vec::new();
    for file in files {
        match &file.content {
            Ok(digest) => text.extend_from_slice(to_hex(digest).as_bytes()),
            Err(target) => {
                text.extend_from_slice(b"link ");
                text.extend_from_slice(target.as_os_str().as_bytes());
            }
        }
        text.extend_from_slice(b"  ");
        text.extend_from_slice(file.path.as_os_str().as_bytes());
        text.push(b'\n');
    }
    text
}

/// Everything below `folder` with its stamps, sorted by the bytes of the relative path.
pub(super) fn list_folder(folder: &Path, limits: &FolderLimits) -> Result<Listing, ProvenanceError> {
    let root = folder.canonicalize().map_err(|error| ProvenanceError::io(folder, "opening the folder", error))?;
    if !root.is_dir() {
        return Err(ProvenanceError::Kind { path: folder.to_owned(), expected: "folder" });
    }
    let mut walk = Walk { root: &root, limits, found: Listing::new(), bytes: 0 };
    walk.folder(Path::new(""), 0)?;
    let mut found = walk.found;
    found.sort_by(|left, right| left.0.as_os_str().as_bytes().cmp(right.0.as_os_str().as_bytes()));
    Ok(found)
}

struct Walk<'a> {
    root: &'a Path,
    limits: &'a FolderLimits,
    found: Listing,
    bytes: u64,
}

impl Walk<'_> {
    fn folder(&mut self, relative: &Path, depth: usize) -> Result<(), ProvenanceError> {
        let path = self.root.join(relative);
        if depth > self.limits.depth {
            return Err(too_large(&path, self.limits.depth as u64, "folders within folders"));
        }
        let entries =
            std::fs::read_dir(&path).map_err(|error| ProvenanceError::io(&path, "listing the folder", error))?;
        for entry in entries {
            let entry = entry.map_err(|error| ProvenanceError::io(&path, "listing the folder", error))?;
            let name = entry.file_name();
            let relative = relative.join(&name);
            if !writable(&name) {
                return Err(ProvenanceError::Name { path: relative });
            }
            self.entry(relative, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, relative: PathBuf, depth: usize) -> Result<(), ProvenanceError> {
        let path = self.root.join(&relative);
        let metadata = std::fs::symlink_metadata(&path)
            .map_err(|error| ProvenanceError::io(&path, "looking at the file", error))?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return self.folder(&relative, depth + 1);
        }
        let target = if kind.is_symlink() {
            Some(self.link_target(&path)?)
        } else if kind.is_file() {
            None
        } else {
            return Err(ProvenanceError::Kind { path, expected: "regular file, folder or link" });
        };
        if self.found.len() >= self.limits.files {
            return Err(too_large(self.root, self.limits.files as u64, "files"));
        }
        self.bytes = self.bytes.saturating_add(metadata.len());
        if self.bytes > self.limits.bytes {
            return Err(too_large(self.root, self.limits.bytes, "bytes"));
        }
        self.found.push((relative, FileStamp::of(&metadata), target));
        Ok(())
    }

    /// The target as written, if it exists within the folder.
    fn link_target(&self, path: &Path) -> Result<PathBuf, ProvenanceError> {
        let target = std::fs::read_link(path).map_err(|error| ProvenanceError::io(path, "reading the link", error))?;
        let inside = path.canonicalize().is_ok_and(|real| real.starts_with(self.root));
        if !inside {
            return Err(ProvenanceError::LinkOutside { path: path.to_owned() });
        }
        if !writable(target.as_os_str()) {
            return Err(ProvenanceError::Name { path: target });
        }
        Ok(target)
    }
}

fn writable(name: &OsStr) -> bool {
    !name.as_bytes().iter().any(|byte| matches!(byte, b'\n' | b'\r' | b'\\'))
}

fn too_large(path: &Path, limit: u64, what: &'static str) -> ProvenanceError {
    ProvenanceError::TooLarge { path: path.to_owned(), limit, what }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn hash(folder: &Path) -> Result<FolderDigest, ProvenanceError> {
        hash_folder(folder, &FolderLimits::default(), &mut |_, _| ())
    }

    fn example() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/z.txt"), "zett").unwrap();
        std::fs::write(folder.path().join("a.txt"), "dot").unwrap();
        std::fs::write(folder.path().join("B.txt"), "bee").unwrap();
        folder
    }

    #[test]
    fn the_digest_is_the_one_that_sha256sum_computes() {
        let folder = example();
        let command = "find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum";
        let output =
            std::process::Command::new("sh").args(["-c", command]).current_dir(folder.path()).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(to_hex(&hash(folder.path()).unwrap().digest), printed[..64]);
    }

    #[test]
    fn content_name_and_place_of_a_file_all_count() {
        let folder = example();
        let first = hash(folder.path()).unwrap().digest;
        std::fs::rename(folder.path().join("B.txt"), folder.path().join("C.txt")).unwrap();
        let renamed = hash(folder.path()).unwrap().digest;
        std::fs::rename(folder.path().join("C.txt"), folder.path().join("a/C.txt")).unwrap();
        let moved = hash(folder.path()).unwrap().digest;
        std::fs::write(folder.path().join("a/C.txt"), "cee").unwrap();
        let edited = hash(folder.path()).unwrap().digest;
        let distinct: std::collections::BTreeSet<_> = [first, renamed, moved, edited].into();
        assert_eq!(distinct.len(), 4);
    }

    #[test]
    fn links_are_not_followed_and_must_stay_inside() {
        let folder = example();
        symlink("a.txt", folder.path().join("current")).unwrap();
        let first = hash(folder.path()).unwrap();
        let link = first.files.iter().find(|file| file.path == Path::new("current")).unwrap();
        assert_eq!(link.content, Err(PathBuf::from("a.txt")));
        std::fs::remove_file(folder.path().join("current")).unwrap();
        symlink("B.txt", folder.path().join("current")).unwrap();
        assert_ne!(hash(folder.path()).unwrap().digest, first.digest);

        for target in ["/etc/hostname", "../x", "missing"] {
            std::fs::remove_file(folder.path().join("current")).unwrap();
            symlink(target, folder.path().join("current")).unwrap();
            assert!(matches!(hash(folder.path()), Err(ProvenanceError::LinkOutside { .. })), "{target}");
        }
    }

    #[test]
    fn a_loop_of_links_ends() {
        let folder = example();
        symlink(".", folder.path().join("self")).unwrap();
        assert_eq!(hash(folder.path()).unwrap().files.len(), 4);
    }

    #[test]
    fn each_limit_trips() {
        let folder = example();
        std::fs::create_dir_all(folder.path().join("1/2/3")).unwrap();
        let limits = FolderLimits::default();
        for (limits, unit) in [
            (FolderLimits { files: 2, ..limits }, "files"),
            (FolderLimits { bytes: 9, ..limits }, "bytes"),
            (FolderLimits { depth: 2, ..limits }, "folders within folders"),
        ] {
            let result = hash_folder(folder.path(), &limits, &mut |_, _| ());
            assert!(matches!(&result, Err(ProvenanceError::TooLarge { what, .. }) if *what == unit), "{result:?}");
        }
        let exact = FolderLimits { files: 3, bytes: 10, depth: 3 };
        hash_folder(folder.path(), &exact, &mut |_, _| ()).unwrap();
    }

    #[test]
    fn names_that_would_be_ambiguous_and_odd_files_are_refused() {
        for name in ["a\nb", "a\rb", "a\\b"] {
            let folder = example();
            std::fs::write(folder.path().join(name), "").unwrap();
            assert!(matches!(hash(folder.path()), Err(ProvenanceError::Name { .. })), "{name:?}");
        }
        let folder = example();
        let _listener = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        assert!(matches!(hash(folder.path()), Err(ProvenanceError::Kind { .. })));
    }

    #[test]
    fn a_file_added_while_hashing_is_in_the_digest() {
        let folder = example();
        let mut added = false;
        let digest = hash_folder(folder.path(), &FolderLimits::default(), &mut |_, _| {
            if !added {
                added = true;
                std::fs::write(folder.path().join("late.txt"), "late").unwrap();
            }
        })
        .unwrap();
        assert_eq!(digest.files.len(), 4);
        assert_eq!(digest.digest, hash(folder.path()).unwrap().digest);
    }
}
