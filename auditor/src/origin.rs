//! The name of a box, checked once at the border.
//!
//! Origins arrive in bytes that anybody may send and end up as names of folders, so only a checked [`Origin`] ever
//! touches a path. Parsing is a whitelist: a name that could climb, hide, or collide with another file is not a name.

use std::fmt;

/// The longest name accepted, in bytes. Well below the 255 that file systems allow, so that suffixes fit.
pub const MAX_ORIGIN_BYTES: usize = 64;

/// A log's name: that of a box, 1 to [`MAX_ORIGIN_BYTES`] of `A-Z a-z 0-9 . _ -`, starting with a letter or a digit; and
/// behind it, for the log of a later incarnation of the box, `~` and its number from 2 on.
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
        let (name_of_box, later) = match name.split_once('~') {
            None => (name, true),
            Some((name_of_box, number)) => {
                let canonical = |parsed: &u32| *parsed > 1 && parsed.to_string() == number;
                (name_of_box, number.parse().ok().filter(canonical).is_some())
            }
        };
        let bytes = name_of_box.as_bytes();
        let good = later
            && !bytes.is_empty()
            && bytes.len() <= MAX_ORIGIN_BYTES
            && bytes[0].is_ascii_alphanumeric()
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if good {
            Ok(Self(name.to_owned()))
        } else {
            Err(OriginError { shown: name.chars().take(MAX_ORIGIN_BYTES).collect() })
        }
    }

    /// The log before this one, when this is the log of a later incarnation of its box.
    pub fn previous(&self) -> Option<Self> {
        let (name_of_box, number) = self.0.split_once('~')?;
        let before = number.parse::<u32>().ok()?.checked_sub(1)?;
        Some(Self(if before == 1 { name_of_box.to_owned() } else { format!("{name_of_box}~{before}") }))
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
        for name in ["box-17", "a", "Plant.3_line-2", "0", &"x".repeat(MAX_ORIGIN_BYTES), "box-17~2", "a~4294967295"] {
            assert!(Origin::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn later_logs_of_a_box_name_the_one_before() {
        let previous = |name: &str| Origin::parse(name).unwrap().previous().map(|origin| origin.to_string());
        assert_eq!(previous("box-17"), None);
        assert_eq!(previous("box-17~2").as_deref(), Some("box-17"));
        assert_eq!(previous("box-17~3").as_deref(), Some("box-17~2"));
    }

    #[test]
    fn names_that_could_leave_the_folder_do_not() {
        let long = "x".repeat(MAX_ORIGIN_BYTES + 1);
        for name in [
            "",
            ".",
            "..",
            "../box",
            "/etc",
            "a/b",
            "a\\b",
            ".hidden",
            "-rf",
            "a\0b",
            "a b",
            "bóx",
            "a\n",
            "%2e%2e",
            "a~",
            "a~1",
            "a~0",
            "a~02",
            "a~+2",
            "a~2~3",
            "~2",
            "a~4294967296",
            "a~b",
            &long,
        ] {
            assert!(Origin::parse(name).is_err(), "{name:?}");
        }
    }
}
