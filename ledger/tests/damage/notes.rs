//! The checkpoint of a segment: its text, its signature, and the lines around them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::scalar::Scalar;
use picket_ledger::SigningKey;
use picket_ledger::checkpoint::Checkpoint;
use picket_ledger::hash::sha256;
use sha2::{Digest as _, Sha512};

use super::{BOX, Case, Log, SIZE, auditor, signer};
use crate::common;

/// The order of the base point, little-endian: 2^252 + 27742317777372353535851937790883648493.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

pub(super) fn cases() -> Vec<Case> {
    let log = Log::new();
    let head = log.head(SIZE);
    let note = log.note(SIZE);
    let text = head.to_text();
    let line = signer().sign(&text);
    let extended = |extension: &str| Checkpoint { extensions: vec![extension.to_owned()], ..head.clone() };
    // The segment 5..11 with some text as its checkpoint.
    let with = |name: &str, holds: bool, checkpoint: String| {
        let mut segment = log.segment(5, SIZE);
        segment.checkpoint = checkpoint;
        let bytes = segment.encode().unwrap();
        if holds { Case::good(name, bytes) } else { Case::bad(name, bytes) }
    };
    let changed = |name: &str, old: &str, new: &str| {
        assert_eq!(note.matches(old).count(), 1, "{name}");
        with(name, false, note.replace(old, new))
    };
    // Another text with the box's good signature over it.
    let signed = |name: &str, text: &str| with(name, false, format!("{text}\n{}", signer().sign(text)));
    let signature = |name: &str, bytes: &[u8]| with(name, false, format!("{text}\n{}", signature_line(BOX, bytes)));
    let root = STANDARD.encode(head.root);
    let [good, id] = [&signature_of(&line)[..], &signer().verifier().key_id()];
    let with_id = |signature: &[u8]| [id, signature].concat();
    let flipped = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1;
        with_id(&bytes)
    };
    let other_key = SigningKey::from_seed(BOX, &[9; 32]).unwrap();
    vec![
        with("note-with-signed-extension-line", true, extended("extension 1").sign(&signer())),
        with("note-with-signed-delete-character", true, extended("a\u{7f}b").sign(&signer())),
        with("note-with-unsigned-extension-line", false, format!("{text}extension 1\n\n{line}")),
        with(
            "note-extension-line-removed",
            false,
            extended("extension 1").sign(&signer()).replace("extension 1\n", ""),
        ),
        signed("note-with-empty-extension-line", &format!("{text}\nextension 1\n")),
        changed("note-size-changed", "\n11\n", "\n12\n"),
        changed("note-size-with-leading-zero", "\n11\n", "\n011\n"),
        signed("note-size-with-leading-zero-signed", &text.replace("\n11\n", "\n011\n")),
        signed("note-size-with-plus-signed", &text.replace("\n11\n", "\n+11\n")),
        signed("note-size-in-other-digits-signed", &text.replace("\n11\n", "\n١١\n")),
        signed("note-size-beyond-64-bits-signed", &text.replace("\n11\n", "\n18446744073709551627\n")),
        changed("note-root-changed", &root, &STANDARD.encode([7; 32])),
        with("note-root-of-another-log-signed", false, Checkpoint { root: [7; 32], ..head.clone() }.sign(&signer())),
        signed("note-root-of-31-bytes-signed", &text.replace(&root, &STANDARD.encode(&head.root[1..]))),
        signed("note-root-without-padding-signed", &text.replace(&root, root.trim_end_matches('='))),
        signed("note-root-with-stray-bits-signed", &text.replace(&root, &stray_bits(&root))),
        changed("note-origin-changed", &format!("{BOX}\n11"), "box-18\n11"),
        with(
            "note-origin-changed-signed",
            false,
            Checkpoint { origin: "box-18".into(), ..head.clone() }.sign(&signer()),
        ),
        with("note-by-another-key-of-that-name", false, head.sign(&other_key)),
        with("note-by-a-key-of-another-name", false, head.sign(&auditor())),
        with("note-by-another-key-under-its-id", false, {
            let signature = signature_of(&other_key.sign(&text));
            format!("{text}\n{}", signature_line(BOX, &with_id(&signature)))
        }),
        signature("note-signature-r-flipped", &flipped(0)),
        signature("note-signature-s-flipped", &flipped(32)),
        signature("note-signature-s-plus-order", &with_id(&plus_order(good))),
        signature("note-signature-r-of-small-order", &with_id(&small_order(&text))),
        signature("note-signature-all-zero", &with_id(&[0; 64])),
        signature("note-signature-of-63-bytes", &with_id(&good[..63])),
        signature("note-signature-of-65-bytes", &with_id(&[good, &[0]].concat())),
        signature("note-signature-missing-behind-the-id", id),
        signature("note-key-id-changed", &[&[id[0] ^ 1], &id[1..], good].concat()),
        with(
            "note-signature-over-the-empty-line-too",
            false,
            format!("{text}\n{}", signer().sign(&format!("{text}\n"))),
        ),
        with("note-signature-with-stray-bits", false, format!("{text}\n{}", stray_bits(&line))),
        with("note-signature-without-padding", false, format!("{text}\n{}", line.replace('=', ""))),
        with("note-signature-padded-twice", false, format!("{text}\n{}", line.replace('=', "=="))),
        with("note-signature-with-space-behind", false, format!("{text}\n{}", line.replace('\n', " \n"))),
        with("note-signature-line-twice", false, format!("{note}{line}")),
        with("note-second-signature-by-another-key", false, format!("{note}{}", auditor().sign(&text))),
        with("note-second-signature-line-malformed", false, format!("{note}— nobody\n")),
        with("note-empty-line-behind", false, format!("{note}\n")),
        with("note-with-hyphen-for-dash", false, note.replace('—', "-")),
        with("note-without-last-line-feed", false, note.trim_end().to_owned()),
        with("note-without-empty-line", false, note.replace("\n\n", "\n")),
        with("note-without-signature", false, format!("{text}\n")),
        with("note-with-carriage-returns", false, note.replace('\n', "\r\n")),
        signed("note-with-carriage-returns-signed", &text.replace('\n', "\r\n")),
        signed("note-with-tab-in-extension-signed", &format!("{text}a\tb\n")),
        signed("note-with-two-lines-signed", &format!("{BOX}\n11\n")),
        with("note-name-with-no-break-space", false, {
            let key = common::key("box");
            let line = key.sign(&text).replace("— box ", "— box\u{a0}17 ");
            format!("{note}{line}")
        }),
    ]
}

