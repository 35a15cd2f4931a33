//! Where findings and edits point, and the edits carried out. Pure: no guard, no runtime.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::json::{is_below, locate};
use crate::text::shown;
use crate::types::{Attribute, Content, Edit, Inference, Location, Part, Scalar, Span};

/// Longest path of a location, in bytes.
pub const MAX_PATH_BYTES: usize = 1024;

/// A location or an edit that does not fit the inference it was made for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// The inference has no such part.
    #[error("the inference has no {0}")]
    NoPart(&'static str),
    /// The part has nothing there.
    #[error("there is nothing at {path} of the {part}")]
    NoSuchPath {
        /// The part's name.
        part: &'static str,
        /// The path, shortened for a message.
        path: String,
    },
    /// The JSON document cannot be pointed into.
    #[error("the {part} cannot be pointed into: {message}")]
    Json {
        /// The part's name.
        part: &'static str,
        /// Why not.
        message: &'static str,
    },
    /// A span where there is no text.
    #[error("what is at {path} of the {part} is no text and has no span")]
    NoText {
        /// The part's name.
        part: &'static str,
        /// The path, shortened for a message.
        path: String,
    },
    /// The span is empty in reverse, or goes beyond the text.
    #[error("the span {start}..{end} is not in the {length} bytes at {path} of the {part}")]
    Span {
        /// The part's name.
        part: &'static str,
        /// The path, shortened for a message.
        path: String,
        /// As given.
        start: u32,
        /// As given.
        end: u32,
        /// Bytes of the text there.
        length: usize,
    },
    /// The span cuts a character in two.
    #[error("the span {start}..{end} at {path} of the {part} cuts a character in two")]
    Border {
        /// The part's name.
        part: &'static str,
        /// The path, shortened for a message.
        path: String,
        /// As given.
        start: u32,
        /// As given.
        end: u32,
    },
    /// Only the output can be edited.
    #[error("an edit of the {0}; only the output can be edited")]
    NotOutput(&'static str),
    /// Two edits speak of the same bytes.
    #[error("two edits overlap at {path} of the output")]
    Overlap {
        /// The path, shortened for a message.
        path: String,
    },
    /// Edits of a JSON document's text left no JSON.
    #[error("the output is not JSON any more after the edits")]
    NotJsonAfter,
    /// The content has no text that could be edited.
    #[error("tensors cannot be edited")]
    Tensors,
}

/// Checks that every location exists in `inference`, and that its span lies within the text there, on character borders.
///
/// # Errors
/// The first location that does not.
pub fn check_locations<'a>(
    inference: &Inference,
    locations: impl IntoIterator<Item = &'a Location>,
) -> Result<(), LocationError> {
    let mut paths_into_json: [Vec<&Location>; 2] = [Vec::new(), Vec::new()];
    for location in locations {
        match (location.part, part_content(inference, location.part)) {
            (Part::Input, Some(Content::Json(_))) => paths_into_json[0].push(location),
            (Part::Output, Some(Content::Json(_))) => paths_into_json[1].push(location),
            _ => check_plain(inference, location)?,
        }
    }
    for (content, locations) in [&inference.input, &inference.output].into_iter().zip(&paths_into_json) {
        if let Some(Content::Json(text)) = content {
            check_json(text, locations)?;
        }
    }
    Ok(())
}

/// `content` with `edits` made: the output that leaves the box. Edits without a span replace the whole text at their
/// path; at a JSON value that is no string, the value becomes a string. Everything outside of the edits stays byte for
/// byte as it was.
///
/// # Errors
/// When an edit is not of the output, points nowhere, overlaps another, or leaves a JSON document that is none.
pub fn apply_edits(content: &Content, edits: &[Edit]) -> Result<Content, LocationError> {
    if let Some(edit) = edits.iter().find(|edit| edit.location.part != Part::Output) {
        return Err(LocationError::NotOutput(part_name(edit.location.part)));
    }
    let mut by_path: BTreeMap<&str, Vec<&Edit>> = BTreeMap::new();
    for edit in edits {
        by_path.entry(&edit.location.path).or_default().push(edit);
    }
    let missing = |path: &str| LocationError::NoSuchPath { part: "output", path: shown(path) };
    match content {
        Content::Text(text) => {
            let mut edited = Cow::Borrowed(text.as_str());
            for (path, edits) in by_path {
                if !path.is_empty() {
                    return Err(missing(path));
                }
                edited = Cow::Owned(edit_text(text, path, &edits)?);
            }
            Ok(Content::Text(edited.into_owned()))
        }
        Content::Messages(messages) => {
            let mut messages = messages.clone();
            for (path, edits) in by_path {
                let message = index(path).and_then(|index| messages.get_mut(index)).ok_or_else(|| missing(path))?;
                message.content = edit_text(&message.content, path, &edits)?;
            }
            Ok(Content::Messages(messages))
        }
        Content::Json(text) => edit_json(text, &by_path).map(Content::Json),
        Content::Tensors(tensors) if edits.is_empty() => Ok(Content::Tensors(tensors.clone())),
        Content::Tensors(_) => Err(LocationError::Tensors),
    }
}

