//! Two verifiers that share no code, ours and `examples/verifier`, on the same good and damaged evidence.
//!
//! The cases with their verdicts are kept in `examples/verifier/cases.jsonl`, so that a third verifier can be held
//! against them; `PICKET_WRITE_CASES=1` writes the file anew. The Python side needs `cryptography` and `cbor2`:
//! `PICKET_PYTHON` may name an interpreter that has them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;
mod damage;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use damage::{Case, Log, SIZE, cases, signer};
use picket_ledger::entry::Header;
use picket_ledger::hash::leaf_hash;
use picket_ledger::tree::CompactRange;
use picket_ledger::{Checkpoint, Segment};

const MISSING: &str = "not run: no Python with cryptography and cbor2 (PICKET_PYTHON names one that has them); \
    the independent verifier was NOT compared with ours\n";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/verifier")
}

/// An interpreter that has both libraries. `None` is loud, and an error where `PICKET_PYTHON` promises one.
fn python() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let works = |python: &Path| {
            let run = Command::new(python).args(["-c", "import cbor2, cryptography"]).output();
            run.is_ok_and(|output| output.status.success())
        };
        match std::env::var_os("PICKET_PYTHON") {
            Some(named) => {
                let named = PathBuf::from(named);
                assert!(works(&named), "PICKET_PYTHON={} has no cryptography and cbor2", named.display());
                Some(named)
            }
            None => Some(PathBuf::from("python3")).filter(|python| works(python)),
        }
    });
    if found.is_none() {
        // Not with eprintln!, which the test harness keeps to itself when a test passes.
        std::io::stderr().write_all(MISSING.as_bytes()).unwrap();
    }
    found.as_deref()
}

fn lines<'a>(cases: impl IntoIterator<Item = &'a Case>) -> String {
    cases.into_iter().fold(String::new(), |mut text, case| {
        writeln!(text, "{}", case.to_json()).unwrap();
        text
    })
}

/// Has the script judge case files; what it says of a case must be what the file states.
fn check(python: &Path, file: &Path) -> String {
    let output = Command::new(python).arg(folder().join("check_cases.py")).arg(file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the independent verifier disagrees with ours:\n{said}{errors}");
    said
}

fn scratch(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn our_verdict_is_the_one_that_each_case_was_made_for() {
    let cases = cases();
    let wrong: Vec<String> = cases
        .iter()
        .filter(|case| case.verdict().is_ok() != case.holds)
        .map(|case| format!("{}: {:?}", case.name, case.verdict()))
        .collect();
    assert!(wrong.is_empty(), "judged wrongly:\n{}", wrong.join("\n"));
    let damaged = cases.iter().filter(|case| !case.holds).count();
    assert!(damaged >= 30 && cases.len() - damaged >= 10, "{damaged} damaged cases of {}", cases.len());
    let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), cases.len(), "two cases of one name");
}

#[test]
fn the_case_file_has_the_cases() {
    let path = folder().join("cases.jsonl");
    // What is there for its length alone would make the file ten times as large.
    let cases = cases();
    let text = lines(cases.iter().filter(|case| case.data.len() < 16 * 1024));
    if std::env::var_os("PICKET_WRITE_CASES").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "examples/verifier/cases.jsonl is not what the cases are; PICKET_WRITE_CASES=1 writes it");
}

#[test]
fn the_independent_verifier_agrees_on_every_case() {
    let Some(python) = python() else { return };
    let cases = cases();
    let file = scratch("agreement-cases").join("cases.jsonl");
    fs::write(&file, lines(&cases)).unwrap();
    assert_eq!(check(python, &file).trim(), format!("{} passed, 0 failed", cases.len()));
}

/// Every bit of a segment and of a bundle. A bundle has a few whose change is none: in a cosignature nobody asked for.
#[test]
fn the_independent_verifier_agrees_on_every_flipped_bit() {
    let Some(python) = python() else { return };
    let log = Log::new();
    let good = [
        ("segment", log.segment(3, 5).encode().unwrap(), false),
        ("bundle", log.receipt(4, 5).encode().into_bytes(), false),
        ("receipt", log.receipt(4, 5).encode().into_bytes(), true),
    ];
    let mut cases = Vec::new();
    for (name, data, cosigned) in good {
        for bit in 0..data.len() * 8 {
            let mut bent = data.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            let mut case = Case { cosigned, ..Case::bad(&format!("{name}-bit-{bit}-flipped"), bent) };
            case.holds = case.verdict().is_ok();
            cases.push(case);
        }
    }
    let passed = |name| cases.iter().filter(|case: &&Case| case.holds && case.name.starts_with(name)).count();
    assert_eq!((passed("segment"), passed("receipt")), (0, 0), "flipped bits that pass");
    let file = scratch("agreement-bits").join("cases.jsonl");
    fs::write(&file, lines(&cases)).unwrap();
    assert_eq!(check(python, &file).trim(), format!("{} passed, 0 failed", cases.len()));
}

