//! Verification of Merkle proofs: what an auditor runs on what a log claims.
//!
//! Inclusion and consistency are RFC 9162 sections 2.1.3.2 and 2.1.4.2. Their forms for subtrees are
//! draft-ietf-plants-merkle-tree-certs sections 4.3.2 and 4.4.3, of which the former are the case
//! `start = 0`.

use crate::hash::{Hash, empty_root, node_hash};
use crate::tree::is_subtree;

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The leaf is not in the tree or subtree: `start <= index < end` does not hold.
    #[error("leaf {index} is not among leaves {start} to {end}")]
    Index {
        /// The leaf that the proof is about.
        index: u64,
        /// The first leaf of the tree or subtree.
        start: u64,
        /// The leaf after its last.
        end: u64,
    },
    /// `start..end` is no subtree of a tree of this size, or the earlier of two trees is empty, of which
    /// every tree is a continuation and nothing can be proven.
    #[error("leaves {start} to {end} are no subtree of a tree of size {size} that can be proven")]
    Subtree {
        /// The first leaf.
        start: u64,
        /// The leaf after the last.
        end: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The proof has another number of hashes than one for this place and size.
    #[error("the proof has {found} hashes, {expected} belong there")]
    Length {
        /// How many hashes belong there.
        expected: usize,
        /// How many the proof has.
        found: usize,
    },
    /// The hashes lead to another root than the one claimed for the tree.
    #[error("the proof leads to another root than the tree's")]
    Root,
    /// The hashes lead to the root of the tree, and to another root than the one claimed for the earlier tree or the
    /// subtree: two claims that exclude each other.
    #[error("the proof leads to another root than the earlier tree's or the subtree's")]
    EarlierRoot,
}

/// Verifies that `leaf` is leaf number `index` of the tree of `size` leaves with this root.
///
/// # Errors
/// [`ProofError`] unless `index < size`, the proof has exactly the hashes it needs, and they lead to `root`.
pub fn verify_inclusion(index: u64, size: u64, leaf: &Hash, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    verify_subtree_inclusion(index, 0, size, leaf, proof, root)
}

/// The root that an inclusion proof leads to, for a caller who compares it himself.
///
/// # Errors
/// [`ProofError`] unless `index < size` and the proof has exactly the hashes it needs.
pub fn root_from_inclusion(index: u64, size: u64, leaf: &Hash, proof: &[Hash]) -> Result<Hash, ProofError> {
    root_from_subtree_inclusion(index, 0, size, leaf, proof)
}

/// Verifies that `leaf` is leaf number `index` (counted in the whole tree) of the subtree over the leaves
/// `start..end` with this root.
///
/// # Errors
/// [`ProofError`] unless `start..end` is a subtree, `start <= index < end`, the proof has exactly the hashes
/// it needs, and they lead to `root`.
pub fn verify_subtree_inclusion(
    index: u64,
    start: u64,
    end: u64,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    match root_from_subtree_inclusion(index, start, end, leaf, proof)? {
        found if found == *root => Ok(()),
        _ => Err(ProofError::Root),
    }
}

/// Verifies that the tree of `size1` leaves with root `root1` is the start of the tree of `size2` leaves with
/// root `root2`.
///
/// # Errors
/// [`ProofError`] unless `1 <= size1 <= size2`, the proof has exactly the hashes it needs, and they lead to
/// both roots.
pub fn verify_consistency(
    size1: u64,
    size2: u64,
    proof: &[Hash],
    root1: &Hash,
    root2: &Hash,
) -> Result<(), ProofError> {
    if size1 == 0 {
        return Err(ProofError::Subtree { start: 0, end: size1, size: size2 });
    }
    verify_subtree_consistency(0, size1, size2, proof, root1, root2)
}

