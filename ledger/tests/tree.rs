//! Compact ranges and proofs against a naive tree, for every index and size up to 130.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::NaiveTree;
use picket_ledger::hash::{Hash, empty_root};
use picket_ledger::proof::{
    ProofError, root_from_inclusion, verify_consistency, verify_inclusion, verify_subtree_consistency,
    verify_subtree_inclusion,
};
use picket_ledger::tree::{
    CompactRange, TreeError, consistency_proof, frontier_at, inclusion_proof, is_subtree, root_at,
    subtree_consistency_proof, subtree_inclusion_proof, subtree_root,
};

const LARGEST: u64 = 130;

#[test]
fn compact_range_has_the_root_and_peaks_of_the_naive_tree_at_every_size() {
    let tree = NaiveTree::new(LARGEST);
    let mut range = CompactRange::new();
    let mut nodes = 0;
    assert_eq!(range.root(), empty_root());
    for (size, leaf) in (1..).zip(&tree.leaves) {
        range.push_with(*leaf, |level, index, hash| {
            assert_eq!(*hash, tree.root(index << level, (index + 1) << level), "node ({level}, {index})");
            nodes += 1;
        });
        assert_eq!(range.size(), size);
        assert_eq!(range.root(), tree.root(0, size), "size {size}");
        assert_eq!(range.root(), root_at(&tree, size).unwrap(), "size {size}");
        assert_eq!(range, frontier_at(&tree, size).unwrap(), "size {size}");
        assert_eq!(CompactRange::from_parts(size, range.peaks().to_vec()).unwrap(), range);
    }
    // Each size has as many complete nodes as leaves, less one for each peak, twice.
    assert_eq!(nodes, 2 * LARGEST - u64::from(LARGEST.count_ones()));
}

#[test]
fn compact_range_refuses_another_number_of_peaks_than_its_size_has() {
    for (size, peaks) in [(0, 1), (1, 0), (1, 2), (6, 1), (6, 3), (u64::MAX, 63)] {
        let error = CompactRange::from_parts(size, vec![[0; 32]; peaks]).unwrap_err();
        assert_eq!((error.size, error.found), (size, peaks));
    }
}

#[test]
fn inclusion_proofs_are_those_of_rfc_9162_and_hold() {
    let tree = NaiveTree::new(LARGEST);
    for size in 1..=LARGEST {
        let leaves = &tree.leaves[..usize::try_from(size).unwrap()];
        let root = tree.root(0, size);
        for index in 0..size {
            let place = usize::try_from(index).unwrap();
            let proof = inclusion_proof(&tree, index, size).unwrap();
            assert_eq!(proof, NaiveTree::path(place, leaves), "leaf {index} of {size}");
            verify_inclusion(index, size, &leaves[place], &proof, &root).unwrap();
            assert_eq!(root_from_inclusion(index, size, &leaves[place], &proof), Ok(root));
        }
    }
}

#[test]
fn consistency_proofs_are_those_of_rfc_9162_and_hold() {
    let tree = NaiveTree::new(LARGEST);
    for size2 in 1..=LARGEST {
        let leaves = &tree.leaves[..usize::try_from(size2).unwrap()];
        let root2 = tree.root(0, size2);
        for size1 in 1..=size2 {
            let proof = consistency_proof(&tree, size1, size2).unwrap();
            assert_eq!(proof, NaiveTree::subproof(usize::try_from(size1).unwrap(), leaves, true), "{size1} to {size2}");
            verify_consistency(size1, size2, &proof, &tree.root(0, size1), &root2).unwrap();
        }
    }
}

#[test]
fn subtree_proofs_hold_for_every_subtree() {
    let tree = NaiveTree::new(40);
    let mut subtrees = 0;
    for size in 0..=40 {
        for end in 0..=size {
            for start in (0..=end).filter(|start| is_subtree(*start, end)) {
                subtrees += 1;
                let subtree = subtree_root(&tree, start, end).unwrap();
                assert_eq!(subtree, tree.root(start, end));
                let proof = subtree_consistency_proof(&tree, start, end, size).unwrap();
                verify_subtree_consistency(start, end, size, &proof, &subtree, &tree.root(0, size))
                    .unwrap_or_else(|error| panic!("{start}..{end} of {size}: {error}"));
                for index in start..end {
                    let leaf = &tree.leaves[usize::try_from(index).unwrap()];
                    let proof = subtree_inclusion_proof(&tree, index, start, end).unwrap();
                    verify_subtree_inclusion(index, start, end, leaf, &proof, &subtree).unwrap();
                }
            }
        }
    }
    assert!(subtrees > 3000, "{subtrees}");
}

