//! Notes, checkpoints, receipts and bundles: what passes, and each way not to.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{NaiveTree, key, segment};
use picket_ledger::bundle::{Bundle, BundleError, MAX_BUNDLE_BYTES};
use picket_ledger::checkpoint::{self, Checkpoint, SignedCheckpoint};
use picket_ledger::hash::leaf_hash;
use picket_ledger::note::{MAX_NOTE_BYTES, MAX_SIGNATURES, NoteError, SigningKey, VerifyingKey};
use picket_ledger::proof::ProofError;
use picket_ledger::receipt::{CosignerKey, Receipt, cosign};
use picket_ledger::tree::inclusion_proof;
use proptest::prelude::*;

fn note() -> String {
    Checkpoint::new("box-17", 9, [7; 32]).sign(&key("box-17"))
}

fn open(note: &str) -> Result<SignedCheckpoint, NoteError> {
    SignedCheckpoint::open(note, &key("box-17").verifier())
}

#[test]
fn a_checkpoint_is_the_text_that_c2sp_specifies() {
    let note = note();
    let mut lines = note.split('\n');
    assert_eq!(lines.next(), Some("box-17"));
    assert_eq!(lines.next(), Some("9"));
    assert_eq!(lines.next(), Some("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="));
    assert_eq!(lines.next(), Some(""));
    assert!(lines.next().unwrap().starts_with("— box-17 "));
    assert_eq!(lines.collect::<Vec<_>>(), [""]);
    let opened = open(&note).unwrap();
    assert_eq!(opened.checkpoint, Checkpoint::new("box-17", 9, [7; 32]));
    assert_eq!(opened.text, note);
    assert_eq!(checkpoint::peek(&note).unwrap(), opened.checkpoint);
}

#[test]
fn a_checkpoint_may_have_extensions() {
    let extended =
        Checkpoint { extensions: vec!["one".into(), "two 2".into()], ..Checkpoint::new("box-17", 0, [0; 32]) };
    assert_eq!(open(&extended.sign(&key("box-17"))).unwrap().checkpoint, extended);
}

/// The signed note of the C2SP specification, whose key is that of Go's sumdb tests.
#[test]
fn the_key_of_go_sumdb_has_the_id_that_go_gives_it() {
    let text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    let key = VerifyingKey::parse(text).unwrap();
    assert_eq!(key.name(), "sum.golang.org");
    assert_eq!(key.key_id(), [0x03, 0x3d, 0xe0, 0xae]);
    assert_eq!(key.to_string(), text);
}

#[test]
fn malformed_notes_are_refused() {
    let good = note();
    let (text, signature) = good.split_once("\n\n").unwrap();
    for (defect, bent) in [
        ("empty", String::new()),
        ("no signature", format!("{text}\n\n")),
        ("no empty line", format!("{text}\n{signature}")),
        ("last line without its end", good.trim_end().to_owned()),
        ("carriage returns", good.replace('\n', "\r\n")),
        ("a tab", good.replace("box-17\n", "box-17\t\n")),
        ("an empty line at the end", format!("{good}\n")),
        ("a line that is no signature", format!("{good}hello\n")),
        ("a hyphen for the dash", good.replace('—', "-")),
        ("two spaces", good.replace("— box-17 ", "— box-17  ")),
        ("no name", good.replace("— box-17 ", "—  ")),
        ("a plus in the name", good.replace("— box-17 ", "— box+17 ")),
        ("base64 without padding", good.replace("=\n\n", "\n\n").trim_end_matches(['=', '\n']).to_owned() + "\n"),
        ("a key id alone", format!("{text}\n\n— box-17 AAAAAA==\n")),
        ("the byte order mark", format!("\u{feff}{good}")),
    ] {
        assert!(open(&bent).is_err(), "{defect}");
    }
    assert_eq!(open(&"x".repeat(MAX_NOTE_BYTES + 1)), Err(NoteError::TooLong(MAX_NOTE_BYTES + 1)));
    let crowded = good.clone() + &"— x AAAAAAA=\n".repeat(MAX_SIGNATURES);
    assert_eq!(open(&crowded), Err(NoteError::TooManySignatures(MAX_SIGNATURES + 1)));
}

