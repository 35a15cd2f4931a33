//! The entries of a tile from the pieces of their stream, without holding more than a piece and an entry.

use crate::StoreError;
use crate::layout::{PIECE_BYTES, entry_key};

/// Reads the value of a key.
pub(crate) type Get<'a> = dyn Fn(&[u8]) -> Result<Option<Vec<u8>>, StoreError> + 'a;

/// Goes through a tile.
pub(crate) struct Pieces {
    tile: u64,
    piece: u32,
    bytes: Vec<u8>,
    start: usize,
    ended: bool,
}

impl Pieces {
    pub(crate) fn new(tile: u64) -> Self {
        Self { tile, piece: 0, bytes: Vec::new(), start: 0, ended: false }
    }

    /// The next entry; `None` after the last, and `Some(None)` when it is cut off.
    pub(crate) fn next(&mut self, get: &Get<'_>) -> Result<Option<Option<Vec<u8>>>, StoreError> {
        let Some(length) = self.take(get, 4)? else {
            return Ok(None);
        };
        let length = length.first_chunk().copied().map_or(0, u32::from_le_bytes);
        self.take(get, usize::try_from(length).unwrap_or(usize::MAX)).map(Some)
    }

    fn take(&mut self, get: &Get<'_>, length: usize) -> Result<Option<Vec<u8>>, StoreError> {
        while self.bytes.len() - self.start < length && !self.ended {
            let Some(more) = get(&entry_key(self.tile, self.piece))? else {
                self.ended = true;
                break;
            };
            self.ended = more.len() < PIECE_BYTES;
            self.piece += 1;
            self.bytes.drain(..self.start);
            self.start = 0;
            self.bytes.extend_from_slice(&more);
        }
        let end = self.start.saturating_add(length);
        let taken = self.bytes.get(self.start..end).map(<[u8]>::to_vec);
        if taken.is_some() {
            self.start = end;
        }
        Ok(taken)
    }
}
