//! Signed notes: checkpoints, receipts and keys.

use picket_ledger::checkpoint::{self, SignedCheckpoint};
use picket_ledger::receipt::{CosignerKey, Receipt, cosign};
use picket_ledger::{NoteError, VerifyingKey};

use super::seeds::{BOX, signer};

/// Any bytes as a note, or as a key.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    keys(text);
    let stranger = signer(BOX).expect("a name").verifier();
    let opened = SignedCheckpoint::open(text, &stranger);
    let Ok(peeked) = checkpoint::peek(text) else {
        assert!(opened.is_err(), "what cannot be read cannot hold");
        return;
    };
    // The text of a checkpoint has one form, and stands before the last empty line.
    let signed = peeked.to_text();
    assert!(text.starts_with(&format!("{signed}\n— ")), "{text:?}");
    if let Ok(opened) = opened {
        assert_eq!((opened.checkpoint, opened.text.as_str()), (peeked.clone(), text));
    }

    // Signed by us it holds, alone and with the auditor's cosignature; another text under that signature does not.
    let key = signer(&peeked.origin).expect("an origin is a key name");
    let note = peeked.sign(&key);
    let opened = SignedCheckpoint::open_alone(&note, &key.verifier()).expect("what we sign holds");
    assert_eq!(opened.checkpoint, peeked);
    let auditor = signer("auditor").expect("a name");
    let receipt = cosign(&note, &auditor, 1_795_426_654).expect("a checkpoint can be cosigned");
    let read = Receipt::open(&receipt, &key.verifier(), &CosignerKey::of(&auditor)).expect("a receipt holds");
    assert_eq!((read.checkpoint, read.time), (peeked.clone(), 1_795_426_654));
    assert!(SignedCheckpoint::open_alone(&receipt, &key.verifier()).is_err(), "two signatures are not alone");
    // Behind a signature of ours, the lines of the input are those of unknown keys, or ours a second time.
    let both = format!("{signed}\n{}{}", key.sign(&signed), &text[signed.len() + 1..]);
    match SignedCheckpoint::open(&both, &key.verifier()) {
        Ok(opened) => assert_eq!(opened.checkpoint, peeked),
        Err(NoteError::SignedTwice(_) | NoteError::TooManySignatures(_) | NoteError::TooLong(_)) => (),
        Err(error) => panic!("{error}: {both:?}"),
    }
    let other = format!("{signed}extension\n\n{}", key.sign(&signed));
    assert_eq!(
        SignedCheckpoint::open(&other, &key.verifier()),
        Err(NoteError::Signature(key.name().to_owned())),
        "a line was added"
    );
}

fn keys(text: &str) {
    if let Ok(key) = VerifyingKey::parse(text) {
        assert_eq!(key.to_string(), text, "a key has one form");
    }
    if let Ok(key) = CosignerKey::parse(text) {
        assert_eq!(key.to_string(), text, "a key has one form");
    }
}
