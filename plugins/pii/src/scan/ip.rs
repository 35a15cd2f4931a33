//! Internet addresses: dotted IPv4 and the text forms of RFC 4291 for IPv6.

use core::net::Ipv6Addr;

use super::context::{Cue, Words};
use super::digits::{Cluster, Separator};
use super::{Entity, Hit};

const WORDS: Words = Words {
    before: &[
        "addr",
        "address",
        "addresses",
        "client",
        "dns",
        "from",
        "gateway",
        "host",
        "ip",
        "ipaddress",
        "ips",
        "ipv",
        "login",
        "netmask",
        "ping",
        "remote",
        "server",
        "subnet",
    ],
    after: &["host", "server", "subnet"],
    against: &["article", "build", "chapter", "clause", "firmware", "release", "section", "ver", "version"],
    unspaced: &[],
};

/// The longest text of an IPv6 address: six groups and a dotted tail.
const MAX_V6: usize = 45;

/// The IPv4 address that begins the cluster.
pub(super) fn v4(cluster: &Cluster<'_>, label: &str) -> Option<Hit> {
    let groups = cluster.groups().get(..4)?;
    let separators = cluster.separators();
    if separators[..3].iter().any(|separator| *separator != Separator::Dot) {
        return None;
    }
    for index in 0..4 {
        let octet = cluster.text(index);
        let value = octet.iter().take(4).fold(0, |sum: u32, digit| sum * 10 + u32::from(digit - b'0'));
        if octet.len() > 3 || value > 255 || (octet.len() > 1 && octet[0] == b'0') {
            return None;
        }
    }
    let (start, end) = (groups[0].start, groups[3].end);
    // A fifth part makes it a version or an object identifier; a port, a prefix length or a range does not matter.
    let fifth = separators.get(3) == Some(&Separator::Dot);
    if fifth
        || cluster.bytes.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'%' | b'@'))
    {
        return None;
    }
    let small = groups.iter().all(|group| group.len() == 1);
    let score = match (WORDS.cue(cluster.bytes, start, end, label), small) {
        (Some(Cue::For), _) => 1.0,
        (None, false) => 0.9,
        (None, true) => 0.4,
        (Some(Cue::Against), _) => 0.3,
    };
    Some(Hit { entity: Entity::Ip, start, end, score })
}

/// The IPv6 address around the `:` at `at`, and where its run of address characters ends.
pub(super) fn v6_around(bytes: &[u8], at: usize) -> (usize, Option<Hit>) {
    let before = bytes[..at].last().copied().unwrap_or(b' ');
    let after = bytes.get(at + 1).copied().unwrap_or(b' ');
    if !is_v6(after) || (!before.is_ascii_hexdigit() && after != b':') {
        return (at, None);
    }
    let near = &bytes[at.saturating_sub(5)..at];
    let start = at - near.iter().rev().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(near.len());
    let far = &bytes[at..bytes.len().min(at + MAX_V6 + 2)];
    let length = far.iter().position(|byte| !is_v6(*byte) && *byte != b'.').unwrap_or(far.len());
    let run_end = at + length;
    if start.checked_sub(1).is_some_and(|index| bytes[index].is_ascii_alphanumeric() || bytes[index] == b'_')
        || bytes.get(run_end).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    {
        return (run_end, None);
    }
    let mut text = &bytes[start..run_end];
    while let [rest @ .., b'.'] = text {
        text = rest;
    }
    if let [rest @ .., last, b':'] = text
        && *last != b':'
    {
        text = if rest.is_empty() { text } else { &text[..text.len() - 1] };
    }
    let parsed = core::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_V6 && plausible(text));
    let found = parsed.and_then(|text| text.parse::<Ipv6Addr>().ok());
    let hit = found.map(|_| Hit { entity: Entity::Ip, start, end: start + text.len(), score: 0.95 });
    (run_end, hit)
}

fn is_v6(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b':'
}

/// `a::b` is a path in a program, `00:11:22:33:44:55:66:77` the address of a network card.
fn plausible(text: &str) -> bool {
    let groups = text.split(':').filter(|group| !group.is_empty()).count();
    let longest = text.split([':', '.']).map(str::len).max().unwrap_or(0);
    let digits = text.bytes().any(|byte| byte.is_ascii_digit());
    let shortened = text.contains("::");
    let local = text.strip_prefix("::").is_some_and(|rest| rest == "1" || rest.contains('.'));
    digits && (local || (shortened && (groups >= 3 || (groups == 2 && longest >= 3))) || (!shortened && longest >= 3))
}

#[cfg(test)]
pub(super) fn words() -> &'static Words {
    &WORDS
}
