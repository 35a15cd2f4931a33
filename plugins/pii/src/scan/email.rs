//! E-mail addresses: the dot-atom form of RFC 5322 with the characters that occur in practice, and a domain of at
//! least two labels. Quoted local parts, address literals and spelled-out forms ("at", "dot") are out of reach.

use super::{Entity, Hit};

/// RFC 5321 allows 64 bytes before the `@`; some systems go further.
const MAX_LOCAL: usize = 128;
/// RFC 1035.
const MAX_DOMAIN: usize = 253;

/// The address around the `@` at `at`.
pub(super) fn around(bytes: &[u8], at: usize) -> Option<Hit> {
    let start = local_start(bytes, at)?;
    let end = domain_end(bytes, at + 1)?;
    let domain = &bytes[at + 1..end];
    if is_file_name(domain) || is_remote(bytes, start, at, end) {
        return None;
    }
    Some(Hit { entity: Entity::Email, start, end, score: 1.0 })
}

fn local_start(bytes: &[u8], at: usize) -> Option<usize> {
    let mut first = at;
    while let Some(width) = local_character_before(bytes, first) {
        first -= width;
        if at - first > MAX_LOCAL {
            return None;
        }
    }
    let length = at - first;
    let local = &bytes[at - length..at];
    // Punctuation of the sentence: quotes, list marks, dots of an ellipsis.
    let leading = local.iter().position(|byte| is_local_edge(*byte))?;
    (local.last().is_some_and(|byte| *byte != b'.')).then_some(at - length + leading)
}

/// Where the domain from `start` ends, when it has two labels and a top level of letters.
fn domain_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut end = start;
    while let Some(width) = domain_character(bytes, end) {
        end += width;
        if end - start > MAX_DOMAIN {
            return None;
        }
    }
    let mut domain = &bytes[start..end];
    while let [rest @ .., b'.' | b'-'] = domain {
        domain = rest;
    }
    // A sentence that goes on without a space after its dot leaves a tail that is no domain: cut label by label.
    loop {
        let dot = domain.iter().rposition(|byte| *byte == b'.')?;
        let (labels, top) = (&domain[..dot], &domain[dot + 1..]);
        let letters = top.len() >= 2 && top.iter().all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80);
        if letters || top.starts_with(b"xn--") {
            let sound = labels.split(|byte| *byte == b'.').all(|label| !label.is_empty() && label[0] != b'-');
            return sound.then_some(start + domain.len());
        }
        domain = labels;
    }
}

/// Bytes of the character before `end`, if it may stand in a local part. Beyond ASCII that is U+00C0 to U+1FFF: the
/// letters of scripts that set spaces, without no-break spaces and quotation marks.
fn local_character_before(bytes: &[u8], end: usize) -> Option<usize> {
    let last = *bytes.get(end.checked_sub(1)?)?;
    if last.is_ascii() {
        return is_local(last).then_some(1);
    }
    let width = bytes[..end].iter().rev().take(4).position(|byte| byte & 0xC0 != 0x80)? + 1;
    is_letter_lead(bytes[end - width]).then_some(width)
}

/// Bytes of the character at `at`, if it may stand in a domain.
fn domain_character(bytes: &[u8], at: usize) -> Option<usize> {
    let first = *bytes.get(at)?;
    match first {
        b'.' | b'-' => Some(1),
        _ if first.is_ascii_alphanumeric() => Some(1),
        _ if is_letter_lead(first) => Some(if first < 0xE0 { 2 } else { 3 }),
        _ => None,
    }
}

fn is_letter_lead(byte: u8) -> bool {
    matches!(byte, 0xC3..=0xE1)
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'' | b'&' | b'~' | b'!' | b'#')
}

fn is_local_edge(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'+' || byte >= 0x80
}

/// `icon@2x.png`
fn is_file_name(domain: &[u8]) -> bool {
    domain.len() < 12
        && domain[0].is_ascii_digit()
        && [b".png".as_slice(), b".jpg", b".jpeg", b".gif", b".svg", b".webp"].iter().any(|end| domain.ends_with(end))
}

/// `git@example.com:team/project.git`
fn is_remote(bytes: &[u8], start: usize, at: usize, end: usize) -> bool {
    &bytes[start..at] == b"git"
        && matches!(bytes.get(end..), Some([b':' | b'/', next, ..]) if next.is_ascii_alphanumeric())
}
