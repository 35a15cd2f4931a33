//! Epochs of keys: each key speaks for its own entries, and for nothing else.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use picket_ledger::bundle::{Bundle, BundleError};
use picket_ledger::entry::{Body, Heartbeat, KeyRotation};
use picket_ledger::hash::{leaf_hash, sha256};
use picket_ledger::keychain::{MAX_CHAIN_BYTES, MAX_EPOCHS, hand_over_bundle};
use picket_ledger::segment::{SegmentError, SegmentRef};
use picket_ledger::tree::CompactRange;
use picket_ledger::{Checkpoint, KeyChain, KeyChainError, NoteError, Segment, SigningKey};

fn epoch_key(epoch: u64) -> SigningKey {
    SigningKey::from_seed("box-17", &sha256(format!("epoch {epoch}").as_bytes())).unwrap()
}

fn heartbeat(index: u64) -> Vec<u8> {
    common::entry(index, Body::Heartbeat(Heartbeat { next_invocation: index })).encode().unwrap()
}

/// A log of heartbeats in which the entries at `hand_overs` are rotations.
struct Log {
    entries: Vec<Vec<u8>>,
}

impl Log {
    fn new(size: u64, hand_overs: &[u64]) -> Self {
        let entries = (0..size).map(|index| match hand_overs.iter().position(|at| *at == index) {
            None => heartbeat(index),
            Some(epoch) => {
                let epoch = epoch as u64;
                let (old, new) = (epoch_key(epoch).verifier(), epoch_key(epoch + 1));
                rotation(index, KeyRotation::new(epoch + 1, index, &old, &new))
            }
        });
        Self { entries: entries.collect() }
    }

    fn tree(&self, size: u64) -> CompactRange {
        let mut tree = CompactRange::new();
        for entry in &self.entries[..usize::try_from(size).unwrap()] {
            tree.push(leaf_hash(entry));
        }
        tree
    }

    fn checkpoint(&self, size: u64, key: &SigningKey) -> String {
        Checkpoint::new("box-17", size, self.tree(size).root()).sign(key)
    }

    fn segment(&self, first: u64, end: u64, key: &SigningKey) -> Vec<u8> {
        let range = usize::try_from(first).unwrap()..usize::try_from(end).unwrap();
        Segment {
            origin: "box-17".into(),
            first,
            frontier: self.tree(first).peaks().to_vec(),
            entries: self.entries[range].to_vec(),
            checkpoint: self.checkpoint(end, key),
        }
        .encode()
        .unwrap()
    }

    /// The proof of entry `index` in the tree of `size`, under a checkpoint by `key`.
    fn bundle(&self, index: u64, size: u64, key: &SigningKey) -> Bundle {
        let leaves: Vec<_> = self.entries.iter().take(usize::try_from(size).unwrap()).map(|e| leaf_hash(e)).collect();
        let at = usize::try_from(index).unwrap();
        let proof = common::NaiveTree::path(at, &leaves);
        Bundle { entry: Some(self.entries[at].clone()), index, proof, checkpoint: self.checkpoint(size, key) }
    }

    /// The hand-over whose rotation entry stands at `index`, signed by the key of `epoch`.
    fn hand_over(&self, index: u64, epoch: u64) -> Bundle {
        let entry = self.entries[usize::try_from(index).unwrap()].clone();
        hand_over_bundle(entry, &self.tree(index), self.checkpoint(index + 1, &epoch_key(epoch)))
    }
}

fn rotation(index: u64, rotation: KeyRotation) -> Vec<u8> {
    common::entry(index, Body::KeyRotation(rotation)).encode().unwrap()
}

/// Hand-overs at 4, 5 and 299: epochs of 5, 1 and 294 entries, and an open one.
fn three() -> (Log, KeyChain) {
    let log = Log::new(310, &[4, 5, 299]);
    let mut chain = KeyChain::new(epoch_key(0).verifier());
    for (epoch, index) in [4, 5, 299].into_iter().enumerate() {
        chain.learn(&log.hand_over(index, epoch as u64)).unwrap();
    }
    (log, chain)
}

/// The chain that a single hand-over at entry 4 of a log would give.
fn learnt(log: &Log) -> Result<KeyChain, KeyChainError> {
    let mut chain = KeyChain::new(epoch_key(0).verifier());
    chain.learn(&log.hand_over(4, 0)).map(|()| chain)
}

