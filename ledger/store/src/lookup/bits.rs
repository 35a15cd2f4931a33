//! A set of places in a block.

use crate::layout::TILE;

const WORDS: usize = 1024;

/// 65,536 bits.
#[derive(Clone)]
pub(super) struct Bits {
    words: Box<[u64; WORDS]>,
}

impl Bits {
    pub(super) fn none() -> Self {
        Self { words: Box::new([0; WORDS]) }
    }

    /// All from `first` to `last`, both included.
    pub(super) fn of(first: u16, last: u16) -> Self {
        let mut bits = Self::none();
        for place in first..=last {
            bits.set(place);
        }
        bits
    }

    pub(super) fn set(&mut self, place: u16) {
        self.words[usize::from(place / 64)] |= 1 << (place % 64);
    }

    pub(super) fn has(&self, place: u16) -> bool {
        self.words[usize::from(place / 64)] >> (place % 64) & 1 == 1
    }

    pub(super) fn and(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(other.words.iter()) {
            *word &= other;
        }
    }

    pub(super) fn or_bitmap(&mut self, bitmap: &[u8; WORDS * 8]) {
        let (words, _) = bitmap.as_chunks::<8>();
        for (word, bytes) in self.words.iter_mut().zip(words) {
            *word |= u64::from_le_bytes(*bytes);
        }
    }

    /// Takes out the tile that starts at `first`.
    pub(super) fn clear_tile(&mut self, first: u16) {
        let start = usize::from(first / 64);
        for word in self.words.iter_mut().skip(start).take(usize::try_from(TILE / 64).unwrap_or(0)) {
            *word = 0;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The first place from `from` on.
    pub(super) fn next(&self, from: u16) -> Option<u16> {
        let start = usize::from(from / 64);
        let first = self.words[start] & (u64::MAX << (from % 64));
        let mut words = std::iter::once(first).chain(self.words[start + 1..].iter().copied()).zip(start..);
        words.find(|(word, _)| *word != 0).and_then(|(word, at)| place(at, word.trailing_zeros()))
    }

    /// The last place up to `to`.
    pub(super) fn back(&self, to: u16) -> Option<u16> {
        let start = usize::from(to / 64);
        let first = self.words[start] & (u64::MAX >> (63 - to % 64));
        let before = self.words[..start].iter().copied().enumerate().rev().map(|(at, word)| (word, at));
        let mut words = std::iter::once((first, start)).chain(before);
        words.find(|(word, _)| *word != 0).and_then(|(word, at)| place(at, 63 - word.leading_zeros()))
    }

    pub(super) fn places(&self) -> Vec<u16> {
        let mut places = Vec::new();
        let mut next = self.next(0);
        while let Some(place) = next {
            places.push(place);
            next = place.checked_add(1).and_then(|from| self.next(from));
        }
        places
    }
}

fn place(word: usize, bit: u32) -> Option<u16> {
    u16::try_from(word * 64 + usize::try_from(bit).ok()?).ok()
}
