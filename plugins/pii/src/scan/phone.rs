//! Telephone numbers: E.164 with its country codes, and the national formats that people write.
//!
//! A run of digits is a phone number by its form (`+44 20 7946 0958`, `(212) 555-0123`, `06-12345678`), or because a
//! word beside it says so (`call 785 8949`, `2813882583 mobile`). Dates, amounts, identifiers and their like have such
//! forms too: words against it and units lower the score, dates and years are refused.

use super::context::{Cue, Words};
use super::digits::{Cluster, Separator, digits_end};
use super::{Entity, Hit};

const WORDS: Words = Words {
    before: &[
        "answering",
        "call",
        "callback",
        "called",
        "calling",
        "calls",
        "cel",
        "cell",
        "cellphone",
        "cellular",
        "celular",
        "contact",
        "dial",
        "dialing",
        "fax",
        "fon",
        "handy",
        "helpline",
        "hotline",
        "landline",
        "mob",
        "mobil",
        "mobile",
        "mobiles",
        "movil",
        "msisdn",
        "pager",
        "phone",
        "phones",
        "portable",
        "reach",
        "reached",
        "ring",
        "rufnummer",
        "sms",
        "switchboard",
        "tel",
        "telefax",
        "telefon",
        "telefone",
        "telefonnummer",
        "telefono",
        "telephone",
        "tlf",
        "tél",
        "téléphone",
        "voicemail",
        "whatsapp",
    ],
    after: &["cell", "direct", "fax", "home", "landline", "mobile", "office", "phone", "tel", "work"],
    against: &[
        "account",
        "acct",
        "amount",
        "article",
        "balance",
        "barcode",
        "batch",
        "build",
        "case",
        "chf",
        "claim",
        "code",
        "cost",
        "customer",
        "date",
        "docket",
        "document",
        "doi",
        "ean",
        "eur",
        "figure",
        "gbp",
        "gtin",
        "id",
        "identifier",
        "ids",
        "imei",
        "inr",
        "invoice",
        "isbn",
        "issn",
        "item",
        "jpy",
        "licence",
        "license",
        "lot",
        "model",
        "order",
        "page",
        "pages",
        "part",
        "passport",
        "patent",
        "pmid",
        "policy",
        "population",
        "postal",
        "price",
        "product",
        "ref",
        "reference",
        "revenue",
        "revision",
        "row",
        "rs",
        "salary",
        "section",
        "serial",
        "sku",
        "sum",
        "table",
        "ticket",
        "timestamp",
        "total",
        "tracking",
        "transaction",
        "txn",
        "upc",
        "usd",
        "vat",
        "version",
        "zip",
        "zipcode",
    ],
    unspaced: &["电话", "電話", "手机", "手機", "携帯", "致电", "전화", "โทร"],
};

/// Country calling codes by ITU-T E.164: after `+`, the first digits of these lengths.
const TWO_DIGIT_CODES: &[u8] = &[
    20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58, 60, 61, 62,
    63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98,
];
/// First two digits of the three-digit codes.
const THREE_DIGIT_CODES: &[u8] =
    &[21, 22, 23, 24, 25, 26, 29, 35, 37, 38, 42, 50, 59, 67, 68, 69, 80, 85, 87, 88, 96, 97, 99];

/// The most digits of any number, after E.164.
const MAX_DIGITS: usize = 15;

/// The phone number that begins the cluster.
pub(super) fn find(cluster: &Cluster<'_>, label: &str) -> Option<Hit> {
    let all = cluster.groups();
    let bytes = cluster.bytes;
    let first = all[0].start;
    let before = bytes[..first].last().copied();
    let plus = before == Some(b'+');
    let opened = before == Some(b'(') || (plus && first >= 2 && bytes[first - 2] == b'(');
    // In a row of numbers only the forms that are hard to meet by chance count.
    let crowded = matches!(bytes[..first], [.., digit, b' '] if digit.is_ascii_digit());

    let mut best: Option<(f64, usize)> = None;
    let mut weak = None;
    for count in (1..=all.len()).rev() {
        let Some(form) = Form::new(cluster, count, plus, opened) else { continue };
        match form.score().filter(|score| !crowded || *score > 0.85) {
            Some(score) if best.is_none_or(|(other, _)| score > other) => best = Some((score, count)),
            None if weak.is_none() && form.possible() => weak = Some(count),
            _ => {}
        }
    }
    let count = best.map(|(_, count)| count).or(weak)?;
    let (end, extended) = extension(bytes, all[count - 1].end);
    // The bracket belongs to the number when it closes after the first group.
    let bracket = opened && cluster.separators().first() == Some(&Separator::Close);
    let start = first - usize::from(plus) - usize::from(bracket);
    let short = all[..count].iter().map(|group| group.len()).sum::<usize>() < 8;
    let score = match (best, WORDS.near_cue(bytes, start, end, label)) {
        (Some(_), Some((Cue::For, _))) => 1.0,
        (Some((score, _)), Some((Cue::Against, _))) if !extended && !plus => score - 0.4,
        (Some(_), _) if extended => 0.95,
        (Some((score, _)), _) => score,
        // "call a taxi to 03 2657 Court Street": the fewer the digits, the closer the word must stand.
        (None, Some((Cue::For, between))) if between <= 2 || !short => 0.65,
        (None, _) => return None,
    };
    Some(Hit { entity: Entity::Phone, start, end, score })
}

