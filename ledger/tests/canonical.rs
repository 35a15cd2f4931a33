//! One entry has one form. Each test takes a good entry, writes one item of it in a way that CBOR allows and
//! the ledger does not, and names the refusal.
//!
//! `ciborium` reads most of these as if nothing were the matter, which is why strictness is ours to keep;
//! where it does, the test shows it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use picket_ledger::entry::{Body, EntryError, Heartbeat, Recovery};
use picket_ledger::{CborError, Entry};

/// `[1, 11, 0, 5, 1000, 7, h'aa' * 16, [42]]`
fn heartbeat() -> Vec<u8> {
    let bytes = Entry {
        incarnation: 0,
        index: 5,
        wall_ms: 1000,
        monotonic_ns: 7,
        boot: [0xaa; 16],
        body: Body::Heartbeat(Heartbeat { next_invocation: 42 }),
    }
    .encode()
    .unwrap();
    assert_eq!(bytes.len(), 29);
    assert!(Entry::decode(&bytes).is_ok());
    bytes
}

fn recovery() -> Vec<u8> {
    let recovery = Recovery {
        previous_size: 1,
        previous_root: [0x11; 32],
        first_invocation: 2,
        clean: true,
        found: vec!["found".into()],
        heads: Vec::new(),
    };
    let bytes = common::entry(5, Body::Recovery(recovery)).encode().unwrap();
    assert!(Entry::decode(&bytes).is_ok());
    bytes
}

/// Replaces the bytes at a place and decodes.
fn replaced(mut bytes: Vec<u8>, at: usize, old: &[u8], new: &[u8]) -> EntryError {
    assert_eq!(&bytes[at..at + old.len()], old, "the test aims at the wrong place");
    bytes.splice(at..at + old.len(), new.iter().copied());
    Entry::decode(&bytes).unwrap_err()
}

/// The same for an item that is found by its bytes, which occur once.
fn replaced_item(bytes: &[u8], old: &[u8], new: &[u8]) -> EntryError {
    let places: Vec<usize> = (0..=bytes.len() - old.len()).filter(|at| bytes[*at..].starts_with(old)).collect();
    assert_eq!(places.len(), 1, "the test aims at {places:?}");
    replaced(bytes.to_vec(), places[0], old, new)
}

fn ciborium_accepts(bytes: &[u8]) -> bool {
    ciborium::from_reader::<ciborium::Value, _>(bytes).is_ok()
}

#[test]
fn integers_in_a_longer_form_are_refused() {
    // The index, 5, in one, two, four and eight further bytes.
    for long in [&[0x18, 5][..], &[0x19, 0, 5], &[0x1a, 0, 0, 0, 5], &[0x1b, 0, 0, 0, 0, 0, 0, 0, 5]] {
        let error = replaced(heartbeat(), 4, &[5], long);
        assert_eq!(error, EntryError::Cbor(CborError::NotShortest { offset: 4 }));
    }
    // The wall clock, 1000, in four bytes where two do.
    let error = replaced(heartbeat(), 5, &[0x19, 0x03, 0xe8], &[0x1a, 0, 0, 0x03, 0xe8]);
    assert_eq!(error, EntryError::Cbor(CborError::NotShortest { offset: 5 }));
    let mut long = heartbeat();
    long.splice(4..5, [0x18, 5]);
    assert!(ciborium_accepts(&long));
}

#[test]
fn lengths_in_a_longer_form_are_refused() {
    let error = replaced(heartbeat(), 0, &[0x88], &[0x98, 8]);
    assert_eq!(error, EntryError::Cbor(CborError::NotShortest { offset: 0 }));
    let error = replaced(heartbeat(), 9, &[0x50], &[0x58, 16]);
    assert_eq!(error, EntryError::Cbor(CborError::NotShortest { offset: 9 }));
    let error = replaced_item(&recovery(), b"\x65found", b"\x78\x05found");
    assert!(matches!(error, EntryError::Cbor(CborError::NotShortest { .. })));
}

#[test]
fn booleans_in_a_longer_form_are_refused() {
    // Simple value 21 in two bytes, which RFC 8949 section 3.3 calls not well-formed.
    let error = replaced_item(&recovery(), b"\x02\xf5\x81", b"\x02\xf8\x15\x81");
    let (expected, found) = ("a boolean", "a simple value");
    assert!(
        matches!(error, EntryError::Cbor(CborError::Type { expected: e, found: f, .. }) if (e, f) == (expected, found)),
        "{error:?}"
    );
}

