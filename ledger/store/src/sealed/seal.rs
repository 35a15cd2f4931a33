//! Sealing: what a step brings to the base goes into a file instead, as far as signed checkpoints let it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use picket_ledger::checkpoint::{self, Checkpoint};
use picket_ledger::hash::{Hash, leaf_hash, node_hash, sha256};
use picket_ledger::segment::MAX_SEGMENT_BYTES;
use picket_ledger::segment::parts::EntryList;
use picket_ledger::tree::{CompactRange, NodeSource, frontier_at};

use crate::StoreError;
use crate::layout::{
    BOUNDARIES_END, HEAD_KEY, Head, TILE, boundary_key, boundary_size, checkpoint_key, checkpoint_size, entry_key,
    hash_key,
};
use crate::pieces::Pieces;
use crate::store::{Store, Write};

use super::row::{Chunk, Chunks, Row, file_name, row_key};
use super::{Sealed, Step};

/// Bytes of entries after which a file ends where it can.
const TARGET_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of entries that no file may pass: below what a segment may have, by what else is in it.
const LIMIT_BYTES: usize = MAX_SEGMENT_BYTES - 128 * 1024;
/// Most entries of a file: with that many, and [`TARGET_BYTES`], its row stays small enough for the index.
const MAX_ENTRIES: u64 = 32_768;
/// Files written in one step: a log that was never sealed catches up over several.
const FILES_PER_STEP: usize = 4;
/// Pairs read from the base at once.
const PAGE: usize = 64;

/// Where a file could end.
struct Cut {
    end: u64,
    note: Checkpoint,
    length: usize,
    chunks: usize,
}

impl Sealed {
    /// Seals what can be: writes the files, and returns the writes that are left, with the rows of the files. The
    /// entries must be durable elsewhere until the base has these writes durably.
    pub(crate) fn seal(&self, base: &dyn Store, writes: Vec<Write>) -> Result<Vec<Write>, StoreError> {
        let mut step = Step::new(base, writes);
        // Files from a step that failed after they were written.
        step.writes.extend(self.unwritten().iter().cloned());
        let Some(head) = step.get(HEAD_KEY)?.and_then(|bytes| Head::decode(&bytes)) else {
            return Ok(step.writes.into_iter().collect());
        };
        self.prune(&mut step, &head)?;
        for _ in 0..FILES_PER_STEP {
            let start = self.end().max(head.pruned_to);
            if self.stuck.load(Ordering::Acquire) == start || !self.seal_one(&mut step, &head, start)? {
                break;
            }
        }
        Ok(step.writes.into_iter().collect())
    }

    /// Removes the rows of files below what is pruned; a checkpoint at the end of one stays if it is needed.
    fn prune(&self, step: &mut Step<'_>, head: &Head) -> Result<(), StoreError> {
        for row in self.within(0, head.pruned_to) {
            if row.end > head.pruned_to {
                break;
            }
            step.writes.insert(row_key(row.end), None);
            let needed = head.checkpoint == Some(row.end) || step.get(&boundary_key(row.end))?.is_some();
            if needed && !row.lost {
                step.writes.insert(checkpoint_key(row.end), Some(self.checkpoint(&row)?));
            }
        }
        self.pruned_to.store(head.pruned_to, Ordering::Release);
        Ok(())
    }