/// An entry of each kind with each byte changed, signed as it is, so that both come to look at its fields.
/// `PICKET_AGREE_FOLDER` may name a folder of more entries to try, such as the corpus of the fuzz target `entry`.
#[test]
fn the_independent_verifier_agrees_on_entries_with_any_byte_changed() {
    let Some(python) = python() else { return };
    let mut entries = Vec::new();
    for body in common::bodies() {
        let good = common::entry(7, body).encode().unwrap();
        for at in 0..good.len() {
            let mut bent = good.clone();
            // Another type, another length, another number, no UTF-8: in turns.
            bent[at] = [bent[at] ^ 0x20, bent[at].wrapping_add(1), 0, bent[at] ^ 1, 0xff, 0xf6][at % 6];
            entries.push(bent);
        }
        entries.push(good);
    }
    if let Some(folder) = std::env::var_os("PICKET_AGREE_FOLDER") {
        entries.extend(fs::read_dir(folder).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap()));
    }
    let cases: Vec<Case> = (0..)
        .zip(&entries)
        .filter(|(_, entry)| !entry.is_empty())
        .map(|(number, entry)| {
            let mut case = Case::bad(&format!("entry-{number}"), alone(entry));
            case.holds = case.verdict().is_ok();
            case
        })
        .collect();
    let good = cases.iter().filter(|case| case.holds).count();
    assert!(good > 200 && good < cases.len() - 200, "{good} of {} hold", cases.len());
    let file = scratch("agreement-entries").join("cases.jsonl");
    fs::write(&file, lines(&cases)).unwrap();
    assert_eq!(check(python, &file).trim(), format!("{} passed, 0 failed", cases.len()));
}

/// A segment of this entry alone, at the place that it names, behind a log that nobody knows.
fn alone(entry: &[u8]) -> Vec<u8> {
    let first = Header::read(entry).map_or(0, |header| header.index.min(u64::MAX - 1));
    let frontier = vec![[7; 32]; usize::try_from(first.count_ones()).unwrap()];
    let mut log = CompactRange::from_parts(first, frontier.clone()).unwrap();
    log.push(leaf_hash(entry));
    let checkpoint = Checkpoint::new(damage::BOX, log.size(), log.root()).sign(&signer());
    let entries = vec![entry.to_vec()];
    Segment { origin: damage::BOX.into(), first, frontier, entries, checkpoint }.encode().unwrap()
}

