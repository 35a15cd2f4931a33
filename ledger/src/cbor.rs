//! The CBOR that the ledger speaks: deterministic encoding (RFC 8949 section 4.2.1) without maps, tags and
//! floating point, read from a slice without copying.
//!
//! `ciborium-ll` takes single heads apart; everything that makes CBOR strict is decided here: the shortest
//! form of each head, definite lengths, no more members than the input can hold, UTF-8, and nothing behind
//! the item. Reading follows a fixed shape and never recurses, so that nesting cannot exhaust the stack.

use ciborium_ll::{Decoder, Encoder, Header};

use crate::hash::Hash;

const FALSE: u8 = 20;
const TRUE: u8 = 21;
const NULL: u8 = 22;

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

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(crate) fn unsigned(&mut self, value: impl Into<u64>) {
        self.head(Header::Positive(value.into()));
    }

    pub(crate) fn signed(&mut self, value: i64) {
        // Major type 1 carries -1 - n, which is the bitwise complement.
        self.head(match u64::try_from(value) {
            Ok(value) => Header::Positive(value),
            Err(_) => Header::Negative((!value).cast_unsigned()),
        });
    }

    pub(crate) fn boolean(&mut self, value: bool) {
        self.head(Header::Simple(if value { TRUE } else { FALSE }));
    }

    pub(crate) fn null(&mut self) {
        self.head(Header::Simple(NULL));
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.head(Header::Bytes(Some(value.len())));
        self.out.extend_from_slice(value);
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.head(Header::Text(Some(value.len())));
        self.out.extend_from_slice(value.as_bytes());
    }

    pub(crate) fn array(&mut self, members: usize) {
        self.head(Header::Array(Some(members)));
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

    fn head(&mut self, header: Header) {
        Encoder::from(&mut self.out).push(header).expect("writing to a vector does not fail");
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

    pub(crate) fn unsigned(&mut self) -> Result<u64, CborError> {
        let offset = self.position;
        match self.head()? {
            Header::Positive(value) => Ok(value),
            other => Err(mismatch(offset, "an unsigned integer", other)),
        }
    }

    /// An unsigned integer that fits the narrower type of its field.
    pub(crate) fn narrow<T: TryFrom<u64>>(&mut self) -> Result<T, CborError> {
        let offset = self.position;
        T::try_from(self.unsigned()?).map_err(|_| CborError::Range { offset })
    }

    pub(crate) fn signed(&mut self) -> Result<i64, CborError> {
        let offset = self.position;
        let (value, negative) = match self.head()? {
            Header::Positive(value) => (value, false),
            Header::Negative(value) => (value, true),
            other => return Err(mismatch(offset, "an integer", other)),
        };
        let value = i64::try_from(value).map_err(|_| CborError::Range { offset })?;
        Ok(if negative { !value } else { value })
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, CborError> {
        let offset = self.position;
        match self.head()? {
            Header::Simple(FALSE) => Ok(false),
            Header::Simple(TRUE) => Ok(true),
            other => Err(mismatch(offset, "a boolean", other)),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let offset = self.position;
        match self.head()? {
            Header::Bytes(Some(length)) => self.take(offset, length),
            other => Err(mismatch(offset, "a byte string", other)),
        }
    }

    pub(crate) fn fixed<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], CborError> {
        let offset = self.position;
        let bytes = self.bytes()?;
        bytes.try_into().map_err(|_| CborError::Length { offset, expected: LENGTH, found: bytes.len() })
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, CborError> {
        let offset = self.position;
        match self.head()? {
            Header::Text(Some(length)) => {
                std::str::from_utf8(self.take(offset, length)?).map_err(|_| CborError::Utf8 { offset })
            }
            other => Err(mismatch(offset, "a text", other)),
        }
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
        match self.head()? {
            Header::Array(Some(members)) if members <= self.input.len() - self.position => Ok(members),
            Header::Array(Some(_)) => Err(CborError::Truncated { offset }),
            other => Err(mismatch(offset, "an array", other)),
        }
    }

    /// `null`, or what `read` reads.
    pub(crate) fn optional<T, E: From<CborError>>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        // The one byte 0xf6 is null in its only canonical form.
        if self.input.get(self.position) == Some(&(7 << 5 | NULL)) {
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

    fn take(&mut self, offset: usize, length: usize) -> Result<&'a [u8], CborError> {
        let rest = &self.input[self.position..];
        let bytes = rest.get(..length).ok_or(CborError::Truncated { offset })?;
        self.position += length;
        Ok(bytes)
    }

    fn head(&mut self) -> Result<Header, CborError> {
        let offset = self.position;
        let mut decoder = Decoder::from(&self.input[offset..]);
        let header = decoder.pull().map_err(|error| match error {
            // The reader is a slice: its only error is that it ends.
            ciborium_ll::Error::Io(_) => CborError::Truncated { offset },
            ciborium_ll::Error::Syntax(_) => CborError::Malformed { offset },
        })?;
        let length = decoder.offset();
        let shortest = match header {
            Header::Positive(value) | Header::Negative(value) | Header::Tag(value) => head_length(value),
            Header::Bytes(Some(value))
            | Header::Text(Some(value))
            | Header::Array(Some(value))
            | Header::Map(Some(value)) => head_length(value as u64),
            Header::Simple(value) if value >= 24 => 2,
            Header::Simple(_) => 1,
            // Of a type that no field has: the caller refuses it by its type.
            Header::Float(_) | Header::Break => length,
            Header::Bytes(None) | Header::Text(None) | Header::Array(None) | Header::Map(None) => {
                return Err(CborError::Indefinite { offset });
            }
        };
        if length != shortest {
            return Err(CborError::NotShortest { offset });
        }
        self.position += length;
        Ok(header)
    }
}

/// The length of the shortest head for an argument, RFC 8949 section 4.2.1.
fn head_length(argument: u64) -> usize {
    match argument {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

fn mismatch(offset: usize, expected: &'static str, found: Header) -> CborError {
    let found = match found {
        Header::Positive(_) => "an unsigned integer",
        Header::Negative(_) => "a negative integer",
        Header::Float(_) => "a floating-point number",
        Header::Simple(FALSE | TRUE) => "a boolean",
        Header::Simple(NULL) => "null",
        Header::Simple(_) => "a simple value",
        Header::Tag(_) => "a tag",
        Header::Break => "a break",
        Header::Bytes(_) => "a byte string",
        Header::Text(_) => "a text",
        Header::Array(_) => "an array",
        Header::Map(_) => "a map",
    };
    CborError::Type { offset, expected, found }
}
