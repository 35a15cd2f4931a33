//! Entries that the box signed and that are none: the signature holds, and the box did not keep its word.

use picket_ledger::entry::{Body, Erase, TimeAnchor};

use super::{Case, Log, VERDICT, encoded, replaced};
use crate::common;

/// The heartbeat before the verdict.
const HEARTBEAT: u64 = VERDICT - 1;

pub(super) fn cases() -> Vec<Case> {
    let heartbeat = encoded(HEARTBEAT, HEARTBEAT);
    let verdict = encoded(VERDICT, VERDICT);
    let signed = |name: &str, index: u64, entry: Vec<u8>, holds: bool| {
        let bytes = Log::with(index, entry).segment(index, index + 1).encode().unwrap();
        if holds { Case::good(name, bytes) } else { Case::bad(name, bytes) }
    };
    let tail = |new: &[u8]| [&heartbeat[..heartbeat.len() - 2], new].concat();
    let header = |at: usize, old: &[u8], new: &[u8]| super::spliced(&heartbeat, at, old, new);
    let in_verdict = |old: &[u8], new: &[u8]| replaced(&verdict, old, new);
    assert_eq!(heartbeat[heartbeat.len() - 2..], [0x81, 7]);
    assert_eq!(heartbeat[..4], [0x88, 1, 11, 1]);

    let mut cases: Vec<Case> = (0..)
        .zip(common::bodies())
        .map(|(number, body)| {
            let name = format!("entry-of-kind-{}-number-{number}", body.kind() as u8);
            signed(&name, HEARTBEAT, common::entry(HEARTBEAT, body).encode().unwrap(), true)
        })
        .collect();
    let heartbeats = [
        ("entry-says-the-index-before", encoded(HEARTBEAT, HEARTBEAT - 1)),
        ("entry-says-the-index-after", encoded(HEARTBEAT, HEARTBEAT + 1)),
        ("entry-with-a-byte-behind", [&heartbeat[..], &[0]].concat()),
        ("entry-without-its-last-byte", heartbeat[..heartbeat.len() - 1].to_vec()),
        ("entry-of-version-2", header(1, &[1], &[2])),
        ("entry-of-an-unknown-kind", header(2, &[11], &[17])),
        ("entry-of-kind-0", header(2, &[11], &[0])),
        ("entry-of-a-negative-kind", header(2, &[11], &[0x2a])),
        ("entry-of-a-kind-with-another-body", header(2, &[11], &[12])),
        ("entry-kind-not-shortest", header(2, &[11], &[0x18, 11])),
        ("entry-incarnation-beyond-32-bits", header(3, &[1], &[0x1b, 0, 0, 0, 1, 0, 0, 0, 0])),
        ("entry-of-nine-members", [&[0x89], &heartbeat[1..], &[0xf6]].concat()),
        ("entry-of-seven-members", [&[0x87], &heartbeat[1..heartbeat.len() - 2]].concat()),
        ("entry-body-of-two-members", tail(&[0x82, 7, 0])),
        ("entry-body-empty", tail(&[0x80])),
        ("entry-body-is-a-number", tail(&[7])),
        ("entry-body-is-a-map", tail(&[0xa1, 0, 7])),
        ("entry-number-not-shortest", tail(&[0x81, 0x18, 7])),
        ("entry-number-is-a-float", tail(&[0x81, 0xf9, 0x47, 0])),
        ("entry-number-is-negative", tail(&[0x81, 0x26])),
        ("entry-number-is-true", tail(&[0x81, 0xf5])),
        ("entry-number-is-text", tail(&[0x81, 0x61, b'7'])),
        ("entry-number-beyond-64-bits", tail(&[0x81, 0xc2, 0x49, 1, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("entry-body-of-indefinite-length", tail(&[0x9f, 7, 0xff])),
        ("entry-boot-of-15-bytes", super::spliced(&heartbeat, heartbeat.len() - 19, &[0x50, 7], &[0x4f])),
        ("entry-is-not-cbor", vec![0xff; 30]),
        ("entry-is-a-hash", vec![7; 32]),
    ];
    cases.extend(heartbeats.into_iter().map(|(name, entry)| signed(name, HEARTBEAT, entry, false)));
    let verdicts = [
        ("verdict-id-with-control-character", in_verdict(b"inf-0041", b"inf-\n041")),
        ("verdict-id-with-c1-control-character", in_verdict(b"\x68inf-0041", b"\x69inf-\xc2\x85041")),
        ("verdict-id-empty", in_verdict(b"\x68inf-0041", b"\x60")),
        ("verdict-id-too-long", in_verdict(b"\x68inf-0041", &[&b"\x79\x01\x01"[..], &[b'x'; 257]].concat())),
        ("verdict-id-not-utf-8", in_verdict(b"inf-0041", b"inf-\xed\xa0\x80\x80")),
        ("verdict-id-is-null", in_verdict(b"\x68inf-0041", b"\xf6")),
        (
            "verdict-guard-mode-3",
            in_verdict(&[&[0x58, 0x20][..], &[5; 32], &[1]].concat(), &[&[0x58, 0x20][..], &[5; 32], &[3]].concat()),
        ),
        (
            "verdict-guard-warm-is-a-number",
            in_verdict(&[&[5; 32][..], &[1, 0xf4]].concat(), &[&[5; 32][..], &[1, 0]].concat()),
        ),
        (
            "verdict-hash-of-31-bytes",
            in_verdict(&[&[0x58, 0x20][..], &[10; 32]].concat(), &[&[0x58, 0x1f][..], &[10; 31]].concat()),
        ),
        ("verdict-span-reversed", in_verdict(&[0x82, 12, 0x18, 31], &[0x82, 0x18, 31, 12])),
        ("verdict-span-beyond-32-bits", in_verdict(&[0x82, 12, 0x18, 31], &[0x82, 12, 0x1b, 0, 0, 0, 1, 0, 0, 0, 0])),
        ("verdict-score-beyond-64-bits", in_verdict(&[0x1a, 0, 0x0f, 0x42, 0x40], &[0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0])),
        ("verdict-path-is-null", in_verdict(b"\x6b/customer/0", b"\xf6")),
        ("verdict-failure-that-redacts", in_verdict(b"20 ms\x00", b"20 ms\x02")),
        ("verdict-failure-message-with-return", in_verdict(b"20 ms", b"20\rms")),
    ];
    cases.extend(verdicts.into_iter().map(|(name, entry)| signed(name, VERDICT, entry, false)));
    let (decision, released) = (&[&[3; 32][..], &[2, 0x82]].concat(), &[&[3; 32][..], &[3, 0x82]].concat());
    cases.push(signed("verdict-blocked-and-released", VERDICT, in_verdict(decision, released), false));
    let nothing = replaced(&in_verdict(decision, released), &[&[0x58, 0x20][..], &[11; 32]].concat(), &[0xf6]);
    cases.push(signed("verdict-blocked", VERDICT, nothing, true));
    let erase = |from, to, count| {
        let erase = Erase { from: 3, to: 9, count: 6, reason: "why".into() };
        let bytes = common::entry(HEARTBEAT, Body::Erase(erase)).encode().unwrap();
        replaced(&bytes, &[0x84, 3, 9, 6], &[0x84, from, to, count])
    };
    cases.push(signed("erase-of-no-invocation", HEARTBEAT, erase(3, 3, 0), true));
    cases.push(signed("erase-that-ends-before-it-starts", HEARTBEAT, erase(9, 3, 0), false));
    cases.push(signed("erase-of-more-payloads-than-invocations", HEARTBEAT, erase(3, 9, 7), false));
    let step = common::entry(HEARTBEAT, Body::TimeAnchor(TimeAnchor::ClockStep { step_ms: -5 })).encode().unwrap();
    let longer = replaced(&step, &[0x82, 2, 0x24], &[0x83, 2, 0x24, 0]);
    cases.push(signed("time-anchor-of-three-members", HEARTBEAT, longer, false));
    let unknown = replaced(&step, &[0x82, 2, 0x24], &[0x82, 3, 0x24]);
    cases.push(signed("time-anchor-of-an-unknown-form", HEARTBEAT, unknown, false));
    let longest = in_verdict(b"\x68inf-0041", &[&b"\x79\x01\x00"[..], &[b'x'; 256]].concat());
    cases.push(signed("verdict-id-of-256-bytes", VERDICT, longest, true));
    let lowest = in_verdict(&[0x1a, 0, 0x0f, 0x42, 0x40], &[0x3b, 0x7f, 255, 255, 255, 255, 255, 255, 255]);
    cases.push(signed("verdict-lowest-score", VERDICT, lowest, true));
    let below = in_verdict(&[0x1a, 0, 0x0f, 0x42, 0x40], &[0x3b, 0x80, 0, 0, 0, 0, 0, 0, 0]);
    cases.push(signed("verdict-score-below-64-bits", VERDICT, below, false));
    let wide = in_verdict(b"inf-0041", "inf—41".as_bytes());
    cases.push(signed("verdict-id-beyond-ascii", VERDICT, wide, true));
    cases
}
