//! United States social security numbers, by the rules of the Social Security Administration since 2011: area not 000,
//! 666 or 900 and above, group not 00, serial not 0000.

use super::context::{Cue, Words};
use super::digits::{Cluster, Separator};
use super::{Entity, Hit};

const WORDS: Words = Words {
    before: &["security", "social", "socialsecurity", "ssn", "ssns"],
    after: &["ssn"],
    against: &["account", "case", "id", "invoice", "order", "part", "phone", "policy", "sku", "ticket"],
    unspaced: &[],
};

/// Printed on advertisements, and void.
const VOID: &[(u32, u32, u32)] = &[(78, 5, 1120), (219, 9, 9999), (457, 55, 5462)];

/// The number that begins the cluster.
pub(super) fn find(cluster: &Cluster<'_>, label: &str) -> Option<Hit> {
    let groups = cluster.groups();
    let start = groups[0].start;
    if groups[0].len() == 9 {
        let digits = cluster.text(0);
        let end = groups[0].end;
        let valid = cluster.ends_word(0) && valid(&digits[..3], &digits[3..5], &digits[5..]);
        let told = valid && WORDS.cue(cluster.bytes, start, end, label) == Some(Cue::For);
        return told.then_some(Hit { entity: Entity::Ssn, start, end, score: 0.9 });
    }
    let [first, second, third, ..] = groups else { return None };
    if (first.len(), second.len(), third.len()) != (3, 2, 4)
        || !valid(cluster.text(0), cluster.text(1), cluster.text(2))
    {
        return None;
    }
    let separators = cluster.separators();
    let last = groups.len() == 3;
    if separators[0] != separators[1] || (last && !cluster.ends_word(2)) || (!last && separators[2] != Separator::Space)
    {
        return None;
    }
    let end = third.end;
    let score = match (separators[0], WORDS.cue(cluster.bytes, start, end, label)) {
        (Separator::Hyphen | Separator::Space | Separator::Dot, Some(Cue::For)) => 1.0,
        (Separator::Hyphen, None) => 0.9,
        (Separator::Hyphen, Some(Cue::Against)) => 0.6,
        (Separator::Space, None) => 0.4,
        _ => return None,
    };
    Some(Hit { entity: Entity::Ssn, start, end, score })
}

fn valid(area: &[u8], group: &[u8], serial: &[u8]) -> bool {
    let (area, group, serial) = (number(area), number(group), number(serial));
    !matches!(area, 0 | 666 | 900..) && group != 0 && serial != 0 && !VOID.contains(&(area, group, serial))
}

fn number(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
}

#[cfg(test)]
pub(super) fn words() -> &'static Words {
    &WORDS
}
