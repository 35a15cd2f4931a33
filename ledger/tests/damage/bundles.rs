//! Proof bundles: entry, index, proof, checkpoint, and the text around them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use picket_ledger::bundle::Bundle;
use picket_ledger::receipt::cosign;

use super::notes::{signature_line, stray_bits};
use super::{BOX, Case, Log, SIZE, VERDICT, auditor, encoded, truncated};
use crate::common;

/// A heartbeat whose proof has hashes on both sides.
const INDEX: u64 = 4;

pub(super) fn cases() -> Vec<Case> {
    let log = Log::new();
    let good = log.bundle(INDEX, SIZE);
    let text = good.encode();
    let bent = |name: &str, change: &dyn Fn(&mut Bundle)| {
        let mut bundle = good.clone();
        change(&mut bundle);
        Case::bad(&format!("bundle-{name}"), bundle.encode())
    };
    let changed = |name: &str, old: &str, new: &str| {
        assert_eq!(text.matches(old).count(), 1, "{name}");
        Case::bad(&format!("bundle-{name}"), text.replace(old, new))
    };
    let with_lines = |lines: usize| {
        let witnesses: String =
            (0..lines).map(|number| signature_line(&format!("witness-{number}"), &[0; 68])).collect();
        format!("{text}{witnesses}")
    };
    let entry = STANDARD.encode(good.entry.as_ref().unwrap());
    let hash = STANDARD.encode(good.proof[0]);
    let receipt = log.receipt(INDEX, SIZE).encode();
    let mut cases = vec![
        Case::good("bundle-of-a-heartbeat", text.clone()),
        Case::good("bundle-of-a-verdict", log.bundle(VERDICT, SIZE).encode()),
        Case::good("bundle-of-the-last-entry", log.bundle(SIZE - 1, SIZE).encode()),
        Case::good("bundle-under-an-earlier-checkpoint", log.bundle(INDEX, 5).encode()),
        Case::good("bundle-of-a-log-of-one", log.bundle(0, 1).encode()),
        Case::good("bundle-with-unknown-signatures", with_lines(3)),
        Case::good("bundle-with-64-signature-lines", with_lines(63)),
        Case::good("bundle-cosigned-and-nobody-asks", receipt.clone()),
        Case::good("bundle-cosigned", receipt.clone()).cosigned(),
        Case::bad("bundle-cosignature-missing", text.clone()).cosigned(),
        Case::bad("bundle-cosigned-at-another-time", cosigned_at_another_time(&log)).cosigned(),
        Case::bad("bundle-cosigned-as-a-note", format!("{text}{}", auditor().sign(&log.head(SIZE).to_text())))
            .cosigned(),
        Case::bad("bundle-cosigned-by-another", {
            let checkpoint = cosign(&good.checkpoint, &common::key("stranger"), 7).unwrap();
            Bundle { checkpoint, ..good.clone() }.encode()
        })
        .cosigned(),
        Case::bad("bundle-cosigned-twice", format!("{receipt}{}", receipt.lines().last().unwrap().to_owned() + "\n"))
            .cosigned(),
        bent("entry-edited", &|it| it.entry.as_mut().unwrap()[20] ^= 1),
        bent("entry-of-another-place", &|it| it.entry = Some(log.entries[5].clone())),
        bent("entry-missing", &|it| it.entry = None),
        bent("entry-empty", &|it| it.entry = Some(Vec::new())),
        changed("entry-without-padding", &format!("extra {entry}"), &format!("extra {}", entry.trim_end_matches('='))),
        changed("entry-with-stray-bits", &format!("extra {entry}"), &format!("extra {}", stray(&entry))),
        changed("entry-with-space-behind", &format!("extra {entry}\n"), &format!("extra {entry} \n")),
        changed("entry-twice", &format!("extra {entry}\n"), &format!("extra {entry}\nextra {entry}\n")),
        bent("index-one-more", &|it| it.index += 1),
        bent("index-one-less", &|it| it.index -= 1),
        bent("index-is-the-size", &|it| it.index = SIZE),
        bent("index-is-the-largest", &|it| it.index = u64::MAX),
        changed("index-with-leading-zero", "index 4", "index 04"),
        changed("index-with-plus", "index 4", "index +4"),
        changed("index-with-two-spaces", "index 4", "index  4"),
        changed("index-beyond-64-bits", "index 4", "index 18446744073709551620"),
        changed("index-empty", "index 4", "index "),
        changed("index-missing", "index 4\n", ""),
        changed("index-in-hexadecimal", "index 4", "index 0x4"),
        bent("proof-hash-flipped", &|it| it.proof[1][0] ^= 1),
        bent("proof-hash-dropped", &|it| it.proof = [&it.proof[..1], &it.proof[2..]].concat()),
        bent("proof-hash-dropped-at-the-end", &|it| it.proof.truncate(it.proof.len() - 1)),
        bent("proof-hash-added", &|it| it.proof.push([7; 32])),
        bent("proof-hash-doubled", &|it| it.proof.insert(0, it.proof[0])),
        bent("proof-hashes-swapped", &|it| it.proof.swap(0, 1)),
        bent("proof-empty", &|it| it.proof.clear()),
        bent("proof-of-65-hashes", &|it| it.proof = vec![[7; 32]; 65]),
        changed("proof-hash-of-31-bytes", &hash, &STANDARD.encode(&good.proof[0][1..])),
        changed("proof-hash-with-stray-bits", &hash, &stray_bits(&hash)),
        changed("proof-hash-without-padding", &hash, hash.trim_end_matches('=')),
        changed("old-checkpoint-under-a-newer-proof", &good.checkpoint, &log.note(8)),
        changed("checkpoint-before-the-entry", &good.checkpoint, &log.note(INDEX)),
        changed("checkpoint-size-changed", &format!("{BOX}\n11\n"), &format!("{BOX}\n10\n")),
        changed("checkpoint-of-another-box", &good.checkpoint, &log.head(SIZE).sign(&common::key("box-18"))),
        changed("checkpoint-missing", &good.checkpoint, ""),
        changed("header-of-version-2", "tlog-proof@v1", "tlog-proof@v2"),
        changed("header-missing", "c2sp.org/tlog-proof@v1\n", ""),
        changed("header-with-space-behind", "@v1\n", "@v1 \n"),
        changed("header-with-byte-order-mark", "c2sp.org", "\u{feff}c2sp.org"),
        Case::bad("bundle-with-carriage-returns", text.replace('\n', "\r\n")),
        Case::bad("bundle-without-empty-line", text.replacen("\n\n", "\n", 1)),
        Case::bad("bundle-with-two-empty-lines", text.replacen("\n\n", "\n\n\n", 1)),
        Case::bad("bundle-with-a-line-between", text.replacen("\n\n", "\nremark\n\n", 1)),
        Case::bad("bundle-with-a-line-behind", format!("{text}remark\n")),
        Case::bad("bundle-with-a-zero-byte-behind", format!("{text}\0")),
        Case::bad("bundle-not-utf-8", [text.as_bytes(), b"\xff\n"].concat()),
        Case::bad("bundle-with-65-signature-lines", with_lines(64)),
        Case::bad("bundle-with-a-malformed-unknown-signature", format!("{text}— witness AAAA\n")),
        Case::bad(
            "bundle-with-two-signatures-of-the-box",
            format!("{text}{}", text.lines().last().unwrap().to_owned() + "\n"),
        ),
        Case::bad(
            "bundle-of-an-entry-that-says-another-index",
            Log::with(INDEX, encoded(INDEX, 5)).bundle(INDEX, SIZE).encode(),
        ),
        Case::bad("bundle-of-what-is-no-entry", Log::with(INDEX, b"{}".to_vec()).bundle(INDEX, SIZE).encode()),
        Case::bad("bundle-too-long", format!("{text}{}", signature_line("witness", &vec![0; 400_000]))),
    ];
    cases.extend(truncated("bundle", text.as_bytes()));
    cases
}

/// A cosignature whose time was changed afterwards.
fn cosigned_at_another_time(log: &Log) -> String {
    let receipt = log.receipt(INDEX, SIZE).encode();
    let line = receipt.lines().last().unwrap().to_owned();
    let (name, base64) = line.rsplit_once(' ').unwrap();
    let mut bytes = STANDARD.decode(base64).unwrap();
    // Behind the key id of four bytes, the last of the eight bytes of the time.
    bytes[11] ^= 1;
    receipt.replace(&line, &format!("{name} {}", STANDARD.encode(bytes)))
}

/// One of the unused bits set, however many there are.
fn stray(base64: &str) -> String {
    let digits = base64.trim_end_matches('=');
    assert!(digits.len() < base64.len(), "no bit is unused in {base64}");
    let (front, last) = digits.split_at(digits.len() - 1);
    format!("{front}{}{}", char::from(last.as_bytes()[0] + 1), &base64[digits.len()..])
}
