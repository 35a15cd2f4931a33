//! Evidence of a log that handed its key over twice: what a thief with one key can and cannot say, and chains that
//! are damaged.

use picket_ledger::SigningKey;
use picket_ledger::bundle::Bundle;
use picket_ledger::entry::{Body, Heartbeat, KeyRotation};
use picket_ledger::segment::Segment;

use super::{BOX, Case, Log, SIZE, place};
use crate::common;

/// The indices of the rotations; epochs start at 0, 4 and 8.
const ROTATIONS: [u64; 2] = [3, 7];

fn key(epoch: u64) -> SigningKey {
    if epoch == 0 {
        super::signer()
    } else {
        SigningKey::from_seed(BOX, &[100 + u8::try_from(epoch).unwrap(); 32]).unwrap()
    }
}

fn rotation(index: u64, epoch: u64, old: &SigningKey, new: &SigningKey) -> Vec<u8> {
    common::entry(index, Body::KeyRotation(KeyRotation::new(epoch, index, &old.verifier(), new))).encode().unwrap()
}

fn log() -> Log {
    let mut log = Log::new();
    for index in 0..SIZE {
        log.entries[place(index)] =
            common::entry(index, Body::Heartbeat(Heartbeat { next_invocation: 7 })).encode().unwrap();
    }
    for (index, epoch) in ROTATIONS.into_iter().zip(1..) {
        log.entries[place(index)] = rotation(index, epoch, &key(epoch - 1), &key(epoch));
    }
    log
}

fn segment(log: &Log, first: u64, end: u64, key: &SigningKey) -> Vec<u8> {
    Segment { checkpoint: log.head(end).sign(key), ..log.segment(first, end) }.encode().unwrap()
}

fn bundle(log: &Log, index: u64, size: u64, key: &SigningKey) -> Bundle {
    Bundle { checkpoint: log.head(size).sign(key), ..log.bundle(index, size) }
}

/// The chain of the log up to some epoch.
fn chain(log: &Log, epochs: usize) -> Vec<String> {
    let mut parts = vec![format!("{}\n", key(0).verifier())];
    for (index, epoch) in ROTATIONS.into_iter().zip(0..).take(epochs) {
        parts.push(bundle(log, index, index + 1, &key(epoch)).encode());
    }
    parts
}

