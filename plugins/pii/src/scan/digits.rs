//! Runs of digits and what joins them: `4111 1111 1111 1111`, `(555) 123-4567`, `10.0.0.1`.

/// A cluster is read at most this far: no entity here holds more groups.
const MAX_GROUPS: usize = 9;
/// Nor more digits, the longest being a card of 19.
const MAX_DIGITS: usize = 20;

/// What stands between two groups of digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Separator {
    Space,
    Hyphen,
    Dot,
    Slash,
    /// `(`, with or without a space before it.
    Open,
    /// `)`, with or without a space, hyphen or dot after it.
    Close,
}

/// One run of digits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Group {
    pub(super) fn len(self) -> usize {
        self.end - self.start
    }
}

/// Groups of digits joined by single separators, from one place in a text on.
pub(super) struct Cluster<'a> {
    pub(super) bytes: &'a [u8],
    groups: [Group; MAX_GROUPS],
    separators: [Separator; MAX_GROUPS],
    count: usize,
}

impl<'a> Cluster<'a> {
    /// Reads the cluster whose first digit is at `at`.
    pub(super) fn parse(bytes: &'a [u8], at: usize) -> Self {
        let mut cluster = Self {
            bytes,
            groups: [Group::default(); MAX_GROUPS],
            separators: [Separator::Space; MAX_GROUPS],
            count: 0,
        };
        let mut digits = 0;
        let mut start = at;
        loop {
            let end = digits_end(bytes, start);
            cluster.groups[cluster.count] = Group { start, end };
            cluster.count += 1;
            digits += end - start;
            if cluster.count == MAX_GROUPS || digits >= MAX_DIGITS {
                return cluster;
            }
            let Some((separator, next)) = separator(bytes, end) else { return cluster };
            cluster.separators[cluster.count - 1] = separator;
            start = next;
        }
    }

    pub(super) fn groups(&self) -> &[Group] {
        &self.groups[..self.count]
    }

    /// The separators between the groups: one fewer than groups.
    pub(super) fn separators(&self) -> &[Separator] {
        &self.separators[..self.count - 1]
    }

    /// Where the first group ends.
    pub(super) fn first_end(&self) -> usize {
        self.groups[0].end
    }

    /// The digits of one group.
    pub(super) fn text(&self, index: usize) -> &'a [u8] {
        let group = self.groups[index];
        &self.bytes[group.start..group.end]
    }

    /// Whether the first digit begins a word of its own: neither the tail of `abc123`, nor of `3.14`, nor of
    /// `abc-123`. Characters outside of ASCII do not count as letters: several scripts set no spaces.
    pub(super) fn starts_word(&self) -> bool {
        let start = self.groups[0].start;
        let Some(&before) = start.checked_sub(1).and_then(|index| self.bytes.get(index)) else { return true };
        if before.is_ascii_alphanumeric() || before == b'_' {
            return false;
        }
        let glued = matches!(before, b'-' | b'.' | b'/' | b',');
        let Some(&further) = start.checked_sub(2).and_then(|index| self.bytes.get(index)) else { return true };
        !(glued
            && (further.is_ascii_alphanumeric() || further == b'_')
            && !(before == b',' && further.is_ascii_alphabetic()))
    }

    /// Whether a word ends with the group `index`, so that an entity may end there.
    pub(super) fn ends_word(&self, index: usize) -> bool {
        let end = self.groups[index].end;
        let Some(&after) = self.bytes.get(end) else { return true };
        if after.is_ascii_alphanumeric() || matches!(after, b'_' | b'@' | b'%') {
            return false;
        }
        let digit_follows = self.bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        !(digit_follows && matches!(after, b'.' | b',' | b':' | b'-' | b'/'))
    }
}

/// Where the run of digits from `start` ends.
pub(super) fn digits_end(bytes: &[u8], start: usize) -> usize {
    bytes[start..].iter().position(|byte| !byte.is_ascii_digit()).map_or(bytes.len(), |length| start + length)
}

/// The separator at `at` and where the digit after it stands.
fn separator(bytes: &[u8], at: usize) -> Option<(Separator, usize)> {
    let space = space_length(&bytes[at..]);
    let mut next = at + space;
    let separator = match bytes.get(next)? {
        b'(' => {
            next += 1;
            Separator::Open
        }
        b')' if space == 0 => {
            next += 1;
            let gap = space_length(&bytes[next..]);
            next += gap;
            if gap == 0 {
                next += hyphen_length(&bytes[next..]).max(usize::from(bytes.get(next) == Some(&b'.')));
            }
            Separator::Close
        }
        b'.' if space == 0 => {
            next += 1;
            Separator::Dot
        }
        b'/' if space == 0 => {
            next += 1;
            Separator::Slash
        }
        _ => {
            let hyphen = hyphen_length(&bytes[next..]);
            if hyphen > 0 {
                next += hyphen;
                next += space_length(&bytes[next..]).min(space);
                Separator::Hyphen
            } else if space > 0 {
                Separator::Space
            } else {
                return None;
            }
        }
    };
    bytes.get(next)?.is_ascii_digit().then_some((separator, next))
}

/// Bytes of a space at the start of `bytes`: the plain one, the no-break one, the thin ones.
pub(super) fn space_length(bytes: &[u8]) -> usize {
    match bytes {
        [b' ', ..] => 1,
        [0xC2, 0xA0, ..] => 2,
        [0xE2, 0x80, 0x87..=0x8A | 0xAF, ..] => 3,
        _ => 0,
    }
}

/// Bytes of a hyphen or dash at the start of `bytes`.
pub(super) fn hyphen_length(bytes: &[u8]) -> usize {
    match bytes {
        [b'-', ..] => 1,
        [0xE2, 0x80, 0x90..=0x93, ..] | [0xE2, 0x88, 0x92, ..] => 3,
        _ => 0,
    }
}
