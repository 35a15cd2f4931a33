//! Walks a JSON document and shows each text in it, with what is needed to point at it and to edit it.
//!
//! A walk over the bytes instead of a parsed tree: most documents hold nothing to report, and a tree would be built and
//! thrown away for each inference. The host has checked that the document is valid; a broken one is walked as far as it
//! makes sense, without panics. Memory grows with the depth, and with the longest string that holds escapes.

use std::borrow::Cow;
use std::collections::HashSet;

/// What a text in a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A string value; the text is decoded.
    Value,
    /// The name of a member; the text is as it stands in the document, escapes and all.
    Name,
    /// A whole number; the text is its digits.
    Number,
}

/// One text in a document.
pub(crate) struct Spot<'a, 'd> {
    pub(crate) place: Place,
    pub(crate) text: &'a str,
    /// The name of the member that holds it, as it stands in the document; empty for none.
    pub(crate) label: &'d str,
    /// Where its bytes begin in the document, without quotes.
    pub(crate) start: usize,
    /// As it stands in the document.
    pub(crate) raw: &'d str,
    steps: &'a [Step<'d>],
}

struct Step<'d> {
    /// In an array, the index of the present element; in an object, none.
    index: Option<usize>,
    /// The name of the present member of an object; in an array, that of the member which holds the array.
    name: &'d str,
}

impl Spot<'_, '_> {
    /// How many arrays and objects it stands in.
    pub(crate) fn depth(&self) -> usize {
        self.steps.len()
    }

    /// The JSON Pointer (RFC 6901) to the value, or to the value of the member whose name this is.
    pub(crate) fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in self.steps {
            pointer.push('/');
            match step.index {
                Some(index) => pointer.push_str(&index.to_string()),
                None => pointer.push_str(&decode(step.name).replace('~', "~0").replace('/', "~1")),
            }
        }
        pointer
    }
}

/// Shows each string, member name and whole number of the document to `visit`, in their order.
pub(crate) fn walk(document: &str, mut visit: impl FnMut(&Spot<'_, '_>)) {
    let bytes = document.as_bytes();
    let mut steps: Vec<Step<'_>> = Vec::new();
    let mut name_next = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'{' => {
                steps.push(Step { index: None, name: "" });
                name_next = true;
            }
            b'[' => {
                let name = steps.last().map_or("", |step| step.name);
                steps.push(Step { index: Some(0), name });
                name_next = false;
            }
            b'}' | b']' => {
                steps.pop();
                name_next = false;
            }
            b',' => match steps.last_mut() {
                Some(Step { index: Some(index), .. }) => *index += 1,
                Some(Step { index: None, .. }) => name_next = true,
                None => {}
            },
            b':' => name_next = false,
            b'"' => {
                let end = string_end(bytes, at);
                let raw = document.get(at..end).unwrap_or("");
                if name_next {
                    if let Some(step) = steps.last_mut() {
                        step.name = raw;
                    }
                    visit(&Spot { place: Place::Name, text: raw, label: "", start: at, raw, steps: &steps });
                } else {
                    let text = decode(raw);
                    let label = steps.last().map_or("", |step| step.name);
                    visit(&Spot { place: Place::Value, text: &text, label, start: at, raw, steps: &steps });
                }
                at = end + 1;
            }
            b'0'..=b'9' => {
                let start = at - 1;
                let length = bytes[start..].iter().position(|byte| !is_number(*byte)).unwrap_or(bytes.len() - start);
                at = start + length;
                let raw = document.get(start..at).unwrap_or("");
                let label = steps.last().map_or("", |step| step.name);
                if raw.bytes().all(|byte| byte.is_ascii_digit()) && bytes[..start].last() != Some(&b'-') {
                    visit(&Spot { place: Place::Number, text: raw, label, start, raw, steps: &steps });
                }
            }
            _ => {}
        }
    }
}

/// Whether an object of the document names a member twice: a pointer to it would be ambiguous.
pub(crate) fn has_repeated_members(document: &str) -> bool {
    let mut open: Vec<HashSet<Cow<'_, str>>> = Vec::new();
    let bytes = document.as_bytes();
    let mut name_next = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                open.push(HashSet::new());
                name_next = byte == b'{';
            }
            b'}' | b']' => {
                open.pop();
                name_next = false;
            }
            // In an array the set stays empty, so a comma there leads to no name.
            b',' => name_next = open.last().is_some_and(|names| !names.is_empty()),
            b':' => name_next = false,
            b'"' => {
                let end = string_end(bytes, at);
                if name_next
                    && let Some(names) = open.last_mut()
                    && !names.insert(decode(document.get(at..end).unwrap_or("")))
                {
                    return true;
                }
                at = end + 1;
            }
            _ => {}
        }
    }
    false
}

fn is_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')
}

/// Where the closing quote of the string that begins at `start` stands.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    loop {
        match bytes.get(at) {
            Some(b'"') => return at,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return bytes.len(),
        }
    }
}

/// The text of a string. Half a surrogate pair becomes U+FFFD.
fn decode(raw: &str) -> Cow<'_, str> {
    if !raw.as_bytes().contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut at = 0;
    while let Some((character, width)) = character_at(raw, at) {
        text.push(character);
        at += width;
    }
    Cow::Owned(text)
}

