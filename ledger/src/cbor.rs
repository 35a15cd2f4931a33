//! The CBOR that the ledger speaks: deterministic encoding (RFC 8949 section 4.2.1) without maps, tags and
//! floating point, read from a slice without copying.
//!
//! Everything that makes CBOR strict is decided here: the shortest form of each head, definite lengths, no more
//! members than the input can hold, UTF-8, and nothing behind the item. Reading follows a fixed shape and never
//! recurses, so that nesting cannot exhaust the stack; strings are borrowed, so that a declared length costs
//! nothing. `docs/decisions/` says why this is not left to a library; the tests read what it writes with one.

use crate::hash::Hash;

/// The items of major type 7 that the ledger uses, each a single byte.
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;

/// The low five bits of a head whose argument follows in as many bytes.
const ONE_BYTE: u8 = 24;
const TWO_BYTES: u8 = 25;
const FOUR_BYTES: u8 = 26;
const EIGHT_BYTES: u8 = 27;
/// The low five bits of a head of indefinite length.
const INDEFINITE: u8 = 31;

/// The major types that the ledger uses, RFC 8949 section 3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Major {
    Unsigned = 0,
    Negative = 1,
    Bytes = 2,
    Text = 3,
    Array = 4,
}

/// Why bytes are not the canonical CBOR that was expected. Offsets count bytes from the start of the item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// The input ends inside an item.
    #[error("the input ends inside the item at byte {offset}")]
    Truncated {
        /// Where the item starts.
        offset: usize,
    },
    /// A reserved head, which no version of CBOR gives a meaning to.
    #[error("malformed CBOR at byte {offset}")]
    Malformed {
        /// Where the head starts.
        offset: usize,
    },
    /// An integer or a length that is not in its shortest form.
    #[error("an integer or length at byte {offset} is not in its shortest form")]
    NotShortest {
        /// Where the head starts.
        offset: usize,
    },
    /// A string or array without a declared length.
    #[error("an item of indefinite length at byte {offset}")]
    Indefinite {
        /// Where the head starts.
        offset: usize,
    },
    /// An item of another type than its place demands.
    #[error("expected {expected} at byte {offset}, found {found}")]
    Type {
        /// Where the item starts.
        offset: usize,
        /// What the place demands.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// An array whose number of members is not what its place demands.
    #[error("expected an array of {expected} at byte {offset}, found {found} members")]
    Members {
        /// Where the array starts.
        offset: usize,
        /// How many members the place demands.
        expected: usize,
        /// How many it declares.
        found: usize,
    },
    /// A byte string whose length is not what its place demands.
    #[error("expected {expected} bytes at byte {offset}, found {found}")]
    Length {
        /// Where the string starts.
        offset: usize,
        /// How many bytes the place demands.
        expected: usize,
        /// How many it declares.
        found: usize,
    },
    /// An integer beyond the range of its field.
    #[error("the integer at byte {offset} is out of range")]
    Range {
        /// Where the integer starts.
        offset: usize,
    },
    /// A text that is not UTF-8.
    #[error("the text at byte {offset} is not UTF-8")]
    Utf8 {
        /// Where the text starts.
        offset: usize,
    },
    /// Bytes behind the item.
    #[error("{count} bytes follow the item, which ends at byte {offset}")]
    Trailing {
        /// Where the item ends.
        offset: usize,
        /// How many bytes follow.
        count: usize,
    },
}

