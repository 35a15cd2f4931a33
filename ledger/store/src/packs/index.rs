//! The index of the packs: its digest, and bringing it to what the packs hold.

use std::path::{Path, PathBuf};

use picket_ledger::hash::sha256;

use crate::StoreError;
use crate::disk::quarantine;
use crate::findings::Findings;
use crate::pack_file::{file_bytes, packed, read_list};
use crate::sled::APPLIED_KEY;
use crate::store::{Store, Write};

use super::present::{cut, length, note, unnote};
use super::{END, Known, PackedStore, WALK, lock};

/// In the index, the digest of what it holds.
const DIGEST_KEY: &[u8] = b"\0digest";

impl PackedStore {
    /// Verifies that the index holds exactly what was put there.
    ///
    /// sled drops what follows a message that it cannot read, and also single pages, without a word; its own keys
    /// may survive that. So the whole of it is compared with a digest, which takes a read of some ten megabytes for
    /// ten million entries.
    pub(super) fn verify_index(&self) -> Result<(), StoreError> {
        let mut found = Digest::default();
        let mut from = Vec::new();
        loop {
            let pairs = self.index.range(&from, END, WALK)?;
            let Some((last, _)) = pairs.last() else { break };
            from = [last.as_slice(), &[0]].concat();
            for (key, value) in pairs.iter().filter(|(key, _)| !is_own(key)) {
                found.toggle(key, value);
                self.count(key, value, true);
            }
        }
        let applied = self.index.applied()?;
        let said = self.index.get(DIGEST_KEY)?;
        let sound = match said {
            None => applied == 0 && found == Digest::default(),
            Some(said) => said == found.encode(applied),
        };
        if !sound {
            return Err(StoreError::damaged(
                &self.folder.with_file_name("index").join("db"),
                "values are missing in it, or are not those that were written",
                "open the log again: the index is rebuilt from the packs",
            ));
        }
        Ok(())
    }

    /// Writes to the index, with the digest of what it holds then.
    pub(super) fn write_index(&self, sequence: u64, writes: &[Write]) -> Result<(), StoreError> {
        let mut digest = match self.index.get(DIGEST_KEY)? {
            None => Digest::default(),
            Some(said) => Digest::decode(&said).ok_or_else(|| self.nonsense())?,
        };
        let mut changes = Vec::new();
        for (key, value) in writes {
            if let Some(before) = self.index.get(key)? {
                digest.toggle(key, &before);
                changes.push((key, before, false));
            }
            if let Some(value) = value {
                digest.toggle(key, value);
                changes.push((key, value.clone(), true));
            }
        }
        let own = (DIGEST_KEY.to_vec(), Some(digest.encode(sequence)));
        self.index.apply(sequence, &writes.iter().cloned().chain([own]).collect::<Vec<_>>())?;
        changes.into_iter().for_each(|(key, value, there)| self.count(key, &value, there));
        Ok(())
    }

    /// Brings the index to the last pack: after a crash between a pack and its index, or from nothing.
    pub(super) fn catch_up(&self, findings: &mut Findings) -> Result<(), StoreError> {
        let applied = self.index.applied()?;
        let mut end = 0;
        let mut behind = 0;
        let packs = lock(&self.packs).clone();
        let holes = self.holes(applied)?;
        for (last, Known { first, .. }) in packs {
            if holes.covers(first, last) {
                // A later pack has all that is needed of it: a crash left it before it was removed.
                self.write_index(applied.max(end), &[unnote(last)])?;
                lock(&self.done).push(last);
                continue;
            }
            for (from, to) in holes.rest(end + 1, first - 1) {
                self.missing(from, to, findings)?;
            }
            if last > applied {
                self.write_index(last, &self.read_pack(first, last)?)?;
                behind += 1;
            }
            end = last;
        }
        for (from, to) in holes.rest(end + 1, applied) {
            self.missing(from, to, findings)?;
        }
        if behind > 0 || !lock(&self.done).is_empty() {
            // Not durable before this; a crash until then repeats it.
            self.index.sync()?;
            self.remove_done();
        }
        // One is what a crash leaves behind.
        if behind > 1 {
            findings.repaired.push(format!(
                "{} ended with commit {applied}: brought to commit {end} from the packs",
                self.folder.with_file_name("index").display()
            ));
        }
        Ok(())
    }

    /// The writes that a pack makes in the index, with the note on itself.
    fn read_pack(&self, first: u64, last: u64) -> Result<Vec<Write>, StoreError> {
        let damaged = || {
            self.path(last).map_or_else(
                |error| error,
                |path| {
                    StoreError::damaged(
                        &path,
                        "its list of writes fails its checksum, so the index cannot be rebuilt from it",
                        "put it back from a copy of the folder",
                    )
                },
            )
        };
        let file = self.file(last)?;
        let list = read_list(&file).ok_or_else(damaged)?;
        let bytes = file_bytes(&list);
        let path = self.path(last)?;
        let found = length(&path)?.unwrap_or_default();
        if found < bytes {
            return Err(cut(&path, found, bytes, first, last));
        }
        let writes = list.into_iter().map(|listed| match listed.value {
            None => Ok((listed.key, None)),
            Some(value) if value.large => Ok((listed.key, Some(value.pointer(last).encode()))),
            Some(value) => {
                let pointer = value.pointer(last);
                // One that cannot be read is told when it is read, unless a later pack has the key again.
                let stored = self.fetch(pointer).map_or_else(|_| pointer.encode(), |value| packed(last, &value));
                Ok((listed.key, Some(stored)))
            }
        });
        writes.chain([Ok(note(first, last, bytes))]).collect()
    }
}

/// A digest of a set of pairs: the exclusive or of SHA-256(key length (u64) ‖ key ‖ value). It shows what was lost by
/// accident, and can be kept up with each write; it is no defence against an attacker, which the tree is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Digest([u8; 32]);

impl Digest {
    /// Adds a pair that is not there, or takes one away that is.
    fn toggle(&mut self, key: &[u8], value: &[u8]) {
        let length = u64::try_from(key.len()).unwrap_or(u64::MAX).to_le_bytes();
        let hash = sha256(&[length.as_slice(), key, value].concat());
        self.0.iter_mut().zip(hash).for_each(|(sum, byte)| *sum ^= byte);
    }

    /// The sequence up to which it speaks (u64, little-endian), then the digest.
    fn encode(&self, sequence: u64) -> Vec<u8> {
        [sequence.to_le_bytes().as_slice(), &self.0].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.get(8..)?.try_into().ok().map(Self)
    }
}

/// True for the keys that the digest does not cover: itself, and the applied sequence, which it names.
fn is_own(key: &[u8]) -> bool {
    key == DIGEST_KEY || key == APPLIED_KEY
}

/// The file that says that the index is to be rebuilt.
pub(super) fn suspect(index: &Path) -> PathBuf {
    index.with_file_name("index-unreadable")
}

pub(super) fn set_aside(index: &Path, cause: &str, findings: &mut Findings) -> Result<(), StoreError> {
    if index.exists() {
        let kept = quarantine(index)?;
        findings.repaired.push(format!(
            "{} could not be read ({cause}): moved to {} and rebuilt from the packs",
            index.display(),
            kept.display()
        ));
    }
    // Only now: a crash before leaves the sign, and the next opening does this again.
    let sign = suspect(index);
    match std::fs::remove_file(&sign) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("remove", &sign, error)),
        _ => Ok(()),
    }
}