/// The character at `at` of an encoded string, and how many bytes it takes there.
fn character_at(raw: &str, at: usize) -> Option<(char, usize)> {
    let rest = raw.get(at..)?;
    let first = rest.chars().next()?;
    if first != '\\' {
        return Some((first, first.len_utf8()));
    }
    let simple = match rest.as_bytes().get(1)? {
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => return Some(unicode_escape(rest)),
        other => char::from(*other),
    };
    Some((simple, if simple.is_ascii() { 2 } else { 1 }))
}

fn unicode_escape(rest: &str) -> (char, usize) {
    let unit = |from: usize| rest.get(from..from + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let Some(first) = unit(2) else { return (char::REPLACEMENT_CHARACTER, 2) };
    if let Some(character) = char::from_u32(first) {
        return (character, 6);
    }
    let second = if rest.get(6..8) == Some("\\u") { unit(8) } else { None };
    match (first, second) {
        (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) => {
            let joined = 0x1_0000 + ((first - 0xD800) << 10) + (low - 0xDC00);
            (char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
        }
        _ => (char::REPLACEMENT_CHARACTER, 6),
    }
}

/// Turns ascending offsets into a decoded string into offsets into its encoded form.
pub(crate) struct Offsets<'d> {
    raw: &'d str,
    encoded: usize,
    decoded: usize,
}

impl<'d> Offsets<'d> {
    pub(crate) fn new(raw: &'d str) -> Self {
        Self { raw, encoded: 0, decoded: 0 }
    }

    /// The encoded offset; `decoded` is not below that of the call before.
    pub(crate) fn encoded(&mut self, decoded: usize) -> usize {
        while self.decoded < decoded
            && let Some((character, width)) = character_at(self.raw, self.encoded)
        {
            self.decoded += character.len_utf8();
            self.encoded += width;
        }
        self.encoded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spots(document: &str) -> Vec<(Place, String, String, String)> {
        let mut list = Vec::new();
        walk(document, |spot| list.push((spot.place, spot.pointer(), spot.label.to_owned(), spot.text.to_owned())));
        list
    }

    #[test]
    fn each_text_has_its_pointer_and_its_label() {
        let found = spots(r#"{"a":{"b~/c":["x",12,{"d":"y"}]},"e":[["z"]],"n":-5,"f":1.5}"#);
        let expected = [
            (Place::Name, "/a", "", "a"),
            (Place::Name, "/a/b~0~1c", "", "b~/c"),
            (Place::Value, "/a/b~0~1c/0", "b~/c", "x"),
            (Place::Number, "/a/b~0~1c/1", "b~/c", "12"),
            (Place::Name, "/a/b~0~1c/2/d", "", "d"),
            (Place::Value, "/a/b~0~1c/2/d", "d", "y"),
            (Place::Name, "/e", "", "e"),
            (Place::Value, "/e/0/0", "e", "z"),
            (Place::Name, "/n", "", "n"),
            (Place::Name, "/f", "", "f"),
        ];
        let expected: Vec<_> = expected
            .map(|(place, path, label, text)| (place, path.to_owned(), label.to_owned(), text.to_owned()))
            .to_vec();
        assert_eq!(found, expected);
    }

    #[test]
    fn escapes_are_decoded_and_offsets_found_again() {
        let document = r#""a\n\u00e9\ud83d\ude00\"\\b\/\ud800x""#;
        let mut seen = None;
        walk(document, |spot| {
            let mut offsets = Offsets::new(spot.raw);
            let places: Vec<usize> = spot.text.char_indices().map(|(index, _)| offsets.encoded(index)).collect();
            seen = Some((spot.text.to_owned(), places));
        });
        let (text, places) = seen.unwrap();
        assert_eq!(text, "a\né😀\"\\b/\u{FFFD}x");
        assert_eq!(places, [0, 1, 3, 9, 21, 23, 25, 26, 28, 34]);
    }

    #[test]
    fn repeated_members_are_seen_and_only_they() {
        for document in [r#"{"a":1,"a":2}"#, r#"[{"b":{"x":1,"\u0078":2}}]"#] {
            assert!(has_repeated_members(document), "{document}");
        }
        for document in [r#"{"a":{"a":["a","a"]},"b":{"a":"b"}}"#, r#"[["a","a"],"a","a"]"#, "{\"a"] {
            assert!(!has_repeated_members(document), "{document}");
        }
    }

    #[test]
    fn a_top_level_string_has_the_empty_pointer() {
        assert_eq!(spots(r#""x""#), [(Place::Value, String::new(), String::new(), "x".to_owned())]);
    }

    #[test]
    fn broken_documents_do_no_harm() {
        for document in ["\"", "\"\\", "{\"a", "[[[", "]]]", "\"\\u12", "\"\\ud800\\u", "{:,}", "\"\\é\"", "1e", ","] {
            walk(document, |spot| {
                let _ = spot.pointer();
                let _ = Offsets::new(spot.raw).encoded(usize::MAX);
            });
        }
    }

    #[test]
    fn depth_is_no_matter() {
        let document = format!("{}\"x\"{}", "[".repeat(10_000), "]".repeat(10_000));
        let found = spots(&document);
        assert_eq!(found[0].1, "/0".repeat(10_000));
    }
}