    fn seal_one(&self, step: &mut Step<'_>, head: &Head, start: u64) -> Result<bool, StoreError> {
        if head.tree.size() <= start {
            return Ok(false);
        }
        let boundary = step.boundary_after(start)?.unwrap_or(u64::MAX);
        let reach = boundary.min(start.saturating_add(MAX_ENTRIES)).min(head.tree.size());
        let notes = step.notes(start + 1, reach)?;
        let complete = |end: u64| end.is_multiple_of(TILE) || end == boundary;
        // Earlier versions did not sign at the end of each tile.
        let exhausted = reach < head.tree.size() && reach < boundary && !notes.keys().any(|end| complete(*end));
        let Some(last) = notes.keys().rev().copied().find(|end| complete(*end) || exhausted) else {
            if exhausted {
                self.stuck.store(start, Ordering::Release);
            }
            return Ok(false);
        };
        let mut list = EntryList::default();
        let mut chunks = Vec::new();
        let mut layout = Chunks::default();
        let (mut best, mut fallback): (Option<Cut>, Option<Cut>) = (None, None);
        let mut tree = step.frontier(start / TILE * TILE)?;
        let mut frontier = Vec::new();
        let mut index = tree.size();
        'tiles: while index < last {
            let mut pieces = Pieces::new(index / TILE);
            for _ in 0..TILE {
                if index == last {
                    break 'tiles;
                }
                let entry = pieces.next(&|key| step.get(key))?.flatten();
                // What is missing is noticed and told by whoever reads it; nothing is sealed over it.
                let Some(entry) = entry.filter(|entry| !entry.is_empty()) else {
                    break 'tiles;
                };
                if index == start {
                    frontier = tree.peaks().to_vec();
                }
                tree.push(leaf_hash(&entry));
                if index >= start {
                    if layout.starts(index, list.length()) {
                        let entry = u32::try_from(index - start).expect("a file has at most MAX_ENTRIES entries");
                        let at = u32::try_from(list.length()).expect("a file is at most MAX_SEGMENT_BYTES long");
                        chunks.push(Chunk { entry, at, check: 0 });
                    }
                    list.push(&entry);
                }
                index += 1;
                if let Some((note, _)) = notes.get(&index)
                    && list.length() <= LIMIT_BYTES
                    && note.root == tree.root()
                {
                    let cut = Cut { end: index, note: note.clone(), length: list.length(), chunks: chunks.len() };
                    if complete(index) {
                        best = Some(cut);
                    } else if best.is_none() {
                        fallback = Some(cut);
                    }
                }
                if list.length() > LIMIT_BYTES || (list.length() > TARGET_BYTES && best.is_some()) {
                    break 'tiles;
                }
            }
        }
        // Inside of a tile only when that is the only way to stay below the largest segment.
        let too_long = exhausted || list.length() > LIMIT_BYTES;
        let Some(cut) = best.or(fallback.filter(|_| too_long)) else {
            self.stuck.store(start, Ordering::Release);
            return Ok(false);
        };
        let text = &notes[&cut.end].1;
        chunks.truncate(cut.chunks);
        let count = usize::try_from(cut.end - start).expect("a file has at most MAX_ENTRIES entries");
        let Ok(encoded) = list.finish(&cut.note.origin, start, &frontier, (count, cut.length), text) else {
            self.stuck.store(start, Ordering::Release);
            return Ok(false);
        };
        let file = encoded.bytes();
        let number = |value: usize| u32::try_from(value).expect("a file is at most MAX_SEGMENT_BYTES long");
        for chunk in &mut chunks {
            chunk.at += number(encoded.entries_at);
        }
        let mut row = Row {
            first: start,
            end: cut.end,
            bytes: number(file.len()),
            hash: sha256(file),
            lost: false,
            entries_end: number(encoded.entries_end),
            text_at: number(encoded.text_at),
            text_check: crc32fast::hash(text.as_bytes()),
            chunks,
        };
        row.check(file).expect("the chunks were laid out in this file");
        self.folder.create(&file_name(start, cut.end, &row.hash), file)?;
        // The file is durable, and has what the signed root says. Readers may use it before the base knows it.
        step.absorb(&row, &notes, &mut self.unwritten())?;
        self.publish(row);
        Ok(true)
    }
}

/// Signed checkpoints by size, with their texts.
type Notes = BTreeMap<u64, (Checkpoint, String)>;

