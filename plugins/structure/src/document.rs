//! One JSON document: size, depth, nulls, duplicate keys, schema, required values.

use std::borrow::Cow;

use picket_sdk::json::{Event, JsonError, Reader, escape_token};
use picket_sdk::{Location, Part, Scalar, TextView};
use serde_json::Value;

use crate::report::Report;
use crate::schema::Schema;
use crate::settings::Settings;
use crate::text;

/// Where a document stands in the output, which decides how its insides are located.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a, 'b> {
    /// The output is the document: JSON Pointers are paths.
    Document,
    /// The document is the text of this view: its insides are spans of the text.
    Text(&'a TextView<'b>),
}

/// Checks a document. Whatever recurses is only called when the depth is known to be small.
pub(crate) fn check(
    settings: &Settings,
    schema: Option<&Schema>,
    document: &str,
    place: Place<'_, '_>,
    report: &mut Report<'_>,
) {
    let locate = Locate { document, place };
    if document.len() > settings.max_bytes {
        let message = format!("the document has {} bytes; at most {} pass", document.len(), settings.max_bytes);
        report.add("json-size", locate.whole(), message);
        return;
    }
    let walk = match Walk::new(settings, locate).run(report) {
        Ok(walk) => walk,
        Err(error) => {
            let end = document.len().min(error.offset + 1);
            report.add("json-invalid", locate.bytes(error.offset..end), format!("no JSON document: {error}"));
            return;
        }
    };
    if let Some(most) = settings.max_nulls
        && walk.nulls > most
    {
        let message =
            format!("{} nulls; at most {most} pass. The first are at {}", walk.nulls, walk.examples.join(", "));
        let location = walk.examples.first().map_or_else(|| locate.whole(), |pointer| locate.pointer(pointer));
        report.add("json-nulls", location, message);
    }
    report.measure("nulls", Scalar::Integer(i64::try_from(walk.nulls).unwrap_or(i64::MAX)));
    if walk.deepest > settings.max_depth {
        let message = format!("nested {} deep; at most {} pass", walk.deepest, settings.max_depth);
        report.add("json-depth", locate.whole(), message);
        return;
    }
    if schema.is_some() || !settings.required_not_empty.is_empty() {
        check_value(settings, schema, locate, report);
    }
}

fn check_value(settings: &Settings, schema: Option<&Schema>, locate: Locate<'_>, report: &mut Report<'_>) {
    let value: Value = match serde_json::from_str(locate.document) {
        Ok(value) => value,
        Err(error) => {
            // The text is JSON by its grammar, so this is a number that no double can hold or half a surrogate pair.
            report.add("json-invalid", locate.whole(), format!("cannot be represented: {error}"));
            return;
        }
    };
    if let Some(schema) = schema {
        schema.check(&value, |violation| {
            let full = report.is_full("json-schema");
            let location = if full { locate.whole() } else { locate.pointer(&violation.pointer) };
            let message = match locate.place {
                Place::Text(_) if !violation.pointer.is_empty() => {
                    format!("at {}: {}", violation.pointer, violation.message)
                }
                _ => violation.message,
            };
            report.add("json-schema", location, message);
        });
    }
    for pattern in &settings.required_not_empty {
        let tokens: Vec<Cow<'_, str>> = pattern.split('/').skip(1).map(unescape).collect();
        require(&value, &tokens, &mut String::new(), &mut |pointer, what| {
            report.add("json-empty", locate.pointer(pointer), format!("{} is {what}", named(pointer)));
        });
    }
}

/// Reports each place that the pattern names and where nothing is. Recurses as deep as the pattern has tokens.
fn require(value: &Value, tokens: &[Cow<'_, str>], pointer: &mut String, report: &mut impl FnMut(&str, &str)) {
    let Some((token, rest)) = tokens.split_first() else {
        if let Some(what) = emptiness(value) {
            report(pointer, what);
        }
        return;
    };
    let length = pointer.len();
    let mut descend = |name: &str, child: Option<&Value>| {
        pointer.push('/');
        escape_token(pointer, name);
        match child {
            Some(child) => require(child, rest, pointer, report),
            None => report(pointer, "missing"),
        }
        pointer.truncate(length);
    };
    match (value, token.as_ref()) {
        (Value::Object(members), "*") => members.iter().for_each(|(name, child)| descend(name, Some(child))),
        (Value::Array(elements), "*") => {
            elements.iter().enumerate().for_each(|(index, child)| descend(&index.to_string(), Some(child)));
        }
        (Value::Object(members), name) => descend(name, members.get(name)),
        (Value::Array(elements), name) => descend(name, name.parse().ok().and_then(|index: usize| elements.get(index))),
        (_, name) => descend(name, None),
    }
}

fn emptiness(value: &Value) -> Option<&'static str> {
    match value {
        Value::Null => Some("null"),
        Value::String(text) if text.trim().is_empty() => Some("an empty text"),
        Value::Array(elements) if elements.is_empty() => Some("an empty array"),
        Value::Object(members) if members.is_empty() => Some("an empty object"),
        _ => None,
    }
}

