//! Texts that no model should give: empty, damaged, degenerate.

use picket_sdk::json::escape_token;
use picket_sdk::{Datatype, Location, Part, Tensor, TextView};

use crate::loops::{self, Stretch};
use crate::report::Report;
use crate::settings::{Loop, Settings};

/// Longer texts are not read: their spans could not be told in 32 bits, and no deadline would hold.
const MAX_TEXT_BYTES: usize = 64 << 20;
/// Rulers and padding may run this many times as long as other characters.
const RULER_ALLOWANCE: usize = 8;

/// Checks the texts of an output that is text or messages.
pub(crate) fn check(settings: &Settings, views: &[TextView<'_>], report: &mut Report<'_>) {
    if !settings.allow_empty && views.iter().all(|view| view.text().trim().is_empty()) {
        let message = "the output has no character that is not white space".to_owned();
        let location = views.first().map_or_else(|| Location::of_part(Part::Output), TextView::whole);
        report.add("text-empty", location, message);
    }
    for view in views {
        check_view(settings, view, report);
    }
}

/// Checks a string at a JSON Pointer of the document that is the output.
pub(crate) fn check_string(settings: &Settings, text: &str, pointer: &str, report: &mut Report<'_>) {
    each_problem(settings, text, |rule, bytes, message, score| {
        report.add_scored(rule, TextView::new(Part::Output, pointer, text).location(bytes), message, score);
    });
}

/// Checks a tensor of texts; does nothing for others.
pub(crate) fn check_bytes(settings: &Settings, tensor: &Tensor, report: &mut Report<'_>) {
    if tensor.datatype != Datatype::Bytes {
        return;
    }
    let mut path = "/".to_owned();
    escape_token(&mut path, &tensor.name);
    let place = || Location::of_path(Part::Output, path.as_str());
    for (index, element) in tensor.byte_elements().enumerate() {
        let Ok(bytes) = element else {
            report.add("tensor-shape", place(), format!("the data ends inside element {index}"));
            continue;
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => each_problem(settings, text, |rule, _, message, score| {
                report.add_scored(rule, place(), format!("element {index}: {message}"), score);
            }),
            Err(error) => {
                let message = format!("element {index} is no UTF-8 from byte {} on", error.valid_up_to());
                report.add("text-invalid-utf8", place(), message);
            }
        }
    }
}

fn check_view(settings: &Settings, view: &TextView<'_>, report: &mut Report<'_>) {
    each_problem(settings, view.text(), |rule, bytes, message, score| {
        report.add_scored(rule, view.location(bytes), message, score);
    });
}

/// Calls `report` with rule, bytes, message and score of each thing that is wrong with `text`.
fn each_problem(
    settings: &Settings,
    text: &str,
    mut report: impl FnMut(&'static str, std::ops::Range<usize>, String, Option<f64>),
) {
    if text.len() > MAX_TEXT_BYTES {
        let message = format!("{} bytes; at most {MAX_TEXT_BYTES} are judged", text.len());
        report("text-size", 0..0, message, None);
        return;
    }
    if let Some(most) = settings.replacement_characters
        && let Some((first, count)) = replacement_characters(text)
        && count > most
    {
        let message = format!("{count} replacement characters (U+FFFD); at most {most} pass");
        report("text-replacement", first..first + '\u{fffd}'.len_utf8(), message, None);
    }
    let Some(repetition) = &settings.repetition else { return };
    if let Some(most) = repetition.max_run
        && let Some(run) = longest_run(text, most)
    {
        let message = format!("U+{:04X} stands {} times in a row; at most {} pass", run.code, run.count, run.allowed);
        report("text-repetition", run.start..run.end, message, None);
    }
    if let Some(limits) = &repetition.looping
        && let Some((stretch, fraction)) = loop_in(text, limits)
    {
        let repeats = stretch.repeats();
        let message = format!(
            "{} bytes are repeated {repeats} times, {:.0} % of the text",
            stretch.period,
            (fraction * 100.0).floor()
        );
        report("text-loop", stretch.start..stretch.end, message, Some(fraction));
    }
}

/// Where the first one is, and how many there are.
fn replacement_characters(text: &str) -> Option<(usize, u64)> {
    let mut found = text.match_indices('\u{fffd}').map(|(start, _)| start);
    let first = found.next()?;
    Some((first, found.fold(1, |count, _| count + 1)))
}

struct Run {
    start: usize,
    end: usize,
    count: usize,
    code: u32,
    allowed: usize,
}

/// The longest run of one character that is longer than it may be.
fn longest_run(text: &str, most: usize) -> Option<Run> {
    // A run of more than `most` characters has more than `most` bytes.
    if text.len() <= most {
        return None;
    }
    let mut longest: Option<Run> = None;
    let mut consider = |start: usize, end: usize, character: char, count: usize| {
        if count <= most || longest.as_ref().is_some_and(|run| run.count >= count) {
            return;
        }
        let allowed = if is_ruler(character) { most.saturating_mul(RULER_ALLOWANCE) } else { most };
        if count > allowed {
            longest = Some(Run { start, end, count, code: u32::from(character), allowed });
        }
    };
    let (mut start, mut count, mut previous) = (0, 0, '\0');
    for (index, character) in text.char_indices() {
        if character == previous && count > 0 {
            count += 1;
        } else {
            consider(start, index, previous, count);
            (start, count, previous) = (index, 1, character);
        }
    }
    consider(start, text.len(), previous, count);
    longest
}

fn is_ruler(character: char) -> bool {
    character.is_whitespace() || "-=_*#.~".contains(character)
}

/// The longest loop that reaches the limits, and how much of the text it is.
fn loop_in(text: &str, limits: &Loop) -> Option<(Stretch, f64)> {
    let mut worst: Option<Stretch> = None;
    loops::each_stretch(text.as_bytes(), limits.max_period, |stretch| {
        let longer = worst.as_ref().is_none_or(|worst| stretch.length() > worst.length());
        if longer && stretch.repeats() >= limits.min_repeats && !is_run(text, &stretch) {
            worst = Some(stretch);
        }
    });
    let worst = worst?;
    let fraction = ratio(worst.length(), text.len());
    (fraction >= limits.min_fraction).then_some((worst, fraction))
}

/// Whether the stretch repeats one character, which is the other rule's business.
fn is_run(text: &str, stretch: &Stretch) -> bool {
    let start = text.floor_char_boundary(stretch.start);
    text[start..].chars().next().is_some_and(|character| {
        character.len_utf8() % stretch.period == 0 || {
            // A period of several characters, all the same.
            let end = text.floor_char_boundary(stretch.start + stretch.period);
            stretch.period <= 8 && text[start..end].chars().all(|other| other == character)
        }
    })
}

#[expect(clippy::cast_precision_loss, reason = "texts are far shorter than 2^52 bytes")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}
