//! Segments: what is bound, what is refused, and that not one bit can change.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{entry, key, segment};
use picket_ledger::checkpoint::Checkpoint;
use picket_ledger::entry::{Body, Heartbeat, MAX_ENTRY_BYTES};
use picket_ledger::hash::{empty_root, leaf_hash};
use picket_ledger::note::NoteError;
use picket_ledger::segment::{MAX_SEGMENT_ENTRIES, Segment, SegmentError, SegmentRef};
use picket_ledger::tree::CompactRange;

#[test]
fn a_segment_survives_the_round_trip_and_verifies() {
    let key = key("box-17");
    for (first, count) in [(0, 1), (0, 8), (1, 1), (3, 5), (64, 3), (127, 130)] {
        let segment = segment(&key, first, count);
        let bytes = segment.encode().unwrap();
        assert_eq!(Segment::decode(&bytes).unwrap(), segment);
        let borrowed = SegmentRef::parse(&bytes).unwrap();
        assert_eq!(borrowed.to_owned(), segment);

        let verified = segment.verify(&key.verifier()).unwrap();
        assert_eq!(verified, borrowed.verify(&key.verifier()).unwrap());
        assert_eq!(verified.size_before, first);
        assert_eq!(verified.checkpoint.checkpoint.size, first + count);
        assert_eq!(verified.checkpoint.text, segment.checkpoint);
        assert_eq!(verified.after.root(), verified.checkpoint.checkpoint.root);
        let places: Vec<u64> = segment.decode_entries().unwrap().iter().map(|entry| entry.index).collect();
        assert_eq!(places, (first..first + count).collect::<Vec<_>>());
    }
}

#[test]
fn segments_join_by_the_root_before_and_the_frontier_after() {
    let key = key("box-17");
    let verify = |first, count| segment(&key, first, count).verify(&key.verifier()).unwrap();
    let (one, two, three) = (verify(0, 5), verify(5, 6), verify(11, 1));
    assert_eq!(one.root_before, empty_root());
    assert_eq!(two.root_before, one.checkpoint.checkpoint.root);
    assert_eq!(three.root_before, two.after.root());
    assert_eq!(two.after.peaks(), segment(&key, 11, 1).frontier);
}

/// The whole point: one flipped bit anywhere, and the segment is refused.
#[test]
fn every_flipped_bit_is_refused() {
    let key = key("b");
    let verifier = key.verifier();
    for (first, count) in [(0, 2), (5, 3)] {
        let bytes = segment(&key, first, count).encode().unwrap();
        let holds = |bytes: &[u8]| SegmentRef::parse(bytes).and_then(|segment| segment.verify(&verifier)).is_ok();
        assert!(holds(&bytes));
        let passed: Vec<(usize, u8)> = (0..bytes.len())
            .flat_map(|byte| (0..8).map(move |bit| (byte, bit)))
            .filter(|(byte, bit)| {
                let mut bent = bytes.clone();
                bent[*byte] ^= 1 << bit;
                holds(&bent)
            })
            .collect();
        assert!(passed.is_empty(), "of {} bits these may be flipped: {passed:?}", bytes.len() * 8);
        for length in 0..bytes.len() {
            assert!(!holds(&bytes[..length]), "cut to {length}");
        }
        for byte in 0..=255 {
            assert!(!holds(&[&bytes[..], &[byte]].concat()), "{byte:#x} behind it");
        }
    }
}

#[test]
fn altered_segments_are_refused_for_what_was_altered() {
    let key = key("box-17");
    let good = segment(&key, 5, 4);
    let refusal = |change: &dyn Fn(&mut Segment)| {
        let mut bent = good.clone();
        change(&mut bent);
        bent.verify(&key.verifier()).unwrap_err()
    };
    assert_eq!(refusal(&|bent| bent.entries.swap(0, 1)), SegmentError::Root);
    assert_eq!(refusal(&|bent| bent.entries[3][0] ^= 1), SegmentError::Root);
    assert_eq!(refusal(&|bent| bent.frontier.swap(0, 1)), SegmentError::Root);
    assert_eq!(refusal(&|bent| bent.frontier[1][31] ^= 1), SegmentError::Root);
    // The last entry cut off, its place filled with another, one added.
    assert_eq!(refusal(&|bent| drop(bent.entries.pop())), SegmentError::Size { segment: 8, checkpoint: 9 });
    assert_eq!(refusal(&|bent| bent.entries[3] = bent.entries[2].clone()), SegmentError::Root);
    assert_eq!(refusal(&|bent| bent.entries.push(vec![0])), SegmentError::Size { segment: 10, checkpoint: 9 });
    // Moved to another place with as many complete subtrees before it, and back by one.
    assert_eq!(refusal(&|bent| bent.first = 6), SegmentError::Size { segment: 10, checkpoint: 9 });
    assert_eq!(refusal(&|bent| bent.first = 4), SegmentError::Frontier { size: 4, found: 2 });
    assert_eq!(refusal(&|bent| bent.first = u64::MAX), SegmentError::Frontier { size: u64::MAX, found: 2 });
    assert_eq!(
        refusal(&|bent| bent.origin = "box-18".into()),
        SegmentError::Origin { segment: "box-18".into(), checkpoint: "box-17".into() }
    );
    // The checkpoint of another size of the same log, which its key has signed too.
    assert_eq!(
        refusal(&|bent| bent.checkpoint = segment(&key, 5, 3).checkpoint),
        SegmentError::Size { segment: 9, checkpoint: 8 }
    );
}

