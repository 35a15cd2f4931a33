//! Evidence at hand while one question is answered: verified once, kept for the next look.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use picket_ledger::entry::Entry;
use picket_ledger::hash::{leaf_hash, node_hash};
use picket_ledger::tree::NodeSource;
use picket_ledger::{Hash, VerifyingKey};

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
    /// Its public key.
    pub key: VerifyingKey,
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
        let key = self.boxes.key(origin)?.ok_or_else(|| AuditorError::Evidence {
            path: self.archive.segment_path(origin, 0),
            message: "the box is not enrolled".into(),
        })?;
        let head = boxes::load_head(origin, &key, self.archive)??;
        let firsts = self.archive.firsts(origin)?;
        let known = Rc::new(Known { key, head, firsts });
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
        let held = Rc::new(evidence::read(self.archive, origin, &known.key, first)?);
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
            Err(error) => Err(AuditorError::Evidence { path, message: format!("entry {index}: {}", crate::words(&error)) }),
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
        if let Some(index) = self.index.filter(|_| level >= LEAST_LEVEL) {
            if let Some(hash) = index.node(self.origin, level, number)? {
                return Ok(hash);
            }
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
