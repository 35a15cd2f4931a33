//! Whether each pack that the index stands on is there, with all of its bytes.
//!
//! The index has the length of each pack, so an opening asks the file system once for each and reads nothing. A
//! pack is written whole and durable before it gets its name, so no crash leaves one that is shorter. Bits that
//! flipped inside of one are found when they are read.

use std::collections::HashSet;
use std::path::Path;

use crate::StoreError;
use crate::disk::write_file;
use crate::findings::Findings;
use crate::pack_file::{build, file_bytes, file_name, read_list};
use crate::store::{Store, Write};

use super::{Known, PackedStore, WALK, lock};

/// In the index, before the last sequence of a pack (u64, big-endian): its first sequence and its length in bytes
/// (u64 each, little-endian).
const NOTE: &[u8] = b"\0pack";
/// Above the keys of all notes.
const NOTES_END: &[u8] = b"\0pacl";

/// What can be done about a pack that is lost, or a part of one.
const ADVICE: &str = "put it back from a copy of the folder; without one, keep the folder as evidence and go on with \
                      a new box: another edge id, data folder and key";

impl PackedStore {
    /// Refuses packs that are missing or too short. Those that are accepted are noted as they are now.
    ///
    /// Costs one look at the file's metadata for each pack; a pack that the index has no length of, as earlier
    /// versions wrote it, costs a read of its list, once.
    pub(super) fn verify_packs(&self, findings: &mut Findings) -> Result<(), StoreError> {
        let applied = self.index.applied()?;
        let mut noted = HashSet::new();
        let mut changed = Vec::new();
        // Of packs that the index does not have yet as well, should it be behind what was synced.
        let holes = self.holes(applied)?;
        let mut from = NOTE.to_vec();
        loop {
            let notes = self.index.range(&from, NOTES_END, WALK)?;
            let Some((key, _)) = notes.last() else { break };
            from = [key.as_slice(), &[0]].concat();
            for (key, value) in &notes {
                let (first, last, bytes) = decode(key, value).ok_or_else(|| self.nonsense())?;
                lock(&self.packs).entry(last).and_modify(|known| known.bytes = bytes);
                noted.insert(last);
                if holes.covers(first, last) {
                    // A later pack has all that is needed of it.
                    changed.push(unnote(last));
                    continue;
                }
                changed.extend(self.verify_pack(first, last, bytes, findings)?);
            }
        }
        let packs = lock(&self.packs).clone();
        for (last, Known { first, .. }) in packs.into_iter().filter(|(last, _)| *last <= applied) {
            if noted.contains(&last) {
                continue;
            }
            let path = self.path(last)?;
            let bytes = read_list(&*self.file(last)?).map(|list| file_bytes(&list));
            let Some(bytes) = bytes else {
                findings.loss(StoreError::damaged(&path, "its list of writes cannot be read", ADVICE))?;
                changed.push(note(first, last, length(&path)?.unwrap_or_default()));
                continue;
            };
            let verified = self.verify_pack(first, last, bytes, findings)?;
            changed.push(verified.unwrap_or_else(|| note(first, last, bytes)));
        }
        if !changed.is_empty() {
            // A crash before the sync repeats this.
            self.write_index(applied, &changed)?;
            self.index.sync()?;
        }
        Ok(())
    }

    /// Looks at one pack. Returns what to note of it when it is not as it was and that is accepted.
    fn verify_pack(
        &self,
        first: u64,
        last: u64,
        bytes: u64,
        findings: &mut Findings,
    ) -> Result<Option<Write>, StoreError> {
        let path = self.folder.join(file_name(first, last));
        match length(&path)? {
            // Longer is fine: what follows the values is never read.
            Some(found) if found >= bytes => Ok(None),
            Some(found) => {
                findings.loss(cut(&path, found, bytes, first, last))?;
                Ok(Some(note(first, last, found)))
            }
            None => self.missing(first, last, findings).map(Some),
        }
    }

    /// A pack is not there. When that is accepted, an empty one takes its place; returns what to note of that.
    pub(super) fn missing(&self, first: u64, last: u64, findings: &mut Findings) -> Result<Write, StoreError> {
        let path = self.folder.join(file_name(first, last));
        findings.loss(StoreError::damaged(
            &path,
            format!("it is missing, and with it the values of commits {first} to {last}"),
            ADVICE,
        ))?;
        let empty = build(last, &[])?;
        write_file(&path, &empty.parts())?;
        lock(&self.packs).insert(last, Known { first, bytes: empty.bytes(), large_bytes: None });
        Ok(note(first, last, empty.bytes()))
    }
}

/// What the index keeps of a pack.
pub(super) fn note(first: u64, last: u64, bytes: u64) -> Write {
    let key = [NOTE, &last.to_be_bytes()].concat();
    (key, Some([first.to_le_bytes(), bytes.to_le_bytes()].concat()))
}

/// Takes the note of a pack back.
pub(super) fn unnote(last: u64) -> Write {
    ([NOTE, &last.to_be_bytes()].concat(), None)
}

/// First sequence, last sequence and length in bytes of a note.
fn decode(key: &[u8], value: &[u8]) -> Option<(u64, u64, u64)> {
    let last = u64::from_be_bytes(key.strip_prefix(NOTE)?.try_into().ok()?);
    let (first, bytes) = value.split_first_chunk()?;
    Some((u64::from_le_bytes(*first), last, u64::from_le_bytes(bytes.try_into().ok()?)))
}

/// The error for a pack that lost its end.
pub(super) fn cut(path: &Path, found: u64, bytes: u64, first: u64, last: u64) -> StoreError {
    StoreError::damaged(
        path,
        format!(
            "it was cut to {found} of its {bytes} bytes, and what followed of the values of commits {first} to {last} is lost"
        ),
        ADVICE,
    )
}

/// Length of a file in bytes; `None` when there is no such file.
pub(super) fn length(path: &Path) -> Result<Option<u64>, StoreError> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("look at", path, error)),
    }
}
