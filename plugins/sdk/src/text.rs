//! The texts inside a content, each with the location that findings in it need.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::{self, Event, JsonError, Reader};
use crate::types::{Content, Datatype, Location, Part, Span};

/// One text inside a part of an inference.
#[derive(Debug, Clone, PartialEq)]
pub struct TextView<'a> {
    part: Part,
    path: String,
    text: Cow<'a, str>,
    spans: bool,
}

impl<'a> TextView<'a> {
    /// A text at a JSON Pointer inside a part, as [`Location`] defines it.
    pub fn new(part: Part, path: impl Into<String>, text: impl Into<Cow<'a, str>>) -> Self {
        Self { part, path: path.into(), text: text.into(), spans: true }
    }

    /// The text; of a JSON string, its decoded form.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// JSON Pointer inside the part; empty for a content that is one text.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// False for elements of a BYTES tensor: they have no location of their own, so they cannot be edited.
    pub fn can_edit(&self) -> bool {
        self.spans
    }

    /// The location of these bytes of the text. A bound inside a character moves outwards to the next border.
    pub fn location(&self, bytes: Range<usize>) -> Location {
        let span = if self.spans { span_of(&self.text, bytes) } else { None };
        Location { part: self.part, path: self.path.clone(), span }
    }

    /// The location of the whole text.
    pub fn whole(&self) -> Location {
        Location { part: self.part, path: self.path.clone(), span: None }
    }
}

/// Every text in a content: the text itself, each message, each string value of a JSON document (names of members are
/// left out), each element of a BYTES tensor that is UTF-8.
///
/// # Errors
/// When a JSON document cannot be read; the host hands out valid ones, though they may be nested very deep.
pub fn text_views(part: Part, content: &Content) -> Result<Vec<TextView<'_>>, JsonError> {
    let mut views = Vec::new();
    match content {
        Content::Text(text) => views.push(TextView::new(part, "", text.as_str())),
        Content::Messages(messages) => {
            for (index, message) in messages.iter().enumerate() {
                views.push(TextView::new(part, format!("/{index}"), message.content.as_str()));
            }
        }
        Content::Json(document) => {
            let mut reader = Reader::new(document);
            while let Some(event) = reader.next_event()? {
                if let Event::String(text) = event {
                    views.push(TextView::new(part, reader.pointer(), text));
                }
            }
        }
        Content::Tensors(tensors) => {
            for tensor in tensors.iter().filter(|tensor| tensor.datatype == Datatype::Bytes) {
                let mut path = "/".to_owned();
                json::escape_token(&mut path, &tensor.name);
                for text in tensor.byte_elements().flatten().filter_map(|bytes| std::str::from_utf8(bytes).ok()) {
                    views.push(TextView { part, path: path.clone(), text: text.into(), spans: false });
                }
            }
        }
    }
    Ok(views)
}

/// The span of these bytes of `text`, moved outwards to character borders and cut at its end. `None` when it cannot be
/// told in 32 bits.
pub fn span_of(text: &str, bytes: Range<usize>) -> Option<Span> {
    let start = text.floor_char_boundary(bytes.start);
    let end = text.ceil_char_boundary(bytes.end.max(bytes.start));
    Some(Span { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::types::{Message, Tensor};

    fn texts(content: &Content) -> Vec<(String, String)> {
        let views = text_views(Part::Output, content).unwrap();
        views.iter().map(|view| (view.path().to_owned(), view.text().to_owned())).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn every_kind_of_content_shows_its_texts() {
        assert_eq!(texts(&Content::Text("a".into())), pairs(&[("", "a")]));
        let message = |content: &str| Message { role: "user".into(), name: None, content: content.into() };
        assert_eq!(texts(&Content::Messages(vec![message("a"), message("")])), pairs(&[("/0", "a"), ("/1", "")]));
        let document = r#"{"a": "x\ny", "b": [1, "z", null], "c": ""}"#;
        assert_eq!(texts(&Content::Json(document.into())), pairs(&[("/a", "x\ny"), ("/b/1", "z"), ("/c", "")]));
        let data = [&[1, 0, 0, 0, b'a'][..], &[1, 0, 0, 0, 0xff], &[2, 0, 0, 0, 0xc3, 0xa4]].concat();
        let tensor = Tensor { name: "t/1".into(), datatype: Datatype::Bytes, shape: vec![3], data };
        assert_eq!(texts(&Content::Tensors(vec![tensor])), pairs(&[("/t~11", "a"), ("/t~11", "ä")]));
    }

    #[test]
    fn spans_lie_on_borders() {
        let view = TextView::new(Part::Output, "", "aäb");
        assert_eq!(view.location(1..3).span, Some(Span { start: 1, end: 3 }));
        assert_eq!(view.location(2..2).span, Some(Span { start: 1, end: 3 }));
        assert_eq!(view.location(0..2).span, Some(Span { start: 0, end: 3 }));
        assert_eq!(view.location(2..99).span, Some(Span { start: 1, end: 4 }));
        assert_eq!(view.location(99..99).span, Some(Span { start: 4, end: 4 }));
    }
}