impl Step<'_> {
    /// The smallest boundary above a size.
    fn boundary_after(&self, size: u64) -> Result<Option<u64>, StoreError> {
        let from = boundary_key(size + 1);
        let stored = self.base.range(&from, BOUNDARIES_END, 1)?;
        let stored = stored.first().and_then(|(key, _)| boundary_size(key));
        let written = self.writes.range(from..BOUNDARIES_END.to_vec()).next().and_then(|(key, _)| boundary_size(key));
        Ok(stored.into_iter().chain(written).min())
    }

    /// The checkpoints of sizes from `from` to `to`, both included, that can stand at the end of a segment.
    fn notes(&self, from: u64, to: u64) -> Result<Notes, StoreError> {
        let (from, to) = (checkpoint_key(from), checkpoint_key(to + 1));
        let mut notes = Notes::new();
        let mut add = |key: &[u8], text: Option<Vec<u8>>| {
            let Some(size) = checkpoint_size(key) else { return };
            notes.remove(&size);
            // One signature: a segment has no room for more.
            if let Some(text) = text.and_then(|text| String::from_utf8(text).ok())
                && text.matches("\n\u{2014} ").count() == 1
                && let Ok(note) = checkpoint::peek(&text)
                && note.size == size
            {
                notes.insert(size, (note, text));
            }
        };
        let mut place = from.clone();
        loop {
            let page = self.base.range(&place, &to, PAGE)?;
            let Some((key, _)) = page.last() else { break };
            place = [key.as_slice(), &[0]].concat();
            page.into_iter().for_each(|(key, text)| add(&key, Some(text)));
        }
        self.writes.range(from..to).for_each(|(key, text)| add(key, text.clone()));
        Ok(notes)
    }

    /// The tree over the first `size` entries, a multiple of a tile, from the hash tiles.
    pub(super) fn frontier(&self, size: u64) -> Result<CompactRange, StoreError> {
        frontier_at(self, size)
    }

    /// Takes out what a file holds: pieces and checkpoints; and puts its row in. What the base has to learn of that is
    /// noted in `unwritten` as well, for a step that is tried again.
    fn absorb(&mut self, row: &Row, notes: &Notes, unwritten: &mut Vec<Write>) -> Result<(), StoreError> {
        let whole = row.end / TILE;
        let (from, to) = (entry_key(row.first / TILE, 0), entry_key(whole, 0));
        let mut gone = BTreeSet::new();
        let mut place = from.clone();
        loop {
            let page = self.base.keys(&place, &to, PAGE)?;
            let Some(key) = page.last() else { break };
            place = [key.as_slice(), &[0]].concat();
            gone.extend(page);
        }
        let written: Vec<_> = self.writes.range(from..to).map(|(key, _)| key.clone()).collect();
        for size in notes.range(row.first + 1..=row.end).map(|(size, _)| *size) {
            let key = checkpoint_key(size);
            self.writes.remove(&key);
            if self.base.get(&key)?.is_some() {
                gone.insert(key);
            }
        }
        for key in written {
            self.writes.remove(&key);
        }
        let gone = gone.into_iter().map(|key| (key, None));
        let writes: Vec<Write> = gone.chain([(row_key(row.end), Some(row.encode()))]).collect();
        unwritten.extend(writes.iter().cloned());
        self.writes.extend(writes);
        Ok(())
    }
}

/// The nodes above the tiles.
impl NodeSource for Step<'_> {
    type Error = StoreError;

    fn node(&self, level: u8, index: u64) -> Result<Hash, StoreError> {
        let missing = || {
            StoreError::damaged(
                std::path::Path::new("index"),
                format!("node {index} of level {level} is missing"),
                "restore the folder from a copy",
            )
        };
        let width = 1u64 << (level % 8);
        let first = index.checked_mul(width).ok_or_else(missing)?;
        let stored = self.get(&hash_key(level / 8, first / TILE))?.ok_or_else(missing)?;
        let (hashes, _) = stored.as_chunks::<32>();
        let start = usize::try_from(first % TILE).map_err(|_| missing())?;
        let end = start + usize::try_from(width).map_err(|_| missing())?;
        let mut row = hashes.get(start..end).ok_or_else(missing)?.to_vec();
        while row.len() > 1 {
            row = row.chunks(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
        }
        row.first().copied().ok_or_else(missing)
    }
}