/// A signature line as the box would write it, of any bytes.
pub(super) fn signature_line(name: &str, bytes: &[u8]) -> String {
    format!("— {name} {}\n", STANDARD.encode(bytes))
}

/// The 64 bytes of a signature line.
pub(super) fn signature_of(line: &str) -> Vec<u8> {
    let bytes = STANDARD.decode(line.trim_end().rsplit(' ').next().unwrap()).unwrap();
    bytes[4..].to_vec()
}

/// Base64 that ends in one `=`, with one of the two unused bits set: other text, the same bytes to a lenient reader.
pub(super) fn stray_bits(base64: &str) -> String {
    let end = base64.trim_end();
    let digit = end.as_bytes()[end.len() - 2];
    assert!(end.ends_with('=') && !end.ends_with("=="), "{end}");
    // The alphabet runs on after digits whose low bits are zero: A, E, I … 8.
    let stray = char::from(digit + 1);
    format!("{}{stray}={}", &end[..end.len() - 2], &base64[end.len()..])
}

/// S plus the order of the group: satisfies the same equation.
fn plus_order(signature: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    let mut carry = 0;
    for (byte, order) in bytes[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    bytes
}

/// What the holder of the key can make: R is the identity, so S = k a satisfies S B = R + k A.
fn small_order(text: &str) -> Vec<u8> {
    let secret = ed25519_dalek::SigningKey::from_bytes(&sha256(BOX.as_bytes()));
    let identity = EIGHT_TORSION[0].compress().to_bytes();
    let challenge =
        Sha512::new().chain_update(identity).chain_update(secret.verifying_key().as_bytes()).chain_update(text);
    let s = Scalar::from_bytes_mod_order_wide(&challenge.finalize().into()) * secret.to_scalar();
    [identity, s.to_bytes()].concat()
}