#[test]
fn a_chain_of_several_epochs_gives_each_key_its_range() {
    let (_, chain) = three();
    let ranges: Vec<_> = chain.epochs().iter().map(|epoch| (epoch.number, epoch.start, epoch.end)).collect();
    assert_eq!(ranges, [(0, 0, Some(5)), (1, 5, Some(6)), (2, 6, Some(300)), (3, 300, None)]);
    assert_eq!(chain.current(), &epoch_key(3).verifier());
    for (first, size, epoch) in [(0, 1, 0), (0, 5, 0), (5, 6, 1), (6, 300, 2), (299, 300, 2), (300, u64::MAX, 3)] {
        assert_eq!(chain.key_for(first, size).unwrap(), &epoch_key(epoch).verifier(), "{first} {size}");
    }
    for (first, size) in [(0, 6), (4, 6), (5, 7), (299, 301), (0, u64::MAX)] {
        assert!(matches!(chain.key_for(first, size), Err(KeyChainError::Spans { .. })), "{first} {size}");
    }
    assert_eq!(chain.key_for(7, 7), Err(KeyChainError::Empty { first: 7, size: 7 }));
    for (size, epoch) in [(0, 0), (1, 0), (5, 0), (6, 1), (7, 2), (300, 2), (301, 3)] {
        assert_eq!(chain.key_at(size), &epoch_key(epoch).verifier(), "{size}");
    }
}

#[test]
fn segments_are_held_against_the_key_of_their_range_and_teach_hand_overs() {
    let (log, known) = three();
    let mut chain = KeyChain::new(epoch_key(0).verifier());
    for (first, end, epoch, teaches) in [
        (0, 3, 0, false),
        (3, 5, 0, true),
        (5, 6, 1, true),
        (6, 256, 2, false),
        (256, 300, 2, true),
        (300, 310, 3, false),
    ] {
        let bytes = log.segment(first, end, &epoch_key(epoch));
        let segment = SegmentRef::parse(&bytes).unwrap();
        let verified = chain.verify_segment(&segment).unwrap();
        assert_eq!(chain.learn_segment(&segment, &verified).unwrap(), teaches, "{first}");
        // Seen again it teaches nothing, and it holds under the whole chain too.
        assert!(!chain.learn_segment(&segment, &verified).unwrap());
        assert_eq!(known.verify_segment(&segment).unwrap(), verified);
    }
    assert_eq!(chain, known);
}

#[test]
fn a_hand_over_that_is_not_last_is_refused() {
    let log = Log::new(10, &[4]);
    let mut chain = KeyChain::new(epoch_key(0).verifier());
    assert_eq!(chain.learn(&log.bundle(4, 7, &epoch_key(0))), Err(KeyChainError::NotLast { index: 4, size: 7 }));
    // Nor may a segment have one inside.
    let bytes = log.segment(2, 7, &epoch_key(0));
    assert_eq!(chain.verify_segment(&SegmentRef::parse(&bytes).unwrap()), Err(KeyChainError::Inside { index: 4 }));
}

#[test]
fn a_new_key_without_proof_of_possession_is_refused() {
    let old = epoch_key(0).verifier();
    let good = KeyRotation::new(1, 4, &old, &epoch_key(1));
    assert_eq!(good.verify(4, &old).unwrap(), epoch_key(1).verifier());
    let stranger = KeyRotation::new(1, 4, &old, &epoch_key(2));
    let bad = [
        KeyRotation { possession: stranger.possession, ..good.clone() },
        KeyRotation { possession: [0; 64], ..good.clone() },
        // Made for another place, another predecessor, another epoch.
        KeyRotation::new(1, 5, &old, &epoch_key(1)),
        KeyRotation::new(1, 4, &epoch_key(7).verifier(), &epoch_key(1)),
        KeyRotation { epoch: 1, ..KeyRotation::new(2, 4, &old, &epoch_key(1)) },
    ];
    for (number, bad) in bad.into_iter().enumerate() {
        let mut log = Log::new(5, &[]);
        log.entries[4] = rotation(4, bad);
        assert!(
            matches!(learnt(&log), Err(KeyChainError::Rotation { index: 4, source: NoteError::Signature(_) })),
            "{number}: {:?}",
            learnt(&log)
        );
    }
}

#[test]
fn a_key_of_another_name_or_none_at_all_is_refused() {
    let old = epoch_key(0).verifier();
    let mut log = Log::new(5, &[]);
    log.entries[4] = rotation(4, KeyRotation::new(1, 4, &old, &common::key("box-18")));
    assert!(matches!(learnt(&log), Err(KeyChainError::Rotation { source: NoteError::Origin { .. }, .. })));
    log.entries[4] = rotation(4, KeyRotation { epoch: 1, key: "box-17+00".into(), possession: [0; 64] });
    assert!(matches!(learnt(&log), Err(KeyChainError::Rotation { source: NoteError::Key(_), .. })));
}