#[test]
fn every_flipped_bit_of_a_checkpoint_is_refused() {
    let good = note();
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(bent) = String::from_utf8(bytes) {
            assert!(open(&bent).is_err(), "bit {bit}: {bent:?}");
        }
    }
}

/// Texts that their key did sign and that are no checkpoints.
#[test]
fn signed_texts_that_are_no_checkpoints_are_refused() {
    let key = key("box-17");
    let root = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    let signed = |text: &str| open(&format!("{text}\n{}", key.sign(text)));
    assert!(signed(&format!("box-17\n9\n{root}\n")).is_ok());
    for (defect, text) in [
        ("no origin", format!("\n9\n{root}\n")),
        ("a space in the origin", format!("box 17\n9\n{root}\n")),
        ("a leading zero", format!("box-17\n09\n{root}\n")),
        ("a sign", format!("box-17\n+9\n{root}\n")),
        ("no size", format!("box-17\n\n{root}\n")),
        ("a size beyond 64 bits", format!("box-17\n18446744073709551616\n{root}\n")),
        ("a short root", "box-17\n9\nBwcH\n".to_owned()),
        ("no root", "box-17\n9\n".to_owned()),
        ("a root with stray bits", format!("box-17\n9\n{}d=\n", &root[..42])),
        ("a root with a space behind it", format!("box-17\n9\n{root} \n")),
        ("an empty extension", format!("box-17\n9\n{root}\n\nx\n")),
    ] {
        assert!(signed(&text).is_err(), "{defect}");
    }
    assert!(matches!(signed(&format!("box-18\n9\n{root}\n")), Err(NoteError::Origin { .. })));
}

#[test]
fn unknown_signatures_are_passed_over_and_repeated_ones_refused() {
    let (edge, witness) = (key("box-17"), key("witness"));
    let text = Checkpoint::new("box-17", 9, [7; 32]).to_text();
    let both = format!("{text}\n{}{}", witness.sign(&text), edge.sign(&text));
    assert!(open(&both).is_ok());
    assert!(matches!(SignedCheckpoint::open_alone(&both, &edge.verifier()), Err(NoteError::Malformed(_))));
    let twice = format!("{text}\n{}{}", edge.sign(&text), edge.sign(&text));
    assert_eq!(open(&twice), Err(NoteError::SignedTwice("box-17".into())));
    // The same name with another key does not count.
    let stranger = SigningKey::from_seed("box-17", &[1; 32]).unwrap();
    let posed = format!("{text}\n{}", stranger.sign(&text));
    assert!(matches!(open(&posed), Err(NoteError::NotSigned { .. })));
}

#[test]
fn keys_survive_their_text_and_never_show_the_secret() {
    let key = SigningKey::generate("box-17", [3; 32]).unwrap();
    let secret = key.to_secret_text();
    assert!(secret.starts_with("PRIVATE+KEY+box-17+"));
    let again = SigningKey::parse(&secret).unwrap();
    assert_eq!(again.verifier(), key.verifier());
    assert_eq!(format!("{key:?}"), "SigningKey { name: \"box-17\", .. }");
    let public = key.verifier().to_string();
    assert_eq!(public.parse::<VerifyingKey>().unwrap(), key.verifier());

    for bent in [
        public.replace("box-17", "box-18"),
        public.replace('+', " "),
        format!("{public}\n"),
        public.to_uppercase(),
        secret.to_string(),
        String::new(),
    ] {
        assert!(VerifyingKey::parse(&bent).is_err(), "{bent}");
    }
    for bent in [secret.replace("box-17", "box-18"), secret[1..].to_owned(), public.clone()] {
        let error = SigningKey::parse(&bent).unwrap_err();
        assert!(!format!("{error:?} {error}").contains(secret.rsplit('+').next().unwrap()));
    }
    for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb", &"n".repeat(257)] {
        assert!(matches!(SigningKey::generate(name, [0; 32]), Err(NoteError::KeyName(_))), "{name:?}");
    }
}