/// The text at `location`'s path, without regard to its span: what an operator is shown. `None` when there is none.
pub fn text_at<'a>(inference: &'a Inference, location: &Location) -> Option<Cow<'a, str>> {
    match (location.part, part_content(inference, location.part)) {
        (Part::Input | Part::Output, Some(Content::Json(text))) => {
            if location.path.is_empty() {
                return Some(Cow::Borrowed(text));
            }
            let found = locate(text, [location.path.as_str()]).ok()?;
            let range = found.get(location.path.as_str())?;
            serde_json::from_str::<String>(&text[range.clone()]).ok().map(Cow::Owned)
        }
        _ => match plain(inference, location) {
            Ok(Spot::Text(text)) => Some(Cow::Borrowed(text)),
            _ => None,
        },
    }
}

/// What a path of a part other than a JSON document leads to.
enum Spot<'a> {
    Text(&'a str),
    /// Something without text of its own: a whole list, a tensor, a number.
    Other,
}

fn check_plain(inference: &Inference, location: &Location) -> Result<(), LocationError> {
    let part = part_name(location.part);
    match (plain(inference, location)?, location.span) {
        (_, None) => Ok(()),
        (Spot::Text(text), Some(span)) => check_span(text, span, part, &location.path).map(drop),
        (Spot::Other, Some(_)) => Err(LocationError::NoText { part, path: shown(&location.path) }),
    }
}

fn plain<'a>(inference: &'a Inference, location: &Location) -> Result<Spot<'a>, LocationError> {
    let part = part_name(location.part);
    let path = location.path.as_str();
    let spot = match location.part {
        Part::Input | Part::Output => {
            match part_content(inference, location.part).ok_or(LocationError::NoPart(part))? {
                Content::Text(text) if path.is_empty() => Some(Spot::Text(text)),
                Content::Messages(_) | Content::Tensors(_) if path.is_empty() => Some(Spot::Other),
                Content::Messages(messages) => {
                    index(path).and_then(|index| messages.get(index)).map(|message| Spot::Text(&message.content))
                }
                Content::Tensors(tensors) => {
                    name(path).filter(|name| tensors.iter().any(|tensor| tensor.name == *name)).map(|_| Spot::Other)
                }
                Content::Text(_) | Content::Json(_) => None,
            }
        }
        Part::Context | Part::Features | Part::Attributes if path.is_empty() => Some(Spot::Other),
        Part::Context => {
            index(path).and_then(|index| inference.context.get(index)).map(|document| Spot::Text(&document.text))
        }
        Part::Features => name(path)
            .and_then(|name| inference.features.iter().find(|feature| feature.name == name))
            .map(|feature| match &feature.value {
                Scalar::Text(text) => Spot::Text(text),
                _ => Spot::Other,
            }),
        Part::Attributes => name(path)
            .and_then(|name| inference.attributes.iter().find(|attribute| attribute.name == name))
            .map(|Attribute { value, .. }| Spot::Text(value)),
    };
    spot.ok_or_else(|| LocationError::NoSuchPath { part, path: shown(path) })
}

fn check_json(text: &str, locations: &[&Location]) -> Result<(), LocationError> {
    let Some(first) = locations.first() else {
        return Ok(());
    };
    let part = part_name(first.part);
    let mut decoded: HashMap<&str, Option<String>> = HashMap::new();
    let inner = || locations.iter().map(|location| location.path.as_str()).filter(|path| !path.is_empty());
    let found = if inner().next().is_some() {
        locate(text, inner()).map_err(|message| LocationError::Json { part, message })?
    } else {
        HashMap::new()
    };
    for location in locations {
        let path = location.path.as_str();
        if path.is_empty() {
            if let Some(span) = location.span {
                check_span(text, span, part, path)?;
            }
            continue;
        }
        let range = found.get(path).ok_or_else(|| LocationError::NoSuchPath { part, path: shown(path) })?;
        let Some(span) = location.span else { continue };
        let string = decoded.entry(path).or_insert_with(|| serde_json::from_str(&text[range.clone()]).ok());
        let string = string.as_ref().ok_or_else(|| LocationError::NoText { part, path: shown(path) })?;
        check_span(string, span, part, path)?;
    }
    Ok(())
}