fn unescape(token: &str) -> Cow<'_, str> {
    if token.contains('~') { token.replace("~1", "/").replace("~0", "~").into() } else { token.into() }
}

fn named(pointer: &str) -> &str {
    if pointer.is_empty() { "the document" } else { pointer }
}

/// What one pass over the document has found.
struct Walk<'a> {
    settings: &'a Settings,
    locate: Locate<'a>,
    deepest: usize,
    nulls: u64,
    /// Pointers of the first nulls.
    examples: Vec<String>,
    /// Names of members of all open objects, and where each object's begin.
    keys: Vec<Cow<'a, str>>,
    objects: Vec<usize>,
}

impl<'a> Walk<'a> {
    fn new(settings: &'a Settings, locate: Locate<'a>) -> Self {
        Self { settings, locate, deepest: 0, nulls: 0, examples: vec![], keys: vec![], objects: vec![] }
    }

    fn run(mut self, report: &mut Report<'_>) -> Result<Self, JsonError> {
        let mut reader = Reader::new(self.locate.document);
        while let Some(event) = reader.next_event()? {
            match event {
                Event::Null => {
                    self.nulls += 1;
                    if self.examples.len() < 3 {
                        self.examples.push(named(reader.pointer()).to_owned());
                    }
                }
                Event::Key(key) => self.keys.push(key),
                Event::ObjectStart => {
                    self.deepest = self.deepest.max(reader.depth());
                    self.objects.push(self.keys.len());
                }
                Event::ArrayStart => self.deepest = self.deepest.max(reader.depth()),
                Event::ObjectEnd => self.close_object(reader.pointer(), report),
                // Texts inside a text have been checked with it.
                Event::String(string) if matches!(self.locate.place, Place::Document) => {
                    text::check_string(self.settings, &string, reader.pointer(), report);
                }
                Event::ArrayEnd | Event::String(_) | Event::Number(_) | Event::Boolean(_) => {}
            }
        }
        Ok(self)
    }

    fn close_object(&mut self, pointer: &str, report: &mut Report<'_>) {
        let first = self.objects.pop().unwrap_or_default();
        let keys = &mut self.keys[first..];
        if !self.settings.allow_duplicate_keys && keys.len() > 1 {
            keys.sort_unstable();
            for pair in keys.windows(2).filter(|pair| pair[0] == pair[1]) {
                if report.is_full("json-duplicate-key") {
                    report.add("json-duplicate-key", self.locate.whole(), String::new());
                    continue;
                }
                let mut member = format!("{pointer}/");
                escape_token(&mut member, &pair[0]);
                let message = format!("{member} is there more than once; readers differ in which one they take");
                report.add("json-duplicate-key", self.locate.pointer(&member), message);
            }
        }
        self.keys.truncate(first);
    }
}

/// Turns places in the document into locations in the output.
#[derive(Debug, Clone, Copy)]
struct Locate<'a> {
    document: &'a str,
    place: Place<'a, 'a>,
}

impl Locate<'_> {
    fn whole(&self) -> Location {
        match self.place {
            Place::Document => Location::of_part(Part::Output),
            Place::Text(view) => view.whole(),
        }
    }

    fn bytes(&self, bytes: std::ops::Range<usize>) -> Location {
        match self.place {
            Place::Document => TextView::new(Part::Output, "", self.document).location(bytes),
            Place::Text(view) => view.location(bytes),
        }
    }

    fn pointer(&self, pointer: &str) -> Location {
        match self.place {
            Place::Document => Location::of_path(Part::Output, pointer),
            Place::Text(view) => match span_of_value(self.document, pointer) {
                Some(bytes) => view.location(bytes),
                None => view.whole(),
            },
        }
    }
}

/// The bytes of the value at `pointer`. Reads the document again: findings are rare.
fn span_of_value(document: &str, pointer: &str) -> Option<std::ops::Range<usize>> {
    let mut reader = Reader::new(document);
    let mut start = None;
    while let Ok(Some(event)) = reader.next_event() {
        let here = reader.pointer() == pointer && event_is_value(&event);
        match (start, here) {
            (None, true) if matches!(event, Event::ObjectStart | Event::ArrayStart) => {
                start = Some(reader.span().start);
            }
            (None, true) => return Some(reader.span()),
            (Some(start), true) => return Some(start..reader.span().end),
            _ => {}
        }
    }
    None
}

fn event_is_value(event: &Event<'_>) -> bool {
    !matches!(event, Event::Key(_))
}
