//! Attacks by what is answered.

use picket_sdk::prelude::*;

use crate::{Attack, RULE};

/// The answer of an attack that gives one.
pub(crate) fn answer(attack: Attack, bytes: usize, count: usize, inference: &Inference) -> Verdict {
    let text = output_text(inference);
    let end = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let first = first_character(text);
    let inside = inside_a_character(text);
    let mut verdict = Verdict::allow();
    match attack {
        Attack::Block => verdict.block(plain().at(Location::of_part(Part::Output))),
        Attack::Flag => verdict.flag(plain().at(output_at(first))),
        Attack::Redact => verdict.redact(plain().at(output_at(first)), edit(output_at(first), "*")),
        Attack::Echo => echo(&mut verdict, inference),
        Attack::HugeAnswer => verdict.flag(Finding::new(RULE, Severity::Low, "x".repeat(bytes))),
        Attack::ManyFindings => (0..count).for_each(|_| verdict.flag(plain())),
        Attack::ManyMeasurements => (0..count).for_each(|_| verdict.measure("m", Scalar::Null)),
        Attack::BadSpan => verdict.flag(plain().at(output_at(Span { start: end, end: 0 }))),
        Attack::SpanPastEnd => verdict.flag(plain().at(output_at(past(end)))),
        Attack::SpanOffBorder => verdict.flag(plain().at(output_at(inside))),
        Attack::BadPath => verdict.flag(plain().at(Location::of_path(Part::Output, "no slash ~2"))),
        Attack::UndeclaredRule => verdict.flag(Finding::new("undeclared", Severity::Low, "no such rule")),
        Attack::NanScore => verdict.flag(plain().with_score(f64::NAN)),
        Attack::InfiniteScore => verdict.flag(plain().with_score(f64::INFINITY)),
        Attack::EmptyRedaction => {
            verdict.findings.push(plain());
            verdict.decision = Decision::Redact(Vec::new());
        }
        Attack::EditInput => {
            let input = Location { part: Part::Input, path: String::new(), span: Some(Span { start: 0, end: 0 }) };
            verdict.redact(plain(), edit(input, "*"));
        }
        Attack::OverlappingEdits => {
            let whole = Span { start: 0, end };
            verdict.redact(plain(), edit(output_at(whole), "a"));
            verdict.redact(plain(), edit(output_at(first), "b"));
        }
        Attack::EditOffBorder => verdict.redact(plain(), edit(output_at(inside), "*")),
        Attack::EditPastEnd => verdict.redact(plain(), edit(output_at(past(end)), "*")),
        Attack::HugeEdit => verdict.redact(plain(), edit(output_at(first), &"x".repeat(bytes))),
        _ => {}
    }
    verdict
}

/// The output when it is one text; else nothing.
pub(crate) fn output_text(inference: &Inference) -> &str {
    match &inference.output {
        Some(Content::Text(text) | Content::Json(text)) => text,
        _ => "",
    }
}

fn plain() -> Finding {
    Finding::new(RULE, Severity::Low, "told to report this")
}

fn output_at(span: Span) -> Location {
    Location { part: Part::Output, path: String::new(), span: Some(span) }
}

fn edit(location: Location, replacement: &str) -> Edit {
    Edit { location, replacement: replacement.to_owned() }
}

fn past(end: u32) -> Span {
    Span { start: end.saturating_add(10), end: end.saturating_add(20) }
}

fn first_character(text: &str) -> Span {
    let length = text.chars().next().map_or(0, char::len_utf8);
    Span { start: 0, end: u32::try_from(length).unwrap_or(0) }
}

/// One byte of the first character that has several.
fn inside_a_character(text: &str) -> Span {
    let start = text.char_indices().find(|(_, character)| character.len_utf8() > 1).map_or(0, |(start, _)| start);
    let start = u32::try_from(start).unwrap_or(0);
    Span { start, end: start + 1 }
}

fn echo(verdict: &mut Verdict, inference: &Inference) {
    let mut measure = |name: &str, length: usize| {
        verdict.measure(name, Scalar::Integer(i64::try_from(length).unwrap_or(i64::MAX)));
    };
    measure("input", inference.input.as_ref().map_or(0, size));
    measure("output", inference.output.as_ref().map_or(0, size));
    measure("context", inference.context.len());
    measure("features", inference.features.len());
    measure("attributes", inference.attributes.len());
    measure("measurements", inference.measurements.len());
}

/// Bytes of a content's texts or data.
fn size(content: &Content) -> usize {
    match content {
        Content::Text(text) | Content::Json(text) => text.len(),
        Content::Messages(messages) => messages.iter().map(|message| message.content.len()).sum(),
        Content::Tensors(tensors) => tensors.iter().map(|tensor| tensor.data.len()).sum(),
    }
}
