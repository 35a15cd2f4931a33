//! Giving back what removed values take in the packs.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use crate::StoreError;
use crate::pack_file::read_list;

use super::{PackedStore, lock};

impl PackedStore {
    /// Gives the blocks of large values that nothing points at back to the file system. Returns how many bytes.
    pub(super) fn punch(&self, pack: u64, live: &HashMap<u64, u32>) -> Result<u64, StoreError> {
        let path = self.path(pack)?;
        let needed: u64 = live.values().map(|length| u64::from(*length)).sum();
        if lock(&self.packs).get(&pack).is_some_and(|known| known.large_bytes == Some(needed)) {
            return Ok(0);
        }
        let failed = |e: std::io::Error| StoreError::io("free space in", &path, e);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        let before = allocated(&file).map_err(failed)?;
        // A pack whose list is damaged is kept as it is: evidence.
        let values = read_list(&file).unwrap_or_default().into_iter().filter_map(|listed| listed.value);
        let mut dead = values.filter(|value| value.large && !live.contains_key(&value.offset)).peekable();
        let mut punched = false;
        while let Some(first) = dead.next() {
            let mut end = first.offset + u64::from(first.length);
            // Neighbours together: a file system frees only whole blocks.
            while let Some(next) = dead.next_if(|next| next.offset == end) {
                end += u64::from(next.length);
            }
            punch_hole(&file, first.offset, end - first.offset).map_err(failed)?;
            punched = true;
        }
        if punched {
            // Before this a loss of power may bring back what was erased; after it, nothing does.
            file.sync_data().map_err(failed)?;
        }
        if let Some(known) = lock(&self.packs).get_mut(&pack) {
            known.large_bytes = Some(needed);
        }
        Ok(before.saturating_sub(allocated(&file).map_err(failed)?))
    }
}

fn allocated(file: &File) -> std::io::Result<u64> {
    Ok(std::os::unix::fs::MetadataExt::blocks(&file.metadata()?) * 512)
}

fn punch_hole(file: &File, offset: u64, length: u64) -> std::io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match fallocate(file, flags, offset, length) {
        // A file system without holes keeps the blocks; overwriting at least erases what was in them.
        Err(rustix::io::Errno::OPNOTSUPP) => {
            let zeros = vec![0; usize::try_from(length).map_err(std::io::Error::other)?];
            file.write_all_at(&zeros, offset)
        }
        result => result.map_err(Into::into),
    }
}
