//! Bounds on text that guards hand over.

/// Cuts `text` to at most `limit` bytes, on a character border.
pub(crate) fn cut(text: &mut String, limit: usize) {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
    }
}

/// Whether `name` is 1 to 64 ASCII letters, digits, `.`, `_` or `-`: the contract's form of a name.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// `name` for a message: at most 64 bytes of it, with control characters escaped.
pub(crate) fn shown(name: &str) -> String {
    let end = name.floor_char_boundary(64);
    let ellipsis = if end < name.len() { "…" } else { "" };
    format!("`{}{ellipsis}`", name[..end].escape_debug())
}
