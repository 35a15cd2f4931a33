//! The sealed files when a log is opened: compared with the rows, taken up, removed; and the log that they alone give.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use picket_ledger::checkpoint;
use picket_ledger::hash::{Hash, leaf_hash, sha256, to_hex};
use picket_ledger::segment::SegmentRef;
use picket_ledger::tree::CompactRange;

use crate::StoreError;
use crate::batch::Batch;
use crate::findings::Findings;
use crate::journaled::settle_all;
use crate::layout::{CHECKPOINTS_END, HEAD_KEY, Head, TILE, checkpoint_key, entry_key, write_hash, write_stream};
use crate::store::{Store, Write};

use super::row::{ROWS_END, Row, parse_name, row_key};
use super::{ADVICE, Sealed, Step};

/// Rows read at once.
const PAGE: usize = 1024;

/// The files in the folder: by first entry and end, with the hash of the name and the length in bytes.
pub(crate) type Listing = BTreeMap<(u64, u64, Hash), u64>;

impl Sealed {
    /// Compares the rows of the base with the files, and takes files up whose entries the base has nowhere else: after
    /// its index was rebuilt, and after a crash between a file and its row. Returns the files that have no row.
    ///
    /// Costs one look at the metadata of each file; a file that is taken up is read and verified.
    pub(crate) fn load(&self, base: &dyn Store, findings: &mut Findings) -> Result<Listing, StoreError> {
        let mut listing: Listing =
            self.folder.list()?.into_iter().filter_map(|(name, bytes)| Some((parse_name(&name)?, bytes))).collect();
        let head = base.get(HEAD_KEY)?.and_then(|bytes| Head::decode(&bytes));
        let mut changed = Vec::new();
        let mut from = row_key(0);
        loop {
            let page = base.range(&from, ROWS_END, PAGE)?;
            let Some((key, _)) = page.last() else { break };
            from = [key.as_slice(), &[0]].concat();
            for (key, value) in &page {
                let mut row = Row::decode(key, value).ok_or_else(|| {
                    StoreError::damaged(
                        &self.folder.path(""),
                        "a row of the index makes no sense",
                        "it was written by another version of this program: use that one",
                    )
                })?;
                if head.as_ref().is_some_and(|head| row.end <= head.pruned_to) {
                    // Pruned; its row came back with an index that was behind. The file goes too, if it is there.
                    changed.push((key.clone(), None));
                    continue;
                }
                let found = listing.remove(&(row.first, row.end, row.hash));
                if !row.lost && found != Some(u64::from(row.bytes)) {
                    let what = match found {
                        None => "it is missing".to_owned(),
                        Some(found) => format!("it has {found} bytes and should have {}", row.bytes),
                    };
                    findings.loss(self.damaged(&row, &what))?;
                    row.lost = true;
                    changed.push((key.clone(), Some(row.encode())));
                }
                self.publish(row);
            }
        }
        if let Some(head) = head {
            let mut taken = 0u64;
            loop {
                let start = self.end().max(head.pruned_to);
                // The base has these entries itself, or nobody does.
                // What cannot be read is told when it is read.
                let lacks = || matches!(base.get(&entry_key(start / TILE, 0)), Ok(None));
                // A file inside of one tile leaves that tile's pieces, and only takes its checkpoint out of the base.
                let absorbed = |(first, end, _): &(u64, u64, Hash)| {
                    *first == start && *end <= head.tree.size() && matches!(base.get(&checkpoint_key(*end)), Ok(None))
                };
                if start >= head.tree.size() || !(lacks() || listing.keys().any(absorbed)) {
                    break;
                }
                let Some(row) = self.take_up(base, start, &head, &mut listing, findings)? else { break };
                changed.push((row_key(row.end), Some(row.encode())));
                self.publish(row);
                taken += 1;
            }
            // One is what a crash leaves behind.
            if taken > 1 {
                findings.repaired.push(format!(
                    "the index did not know {taken} files of {}: read, verified and noted again",
                    self.folder.path("").display()
                ));
            }
        }
        if !changed.is_empty() {
            // A crash before the sync repeats this.
            base.derive(&changed)?;
            base.sync()?;
        }
        Ok(listing)
    }

