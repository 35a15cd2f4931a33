//! Evidence at hand while one question is answered: verified once, kept for the next look.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use picket_ledger::entry::Entry;
use picket_ledger::hash::{leaf_hash, node_hash};
use picket_ledger::tree::{CompactRange, NodeSource};
use picket_ledger::{Hash, KeyChain};

use crate::archive::Archive;
use crate::boxes::{self, Boxes, Head};
use crate::error::{AuditorError, Result};
use crate::evidence::{self, Held};
use crate::index::{Index, LEAST_LEVEL};
use crate::origin::Origin;

/// How many segments are kept at hand; each has at most 16 MiB.
const KEPT: usize = 4;

/// A reader of evidence with a short memory.
pub struct Shelf<'a> {
    archive: &'a Archive,
    boxes: &'a Boxes,
    held: RefCell<VecDeque<(Origin, Rc<Held>)>>,
    known: RefCell<BTreeMap<Origin, Rc<Known>>>,
}

/// What does not change about a box while a question is answered.
#[derive(Debug)]
pub struct Known {
    /// Its keys.
    pub keys: KeyChain,
    /// What was held of it when it was first looked at.
    pub head: Head,
    firsts: Vec<u64>,
}

impl<'a> Shelf<'a> {
    /// An empty shelf.
    pub fn new(archive: &'a Archive, boxes: &'a Boxes) -> Self {
        Self { archive, boxes, held: RefCell::default(), known: RefCell::default() }
    }

    /// What is known of a box.
    ///
    /// # Errors
    /// [`AuditorError::Evidence`] when it is not enrolled any more, or its last segment does not hold.
    pub fn known(&self, origin: &Origin) -> Result<Rc<Known>> {
        if let Some(known) = self.known.borrow().get(origin) {
            return Ok(Rc::clone(known));
        }
        let keys = self.boxes.chain(origin, self.archive)?.ok_or_else(|| AuditorError::Evidence {
            path: self.archive.segment_path(origin, 0),
            message: "the box is not enrolled".into(),
        })?;
        let head = boxes::load_head(origin, &keys, self.archive)??;
        let firsts = self.archive.firsts(origin)?;
        let known = Rc::new(Known { keys, head, firsts });
        self.known.borrow_mut().insert(origin.clone(), Rc::clone(&known));
        Ok(known)
    }

    /// The verified segment that starts at `first`.
    pub fn segment(&self, origin: &Origin, first: u64) -> Result<Rc<Held>> {
        let found = self.held.borrow().iter().find(|(o, h)| o == origin && h.verified.size_before == first).cloned();
        if let Some((_, held)) = found {
            return Ok(held);
        }
        let known = self.known(origin)?;
        let held = Rc::new(evidence::read(self.archive, origin, &known.keys, first)?);
        let mut kept = self.held.borrow_mut();
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((origin.clone(), Rc::clone(&held)));
        Ok(held)
    }

    /// The bytes of one entry, from the segment that starts at `first`.
    ///
    /// # Errors
    /// [`AuditorError::Evidence`] when that segment does not hold it: the index was wrong.
    pub fn entry_bytes(&self, origin: &Origin, first: u64, index: u64) -> Result<Vec<u8>> {
        let held = self.segment(origin, first)?;
        let segment = held.segment();
        let place = index.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        match place.and_then(|place| segment.entries.get(place)) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => Err(held.damage(format!("it does not hold entry {index}"))),
        }
    }

    /// One entry, decoded, and naming its own place.
    pub fn entry(&self, origin: &Origin, first: u64, index: u64) -> Result<Entry> {
        let bytes = self.entry_bytes(origin, first, index)?;
        let path = self.archive.segment_path(origin, first);
        match Entry::decode(&bytes) {
            Ok(entry) if entry.index == index => Ok(entry),
            Ok(entry) => Err(AuditorError::Evidence {
                path,
                message: format!("entry {index} says that it is entry {}", entry.index),
            }),
            Err(error) => {
                Err(AuditorError::Evidence { path, message: format!("entry {index}: {}", crate::words(&error)) })
            }
        }
    }

    /// The nodes of a box's tree, for proofs; with an index they are looked up there, without one computed.
    pub fn nodes(&'a self, origin: &'a Origin, index: Option<&'a Index>) -> Nodes<'a> {
        Nodes { shelf: self, origin, index }
    }
}

/// The tree of one box: from the index where it has nodes, from the evidence otherwise.
pub struct Nodes<'a> {
    shelf: &'a Shelf<'a>,
    origin: &'a Origin,
    index: Option<&'a Index>,
}