/// Appends items to a vector. What it writes is deterministic by construction.
pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    /// Goes on behind what is there.
    pub(crate) fn over(out: Vec<u8>) -> Self {
        Self { out }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(crate) fn unsigned(&mut self, value: impl Into<u64>) {
        self.head(Major::Unsigned, value.into());
    }

    pub(crate) fn signed(&mut self, value: i64) {
        // Major type 1 carries -1 - n, which is the bitwise complement.
        match u64::try_from(value) {
            Ok(value) => self.head(Major::Unsigned, value),
            Err(_) => self.head(Major::Negative, (!value).cast_unsigned()),
        }
    }

    pub(crate) fn boolean(&mut self, value: bool) {
        self.out.push(if value { TRUE } else { FALSE });
    }

    pub(crate) fn null(&mut self) {
        self.out.push(NULL);
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.head(Major::Bytes, value.len() as u64);
        self.out.extend_from_slice(value);
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.head(Major::Text, value.len() as u64);
        self.out.extend_from_slice(value.as_bytes());
    }

    pub(crate) fn array(&mut self, members: usize) {
        self.head(Major::Array, members as u64);
    }

    pub(crate) fn optional_unsigned(&mut self, value: Option<u64>) {
        match value {
            Some(value) => self.unsigned(value),
            None => self.null(),
        }
    }

    pub(crate) fn optional_hash(&mut self, value: Option<&Hash>) {
        match value {
            Some(value) => self.bytes(value),
            None => self.null(),
        }
    }

    /// The shortest head for an argument, RFC 8949 sections 3 and 4.2.1.
    fn head(&mut self, major: Major, argument: u64) {
        let major = (major as u8) << 5;
        let [.., b3, b2, b1, b0] = argument.to_be_bytes();
        match argument {
            0..=23 => self.out.push(major | b0),
            24..=0xff => self.out.extend_from_slice(&[major | ONE_BYTE, b0]),
            0x100..=0xffff => self.out.extend_from_slice(&[major | TWO_BYTES, b1, b0]),
            0x1_0000..=0xffff_ffff => self.out.extend_from_slice(&[major | FOUR_BYTES, b3, b2, b1, b0]),
            _ => {
                self.out.push(major | EIGHT_BYTES);
                self.out.extend_from_slice(&argument.to_be_bytes());
            }
        }
    }
}

