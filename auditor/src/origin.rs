//! The name of a box, checked once at the border.
//!
//! Origins arrive in bytes that anybody may send and end up as names of folders, so only a checked [`Origin`] ever
//! touches a path. Parsing is a whitelist: a name that could climb, hide, or collide with another file is not a name.

use std::fmt;

/// The longest name accepted, in bytes. Well below the 255 that file systems allow, so that suffixes fit.
pub const MAX_ORIGIN_BYTES: usize = 64;

/// A box's name: 1 to [`MAX_ORIGIN_BYTES`] of `A-Z a-z 0-9 . _ -`, starting with a letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(String);

/// A name that is not acceptable as an [`Origin`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{shown:?} is not a box name: 1 to {MAX_ORIGIN_BYTES} letters, digits, '.', '_' or '-', starting with a letter or digit"
)]
pub struct OriginError {
    shown: String,
}

impl Origin {
    /// Checks a name.
    ///
    /// # Errors
    /// Anything outside of the alphabet, empty, too long, or starting with a punctuation mark.
    pub fn parse(name: &str) -> Result<Self, OriginError> {
        let bytes = name.as_bytes();
        let good = !bytes.is_empty()
            && bytes.len() <= MAX_ORIGIN_BYTES
            && bytes[0].is_ascii_alphanumeric()
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if good {
            Ok(Self(name.to_owned()))
        } else {
            Err(OriginError { shown: name.chars().take(MAX_ORIGIN_BYTES).collect() })
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_pass() {
        for name in ["box-17", "a", "Plant.3_line-2", "0", &"x".repeat(MAX_ORIGIN_BYTES)] {
            assert!(Origin::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn names_that_could_leave_the_folder_do_not() {
        let long = "x".repeat(MAX_ORIGIN_BYTES + 1);
        for name in [
            "", ".", "..", "../box", "/etc", "a/b", "a\\b", ".hidden", "-rf", "a\0b", "a b", "bóx", "a\n", "%2e%2e",
            &long,
        ] {
            assert!(Origin::parse(name).is_err(), "{name:?}");
        }
    }
}
