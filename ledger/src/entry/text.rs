//! The texts of entries: how long they may be, and which characters they may have.
//!
//! Entries are shown on terminals and in tables. Names and paths have no control characters at all, messages
//! may have line feeds and tabs, documents are JSON texts and may have carriage returns too.

use super::EntryError;
use crate::cbor::{Reader, Writer};

/// The longest name or id, in bytes: inference and trace ids, models, guards, rules, versions, streams.
pub const MAX_NAME_BYTES: usize = 256;

/// The longest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1024;

/// The longest path inside of an inference part, in bytes.
pub const MAX_PATH_BYTES: usize = 1024;

/// The longest document, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// Makes a text from elsewhere fit a name or a path: control characters become U+FFFD, and what is longer than
/// `limit` bytes is cut at a character and ends in `…`. For texts that a guard or an operating system wrote; an
/// id that had to be clipped should be refused instead.
#[must_use]
pub fn clip(text: &str, limit: usize) -> String {
    clip_but(text, limit, |_| false)
}

/// The same for a message, of which line feeds and tabs stay: at most [`MAX_MESSAGE_BYTES`].
#[must_use]
pub fn clip_message(text: &str) -> String {
    clip_but(text, MAX_MESSAGE_BYTES, is_message_space)
}

fn clip_but(text: &str, limit: usize, stays: fn(char) -> bool) -> String {
    const ELLIPSIS: &str = "…";
    let clean = |character: char| match character {
        control if control.is_control() && !stays(control) => char::REPLACEMENT_CHARACTER,
        other => other,
    };
    let clean: String = text.chars().map(clean).collect();
    if clean.len() <= limit {
        return clean;
    }
    match limit.checked_sub(ELLIPSIS.len()) {
        Some(room) => format!("{}{ELLIPSIS}", &clean[..clean.floor_char_boundary(room)]),
        None => String::new(),
    }
}

pub(super) fn is_message_space(character: char) -> bool {
    matches!(character, '\n' | '\t')
}

/// The first control character that is not allowed.
#[inline]
pub(super) fn refused_character(text: &str, allowed: fn(char) -> bool) -> Option<char> {
    // Every control character has a byte below 0x20, 0x7f, or the lead byte 0xc2 (U+0080 to U+009F). Folding, not
    // searching: without a way out in the middle the loop runs in vector registers.
    let suspect = text.bytes().fold(false, |found, byte| found | (byte < 0x20 || byte == 0x7f || byte == 0xc2));
    if suspect { text.chars().find(|&character| character.is_control() && !allowed(character)) } else { None }
}

impl Writer {
    /// 1 to [`MAX_NAME_BYTES`] bytes, no control characters.
    pub(super) fn name(&mut self, field: &'static str, value: &str) -> Result<(), EntryError> {
        if value.is_empty() {
            return Err(EntryError::Empty { field });
        }
        self.checked(field, value, MAX_NAME_BYTES, |_| false)
    }

    pub(super) fn optional_name(&mut self, field: &'static str, value: Option<&str>) -> Result<(), EntryError> {
        match value {
            Some(value) => self.name(field, value),
            None => {
                self.null();
                Ok(())
            }
        }
    }

    /// Up to [`MAX_MESSAGE_BYTES`] bytes, no control characters but line feeds and tabs.
    pub(super) fn message(&mut self, field: &'static str, value: &str) -> Result<(), EntryError> {
        self.checked(field, value, MAX_MESSAGE_BYTES, is_message_space)
    }

    /// Up to [`MAX_PATH_BYTES`] bytes, no control characters.
    pub(super) fn path(&mut self, field: &'static str, value: &str) -> Result<(), EntryError> {
        self.checked(field, value, MAX_PATH_BYTES, |_| false)
    }

    /// Up to [`MAX_DOCUMENT_BYTES`] bytes, no control characters but those that are white space in JSON.
    pub(super) fn document(&mut self, field: &'static str, value: &str) -> Result<(), EntryError> {
        self.checked(field, value, MAX_DOCUMENT_BYTES, |character| matches!(character, '\n' | '\t' | '\r'))
    }

    fn checked(
        &mut self,
        field: &'static str,
        value: &str,
        limit: usize,
        allowed: fn(char) -> bool,
    ) -> Result<(), EntryError> {
        if value.len() > limit {
            return Err(EntryError::TextTooLong { field, length: value.len(), limit });
        }
        if let Some(character) = refused_character(value, allowed) {
            return Err(EntryError::ControlCharacter { field, character });
        }
        self.text(value);
        Ok(())
    }
}

impl Reader<'_> {
    pub(super) fn string(&mut self) -> Result<String, EntryError> {
        Ok(self.text()?.to_owned())
    }

    pub(super) fn optional_string(&mut self) -> Result<Option<String>, EntryError> {
        self.optional(Self::string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clip_cuts_at_characters_and_replaces_control_characters() {
        assert_eq!(clip("short", 10), "short");
        assert_eq!(clip("a\nb\u{9f}", 10), "a\u{fffd}b\u{fffd}");
        assert_eq!(clip("abcdefgh", 6), "abc…");
        assert_eq!(clip("äöü", 5), "ä…");
        assert_eq!(clip("äöü", 2), "");
        assert_eq!(clip_message("a\n\tb\r"), "a\n\tb\u{fffd}");
        assert_eq!(clip_message(&"x".repeat(2000)).len(), MAX_MESSAGE_BYTES);
        for limit in 0..20 {
            assert!(clip("ää\u{1}ööüü…ßß", limit).len() <= limit);
        }
    }
}