#[test]
fn a_skipped_or_repeated_epoch_and_a_key_used_before_are_refused() {
    let old = epoch_key(0).verifier();
    for found in [0, 2, u64::MAX] {
        let mut log = Log::new(5, &[]);
        log.entries[4] = rotation(4, KeyRotation::new(found, 4, &old, &epoch_key(1)));
        assert_eq!(learnt(&log), Err(KeyChainError::Epoch { index: 4, expected: 1, found }));
    }
    let mut log = Log::new(5, &[]);
    log.entries[4] = rotation(4, KeyRotation::new(1, 4, &old, &epoch_key(0)));
    assert_eq!(learnt(&log), Err(KeyChainError::Reused { index: 4 }));
}

#[test]
fn an_entry_that_is_no_rotation_or_stands_elsewhere_is_refused() {
    assert_eq!(learnt(&Log::new(5, &[])), Err(KeyChainError::NotRotation { index: 4 }));
    let mut log = Log::new(6, &[5]);
    log.entries.remove(0);
    assert_eq!(learnt(&log), Err(KeyChainError::NotRotation { index: 4 }));
}

#[test]
fn a_hand_over_that_the_old_key_did_not_sign_is_refused() {
    let log = Log::new(10, &[4]);
    let mut chain = KeyChain::new(epoch_key(0).verifier());
    // By the new key, which cannot bring itself in.
    let error = chain.learn(&log.hand_over(4, 1)).unwrap_err();
    assert!(
        matches!(error, KeyChainError::Bundle { epoch: 0, source: BundleError::Note(NoteError::NotSigned { .. }), .. }),
        "{error:?}"
    );
    // A second hand-over by the old key, which speaks no more.
    chain.learn(&log.hand_over(4, 0)).unwrap();
    let second = Log::new(10, &[4, 8]);
    let error = chain.clone().learn(&second.hand_over(8, 0)).unwrap_err();
    assert!(matches!(error, KeyChainError::Bundle { epoch: 1, .. }), "{error:?}");
    assert_eq!(chain.learn(&log.hand_over(4, 0)), Err(KeyChainError::Before { index: 4, start: 5 }));
    chain.learn(&second.hand_over(8, 1)).unwrap();
}

/// The thief's first idea: the present key under the past.
#[test]
fn a_checkpoint_by_the_new_key_says_nothing_about_old_entries() {
    let (log, chain) = three();
    for (index, size, key) in [(2, 310, 3), (2, 6, 1), (298, 305, 3)] {
        let error = chain.verify_bundle(&log.bundle(index, size, &epoch_key(key))).unwrap_err();
        assert!(matches!(error, KeyChainError::Spans { first, .. } if first == index), "{error:?}");
        assert!(error.to_string().contains(&format!("cannot vouch for entry {index}")), "{error}");
    }
    // Of a size inside of the old range, by the new key.
    let error = chain.verify_bundle(&log.bundle(2, 4, &epoch_key(3))).unwrap_err();
    assert!(matches!(error, KeyChainError::Bundle { epoch: 0, source: BundleError::Note(_), .. }), "{error:?}");
    let bytes = log.segment(1, 4, &epoch_key(3));
    let error = chain.verify_segment(&SegmentRef::parse(&bytes).unwrap()).unwrap_err();
    assert!(
        matches!(
            error,
            KeyChainError::Segment { epoch: 0, source: SegmentError::Note(NoteError::NotSigned { .. }), .. }
        ),
        "{error:?}"
    );
    // The same entries under checkpoints of their own epochs.
    for (index, size, key) in [(2, 3, 0), (2, 5, 0), (5, 6, 1), (298, 300, 2), (305, 310, 3)] {
        assert_eq!(chain.verify_bundle(&log.bundle(index, size, &epoch_key(key))).unwrap().index, index);
    }
    assert!(chain.open(&log.checkpoint(300, &epoch_key(2))).is_ok());
    assert!(chain.open(&log.checkpoint(300, &epoch_key(3))).is_err());
    assert!(chain.open(&log.checkpoint(301, &epoch_key(2))).is_err());
}

#[test]
fn a_segment_that_spans_a_hand_over_is_refused() {
    let (log, chain) = three();
    for (first, end, key) in [(0, 6, 0), (0, 6, 1), (4, 7, 2), (290, 301, 3)] {
        let bytes = log.segment(first, end, &epoch_key(key));
        let error = chain.verify_segment(&SegmentRef::parse(&bytes).unwrap()).unwrap_err();
        assert!(matches!(error, KeyChainError::Spans { .. }), "{first} {end}: {error:?}");
    }
}

