//! Reads JSON text event by event, without recursion, and knows the JSON Pointer of where it stands.

use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Range;

use json_event_parser::{JsonEvent, LowLevelJsonParser, LowLevelJsonParserResult};

/// Deeper documents end the reading with an error, whatever they hold.
pub const MAX_DEPTH: usize = 60_000;

/// Why a text could not be read as JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {message}")]
#[non_exhaustive]
pub struct JsonError {
    /// Where in the text, in bytes.
    pub offset: usize,
    /// What is wrong there.
    pub message: String,
}

/// One step through a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// `{`
    ObjectStart,
    /// `}`
    ObjectEnd,
    /// `[`
    ArrayStart,
    /// `]`
    ArrayEnd,
    /// A member's name, decoded. The member's value follows.
    Key(Cow<'a, str>),
    /// A string, decoded.
    String(Cow<'a, str>),
    /// A number, as it is written.
    Number(Cow<'a, str>),
    /// `true` or `false`
    Boolean(bool),
    /// `null`
    Null,
}

/// Steps through one JSON document.
///
/// ```
/// use picket_sdk::json::{Event, Reader};
///
/// let mut reader = Reader::new(r#"{"rows": [{"name": null}]}"#);
/// while let Some(event) = reader.next_event().unwrap() {
///     if event == Event::Null {
///         assert_eq!(reader.pointer(), "/rows/0/name");
///         assert_eq!(reader.depth(), 3);
///     }
/// }
/// ```
pub struct Reader<'a> {
    text: &'a str,
    parser: LowLevelJsonParser,
    /// How much of the text has been read. Invariant: `last.end == offset`.
    offset: usize,
    last: Range<usize>,
    pointer: String,
    containers: Vec<Container>,
    finished: bool,
}

/// A container that has been opened and not closed.
struct Container {
    /// Length of the pointer of the container itself.
    pointer: usize,
    /// Members or elements begun so far; `None` in an object, where keys name them.
    elements: Option<usize>,
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reader").field("offset", &self.offset).field("pointer", &self.pointer).finish()
    }
}

impl<'a> Reader<'a> {
    /// Begins at the start of `text`.
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            // The parser keeps about two states for each open container.
            parser: LowLevelJsonParser::new().with_max_stack_size(2 * MAX_DEPTH),
            offset: 0,
            last: 0..0,
            pointer: String::new(),
            containers: Vec::new(),
            finished: false,
        }
    }

    /// The next step; `None` after the document's end.
    ///
    /// # Errors
    /// When the text is not one JSON document, or is nested deeper than [`MAX_DEPTH`]. There is no going on then.
    pub fn next_event(&mut self) -> Result<Option<Event<'a>>, JsonError> {
        if self.finished {
            return Ok(None);
        }
        let event = self.parse()?;
        let event = match event {
            JsonEvent::Eof => {
                self.finished = true;
                return Ok(None);
            }
            JsonEvent::ObjectKey(key) => {
                let parent = self.containers.last().map_or(0, |container| container.pointer);
                self.pointer.truncate(parent);
                self.pointer.push('/');
                escape_token(&mut self.pointer, &key);
                return Ok(Some(Event::Key(key)));
            }
            JsonEvent::EndObject => return Ok(Some(self.close(Event::ObjectEnd))),
            JsonEvent::EndArray => return Ok(Some(self.close(Event::ArrayEnd))),
            JsonEvent::StartObject => Event::ObjectStart,
            JsonEvent::StartArray => Event::ArrayStart,
            JsonEvent::String(text) => Event::String(text),
            JsonEvent::Number(text) => Event::Number(text),
            JsonEvent::Boolean(value) => Event::Boolean(value),
            JsonEvent::Null => Event::Null,
        };
        self.begin_value();
        match event {
            Event::ObjectStart => self.open(None)?,
            Event::ArrayStart => self.open(Some(0))?,
            _ => {}
        }
        Ok(Some(event))
    }

    /// JSON Pointer to the value that the last event was about; after a key, to that member.
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// How many containers are open: 0 outside of all, 1 inside `[`.
    pub fn depth(&self) -> usize {
        self.containers.len()
    }

    /// The bytes of the text that the last event was read from, white space and punctuation before it taken off.
    pub fn span(&self) -> Range<usize> {
        let read = &self.text[self.last.clone()];
        let before = read.len() - read.trim_start_matches([' ', '\t', '\r', '\n', ',', ':']).len();
        self.last.start + before..self.last.end
    }

    fn parse(&mut self) -> Result<JsonEvent<'a>, JsonError> {
        loop {
            let rest = self.text.as_bytes().get(self.offset..).unwrap_or_default();
            let LowLevelJsonParserResult { event, consumed_bytes } = self.parser.parse_next(rest, true);
            self.last = self.offset..(self.offset + consumed_bytes).min(self.text.len());
            self.offset = self.last.end;
            match event {
                Some(Ok(event)) => return Ok(event),
                Some(Err(error)) => {
                    self.finished = true;
                    let offset = usize::try_from(error.location().start.offset).unwrap_or(usize::MAX);
                    return Err(JsonError { offset: offset.min(self.text.len()), message: error.message().to_owned() });
                }
                None => {}
            }
        }
    }

    /// Moves the pointer to the next element when the value stands in an array.
    fn begin_value(&mut self) {
        if let Some(Container { pointer, elements: Some(elements) }) = self.containers.last_mut() {
            self.pointer.truncate(*pointer);
            // Writing to a String cannot fail.
            let _ = write!(self.pointer, "/{elements}");
            *elements += 1;
        }
    }

    fn open(&mut self, elements: Option<usize>) -> Result<(), JsonError> {
        if self.containers.len() == MAX_DEPTH {
            self.finished = true;
            return Err(JsonError { offset: self.offset, message: format!("nested deeper than {MAX_DEPTH}") });
        }
        self.containers.push(Container { pointer: self.pointer.len(), elements });
        Ok(())
    }

    fn close(&mut self, event: Event<'a>) -> Event<'a> {
        if let Some(container) = self.containers.pop() {
            self.pointer.truncate(container.pointer);
        }
        event
    }
}

/// Appends `token` to a JSON Pointer, escaped as in RFC 6901 section 3. The slash before it is the caller's.
pub fn escape_token(pointer: &mut String, token: &str) {
    if token.contains(['~', '/']) {
        pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
    } else {
        pointer.push_str(token);
    }
}

#[cfg(test)]
mod tests;