fn edit_json(text: &str, by_path: &BTreeMap<&str, Vec<&Edit>>) -> Result<String, LocationError> {
    let overlap = |path: &str| LocationError::Overlap { path: shown(path) };
    if let Some(edits) = by_path.get("") {
        if let Some(other) = by_path.keys().find(|path| !path.is_empty()) {
            return Err(overlap(other));
        }
        let edited = edit_text(text, "", edits)?;
        serde_json::from_str::<serde::de::IgnoredAny>(&edited).map_err(|_| LocationError::NotJsonAfter)?;
        return Ok(edited);
    }
    let found =
        locate(text, by_path.keys().copied()).map_err(|message| LocationError::Json { part: "output", message })?;
    let mut replacements = Vec::with_capacity(by_path.len());
    for (path, edits) in by_path {
        if let Some(outer) = by_path.keys().find(|outer| is_below(path, outer)) {
            return Err(overlap(outer));
        }
        let range = found.get(path).ok_or_else(|| LocationError::NoSuchPath { part: "output", path: shown(path) })?;
        let edited = match serde_json::from_str::<String>(&text[range.clone()]) {
            Ok(string) => edit_text(&string, path, edits)?,
            // Not a string: only as a whole, by a string.
            Err(_) => match edits.as_slice() {
                [edit] if edit.location.span.is_none() => edit.replacement.clone(),
                [_] => {
                    return Err(LocationError::NoText { part: "output", path: shown(path) });
                }
                _ => return Err(overlap(path)),
            },
        };
        replacements.push((range.clone(), serde_json::Value::String(edited).to_string()));
    }
    replacements.sort_unstable_by_key(|(range, _)| range.start);
    Ok(splice(text, &replacements))
}

/// `text` with `edits`, all at one path.
fn edit_text(text: &str, path: &str, edits: &[&Edit]) -> Result<String, LocationError> {
    let mut replacements = Vec::with_capacity(edits.len());
    for edit in edits {
        let range = match edit.location.span {
            Some(span) => check_span(text, span, "output", path)?,
            None => 0..text.len(),
        };
        replacements.push((range, edit.replacement.clone()));
    }
    replacements.sort_by_key(|(range, _)| (range.start, range.end));
    // Two insertions at one place have no order, so they too overlap.
    if replacements.windows(2).any(|pair| pair[1].0.start < pair[0].0.end || pair[1].0 == pair[0].0) {
        return Err(LocationError::Overlap { path: shown(path) });
    }
    Ok(splice(text, &replacements))
}

/// `text` with `replacements`, which are in order and do not overlap.
fn splice(text: &str, replacements: &[(Range<usize>, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (range, replacement) in replacements {
        out.push_str(&text[at..range.start]);
        out.push_str(replacement);
        at = range.end;
    }
    out.push_str(&text[at..]);
    out
}

fn check_span(text: &str, span: Span, part: &'static str, path: &str) -> Result<Range<usize>, LocationError> {
    let Span { start, end } = span;
    let out_of_range = || LocationError::Span { part, path: shown(path), start, end, length: text.len() };
    let range =
        usize::try_from(start).map_err(|_| out_of_range())?..usize::try_from(end).map_err(|_| out_of_range())?;
    if range.start > range.end || range.end > text.len() {
        return Err(out_of_range());
    }
    if !text.is_char_boundary(range.start) || !text.is_char_boundary(range.end) {
        return Err(LocationError::Border { part, path: shown(path), start, end });
    }
    Ok(range)
}

fn part_content(inference: &Inference, part: Part) -> Option<&Content> {
    match part {
        Part::Input => inference.input.as_ref(),
        Part::Output => inference.output.as_ref(),
        Part::Context | Part::Features | Part::Attributes => None,
    }
}

/// The contract's name of a part.
pub fn part_name(part: Part) -> &'static str {
    match part {
        Part::Input => "input",
        Part::Context => "context",
        Part::Output => "output",
        Part::Features => "features",
        Part::Attributes => "attributes",
    }
}

/// `/2` as 2: an array index by RFC 6901, without leading zeros.
fn index(path: &str) -> Option<usize> {
    let digits = path.strip_prefix('/')?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| plain)
}

/// `/a~1b` as `a/b`: one reference token by RFC 6901, unescaped.
fn name(path: &str) -> Option<Cow<'_, str>> {
    let token = path.strip_prefix('/')?;
    if token.contains('/') {
        return None;
    }
    if !token.contains('~') {
        return Some(Cow::Borrowed(token));
    }
    Some(Cow::Owned(token.replace("~1", "/").replace("~0", "~")))
}
