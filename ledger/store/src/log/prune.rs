//! Removing what the auditor has, and erasing payloads.

use picket_ledger::Entry;
use picket_ledger::entry::Body;

use crate::StoreError;
use crate::batch::Batch;
use crate::layout::{TILE, entry_key, payload_key};

use super::Log;

/// Tiles that are pruned in one commit.
const PRUNE_TILES: u64 = 64;
/// Pieces of a stream that are removed at once.
const REMOVE_PIECES: usize = 64;

/// What pruning did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Entries below this index are gone: the largest multiple of 256 that is not above what was asked for.
    pub pruned_to: u64,
    /// Payloads that went with them.
    pub payloads: u64,
    /// Bytes given back to the file system.
    pub freed_bytes: u64,
}

impl Log {
    /// Removes entries below an index, and the payloads of their invocations, in whole tiles of 256; the roots of
    /// the subtrees stay, so that proofs and checkpoints of what remains do. Only for entries that an auditor gave
    /// a receipt for.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] beyond the size; else as [`Log::commit`]. A crash or an error on the way leaves
    /// the log pruned up to some tile; calling it again goes on.
    pub fn prune(&mut self, up_to: u64) -> Result<Pruned, StoreError> {
        if up_to > self.size() {
            return Err(StoreError::OutOfRange { what: "prune index", value: up_to, limit: self.size() });
        }
        let reader = self.reader();
        let end = up_to / TILE;
        let mut payloads = 0;
        while self.head.pruned_to / TILE < end {
            let start = self.head.pruned_to / TILE;
            let stop = end.min(start + PRUNE_TILES);
            let mut batch = Batch::default();
            for tile in start..stop {
                for entry in reader.read(tile * TILE..(tile + 1) * TILE)? {
                    if let Ok(Entry { body: Body::Verdict(verdict), .. }) = Entry::decode(&entry) {
                        payloads += self.remove_payload(&mut batch, verdict.invocation)?;
                    }
                }
                self.remove_stream(&mut batch, |piece| entry_key(tile, piece))?;
            }
            let mut head = self.head.clone();
            head.pruned_to = stop * TILE;
            self.finish(batch, head)?;
        }
        Ok(Pruned { pruned_to: self.head.pruned_to, payloads, freed_bytes: self.reclaim()? })
    }

    /// Erases payloads; their commitments in the entries, and so all proofs, stay valid. Returns how many there
    /// were. When it returns, their bytes are gone from the packs and the index; the journal overwrites its
    /// copy as it goes on.
    ///
    /// # Errors
    /// As [`Log::commit`].
    pub fn erase_payloads(&mut self, invocations: &[u64]) -> Result<u64, StoreError> {
        let mut batch = Batch::default();
        let mut erased = 0;
        for invocation in invocations {
            erased += self.remove_payload(&mut batch, *invocation)?;
        }
        let head = self.head.clone();
        self.finish(batch, head)?;
        self.reclaim()?;
        Ok(erased)
    }

    /// Frees what was removed: sealed files that lie wholly below what is pruned, and values in packs.
    fn reclaim(&self) -> Result<u64, StoreError> {
        let packs = self.shared.store.reclaim()?;
        Ok(packs + self.shared.store.sealed().take_freed())
    }

    fn remove_payload(&self, batch: &mut Batch, invocation: u64) -> Result<u64, StoreError> {
        let found = self.remove_stream(batch, |piece| payload_key(invocation, piece))?;
        Ok(u64::from(found))
    }

    /// Removes all pieces of a stream; false when there is none.
    fn remove_stream(&self, batch: &mut Batch, key: impl Fn(u32) -> Vec<u8>) -> Result<bool, StoreError> {
        let mut from = key(0);
        let end = key(u32::MAX);
        let mut found = false;
        loop {
            let pairs = self.shared.store.range(&from, &end, REMOVE_PIECES)?;
            let Some((last, _)) = pairs.last() else {
                return Ok(found);
            };
            from = [last.as_slice(), &[0]].concat();
            found = true;
            for (key, _) in pairs {
                batch.delete(key);
            }
        }
    }
}
