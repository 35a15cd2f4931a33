//! Signatures over components, right, wrong, and wrong by one bit.

use super::*;
use crate::config::{Key, Rule, Trust, TrustedKey, Unsigned};
use picket_ledger::SigningKey;
use picket_ledger::hash::sha256;

/// No component, and so without declared limits: what is verified here knows nothing of WebAssembly.
fn component() -> Vec<u8> {
    (0..1500_u32).flat_map(u32::to_le_bytes).collect()
}

fn key(name: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, &[seed; 32]).unwrap()
}

fn statement(bytes: &[u8]) -> String {
    let statement = Statement {
        component: sha256(bytes),
        size: bytes.len() as u64,
        world: "validator".into(),
        name: "g".into(),
        version: "1.0.0".into(),
        descriptor: [2; 32],
        settings_schema: [3; 32],
        limits: picket_engine::Declared::default(),
    };
    statement.to_text()
}

fn note(bytes: &[u8], keys: &[&SigningKey]) -> Signatures {
    let text = statement(bytes);
    let lines: String = keys.iter().map(|key| key.sign(&text)).collect();
    Signatures { note: Some(format!("{text}\n{lines}")), cosign: None }
}

fn trust(keys: &[&SigningKey], any_of: &[&str], all_of: &[&str]) -> Trust {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let trusted = |key: &&SigningKey| TrustedKey { name: key.name().to_owned(), key: Key::Note(key.verifier()) };
    Trust {
        keys: keys.iter().map(trusted).collect(),
        rules: vec![Rule { guards: None, any_of: names(any_of), all_of: names(all_of) }],
        ..Trust::default()
    }
}

#[test]
fn every_flipped_bit_of_a_signature_file_is_refused() {
    let (a, bytes) = (key("a", 1), component());
    let trust = Trust { unsigned: Unsigned::Allow, ..trust(&[&a], &["a"], &[]) };
    let good = note(&bytes, &[&a]);
    assert_eq!(vouch(&trust, "g", &bytes, &good, &List::default()).unwrap().signers(), [a.verifier().name_and_id()]);
    let file = good.note.unwrap().into_bytes();
    for bit in 0..file.len() * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // What is no text is refused where the file is read.
        let Ok(text) = String::from_utf8(flipped) else { continue };
        let signatures = Signatures { note: Some(text), cosign: None };
        assert!(vouch(&trust, "g", &bytes, &signatures, &List::default()).is_err(), "bit {bit}");
    }
}

#[test]
fn every_flipped_bit_of_the_first_kilobytes_of_a_component_is_refused() {
    let (a, bytes) = (key("a", 1), component());
    let trust = Trust { unsigned: Unsigned::Allow, ..trust(&[&a], &["a"], &[]) };
    let good = note(&bytes, &[&a]);
    let mut flipped = bytes;
    for bit in 0..2048 * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        let refused = vouch(&trust, "g", &flipped, &good, &List::default());
        assert!(matches!(refused, Err(Refusal::OtherComponent { .. })), "bit {bit}");
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn rules_want_any_or_all_or_both() {
    let (a, b, c) = (key("a", 1), key("b", 2), key("c", 3));
    let all = [&a, &b, &c];
    let bytes = component();
    let met = |any: &[&str], all_of: &[&str], by: &[&SigningKey]| {
        vouch(&trust(&all, any, all_of), "g", &bytes, &note(&bytes, by), &List::default()).is_ok()
    };
    assert!(met(&["a", "b"], &[], &[&b]) && !met(&["a", "b"], &[], &[&c]));
    assert!(met(&[], &["a", "b"], &[&b, &a]) && !met(&[], &["a", "b"], &[&a]));
    assert!(met(&["b", "c"], &["a"], &[&a, &c]) && !met(&["b", "c"], &["a"], &[&b, &c]));
    assert!(!met(&["b", "c"], &["a"], &[&a]));
}

#[test]
fn a_key_that_nobody_knows_counts_for_nothing_and_a_known_one_that_does_not_verify_is_refused() {
    let (a, b, bytes) = (key("a", 1), key("b", 2), component());
    let trust = trust(&[&a], &["a"], &[]);
    let ask = |signatures: &Signatures| vouch(&trust, "g", &bytes, signatures, &List::default());
    assert!(matches!(ask(&note(&bytes, &[&b])), Err(Refusal::Strangers(who)) if who == [b.verifier().name_and_id()]));
    assert_eq!(ask(&note(&bytes, &[&b, &a])).unwrap().signers(), [a.verifier().name_and_id()]);
    // The same name is another key.
    assert!(matches!(ask(&note(&bytes, &[&key("a", 9)])), Err(Refusal::Strangers(_))));
    let text = statement(&bytes);
    let forged = format!("{text}\n{}", a.sign(&text.replace("1.0.0", "2.0.0")));
    assert!(matches!(ask(&Signatures { note: Some(forged), cosign: None }), Err(Refusal::Forged(_))));
}

#[test]
fn a_list_strikes_a_guard_when_too_few_of_its_signers_are_left() {
    let (a, b, bytes) = (key("a", 1), key("b", 2), component());
    let signed = note(&bytes, &[&a, &b]);
    let list = |key: &SigningKey| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!("[[key]]\nkey = \"{}\"\nreason = \"lost\"\n", key.verifier().name_and_id());
        std::fs::write(file.path(), text).unwrap();
        List::read(file.path()).unwrap()
    };
    let (any, all) = (trust(&[&a, &b], &["a", "b"], &[]), trust(&[&a, &b], &[], &["a", "b"]));
    let vouched = vouch(&any, "g", &bytes, &signed, &list(&a)).unwrap();
    assert_eq!(vouched.signers(), [b.verifier().name_and_id()]);
    assert!(
        matches!(vouch(&all, "g", &bytes, &signed, &list(&a)), Err(Refusal::RevokedKey { reason, .. }) if reason == "lost")
    );
    let revocations = Revocations::default();
    let vouched = vouch(&all, "g", &bytes, &signed, &List::default()).unwrap();
    let standing = revocations.watch("g", [0; 32], vouched.clone());
    assert_eq!(revocations.apply(list(&b)).len(), 1);
    assert!(standing.revoked().unwrap().contains("lost"));
    // Once and for all, and told once; and whoever comes after the list is struck as well.
    assert!(revocations.apply(list(&b)).is_empty());
    assert!(revocations.watch("g", [0; 32], vouched.clone()).revoked().is_some());
    assert!(revocations.apply(List::default()).is_empty() && standing.revoked().is_some());
    assert!(revocations.watch("g", [0; 32], vouched).revoked().is_none());
}
