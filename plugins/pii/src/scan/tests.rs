use proptest::prelude::*;

use super::*;

fn found(text: &str) -> Vec<(Entity, &str)> {
    labelled(text, "")
}

fn labelled<'a>(text: &'a str, label: &str) -> Vec<(Entity, &'a str)> {
    let mut hits = Vec::new();
    Scanner { entities: EntitySet::ALL, min_score: 0.5 }.scan(text, label, &mut hits);
    hits.iter().map(|hit| (hit.entity, &text[hit.start..hit.end])).collect()
}

#[track_caller]
fn one(text: &str, entity: Entity, datum: &str) {
    assert_eq!(found(text), [(entity, datum)], "{text:?}");
}

#[track_caller]
fn none(text: &str) {
    assert_eq!(found(text), [], "{text:?}");
}

#[test]
fn word_lists_are_sorted() {
    for words in [phone::words(), card::words(), ip::words(), ssn::words()] {
        context::assert_sorted(words);
    }
    assert!(iban::countries_are_sorted());
}

#[test]
fn emails() {
    one("Write to jane.doe+news@mail.example.co.uk.", Entity::Email, "jane.doe+news@mail.example.co.uk");
    one("<O'Brien@example.com>", Entity::Email, "O'Brien@example.com");
    one("'bob@example.com'", Entity::Email, "bob@example.com");
    one("“bob@example.com”", Entity::Email, "bob@example.com");
    one("mailto:bob@example.com?subject=x", Entity::Email, "bob@example.com");
    one("jörg@müller.de", Entity::Email, "jörg@müller.de");
    one("联系bob@example.com。", Entity::Email, "bob@example.com");
    one("5551234567@example.com", Entity::Email, "5551234567@example.com");
    one("See a@b.example.1", Entity::Email, "a@b.example");
    none("user@localhost, a@b, @handle, x@1.2.3, left-pad@1.3.0");
    none("icon@2x.png");
    none("git@example.com:team/project.git");
    none("..@..");
}

#[test]
fn cards() {
    one("card 4111 1111 1111 1111 12/27", Entity::Card, "4111 1111 1111 1111");
    one("5500-0055-5555-5559", Entity::Card, "5500-0055-5555-5559");
    one("pay with 378282246310005", Entity::Card, "378282246310005");
    one("3782 822463 10005", Entity::Card, "3782 822463 10005");
    one("2223003122003222", Entity::Card, "2223003122003222");
    one("4111\u{a0}1111\u{a0}1111\u{a0}1111", Entity::Card, "4111\u{a0}1111\u{a0}1111\u{a0}1111");
    one("old visa card 4222222222222", Entity::Card, "4222222222222");
    one("card # 4111111111111111", Entity::Card, "4111111111111111");
    // The check digit, the issuer, the length, the groups, the borders.
    none("4111 1111 1111 1112");
    none("9111111111111110");
    none("41111111111111111");
    none("41 11 1111 1111 1111 11");
    none("a4111111111111111");
    none("4111111111111111b");
    none("4222222222222");
}

#[test]
fn ibans() {
    one("IBAN: DE89 3704 0044 0532 0130 00.", Entity::Iban, "DE89 3704 0044 0532 0130 00");
    one("gb82west12345698765432", Entity::Iban, "gb82west12345698765432");
    one("FR1420041010050500013M02606", Entity::Iban, "FR1420041010050500013M02606");
    one("NO9386011117947", Entity::Iban, "NO9386011117947");
    none("DE89 3704 0044 0532 0130 01");
    none("DE8937040044053201300");
    none("XX89370400440532013000");
    none("xDE89370400440532013000");
    none("DE893704004405320130001");
}

#[test]
fn social_security_numbers() {
    one("SSN 123-45-6789", Entity::Ssn, "123-45-6789");
    one("ssn: 123456789", Entity::Ssn, "123456789");
    one("social security 123 45 6789", Entity::Ssn, "123 45 6789");
    one("123-45-6789", Entity::Ssn, "123-45-6789");
    for void in ["000-45-6789", "666-45-6789", "900-45-6789", "123-00-6789", "123-45-0000", "078-05-1120"] {
        none(void);
    }
    none("123456789");
    none("123-45 6789");
    none("123-45-67890");
}

#[test]
fn addresses() {
    one("from 192.168.1.17:8080", Entity::Ip, "192.168.1.17");
    one("http://10.20.30.40/x", Entity::Ip, "10.20.30.40");
    one("10.20.30.0/24", Entity::Ip, "10.20.30.0");
    one("server 1.2.3.4.", Entity::Ip, "1.2.3.4");
    one("2001:db8::ff00:42:8329", Entity::Ip, "2001:db8::ff00:42:8329");
    one("[fe80::1]:80", Entity::Ip, "fe80::1");
    one("at 2001:0db8:0000:0000:0000:ff00:0042:8329.", Entity::Ip, "2001:0db8:0000:0000:0000:ff00:0042:8329");
    one("::ffff:192.0.2.128", Entity::Ip, "::ffff:192.0.2.128");
    one("IP:2001:db8::17", Entity::Ip, "2001:db8::17");
    none("256.1.1.1 and 1.2.3.4.5");
    none("version 10.20.30.40");
    none("section 1.2.3.4");
    none("12:30:45, std::vec, a::b, 00:1b:44:11:3a:b7, 00:11:22:33:44:55:66:77");
}

