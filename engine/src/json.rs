//! Where in a JSON text the values lie that JSON Pointers (RFC 6901) name. Editing in place by these ranges leaves the
//! rest of a document byte for byte as it was: numbers, white space and the order of members included.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Deepest nesting that is looked into. Deeper documents can be judged as a whole, not pointed into.
const MAX_DEPTH: usize = 512;

/// Byte ranges of the values in `text` that `pointers` name, for those that exist. Of members with one name the last
/// counts, as for most JSON readers. One walk, however many pointers.
///
/// # Errors
/// When `text` is not built like one JSON document. Its words and numbers are not checked.
pub(crate) fn locate<'p>(
    text: &str,
    pointers: impl IntoIterator<Item = &'p str>,
) -> Result<HashMap<&'p str, Range<usize>>, &'static str> {
    let wanted: HashMap<&str, Option<Range<usize>>> = pointers.into_iter().map(|pointer| (pointer, None)).collect();
    let mut scanner = Scanner {
        text,
        at: 0,
        pointer: String::new(),
        on_the_way: wanted.keys().flat_map(|pointer| prefixes(pointer)).collect(),
        found: wanted,
    };
    scanner.space();
    scanner.value(0, true)?;
    scanner.space();
    if scanner.at < text.len() {
        return Err("more than one JSON document");
    }
    let found = scanner.found.into_iter();
    Ok(found.filter_map(|(pointer, range)| Some((pointer, range?))).collect())
}

/// Whether `pointer` names something inside what `outer` names.
pub(crate) fn is_below(pointer: &str, outer: &str) -> bool {
    pointer.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

/// `/a/b` as `/a`, `/a/b`.
fn prefixes(pointer: &str) -> impl Iterator<Item = &str> {
    let inner = pointer.char_indices().skip(1).filter(|(_, char)| *char == '/');
    inner.map(|(end, _)| &pointer[..end]).chain([pointer])
}

struct Scanner<'t, 'p> {
    text: &'t str,
    at: usize,
    /// Pointer to the value at hand, while it is on the way to a wanted one.
    pointer: String,
    /// Wanted pointers and all that lie above them.
    on_the_way: HashSet<&'p str>,
    found: HashMap<&'p str, Option<Range<usize>>>,
}

impl Scanner<'_, '_> {
    /// Walks over one value. `tracked`: `pointer` names it, and it or something in it may be wanted.
    fn value(&mut self, depth: usize, tracked: bool) -> Result<(), &'static str> {
        if depth > MAX_DEPTH {
            return Err("JSON nested too deeply to point into");
        }
        let start = self.at;
        match self.peek() {
            Some(b'{') => self.members(depth, tracked, b'}', Self::name)?,
            Some(b'[') => self.members(depth, tracked, b']', Self::index)?,
            Some(b'"') => {
                self.string()?;
            }
            Some(_) => self.word()?,
            None => return Err("JSON ends too early"),
        }
        if tracked && let Some(range) = self.found.get_mut(self.pointer.as_str()) {
            *range = Some(start..self.at);
        }
        Ok(())
    }

    /// Walks over an object or an array; `step` reads what comes before a member's value and puts the member's token at
    /// the end of the pointer.
    fn members(
        &mut self,
        depth: usize,
        tracked: bool,
        end: u8,
        step: fn(&mut Self, usize, bool) -> Result<bool, &'static str>,
    ) -> Result<(), &'static str> {
        self.at += 1;
        self.space();
        if self.take(end) {
            return Ok(());
        }
        let parent = self.pointer.len();
        for index in 0.. {
            self.space();
            let tracked = step(self, index, tracked)? && self.on_the_way.contains(self.pointer.as_str());
            if tracked {
                self.forget();
            }
            self.value(depth + 1, tracked)?;
            self.pointer.truncate(parent);
            self.space();
            if self.take(end) {
                break;
            }
            if !self.take(b',') {
                return Err("JSON without a closing bracket");
            }
        }
        Ok(())
    }

    fn name(&mut self, _index: usize, tracked: bool) -> Result<bool, &'static str> {
        let range = self.string()?;
        self.space();
        if !self.take(b':') {
            return Err("a JSON member without `:`");
        }
        self.space();
        if !tracked {
            return Ok(false);
        }
        // A name with half a surrogate pair is no string that a pointer could spell.
        let Ok(name) = serde_json::from_str::<String>(&self.text[range]) else {
            return Ok(false);
        };
        self.pointer.push('/');
        self.pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        Ok(true)
    }

    fn index(&mut self, index: usize, tracked: bool) -> Result<bool, &'static str> {
        if tracked {
            self.pointer.push('/');
            self.pointer.push_str(&index.to_string());
        }
        Ok(tracked)
    }

    fn string(&mut self) -> Result<Range<usize>, &'static str> {
        let start = self.at;
        if !self.take(b'"') {
            return Err("a JSON string was expected");
        }
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err("a JSON string without its end"),
            }
        }
        self.at += 1;
        Ok(start..self.at)
    }

    fn word(&mut self) -> Result<(), &'static str> {
        let start = self.at;
        let part_of_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        while self.peek().is_some_and(part_of_word) {
            self.at += 1;
        }
        if self.at == start {
            return Err("no JSON value where one was expected");
        }
        Ok(())
    }

    /// Drops what was found at the pointer and below: a later member of the same name has come.
    fn forget(&mut self) {
        for (pointer, range) in &mut self.found {
            if *pointer == self.pointer || is_below(pointer, &self.pointer) {
                *range = None;
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'t>(text: &'t str, pointer: &str) -> Option<&'t str> {
        locate(text, [pointer]).ok()?.get(pointer).map(|range| &text[range.clone()])
    }

    #[test]
    fn values_are_found_where_rfc_6901_says() {
        let text = r#" {"foo": ["bar", "baz"], "": 0, "a/b": 1, "m~n": 8, "k\"l": 6, "é": {"x": [ ]}} "#;
        assert_eq!(found(text, ""), Some(text.trim()));
        assert_eq!(found(text, "/foo"), Some(r#"["bar", "baz"]"#));
        assert_eq!(found(text, "/foo/0"), Some(r#""bar""#));
        assert_eq!(found(text, "/"), Some("0"));
        assert_eq!(found(text, "/a~1b"), Some("1"));
        assert_eq!(found(text, "/m~0n"), Some("8"));
        assert_eq!(found(text, "/k\"l"), Some("6"));
        assert_eq!(found(text, "/é/x"), Some("[ ]"));
        for absent in ["/foo/2", "/foo/00", "/fo", "foo", "/foo/0/0", "/é/x/0"] {
            assert_eq!(found(text, absent), None, "{absent}");
        }
    }

    #[test]
    fn the_last_member_of_a_name_counts() {
        let text = r#"{"a": {"b": 1}, "a": {"c": 2}}"#;
        assert_eq!(found(text, "/a/b"), None);
        assert_eq!(found(text, "/a/c"), Some("2"));
    }

    #[test]
    fn what_is_not_json_is_an_error_and_no_panic() {
        for text in ["", "{", "[1", "[1 2]", "{\"a\"}", "\"a", "\"\\", "{\"a\":}", "[,]", "1 2", "\u{1f600}"] {
            assert!(locate(text, ["/a"]).is_err(), "{text:?}");
        }
        let deep = "[".repeat(100_000);
        assert!(locate(&deep, [""]).is_err());
    }
}