/// The program itself: files, folders, exit codes.
#[test]
fn the_script_says_by_its_exit_code_what_holds() {
    let Some(python) = python() else { return };
    let folder_of = |name: &str, segments: &[(&str, Vec<u8>)]| {
        let folder = scratch(&format!("agreement-{name}"));
        segments.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
        folder
    };
    let run = |arguments: &[&str]| {
        let output = Command::new(python).arg(folder().join("picket_verify.py")).args(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let key = signer().verifier().to_string();
    let segment = |log: &Log, first, end| log.segment(first, end).encode().unwrap();
    let (log, other) = (Log::new(), Log::with(1, damage::encoded(1, 2)));

    let parts =
        [("a.segment", segment(&log, 0, 3)), ("b.segment", segment(&log, 3, 8)), ("c.segment", segment(&log, 8, SIZE))];
    let whole = folder_of("whole", &parts);
    let gap = folder_of("gap", &[parts[0].clone(), parts[2].clone()]);
    let fork = folder_of("fork", &[parts[0].clone(), ("b.segment", segment(&other, 3, 8))]);
    let overlap = folder_of("overlap", &[parts[0].clone(), ("b.segment", segment(&log, 2, 8))]);
    let sealed = "00000000000000000000-00000000000000000003-0000000000000000000000000000000000000000000000000000000000000000.segment";
    let renamed = folder_of("renamed", &[(sealed, parts[0].1.clone())]);
    let empty = folder_of("empty", &[]);
    let file = whole.join("a.segment");
    let keyfile = whole.join("box.pub");
    fs::write(&keyfile, format!("{key}\n")).unwrap();
    let shown = |path: &Path| path.to_str().unwrap().to_owned();

    for (code, says, key, path) in [
        (0, "entries 0 to 10 of box-17", &*key, shown(&whole)),
        (0, "entries 0 to 2 of box-17", &shown(&keyfile), shown(&file)),
        (1, "GAP: entries 3 to 7 are missing", &key, shown(&gap)),
        (1, "FORK", &key, shown(&fork)),
        (1, "overlap", &key, shown(&overlap)),
        (1, "its name says another range or digest", &key, shown(&renamed)),
        (1, "nor as a bundle", &key, shown(&keyfile)),
        (2, "no *.segment", &key, shown(&empty)),
        (2, "No such file", &key, shown(&whole.join("missing.segment"))),
        (2, "not of the form", "box-17", shown(&file)),
        (2, "the id does not fit the key", &key.replacen("+", "+0", 1), shown(&file)),
    ] {
        let (found, text) = run(&["--key", key, &path]);
        assert_eq!(found, Some(code), "{path}: {text}");
        assert!(text.contains(says), "{path}: {text}");
    }
    // Hand-overs are learned on the way through a folder; a lone segment of a later epoch needs the chain.
    let (segments, chain) = damage::chains::folder();
    let epochs = folder_of("epochs", &segments);
    let chain_file = whole.join("keys.chain");
    fs::write(&chain_file, chain).unwrap();
    let last = shown(&epochs.join("c.segment"));
    for (code, arguments) in [
        (0, vec![shown(&epochs)]),
        (1, vec![last.clone()]),
        (0, vec!["--chain".into(), shown(&chain_file), last.clone()]),
        (2, vec!["--chain".into(), shown(&file), last]),
    ] {
        let arguments: Vec<&str> = ["--key", &key].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        let (found, text) = run(&arguments);
        assert_eq!(found, Some(code), "{arguments:?}: {text}");
    }
    let (code, text) = run(&["--key", &key, "--json", &shown(&file), &shown(&gap)]);
    assert_eq!(code, Some(1));
    let verified: Vec<bool> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["verified"].as_bool().unwrap())
        .collect();
    assert_eq!(verified, [true, false]);
}

/// Keys that a lenient reader takes: the two agree on them too, before any evidence is read.
#[test]
fn the_script_refuses_weak_keys() {
    use base64::Engine as _;
    let Some(python) = python() else { return };
    let encode = |bytes: &[u8; 32]| {
        let name_and_key = [b"box-17\n\x01", &bytes[..]].concat();
        let id = picket_ledger::hash::to_hex(&picket_ledger::hash::sha256(&name_and_key)[..4]);
        let base64 = base64::engine::general_purpose::STANDARD.encode([&[1][..], bytes].concat());
        format!("box-17+{id}+{base64}")
    };
    let mut keys: Vec<[u8; 32]> =
        curve25519_dalek::constants::EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect();
    // y at and above the prime, with and without the sign bit; points and no points.
    for low in [0xec, 0xed, 0xee, 0xf0, 0xff] {
        for top in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, top);
            keys.push(bytes);
        }
    }
    keys.extend((2..12).map(sha256_of));
    let mut script = String::from("import sys; sys.path.insert(0, sys.argv[1]); import picket_verify as v\n");
    script.push_str(
        "for text in sys.argv[2:]:\n  try: v.Key(text, 1); print('taken')\n  except v.Bad: print('refused')\n",
    );
    let texts: Vec<String> = keys.iter().map(encode).collect();
    let output = Command::new(python).args(["-c", &script]).arg(folder()).args(&texts).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let ours: Vec<&str> = texts
        .iter()
        .map(|text| if picket_ledger::VerifyingKey::parse(text).is_ok() { "taken" } else { "refused" })
        .collect();
    assert_eq!(said.lines().collect::<Vec<_>>(), ours, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(ours.contains(&"taken") && ours.iter().filter(|word| **word == "refused").count() >= 18);
}

/// The script's own strictness around OpenSSL, on the cases that ours passes in `ledger/src/vectors.rs`.
#[test]
fn the_script_passes_the_ed25519_cases_of_wycheproof() {
    let Some(python) = python() else { return };
    let script = r#"
import base64, hashlib, json, sys
sys.path.insert(0, sys.argv[1])
import picket_verify as v
wrong = cases = 0
for group in json.load(open(sys.argv[2]))["testGroups"]:
    raw = b"\x01" + bytes.fromhex(group["publicKey"]["pk"])
    name = hashlib.sha256(b"w\n" + raw).hexdigest()[:8]
    key = v.Key(f"w+{name}+{base64.b64encode(raw).decode()}", 1)
    for case in group["tests"]:
        cases += 1
        try:
            key.verify(bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"]), case["comment"])
            accepted = True
        except v.Bad:
            accepted = False
        if accepted != (case["result"] == "valid"):
            wrong += 1
            print("wrong:", case["tcId"], case["result"], case["comment"])
print(cases, "cases,", wrong, "wrong")
"#;
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/wycheproof_ed25519.json");
    let output = Command::new(python).args(["-c", script]).arg(folder()).arg(suite).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), "151 cases, 0 wrong", "{}", String::from_utf8_lossy(&output.stderr));
}

fn sha256_of(byte: u8) -> [u8; 32] {
    picket_ledger::hash::sha256(&[byte])
}