#[test]
fn a_receipt_opens_with_both_keys_and_gives_the_time() {
    let (edge, auditor) = (key("box-17"), key("auditor"));
    let text = cosign(&note(), &auditor, 1_795_426_654).unwrap();
    assert!(text.starts_with(&note()), "the checkpoint stays as it was");
    let receipt = Receipt::open(&text, &edge.verifier(), &CosignerKey::of(&auditor)).unwrap();
    assert_eq!(receipt.time, 1_795_426_654);
    assert_eq!(receipt.checkpoint.size, 9);
    assert_eq!(receipt.text, text);
    // The signed message is the one that C2SP tlog-cosignature specifies.
    let message = format!("cosignature/v1\ntime 1795426654\n{}", receipt.checkpoint.to_text());
    let line = text.lines().last().unwrap();
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, line.rsplit(' ').next().unwrap());
    let bytes = bytes.unwrap();
    assert_eq!(bytes.len(), 4 + 8 + 64);
    assert_eq!(bytes[4..12], 1_795_426_654_u64.to_be_bytes());
    let public = ed25519_dalek::VerifyingKey::from_bytes(auditor.verifier().as_bytes()).unwrap();
    let signature = ed25519_dalek::Signature::from_bytes(bytes[12..].try_into().unwrap());
    assert!(public.verify_strict(message.as_bytes(), &signature).is_ok());
}

#[test]
fn bent_receipts_are_refused() {
    let (edge, auditor, other) = (key("box-17").verifier(), key("auditor"), key("other"));
    let cosigner = CosignerKey::of(&auditor);
    let good = cosign(&note(), &auditor, 5).unwrap();
    assert!(Receipt::open(&good, &edge, &cosigner).is_ok());
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(bent) = String::from_utf8(bytes) {
            assert!(Receipt::open(&bent, &edge, &cosigner).is_err(), "bit {bit}: {bent:?}");
        }
    }
    assert!(matches!(Receipt::open(&note(), &edge, &cosigner), Err(NoteError::NotSigned { .. })));
    assert!(Receipt::open(&good, &edge, &CosignerKey::of(&other)).is_err());
    assert!(Receipt::open(&good, &other.verifier(), &cosigner).is_err());
    // The auditor's plain signature, which says nothing about a time, is no cosignature.
    let text = Checkpoint::new("box-17", 9, [7; 32]).to_text();
    let plain = note() + &auditor.sign(&text);
    assert!(matches!(Receipt::open(&plain, &edge, &cosigner), Err(NoteError::NotSigned { .. })));
    // A cosignature of another checkpoint of the box, under this one.
    let elsewhere = cosign(&Checkpoint::new("box-17", 8, [7; 32]).sign(&key("box-17")), &auditor, 5).unwrap();
    let grafted = note() + elsewhere.lines().last().unwrap() + "\n";
    assert_eq!(Receipt::open(&grafted, &edge, &cosigner), Err(NoteError::Signature("auditor".into())));
}

#[test]
fn cosigning_refuses_what_is_no_checkpoint_a_second_time_and_the_far_future() {
    let auditor = key("auditor");
    let once = cosign(&note(), &auditor, i64::MAX.unsigned_abs()).unwrap();
    assert_eq!(cosign(&once, &auditor, 6), Err(NoteError::SignedTwice("auditor".into())));
    assert!(cosign(&once, &key("second"), 6).is_ok());
    assert_eq!(cosign(&note(), &auditor, 1 << 63), Err(NoteError::Time(1 << 63)));
    let text = "hello\n";
    assert!(cosign(&format!("{text}\n{}", auditor.sign(text)), &auditor, 6).is_err());
    assert!(cosign("", &auditor, 6).is_err());
}

#[test]
fn cosigner_keys_are_of_their_own_type() {
    let auditor = key("auditor");
    let (signer, cosigner) = (auditor.verifier(), CosignerKey::of(&auditor));
    assert_ne!(signer.key_id(), cosigner.key_id());
    assert_eq!(signer.as_bytes(), cosigner.as_bytes());
    assert_eq!(cosigner.to_string().parse::<CosignerKey>().unwrap(), cosigner);
    assert_eq!(CosignerKey::parse(&signer.to_string()), Err(NoteError::Key("of another signature type")));
    assert_eq!(VerifyingKey::parse(&cosigner.to_string()), Err(NoteError::Key("of another signature type")));
}

fn bundle(index: u64, size: u64) -> Bundle {
    let segment = segment(&key("box-17"), 0, size);
    let tree = NaiveTree { leaves: segment.entries.iter().map(|entry| leaf_hash(entry)).collect() };
    Bundle {
        entry: Some(segment.entries[usize::try_from(index).unwrap()].clone()),
        index,
        proof: inclusion_proof(&tree, index, size).unwrap(),
        checkpoint: segment.checkpoint,
    }
}

