//! Verdicts and places in words.

use crate::cli::text::{clean, shortened};
use crate::inference::{scalar_json, severity_name};
use picket_engine::{Decision, Finding, Inference, Location, Verdict, part_name, text_at};

/// Longest line of a text that is shown whole, in characters.
const WIDTH: usize = 72;

/// The word for a decision.
pub(super) fn decision(decision: &Decision) -> &'static str {
    match decision {
        Decision::Allow => "allow",
        Decision::Flag => "flag",
        Decision::Redact(_) => "redact",
        Decision::Block => "block",
    }
}

/// On one line.
pub(super) fn verdict(verdict: &Verdict) -> String {
    let mut parts = vec![decision(&verdict.decision).to_owned()];
    parts.extend(
        verdict.findings.iter().take(4).map(|it| format!("{} {}", clean(&it.rule), shortened(&it.message, 60))),
    );
    let more = verdict.findings.len().saturating_sub(4);
    if more > 0 {
        parts.push(format!("{more} findings more"));
    }
    let measured = verdict.measurements.iter().take(4);
    parts.extend(measured.map(|it| format!("{} = {}", clean(&it.name), scalar_json(&it.value))));
    parts.join(", ")
}

/// Rule, severity, place and message, on one line.
pub(super) fn finding(finding: &Finding, inference: &Inference) -> String {
    let place = finding.location.as_ref().map(|location| format!(" at {}", place(location, inference)));
    format!(
        "{} ({}){}: {}",
        clean(&finding.rule),
        severity_name(finding.severity),
        place.unwrap_or_default(),
        shortened(&finding.message, 120)
    )
}

fn place(location: &Location, inference: &Inference) -> String {
    let mut out = part_name(location.part).to_owned();
    out.push_str(&clean(&location.path));
    if let Some(span) = location.span {
        out.push_str(&format!(" [{}, {}]", span.start, span.end));
        if let Some(text) = spanned(location, inference) {
            out.push_str(&format!(" \"{}\"", shortened(&text, 60)));
        }
    }
    out
}

/// The text between start and end of the span; `None` without a span.
pub(super) fn spanned(location: &Location, inference: &Inference) -> Option<String> {
    let span = location.span?;
    let range = usize::try_from(span.start).ok()?..usize::try_from(span.end).ok()?;
    text_at(inference, location)?.get(range).map(str::to_owned)
}

/// The line of the text in which the finding is, and under it a mark at what is spanned; nothing for other findings.
pub(super) fn pointed(finding: &Finding, inference: &Inference) -> Option<[String; 2]> {
    let location = finding.location.as_ref()?;
    let span = location.span?;
    let text = text_at(inference, location)?;
    let (start, end) = (usize::try_from(span.start).ok()?, usize::try_from(span.end).ok()?);
    let line_start = text.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
    // One column for each character; wide ones shift the mark, and the finding's span is there in figures.
    let before: Vec<char> = text.get(line_start..start)?.chars().map(plain).collect();
    let marked: Vec<char> = text.get(start..end)?.chars().map(plain).take(WIDTH).collect();
    let after = text.get(end..)?.chars().take_while(|one| *one != '\n').map(plain);
    let kept = before.len().min(WIDTH / 2);
    let mut line: String = before[before.len() - kept..].iter().chain(&marked).collect();
    let room = WIDTH.saturating_sub(kept + marked.len());
    line.extend(after.take(room));
    let mark = format!("{}{}", " ".repeat(kept), "^".repeat(marked.len().max(1)));
    Some([line, mark])
}

fn plain(character: char) -> char {
    if clean(character.encode_utf8(&mut [0; 4])).chars().count() == 1 { character } else { '\u{b7}' }
}

#[cfg(test)]
mod tests {
    use super::*;
    use picket_engine::{Content, Part, Severity, Span};

    #[test]
    fn a_mark_stands_under_what_is_spanned() {
        let inference = Inference {
            output: Some(Content::Text("first\nä\u{1b}b jo@x.org.\nlast".into())),
            ..Inference::default()
        };
        let start = 11;
        let location = Location { part: Part::Output, path: String::new(), span: Some(Span { start, end: start + 8 }) };
        let finding = Finding {
            rule: "r".into(),
            severity: Severity::Low,
            message: "m".into(),
            location: Some(location),
            score: None,
        };
        assert_eq!(pointed(&finding, &inference).unwrap(), ["ä·b jo@x.org.", "    ^^^^^^^^"]);
        assert_eq!(self::finding(&finding, &inference), "r (low) at output [11, 19] \"jo@x.org\": m");
    }
}