/// The cut between frontier and entries is bound too: a node of the tree cannot pose as an entry.
#[test]
fn inner_nodes_do_not_pass_as_entries() {
    let key = key("box-17");
    let good = segment(&key, 0, 2);
    let (left, right) = (leaf_hash(&good.entries[0]), leaf_hash(&good.entries[1]));
    let node = [&[1][..], &left, &right].concat();
    let checkpoint = Checkpoint::new("box-17", 1, good.verify(&key.verifier()).unwrap().after.root());
    let forged = Segment { entries: vec![node], checkpoint: checkpoint.sign(&key), ..good };
    assert_eq!(forged.verify(&key.verifier()), Err(SegmentError::Root));
}

#[test]
fn the_wrong_key_is_refused() {
    let (good, other) = (key("box-17"), key("box-18"));
    let segment = segment(&good, 0, 3);
    let refusal = segment.verify(&other.verifier()).unwrap_err();
    assert!(matches!(refusal, SegmentError::Note(NoteError::NotSigned { name, .. }) if name == "box-18"));
    // Another key under the same name.
    let stranger = picket_ledger::SigningKey::from_seed("box-17", &[9; 32]).unwrap();
    assert!(matches!(segment.verify(&stranger.verifier()), Err(SegmentError::Note(NoteError::NotSigned { .. }))));
    // A key that signs for another origin than its name.
    let mut range = CompactRange::new();
    range.push(leaf_hash(&[0]));
    let checkpoint = Checkpoint::new("box-18", 1, range.root()).sign(&good);
    let posed = Segment { origin: "box-18".into(), first: 0, frontier: vec![], entries: vec![vec![0]], checkpoint };
    let refusal = posed.verify(&good.verifier());
    assert!(matches!(refusal, Err(SegmentError::Note(NoteError::Origin { .. }))), "{refusal:?}");
}

#[test]
fn a_second_signature_in_a_segment_is_refused() {
    // It could be changed at will without touching what the box signed.
    let (key, other) = (key("box-17"), key("witness"));
    let mut segment = segment(&key, 0, 1);
    let text = segment.checkpoint.split("\n\n").next().unwrap().to_owned() + "\n";
    segment.checkpoint.push_str(&other.sign(&text));
    assert!(matches!(segment.verify(&key.verifier()), Err(SegmentError::Note(NoteError::Malformed(_)))));
}

#[test]
fn limits_are_enforced_when_written_and_when_read() {
    let key = key("box-17");
    let with = |entries: Vec<Vec<u8>>| Segment { entries, ..segment(&key, 0, 1) }.encode();
    assert_eq!(with(vec![]), Err(SegmentError::EntryCount(0)));
    assert_eq!(with(vec![vec![]]), Err(SegmentError::EntryLength { index: 0, length: 0 }));
    assert!(with(vec![vec![0; MAX_ENTRY_BYTES]]).is_ok());
    assert_eq!(
        with(vec![vec![0; MAX_ENTRY_BYTES + 1]]),
        Err(SegmentError::EntryLength { index: 0, length: MAX_ENTRY_BYTES + 1 })
    );
    assert!(with(vec![vec![0]; MAX_SEGMENT_ENTRIES]).is_ok());
    assert_eq!(with(vec![vec![0]; MAX_SEGMENT_ENTRIES + 1]), Err(SegmentError::EntryCount(MAX_SEGMENT_ENTRIES + 1)));
    assert!(matches!(with(vec![vec![0; MAX_ENTRY_BYTES]; 64]), Err(SegmentError::TooLarge(_))));
    let last = Segment { first: u64::MAX, frontier: vec![[0; 32]; 64], ..segment(&key, 0, 1) };
    assert_eq!(last.encode(), Err(SegmentError::Overflow));
    assert_eq!(last.verify(&key.verifier()), Err(SegmentError::Overflow));

    // The same by hand, as the writer will not: no entries.
    let mut bytes = [&[0x87, 0x6e][..], b"picket.segment", &[1, 0x61, b'a', 0, 0x80, 0x80, 0x60]].concat();
    assert_eq!(SegmentRef::parse(&bytes), Err(SegmentError::EntryCount(0)));
    bytes[16] = 2;
    assert_eq!(SegmentRef::parse(&bytes), Err(SegmentError::Version(2)));
    assert_eq!(SegmentRef::parse(b""), Err(SegmentError::Magic));
    assert_eq!(SegmentRef::parse(b"SQLite format 3\0"), Err(SegmentError::Magic));
}

#[test]
fn entries_that_lie_about_their_place_are_found() {
    let key = key("box-17");
    let lie = |index| entry(index, Body::Heartbeat(Heartbeat { next_invocation: 0 })).encode().unwrap();
    let segment = Segment { entries: vec![lie(0), lie(2)], ..segment(&key, 0, 1) };
    assert_eq!(segment.decode_entries(), Err(SegmentError::EntryIndex { index: 1, found: 2 }));
    let segment = Segment { entries: vec![lie(0), vec![0x80]], ..segment };
    assert!(matches!(segment.decode_entries(), Err(SegmentError::Entry { index: 1, .. })));
}
