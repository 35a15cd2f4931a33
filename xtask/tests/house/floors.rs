//! Who may import whom: between crates, between the host's modules, and where sled may be named.

use crate::source::{code, is_word, module_paths};

/// Each crate, the workspace crates it may depend on, and those it may use in tests besides.
const CRATES: &[(&str, &[&str], &[&str])] = &[
    ("picket-ledger", &[], &[]),
    ("picket-store", &["picket-ledger"], &[]),
    ("picket-engine", &[], &[]),
    ("picket-sdk", &[], &[]),
    // Benchmarks call a guard's code natively beside the same guard in the sandbox, and the tests of the whole run both programs.
    (
        "picket",
        &["picket-ledger", "picket-store", "picket-engine"],
        &["picket-auditor", "picket-sdk", "picket-guard-structure", "picket-guard-pii", "picket-guard-drift"],
    ),
    // It replays guards, so the engine may join; the host never.
    ("picket-auditor", &["picket-ledger", "picket-store", "picket-engine"], &[]),
    ("xtask", &[], &[]),
    // Benchmarks, outside of the workspace.
    ("picket-peers", &["picket-store"], &[]),
    // Outside of the workspace: writes the C bindings of the template.
    ("picket-c-bindings", &[], &[]),
    // Stands beside the workspace, with libFuzzer.
    ("picket-fuzz", &["picket-ledger"], &[]),
    ("picket-fuzz-guards", &["picket-engine"], &[]),
];

/// A guard knows the SDK and nothing else of the house.
const GUARD: &str = "picket-guard-";

/// The host's modules, lowest floor first. A module may name those that stand before it. The table in host/src/lib.rs
/// shows the same to its readers, and a test keeps them equal. The sequencer stands below those who hand it entries.
const HOST: &[&str] = &[
    "tls",
    "oci",
    "config",
    "keys",
    "guards",
    "inference",
    "measure",
    "payload",
    "provenance",
    "sequencer",
    "pipeline",
    "detectors",
    "evidence",
    "sync",
    "retention",
    "service",
    "gateway",
    "cli",
];

/// Complaints about one Cargo.toml.
pub(crate) fn manifest(path: &str, text: &str) -> Vec<String> {
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return vec![format!("{path}: {error}")],
    };
    let Some(name) = table.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str) else {
        return Vec::new();
    };
    let (allowed, tests_only): (&[&str], &[&str]) = match CRATES.iter().find(|known| known.0 == name) {
        Some(known) => (known.1, known.2),
        None if name.starts_with(GUARD) => (&["picket-sdk"], &[]),
        None => return vec![format!("{path}: {name} has no floor; give it one in xtask/tests/house/floors.rs")],
    };
    let mut sections = vec![&table];
    if let Some(targets) = table.get("target").and_then(toml::Value::as_table) {
        sections.extend(targets.values().filter_map(toml::Value::as_table));
    }
    let mut complaints = Vec::new();
    for section in sections {
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let Some(dependencies) = section.get(kind).and_then(toml::Value::as_table) else { continue };
            for (key, value) in dependencies {
                // `renamed = { package = "…" }` is a dependency on the package.
                let used = value.get("package").and_then(toml::Value::as_str).unwrap_or(key);
                let ours = used == "picket" || used.starts_with("picket-") || used == "xtask";
                let fine = allowed.contains(&used) || (kind == "dev-dependencies" && tests_only.contains(&used));
                if ours && !fine {
                    complaints.push(format!("{path}: {name} must not have {used} in [{kind}]"));
                }
            }
        }
    }
    complaints
}

/// Complaints about one file below host/src/. The crate's root and the binary stand above all floors.
pub(crate) fn host_module(path: &str, text: &str) -> Vec<String> {
    let inside = path.trim_start_matches("host/src/");
    if matches!(inside, "lib.rs" | "main.rs") {
        return Vec::new();
    }
    let module = inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs");
    let Some(own) = floor(module) else {
        return vec![format!("{path}: module {module} has no floor; give it one in xtask/tests/house/floors.rs")];
    };
    let depth = inside.trim_end_matches(".rs").trim_end_matches("/mod").split('/').count();
    module_paths(&code(text), depth)
        .into_iter()
        .filter(|(_, named)| floor(named).is_some_and(|named| named > own))
        .map(|(line, named)| format!("{path}:{line}: {module} names {named}, which is a higher floor"))
        .collect()
}

fn floor(module: &str) -> Option<usize> {
    HOST.iter().position(|known| *known == module)
}

/// Complaints about the table of modules in the documentation of the host's root: other modules, or another order.
pub(crate) fn host_table(text: &str) -> Vec<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | [`")?.split('`').next());
    let shown: Vec<&str> = rows.collect();
    if shown == HOST { Vec::new() } else { vec![format!("the table says {shown:?}\nthe floors are {HOST:?}")] }
}