/// The first `count` groups of a cluster, seen as a phone number.
struct Form<'a> {
    digits: [u8; MAX_DIGITS],
    total: usize,
    lengths: [usize; 7],
    count: usize,
    separators: &'a [Separator],
    plus: bool,
    opened: bool,
}

impl<'a> Form<'a> {
    fn new(cluster: &'a Cluster<'_>, count: usize, plus: bool, opened: bool) -> Option<Self> {
        let groups = cluster.groups().get(..count)?;
        let separators = cluster.separators();
        let ended = match separators.get(count - 1) {
            Some(next) => matches!(next, Separator::Space | Separator::Open),
            None => cluster.ends_word(count - 1) || extension(cluster.bytes, groups[count - 1].end).1,
        };
        if !ended {
            return None;
        }
        let mut form = Self {
            digits: [0; MAX_DIGITS],
            total: 0,
            lengths: [0; 7],
            count,
            separators: &separators[..count - 1],
            plus,
            opened,
        };
        for (index, group) in groups.iter().enumerate() {
            *form.lengths.get_mut(index)? = group.len();
            for digit in cluster.text(index) {
                *form.digits.get_mut(form.total)? = digit - b'0';
                form.total += 1;
            }
        }
        (form.total >= 6).then_some(form)
    }

    /// How sure the form alone is; none when it needs a word beside it.
    fn score(&self) -> Option<f64> {
        if self.plus {
            return international(&self.digits[..self.total]).then_some(0.95);
        }
        if self.is_date() {
            return None;
        }
        if self.digits.starts_with(&[0, 0]) && international(&self.digits[2..self.total]) {
            return Some(if self.count > 1 { 0.85 } else { 0.5 });
        }
        self.north_american().or_else(|| self.russian()).or_else(|| self.bracketed()).or_else(|| self.trunk())
    }

    /// 212-555-0123 with or without a leading 1. Area and exchange begin with 2 to 9 in real ones.
    fn north_american(&self) -> Option<f64> {
        let (lengths, national) = match self.lengths() {
            [1, rest @ ..] if self.digits[0] == 1 => (rest, &self.digits[1..self.total]),
            rest => (rest, &self.digits[..self.total]),
        };
        if lengths != [3, 3, 4] {
            return None;
        }
        let real = national[0] >= 2 && national[3] >= 2;
        let spaced = self.separators.iter().all(|separator| *separator == Separator::Space);
        match (real, spaced) {
            (true, false) => Some(0.9),
            (true, true) => Some(0.6),
            (false, false) => Some(0.7),
            (false, true) => None,
        }
    }

    /// 8 (495) 123-45-67
    fn russian(&self) -> Option<f64> {
        (self.lengths() == [1, 3, 3, 2, 2] && matches!(self.digits[0], 7 | 8)).then_some(0.8)
    }

    /// (11) 4706-6184
    fn bracketed(&self) -> Option<f64> {
        let area = self.lengths[0];
        let closes = self.opened && self.separators.first() == Some(&Separator::Close);
        if !closes || !(2..=5).contains(&area) || !(2..=4).contains(&self.count) || !(8..=12).contains(&self.total) {
            return None;
        }
        if area == 4 && is_year(self.number(0..4)) || self.lengths[1..self.count].iter().any(|length| *length < 2) {
            return None;
        }
        let hyphen = self.separators.contains(&Separator::Hyphen);
        Some(if hyphen || self.digits[0] == 0 { 0.8 } else { 0.55 })
    }

