//! Reading the log: entries, nodes of the tree, checkpoints, payloads, named values.

mod walk;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError};

use picket_ledger::VerifyingKey;
use picket_ledger::hash::{Hash, leaf_hash, node_hash};
use picket_ledger::tree::{self, CompactRange, NodeSource, TreeError};

use crate::StoreError;
use crate::fsck::{self, Report};
use crate::layout::{
    BOUNDARIES_END, CHECKPOINTS_END, Head, TILE, boundary_key, boundary_size, checkpoint_key, checkpoint_size,
    hash_key, named_key, payload_key,
};
use crate::log::Shared;
use crate::sealed::Sealed;

pub(crate) use walk::Walk;

/// A sealed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealedSegment {
    /// Index of its first entry.
    pub first: u64,
    /// Index after its last entry, which is the size that its checkpoint speaks of.
    pub end: u64,
    /// Length of its file in bytes.
    pub bytes: u64,
    /// Name of its file in the folder `segments`.
    pub name: String,
}

/// Reads the log while it is written. Cheap to clone; may be used from many threads.
///
/// While a reader lives, the log's folder stays locked.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

/// A checkpoint as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// The size that it speaks of.
    pub size: u64,
    /// The signed note.
    pub text: String,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(crate) fn head(&self) -> Head {
        let head = self.shared.head.read();
        head.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Entries in the log.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.head().tree.size()
    }

    /// Root of the tree over them.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.head().tree.root()
    }

    /// The tree over them: size, root, and what it takes to go on.
    #[must_use]
    pub fn tree(&self) -> CompactRange {
        self.head().tree
    }

    /// Entries below this index were pruned.
    #[must_use]
    pub fn pruned_to(&self) -> u64 {
        self.head().pruned_to
    }

    /// The entry at an index.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, StoreError> {
        let end = index.saturating_add(1);
        self.read(index..end)?.pop().ok_or_else(|| self.lacks(index))
    }

    /// The entries of a range. They are all in memory then: ask for at most some thousands at once.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] beyond the size, [`StoreError::Pruned`] below what was pruned,
    /// [`StoreError::Damaged`] for bytes that are not what was written.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>, StoreError> {
        let head = self.head();
        if range.end > head.tree.size() {
            return Err(StoreError::OutOfRange {
                what: "entry index",
                value: range.end.saturating_sub(1),
                limit: head.tree.size().saturating_sub(1),
            });
        }
        if range.start < head.pruned_to && !range.is_empty() {
            return Err(StoreError::Pruned { index: range.start, pruned_to: head.pruned_to });
        }
        let mut entries = Vec::new();
        let mut walk = Walk::new(self, range.clone());
        for index in range {
            entries.push(walk.next()?.ok_or_else(|| self.lacks(index))?);
        }
        Ok(entries)
    }

    /// The inclusion proof of an entry in the tree of `size` entries: RFC 9162 section 2.1.3.
    ///
    /// # Errors
    /// Unless `index < size <=` [`Reader::size`]; and as [`Reader::read`].
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, StoreError> {
        self.within(size)?;
        tree::inclusion_proof(self, index, size).map_err(of_tree)
    }

    /// The consistency proof from the tree of `old` entries to that of `new`: RFC 9162 section 2.1.4.
    ///
    /// # Errors
    /// Unless `1 <= old <= new <=` [`Reader::size`]; and as [`Reader::read`].
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Hash>, StoreError> {
        self.within(new)?;
        tree::consistency_proof(self, old, new).map_err(of_tree)
    }

    /// The tree over the first `size` entries: what a segment that starts there needs.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] beyond the size; [`StoreError::Pruned`] for a size inside of a pruned tile.
    pub fn tree_at(&self, size: u64) -> Result<CompactRange, StoreError> {
        self.within(size)?;
        tree::frontier_at(self, size)
    }

    /// The latest checkpoint.
    ///
    /// # Errors
    /// [`StoreError::Damaged`]; [`StoreError::Io`].
    pub fn latest_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        let Some(size) = self.head().checkpoint else {
            return Ok(None);
        };
        self.unless_sealed(|| {
            let text = match self.sealed().ending(size).filter(|row| !row.lost) {
                Some(row) => Some(self.sealed().checkpoint(&row)?),
                None => self.shared.store.get(&checkpoint_key(size))?,
            };
            let text = text.ok_or_else(|| self.damaged(format!("the checkpoint of size {size} is missing")))?;
            self.stored(size, text).map(Some)
        })
    }

    /// The checkpoint of the smallest size that is not below `size`.
    ///
    /// # Errors
    /// As [`Reader::latest_checkpoint`].
    pub fn checkpoint_at_or_after(&self, size: u64) -> Result<Option<StoredCheckpoint>, StoreError> {
        Ok(self.checkpoints(size..u64::MAX, 1)?.pop())
    }

    /// At most `limit` checkpoints whose size is in a range, by size.
    ///
    /// # Errors
    /// As [`Reader::latest_checkpoint`].
    pub fn checkpoints(&self, sizes: Range<u64>, limit: usize) -> Result<Vec<StoredCheckpoint>, StoreError> {
        let end = match sizes.end {
            u64::MAX => CHECKPOINTS_END.to_vec(),
            end => checkpoint_key(end),
        };
        // Those at the ends of sealed files are there alone; others may be removed while this reads.
        loop {
            let generation = self.sealed().generation();
            let mut found = BTreeMap::new();
            for (key, text) in self.shared.store.range(&checkpoint_key(sizes.start), &end, limit)? {
                let size = checkpoint_size(&key).ok_or_else(|| self.damaged("a checkpoint has no size".into()))?;
                found.insert(size, Some(text));
            }
            for size in self.sealed().checkpoint_sizes(sizes.start, sizes.end).into_iter().take(limit) {
                found.entry(size).or_insert(None);
            }
            let read = found.into_iter().take(limit).map(|(size, text)| {
                let text = match (text, self.sealed().ending(size)) {
                    (Some(text), _) => text,
                    (None, Some(row)) => self.sealed().checkpoint(&row)?,
                    (None, None) => return Err(self.damaged(format!("the checkpoint of size {size} is missing"))),
                };
                self.stored(size, text)
            });
            let read = read.collect();
            if self.sealed().generation() == generation {
                return read;
            }
        }
    }

    /// The first `limit` sizes in a range at which a boundary was set: no segment may span one. See
    /// [`crate::Commit::boundary`].
    ///
    /// # Errors
    /// [`StoreError::Damaged`]; [`StoreError::Io`].
    pub fn boundaries(&self, sizes: Range<u64>, limit: usize) -> Result<Vec<u64>, StoreError> {
        let end = match sizes.end {
            u64::MAX => BOUNDARIES_END.to_vec(),
            end => boundary_key(end),
        };
        let pairs = self.shared.store.range(&boundary_key(sizes.start), &end, limit)?;
        let sizes = pairs.iter().map(|(key, _)| boundary_size(key));
        sizes.map(|size| size.ok_or_else(|| self.damaged("a boundary has no size".into()))).collect()
    }

    /// The payload of an invocation; `None` when it was not kept, or was erased or pruned.
    ///
    /// # Errors
    /// [`StoreError::Damaged`]; [`StoreError::Io`].
    pub fn payload(&self, invocation: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let cut = || self.damaged(format!("the payload of invocation {invocation} is cut off"));
        let Some(mut bytes) = self.shared.store.get(&payload_key(invocation, 0))? else {
            return Ok(None);
        };
        let length = *bytes.first_chunk::<8>().ok_or_else(cut)?;
        let length = usize::try_from(u64::from_le_bytes(length)).map_err(|_| cut())?;
        bytes.drain(..8);
        for piece in 1.. {
            if bytes.len() >= length {
                break;
            }
            let more = self.shared.store.get(&payload_key(invocation, piece))?;
            bytes.extend_from_slice(&more.ok_or_else(cut)?);
        }
        // A longer payload that this one replaced may have left its end behind.
        bytes.truncate(length);
        Ok(Some(bytes))
    }

    /// Whether a payload is kept for an invocation.
    ///
    /// # Errors
    /// [`StoreError::Damaged`]; [`StoreError::Io`].
    pub fn has_payload(&self, invocation: u64) -> Result<bool, StoreError> {
        let (from, to) = (payload_key(invocation, 0), payload_key(invocation, 1));
        Ok(!self.shared.store.range(&from, &to, 1)?.is_empty())
    }

    /// A named value.
    ///
    /// # Errors
    /// [`StoreError::Damaged`]; [`StoreError::Io`].
    pub fn named(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared.store.get(&named_key(name))
    }

    /// Verifies everything that the log holds: every entry decodes and knows its index, the tree over them gives
    /// every stored root, the root of every checkpoint, and the head; and, with a key, every checkpoint's
    /// signature. What is wrong is in the report.
    ///
    /// # Errors
    /// Only when the head itself cannot be read.
    pub fn fsck(&self, key: Option<&VerifyingKey>) -> Result<Report, StoreError> {
        fsck::run(self, key)
    }

    /// The sealed segments that hold entries of a range, by place in the log. Each is a file that anyone can verify
    /// with the public key; its bytes are had with [`Reader::sealed_bytes`].
    #[must_use]
    pub fn sealed_segments(&self, entries: Range<u64>) -> Vec<SealedSegment> {
        let rows = self.sealed().within(entries.start, entries.end);
        let rows = rows.iter().filter(|row| !row.lost);
        rows.map(|row| SealedSegment { first: row.first, end: row.end, bytes: u64::from(row.bytes), name: row.name() })
            .collect()
    }

    /// The bytes of the sealed segment that holds an entry, at most 16 MiB; `None` when the entry is not sealed yet or was
    /// pruned.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] unless they have the SHA-256 of the file's name; [`StoreError::Io`].
    pub fn sealed_bytes(&self, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.unless_sealed(|| self.sealed().find(index).map(|row| self.sealed().read(&row)).transpose())
    }

    /// Entries below this index are sealed.
    #[must_use]
    pub fn sealed_to(&self) -> u64 {
        self.sealed().end().max(self.pruned_to())
    }

    pub(crate) fn sealed(&self) -> &Sealed {
        self.shared.store.sealed()
    }

    /// Reads again when something was sealed or pruned while it was read.
    fn unless_sealed<T>(&self, read: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
        loop {
            let generation = self.sealed().generation();
            match read() {
                Err(_) if self.sealed().generation() != generation => {}
                result => return result,
            }
        }
    }

    fn within(&self, size: u64) -> Result<(), StoreError> {
        let limit = self.size();
        if size > limit {
            return Err(StoreError::OutOfRange { what: "tree size", value: size, limit });
        }
        Ok(())
    }

    fn stored(&self, size: u64, text: Vec<u8>) -> Result<StoredCheckpoint, StoreError> {
        let text =
            String::from_utf8(text).map_err(|_| self.damaged(format!("the checkpoint of size {size} is not text")))?;
        Ok(StoredCheckpoint { size, text })
    }

    fn lacks(&self, index: u64) -> StoreError {
        self.damaged(format!("entry {index} is missing"))
    }

    pub(crate) fn damaged(&self, lost: String) -> StoreError {
        StoreError::damaged(
            self.shared.store.path(),
            lost,
            "run verify to see what else is affected; what the auditor has a receipt for is safe there",
        )
    }

    /// The hash of every leaf of a tile that is in the log.
    fn leaves(&self, tile: u64, at_least: u64) -> Result<Arc<Vec<Hash>>, StoreError> {
        let lock = || self.shared.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        let needed = usize::try_from(at_least).unwrap_or(usize::MAX);
        if let Some((cached, leaves)) = lock().as_ref()
            && *cached == tile
            && leaves.len() >= needed
        {
            return Ok(Arc::clone(leaves));
        }
        let end = self.size().min((tile + 1) * TILE);
        let entries = self.read(tile * TILE..end)?;
        let leaves = Arc::new(entries.iter().map(|entry| leaf_hash(entry)).collect::<Vec<_>>());
        *lock() = Some((tile, Arc::clone(&leaves)));
        Ok(leaves)
    }
}

