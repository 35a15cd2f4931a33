//! Strict Ed25519 through the public interface: forgeries that a lenient verifier lets through.
//!
//! Where a forgery would pass the equation of RFC 8032 section 5.1.7, the test shows that `ed25519-dalek`'s
//! plain `verify` accepts it, so that the refusal is known to come from strictness.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::Verifier as _;
use picket_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use picket_ledger::hash::{sha256, to_hex};
use picket_ledger::note::{NoteError, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha512};

/// The order of the base point, little-endian: 2^252 + 27742317777372353535851937790883648493.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn signer() -> SigningKey {
    common::key("box-17")
}

fn text() -> String {
    Checkpoint::new("box-17", 3, [7; 32]).to_text()
}

/// The note with some 64 bytes as its signature.
fn note(signature: &[u8; 64]) -> String {
    let bytes = [&signer().verifier().key_id()[..], signature].concat();
    format!("{}\n— box-17 {}\n", text(), STANDARD.encode(bytes))
}

fn good_signature() -> [u8; 64] {
    let line = signer().sign(&text());
    let bytes = STANDARD.decode(line.trim_end().rsplit(' ').next().unwrap()).unwrap();
    bytes[4..].try_into().unwrap()
}

fn lenient(key: &[u8; 32], message: &str, signature: &[u8; 64]) -> bool {
    let key = ed25519_dalek::VerifyingKey::from_bytes(key).unwrap();
    key.verify(message.as_bytes(), &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
}

fn key_text(name: &str, bytes: &[u8; 32]) -> String {
    let preimage = [name.as_bytes(), b"\n\x01", bytes].concat();
    let id = to_hex(&sha256(&preimage)[..4]);
    format!("{name}+{id}+{}", STANDARD.encode([&[1][..], bytes].concat()))
}

#[test]
fn a_good_signature_passes() {
    assert!(SignedCheckpoint::open(&note(&good_signature()), &signer().verifier()).is_ok());
    assert_eq!(key_text("box-17", signer().verifier().as_bytes()), signer().verifier().to_string());
}

#[test]
fn every_flipped_bit_of_a_signature_is_refused() {
    for bit in 0..512 {
        let mut signature = good_signature();
        signature[bit / 8] ^= 1 << (bit % 8);
        let refusal = SignedCheckpoint::open(&note(&signature), &signer().verifier());
        assert_eq!(refusal, Err(NoteError::Signature("box-17".into())), "bit {bit}");
    }
}

/// S and S + L satisfy the same equation: the second form of a signature that RFC 8032 forbids.
#[test]
fn a_signature_with_s_not_reduced_is_refused() {
    let mut signature = good_signature();
    for multiple in 1..8 {
        let mut carry = 0;
        for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            *byte = u8::try_from(sum & 0xff).unwrap();
            carry = sum >> 8;
        }
        assert_eq!(carry, 0, "S + {multiple} L fits 32 bytes");
        let refusal = SignedCheckpoint::open(&note(&signature), &signer().verifier());
        assert_eq!(refusal, Err(NoteError::Signature("box-17".into())), "S + {multiple} L");
    }
}

/// The holder of a key can make signatures whose R is of small order. They satisfy the equation, and R says
/// nothing, so that signer and verifier may disagree about what was signed.
#[test]
fn a_signature_with_r_of_small_order_is_refused() {
    let verifier = signer().verifier();
    let secret = ed25519_dalek::SigningKey::from_bytes(&sha256(b"box-17"));
    assert_eq!(secret.verifying_key().as_bytes(), verifier.as_bytes());
    let identity = EIGHT_TORSION[0].compress().to_bytes();
    let challenge =
        Sha512::new().chain_update(identity).chain_update(verifier.as_bytes()).chain_update(text()).finalize();
    // R = 0, so S = k a satisfies S B = R + k A.
    let s = Scalar::from_bytes_mod_order_wide(&challenge.into()) * secret.to_scalar();
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&identity);
    signature[32..].copy_from_slice(s.as_bytes());
    assert!(lenient(verifier.as_bytes(), &text(), &signature), "the forgery satisfies the equation");
    let refusal = SignedCheckpoint::open(&note(&signature), &verifier);
    assert_eq!(refusal, Err(NoteError::Signature("box-17".into())));
}

/// Under a key of small order, one signature fits one text in eight or all of them.
#[test]
fn keys_of_small_order_are_refused() {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&EIGHT_TORSION[0].compress().to_bytes());
    let mut universal = 0;
    for point in EIGHT_TORSION {
        let bytes = point.compress().to_bytes();
        universal += u32::from(lenient(&bytes, &text(), &signature));
        assert_eq!(VerifyingKey::parse(&key_text("box-17", &bytes)), Err(NoteError::Key("of small order")));
    }
    assert!(universal >= 1, "a lenient verifier accepts an empty signature under at least the identity");
}

/// Encodings of y >= p: other bytes for a point, hence another id for a key.
#[test]
fn keys_in_a_second_encoding_are_refused() {
    let mut points = 0;
    for low in 0xed..=0xff {
        for top in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            bytes[0] = low;
            bytes[31] = top;
            if let Some(point) = CompressedEdwardsY(bytes).decompress() {
                points += 1;
                assert_ne!(point.compress().to_bytes(), bytes);
                let reason =
                    if point.is_small_order() { "of small order" } else { "not the canonical encoding of its point" };
                assert_eq!(VerifyingKey::parse(&key_text("box-17", &bytes)), Err(NoteError::Key(reason)));
            }
        }
    }
    assert!(points > 4, "{points} second encodings are points");
}

#[test]
fn bytes_that_are_no_point_are_refused_as_a_key() {
    let none = (2..=255_u8).map(|y| [&[y][..], &[0; 31]].concat()).find_map(|bytes| {
        let bytes: [u8; 32] = bytes.try_into().unwrap();
        CompressedEdwardsY(bytes).decompress().is_none().then_some(bytes)
    });
    let parsed = VerifyingKey::parse(&key_text("box-17", &none.unwrap()));
    assert_eq!(parsed, Err(NoteError::Key("not a point of the curve")));
}

#[test]
fn signatures_of_another_length_are_refused() {
    let signature = good_signature();
    let id = signer().verifier().key_id();
    for bytes in [&signature[..63], &[&signature[..], &[0]].concat(), &signature[..1]] {
        let note = format!("{}\n— box-17 {}\n", text(), STANDARD.encode([&id[..], bytes].concat()));
        assert_eq!(SignedCheckpoint::open(&note, &signer().verifier()), Err(NoteError::Signature("box-17".into())));
    }
}