/// The segments of the three epochs, and the chain of their keys.
pub(crate) fn folder() -> (Vec<(&'static str, Vec<u8>)>, String) {
    let log = log();
    let segments = [("a.segment", 0, 0, 4), ("b.segment", 1, 4, 8), ("c.segment", 2, 8, SIZE)];
    let segments = segments.map(|(name, epoch, first, end)| (name, segment(&log, first, end, &key(epoch))));
    (segments.to_vec(), chain(&log, 2).concat())
}

pub(super) fn cases() -> Vec<Case> {
    let log = log();
    let whole = chain(&log, 2).concat();
    let with = |case: Case| case.with_chain(&whole);
    let short = chain(&log, 1).concat();
    let first = format!("{}\n", key(0).verifier());
    let of = |epoch: u64, first, end| segment(&log, first, end, &key(epoch));
    let proof = |epoch: u64, index, size| bundle(&log, index, size, &key(epoch)).encode();
    let mut cases = vec![
        Case::good("epochs-first-without-a-chain", of(0, 0, 4)),
        with(Case::good("epochs-first-with-its-hand-over", of(0, 0, 4))),
        with(Case::good("epochs-part-of-the-first", of(0, 1, 3))),
        with(Case::good("epochs-second", of(1, 4, 8))),
        with(Case::good("epochs-part-of-the-second", of(1, 5, 7))),
        with(Case::good("epochs-third", of(2, 8, SIZE))),
        with(Case::good("epochs-bundle-of-the-first", proof(0, 1, 4))),
        with(Case::good("epochs-bundle-of-a-rotation", proof(0, 3, 4))),
        with(Case::good("epochs-bundle-of-the-second", proof(1, 5, 8))),
        with(Case::good("epochs-bundle-of-the-third", proof(2, 9, SIZE))),
        Case::good("epochs-second-with-a-chain-that-ends-there", of(1, 4, 8)).with_chain(&short),
        Case::good("epochs-first-with-a-chain-of-one-key", of(0, 0, 3)).with_chain(&first),
        Case::bad("epochs-second-without-a-chain", of(1, 4, 8)),
        Case::bad("epochs-third-with-a-chain-too-short", of(2, 8, SIZE)).with_chain(&short),
        Case::bad("epochs-bundle-of-the-third-with-a-chain-too-short", proof(2, 9, SIZE)).with_chain(&short),
        Case::bad("epochs-rotation-inside-without-a-chain", of(0, 0, 6)),
        with(Case::bad("epochs-segment-over-two-by-the-old-key", of(0, 2, 6))),
        with(Case::bad("epochs-segment-over-two-by-the-new-key", of(1, 2, 6))),
        with(Case::bad("epochs-old-key-speaks-on", of(0, 4, 8))),
        with(Case::bad("epochs-present-key-speaks-of-the-past", of(2, 0, 4))),
        with(Case::bad("epochs-next-key-speaks-too-early", of(1, 0, 3))),
        with(Case::bad("epochs-bundle-of-the-past-under-the-present-key", proof(2, 1, SIZE))),
        with(Case::bad("epochs-bundle-by-the-old-key-beyond-its-end", proof(0, 1, SIZE))),
        with(Case::bad("epochs-bundle-of-the-second-by-the-first-key", proof(0, 5, 8))),
        with(Case::bad("epochs-bundle-of-the-second-by-the-third-key", proof(2, 5, 8))),
        with(Case::bad("epochs-present-key-on-another-past", {
            let mut other = log_with(&log, 1, 6);
            other.entries[place(9)] = log.entries[place(9)].clone();
            segment(&other, 8, SIZE, &key(2))
        })),
        with(Case::bad("epochs-rotation-inside-of-the-last", {
            let mut other = log_with(&log, 9, 9);
            other.entries[place(9)] = rotation(9, 3, &key(2), &key(3));
            segment(&other, 8, SIZE, &key(2))
        })),
    ];
    cases.extend(damaged(&log, &of(1, 4, 8)));
    cases
}

/// The log with another invocation number in one entry.
fn log_with(log: &Log, index: u64, invocation: u64) -> Log {
    let body = Body::Heartbeat(Heartbeat { next_invocation: invocation });
    let mut entries = log.entries.clone();
    entries[place(index)] = common::entry(index, body).encode().unwrap();
    Log { entries }
}

/// Good evidence of the second epoch, with chains that do not lead there.
fn damaged(log: &Log, evidence: &[u8]) -> Vec<Case> {
    let case = |name: &str, chain: &str| Case::bad(&format!("chain-{name}"), evidence).with_chain(chain);
    let parts = chain(log, 2);
    let joined = |parts: &[&str]| parts.concat();
    let [first, one, two] = [parts[0].as_str(), &parts[1], &parts[2]];
    // The first hand-over with another rotation entry, signed as it should be.
    let with_entry = |entry: Vec<u8>| {
        let mut other = Log { entries: log.entries.clone() };
        other.entries[3] = entry;
        format!("{first}{}", bundle(&other, 3, 4, &key(0)).encode())
    };
    let body = |rotation: KeyRotation| common::entry(3, Body::KeyRotation(rotation)).encode().unwrap();
    let good = || KeyRotation::new(1, 3, &key(0).verifier(), &key(1));
    let stranger = common::key("box-18");
    vec![
        case("empty", ""),
        case("without-line-feed", first.trim_end()),
        case("of-another-first-key", &joined(&[&format!("{}\n", key(1).verifier()), one])),
        case("first-key-with-space", &joined(&[&first.replace('\n', " \n"), one])),
        case("hand-over-missing", &joined(&[first, two])),
        case("hand-overs-swapped", &joined(&[first, two, one])),
        case("hand-over-twice", &joined(&[first, one, one])),
        case("hand-over-without-entry", &{
            let bundle = Bundle { entry: None, ..bundle(log, 3, 4, &key(0)) };
            format!("{first}{}", bundle.encode())
        }),
        case("hand-over-by-the-new-key", &format!("{first}{}", bundle(log, 3, 4, &key(1)).encode())),
        case("hand-over-under-a-later-checkpoint", &format!("{first}{}", bundle(log, 3, 5, &key(0)).encode())),
        case("hand-over-of-a-heartbeat", &format!("{first}{}", bundle(log, 2, 3, &key(0)).encode())),
        case("epoch-skipped", &with_entry(rotation(3, 2, &key(0), &key(1)))),
        case("epoch-again", &with_entry(rotation(3, 0, &key(0), &key(1)))),
        case("key-used-before", &with_entry(rotation(3, 1, &key(0), &key(0)))),
        case("key-of-another-name", &with_entry(rotation(3, 1, &key(0), &stranger))),
        case("key-malformed", &with_entry(body(KeyRotation { key: "box-17".into(), ..good() }))),
        case(
            "possession-flipped",
            &with_entry(body({
                let mut rotation = good();
                rotation.possession[0] ^= 1;
                rotation
            })),
        ),
        case("possession-of-another-index", &with_entry(body(KeyRotation::new(1, 4, &key(0).verifier(), &key(1))))),
        case("possession-of-another-old-key", &with_entry(body(KeyRotation::new(1, 3, &key(2).verifier(), &key(1))))),
        case(
            "possession-by-another-key",
            &with_entry(body(KeyRotation {
                possession: KeyRotation::new(1, 3, &key(0).verifier(), &key(2)).possession,
                ..good()
            })),
        ),
        case("rotation-says-another-index", &with_entry(rotation(4, 1, &key(0), &key(1)))),
        case("line-behind", &joined(&[first, one, "remark\n"])),
        case("line-between", &joined(&[first, "remark\n", one])),
        case("empty-line-between", &joined(&[first, "\n", one])),
        case("with-carriage-returns", &joined(&[first, one]).replace('\n', "\r\n")),
        case("cut-in-the-middle", &joined(&[first, &one[..one.len() / 2]])),
        case("without-its-last-byte", &joined(&[first, &one[..one.len() - 1]])),
    ]
}
