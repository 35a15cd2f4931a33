//! Redactions of several guards on one output.
//!
//! Each guard's edits speak of the output as the model gave it. Where edits of different guards overlap, their union is
//! replaced, by the replacement of the edit that starts first (the earlier guard's, when they start together): what any
//! guard wanted gone is gone.

use picket_engine::apply_edits;
use picket_engine::{Content, Edit, Location, Part, Span};
use std::collections::BTreeMap;

/// The output after the edits of all guards, or nothing when they cannot be applied together.
pub(super) fn redact<'a>(output: &Content, edits: impl Iterator<Item = &'a [Edit]>) -> Option<Content> {
    apply_edits(output, &merged(edits)).ok()
}

fn merged<'a>(edits: impl Iterator<Item = &'a [Edit]>) -> Vec<Edit> {
    let mut by_path: BTreeMap<&str, Vec<&Edit>> = BTreeMap::new();
    for edit in edits.flatten() {
        by_path.entry(edit.location.path.as_str()).or_default().push(edit);
    }
    by_path.into_iter().flat_map(|(path, edits)| merge(path, edits)).collect()
}

fn merge(path: &str, mut edits: Vec<&Edit>) -> Vec<Edit> {
    let edit = |span: Option<Span>, replacement: &str| Edit {
        location: Location { part: Part::Output, path: path.to_owned(), span },
        replacement: replacement.to_owned(),
    };
    if let Some(whole) = edits.iter().find(|edit| edit.location.span.is_none()) {
        return vec![edit(None, &whole.replacement)];
    }
    // Stable, so that edits with the same start stay in the order of their guards.
    edits.sort_by_key(|edit| edit.location.span.map_or(0, |span| span.start));
    let mut merged: Vec<Edit> = Vec::with_capacity(edits.len());
    for next in edits {
        let Some(span) = next.location.span else { continue };
        match merged.last_mut().and_then(|last| last.location.span.as_mut()) {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => merged.push(edit(Some(span), &next.replacement)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(start: u32, end: u32, replacement: &str) -> Edit {
        let location = Location { part: Part::Output, path: String::new(), span: Some(Span { start, end }) };
        Edit { location, replacement: replacement.to_owned() }
    }

    fn redacted(text: &str, guards: &[&[Edit]]) -> Option<String> {
        match redact(&Content::Text(text.to_owned()), guards.iter().copied())? {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    #[test]
    fn edits_of_two_guards_join_where_they_overlap() {
        let first: &[Edit] = &[edit(8, 11, "[B]")];
        let second: &[Edit] = &[edit(0, 3, "[A]"), edit(10, 14, "[C]")];
        assert_eq!(redacted("one two three four", &[first, second]).as_deref(), Some("[A] two [B]four"));
    }

    #[test]
    fn edits_that_only_touch_stay_apart() {
        let guard: &[Edit] = &[edit(0, 3, "A"), edit(3, 7, "B")];
        assert_eq!(redacted("one two", &[guard]).as_deref(), Some("AB"));
    }

    #[test]
    fn an_edit_of_the_whole_wins() {
        let mut whole = edit(0, 0, "[all]");
        whole.location.span = None;
        assert_eq!(redacted("one two", &[&[edit(0, 3, "A")], &[whole]]).as_deref(), Some("[all]"));
    }

    #[test]
    fn an_edit_outside_of_the_text_lets_nothing_out() {
        assert_eq!(redacted("one", &[&[edit(2, 9, "A")]]), None);
    }

    #[test]
    fn edits_of_a_document_and_of_a_string_in_it_do_not_go_together() {
        let document = Content::Json(r#"{"a":"secret"}"#.to_owned());
        let mut inside = edit(0, 6, "[A]");
        inside.location.path = "/a".to_owned();
        let whole = edit(6, 12, "[B]");
        assert!(redact(&document, [&[inside.clone()][..]].into_iter()).is_some());
        assert!(redact(&document, [&[inside][..], &[whole][..]].into_iter()).is_none());
    }
}
