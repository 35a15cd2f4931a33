//! Who may vouch for a guard: nothing runs that the trust policy does not let in.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use picket_ledger::SigningKey;
use picket_ledger::note::Note;
use serde_json::Value;
use support::vetting::Vetting;
use support::{Place, guard, inference};

fn pii(more: &str) -> String {
    format!("[[guard]]\nname = \"pii\"\ncomponent = \"{}\"\n{more}\n", guard("pii"))
}

/// The ledger was never opened: there is none.
#[track_caller]
fn left_nothing(place: &Place) {
    assert!(!place.path("data/ledger").exists(), "a refused start leaves no ledger");
}

#[test]
fn an_unsigned_guard_is_refused_with_its_line_and_what_to_do() {
    let place = Place::new("", &format!("[trust]\n{}", pii("")));
    let what = ["picket.toml:7: guard `pii`: ", "nobody signed", "picket guard sign", "--allow-unsigned"];
    place.check(&inference("a", "x")).expect(2).says(&what);
    place.picket(&["run"]).expect(2).says(&what);
    let doctor = place.picket(&["doctor"]).expect(1);
    assert!(doctor.stdout.contains("nobody signed"), "{doctor:?}");
    left_nothing(&place);
}

#[test]
fn an_unsigned_detector_is_refused_too_and_a_signed_one_is_not() {
    let vetting = Vetting::new(&["a"]);
    let place = &vetting.place;
    std::fs::copy(guard("drift"), place.path("drift.wasm")).unwrap();
    let detector = "[[detector]]\nname = \"drift\"\ncomponent = \"drift.wasm\"\n";
    let configure =
        |trust: &str| place.configure("", &format!("[trust.keys]\na = \"{}\"\n{trust}{detector}", vetting.public("a")));
    configure("");
    place.check(&inference("a", "x")).expect(2).says(&["guard `drift`: ", "nobody signed"]);
    left_nothing(place);
    place.picket(&["guard", "sign", "drift.wasm", "--key", "a.key"]).expect(0);
    place.check(&inference("a", "x")).expect(0);
    let load = &vetting.loads()[0];
    assert_eq!((&load["world"], &load["signers"][0]), (&"detector".into(), &vetting.id("a").into()));
}

#[test]
fn unsigned_guards_run_when_told_to_and_the_ledger_says_so() {
    let place = Place::new("", &format!("[trust]\n{}", pii("")));
    place.pipe(&["check", "--allow-unsigned"], &inference("a", "x")).expect(0);
    let doctor = place.picket(&["doctor", "--allow-unsigned"]).stdout;
    assert!(doctor.contains("1 guards and 0 detectors load"), "{doctor}");
    place.configure("", &format!("[trust]\nunsigned = \"allow\"\n{}", pii("")));
    place.check(&inference("b", "x")).expect(0);
    let loads = place.entries("guard-load");
    assert_eq!(loads.len(), 2);
    for load in loads {
        let load = &load["body"]["guard-load"];
        assert_eq!(load["admitted"], "unsigned allowed");
        assert_eq!(load["signers"].as_array().unwrap().len(), 0);
        assert!(load["statement"].is_null());
    }
}

