//! Segments: one form; and whatever is in one, signed by us, verifies until a bit of it changes.

use picket_ledger::checkpoint::Checkpoint;
use picket_ledger::hash::{Hash, leaf_hash};
use picket_ledger::segment::{MAX_SEGMENT_BYTES, Segment, SegmentRef};
use picket_ledger::tree::CompactRange;

use super::entry::same_to_another_reader;
use super::seeds::{BOX, signer};

/// Any bytes as a segment.
pub fn run(data: &[u8]) {
    let stranger = signer(BOX).expect("a name").verifier();
    let Ok(borrowed) = SegmentRef::parse(data) else { return };
    let segment = borrowed.to_owned();
    assert_eq!(segment.encode().as_deref(), Ok(data), "a segment has one form");
    same_to_another_reader(data);
    assert_eq!(borrowed.verify(&stranger), segment.verify(&stranger));
    assert_eq!(borrowed.check_entries().err(), segment.decode_entries().err());
    if let Ok(verified) = borrowed.verify(&stranger) {
        assert_eq!(verified.after.root(), verified.checkpoint.checkpoint.root);
    }
    resigned(segment, data);
}

/// The same origin, place and entries with a checkpoint of ours over what they give, computed another way.
fn resigned(mut segment: Segment, data: &[u8]) {
    let key = signer(&segment.origin).expect("an origin is a key name");
    let end = segment.first + segment.entries.len() as u64;
    let leaves: Vec<Hash> = segment.entries.iter().map(|entry| leaf_hash(entry)).collect();
    let root = root(segment.first, &segment.frontier, &leaves);
    segment.checkpoint = Checkpoint::new(segment.origin.clone(), end, root).sign(&key);
    let verified = segment.verify(&key.verifier()).expect("what we sign verifies");
    assert_eq!((verified.size_before, verified.after.size()), (segment.first, end));
    assert_eq!(frontier_root(&segment.frontier), verified.root_before);

    let Ok(bytes) = segment.encode() else {
        // Our checkpoint may be longer than the one that was there.
        assert!(data.len() + 1024 > MAX_SEGMENT_BYTES, "what we sign can be written");
        return;
    };
    // One bit, anywhere; the input says where.
    let seed = data.iter().fold(data.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let mut bent = bytes;
    let at = seed / 8 % bent.len();
    bent[at] ^= 1 << (seed % 8);
    let passes = SegmentRef::parse(&bent).is_ok_and(|bent| bent.verify(&key.verifier()).is_ok());
    assert!(!passes, "bit {} of byte {at} is free", seed % 8);
}

/// The root of the log after the leaves: level by level, pairing neighbours, where the ledger goes leaf by leaf.
fn root(first: u64, frontier: &[Hash], leaves: &[Hash]) -> Hash {
    // The nodes of one level, and the number of the first of them on that level.
    let (mut nodes, mut number) = (leaves.to_vec(), first);
    let mut peaks = frontier.iter().rev();
    let mut right: Option<Hash> = None;
    let join = |left: &Hash, right: &Hash| picket_ledger::hash::node_hash(left, right);
    while !nodes.is_empty() || peaks.len() > 0 {
        // An odd first node's left neighbour is in the frontier; the smallest peak is of the lowest level.
        if number & 1 == 1 {
            nodes.insert(0, *peaks.next().expect("a peak for each one-bit"));
            number -= 1;
        }
        if nodes.len() % 2 == 1 {
            let last = nodes.pop().expect("not empty");
            right = Some(right.map_or(last, |right| join(&last, &right)));
        }
        nodes = nodes.chunks(2).map(|pair| join(&pair[0], &pair[1])).collect();
        number /= 2;
    }
    right.expect("there is at least one leaf")
}

fn frontier_root(frontier: &[Hash]) -> Hash {
    let size = frontier.len() as u32;
    // Any size with as many one-bits does: the root depends on the peaks alone.
    let ones = 1_u64.checked_shl(size).map_or(u64::MAX, |power| power - 1);
    CompactRange::from_parts(ones, frontier.to_vec()).expect("a peak for each one-bit").root()
}