/// Verifies that the subtree over the leaves `start..end` with root `subtree` belongs to the tree of `size`
/// leaves with root `root`.
///
/// The empty subtree belongs to every tree: its root is that of the empty tree, its proof is empty, and
/// `root` plays no part.
///
/// # Errors
/// [`ProofError`] unless `start..end` is a subtree, `end <= size`, the proof has exactly the hashes it needs,
/// and they lead to both roots.
pub fn verify_subtree_consistency(
    start: u64,
    end: u64,
    size: u64,
    proof: &[Hash],
    subtree: &Hash,
    root: &Hash,
) -> Result<(), ProofError> {
    if !is_subtree(start, end) || end > size {
        return Err(ProofError::Subtree { start, end, size });
    }
    if start == end {
        expect_length(proof, 0)?;
        return if *subtree == empty_root() { Ok(()) } else { Err(ProofError::EarlierRoot) };
    }

    // The draft's fn, sn and tn: the first and last node of the subtree, and the last node of the tree, all
    // on the level that the walk has reached.
    let (mut first, mut last, mut end_of_tree) = (start, end - 1, size - 1);
    // Climb to the node where the walk starts: the subtree's root if it is a node of the tree, else the
    // largest node that ends where the subtree ends.
    let level = if last == end_of_tree {
        // Both end with the tree: the subtree's root is a node, complete or not.
        levels_until_equal(first, last)
    } else {
        levels_until_equal(first, last).min(last.trailing_ones())
    };
    first = shift(first, level);
    last = shift(last, level);
    end_of_tree = shift(end_of_tree, level);

    let (seed, rest) = if first == last {
        (*subtree, proof)
    } else {
        let (seed, rest) = proof.split_first().ok_or(ProofError::Length { expected: 1, found: 0 })?;
        (*seed, rest)
    };

    let (mut found_subtree, mut found_root) = (seed, seed);
    let mut used = proof.len() - rest.len();
    for hash in rest {
        if end_of_tree == 0 {
            return Err(ProofError::Length { expected: used, found: proof.len() });
        }
        if last & 1 == 1 || last == end_of_tree {
            if first < last {
                found_subtree = node_hash(hash, &found_subtree);
            }
            found_root = node_hash(hash, &found_root);
            while last & 1 == 0 {
                first >>= 1;
                last >>= 1;
                end_of_tree >>= 1;
            }
        } else {
            found_root = node_hash(&found_root, hash);
        }
        first >>= 1;
        last >>= 1;
        end_of_tree >>= 1;
        used += 1;
    }
    if end_of_tree != 0 {
        return Err(ProofError::Length { expected: used + 1, found: proof.len() });
    }
    // In this order, so that `EarlierRoot` says something for sure: the tree of `root` has another start.
    if found_root != *root {
        return Err(ProofError::Root);
    }
    if found_subtree != *subtree {
        return Err(ProofError::EarlierRoot);
    }
    Ok(())
}

fn root_from_subtree_inclusion(
    index: u64,
    start: u64,
    end: u64,
    leaf: &Hash,
    proof: &[Hash],
) -> Result<Hash, ProofError> {
    if !is_subtree(start, end) {
        return Err(ProofError::Subtree { start, end, size: end });
    }
    if index < start || index >= end {
        return Err(ProofError::Index { index, start, end });
    }
    let (index, last) = (index - start, end - start - 1);
    // Up to the level where leaf and last leaf meet, each level has a sibling, to the right or left by the
    // bit of the index; above it, only left siblings, one for each one-bit that remains.
    let inner = levels_until_equal(index, last);
    let border = shift(index, inner).count_ones();
    expect_length(proof, (inner + border) as usize)?;
    let (inner_part, border_part) = proof.split_at(inner as usize);
    let mut hash = *leaf;
    for (level, sibling) in inner_part.iter().enumerate() {
        hash = if index >> level & 1 == 0 { node_hash(&hash, sibling) } else { node_hash(sibling, &hash) };
    }
    Ok(border_part.iter().fold(hash, |right, left| node_hash(left, &right)))
}

/// How many levels up two nodes of one level have the same ancestor: 0 to 64.
fn levels_until_equal(one: u64, other: u64) -> u32 {
    u64::BITS - (one ^ other).leading_zeros()
}

/// A shift that is zero, not undefined, at 64.
fn shift(value: u64, by: u32) -> u64 {
    value.checked_shr(by).unwrap_or(0)
}

fn expect_length(proof: &[Hash], expected: usize) -> Result<(), ProofError> {
    if proof.len() == expected { Ok(()) } else { Err(ProofError::Length { expected, found: proof.len() }) }
}