#[test]
fn a_bundle_survives_its_text_and_proves_its_entry() {
    let verifier = key("box-17").verifier();
    for (index, size) in [(0, 1), (0, 2), (4, 7), (6, 7), (9, 100)] {
        let bundle = bundle(index, size);
        let text = bundle.encode();
        assert_eq!(Bundle::parse(&text).unwrap(), bundle);
        let verified = bundle.verify(&verifier).unwrap();
        assert_eq!(Some(&verified.entry), bundle.entry.as_ref());
        assert_eq!((verified.index, verified.checkpoint.checkpoint.size), (index, size));

        // The entry may be left out, if whoever verifies has it.
        let entry = bundle.entry.clone().unwrap();
        let bare = Bundle { entry: None, ..bundle.clone() };
        assert_eq!(Bundle::parse(&bare.encode()).unwrap(), bare);
        assert_eq!(bare.verify(&verifier), Err(BundleError::NoEntry));
        assert!(bare.verify_entry(&entry, &verifier).is_ok());
        assert_eq!(bare.verify_entry(b"another", &verifier), Err(BundleError::Proof(ProofError::Root)));
        assert_eq!(bundle.verify_entry(b"another", &verifier), Err(BundleError::OtherEntry));
        // Cosignatures are welcome.
        let receipt = cosign(&bundle.checkpoint, &key("auditor"), 5).unwrap();
        let cosigned = Bundle { checkpoint: receipt, ..bundle };
        assert!(Bundle::parse(&cosigned.encode()).unwrap().verify(&verifier).is_ok());
    }
}

#[test]
fn every_flipped_bit_of_a_bundle_is_refused() {
    let verifier = key("box-17").verifier();
    let good = bundle(2, 5).encode();
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(bent) = String::from_utf8(bytes) {
            let result = Bundle::parse(&bent).and_then(|bundle| bundle.verify(&verifier));
            assert!(result.is_err(), "bit {bit}: {bent:?}");
        }
    }
}

#[test]
fn malformed_bundles_are_refused() {
    let good = bundle(2, 5).encode();
    let hash = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";
    for (defect, bent) in [
        ("empty", String::new()),
        ("another version", good.replace("@v1", "@v2")),
        ("no index", good.replace("index 2\n", "")),
        ("a leading zero", good.replace("index 2\n", "index 02\n")),
        ("another index", good.replace("index 2\n", "index 3\n")),
        ("two indexes", good.replace("index 2\n", "index 2\nindex 2\n")),
        ("two entries", good.replace("extra ", "extra AAAA\nextra ")),
        ("an entry of white space", good.replace("extra ", "extra  ")),
        ("carriage returns", good.replace('\n', "\r\n")),
        ("one hash too many", good.replace("index 2\n", &format!("index 2\n{hash}"))),
        ("no empty line", good.replacen("\n\n", "\n", 1)),
        ("two empty lines", good.replacen("\n\n", "\n\n\n", 1)),
        ("more hashes than levels", good.replace("index 2\n", &format!("index 2\n{}", hash.repeat(65)))),
        ("something behind it", format!("{good}x")),
    ] {
        let result = Bundle::parse(&bent).and_then(|bundle| bundle.verify(&key("box-17").verifier()));
        assert!(result.is_err(), "{defect}");
    }
    assert_eq!(Bundle::parse(&"x".repeat(MAX_BUNDLE_BYTES + 1)), Err(BundleError::TooLarge(MAX_BUNDLE_BYTES + 1)));
    assert!(matches!(
        Bundle::parse(&good.replace("index 2\n", &format!("index 2\n{}", hash.repeat(65)))),
        Err(BundleError::Line { reason: "more hashes than a tree has levels", .. })
    ));
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>(), lines in proptest::collection::vec("[ -~—\n]{0,20}", 0..8)) {
        for text in [text, lines.join("\n")] {
            let _ = open(&text);
            let _ = checkpoint::peek(&text);
            let _ = Bundle::parse(&text);
            let _ = VerifyingKey::parse(&text);
            let _ = cosign(&text, &key("auditor"), 1);
        }
    }
}