#[test]
fn items_of_indefinite_length_are_refused() {
    let mut outer = heartbeat();
    outer[0] = 0x9f;
    outer.push(0xff);
    assert!(ciborium_accepts(&outer));
    assert_eq!(Entry::decode(&outer), Err(CborError::Indefinite { offset: 0 }.into()));

    let error = replaced(heartbeat(), 26, &[0x81, 0x18, 0x2a], &[0x9f, 0x18, 0x2a, 0xff]);
    assert_eq!(error, EntryError::Cbor(CborError::Indefinite { offset: 26 }));

    let bytes = [&[0x5f, 0x50][..], &[0xaa; 16], &[0xff]].concat();
    let error = replaced(heartbeat(), 9, &[&[0x50][..], &[0xaa; 16]].concat(), &bytes);
    assert_eq!(error, EntryError::Cbor(CborError::Indefinite { offset: 9 }));

    let error = replaced_item(&recovery(), b"\x65found", b"\x7f\x65found\xff");
    assert!(matches!(error, EntryError::Cbor(CborError::Indefinite { .. })));
}

#[test]
fn trailing_bytes_are_refused() {
    for byte in [0x00, 0xf6, 0xff] {
        let mut bytes = heartbeat();
        bytes.push(byte);
        assert!(ciborium_accepts(&bytes), "it stops reading at the end of the item");
        assert_eq!(Entry::decode(&bytes), Err(CborError::Trailing { offset: 29, count: 1 }.into()));
    }
    let twice = [heartbeat(), heartbeat()].concat();
    assert_eq!(Entry::decode(&twice), Err(CborError::Trailing { offset: 29, count: 29 }.into()));
}

#[test]
fn every_truncation_is_refused() {
    for bytes in [heartbeat(), recovery()] {
        for length in 0..bytes.len() {
            assert!(matches!(Entry::decode(&bytes[..length]), Err(EntryError::Cbor(CborError::Truncated { .. }))));
        }
    }
}

#[test]
fn duplicated_items_are_refused() {
    // A second body: eight members are declared, nine are there.
    let mut bytes = heartbeat();
    bytes.extend_from_slice(&[0x81, 0x18, 0x2a]);
    assert_eq!(Entry::decode(&bytes), Err(CborError::Trailing { offset: 29, count: 3 }.into()));
    bytes[0] = 0x89;
    assert_eq!(Entry::decode(&bytes), Err(CborError::Members { offset: 0, expected: 8, found: 9 }.into()));
    // A second member of the body.
    let error = replaced(heartbeat(), 26, &[0x81, 0x18, 0x2a], &[0x82, 0x18, 0x2a, 0x18, 0x2a]);
    assert_eq!(error, EntryError::Cbor(CborError::Members { offset: 26, expected: 1, found: 2 }));
}

#[test]
fn maps_are_refused_duplicate_keys_or_not() {
    for map in [&[0xa0][..], &[0xa1, 0x00, 0x18, 0x2a], &[0xa2, 0x00, 0x01, 0x00, 0x02]] {
        let error = replaced(heartbeat(), 26, &[0x81, 0x18, 0x2a], map);
        assert_eq!(error, EntryError::Cbor(CborError::Type { offset: 26, expected: "an array", found: "a map" }));
    }
    // Why there are no maps: two values under one key pass as if nothing were the matter.
    assert!(ciborium_accepts(&[0xa2, 0x00, 0x01, 0x00, 0x02]));
}

#[test]
fn tags_are_refused() {
    // Tag 2 (a big number) and tag 55799 (self-described CBOR) before an integer.
    for tag in [&[0xc2, 0x05][..], &[0xd9, 0xd9, 0xf7, 0x05]] {
        let error = replaced(heartbeat(), 4, &[5], tag);
        assert_eq!(
            error,
            EntryError::Cbor(CborError::Type { offset: 4, expected: "an unsigned integer", found: "a tag" })
        );
    }
    let tagged = [&[0xd9, 0xd9, 0xf7][..], &heartbeat()].concat();
    assert!(matches!(Entry::decode(&tagged), Err(EntryError::Cbor(CborError::Type { found: "a tag", .. }))));
}

