//! Segments: entries, frontier, places and the CBOR around them.

use picket_ledger::checkpoint::Checkpoint;
use picket_ledger::hash::leaf_hash;
use picket_ledger::segment::Segment;

use super::{BOX, Case, Log, SIZE, VERDICT, place, signer, spliced, truncated};

/// Where the items of the segment 5..11 of a box with a name of six bytes start.
const VERSION: usize = 16;
const ORIGIN: usize = 17;
const FIRST: usize = 24;
const FRONTIER: usize = 25;
const ENTRIES: usize = 94;

pub(super) fn cases() -> Vec<Case> {
    let log = Log::new();
    let good = log.segment(5, SIZE);
    let bytes = good.encode().unwrap();
    let bent = |name: &str, change: &dyn Fn(&mut Segment)| {
        let mut segment = good.clone();
        change(&mut segment);
        // Written by hand, as the writer refuses what passes a limit.
        Case::bad(&format!("segment-{name}"), encode(&segment))
    };
    let spliced =
        |name: &str, at, old: &[u8], new: &[u8]| Case::bad(&format!("segment-{name}"), spliced(&bytes, at, old, new));
    assert_eq!(encode(&good), bytes);
    let mut cases = vec![
        Case::good("segment-whole-log", log.segment(0, SIZE).encode().unwrap()),
        Case::good("segment-continues", bytes.clone()),
        Case::good("segment-one-entry", log.segment(VERDICT, VERDICT + 1).encode().unwrap()),
        bent("entry-edited", &|it| it.entries[place(VERDICT - 5)][70] ^= 1),
        bent("entry-dropped-from-the-middle", &|it| drop(it.entries.remove(2))),
        bent("entry-dropped-at-the-end", &|it| drop(it.entries.pop())),
        bent("entry-dropped-at-the-start", &|it| drop(it.entries.remove(0))),
        bent("entry-dropped-and-last-doubled", &|it| {
            it.entries.remove(2);
            it.entries.push(it.entries[4].clone());
        }),
        bent("entries-swapped", &|it| it.entries.swap(2, 3)),
        bent("entry-added", &|it| it.entries.push(it.entries[5].clone())),
        bent("entry-empty", &|it| it.entries[2].clear()),
        bent("entry-too-long", &|it| it.entries[2] = vec![0; 262_145]),
        bent("no-entries", &|it| it.entries.clear()),
        bent("frontier-hash-flipped", &|it| it.frontier[0][31] ^= 1),
        bent("frontier-swapped", &|it| it.frontier.swap(0, 1)),
        bent("frontier-hash-dropped", &|it| it.frontier.truncate(1)),
        bent("frontier-hash-added", &|it| it.frontier.push([0; 32])),
        bent("first-one-more", &|it| it.first = 6),
        bent("first-one-less", &|it| it.first = 4),
        bent("first-is-zero", &|it| {
            it.first = 0;
            it.frontier.clear();
        }),
        bent("ends-beyond-the-largest-log", &|it| {
            it.first = u64::MAX;
            it.frontier = vec![[0; 32]; 64];
        }),
        bent("origin-changed", &|it| it.origin = "box-18".into()),
        bent("origin-empty", &|it| it.origin.clear()),
        bent("origin-has-a-space", &|it| it.origin = "box 17".into()),
        bent("old-checkpoint-replayed", &|it| it.checkpoint = log.note(8)),
        bent("checkpoint-of-the-log-before", &|it| it.checkpoint = log.note(5)),
        bent("checkpoint-empty", &|it| it.checkpoint.clear()),
        bent("checkpoint-of-another-history", &|it| it.checkpoint = Log::with(5, vec![0x80]).note(SIZE)),
        Case::bad("segment-inner-node-as-entry", inner_node(&log)),
        spliced("magic-changed", 1, b"\x6epicket", b"\x6ePicket"),
        spliced("version-2", VERSION, &[1], &[2]),
        spliced("version-is-true", VERSION, &[1], &[0xf5]),
        spliced("array-of-8", 0, &[0x87], &[0x88]),
        spliced("array-of-6", 0, &[0x87], &[0x86]),
        spliced("array-of-indefinite-length", 0, &[0x87], &[0x9f]),
        spliced("array-length-not-shortest", 0, &[0x87], &[0x98, 7]),
        spliced("first-not-shortest-in-1-byte", FIRST, &[5], &[0x18, 5]),
        spliced("first-not-shortest-in-8-bytes", FIRST, &[5], &[0x1b, 0, 0, 0, 0, 0, 0, 0, 5]),
        spliced("first-is-negative", FIRST, &[5], &[0x25]),
        spliced("first-is-a-float", FIRST, &[5], &[0xf9, 0x45, 0]),
        spliced("first-is-a-bignum", FIRST, &[5], &[0xc2, 0x41, 5]),
        spliced("first-is-null", FIRST, &[5], &[0xf6]),
        spliced("first-is-undefined", FIRST, &[5], &[0xf7]),
        spliced("first-is-a-simple-value", FIRST, &[5], &[0xe5]),
        spliced("first-is-tagged", FIRST, &[5], &[0xc1, 5]),
        spliced("head-reserved", FIRST, &[5], &[0x1c]),
        spliced("origin-is-a-byte-string", ORIGIN, &[0x66], &[0x46]),
        spliced("origin-not-utf-8", ORIGIN + 1, b"box-17", b"box-\xff7"),
        spliced("origin-of-indefinite-length", ORIGIN, b"\x66box-17", b"\x7f\x66box-17\xff"),
        spliced("frontier-is-null", FRONTIER, &[0x82], &[0xf6]),
        spliced("frontier-hash-is-text", FRONTIER + 1, &[0x58, 0x20], &[0x78, 0x20]),
        spliced("frontier-hash-of-33-bytes", FRONTIER + 1, &[0x58, 0x20], &[0x58, 0x21, 0]),
        spliced("frontier-hash-length-not-shortest", FRONTIER + 1, &[0x58, 0x20], &[0x59, 0, 0x20]),
        spliced("entries-is-a-map", ENTRIES, &[0x86], &[0xa3]),
        spliced("entry-length-not-shortest", ENTRIES + 1, &[0x58], &[0x59, 0]),
        spliced("entry-is-text", ENTRIES + 1, &[0x58], &[0x78]),
        spliced("entries-beyond-the-input", ENTRIES, &[0x86], &[0x9b, 255, 255, 255, 255, 255, 255, 255, 255]),
        spliced("tagged-as-cbor", 0, &[0x87], &[0xd9, 0xd9, 0xf7, 0x87]),
        Case::bad("segment-zero-byte-behind", [&bytes[..], &[0]].concat()),
        Case::bad("segment-line-feed-behind", [&bytes[..], b"\n"].concat()),
        Case::bad("segment-null-as-eighth-member", [&[0x88], &bytes[1..], &[0xf6]].concat()),
        Case::bad("segment-twice", [&bytes[..], &bytes].concat()),
        Case::bad("segment-is-something-else", *b"SQLite format 3\0"),
    ];
    cases.extend(truncated("segment", &bytes));
    cases
}

