//! Removing packs of which little is needed: a later pack takes that over.
//!
//! Each step that reaches the base makes a pack, and most of what is in it is out of date some steps later: the tail of
//! the entries, the head. So with each new pack, older ones of which at most a quarter is needed are read, what is needed of
//! them goes into the new one as well, and they are removed once the index is durable. The new pack says which sequences
//! need no pack any more (the *holes*), so that a pack which is missing is not taken for one that was removed.

use std::collections::BTreeMap;

use crate::StoreError;
use crate::pack_file::{file_name, pack_of, read_list, unpacked};
use crate::store::{Store, Write};

use super::{PackedStore, lock};

/// Where the holes are kept: pairs of first and last sequence (u64 each, little-endian), ascending.
const HOLES_KEY: &[u8] = b"\0holes";
/// Packs that are merged into one at most.
const MERGE: usize = 8;
/// Bytes taken over from other packs at most.
const MERGE_BYTES: usize = 1024 * 1024;

/// What goes into a pack, and the packs that it replaces.
pub(super) struct Merged {
    pub(super) writes: Vec<Write>,
    pub(super) packs: Vec<u64>,
}

/// Ranges of sequences that need no pack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holes(BTreeMap<u64, u64>);

impl Holes {
    fn add(&mut self, first: u64, last: u64) {
        let (mut first, mut last) = (first, last);
        let joined: Vec<_> =
            self.0.iter().filter(|(from, to)| **from <= last + 1 && first <= **to + 1).map(|(a, b)| (*a, *b)).collect();
        for (from, to) in joined {
            self.0.remove(&from);
            (first, last) = (first.min(from), last.max(to));
        }
        self.0.insert(first, last);
    }

    pub(super) fn covers(&self, first: u64, last: u64) -> bool {
        self.0.range(..=first).next_back().is_some_and(|(_, to)| last <= *to)
    }

    /// The parts of a range, both ends included, that are in no hole.
    pub(super) fn rest(&self, first: u64, last: u64) -> Vec<(u64, u64)> {
        let mut rest = Vec::new();
        let mut next = first;
        for (from, to) in self.0.iter().filter(|(_, to)| **to >= first) {
            if *from > last {
                break;
            }
            if *from > next {
                rest.push((next, from - 1));
            }
            next = to + 1;
        }
        if next <= last {
            rest.push((next, last));
        }
        rest
    }

    fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(first, last)| [first.to_le_bytes(), last.to_le_bytes()].concat()).collect()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks::<16>();
        let number = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let pairs = numbers.iter().map(|pair| Some((number(pair)?, number(&pair[8..])?)));
        pairs.collect::<Option<_>>().filter(|_| rest.is_empty()).map(Self)
    }
}

impl PackedStore {
    /// Adds to writes what is needed of packs that can go.
    pub(super) fn merge(&self, writes: Vec<Write>) -> Result<Merged, StoreError> {
        let packs = lock(&self.packs).clone();
        let done = lock(&self.done).clone();
        let little = |pack: &u64, bytes: u64| {
            let live = lock(&self.live).get(pack).copied().unwrap_or(0);
            live.saturating_mul(4) <= bytes && usize::try_from(live).is_ok_and(|live| live <= MERGE_BYTES)
        };
        let candidates = packs.iter().filter(|(pack, known)| !done.contains(pack) && little(pack, known.bytes));
        let candidates: Vec<_> = candidates.map(|(pack, known)| (*pack, known.first)).take(MERGE).collect();
        if candidates.is_empty() {
            return Ok(Merged { writes, packs: Vec::new() });
        }
        let mut holes = self.stored_holes()?;
        let mut writes: BTreeMap<_, _> = writes.into_iter().collect();
        let mut gone = Vec::new();
        let mut bytes = 0;
        for (pack, first) in candidates {
            let older = packs.range(..pack).any(|(older, _)| !gone.contains(older) && !done.contains(older));
            let Some(taken) = self.needed(pack, older, &writes)? else { continue };
            bytes += taken.iter().filter_map(|(_, value)| value.as_ref()).map(Vec::len).sum::<usize>();
            writes.extend(taken);
            holes.add(first, pack);
            gone.push(pack);
            if bytes > MERGE_BYTES {
                break;
            }
        }
        if !gone.is_empty() {
            writes.insert(HOLES_KEY.to_vec(), Some(holes.encode()));
        }
        Ok(Merged { writes: writes.into_iter().collect(), packs: gone })
    }

