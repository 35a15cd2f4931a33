//! Proof bundles, and Merkle proofs of all kinds against a tree that is computed from the definitions.

use picket_ledger::Hash;
use picket_ledger::bundle::Bundle;
use picket_ledger::checkpoint::{self, Checkpoint};
use picket_ledger::hash::{empty_root, leaf_hash, node_hash};
use picket_ledger::proof::{
    root_from_inclusion, verify_consistency, verify_inclusion, verify_subtree_consistency, verify_subtree_inclusion,
};
use picket_ledger::tree::{
    NodeSource, consistency_proof, inclusion_proof, is_subtree, subtree_consistency_proof, subtree_inclusion_proof,
};

use super::seeds::{BOX, signer};

/// Any bytes as a bundle, or as four numbers and hashes.
pub fn run(data: &[u8]) {
    match std::str::from_utf8(data) {
        Ok(text) if text.starts_with("c2sp.org/") => bundle(text),
        _ => {
            numbers(data);
            small_tree(data);
        }
    }
}

fn bundle(text: &str) {
    let Ok(bundle) = Bundle::parse(text) else { return };
    assert_eq!(bundle.encode(), text, "a bundle has one form");
    let stranger = signer(BOX).expect("a name").verifier();
    if let Ok(verified) = bundle.verify(&stranger) {
        assert_eq!(Some(verified.entry), bundle.entry);
    }
    // With a checkpoint of ours over the root that its proof leads to, it holds, for this entry and place alone.
    let (Some(entry), Ok(head)) = (&bundle.entry, checkpoint::peek(&bundle.checkpoint)) else { return };
    let key = signer(&head.origin).expect("an origin is a key name");
    let Ok(root) = root_from_inclusion(bundle.index, head.size, &leaf_hash(entry), &bundle.proof) else {
        assert!(bundle.verify(&key.verifier()).is_err());
        return;
    };
    let signed = Bundle { checkpoint: Checkpoint::new(head.origin, head.size, root).sign(&key), ..bundle.clone() };
    let verified = signed.verify(&key.verifier()).expect("what we sign holds");
    assert_eq!((&verified.entry, verified.index, verified.leaf), (entry, signed.index, leaf_hash(entry)));
    let longer = [&entry[..], &[0]].concat();
    assert!(Bundle { entry: Some(longer), ..signed.clone() }.verify(&key.verifier()).is_err());
    assert!(signed.verify_entry(b"another", &key.verifier()).is_err());
    // A leaf with itself as its sibling stands at both places. In a log no two are the same, as each names its index.
    if head.size > 1 && signed.proof.first() != Some(&verified.leaf) {
        let elsewhere = if signed.index == 0 { 1 } else { signed.index - 1 };
        assert!(Bundle { index: elsewhere, ..signed }.verify(&key.verifier()).is_err());
    }
}

/// Numbers of any size and hashes that were never a proof: refused, or what they lead to is the root.
fn numbers(data: &[u8]) {
    let Some((numbers, hashes)) = data.split_first_chunk::<32>() else { return };
    let number = |at: usize| u64::from_be_bytes(numbers[at * 8..at * 8 + 8].try_into().expect("8 bytes"));
    let (index, start, end, size) = (number(0), number(1), number(2), number(3));
    let hashes: Vec<Hash> = hashes.chunks_exact(32).map(|hash| hash.try_into().expect("32 bytes")).collect();
    let leaf = leaf_hash(numbers);
    if let Ok(root) = root_from_inclusion(index, size, &leaf, &hashes) {
        assert!(index < size);
        verify_inclusion(index, size, &leaf, &hashes, &root).expect("the root that it leads to");
        assert!(verify_inclusion(index, size, &leaf, &hashes, &leaf_hash(&root)).is_err());
    }
    for (one, two) in [(start, end), (end, size)] {
        let holds = verify_consistency(one, two, &hashes, &leaf, &leaf);
        assert_eq!(holds.is_ok(), one == two && one > 0 && hashes.is_empty());
    }
    let subtree = verify_subtree_consistency(start, end, size, &hashes, &leaf, &leaf);
    let whole = start == 0 && end == size && end > 0 && hashes.is_empty();
    assert_eq!(subtree.is_ok(), whole, "{start}..{end} of {size}");
    let _ = verify_subtree_inclusion(index, start, end, &leaf, &hashes, &leaf);
}