#[test]
fn a_signed_guard_runs_and_its_entry_names_who_signed_it_and_what() {
    let vetting = Vetting::new(&["a", "b"]);
    vetting.configure("", "", "[[trust.rule]]\nguards = [\"pii\"]\nany_of = [\"a\", \"b\"]");
    let signed = vetting.sign("a");
    for line in ["picket-guard-statement/v1\n", "\nworld validator\nname pii\n", "\nlimits {}\n"] {
        assert!(signed.stdout.contains(line), "{signed:?}");
    }
    vetting.check().expect(0);
    vetting.sign("b");
    // Again is no second line.
    assert!(vetting.sign("b").stderr.contains("already"));
    vetting.check().expect(0);
    let loads = vetting.loads();
    assert_eq!(loads[0]["signers"], serde_json::json!([vetting.id("a")]));
    assert_eq!(loads[1]["signers"], serde_json::json!([vetting.id("a"), vetting.id("b")]));
    let text = vetting.signature();
    let statement = picket_ledger::hash::sha256(Note::parse(&text).unwrap().text().as_bytes());
    for load in &loads {
        assert_eq!(load["statement"], picket_ledger::hash::to_hex(&statement));
        assert_eq!(load["admitted"], "any of a, b");
    }
    // The policy document holds the keys and the rule: who changes them changes the policy of every verdict.
    let config = &vetting.place.entries("config")[0]["body"]["config"]["document"];
    let document: Value = serde_json::from_str(config.as_str().unwrap()).unwrap();
    assert_eq!(document["trust"]["keys"]["a"], vetting.public("a"));
    assert_eq!(document["trust"]["rules"][0]["any_of"], serde_json::json!(["a", "b"]));
    let log = vetting.place.picket(&["log", "--kind", "guard-load", "--limit", "0"]).expect(0);
    let signed = format!("signed by {}, {}", vetting.id("a"), vetting.id("b"));
    assert!(log.stdout.contains(&signed), "{log:?}");
    vetting.place.check(&inference("last", "x")).expect(0);
    let trace = vetting.place.picket(&["trace", "last"]).expect(0);
    assert!(trace.stdout.contains(&signed), "{trace:?}");
    vetting.place.verify();
}

#[test]
fn rules_count_for_the_guards_that_they_name() {
    let vetting = Vetting::new(&["a", "b"]);
    vetting.sign("a");
    vetting.configure("", "", "[[trust.rule]]\nguards = [\"pii\"]\nall_of = [\"a\", \"b\"]");
    vetting.refused(&["is signed by", &vetting.id("a"), "wants all of a, b"]);
    vetting.sign("b");
    vetting.check().expect(0);
    // The first rule that names it counts, though a later one would let it in.
    vetting.place.write("pii.wasm.sig", "");
    std::fs::remove_file(vetting.place.path("pii.wasm.sig")).unwrap();
    vetting.sign("a");
    let second = "[[trust.rule]]\nguards = [\"*\"]\nany_of = [\"a\"]";
    vetting.configure("", "", &format!("[[trust.rule]]\nguards = [\"pii\"]\nany_of = [\"b\"]\n{second}"));
    vetting.refused(&["wants any of b"]);
    // Without a rule any key will do.
    vetting.configure("", "", "");
    vetting.check().expect(0);
}

#[test]
fn whatever_was_altered_or_comes_from_a_stranger_is_refused() {
    let vetting = Vetting::new(&["a", "stranger"]);
    vetting.configure("", "", "");
    vetting.sign("stranger");
    vetting.refused(&["none of them is in [trust.keys]", &vetting.id("stranger")]);
    std::fs::remove_file(vetting.place.path("pii.wasm.sig")).unwrap();
    vetting.sign("a");
    let (good, component) = (vetting.signature(), std::fs::read(vetting.place.path("pii.wasm")).unwrap());
    vetting.check().expect(0);
    // The component.
    let mut altered = component.clone();
    *altered.last_mut().unwrap() ^= 1;
    vetting.place.write("pii.wasm", &altered);
    vetting.refused(&["its signature is for sha256:"]);
    // Another guard under the signature of this one.
    std::fs::copy(guard("hostile"), vetting.place.path("pii.wasm")).unwrap();
    vetting.refused(&["the signature is another guard's"]);
    vetting.place.write("pii.wasm", &component);
    // The statement.
    vetting.place.write("pii.wasm.sig", good.replace("world validator", "world detector"));
    vetting.refused(&["does not verify"]);
    vetting.place.write("pii.wasm.sig", "no note\n");
    vetting.refused(&["its signature cannot be read"]);
    vetting.place.write("pii.wasm.sig", [0xff, 0xfe]);
    vetting.refused(&["pii.wasm.sig"]);
    std::fs::remove_file(vetting.place.path("pii.wasm.sig")).unwrap();
    std::fs::create_dir(vetting.place.path("pii.wasm.sig")).unwrap();
    vetting.refused(&["pii.wasm.sig: it is not a file"]);
    std::fs::remove_dir(vetting.place.path("pii.wasm.sig")).unwrap();
    vetting.place.write("pii.wasm.sig", "x".repeat(1 << 20));
    vetting.refused(&["its signature cannot be read"]);
    // Every bit of a signature file is tried in host/src/guards/tests.rs; some of them here, through the program.
    for bit in (0..good.len() * 8).step_by(211) {
        let mut flipped = good.clone().into_bytes();
        flipped[bit / 8] ^= 1 << (bit % 8);
        vetting.place.write("pii.wasm.sig", &flipped);
        vetting.check().expect(2).says(&["guard `pii`"]);
    }
    vetting.place.write("pii.wasm.sig", &good);
    vetting.check().expect(0);
}

