//! Walking the entries that fit a query: those that the runs name, and all where there is no run.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use picket_ledger::Entry;

use super::bits::Bits;
use super::build::offset;
use super::run::Run;
use super::{BLOCK, Lookup, Query};
use crate::StoreError;
use crate::layout::TILE;
use crate::reader::Reader;

/// An entry that fits, read from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Its index.
    pub index: u64,
    /// Its bytes. They decode, unless the query asks for nothing of an entry but its index.
    pub bytes: Vec<u8>,
}

/// What a step of a [`Select`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// An entry that fits.
    Hit(Hit),
    /// Some more was looked through: at most a tile of 256 entries.
    Looked,
    /// There are no more.
    End,
}

/// The entries that fit a query, in its order. Memory: those of one tile, and 8 KiB.
///
/// It sees the log as it was when it was made, but for what is pruned meanwhile.
pub struct Select<'a> {
    reader: &'a Reader,
    lookup: Option<&'a Lookup>,
    query: Query,
    remaining: Range<u64>,
    piece: Option<Piece>,
    ready: VecDeque<Hit>,
}

/// A part of a block that one run, or none, speaks of.
struct Piece {
    range: Range<u64>,
    bits: Bits,
}

impl<'a> Select<'a> {
    pub(super) fn new(reader: &'a Reader, lookup: Option<&'a Lookup>, query: Query) -> Self {
        let end = query.indexes.end.min(reader.size());
        let start = query.indexes.start.max(reader.pruned_to()).min(end);
        Self { reader, lookup, query, remaining: start..end, piece: None, ready: VecDeque::new() }
    }

    /// Every entry is read and looked at, and no index is asked.
    #[must_use]
    pub fn scan(reader: &'a Reader, query: Query) -> Self {
        Self::new(reader, None, query)
    }

    /// The indexes that are not done yet: [`Query::indexes`] of a query that goes on from here.
    #[must_use]
    pub fn rest(&self) -> Range<u64> {
        match self.ready.front() {
            Some(hit) if self.query.newest_first => self.remaining.start..hit.index + 1,
            Some(hit) => hit.index..self.remaining.end,
            None => self.remaining.clone(),
        }
    }

    /// One step.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn step(&mut self) -> Result<Step, StoreError> {
        if let Some(hit) = self.ready.pop_front() {
            return Ok(Step::Hit(hit));
        }
        if self.remaining.is_empty() {
            return Ok(Step::End);
        }
        let at = if self.query.newest_first { self.remaining.end - 1 } else { self.remaining.start };
        let piece = match self.piece.take().filter(|piece| piece.range.contains(&at)) {
            Some(piece) => piece,
            None => self.plan(at),
        };
        let found = if self.query.newest_first { piece.bits.back(offset(at)) } else { piece.bits.next(offset(at)) };
        let found = found.map(|place| at / BLOCK * BLOCK + u64::from(place)).filter(|one| piece.range.contains(one));
        match found {
            None if self.query.newest_first => self.remaining.end = piece.range.start.max(self.remaining.start),
            None => self.remaining.start = piece.range.end.min(self.remaining.end),
            Some(index) => {
                self.read_tile(index, &piece)?;
                self.piece = Some(piece);
            }
        }
        Ok(self.ready.pop_front().map_or(Step::Looked, Step::Hit))
    }

    /// What is known of the entries around `at`.
    fn plan(&self, at: u64) -> Piece {
        let block = at / BLOCK * BLOCK;
        let whole = block..block.saturating_add(BLOCK);
        let (run, gap) = self.lookup.map_or((None, whole.clone()), |lookup| lookup.around(at, whole));
        let indexed = run.and_then(|run: Arc<Run>| {
            let sound = run.is_of(self.reader).then(|| run.candidates(&self.query).ok()).flatten();
            if sound.is_none()
                && let Some(lookup) = self.lookup
            {
                lookup.discard(&run);
            }
            sound.map(|bits| Piece { range: run.start..run.end, bits })
        });
        indexed.unwrap_or_else(|| Piece { bits: Bits::of(offset(gap.start), offset(gap.end - 1)), range: gap })
    }

    /// Looks at the candidates in the tile of `index`, which is the first of them in the query's order.
    fn read_tile(&mut self, index: u64, piece: &Piece) -> Result<(), StoreError> {
        let tile = index / TILE * TILE;
        let range = tile.max(self.remaining.start)..tile.saturating_add(TILE).min(self.remaining.end);
        let range = range.start.max(piece.range.start)..range.end.min(piece.range.end);
        let first = if self.query.newest_first { range.start } else { index };
        let last = if self.query.newest_first { index } else { range.end - 1 };
        let first = piece.bits.next(offset(first)).map_or(first, |place| first / BLOCK * BLOCK + u64::from(place));
        let last = piece.bits.back(offset(last)).map_or(last, |place| last / BLOCK * BLOCK + u64::from(place));
        let entries = match self.reader.read(first..last + 1) {
            Ok(entries) => entries,
            // Pruned since: there is less to answer.
            Err(StoreError::Pruned { pruned_to, .. }) => {
                self.remaining.start = pruned_to.clamp(self.remaining.start, self.remaining.end);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for (index, bytes) in (first..).zip(entries) {
            if piece.bits.has(offset(index)) && self.fits(&bytes) {
                self.ready.push_back(Hit { index, bytes });
            }
        }
        if self.query.newest_first {
            self.ready.make_contiguous().reverse();
            self.remaining.end = range.start;
        } else {
            self.remaining.start = range.end;
        }
        Ok(())
    }

    fn fits(&self, bytes: &[u8]) -> bool {
        if !self.query.asks_of_entries() {
            return true;
        }
        self.query.may_fit(bytes) && Entry::decode(bytes).is_ok_and(|entry| self.query.fits(&entry))
    }
}

impl Iterator for Select<'_> {
    type Item = Result<Hit, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step() {
                Ok(Step::Hit(hit)) => return Some(Ok(hit)),
                Ok(Step::Looked) => (),
                Ok(Step::End) => return None,
                Err(error) => {
                    self.remaining.end = self.remaining.start;
                    return Some(Err(error));
                }
            }
        }
    }
}