/// A tree of at most 255 leaves, as RFC 9162 section 2.1.1 defines it.
struct Naive(Vec<Hash>);

impl Naive {
    fn root(&self, start: usize, end: usize) -> Hash {
        match end - start {
            0 => empty_root(),
            1 => self.0[start],
            width => {
                let middle = start + (width.next_power_of_two() / 2);
                node_hash(&self.root(start, middle), &self.root(middle, end))
            }
        }
    }
}

impl NodeSource for Naive {
    type Error = String;

    fn node(&self, level: u8, index: u64) -> Result<Hash, String> {
        let (start, end) = (index << level, (index + 1) << level);
        let (start, end) = (usize::try_from(start).expect("small"), usize::try_from(end).expect("small"));
        if end > self.0.len() { Err(format!("node ({level}, {index})")) } else { Ok(self.root(start, end)) }
    }
}

/// Proofs are made where one can be, hold, and hold for nothing else.
fn small_tree(data: &[u8]) {
    let [size, start, end, index, rest @ ..] = data else { return };
    let tree = Naive((0..*size).map(|leaf| leaf_hash(&[leaf])).collect());
    let (place, from, to, all) = (usize::from(*index), usize::from(*start), usize::from(*end), usize::from(*size));
    let (index, start, end, size) = (u64::from(*index), u64::from(*start), u64::from(*end), u64::from(*size));
    let root = tree.root(0, all);
    // What the rest of the input makes of a proof: one bit of one hash.
    let bent = |proof: &[Hash]| {
        let mut bent = proof.to_vec();
        let at = rest.first().map_or(0, |byte| usize::from(*byte));
        match at % (proof.len() + 1) {
            0 => bent.push([7; 32]),
            hash => bent[hash - 1][at % 32] ^= 1,
        }
        bent
    };

    match inclusion_proof(&tree, index, size) {
        Ok(proof) => {
            assert!(index < size);
            verify_inclusion(index, size, &tree.0[place], &proof, &root).expect("a proof holds");
            assert!(verify_inclusion(index, size, &tree.0[place], &bent(&proof), &root).is_err());
        }
        Err(_) => assert!(index >= size),
    }
    match consistency_proof(&tree, end, size) {
        Ok(proof) => {
            let earlier = tree.root(0, to);
            verify_consistency(end, size, &proof, &earlier, &root).expect("a proof holds");
            assert!(verify_consistency(end, size, &bent(&proof), &earlier, &root).is_err());
        }
        Err(_) => assert!(end == 0 || end > size),
    }
    if !is_subtree(start, end) || end > size {
        assert!(subtree_consistency_proof(&tree, start, end, size).is_err());
        return;
    }
    let subtree = tree.root(from, to);
    let proof = subtree_consistency_proof(&tree, start, end, size).expect("a subtree has a proof");
    verify_subtree_consistency(start, end, size, &proof, &subtree, &root).expect("a proof holds");
    assert!(verify_subtree_consistency(start, end, size, &bent(&proof), &subtree, &root).is_err());
    if (start..end).contains(&index) {
        let proof = subtree_inclusion_proof(&tree, index, start, end).expect("a leaf has a proof");
        let leaf = &tree.0[place];
        verify_subtree_inclusion(index, start, end, leaf, &proof, &subtree).expect("a proof holds");
        assert!(verify_subtree_inclusion(index, start, end, leaf, &bent(&proof), &subtree).is_err());
    } else {
        assert!(subtree_inclusion_proof(&tree, index, start, end).is_err());
    }
}
