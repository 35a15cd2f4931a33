//! The Merkle tree of RFC 9162 section 2.1: growing it, and computing proofs from stored nodes.
//!
//! A node has a level and an index: node `(level, index)` is the root of the complete subtree over the
//! leaves `index * 2^level` to `(index + 1) * 2^level`, so that level 0 holds the leaf hashes. Complete
//! subtrees never change once they exist; a store that keeps them (or a sparser selection and computes the
//! rest) is a [`NodeSource`].

use crate::hash::{Hash, empty_root, node_hash};

/// The roots of the complete subtrees that a tree of some size consists of, largest first: what it takes to
/// go on appending, and to know the root, without any of the entries.
///
/// There is one for each one-bit of the size, from the highest to the lowest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CompactRange {
    size: u64,
    peaks: Vec<Hash>,
}

impl CompactRange {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A tree of `size` leaves whose complete subtrees have these roots, largest first.
    ///
    /// # Errors
    /// [`PeakCount`] unless there are as many as `size` has one-bits.
    pub fn from_parts(size: u64, peaks: Vec<Hash>) -> Result<Self, PeakCount> {
        if peaks.len() == size.count_ones() as usize {
            Ok(Self { size, peaks })
        } else {
            Err(PeakCount { size, found: peaks.len() })
        }
    }

    /// Appends a leaf by its hash ([`crate::hash::leaf_hash`]).
    ///
    /// # Panics
    /// At the leaf after number 2^64 - 1.
    pub fn push(&mut self, leaf: Hash) {
        self.push_with(leaf, |_, _, _| ());
    }

    /// Appends a leaf and reports each node `(level, index, hash)` that becomes complete by it, the leaf
    /// itself first. A store keeps its nodes up to date with it.
    ///
    /// # Panics
    /// At the leaf after number 2^64 - 1.
    pub fn push_with(&mut self, leaf: Hash, mut completed: impl FnMut(u8, u64, &Hash)) {
        let mut hash = leaf;
        let mut index = self.size;
        let mut level = 0;
        completed(level, index, &hash);
        while index & 1 == 1 {
            let left = self.peaks.pop().expect("a tree has a peak for each one-bit of its size");
            hash = node_hash(&left, &hash);
            index >>= 1;
            level += 1;
            completed(level, index, &hash);
        }
        self.peaks.push(hash);
        self.size = self.size.checked_add(1).expect("no log reaches 2^64 entries");
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, largest (leftmost) first.
    #[must_use]
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// The root of the tree; of the empty tree, SHA-256 of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            Some(last) => peaks.fold(*last, |right, left| node_hash(left, &right)),
            None => empty_root(),
        }
    }
}

/// Peaks that do not fit the size of their tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tree of size {size} has {} complete subtrees, not {found}", size.count_ones())]
pub struct PeakCount {
    /// The size of the tree.
    pub size: u64,
    /// How many peaks were given for it.
    pub found: usize,
}

/// Where proofs take the roots of complete subtrees from.
pub trait NodeSource {
    /// Why a node cannot be had.
    type Error;

    /// The root of the complete subtree of `2^level` leaves number `index`. Asked only for subtrees that lie
    /// inside of the tree that the proof is for.
    ///
    /// # Errors
    /// Whatever keeps the source from it; the proof fails with it.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

impl<S: NodeSource + ?Sized> NodeSource for &S {
    type Error = S::Error;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        (**self).node(level, index)
    }
}