/// The nodes of the tree: below level 8 computed from a tile's entries, above from the stored roots.
impl NodeSource for Reader {
    type Error = StoreError;

    fn node(&self, level: u8, index: u64) -> Result<Hash, StoreError> {
        let missing = || self.damaged(format!("node {index} of level {level} is missing"));
        let above = level / 8;
        let width = 1u64 << (level % 8);
        let first = index.checked_mul(width).ok_or_else(missing)?;
        let (tile, start) = (first / TILE, usize::try_from(first % TILE).map_err(|_| missing())?);
        let end = start + usize::try_from(width).map_err(|_| missing())?;
        if above == 0 {
            let leaves = self.leaves(tile, u64::try_from(end).map_err(|_| missing())?)?;
            return leaves.get(start..end).map(root_of).ok_or_else(missing);
        }
        let stored = self.shared.store.get(&hash_key(above, tile))?.ok_or_else(missing)?;
        let (hashes, _) = stored.as_chunks::<32>();
        hashes.get(start..end).map(root_of).ok_or_else(missing)
    }
}

/// Root of a complete subtree over hashes whose number is a power of two.
fn root_of(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.chunks(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    row[0]
}

fn of_tree(error: TreeError<StoreError>) -> StoreError {
    match error {
        TreeError::Source(error) => error,
        other => StoreError::Tree { message: other.to_string() },
    }
}
