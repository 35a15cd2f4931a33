//! Disks without space.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of its own, unmounted when dropped.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// `None` where mounting is not permitted.
    pub(crate) fn new(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            refused => {
                eprintln!("SKIPPED: a tmpfs cannot be mounted here: {refused:?}");
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _may_be_busy = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Writes until there is no space.
pub(crate) fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 20, 1 << 12] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}
