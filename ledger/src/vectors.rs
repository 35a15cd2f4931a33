//! Test vectors of others, against the parts that they are about: Wycheproof's Ed25519 cases, and the examples
//! of RFC 8949 appendix A.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::cbor::{CborError, Reader, Writer};
use crate::hash::{sha256, to_hex};
use crate::note::{PublicKey, SignatureType};

/// All of them under strict verification: what its authors call valid is accepted, what they call invalid is
/// refused, and nothing is left to taste.
#[test]
fn wycheproof_ed25519_cases_are_judged_as_their_authors_say() {
    let suite: Value = serde_json::from_str(include_str!("../tests/vectors/wycheproof_ed25519.json")).unwrap();
    let (mut verdicts, mut wrong) = (BTreeMap::new(), Vec::new());
    for group in suite["testGroups"].as_array().unwrap() {
        let key: [u8; 32] = hex(&group["publicKey"]["pk"]).try_into().unwrap();
        let key = PublicKey::parse(&key_text(&key), SignatureType::Note).expect("no key of the suite is weak");
        for case in group["tests"].as_array().unwrap() {
            let (message, signature) = (hex(&case["msg"]), hex(&case["sig"]));
            let accepted =
                signature.as_slice().try_into().is_ok_and(|signature| key.verify(&message, signature).is_ok());
            let stated = case["result"].as_str().unwrap();
            if accepted != (stated == "valid") {
                wrong.push(format!("{} ({stated}): {}", case["tcId"], case["comment"]));
            }
            *verdicts.entry(stated.to_owned()).or_insert(0) += 1;
        }
    }
    assert!(wrong.is_empty(), "judged wrongly:\n{}", wrong.join("\n"));
    assert_eq!(verdicts, BTreeMap::from([("invalid".to_owned(), 63), ("valid".to_owned(), 88)]));
    assert_eq!(suite["numberOfTests"], 151);
}

fn key_text(key: &[u8; 32]) -> String {
    let id = to_hex(&sha256(&[b"wycheproof\n\x01", &key[..]].concat())[..4]);
    format!("wycheproof+{id}+{}", STANDARD.encode([&[1][..], key].concat()))
}

fn hex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// What the ledger's CBOR makes of an item: its value, or why it is no business of the ledger.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    RoundTrips,
    Refused(&'static str),
}

/// Every example of RFC 8949 appendix A is read and written back byte for byte, or refused for a reason that
/// `docs/ledger-format.md` states.
#[test]
fn examples_of_rfc_8949_round_trip_or_are_refused_for_a_stated_reason() {
    let Some(folder) = std::env::var_os("PICKET_DATA") else {
        // Not with eprintln!, which the test harness keeps to itself when a test passes.
        let reason = "skipped: PICKET_DATA does not name the folder that holds cbor/appendix_a.json\n";
        std::io::stderr().write_all(reason.as_bytes()).unwrap();
        return;
    };
    let path = Path::new(&folder).join("cbor/appendix_a.json");
    let cases: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut outcomes: BTreeMap<Outcome, Vec<String>> = BTreeMap::new();
    for case in cases.as_array().unwrap() {
        let bytes = hex(&case["hex"]);
        let outcome = outcome(&bytes);
        if outcome == Outcome::RoundTrips
            && let Some(decoded) = case.get("decoded")
        {
            let mut reader = Reader::new(&bytes);
            assert_eq!(item(&mut reader, &mut Writer::with_capacity(16)).unwrap(), *decoded, "{}", case["hex"]);
        }
        outcomes.entry(outcome).or_default().push(case["hex"].as_str().unwrap().to_owned());
    }
    let counts: Vec<(&Outcome, usize)> = outcomes.iter().map(|(outcome, cases)| (outcome, cases.len())).collect();
    let expected = [
        (&Outcome::RoundTrips, 31),
        (&Outcome::Refused("a floating-point number"), 22),
        (&Outcome::Refused("a map"), 5),
        (&Outcome::Refused("a negative integer below -2^63"), 1),
        (&Outcome::Refused("a simple value"), 4),
        (&Outcome::Refused("a tag"), 8),
        (&Outcome::Refused("indefinite length"), 11),
    ];
    assert_eq!(counts, expected, "{outcomes:#?}");
}

fn outcome(bytes: &[u8]) -> Outcome {
    let mut reader = Reader::new(bytes);
    let mut writer = Writer::with_capacity(bytes.len());
    match item(&mut reader, &mut writer).and_then(|_| reader.finish()) {
        Ok(()) => {
            assert_eq!(writer.into_bytes(), bytes, "read and written back");
            Outcome::RoundTrips
        }
        Err(CborError::Type { found, .. }) => Outcome::Refused(found),
        Err(CborError::Indefinite { .. }) => Outcome::Refused("indefinite length"),
        Err(CborError::NotShortest { .. }) => Outcome::Refused("not in its shortest form"),
        Err(CborError::Range { .. }) => Outcome::Refused("a negative integer below -2^63"),
        Err(error) => panic!("{bytes:02x?}: {error}"),
    }
}

/// Reads any item that the ledger knows and writes it back. The ledger itself reads by fixed shapes alone.
fn item(reader: &mut Reader<'_>, writer: &mut Writer) -> Result<Value, CborError> {
    Ok(match reader.peek() {
        Some(0..=1) => {
            let negative = reader.peek() == Some(1);
            if negative {
                let value = reader.signed()?;
                writer.signed(value);
                value.into()
            } else {
                let value = reader.unsigned()?;
                writer.unsigned(value);
                value.into()
            }
        }
        Some(2) => {
            let value = reader.bytes()?;
            writer.bytes(value);
            Value::Null
        }
        Some(3) => {
            let value = reader.text()?;
            writer.text(value);
            value.into()
        }
        Some(4) => {
            let members = reader.list()?;
            writer.array(members);
            Value::Array((0..members).map(|_| item(reader, writer)).collect::<Result<_, _>>()?)
        }
        _ => match reader.optional(Reader::boolean)? {
            Some(value) => {
                writer.boolean(value);
                value.into()
            }
            None => {
                writer.null();
                Value::Null
            }
        },
    })
}
