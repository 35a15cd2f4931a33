//! Configuration as an operator writes it, right and wrong.

mod registries;

use super::*;

const GOOD: &str = r#"
[edge]
id = "box-17"
data = "data"
durability = "commit"

[auditor]
url = "http://127.0.0.1:7400/"
key = "KEY"

[[model]]
name = "credit-7b"
version = "3"
weights = "credit.bin"
prompts = "prompts"

[[guard]]
name = "pii"
component = "pii.wasm"
models = ["credit-7b"]
mode = "shadow"
on_failure = "allow"
deadline = "50ms"
memory = "8MiB"
settings = { entities = ["email"], action = "redact" }

[[guard]]
name = "off"
component = "pii.wasm"
mode = "off"

[[detector]]
name = "drift"
component = "drift.wasm"
batch = 64
"#;

fn auditor_key() -> String {
    let key = picket_ledger::SigningKey::from_seed("auditor", &[3; 32]).unwrap();
    picket_ledger::receipt::CosignerKey::of(&key).to_string()
}

/// Loads `text` from a folder that holds the files it names.
fn loaded(text: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    for name in ["credit.bin", "pii.wasm", "drift.wasm"] {
        std::fs::write(folder.path().join(name), name).unwrap();
    }
    std::fs::create_dir(folder.path().join("prompts")).unwrap();
    let file = folder.path().join("picket.toml");
    std::fs::write(&file, text.replace("KEY", &auditor_key())).unwrap();
    load(&file)
}

/// The error of a file that differs from the good one in one place, without the folder's name.
fn refused(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "the good file holds {from}");
    let error = loaded(&GOOD.replace(from, to)).unwrap_err().to_string();
    let start = error.find("picket.toml").unwrap();
    error[start..].to_owned()
}