#[test]
fn floating_point_numbers_are_refused_in_every_width() {
    for float in
        [&[0xf9, 0x45, 0x00][..], &[0xfa, 0x40, 0xa0, 0, 0], &[0xfb, 0x40, 0x14, 0, 0, 0, 0, 0, 0], &[0xf9, 0x7e, 0x00]]
    {
        let error = replaced(heartbeat(), 4, &[5], float);
        let found = "a floating-point number";
        assert_eq!(error, EntryError::Cbor(CborError::Type { offset: 4, expected: "an unsigned integer", found }));
    }
}

#[test]
fn negative_numbers_null_undefined_and_breaks_are_refused_where_an_unsigned_integer_belongs() {
    for (item, found) in [
        (0x20, "a negative integer"),
        (0xf6, "null"),
        (0xf7, "a simple value"),
        (0xe0, "a simple value"),
        (0xf4, "a boolean"),
        (0xff, "a break"),
    ] {
        let error = replaced(heartbeat(), 4, &[5], &[item]);
        let expected = "an unsigned integer";
        assert_eq!(error, EntryError::Cbor(CborError::Type { offset: 4, expected, found }), "{item:#x}");
    }
}

#[test]
fn reserved_heads_are_refused() {
    for head in [0x1c, 0x1d, 0x1e, 0x1f, 0x3f, 0xdf, 0xfc, 0xfd, 0xfe] {
        let error = replaced(heartbeat(), 4, &[5], &[head]);
        assert_eq!(error, EntryError::Cbor(CborError::Malformed { offset: 4 }), "{head:#x}");
    }
}

#[test]
fn a_number_beyond_its_field_is_refused() {
    // The incarnation has 32 bits.
    let error = replaced(heartbeat(), 3, &[0], &[0x1b, 0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(error, EntryError::Cbor(CborError::Range { offset: 3 }));
}

#[test]
fn a_byte_string_of_another_length_is_refused() {
    let error = replaced(heartbeat(), 9, &[0x50, 0xaa], &[0x4f]);
    assert_eq!(error, EntryError::Cbor(CborError::Length { offset: 9, expected: 16, found: 15 }));
}

#[test]
fn a_text_that_is_not_utf_8_is_refused() {
    for bad in [&b"\x65f\xc0\x80nd"[..], b"\x65f\xed\xa0\x80d", b"\x65foun\xc3"] {
        let error = replaced_item(&recovery(), b"\x65found", bad);
        assert!(matches!(error, EntryError::Cbor(CborError::Utf8 { .. })), "{bad:?}");
    }
}

#[test]
fn a_text_in_place_of_bytes_is_refused_and_the_other_way_round() {
    let error = replaced(heartbeat(), 9, &[0x50], &[0x70]);
    assert!(matches!(error, EntryError::Cbor(CborError::Type { expected: "a byte string", found: "a text", .. })));
    let error = replaced_item(&recovery(), b"\x65found", b"\x45found");
    assert!(matches!(error, EntryError::Cbor(CborError::Type { expected: "a text", found: "a byte string", .. })));
}

#[test]
fn other_versions_and_unknown_kinds_are_refused() {
    assert_eq!(replaced(heartbeat(), 1, &[1], &[2]), EntryError::Version(2));
    assert_eq!(replaced(heartbeat(), 1, &[1], &[0]), EntryError::Version(0));
    for kind in [0, 19, 23] {
        assert_eq!(replaced(heartbeat(), 2, &[11], &[kind]), EntryError::UnknownKind(kind.into()));
    }
    assert_eq!(replaced(heartbeat(), 2, &[11], &[0x18, 34]), EntryError::UnknownKind(34));
}

/// A text that `encode` would refuse does not pass `decode` either.
#[test]
fn limits_hold_for_what_is_read() {
    let error = replaced_item(&recovery(), b"\x65found", b"\x65fo\x1bnd");
    assert_eq!(error, EntryError::ControlCharacter { field: "found", character: '\u{1b}' });
    let long = [&[0x79, 0x04, 0x01][..], &[b'x'; 1025]].concat();
    let error = replaced_item(&recovery(), b"\x65found", &long);
    assert_eq!(error, EntryError::TextTooLong { field: "found", length: 1025, limit: 1024 });
}
