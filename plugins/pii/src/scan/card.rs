//! Payment card numbers: issuer prefix and length (ISO/IEC 7812, as the networks publish them), the Luhn check digit,
//! and the groups in which cards are printed.

use super::context::{Cue, Words};
use super::digits::{Cluster, Separator};
use super::{Entity, Hit};

/// Prefixes from–to (compared on as many digits as they have), shortest and longest number.
const ISSUERS: &[(u32, u32, usize, usize)] = &[
    (4, 4, 16, 16),
    (4, 4, 13, 13),
    (4, 4, 19, 19),
    (51, 55, 16, 16),
    (2221, 2720, 16, 16),
    (34, 34, 15, 15),
    (37, 37, 15, 15),
    (300, 305, 14, 19),
    (3095, 3095, 14, 19),
    (36, 36, 14, 19),
    (38, 39, 14, 19),
    (6011, 6011, 16, 19),
    (622_126, 622_925, 16, 19),
    (644, 649, 16, 19),
    (65, 65, 16, 19),
    (3528, 3589, 16, 19),
    (62, 62, 16, 19),
    (60, 60, 16, 16),
    (81, 82, 16, 19),
    (508, 508, 16, 16),
    (2200, 2204, 16, 19),
    (9792, 9792, 16, 16),
    (5019, 5019, 16, 16),
    (5018, 5018, 12, 19),
    (5020, 5020, 12, 19),
    (5038, 5038, 12, 19),
    (5893, 5893, 12, 19),
    (6304, 6304, 12, 19),
    (6759, 6759, 12, 19),
    (6761, 6763, 12, 19),
];

/// Groups in which cards are printed, most common first.
const LAYOUTS: &[&[usize]] = &[
    &[4, 4, 4, 4],
    &[4, 6, 5],
    &[4, 6, 4],
    &[4, 4, 4, 4, 3],
    &[4, 4, 4, 4, 2],
    &[4, 4, 4, 1],
    &[4, 4, 5],
    &[6, 13],
    &[8, 8],
];

const WORDS: Words = Words {
    before: &[
        "amex",
        "card",
        "cardnumber",
        "carte",
        "cc",
        "credit",
        "debit",
        "karte",
        "kreditkarte",
        "maestro",
        "mastercard",
        "pan",
        "tarjeta",
        "visa",
    ],
    after: &["card"],
    against: &["barcode", "ean", "gtin", "id", "imei", "invoice", "isbn", "order", "timestamp", "tracking", "upc"],
    unspaced: &[],
};

/// The card number that begins the cluster.
pub(super) fn find(cluster: &Cluster<'_>, label: &str) -> Option<Hit> {
    let first = cluster.groups()[0];
    if first.len() >= 12 {
        return judge(cluster, 1, label);
    }
    if first.len() != 4 && first.len() != 6 && first.len() != 8 {
        return None;
    }
    LAYOUTS.iter().find_map(|layout| {
        let groups = cluster.groups().get(..layout.len())?;
        let separators = &cluster.separators()[..layout.len() - 1];
        let even = separators.iter().all(|separator| *separator == separators[0]);
        let printed = matches!(separators[0], Separator::Space | Separator::Hyphen | Separator::Dot);
        let fits = groups.iter().zip(*layout).all(|(group, length)| group.len() == *length);
        if even && printed && fits { judge(cluster, layout.len(), label) } else { None }
    })
}

fn judge(cluster: &Cluster<'_>, groups: usize, label: &str) -> Option<Hit> {
    if !cluster.ends_word(groups - 1) && groups == cluster.groups().len() {
        return None;
    }
    let mut digits = [0; 19];
    let mut length = 0;
    for index in 0..groups {
        for digit in cluster.text(index) {
            *digits.get_mut(length)? = digit - b'0';
            length += 1;
        }
    }
    let digits = &digits[..length];
    if !issued(digits) || !luhn(digits) {
        return None;
    }
    let (start, end) = (cluster.groups()[0].start, cluster.groups()[groups - 1].end);
    let cue = WORDS.cue(cluster.bytes, start, end, label);
    let usual = matches!(length, 14..=16);
    let score = match cue {
        Some(Cue::For) => 1.0,
        // One number in ten passes the check digit by chance: rare lengths are believed with a word for it only.
        Some(Cue::Against) => {
            if usual && groups > 1 {
                0.7
            } else {
                0.3
            }
        }
        None => {
            if usual {
                0.95
            } else {
                0.4
            }
        }
    };
    Some(Hit { entity: Entity::Card, start, end, score })
}

fn issued(digits: &[u8]) -> bool {
    ISSUERS.iter().any(|&(from, to, shortest, longest)| {
        let width = if from > 99_999 {
            6
        } else if from > 999 {
            4
        } else if from > 99 {
            3
        } else if from > 9 {
            2
        } else {
            1
        };
        let prefix = digits.iter().take(width).fold(0, |sum, digit| sum * 10 + u32::from(*digit));
        (shortest..=longest).contains(&digits.len()) && (from..=to).contains(&prefix)
    })
}

/// ISO/IEC 7812-1, annex B.
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let sum = digits.iter().rev().enumerate().fold(0, |sum, (place, digit)| {
        let doubled = u32::from(*digit) << (place & 1);
        sum + if doubled > 9 { doubled - 9 } else { doubled }
    });
    sum % 10 == 0
}

#[cfg(test)]
pub(super) fn words() -> &'static Words {
    &WORDS
}