#[test]
fn a_good_file_is_read_with_its_defaults() {
    let config = loaded(GOOD).unwrap();
    assert_eq!(config.edge.id, "box-17");
    assert_eq!(config.edge.retention, Retention::None);
    assert_eq!(config.auditor.unwrap().url, "http://127.0.0.1:7400");
    let [guard] = config.guards.as_slice() else { panic!("the guard that is off is not there") };
    assert_eq!((guard.mode, guard.on_failure), (Mode::Shadow, OnFailure::Allow));
    assert_eq!(guard.settings, r#"{"entities":["email"],"action":"redact"}"#);
    let breaker = guard.breaker.unwrap();
    assert_eq!(
        (breaker.failures, breaker.then),
        (5, OnFailure::Allow),
        "what a failure means, unless it says otherwise"
    );
    let limits = Limits { deadline: Duration::from_millis(50), memory: 8 << 20, answer: 1 << 20, findings: 256 };
    assert_eq!(guard.limits, limits);
    assert_eq!((config.detectors[0].batch, config.detectors[0].limits.deadline), (64, Duration::from_secs(1)));
    assert_eq!(config.ledger.checkpoint_entries, 256);
    assert_eq!(config.ledger.key_lifetime, Some(Duration::from_secs(30 * 86_400)));
    let off = loaded(&GOOD.replacen("[[model]]", "[ledger]\nkey_lifetime = \"off\"\n\n[[model]]", 1)).unwrap();
    assert_eq!(off.ledger.key_lifetime, None);
}

#[test]
fn every_mistake_is_named_with_line_and_key() {
    let cases = [
        ("id = \"box-17\"", "id = \"box 17\"", "picket.toml:3: edge.id: `box 17` is not a name"),
        (
            "durability = \"commit\"",
            "durability = \"later\"",
            "picket.toml:5: edge.durability: `later` is not one of `commit`",
        ),
        ("http://127.0.0.1:7400/", "ftp://auditor", "picket.toml:8: auditor.url: `ftp://auditor` is not an address"),
        ("\"KEY\"", "\"auditor+00000000+AAAA\"", "picket.toml:9: auditor.key: is not a public key"),
        ("credit.bin", "missing.bin", "picket.toml:14: model.credit-7b.weights: "),
        ("prompts = \"prompts\"", "prompts = \"credit.bin\"", "a folder is wanted"),
        (
            "component = \"pii.wasm\"\nmodels",
            "component = \"no.wasm\"\nmodels",
            "picket.toml:19: guard.pii.component: ",
        ),
        (
            "models = [\"credit-7b\"]",
            "models = [\"credit\"]",
            "picket.toml:20: guard.pii.models: there is no [[model]] called `credit`",
        ),
        (
            "mode = \"shadow\"",
            "mode = \"dark\"",
            "picket.toml:21: guard.pii.mode: `dark` is not one of `enforce`, `shadow`, `off`",
        ),
        ("on_failure = \"allow\"", "on_failure = \"pass\"", "picket.toml:22: guard.pii.on_failure: `pass`"),
        ("50ms", "50", "picket.toml:23: guard.pii.deadline: `50` is not a duration"),
        ("8MiB", "8MB", "picket.toml:24: guard.pii.memory: `8MB` is not a size"),
        ("name = \"off\"", "name = \"pii\"", "picket.toml:28: guard.pii.name: this guard is named twice"),
        (
            "mode = \"shadow\"",
            "breaker = \"on\"",
            "picket.toml:21: guard.pii.breaker: is neither `\"off\"` nor a table",
        ),
        (
            "mode = \"shadow\"",
            "breaker = { failures = 0 }",
            "picket.toml:21: guard.pii.breaker.failures: 0 is not a whole",
        ),
        (
            "mode = \"shadow\"",
            "breaker = { pause = \"soon\" }",
            "picket.toml:21: guard.pii.breaker.pause: `soon` does not",
        ),
        ("mode = \"shadow\"", "breaker = { then = \"flag\" }", "picket.toml:21: guard.pii.breaker.then: is not one of"),
        (
            "mode = \"shadow\"",
            "breaker = { than = \"block\" }",
            "picket.toml:21: guard.pii.breaker.than: there is no such",
        ),
        ("batch = 64", "batch = 0", "picket.toml:35: detector.drift.batch: 0 is out of range"),
        ("batch = 64", "bacth = 64", "picket.toml:35: unknown field `bacth`"),
        (
            "[[model]]",
            "[ledger]\nkey_lifetime = \"2h\"\n\n[[model]]",
            "picket.toml:12: ledger.key_lifetime: `2h` is shorter",
        ),
        (
            "[[model]]",
            "[ledger]\nkey_lifetime = \"no\"\n\n[[model]]",
            "picket.toml:12: ledger.key_lifetime: `no` does not",
        ),
        (
            "durability =",
            "witness = \"data/witness\"\ndurability =",
            "picket.toml:5: edge.witness: `data/witness` lies in the data",
        ),
        ("[edge]", "[egde]", "picket.toml:2: unknown field `egde`"),
        ("version = \"3\"", "version = 3", "picket.toml:13: invalid type: integer `3`, expected a string"),
        ("[[model]]", "[[model]", "picket.toml:11: "),
    ];
    for (from, to, expected) in cases {
        let message = refused(from, to);
        assert!(message.contains(expected), "{from} -> {to}: {message}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = load(Path::new("/nowhere/picket.toml")).unwrap_err();
    assert!(error.to_string().starts_with("/nowhere/picket.toml: cannot be read"), "{error}");
}

#[test]
fn the_example_of_the_documentation_is_valid() {
    let page = include_str!("../../../docs/configuration.md");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in ["models", "prompts", "guards"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    for name in ["models/credit-7b.gguf", "guards/structure.wasm", "guards/pii.wasm", "guards/drift.wasm"] {
        std::fs::write(folder.path().join(name), name).unwrap();
    }
    let file = folder.path().join("picket.toml");
    std::fs::write(&file, example).unwrap();
    let config = load(&file).unwrap();
    assert_eq!((config.guards.len(), config.detectors.len(), config.models.len()), (2, 1, 1));
}