    /// Takes up the file that goes on at `start`, the longest that holds; `None` when the log has none.
    fn take_up(
        &self,
        base: &dyn Store,
        start: u64,
        head: &Head,
        listing: &mut Listing,
        findings: &mut Findings,
    ) -> Result<Option<Row>, StoreError> {
        let mut candidates: Vec<_> = listing.keys().filter(|(first, ..)| *first == start).copied().collect();
        // A file may go on from below what is pruned.
        if candidates.is_empty() && start == head.pruned_to {
            candidates = listing.keys().filter(|(first, end, _)| *first < start && start < *end).copied().collect();
        }
        candidates.retain(|(_, end, _)| *end <= head.tree.size());
        candidates.sort_by_key(|(_, end, _)| *end);
        let mut wrong = None;
        for name in candidates.into_iter().rev() {
            match self.examine(name, Some(&|size| Step::new(base, Vec::new()).frontier(size)))? {
                Ok((row, _)) => {
                    listing.remove(&name);
                    return Ok(Some(row));
                }
                Err(what) => wrong = Some((name, what)),
            }
        }
        let Some((name, what)) = wrong else {
            let end = listing.keys().map(|(first, ..)| *first).filter(|first| *first > start).min();
            let error = StoreError::damaged(
                &self.folder.path(""),
                format!("the segment of entries {start} to {} is missing", end.unwrap_or(head.tree.size()) - 1),
                ADVICE,
            );
            findings.loss(error)?;
            return Ok(end.map(|end| Row::lost(start, end, [0; 32])));
        };
        let row = Row::lost(name.0, name.1, name.2);
        findings.loss(self.damaged(&row, &what))?;
        listing.remove(&name);
        Ok(Some(row))
    }

    /// Reads and verifies a file: its hash, its name, its entries against its checkpoint, and, where `before` knows
    /// it, the tree that it goes on from. Says what is wrong with it otherwise.
    fn examine(
        &self,
        name: (u64, u64, Hash),
        before: Option<&dyn Fn(u64) -> Result<CompactRange, StoreError>>,
    ) -> Result<Result<(Row, Vec<u8>), String>, StoreError> {
        let (first, end, hash) = name;
        let named = super::row::file_name(first, end, &hash);
        let Some(bytes) = self.folder.length(&named)? else {
            return Ok(Err("it is missing".into()));
        };
        if bytes > u64::try_from(picket_ledger::segment::MAX_SEGMENT_BYTES).unwrap_or(u64::MAX) {
            return Ok(Err(format!("it has {bytes} bytes, more than a segment may have")));
        }
        let file = self.folder.read(&named, 0, usize::try_from(bytes).unwrap_or(usize::MAX))?.unwrap_or_default();
        if sha256(&file) != hash {
            return Ok(Err("its bytes do not have the SHA-256 of its name".into()));
        }
        let segment = match SegmentRef::parse(&file) {
            Ok(segment) => segment,
            Err(error) => return Ok(Err(format!("it is no segment: {error}"))),
        };
        let Some(row) = Row::of(&file, &segment).filter(|row| (row.first, row.end) == (first, end)) else {
            return Ok(Err("its name does not say what is in it".into()));
        };
        let Ok(mut tree) = CompactRange::from_parts(first, segment.frontier.clone()) else {
            return Ok(Err("its frontier does not fit its first entry".into()));
        };
        // Where the roots before it are lost as well, its own checkpoint has to do.
        if let Some(before) = before.filter(|_| first.is_multiple_of(TILE))
            && before(first).is_ok_and(|before| before != tree)
        {
            return Ok(Err("it does not go on from the entries before it".into()));
        }
        segment.entries.iter().for_each(|entry| tree.push(leaf_hash(entry)));
        match checkpoint::peek(segment.checkpoint) {
            Ok(note) if note.size == end && note.root == tree.root() && note.origin == segment.origin => {}
            _ => return Ok(Err("its entries do not have the root that its checkpoint says".into())),
        }
        Ok(Ok((row, file)))
    }

    /// Removes the files that nobody needs, once the base is where the journal ends: what a crash left before its row
    /// was noted, whose entries the base has, and what was pruned.
    ///
    /// Entries beyond the end of the log are a loss: they were committed, for nothing else is ever sealed. True when it
    /// was accepted: then the log must be taken from the files.
    pub(crate) fn clear(
        &self,
        base: &dyn Store,
        listing: &Listing,
        findings: &mut Findings,
    ) -> Result<bool, StoreError> {
        let size = base.get(HEAD_KEY)?.and_then(|bytes| Head::decode(&bytes)).map_or(0, |head| head.tree.size());
        let unknown =
            |name: &&(u64, u64, Hash)| self.ending(name.1).is_none_or(|row| (row.first, row.hash) != (name.0, name.2));
        if let Some((_, end, _)) =
            listing.keys().filter(unknown).filter(|(_, end, _)| *end > size).max_by_key(|(_, end, _)| *end)
        {
            findings.loss(StoreError::damaged(
                &self.folder.path(""),
                format!("it has segments up to size {end}, and the rest of the log ends at {size}: the index, packs and journal lost what followed"),
                "restore the folder from a copy; without one, accept the loss: the log is then taken from its segments",
            ))?;
            return Ok(true);
        }
        for (first, end, hash) in listing.keys().filter(unknown) {
            self.folder.remove(&super::row::file_name(*first, *end, hash))?;
        }
        Ok(false)
    }