/// The thief's second idea: a new past below the present epoch.
#[test]
fn an_epoch_that_starts_on_another_past_is_refused() {
    let (log, chain) = three();
    let mut forged = Log { entries: log.entries };
    forged.entries[2] = heartbeat(99);
    let bytes = forged.segment(300, 310, &epoch_key(3));
    let segment = SegmentRef::parse(&bytes).unwrap();
    assert_eq!(chain.verify_segment(&segment), Err(KeyChainError::Past { first: 300 }));
}

#[test]
fn a_rotation_where_the_chain_knows_of_none_is_refused() {
    let (mut log, chain) = three();
    log.entries[199] = rotation(199, KeyRotation::new(3, 199, &epoch_key(2).verifier(), &epoch_key(9)));
    let bytes = log.segment(6, 200, &epoch_key(2));
    let segment = SegmentRef::parse(&bytes).unwrap();
    assert_eq!(chain.verify_segment(&segment), Err(KeyChainError::Inside { index: 199 }));
}

#[test]
fn the_text_of_a_chain_reads_back_as_the_same_chain() {
    let first = epoch_key(0).verifier();
    let (_, chain) = three();
    let text = chain.to_text();
    assert!(text.starts_with(&format!("{first}\nc2sp.org/tlog-proof@v1\nextra ")));
    assert_eq!(KeyChain::parse(&text, &first).unwrap(), chain);
    assert_eq!(KeyChain::peek_first(&text).unwrap(), first);
    let alone = KeyChain::new(first.clone());
    assert_eq!(KeyChain::parse(&alone.to_text(), &first).unwrap(), alone);
}

#[test]
fn a_chain_that_starts_with_another_key_is_refused() {
    let (_, chain) = three();
    let error = KeyChain::parse(&chain.to_text(), &epoch_key(1).verifier()).unwrap_err();
    assert!(matches!(error, KeyChainError::FirstKey { .. }), "{error:?}");
}

#[test]
fn every_bent_byte_cut_and_reordering_of_the_text_is_refused() {
    let first = epoch_key(0).verifier();
    let log = Log::new(12, &[4, 9]);
    let mut chain = learnt(&log).unwrap();
    chain.learn(&log.hand_over(9, 1)).unwrap();
    let text = chain.to_text();
    for place in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[place] ^= 1;
        let Ok(bent) = String::from_utf8(bytes) else { continue };
        assert!(KeyChain::parse(&bent, &first).is_err(), "{place}: {:?}", &text[place..place + 1]);
    }
    let hand_overs: Vec<&str> = text.split("c2sp.org/tlog-proof@v1\n").collect();
    assert_eq!(hand_overs.len(), 3);
    for length in (0..text.len()).filter(|length| text.is_char_boundary(*length)) {
        // A chain that ends early at a hand-over is an older chain: good, and short.
        let shorter = KeyChain::parse(&text[..length], &first);
        assert!(shorter.is_err() || text[length..].starts_with("c2sp.org/"), "cut at {length}");
    }
    let header = "c2sp.org/tlog-proof@v1\n";
    let swapped = [hand_overs[0], header, hand_overs[2], header, hand_overs[1]].concat();
    assert!(KeyChain::parse(&swapped, &first).is_err());
    let skipped = [hand_overs[0], header, hand_overs[2]].concat();
    assert!(KeyChain::parse(&skipped, &first).is_err());
    let twice = [hand_overs[0], header, hand_overs[1], header, hand_overs[1]].concat();
    assert!(matches!(KeyChain::parse(&twice, &first), Err(KeyChainError::Before { .. })));
    for (text, line) in
        [(format!("{first}\n\n"), 2), (format!("{text}rubbish\n"), 0), (format!("{first}\nx\n{text}"), 2)]
    {
        let error = KeyChain::parse(&text, &first).unwrap_err();
        if line > 0 {
            assert!(matches!(error, KeyChainError::HandOver { line: at, .. } if at == line), "{error:?}");
        }
    }
    assert!(matches!(KeyChain::parse("", &first), Err(KeyChainError::Text { line: 1, .. })));
}

#[test]
fn the_limits_of_a_chain_are_enforced_before_anything_is_verified() {
    let first = epoch_key(0).verifier();
    let large = format!("{first}\n{}", "x".repeat(MAX_CHAIN_BYTES));
    assert!(matches!(KeyChain::parse(&large, &first), Err(KeyChainError::TooLarge(_))));
    let many = format!("{first}\n{}", "c2sp.org/tlog-proof@v1\n".repeat(MAX_EPOCHS));
    assert_eq!(KeyChain::parse(&many, &first), Err(KeyChainError::TooMany));
}