impl NodeSource for Nodes<'_> {
    type Error = AuditorError;

    fn node(&self, level: u8, number: u64) -> Result<Hash> {
        if let Some(index) = self.index.filter(|_| level >= LEAST_LEVEL)
            && let Some(hash) = index.node(self.origin, level, number)?
        {
            return Ok(hash);
        }
        if level == 0 {
            return self.leaf(number);
        }
        let left = self.node(level - 1, number * 2)?;
        let right = self.node(level - 1, number * 2 + 1)?;
        Ok(node_hash(&left, &right))
    }
}

impl Nodes<'_> {
    fn leaf(&self, number: u64) -> Result<Hash> {
        let known = self.shelf.known(self.origin)?;
        let first = evidence::covering(&known.firsts, number).unwrap_or(0);
        Ok(leaf_hash(&self.shelf.entry_bytes(self.origin, first, number)?))
    }
}

/// The nodes that one segment gives by itself: the subtrees of its frontier, and those that its entries complete. They
/// are all that the proof of one of its entries under its own checkpoint needs.
pub struct SegmentNodes {
    held: Rc<Held>,
    nodes: BTreeMap<(u8, u64), Hash>,
}

impl SegmentNodes {
    /// The nodes of this segment.
    pub fn new(held: Rc<Held>) -> Self {
        let mut nodes = BTreeMap::new();
        let segment = held.segment();
        // The frontier has a subtree for each one-bit of `first`, from the highest to the lowest.
        let levels = (0..u64::BITS).rev().filter(|level| (segment.first >> level) & 1 == 1);
        for (level, hash) in levels.zip(&segment.frontier) {
            // The subtree ends where the lower bits begin: it is the one before, counted in its own size.
            let number = (segment.first >> level) - 1;
            nodes.insert((u8::try_from(level).unwrap_or(u8::MAX), number), *hash);
        }
        if let Ok(mut range) = CompactRange::from_parts(segment.first, segment.frontier.clone()) {
            for entry in &segment.entries {
                range.push_with(leaf_hash(entry), |level, number, hash| {
                    nodes.insert((level, number), *hash);
                });
            }
        }
        Self { held, nodes }
    }
}

impl NodeSource for SegmentNodes {
    type Error = AuditorError;

    fn node(&self, level: u8, number: u64) -> Result<Hash> {
        let missing = || self.held.damage(format!("it does not give node {number} of level {level}"));
        self.nodes.get(&(level, number)).copied().ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use picket_ledger::hash::sha256;
    use picket_ledger::proof::verify_inclusion;
    use picket_ledger::{Checkpoint, Segment, SigningKey, tree};

    #[test]
    fn a_segment_proves_its_entries_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let writer = crate::durable::Writer::open(folder.path(), true).unwrap();
        let archive = Archive::new(folder.path());
        let origin = Origin::parse("box-17").unwrap();
        let key = SigningKey::from_seed("box-17", &[1; 32]).unwrap();
        let entries: Vec<Vec<u8>> = (0..40_u8).map(|n| sha256(&[n]).to_vec()).collect();
        let tree_at = |size: usize| {
            let mut tree = CompactRange::new();
            entries[..size].iter().for_each(|entry| tree.push(leaf_hash(entry)));
            tree
        };
        let mut proven = 0;
        for first in 0..entries.len() {
            let end = entries.len() - first % 7;
            if first >= end {
                continue;
            }
            let after = tree_at(end);
            let segment = Segment {
                origin: "box-17".to_owned(),
                first: first as u64,
                frontier: tree_at(first).peaks().to_vec(),
                entries: entries[first..end].to_vec(),
                checkpoint: Checkpoint::new("box-17", end as u64, after.root()).sign(&key),
            };
            archive.put_segment(&writer, &origin, first as u64, &segment.encode().unwrap()).unwrap();
            let keys = KeyChain::new(key.verifier());
            let held = evidence::read(&archive, &origin, &keys, first as u64).unwrap();
            let nodes = SegmentNodes::new(Rc::new(held));
            for (index, entry) in entries.iter().enumerate().take(end).skip(first) {
                let path = tree::inclusion_proof(&nodes, index as u64, end as u64).unwrap();
                verify_inclusion(index as u64, end as u64, &leaf_hash(entry), &path, &after.root()).unwrap();
                proven += 1;
            }
            // An entry of another segment is not in it.
            assert!(first < 2 || tree::inclusion_proof(&nodes, 0, end as u64).is_err());
        }
        assert!(proven > 500, "{proven}");
    }
}
