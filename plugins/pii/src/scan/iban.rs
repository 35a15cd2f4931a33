//! International bank account numbers: length by country (SWIFT IBAN registry) and the mod-97 check of ISO 13616.

use super::digits::{hyphen_length, space_length};
use super::{Entity, Hit};

/// Country and the length of its account numbers, sorted.
const LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// Fewer digits after the check digits than in any country's form: prose cannot pass.
const MIN_DIGITS: usize = 5;

/// The account number whose check digits are at `at`.
pub(super) fn at_check_digits(bytes: &[u8], at: usize) -> Option<Hit> {
    let start = at.checked_sub(2)?;
    let country = [bytes[start].to_ascii_uppercase(), bytes[start + 1].to_ascii_uppercase()];
    if !country.iter().all(u8::is_ascii_uppercase) || !bytes.get(at + 1)?.is_ascii_digit() {
        return None;
    }
    if start.checked_sub(1).is_some_and(|before| bytes[before].is_ascii_alphanumeric()) {
        return None;
    }
    let index = LENGTHS.binary_search_by(|(candidate, _)| candidate.as_slice().cmp(&country)).ok()?;
    let length = LENGTHS[index].1;

    // The check reads the country and check digits last.
    let mut remainder = 0;
    let mut digits = 0;
    let mut end = at + 2;
    for _ in 4..length {
        end += space_length(&bytes[end..]).max(hyphen_length(&bytes[end..]));
        let byte = *bytes.get(end)?;
        remainder = mod_97(remainder, byte)?;
        digits += usize::from(byte.is_ascii_digit());
        end += 1;
    }
    if bytes.get(end).is_some_and(u8::is_ascii_alphanumeric) || digits < MIN_DIGITS {
        return None;
    }
    for byte in &bytes[start..at + 2] {
        remainder = mod_97(remainder, *byte)?;
    }
    (remainder == 1).then_some(Hit { entity: Entity::Iban, start, end, score: 1.0 })
}

/// One more character of the number, letters counting as two digits.
fn mod_97(remainder: u32, byte: u8) -> Option<u32> {
    let value = char::from(byte).to_digit(36)?;
    Some((remainder * if value > 9 { 100 } else { 10 } + value) % 97)
}

#[cfg(test)]
pub(super) fn countries_are_sorted() -> bool {
    LENGTHS.is_sorted_by(|left, right| left.0 < right.0)
}
