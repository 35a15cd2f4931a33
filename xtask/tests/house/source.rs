//! Just enough of Rust's syntax to tell code from comments and texts, and to find the modules that a file names.

/// The text with comments, strings and character literals blanked; lines stay where they are.
pub(crate) fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let skip = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest),
            'r' | 'b' | 'c' if !is_word(before) => prefixed_string(rest),
            '\'' => character(rest),
            _ => 0,
        };
        if skip == 0 {
            out.push(first);
            before = first;
            rest = &rest[first.len_utf8()..];
        } else {
            out.extend(rest[..skip].chars().map(|character| if character == '\n' { '\n' } else { ' ' }));
            before = ' ';
            rest = &rest[skip..];
        }
    }
    out
}

pub(crate) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Bytes of a block comment; they nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0_usize);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Bytes of a string that begins with a quotation mark.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Bytes of `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `b'…'` or `c"…"`; 0 if none of them stands here.
fn prefixed_string(text: &str) -> usize {
    let prefix = text.len() - text.trim_start_matches(['r', 'b', 'c']).len();
    if prefix > 2 {
        return 0;
    }
    let raw = text[..prefix].contains('r');
    let body = &text[prefix..];
    if !raw {
        return match body.chars().next() {
            Some('"') => prefix + string(body),
            Some('\'') => prefix + character(body),
            _ => 0,
        };
    }
    let hashes = body.len() - body.trim_start_matches('#').len();
    if !body[hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = hashes + 1;
    body[start..].find(&end).map_or(text.len(), |found| prefix + start + found + end.len())
}

/// Bytes of a character literal; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => text[3..].find('\'').map_or(0, |found| 3 + found + 1),
        Some(_) => match characters.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}

/// What follows `crate::`, or as many `super::` as lead to the crate's root from a module `depth` below it, with
/// its line: the first name of each path, groups in braces taken apart.
pub(crate) fn module_paths(code: &str, depth: usize) -> Vec<(usize, String)> {
    let supers = "super::".repeat(depth);
    let mut found = Vec::new();
    for start in ["crate::", supers.as_str()] {
        let mut from = 0;
        while let Some(offset) = code[from..].find(start) {
            let at = from + offset;
            from = at + start.len();
            let before = code[..at].trim_end_matches("self::").chars().next_back().unwrap_or(' ');
            // `super::` times n also ends a longer run, which leads out of the crate and does not compile.
            if is_word(before) || before == ':' {
                continue;
            }
            let line = 1 + code[..at].matches('\n').count();
            found.extend(first_names(&code[from..]).into_iter().map(|name| (line, name)));
        }
    }
    found
}

/// The first name of a path, or of each member of a group.
fn first_names(path: &str) -> Vec<String> {
    let path = path.trim_start();
    let Some(group) = path.strip_prefix('{') else {
        return identifiers_at_start(path).into_iter().collect();
    };
    let (mut names, mut depth, mut member_begins) = (Vec::new(), 0_usize, true);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => member_begins = true,
            _ if member_begins && is_word(character) => {
                names.extend(identifiers_at_start(&group[at..]));
                member_begins = false;
            }
            _ => {}
        }
    }
    names
}

fn identifiers_at_start(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|character| is_word(*character)).collect();
    (!word.is_empty()).then_some(word)
}

#[test]
fn comments_and_texts_are_not_code() {
    let sample = "a // b\n/* c /* d */ e */ f \"g \\\" h\" r#\"i \" j\"# 'k' '\\'' '\\u{1F600}' b'l' br\"m\" &'n o";
    assert_eq!(code(sample).split_whitespace().collect::<Vec<_>>(), ["a", "f", "&'n", "o"]);
    assert_eq!(code(sample).matches('\n').count(), 1);
    assert_eq!(code("for x in bar\"\" {}").trim_end(), "for x in bar   {}", "a word that ends like a prefix");
}

#[test]
fn paths_are_found_with_their_lines() {
    let paths = |text: &str, depth| {
        module_paths(text, depth).into_iter().map(|(line, name)| format!("{line}:{name}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(paths("use crate::a::B;\nfn f() -> crate::c::D {}", 1), "1:a 2:c");
    assert_eq!(paths("use crate::{a, b::{c, d}, e::F as G};", 1), "1:a 1:b 1:e");
    assert_eq!(paths("use crate::{\n    a::{self, x},\n    b,\n};", 1), "1:a 1:b");
    assert_eq!(paths("use super::a; use super::super::b;", 2), "1:b");
    assert_eq!(paths("use my_crate::a;", 1), "");
}