    /// 020 7946 0958, 06-24312407, 02.27.96.63.08: the trunk prefix 0 of most countries.
    fn trunk(&self) -> Option<f64> {
        let led = self.digits[0] == 0 && self.digits[1] != 0 && (2..=5).contains(&self.lengths[0]);
        let sized =
            (9..=12).contains(&self.total) && self.lengths[1..self.count].iter().all(|length| (2..=9).contains(length));
        // The form of social security numbers, void ones included.
        let social = self.lengths() == [3, 2, 4];
        let (&joint, rest) = self.separators.split_first()?;
        let even = rest.iter().all(|separator| *separator == rest[0]);
        let usual = match joint {
            Separator::Dot => rest.len() >= 2 && rest[0] == Separator::Dot,
            Separator::Open | Separator::Close => false,
            Separator::Slash => rest.first() != Some(&Separator::Slash),
            Separator::Space | Separator::Hyphen => true,
        };
        (led && sized && even && usual && !social && !rest.contains(&Separator::Open)).then_some(0.7)
    }

    /// Whether a word may make a phone number of it.
    fn possible(&self) -> bool {
        let lengths = self.lengths();
        let groups = if self.count == 1 { lengths[0] >= 7 } else { lengths[1..].iter().all(|length| *length >= 2) };
        let brackets = self.separators.contains(&Separator::Open);
        groups && self.total <= 13 && self.count <= 5 && !brackets && !self.is_date() && !self.is_decimal()
    }

    fn is_decimal(&self) -> bool {
        self.separators == [Separator::Dot]
    }

    /// 2024-05-11, 11.05.2024, 11/05/24, 20240511, 2019-2024; with a time after it or without.
    fn is_date(&self) -> bool {
        let lengths = self.lengths();
        match *lengths {
            [8] => is_year(self.number(0..4)) && is_month(self.number(4..6)) && is_day(self.number(6..8)),
            [4, 4] => is_year(self.number(0..4)) && is_year(self.number(4..8)),
            [4, 2] => is_year(self.number(0..4)) && is_month(self.number(4..6)),
            [2, 4] => is_month(self.number(0..2)) && is_year(self.number(2..6)),
            [4, month, day, ..] if month <= 2 && day <= 2 => {
                is_year(self.number(0..4))
                    && is_month(self.number(4..4 + month))
                    && is_day(self.number(4 + month..4 + month + day))
            }
            [first, second, year @ (2 | 4), ..] if first <= 2 && second <= 2 => {
                let (one, two) = (self.number(0..first), self.number(first..first + second));
                let in_calendar = (is_day(one) && is_month(two)) || (is_month(one) && is_day(two));
                let stated = year == 2 && self.separators[0] != Separator::Space && self.count == 3
                    || year == 4 && is_year(self.number(first + second..first + second + 4));
                in_calendar && stated
            }
            _ => false,
        }
    }

    fn lengths(&self) -> &[usize] {
        &self.lengths[..self.count]
    }

    fn number(&self, range: core::ops::Range<usize>) -> u32 {
        self.digits[range].iter().fold(0, |sum, digit| sum * 10 + u32::from(*digit))
    }
}

fn is_year(value: u32) -> bool {
    (1900..=2099).contains(&value)
}

fn is_month(value: u32) -> bool {
    (1..=12).contains(&value)
}

fn is_day(value: u32) -> bool {
    (1..=31).contains(&value)
}

/// Whether the digits are a country code and a number of a fitting length. `+44 (0)20`, with the trunk prefix that must
/// not be dialled, is common and passes.
fn international(digits: &[u8]) -> bool {
    let length = digits.len();
    match digits {
        [1, ..] => length == 11,
        [7, ..] => length == 11 || length == 12,
        [first, second, ..] => {
            let code = first * 10 + second;
            (TWO_DIGIT_CODES.contains(&code) && (10..=14).contains(&length) || code == 65 && length == 10)
                || (THREE_DIGIT_CODES.contains(&code) && (8..=14).contains(&length))
        }
        _ => false,
    }
}

/// Where the number ends with its extension — `x123`, `ext. 123`, ` #123` — and whether it has one.
fn extension(bytes: &[u8], end: usize) -> (usize, bool) {
    const MARKS: [&[u8]; 9] = [b" extension ", b" ext. ", b" ext.", b" ext ", b", ext. ", b" x", b"ext", b"x", b" #"];
    let rest = &bytes[end..];
    for mark in MARKS {
        if rest.len() > mark.len() && rest[..mark.len()].eq_ignore_ascii_case(mark) {
            let start = end + mark.len();
            let stop = digits_end(bytes, start);
            let bounded = bytes.get(stop).is_none_or(|byte| !byte.is_ascii_alphanumeric());
            if (1..=6).contains(&(stop - start)) && bounded {
                return (stop, true);
            }
        }
    }
    (end, false)
}

#[cfg(test)]
pub(super) fn words() -> &'static Words {
    &WORDS
}
