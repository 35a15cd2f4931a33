//! Entries in order, from sealed files and from pieces.

use std::collections::VecDeque;
use std::ops::Range;

use crate::StoreError;
use crate::layout::TILE;
use crate::pieces::Pieces;

use super::Reader;

/// The entries of a range, one after the other, without holding more than a chunk of a sealed file or a piece.
///
/// What is sealed or pruned on the way is read again from where it is then.
pub(crate) struct Walk<'a> {
    reader: &'a Reader,
    next: u64,
    end: u64,
    source: Source,
    generation: u64,
}

enum Source {
    /// To be looked for.
    None,
    Sealed(VecDeque<Vec<u8>>),
    /// The pieces of a tile, with the index of what comes next there.
    Pieces {
        pieces: Pieces,
        tile: u64,
        at: u64,
    },
}

impl<'a> Walk<'a> {
    pub(crate) fn new(reader: &'a Reader, range: Range<u64>) -> Self {
        let generation = reader.sealed().generation();
        Self { reader, next: range.start, end: range.end, source: Source::None, generation }
    }

    /// The next entry; `None` at the end of the range, and where entries are missing.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        if self.next >= self.end {
            return Ok(None);
        }
        loop {
            let found = self.look();
            let generation = self.reader.sealed().generation();
            match found {
                Ok(Some(entry)) => {
                    self.next += 1;
                    return Ok(Some(entry));
                }
                // The pieces may have gone into a sealed file meanwhile, or that file was pruned.
                _ if self.generation != generation => {
                    self.generation = generation;
                    self.source = Source::None;
                    let pruned_to = self.reader.pruned_to();
                    if self.next < pruned_to {
                        return Err(StoreError::Pruned { index: self.next, pruned_to });
                    }
                }
                other => return other,
            }
        }
    }

    fn look(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        loop {
            match &mut self.source {
                Source::None => {
                    let tile = self.next / TILE;
                    self.source = match self.reader.sealed().find(self.next) {
                        Some(row) => Source::Sealed(self.reader.sealed().entries(&row, self.next)?.into()),
                        None => Source::Pieces { pieces: Pieces::new(tile), tile, at: tile * TILE },
                    };
                }
                Source::Sealed(entries) => match entries.pop_front() {
                    Some(entry) => return Ok(Some(entry)),
                    None => self.source = Source::None,
                },
                Source::Pieces { tile, .. } if *tile != self.next / TILE => self.source = Source::None,
                Source::Pieces { pieces, tile, at } => match pieces.next(&|key| self.reader.shared.store.get(key))? {
                    None => return Ok(None),
                    Some(None) => return Err(self.reader.damaged(format!("an entry of tile {tile} is cut off"))),
                    Some(Some(entry)) => {
                        *at += 1;
                        if *at > self.next {
                            return Ok(Some(entry));
                        }
                    }
                },
            }
        }
    }
}