#[test]
fn a_signed_lie_about_what_a_guard_says_of_itself_is_refused() {
    let vetting = Vetting::new(&["a"]);
    vetting.configure("", "", "");
    let lies = [
        ("name pii", "name pit", "its `name`"),
        ("world validator", "world streaming-validator", "its `world`"),
        ("\nversion ", "\nversion 9", "its `version`"),
        ("\nlimits {}", "\nlimits {\"deadline_ms\":5}", "its `limits`"),
    ];
    for (from, to, field) in lies {
        drop(std::fs::remove_file(vetting.place.path("pii.wasm.sig")));
        vetting.sign("a");
        vetting.lie("a", from, to);
        vetting.refused(&["says something else of", field]);
    }
    for field in ["descriptor", "settings-schema"] {
        drop(std::fs::remove_file(vetting.place.path("pii.wasm.sig")));
        vetting.sign("a");
        let file = vetting.signature();
        let line = file.lines().find(|line| line.starts_with(field)).unwrap();
        vetting.lie("a", line, &format!("{field} sha256:{}", "0".repeat(64)));
        vetting.refused(&[&format!("its `{field}`")]);
        vetting.place.picket(&["guard", "verify", "pii.wasm"]).expect(1);
    }
}

#[test]
fn mistakes_in_the_policy_are_named_with_their_line() {
    let vetting = Vetting::new(&["a", "b"]);
    let wrong = |trust: &str, more: &str, words: &[&str]| {
        vetting.configure("", trust, more);
        vetting.check().expect(2).says(words);
    };
    let rule = |rule: &str| format!("[[trust.rule]]\n{rule}");
    wrong("unsigned = \"never\"", "", &["picket.toml:6: trust.unsigned: `never` is not one of `refuse`, `allow`"]);
    wrong("revoked = \"none.toml\"", "", &["picket.toml:6: trust.revoked", "none.toml cannot be opened"]);
    let line = "picket.toml:";
    wrong("", &rule("guards = [\"pii\"]\nany_of = [\"c\"]"), &[line, "trust.rule.any_of: there is no key called `c`"]);
    wrong(
        "",
        &rule("guards = [\"pit\"]\nany_of = [\"a\"]"),
        &["trust.rule.guards: there is no [[guard]] or [[detector]] called `pit`"],
    );
    wrong("", &rule("guards = [\"pii\"]"), &["says nobody who must have signed"]);
    wrong("", &rule("guards = [\"pii\"]\nall_of = []\nany_of = [\"a\"]"), &["says nobody who must have signed"]);
    wrong("", &rule("guards = []\nany_of = [\"a\"]"), &["trust.rule.guards: is empty"]);
    wrong("", "[trust.keys.c]\ncosign = \"pii.wasm\"", &["trust.keys.c", "PUBLIC KEY"]);
    wrong("", "[trust.keys.c]\ncosine = \"x\"", &["a key is a text as `picket guard keygen` prints it"]);
    let twin = format!(
        "[[guard]]\nname = \"b\"\ncomponent = \"pii.wasm\"\n[trust.keys]\na = \"{0}\"\nb = \"{0}\"\n",
        vetting.public("a")
    );
    vetting.place.configure("", &twin);
    vetting.check().expect(2).says(&["picket.toml:10: trust.keys.b: is the same key as `a`"]);
    vetting.place.configure("", "[trust.keys]\na = \"a+00000000+AAAA\"\n");
    vetting.check().expect(2).says(&["picket.toml:6: trust.keys.a: is not a public key", "picket guard keygen"]);
    let many: String = (0..17)
        .map(|number| {
            let key = SigningKey::from_seed("k", &[number; 32]).unwrap().verifier();
            format!("k{number:02} = \"{key}\"\n")
        })
        .collect();
    vetting.place.configure("", &format!("[trust.keys]\n{many}"));
    vetting.check().expect(2).says(&["picket.toml:22: trust.keys.k16: is one key too many; at most 16"]);
}