/// Whether code, not a comment or a text, names the crate sled. A module of ours may have its name.
pub(crate) fn names_sled(text: &str) -> bool {
    let code = code(text);
    code.match_indices("sled").any(|(at, name)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        let whole = !before.ends_with(is_word) && !after.starts_with(is_word);
        let ours = ["crate::", "super::", "self::"].iter().any(|start| before.ends_with(start));
        let path =
            after.starts_with("::") || ["use", "crate", "{", ","].iter().any(|word| before.trim_end().ends_with(word));
        whole && !ours && path
    })
}

/// Complaints about the set of files that name sled.
pub(crate) fn sled_files(naming: &[&str]) -> Vec<String> {
    let (store, others): (Vec<&str>, Vec<&str>) = naming.iter().partition(|path| path.starts_with("ledger/store/src/"));
    let mut complaints: Vec<String> = others
        .into_iter()
        .filter(|path| !path.starts_with("auditor/src/index") && !path.contains("/tests/"))
        .map(|path| format!("{path} names sled"))
        .collect();
    if store.len() > 1 {
        complaints.push(format!("more than one file of the store names sled: {}", store.join(", ")));
    }
    complaints
}

#[test]
fn a_dependency_that_points_up_is_found() {
    let sample = |name: &str, rest: &str| manifest("x/Cargo.toml", &format!("[package]\nname = \"{name}\"\n{rest}"));
    assert!(sample("picket-store", "[dependencies]\npicket-ledger.workspace = true\nsled = \"1\"").is_empty());
    for (name, rest) in [
        ("picket-ledger", "[dependencies]\npicket-store.workspace = true"),
        ("picket-engine", "[dev-dependencies]\npicket-ledger = { path = \"../ledger\" }"),
        ("picket-auditor", "[dependencies]\npicket = { path = \"..\" }"),
        ("picket-auditor", "[build-dependencies]\nhost = { path = \"..\", package = \"picket\" }"),
        ("picket", "[dependencies]\npicket-guard-pii = { path = \"plugins/pii\" }"),
        ("picket-guard-pii", "[target.'cfg(unix)'.dependencies]\npicket-engine.workspace = true"),
        ("xtask", "[dependencies]\npicket-ledger.workspace = true"),
    ] {
        assert_eq!(sample(name, rest).len(), 1, "{name}: {rest}");
    }
    assert!(sample("picket", "[dev-dependencies]\npicket-guard-pii = { path = \"plugins/pii\" }").is_empty());
    assert!(sample("picket-new", "").join("").contains("no floor"));
    assert!(manifest("x/Cargo.toml", "[package").join("").contains("x/Cargo.toml"));
}

#[test]
fn a_module_that_names_a_higher_floor_is_found() {
    for (path, text) in [
        ("host/src/config/mod.rs", "use crate::gateway::Gateway;"),
        ("host/src/measure.rs", "fn f() { crate::sequencer::go(); }"),
        ("host/src/sequencer/mod.rs", "use crate::detectors::Feeder;"),
        ("host/src/pipeline/run.rs", "use crate::{config::Config, sync::{self, Link}};"),
        ("host/src/pipeline/run.rs", "use super::super::cli::Arguments;"),
        ("host/src/pipeline/mod.rs", "use super::cli::Arguments;"),
        ("host/src/pipeline.rs", "use super::cli::Arguments;"),
    ] {
        assert_eq!(host_module(path, text).len(), 1, "{path}: {text}");
    }
    for (path, text) in [
        ("host/src/cli/run.rs", "use crate::gateway::Gateway;"),
        ("host/src/config/mod.rs", "// crate::gateway\nconst A: &str = \"crate::gateway\"; use crate::config::raw;"),
        ("host/src/pipeline/run.rs", "use super::sync; // a child of pipeline of that name"),
        ("host/src/lib.rs", "pub use crate::cli::main;"),
    ] {
        assert!(host_module(path, text).is_empty(), "{path}: {text}");
    }
    assert!(host_module("host/src/attic.rs", "").join("").contains("no floor"));
}

#[test]
fn a_table_of_modules_in_another_order_is_found() {
    let table = |names: &[&str]| names.iter().map(|name| format!("//! | [`{name}`] | does |\n")).collect::<String>();
    assert!(host_table(&table(HOST)).is_empty());
    let mut turned = HOST.to_vec();
    turned.swap(2, 3);
    assert_eq!(host_table(&table(&turned)).len(), 1);
    assert_eq!(host_table(&table(&HOST[1..])).len(), 1);
}

#[test]
fn a_second_name_of_the_store_is_found() {
    assert!(names_sled("use sled::Db;"));
    assert!(names_sled("fn f(tree: &::sled::Tree) {}"));
    assert!(names_sled("use sled as store;"));
    assert!(!names_sled("//! sled is below\nconst A: &str = \"sled\"; mod sled; use crate::sled::SledStore;"));
    assert!(sled_files(&["ledger/store/src/sled_store.rs", "auditor/src/index.rs"]).is_empty());
    assert_eq!(sled_files(&["ledger/store/src/sled_store.rs", "ledger/store/src/log.rs"]).len(), 1);
    assert_eq!(sled_files(&["host/src/sequencer.rs", "ledger/src/tree.rs"]).len(), 2);
}