/// Reads items off the front of a slice.
pub(crate) struct Reader<'a> {
    input: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self { input, position: 0 }
    }

    /// The number of bytes read so far.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// The major type of the next item, if there is one: for tests, as the ledger reads by fixed shapes.
    #[cfg(test)]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.input.get(self.position).map(|first| first >> 5)
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, CborError> {
        self.head(Major::Unsigned, "an unsigned integer")
    }

    /// An unsigned integer that fits the narrower type of its field.
    pub(crate) fn narrow<T: TryFrom<u64>>(&mut self) -> Result<T, CborError> {
        let offset = self.position;
        T::try_from(self.unsigned()?).map_err(|_| CborError::Range { offset })
    }

    pub(crate) fn signed(&mut self) -> Result<i64, CborError> {
        let offset = self.position;
        let negative = self.input.get(offset).is_some_and(|byte| byte >> 5 == Major::Negative as u8);
        let major = if negative { Major::Negative } else { Major::Unsigned };
        let value = i64::try_from(self.head(major, "an integer")?).map_err(|_| CborError::Range { offset })?;
        // Major type 1 carries -1 - n, which is the bitwise complement.
        Ok(if negative { !value } else { value })
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, CborError> {
        let value = match self.input.get(self.position) {
            Some(&FALSE) => false,
            Some(&TRUE) => true,
            _ => return Err(self.mismatch("a boolean")),
        };
        self.position += 1;
        Ok(value)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let offset = self.position;
        let length = self.head(Major::Bytes, "a byte string")?;
        self.take(offset, length)
    }

    pub(crate) fn fixed<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], CborError> {
        let offset = self.position;
        let bytes = self.bytes()?;
        bytes.try_into().map_err(|_| CborError::Length { offset, expected: LENGTH, found: bytes.len() })
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, CborError> {
        let offset = self.position;
        let length = self.head(Major::Text, "a text")?;
        std::str::from_utf8(self.take(offset, length)?).map_err(|_| CborError::Utf8 { offset })
    }

    /// An array with exactly this many members.
    pub(crate) fn array(&mut self, members: usize) -> Result<(), CborError> {
        let offset = self.position;
        match self.list()? {
            found if found == members => Ok(()),
            found => Err(CborError::Members { offset, expected: members, found }),
        }
    }

    /// An array of any number of members; returns the number. Each member takes at least one byte, so that
    /// a number beyond the rest of the input is refused before anybody allocates for it.
    pub(crate) fn list(&mut self) -> Result<usize, CborError> {
        let offset = self.position;
        let members = self.head(Major::Array, "an array")?;
        match usize::try_from(members) {
            Ok(members) if members <= self.input.len() - self.position => Ok(members),
            _ => Err(CborError::Truncated { offset }),
        }
    }

    /// `null`, or what `read` reads.
    pub(crate) fn optional<T, E: From<CborError>>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        // The one byte 0xf6 is null in its only canonical form.
        if self.input.get(self.position) == Some(&NULL) {
            self.position += 1;
            return Ok(None);
        }
        read(self).map(Some)
    }

    /// Ends reading.
    pub(crate) fn finish(self) -> Result<(), CborError> {
        match self.input.len() - self.position {
            0 => Ok(()),
            count => Err(CborError::Trailing { offset: self.position, count }),
        }
    }

    fn take(&mut self, offset: usize, length: u64) -> Result<&'a [u8], CborError> {
        let rest = &self.input[self.position..];
        let length = usize::try_from(length).map_err(|_| CborError::Truncated { offset })?;
        let bytes = rest.get(..length).ok_or(CborError::Truncated { offset })?;
        self.position += length;
        Ok(bytes)
    }

    /// Reads a head of this major type and returns its argument, which must be in its shortest form.
    #[inline]
    fn head(&mut self, major: Major, expected: &'static str) -> Result<u64, CborError> {
        let offset = self.position;
        let rest = &self.input[offset..];
        let Some((&first, rest)) = rest.split_first() else {
            return Err(CborError::Truncated { offset });
        };
        if first >> 5 != major as u8 {
            return Err(self.mismatch(expected));
        }
        let low = first & 31;
        if low < ONE_BYTE {
            self.position += 1;
            return Ok(low.into());
        }
        let (width, smallest) = match low {
            ONE_BYTE => (1, 24),
            TWO_BYTES => (2, 0x100),
            FOUR_BYTES => (4, 0x1_0000),
            EIGHT_BYTES => (8, 0x1_0000_0000),
            INDEFINITE if !matches!(major, Major::Unsigned | Major::Negative) => {
                return Err(CborError::Indefinite { offset });
            }
            _ => return Err(CborError::Malformed { offset }),
        };
        let argument = rest.get(..width).ok_or(CborError::Truncated { offset })?;
        let argument = argument.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        if argument < smallest {
            return Err(CborError::NotShortest { offset });
        }
        self.position += 1 + width;
        Ok(argument)
    }

    /// The refusal of the item that stands here because it is of another type than its place demands.
    #[cold]
    fn mismatch(&self, expected: &'static str) -> CborError {
        let offset = self.position;
        let Some(first) = self.input.get(offset) else {
            return CborError::Truncated { offset };
        };
        let found = match (first >> 5, first & 31) {
            (0..=1 | 6, 28..) | (2..=5, 28..31) | (7, 28..31) => return CborError::Malformed { offset },
            (2..=5, INDEFINITE) => return CborError::Indefinite { offset },
            (0, _) => "an unsigned integer",
            (1, _) => "a negative integer",
            (2, _) => "a byte string",
            (3, _) => "a text",
            (4, _) => "an array",
            (5, _) => "a map",
            (6, _) => "a tag",
            (_, 20 | 21) => "a boolean",
            (_, 22) => "null",
            (_, TWO_BYTES..=EIGHT_BYTES) => "a floating-point number",
            (_, INDEFINITE) => "a break",
            _ => "a simple value",
        };
        CborError::Type { offset, expected, found }
    }
}