#[test]
fn keys_that_others_can_read_sign_nothing_and_no_key_is_written_over() {
    use std::os::unix::fs::PermissionsExt as _;
    let vetting = Vetting::new(&["a"]);
    let key = vetting.place.path("a.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o7777, 0o600);
    vetting.place.picket(&["guard", "keygen", "--name", "a", "-o", "a.key"]).expect(2).says(&["a.key", "exists"]);
    vetting
        .place
        .picket(&["guard", "keygen", "--name", "a b", "-o", "b.key"])
        .expect(2)
        .says(&["cannot be a key name"]);
    let sign = || vetting.place.picket(&["guard", "sign", "pii.wasm", "--key", "a.key"]);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    sign().expect(2).says(&["mode 0644 lets others at this key", "chmod 600"]);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(&key, vetting.place.path("real.key")).unwrap();
    std::os::unix::fs::symlink("real.key", &key).unwrap();
    sign().expect(2).says(&["is not a plain file"]);
    assert!(!vetting.place.path("pii.wasm.sig").exists());
}

#[test]
fn verify_says_whose_a_component_is() {
    let vetting = Vetting::new(&["a", "b"]);
    vetting.configure("", "unsigned = \"allow\"", "[[trust.rule]]\nguards = [\"pii\"]\nall_of = [\"a\", \"b\"]");
    let verify = |more: &[&str]| vetting.place.picket(&[&["guard", "verify", "pii.wasm"], more].concat());
    // Who signed it is the question, also where unsigned ones may run.
    assert!(verify(&[]).expect(1).stdout.contains("nobody signed"));
    vetting.sign("a");
    let (a, b) = (vetting.public("a"), vetting.public("b"));
    assert!(verify(&[]).expect(0).stdout.starts_with("VERIFIED  pii.wasm is signed by a+"));
    assert!(verify(&["--guard", "pii"]).expect(1).stdout.contains("wants all of a, b"));
    verify(&["--guard", "other"]).expect(2).says(&["--guard", "`other`"]);
    verify(&["--key", a]).expect(0);
    verify(&["--key", a, "--key", b]).expect(1);
    verify(&["--key", "a"]).expect(2).says(&["--key a"]);
    let verified = verify(&["--json", "--key", a]).expect(0).json().remove(0);
    assert_eq!((&verified["verified"], &verified["signers"][0]), (&true.into(), &vetting.id("a").into()));
    assert_eq!(verify(&["--json", "--key", b]).expect(1).json()[0]["verified"], false);
    vetting.place.picket(&["guard", "verify", "none.wasm", "--key", a]).expect(2).says(&["none.wasm"]);
    // A second signature is over the same statement or it is none.
    std::fs::copy(guard("hostile"), vetting.place.path("pii.wasm")).unwrap();
    let sign = vetting.place.picket(&["guard", "sign", "pii.wasm", "--key", "b.key"]);
    sign.expect(2).says(&["is a signature over another statement"]);
}

#[test]
fn limits_are_granted_up_to_what_was_signed() {
    let vetting = Vetting::new(&["a"]);
    let give = |line: &str| {
        let keys = format!("[trust.keys]\na = \"{}\"\n", vetting.public("a"));
        vetting.place.configure("", &format!("{keys}[[guard]]\nname = \"pii\"\ncomponent = \"pii.wasm\"\n{line}\n"));
        vetting.check()
    };
    vetting.declare(r#"{"deadline_ms":5000,"memory_bytes":16777216,"findings":8}"#);
    let signed = vetting.sign("a");
    assert!(
        signed.stdout.contains("limits {\"deadline_ms\":5000,\"findings\":8,\"memory_bytes\":16777216}"),
        "{signed:?}"
    );
    // More than the default must be given in so many words, and what is less holds by itself.
    give("").expect(2).says(&["guard `pii`", "asks for 5000 ms of deadline, more than the default", "`deadline`"]);
    give("deadline = \"5s\"").expect(0);
    let config = &vetting.place.entries("config")[0]["body"]["config"]["document"];
    let document: Value = serde_json::from_str(config.as_str().unwrap()).unwrap();
    let in_force = &document["guards"][0];
    assert_eq!((&in_force["memory"], &in_force["findings"]), (&16_777_216.into(), &8.into()));
    // Beyond what was signed nothing is given.
    let cases = [
        ("deadline = \"6s\"", "`deadline` gives it 6000 ms, and what was signed is for at most 5000 ms"),
        ("deadline = \"5s\"\nmemory = \"17MiB\"", "`memory` gives it 17825792 bytes"),
        ("deadline = \"5s\"\nfindings = 9", "`findings` gives it 9"),
    ];
    for (line, words) in cases {
        give(line).expect(2).says(&[words]);
    }
    give("deadline = \"5s\"\nmemory = \"8MiB\"\nfindings = 4\nanswer = \"2MiB\"").expect(0);
    // What asks for the impossible, or cannot be read.
    for (limits, words) in
        [(r#"{"table_elements":70000}"#, "table elements"), (r#"{"deadline_ms":0}"#, "picket:limits")]
    {
        vetting.declare(limits);
        drop(std::fs::remove_file(vetting.place.path("pii.wasm.sig")));
        vetting.place.pipe(&["check", "--allow-unsigned"], &inference("a", "x")).expect(2).says(&[words]);
    }
}

#[test]
fn cosign_vouches_for_a_component_alone() {
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
    let vetting = Vetting::new(&["a"]);
    let random = ring::rand::SystemRandom::new();
    let pair = |_| {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap()
    };
    let (vendor, stranger) = (pair(()), pair(()));
    let prefix = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
    let mut der: Vec<u8> =
        (0..prefix.len()).step_by(2).map(|at| u8::from_str_radix(&prefix[at..at + 2], 16).unwrap()).collect();
    der.extend(vendor.public_key().as_ref());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64(&der));
    vetting.place.write("vendor.pub", pem);
    let component = std::fs::read(vetting.place.path("pii.wasm")).unwrap();
    let sign = |pair: &EcdsaKeyPair| base64(pair.sign(&random, &component).unwrap().as_ref());
    let cosign = |text: &str| vetting.place.write("pii.wasm.cosign.sig", text);
    let rule = "[[trust.rule]]\nguards = [\"pii\"]\n";
    vetting.configure("", "", &format!("{rule}any_of = [\"vendor\"]\n[trust.keys.vendor]\ncosign = \"vendor.pub\""));
    cosign(&sign(&stranger));
    vetting.refused(&["its signature of cosign verifies with no key of [trust.keys]"]);
    let good = sign(&vendor);
    cosign(&good.replacen(&good[20..21], if &good[20..21] == "A" { "B" } else { "A" }, 1));
    vetting.refused(&["cosign"]);
    cosign(&good);
    vetting.check().expect(0);
    let load = &vetting.loads()[0];
    assert_eq!(load["admitted"], "any of vendor; vendor by cosign, for the component alone");
    // What was signed is the component itself.
    assert_eq!(load["statement"], load["component"]);
    let signer = load["signers"][0].as_str().unwrap().to_owned();
    assert!(signer.starts_with("vendor+") && signer.len() == "vendor+".len() + 8, "{signer}");
    // Beside a statement of ours, both count.
    vetting.configure(
        "",
        "",
        &format!("{rule}all_of = [\"a\", \"vendor\"]\n[trust.keys.vendor]\ncosign = \"vendor.pub\""),
    );
    vetting.refused(&["wants all of a, vendor"]);
    vetting.sign("a");
    vetting.check().expect(0);
    assert_eq!(vetting.loads()[1]["signers"], serde_json::json!([vetting.id("a"), signer]));
    let mut altered = component.clone();
    *altered.last_mut().unwrap() ^= 1;
    vetting.place.write("pii.wasm", altered);
    std::fs::remove_file(vetting.place.path("pii.wasm.sig")).unwrap();
    vetting.refused(&["cosign"]);
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let number =
            group.iter().fold(0_usize, |number, &byte| number << 8 | usize::from(byte)) << (8 * (3 - group.len()));
        let letter =
            |at: usize| if at <= group.len() { char::from(LETTERS[number >> (18 - 6 * at) & 63]) } else { '=' };
        (0..4).map(letter).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}