#[test]
fn phones_by_their_form() {
    for number in [
        "+44 20 7946 0958",
        "+44 (0)20 7946 0958",
        "+1-212-555-0123",
        "+1 (212) 555-0123",
        "+4915123456789",
        "+33 1 23 45 67 89",
        "+91 98765 43210",
        "+86 138 1234 5678",
        "+358 40 1234567",
        "+7 495 123-45-67",
        "212-555-0123",
        "212.555.0123",
        "(212) 555-0123",
        "(212)555-0123",
        "1-800-555-0199",
        "212 555 0123",
        "001-748-088-2851",
        "0049 30 123456",
        "06-24312407",
        "020 7946 0958",
        "02.27.96.63.08",
        "030/123456789",
        "0151 23456789",
        "03-1234-5678",
        "079 123 45 67",
        "(11) 4706-6184",
        "(03) 5327 5996",
        "8 (495) 123-45-67",
        "212-555-0123x4567",
        "212-555-0123 ext. 45",
    ] {
        one(&format!("so {number}, or"), Entity::Phone, number);
        one(number, Entity::Phone, number);
    }
    one("(+44) 20 7946 0958", Entity::Phone, "(+44) 20 7946 0958");
    one("电话13812345678", Entity::Phone, "13812345678");
    one("tel:+14155550123", Entity::Phone, "+14155550123");
}

#[test]
fn phones_by_a_word_beside_them() {
    one("You can call 785 8949.", Entity::Phone, "785 8949");
    one("2813882583 mobile", Entity::Phone, "2813882583");
    one("Telefon: 96 23 72 71", Entity::Phone, "96 23 72 71");
    one("phone #: 5551234567", Entity::Phone, "5551234567");
    assert_eq!(labelled("5551234567", "homePhone"), [(Entity::Phone, "5551234567")]);
    assert_eq!(labelled("5551234567", "phone_number"), [(Entity::Phone, "5551234567")]);
    assert_eq!(labelled("5551234567", "order_id"), []);
    none("5551234567");
    none("785 8949");
    none("call about order 5551234567");
    none("call when 12 345 678 people came");
}

#[test]
fn dates_amounts_and_identifiers_are_no_phones() {
    for text in [
        "2024-05-11",
        "11.05.2024",
        "05/11/2024 10:30",
        "call on 2024-05-11",
        "call 20240511",
        "call in 2019-2024",
        "1972-10-01 21:58:22",
        "call on 1972-10-01 21:58:22",
        "3.14159265358979",
        "phone costs 0.123456789",
        "1,234,567.89",
        "1 234 567.89 EUR",
        "$212 555 0123",
        "550e8400-e29b-41d4-a716-446655440000",
        "550e8400-1234-4123-8123-446655440000",
        "ISBN 978-3-16-148410-0",
        "order 212-555-0123-9",
        "invoice 0123-456789",
        "case 06-24312407",
        "id 1234567890123",
        "1700000000000",
        "example.com/212-555-0123",
        "52.520008, 13.404954",
        "1 2 3 4 5 6 7 8 9 10",
        "(1998) 45 678",
        "12345-6789",
        "v1.2.3-20240511",
        "0x0123456789",
        "10 000 000",
        "+12 345 678",
        "2^31 = 2147483648",
        "1.234.567,89",
        "12-34-56",
        "0-306-40615-2",
    ] {
        none(text);
    }
}

#[test]
fn unwanted_entities_still_claim_their_bytes() {
    let mut set = EntitySet::EMPTY;
    set.insert(Entity::Phone);
    let mut hits = Vec::new();
    Scanner { entities: set, min_score: 0.5 }.scan("call 10.20.30.40 or 123-45-6789", "", &mut hits);
    assert_eq!(hits, []);
}

#[test]
fn the_score_must_be_reached() {
    let mut hits = Vec::new();
    Scanner { entities: EntitySet::ALL, min_score: 0.8 }.scan("212-555-0123 and 06-24312407", "", &mut hits);
    assert_eq!(hits.len(), 1);
}

/// Text that keeps every scanner busy: the work per byte must not grow with the length.
#[test]
fn long_hostile_text_ends() {
    for piece in ["1 ", "@", "a@", ":", "a:", "1:", "(1", "DE89 ", "1-", "4111 ", "::1", "+1", "é@é", "0 ", "call 1"]
    {
        let text = piece.repeat(1_000_000 / piece.len());
        found(&text);
    }
}

proptest! {
    #[test]
    fn spans_are_ordered_apart_and_on_character_borders(text in "[0-9a-f@.:+()x \\-/éDE日\u{a0}]{0,80}") {
        let mut hits = Vec::new();
        Scanner { entities: EntitySet::ALL, min_score: 0.0 }.scan(&text, "phone", &mut hits);
        let mut last = 0;
        for hit in hits {
            prop_assert!(hit.start >= last && hit.start < hit.end);
            prop_assert!(text.get(hit.start..hit.end).is_some());
            prop_assert!((0.0..=1.0).contains(&hit.score));
            last = hit.end;
        }
    }

    #[test]
    fn a_changed_digit_fails_the_card_check(place in 0_usize..16, change in 1_u8..10) {
        let mut digits = *b"4111111111111111";
        for digit in &mut digits { *digit -= b'0'; }
        prop_assert!(card::luhn(&digits));
        digits[place] = (digits[place] + change) % 10;
        prop_assert!(!card::luhn(&digits));
    }
}
