//! `Entry::check` says what `Entry::decode` says, on entries of every kind with anything done to them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{bodies, entry, verdict};
use picket_ledger::Entry;
use picket_ledger::entry::{Body, Decision, Finding, Header, MAX_FINDINGS, Outcome, Verdict};

/// Both must agree, on the header or on the error.
fn agree(bytes: &[u8]) -> bool {
    let decoded = Entry::decode(bytes).map(|_| Header::read(bytes).unwrap());
    let checked = Entry::check(bytes);
    assert_eq!(checked, decoded, "{bytes:02x?}");
    checked.is_ok()
}

#[test]
fn on_every_kind_of_entry() {
    for body in bodies() {
        assert!(agree(&entry(7, body).encode().unwrap()));
    }
}

/// Every byte of a verdict in every other value, dropped, and doubled.
#[test]
fn on_a_verdict_with_any_byte_changed() {
    let good = entry(7, Body::Verdict(verdict())).encode().unwrap();
    let mut passed = 0_u32;
    for at in 0..good.len() {
        let mut bent = good.clone();
        for value in 0..=255 {
            bent[at] = value;
            passed += u32::from(agree(&bent));
        }
        bent.remove(at);
        agree(&bent);
        agree(&[&good[..at], &good[at..=at], &good[at..]].concat());
        agree(&good[..at]);
    }
    // Times, ids, texts and hashes may be others, so many pass; heads and small numbers may not.
    let tried = u32::try_from(good.len()).unwrap() * 256;
    assert!(passed > tried / 4 && passed < tried * 3 / 4, "{passed} of {tried} pass");
}

#[test]
fn at_every_limit() {
    let long = |bytes: usize| "x".repeat(bytes);
    let finding = |change: &dyn Fn(&mut Finding)| {
        let mut verdict = verdict();
        let Outcome::Verdict { findings, .. } = &mut verdict.guards[0].outcome else { unreachable!() };
        change(&mut findings[0]);
        verdict
    };
    let of = |change: &dyn Fn(&mut Verdict)| {
        let mut verdict = verdict();
        change(&mut verdict);
        verdict
    };
    for good in [
        of(&|it| it.inference_id = long(256)),
        of(&|it| it.guards.clear()),
        of(&|it| it.guards = vec![it.guards[1].clone(); 64]),
        of(&|it| (it.decision, it.released) = (Decision::Block, None)),
        of(&|it| it.released = None),
        finding(&|it| it.message = long(1024)),
        finding(&|it| it.message = "a\n\tb\u{a0}".into()),
        finding(&|it| it.path = long(1024)),
        finding(&|it| it.span = Some((u32::MAX, u32::MAX))),
        finding(&|it| it.score = Some(i64::MIN)),
        finding(&|it| it.part = Some(4)),
    ] {
        assert!(agree(&entry(7, Body::Verdict(good)).encode().unwrap()));
    }
    // Beyond a limit the writer refuses; the bytes are made from what is at the limit.
    let at_limit = entry(7, Body::Verdict(of(&|it| it.inference_id = long(256)))).encode().unwrap();
    let place = at_limit.windows(3).position(|bytes| bytes == [0x79, 1, 0]).unwrap();
    let beyond = [&at_limit[..place], &[0x79, 1, 1, b'x'], &at_limit[place + 3..]].concat();
    assert!(!agree(&beyond));
    let many = of(&|it| it.guards = vec![it.guards[1].clone(); 64]);
    let one = entry(7, Body::Verdict(of(&|it| it.guards = vec![it.guards[1].clone()]))).encode().unwrap();
    let guards = entry(7, Body::Verdict(many)).encode().unwrap();
    let length = (guards.len() - 1 - one.len()) / 63;
    let start = guards.windows(2).position(|bytes| bytes == [0x98, 64]).unwrap();
    let first = &guards[start + 2..start + 2 + length];
    assert!(!agree(&[&guards[..start], &[0x98, 65], first, &guards[start + 2..]].concat()));
    let full = finding(&|it| it.path.clear());
    let Outcome::Verdict { findings, .. } = &full.guards[0].outcome else { unreachable!() };
    let mut crowded = full.clone();
    let repeated = vec![findings[1].clone(); MAX_FINDINGS];
    let Outcome::Verdict { findings, .. } = &mut crowded.guards[0].outcome else { unreachable!() };
    *findings = repeated;
    let bytes = entry(7, Body::Verdict(crowded)).encode().unwrap();
    assert!(agree(&bytes));
    let start = bytes.windows(3).position(|bytes| bytes == [0x99, 1, 0]).unwrap();
    let finding = &bytes[start + 3..start + 3 + 25];
    agree(&[&bytes[..start], &[0x99, 1, 1], finding, &bytes[start + 3..]].concat());
}
