//! The short texts of refusals and partial answers.

use super::{MAX_TICKET_BYTES, MirrorError};
use crate::checkpoint::decimal;
use crate::hash::{from_base64, to_base64};

/// Where an upload is to go on: the body of 202 and 409 to `add-entries`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorInfo {
    /// The size of a checkpoint that the auditor takes entries for.
    pub size: u64,
    /// The first entry that it does not have.
    pub next: u64,
    /// Opaque; to be sent back.
    pub ticket: Vec<u8>,
}

impl MirrorInfo {
    /// The three lines.
    #[must_use]
    pub fn encode(&self) -> String {
        format!("{}\n{}\n{}\n", self.size, self.next, to_base64(&self.ticket))
    }

    /// Reads the three lines, canonical form only.
    ///
    /// # Errors
    /// [`MirrorError::Line`]; [`MirrorError::TooLong`] for the ticket.
    pub fn parse(text: &str) -> Result<Self, MirrorError> {
        let wrong = |line, what| MirrorError::Line { line, what };
        let mut lines = text.split('\n');
        let mut number = |line| {
            let found = lines.next().and_then(decimal);
            found.ok_or(wrong(line, "a number in decimal belongs there"))
        };
        let size = number(1)?;
        let next = number(2)?;
        let ticket = lines.next().and_then(from_base64).ok_or(wrong(3, "a ticket in base64 belongs there"))?;
        if ticket.len() > MAX_TICKET_BYTES {
            let (found, limit) = (ticket.len(), MAX_TICKET_BYTES);
            return Err(MirrorError::TooLong { what: "the ticket", found, limit });
        }
        if lines.next() != Some("") || lines.next().is_some() {
            return Err(wrong(4, "three lines and no more belong there"));
        }
        Ok(Self { size, next, ticket })
    }
}

/// The body of a 409 to `add-checkpoint`: a size in decimal and a newline.
#[must_use]
pub fn size_text(size: u64) -> String {
    format!("{size}\n")
}

/// Reads the body of a 409 to `add-checkpoint`.
///
/// # Errors
/// [`MirrorError::Line`].
pub fn parse_size(text: &str) -> Result<u64, MirrorError> {
    let size = text.strip_suffix('\n').and_then(decimal);
    size.ok_or(MirrorError::Line { line: 1, what: "a size in decimal and a newline belong there" })
}

/// A note as the value of a header, [`super::CHECKPOINT_HEADER`]: base64, because a note has several lines.
#[must_use]
pub fn note_to_header(note: &str) -> String {
    to_base64(note.as_bytes())
}

/// Reads a note from the value of a header. It has not been verified.
#[must_use]
pub fn note_from_header(value: &str) -> Option<String> {
    String::from_utf8(from_base64(value)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_lines_and_no_other_form() {
        for ticket in [Vec::new(), vec![1, 2, 3]] {
            let info = MirrorInfo { size: 700, next: 512, ticket };
            assert_eq!(MirrorInfo::parse(&info.encode()), Ok(info));
        }
        assert_eq!(MirrorInfo::parse("700\n512\n\n").unwrap().ticket, b"");
        for text in ["", "700", "700\n512\n", "700\n0512\n\n", "700\n512\n\n\n", "700\n512\n!\n", " 700\n512\n\n"] {
            assert!(MirrorInfo::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(note_from_header(&note_to_header("a\nb\n")).as_deref(), Some("a\nb\n"));
        assert_eq!((note_from_header("/w=="), note_from_header("a b")), (None, None));
        let long = MirrorInfo { size: 1, next: 1, ticket: vec![0; MAX_TICKET_BYTES + 1] };
        assert!(matches!(MirrorInfo::parse(&long.encode()), Err(MirrorError::TooLong { .. })));
        assert_eq!(parse_size(&size_text(u64::MAX)), Ok(u64::MAX));
        for text in ["", "1", "1\n\n", "01\n", "+1\n"] {
            assert!(parse_size(text).is_err(), "{text:?}");
        }
    }
}