    /// What is needed of a pack besides what is written anyway; `None` when it cannot be read and so has to stay. A removal
    /// is needed as long as an older pack may have the key.
    fn needed(
        &self,
        pack: u64,
        older: bool,
        writes: &BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    ) -> Result<Option<Vec<Write>>, StoreError> {
        let Ok(file) = self.file(pack) else { return Ok(None) };
        let Some(list) = read_list(&file) else { return Ok(None) };
        let mut taken = Vec::new();
        for listed in list {
            if writes.contains_key(&listed.key) || listed.key == HOLES_KEY {
                continue;
            }
            match self.index.get(&listed.key)? {
                None if older => taken.push((listed.key, None)),
                None => {}
                // Without a pack it may be of this one.
                Some(stored) if pack_of(&stored).is_none_or(|of| of == pack) => match self.resolve(&stored) {
                    Ok(value) => taken.push((listed.key, Some(value))),
                    Err(_) => return Ok(None),
                },
                Some(_) => {}
            }
        }
        Ok(Some(taken))
    }

    fn stored_holes(&self) -> Result<Holes, StoreError> {
        let Some(stored) = self.index.get(HOLES_KEY)? else { return Ok(Holes::default()) };
        Holes::decode(&self.resolve(&stored)?).ok_or_else(|| self.nonsense())
    }

    /// The holes as the newest pack that changed them says, which the index may not know yet.
    pub(super) fn holes(&self, applied: u64) -> Result<Holes, StoreError> {
        let mut holes = self.stored_holes()?;
        let newer: Vec<u64> = lock(&self.packs).keys().copied().filter(|last| *last > applied).collect();
        for last in newer.into_iter().rev() {
            // What is wrong with it is told when it is applied.
            let Ok(file) = self.file(last) else { continue };
            let listed = read_list(&file).unwrap_or_default().into_iter().find(|listed| listed.key == HOLES_KEY);
            if let Some(place) = listed.and_then(|listed| listed.value) {
                holes = Holes::decode(&self.fetch(place.pointer(last))?).ok_or_else(|| self.nonsense())?;
                break;
            }
        }
        Ok(holes)
    }

    /// Counts what the index has of each pack.
    pub(super) fn count(&self, key: &[u8], stored: &[u8], there: bool) {
        let Some(pack) = pack_of(stored) else { return };
        let value = match unpacked(stored) {
            Some(value) => value.len(),
            None => crate::pack_file::Pointer::decode(stored)
                .and_then(|pointer| usize::try_from(pointer.length).ok())
                .unwrap_or(0),
        };
        let bytes = u64::try_from(key.len() + value).unwrap_or(u64::MAX);
        let mut live = lock(&self.live);
        let known = live.entry(pack).or_default();
        *known = if there { known.saturating_add(bytes) } else { known.saturating_sub(bytes) };
        if *known == 0 {
            live.remove(&pack);
        }
    }

    /// Removes the packs that are done with. The index must be durable: it does not point at them any more. One that
    /// stays is removed by the next opening.
    pub(super) fn remove_done(&self) {
        for pack in std::mem::take(&mut *lock(&self.done)) {
            let known = lock(&self.packs).remove(&pack);
            lock(&self.files).remove(&pack);
            if let Some(known) = known {
                let _ = std::fs::remove_file(self.folder.join(file_name(known.first, pack)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_join_and_leave_the_rest() {
        let mut holes = Holes::default();
        holes.add(5, 8);
        holes.add(20, 20);
        holes.add(9, 10);
        assert_eq!(Holes::decode(&holes.encode()), Some(holes.clone()));
        assert_eq!(holes.0.clone().into_iter().collect::<Vec<_>>(), [(5, 10), (20, 20)]);
        assert_eq!(holes.rest(1, 30), [(1, 4), (11, 19), (21, 30)]);
        assert_eq!(holes.rest(6, 9), []);
        assert_eq!(holes.rest(8, 12), [(11, 12)]);
        assert_eq!(holes.rest(3, 2), []);
        assert!(holes.covers(6, 10) && !holes.covers(10, 11) && !holes.covers(1, 2));
    }
}