/// Why a proof could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError<E> {
    /// The leaf is not in the tree or subtree: `start <= index < end` does not hold.
    #[error("leaf {index} is not among leaves {start} to {end}")]
    Index {
        /// The leaf that was asked for.
        index: u64,
        /// The first leaf of the tree or subtree.
        start: u64,
        /// The leaf after its last.
        end: u64,
    },
    /// `start..end` is no subtree of a tree of this size.
    #[error("leaves {start} to {end} are no subtree of a tree of size {size}")]
    Subtree {
        /// The first leaf.
        start: u64,
        /// The leaf after the last.
        end: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The source failed.
    #[error("a node of the tree cannot be read")]
    Source(#[source] E),
}

impl<E> From<E> for TreeError<E> {
    fn from(error: E) -> Self {
        Self::Source(error)
    }
}

/// Whether `start..end` is a subtree in the sense of draft-ietf-plants-merkle-tree-certs section 4.1:
/// `start <= end`, and `start` is a multiple of the smallest power of two that is not below `end - start`.
#[must_use]
pub fn is_subtree(start: u64, end: u64) -> bool {
    match end.checked_sub(start) {
        None => false,
        // Beyond 2^63 leaves the power of two is 2^64, of which only zero is a multiple.
        Some(width) => match width.checked_next_power_of_two() {
            Some(power) => start & (power - 1) == 0,
            None => start == 0,
        },
    }
}

/// The root of the tree over the first `size` leaves.
///
/// # Errors
/// What the source reports.
pub fn root_at<S: NodeSource>(source: &S, size: u64) -> Result<Hash, S::Error> {
    range_root(source, 0, size)
}

/// The complete subtrees of the tree over the first `size` leaves.
///
/// # Errors
/// What the source reports.
pub fn frontier_at<S: NodeSource>(source: &S, size: u64) -> Result<CompactRange, S::Error> {
    let peaks = peaks_of(0, size).map(|(level, index)| source.node(level, index)).collect::<Result<_, _>>()?;
    Ok(CompactRange { size, peaks })
}

/// The root of the subtree over the leaves `start..end`.
///
/// # Errors
/// [`TreeError::Subtree`] unless [`is_subtree`]; else what the source reports.
pub fn subtree_root<S: NodeSource>(source: &S, start: u64, end: u64) -> Result<Hash, TreeError<S::Error>> {
    if !is_subtree(start, end) {
        return Err(TreeError::Subtree { start, end, size: end });
    }
    range_root(source, start, end).map_err(TreeError::Source)
}

/// The inclusion proof of leaf `index` in the tree of `size` leaves, RFC 9162 section 2.1.3.1: the leaf's
/// sibling first, the root's child last.
///
/// # Errors
/// [`TreeError::Index`] unless `index < size`; else what the source reports.
pub fn inclusion_proof<S: NodeSource>(source: &S, index: u64, size: u64) -> Result<Vec<Hash>, TreeError<S::Error>> {
    subtree_inclusion_proof(source, index, 0, size)
}

/// The inclusion proof of leaf `index` in the subtree over the leaves `start..end`,
/// draft-ietf-plants-merkle-tree-certs section 4.3.
///
/// # Errors
/// [`TreeError::Subtree`] unless [`is_subtree`]; [`TreeError::Index`] unless `start <= index < end`; else
/// what the source reports.
pub fn subtree_inclusion_proof<S: NodeSource>(
    source: &S,
    index: u64,
    start: u64,
    end: u64,
) -> Result<Vec<Hash>, TreeError<S::Error>> {
    if !is_subtree(start, end) {
        return Err(TreeError::Subtree { start, end, size: end });
    }
    if index < start || index >= end {
        return Err(TreeError::Index { index, start, end });
    }
    let (mut low, mut high) = (start, end);
    let mut proof = Vec::new();
    // From the root down to the leaf; proofs go the other way.
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            proof.push(range_root(source, middle, high)?);
            high = middle;
        } else {
            proof.push(range_root(source, low, middle)?);
            low = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of `size1` leaves is the start of the tree of `size2` leaves, RFC 9162 section
/// 2.1.4.1. It is empty when the sizes are equal.
///
/// # Errors
/// [`TreeError::Subtree`] unless `1 <= size1 <= size2`; else what the source reports.
pub fn consistency_proof<S: NodeSource>(source: &S, size1: u64, size2: u64) -> Result<Vec<Hash>, TreeError<S::Error>> {
    if size1 == 0 {
        return Err(TreeError::Subtree { start: 0, end: size1, size: size2 });
    }
    subtree_consistency_proof(source, 0, size1, size2)
}

/// The proof that the subtree over `start..end` belongs to the tree of `size` leaves,
/// draft-ietf-plants-merkle-tree-certs section 4.4.1. It is empty for the empty subtree.
///
/// # Errors
/// [`TreeError::Subtree`] unless [`is_subtree`] and `end <= size`; else what the source reports.
pub fn subtree_consistency_proof<S: NodeSource>(
    source: &S,
    start: u64,
    end: u64,
    size: u64,
) -> Result<Vec<Hash>, TreeError<S::Error>> {
    if !is_subtree(start, end) || end > size {
        return Err(TreeError::Subtree { start, end, size });
    }
    let mut proof = Vec::new();
    if start == end {
        return Ok(proof);
    }
    // From the root down to the last node that lies wholly inside of the subtree.
    let (mut low, mut high) = (0, size);
    while low < start || high != end {
        let middle = low + split(high - low);
        if end <= middle {
            proof.push(range_root(source, middle, high)?);
            high = middle;
        } else {
            proof.push(range_root(source, low, middle)?);
            low = middle;
        }
    }
    // When the walk ends at a part of the subtree, the verifier cannot know its hash and is told.
    if low > start {
        proof.push(range_root(source, low, high)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The root over `low..high`, where `low` is aligned so that [`is_subtree`] holds or both are children of
/// such a range.
fn range_root<S: NodeSource>(source: &S, low: u64, high: u64) -> Result<Hash, S::Error> {
    let mut root = None;
    // Right to left, as the smaller subtrees are joined first.
    for (level, index) in peaks_of(low, high).rev() {
        let left = source.node(level, index)?;
        root = Some(match root {
            None => left,
            Some(right) => node_hash(&left, &right),
        });
    }
    Ok(root.unwrap_or_else(empty_root))
}

/// The complete subtrees `(level, index)` that `low..high` consists of, left to right.
fn peaks_of(low: u64, high: u64) -> impl DoubleEndedIterator<Item = (u8, u64)> {
    let width = high - low;
    (0..64u8).rev().filter(move |level| width >> level & 1 == 1).map(move |level| {
        // Everything above this level comes before it.
        let before = width & (u64::MAX << level << 1);
        (level, (low + before) >> level)
    })
}

/// The largest power of two below `width`, for `width >= 2`: where RFC 9162 splits a range.
fn split(width: u64) -> u64 {
    1 << (width - 1).ilog2()
}