/// A log of two, told as a log of one whose entry is the inner node over them.
fn inner_node(log: &Log) -> Vec<u8> {
    let node = [&[1][..], &leaf_hash(&log.entries[0]), &leaf_hash(&log.entries[1])].concat();
    let checkpoint = Checkpoint::new(BOX, 1, log.range(2).root()).sign(&signer());
    encode(&Segment { origin: BOX.into(), first: 0, frontier: Vec::new(), entries: vec![node], checkpoint })
}

/// The bytes of a segment, written without looking at any limit.
fn encode(segment: &Segment) -> Vec<u8> {
    let mut out = vec![0x87];
    string(&mut out, 3, b"picket.segment");
    head(&mut out, 0, 1);
    string(&mut out, 3, segment.origin.as_bytes());
    head(&mut out, 0, segment.first);
    head(&mut out, 4, segment.frontier.len() as u64);
    segment.frontier.iter().for_each(|hash| string(&mut out, 2, hash));
    head(&mut out, 4, segment.entries.len() as u64);
    segment.entries.iter().for_each(|entry| string(&mut out, 2, entry));
    string(&mut out, 3, segment.checkpoint.as_bytes());
    out
}

fn string(out: &mut Vec<u8>, major: u8, bytes: &[u8]) {
    head(out, major, bytes.len() as u64);
    out.extend(bytes);
}

fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let bytes = argument.to_be_bytes();
    let (low, tail): (u8, &[u8]) = match argument {
        0..24 => (bytes[7], &[]),
        24..0x100 => (24, &bytes[7..]),
        0x100..0x1_0000 => (25, &bytes[6..]),
        0x1_0000..0x1_0000_0000 => (26, &bytes[4..]),
        _ => (27, &bytes),
    };
    out.push(major << 5 | low);
    out.extend(tail);
}