/// Each way of bending a proof that holds must break it.
#[test]
fn bent_proofs_do_not_hold() {
    let tree = NaiveTree::new(33);
    for size in 1..=33_u64 {
        let root = tree.root(0, size);
        for index in 0..size {
            let leaf = tree.leaves[usize::try_from(index).unwrap()];
            let proof = inclusion_proof(&tree, index, size).unwrap();
            for bent in bent(&proof) {
                assert!(verify_inclusion(index, size, &leaf, &bent, &root).is_err(), "leaf {index} of {size}");
            }
            assert_eq!(verify_inclusion(index, size, &leaf, &proof, &flipped(&root)), Err(ProofError::Root));
            assert_eq!(verify_inclusion(index, size, &flipped(&leaf), &proof, &root), Err(ProofError::Root));
            for other in (0..size).filter(|other| *other != index) {
                assert!(verify_inclusion(other, size, &leaf, &proof, &root).is_err(), "{index} as {other} of {size}");
            }
        }
        for size1 in 1..=size {
            let (root1, proof) = (tree.root(0, size1), consistency_proof(&tree, size1, size).unwrap());
            for bent in bent(&proof) {
                assert!(verify_consistency(size1, size, &bent, &root1, &root).is_err(), "{size1} to {size}");
            }
            assert!(verify_consistency(size1, size, &proof, &flipped(&root1), &root).is_err());
            assert!(verify_consistency(size1, size, &proof, &root1, &flipped(&root)).is_err());
        }
    }
}

#[test]
fn preconditions_are_errors_and_not_panics() {
    let tree = NaiveTree::new(8);
    let hash = [0; 32];
    assert_eq!(inclusion_proof(&tree, 8, 8), Err(TreeError::Index { index: 8, start: 0, end: 8 }));
    assert_eq!(inclusion_proof(&tree, 0, 0), Err(TreeError::Index { index: 0, start: 0, end: 0 }));
    assert_eq!(consistency_proof(&tree, 0, 8), Err(TreeError::Subtree { start: 0, end: 0, size: 8 }));
    assert_eq!(consistency_proof(&tree, 9, 8), Err(TreeError::Subtree { start: 0, end: 9, size: 8 }));
    assert_eq!(subtree_root(&tree, 3, 5), Err(TreeError::Subtree { start: 3, end: 5, size: 5 }));
    assert!(matches!(inclusion_proof(&tree, 0, 16), Err(TreeError::Source(_))));
    assert!(verify_inclusion(u64::MAX, u64::MAX, &hash, &[], &hash).is_err());
    assert!(verify_inclusion(u64::MAX - 1, u64::MAX, &hash, &[hash; 64], &hash).is_err());
    assert!(verify_inclusion(0, u64::MAX, &hash, &[hash; 64], &hash).is_err());
    for (size1, size2) in [(1, u64::MAX), (u64::MAX - 1, u64::MAX), (1 << 63, u64::MAX), ((1 << 63) + 1, u64::MAX)] {
        for length in 0..70 {
            assert!(verify_consistency(size1, size2, &vec![hash; length], &hash, &hash).is_err());
        }
    }
    assert!(verify_consistency(u64::MAX, u64::MAX, &[], &hash, &hash).is_ok());
    assert!(is_subtree(0, u64::MAX) && is_subtree(1 << 63, u64::MAX) && is_subtree(u64::MAX, u64::MAX));
    assert!(!is_subtree(1, u64::MAX) && !is_subtree(2, 1) && !is_subtree(4, 9));
}

/// A hash changed, dropped, doubled, swapped or added, at every place.
fn bent(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all = vec![[&[[9; 32]], proof].concat(), [proof, &[[9; 32]]].concat(), [proof, &[empty_root()]].concat()];
    for place in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[place] = flipped(&changed[place]);
        let mut shorter = proof.to_vec();
        shorter.remove(place);
        let mut longer = proof.to_vec();
        longer.insert(place, proof[place]);
        all.extend([changed, shorter, longer]);
        if place > 0 {
            let mut swapped = proof.to_vec();
            swapped.swap(place - 1, place);
            all.push(swapped);
        }
    }
    all
}

fn flipped(hash: &Hash) -> Hash {
    let mut hash = *hash;
    hash[31] ^= 1;
    hash
}
