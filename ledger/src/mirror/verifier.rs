//! Whether packages belong to the tree that a checkpoint signs.

use super::{MirrorError, PACKAGE_ENTRIES, Package, package_end};
use crate::checkpoint::Checkpoint;
use crate::hash::{Hash, leaf_hash};
use crate::proof::verify_subtree_consistency;
use crate::tree::CompactRange;

/// Verifies the packages of one upload, in order, each for itself. Its state is the part of one tile: 8 hashes at most.
#[derive(Debug, Clone)]
pub struct PackageVerifier {
    size: u64,
    root: Hash,
    next: u64,
    /// The entries of the tile that lie before `next`, as a tree of its own.
    tile: CompactRange,
}

impl PackageVerifier {
    /// For an upload that starts after the entries of `before` and leads to `checkpoint`.
    #[must_use]
    pub fn new(before: &CompactRange, checkpoint: &Checkpoint) -> Self {
        let next = before.size();
        let inside = next % PACKAGE_ENTRIES;
        // The complete subtrees below 256 leaves are the last ones, and lie in the tile.
        let peaks = before.peaks();
        let peaks = peaks.get(peaks.len().saturating_sub(inside.count_ones() as usize)..).unwrap_or_default();
        let tile = CompactRange::from_parts(inside, peaks.to_vec()).unwrap_or_default();
        Self { size: checkpoint.size, root: checkpoint.root, next, tile }
    }

    /// The first entry of the package that comes next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Verifies the next package, and returns the leaf hashes of its entries. After an error the same place may be
    /// tried again.
    ///
    /// # Errors
    /// [`MirrorError::Count`] for another package than the next one; [`MirrorError::Proof`].
    pub fn verify(&mut self, package: &Package) -> Result<Vec<Hash>, MirrorError> {
        let start = self.next;
        let end = package_end(start, self.size);
        let found = package.entries.len() as u64;
        if package.start != start || start >= self.size || found != end - start {
            return Err(MirrorError::Count { start, found, expected: end.saturating_sub(start) });
        }
        let leaves: Vec<Hash> = package.entries.iter().map(|entry| leaf_hash(entry)).collect();
        let mut tile = self.tile.clone();
        leaves.iter().for_each(|leaf| tile.push(*leaf));
        let first = start - start % PACKAGE_ENTRIES;
        verify_subtree_consistency(first, end, self.size, &package.proof, &tile.root(), &self.root)
            .map_err(|source| MirrorError::Proof { start, source })?;
        self.next = end;
        self.tile = if end.is_multiple_of(PACKAGE_ENTRIES) { CompactRange::new() } else { tile };
        Ok(leaves)
    }
}
