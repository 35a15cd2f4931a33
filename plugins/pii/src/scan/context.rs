//! Words near a number that tell what it is.

/// How far a cue may stand before a number, in bytes.
const REACH: usize = 48;
/// Longer words are no cues.
const MAX_WORD: usize = 16;

/// What the surroundings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cue {
    For,
    Against,
}

/// Two sorted lists of words in lower case (ASCII letters are folded before they are looked up).
pub(super) struct Words {
    pub(super) before: &'static [&'static str],
    pub(super) after: &'static [&'static str],
    pub(super) against: &'static [&'static str],
    /// Words of scripts without spaces, looked for as they are right before the number.
    pub(super) unspaced: &'static [&'static str],
}

impl Words {
    /// The nearest cue for the number at `start..end`: the words before it, then the label, then the word after it.
    pub(super) fn cue(&self, bytes: &[u8], start: usize, end: usize, label: &str) -> Option<Cue> {
        self.near_cue(bytes, start, end, label).map(|(cue, _)| cue)
    }

    /// The same, with the number of words between the cue and the number.
    pub(super) fn near_cue(&self, bytes: &[u8], start: usize, end: usize, label: &str) -> Option<(Cue, usize)> {
        if self.unit_follows(bytes, end) {
            return Some((Cue::Against, 0));
        }
        let beside = || self.in_label(label).or_else(|| self.after(bytes, end)).map(|cue| (cue, 0));
        self.before(bytes, start).or_else(beside)
    }

    fn before(&self, bytes: &[u8], start: usize) -> Option<(Cue, usize)> {
        let near = &bytes[start.saturating_sub(REACH)..start];
        let trimmed = near.trim_ascii_end();
        if let Some(b'$') = trimmed.last() {
            return Some((Cue::Against, 0));
        }
        if [[0xC2, 0xA3].as_slice(), &[0xC2, 0xA5], &[0xE2, 0x82, 0xAC]].iter().any(|sign| trimmed.ends_with(sign)) {
            return Some((Cue::Against, 0));
        }
        if !self.unspaced.is_empty() && near.iter().any(|byte| *byte >= 0xE0) {
            let tail = &near[near.len().saturating_sub(24)..];
            let found = |word: &&&str| tail.windows(word.len()).any(|window| window == word.as_bytes());
            if self.unspaced.iter().find(found).is_some() {
                return Some((Cue::For, 0));
            }
        }
        // The first word may be the tail of a longer one, cut by the reach.
        let cut =
            if near.len() == REACH { near.iter().position(|byte| !is_word(*byte)).unwrap_or(near.len()) } else { 0 };
        let mut words = near[cut..].rsplit(|byte| !is_word(*byte)).filter(|word| !word.is_empty()).enumerate();
        let cue = words.find_map(|(between, word)| self.look_up(word, self.before).map(|cue| (cue, between)));
        // "card # 1234" is a card, "# 1234" some identifier.
        cue.or_else(|| trimmed.ends_with(b"#").then_some((Cue::Against, 0)))
    }

    fn in_label(&self, label: &str) -> Option<Cue> {
        if label.is_empty() {
            return None;
        }
        let mut word_end = label.len();
        let bytes = label.as_bytes();
        // Member names run words together: home_phone, homePhone.
        for index in (0..label.len()).rev() {
            let starts_hump = bytes[index].is_ascii_uppercase() && index > 0 && !bytes[index - 1].is_ascii_uppercase();
            if is_word(bytes[index]) && !starts_hump && index > 0 {
                continue;
            }
            let word_start = if is_word(bytes[index]) { index } else { index + 1 };
            if let Some(cue) = self.look_up(&bytes[word_start.min(word_end)..word_end], self.before) {
                return Some(cue);
            }
            word_end = index;
        }
        None
    }

    fn after(&self, bytes: &[u8], end: usize) -> Option<Cue> {
        let word = next_word(bytes, end)?;
        contains(self.after, word).then_some(Cue::For)
    }

    /// `1 234 567 euros` is no telephone number, whatever stands before it.
    fn unit_follows(&self, bytes: &[u8], end: usize) -> bool {
        const UNITS: &[&str] = &[
            "billion",
            "bytes",
            "cents",
            "chf",
            "customers",
            "days",
            "dollars",
            "eur",
            "euro",
            "euros",
            "gbp",
            "hours",
            "items",
            "jpy",
            "km",
            "kg",
            "kr",
            "lines",
            "meters",
            "miles",
            "million",
            "minutes",
            "ms",
            "people",
            "pounds",
            "records",
            "rows",
            "seconds",
            "tokens",
            "units",
            "usd",
            "users",
            "words",
            "years",
            "yen",
        ];
        matches!(
            bytes.get(end..),
            Some([b'%', ..] | [0xE2, 0x82, 0xAC, ..] | [b' ', 0xE2, 0x82, 0xAC, ..] | [b' ', b'%', ..])
        ) || next_word(bytes, end)
            .is_some_and(|word| UNITS.iter().any(|unit| unit.as_bytes().eq_ignore_ascii_case(word)))
    }

    fn look_up(&self, word: &[u8], wanted: &[&str]) -> Option<Cue> {
        if word.len() < 2 {
            None
        } else if contains(wanted, word) {
            Some(Cue::For)
        } else if contains(self.against, word) {
            Some(Cue::Against)
        } else {
            None
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte >= 0x80
}

/// The word that begins within three bytes of `end`.
fn next_word(bytes: &[u8], end: usize) -> Option<&[u8]> {
    let rest = bytes.get(end..)?;
    let rest = &rest[..rest.len().min(MAX_WORD + 4)];
    let gap = rest.iter().take(3).position(|byte| is_word(*byte))?;
    let word = &rest[gap..];
    let length = word.iter().position(|byte| !is_word(*byte)).unwrap_or(word.len());
    Some(&word[..length])
}

/// Whether the sorted list holds the word, ASCII case aside.
fn contains(words: &[&str], word: &[u8]) -> bool {
    let mut folded = [0; MAX_WORD];
    let Some(target) = folded.get_mut(..word.len()) else { return false };
    target.copy_from_slice(word);
    target.make_ascii_lowercase();
    words.binary_search_by(|candidate| candidate.as_bytes().cmp(target)).is_ok()
}

#[cfg(test)]
pub(super) fn assert_sorted(words: &Words) {
    for list in [words.before, words.after, words.against] {
        assert!(list.is_sorted_by(|left, right| left < right), "{list:?}");
        assert!(list.iter().all(|word| word.len() <= MAX_WORD));
    }
}