    /// The writes that make of the base the log that the sealed files alone hold, up to where they do. Losses must
    /// have been accepted.
    pub(crate) fn alone(&self, base: &dyn Store, findings: &mut Findings) -> Result<Vec<Write>, StoreError> {
        let before = base.get(HEAD_KEY)?.and_then(|bytes| Head::decode(&bytes)).unwrap_or_default();
        let mut files: BTreeMap<u64, Vec<(u64, u64, Hash)>> = BTreeMap::new();
        for name in self.folder.list()?.iter().filter_map(|(name, _)| parse_name(name)) {
            files.entry(name.0).or_default().push(name);
        }
        let start = files.keys().next().copied().filter(|first| *first <= before.pruned_to).unwrap_or(0);
        let known = Step::new(base, Vec::new());
        let mut head = Head { tree: CompactRange::new(), pruned_to: before.pruned_to, checkpoint: None, tail_bytes: 0 };
        if start > 0 {
            // Nodes of what was pruned are nowhere else.
            head.tree = known.frontier(start / TILE * TILE)?;
        }
        let mut batch = Batch::default();
        let mut rows = Vec::new();
        let mut tail: Vec<Vec<u8>> = Vec::new();
        while let Some(mut candidates) = files.remove(&head.tree.size()) {
            candidates.sort_by_key(|(_, end, _)| *end);
            let mut taken = None;
            for name in candidates.into_iter().rev() {
                let tree = head.tree.clone();
                match self.examine(name, Some(&|_| Ok(tree.clone())))? {
                    Ok(found) => {
                        taken = Some(found);
                        break;
                    }
                    Err(what) => {
                        findings.lost.push(self.damaged(&Row::lost(name.0, name.1, name.2), &what).to_string())
                    }
                }
            }
            let Some((row, file)) = taken else { break };
            let segment = SegmentRef::parse(&file).map_err(|error| self.damaged(&row, &error.to_string()))?;
            for entry in &segment.entries {
                head.tree.push_with(leaf_hash(entry), |level, index, hash| {
                    if level > 0 && level.is_multiple_of(8) {
                        write_hash(&mut batch, level / 8, index, hash);
                    }
                });
                tail.push(entry.to_vec());
                if head.tree.size().is_multiple_of(TILE) {
                    tail.clear();
                }
            }
            rows.push(row);
        }
        let size = head.tree.size();
        if rows.is_empty() {
            return Err(StoreError::damaged(
                &self.folder.path(""),
                "no segment in it can be read from the start of the log on",
                ADVICE,
            ));
        }
        head.checkpoint = Some(size).filter(|size| *size > 0);
        // A file that ends inside of a tile: the pieces of that tile are needed until it is full.
        let stream: Vec<u8> = tail
            .iter()
            .flat_map(|entry| {
                let length = u32::try_from(entry.len()).unwrap_or(u32::MAX).to_le_bytes();
                length.into_iter().chain(entry.iter().copied())
            })
            .collect();
        head.tail_bytes = u64::try_from(stream.len()).unwrap_or(u64::MAX);
        head.pruned_to = head.pruned_to.min(size / TILE * TILE);
        let mut remove = |from: Vec<u8>, to: &[u8]| -> Result<(), StoreError> {
            let mut place = from;
            loop {
                let page = base.keys(&place, to, PAGE)?;
                let Some(key) = page.last() else { return Ok(()) };
                place = [key.as_slice(), &[0]].concat();
                page.into_iter().for_each(|key| batch.delete(key));
            }
        };
        remove(entry_key(0, 0), b"f")?;
        remove(checkpoint_key(0), CHECKPOINTS_END)?;
        remove(row_key(0), ROWS_END)?;
        write_stream(&mut batch, |piece| entry_key(size / TILE, piece), 0, &stream);
        batch.put(HEAD_KEY.to_vec(), head.encode());
        findings.lost.push(format!(
            "the log was taken from its segments alone: it ends at size {size} with root {}, and had {} entries before",
            to_hex(&head.tree.root()),
            before.tree.size()
        ));
        let mut writes = settle_all(base, &batch, |_| false)?;
        writes.extend(rows.iter().map(|row| (row_key(row.end), Some(row.encode()))));
        self.replace(rows);
        Ok(writes)
    }

    /// Moves the files aside that are no part of the log that [`Sealed::alone`] made.
    pub(crate) fn set_rest_aside(&self, findings: &mut Findings) -> Result<(), StoreError> {
        for (name, _) in self.folder.list()? {
            if let Some((first, end, hash)) = parse_name(&name)
                && self.ending(end).is_none_or(|row| (row.first, row.hash) != (first, hash))
            {
                let kept = self.folder.set_aside(&name)?;
                findings.lost.push(format!("a segment that could not be used is kept as {}", kept.display()));
            }
        }
        Ok(())
    }

    fn replace(&self, rows: Vec<Row>) {
        let rows = rows.into_iter().map(|row| (row.end, Arc::new(row))).collect();
        *self.files.write().unwrap_or_else(std::sync::PoisonError::into_inner) = rows;
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Sizes in a range of the checkpoints at the ends of files.
    pub(crate) fn checkpoint_sizes(&self, from: u64, to: u64) -> Vec<u64> {
        let files = self.files();
        let rows = files.range(from..to).filter(|(_, row)| !row.lost);
        rows.map(|(end, _)| *end).collect()
    }
}
