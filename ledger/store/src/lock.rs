//! One process at a time: an advisory lock on a file of our own, with the holder's process id in it.
//!
//! The kernel gives the lock up when the process ends, however it ends, so a leftover file locks nobody out.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::StoreError;

/// Held while the value lives.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock of a folder.
    pub(crate) fn take(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("lock");
        let io = |action| {
            let path = path.clone();
            move |e: std::io::Error| StoreError::io(action, &path, e)
        };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io("open"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                // The holder may be just writing it: then the message goes without.
                let _ = file.read_to_string(&mut text);
                return Err(StoreError::Locked { path: folder.to_owned(), pid: text.trim().parse().ok() });
            }
            Err(error) => return Err(io("lock")(error.into())),
        }
        // On a full disk the id is missing from the message of a second process; the lock holds all the same.
        let _ = file
            .set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}
