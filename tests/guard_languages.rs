//! `picket guard new` and `picket guard build`: in each language a folder that builds, and a guard that judges.
//!
//! Rust is always there. Tools of the other languages are taken from the `PATH`, and from the folder that
//! `PICKET_LANGUAGES` names (`.ci/run` fills it); without a tool a test says SKIPPED, and fails where `CI` is set.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::Value;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use support::{Place, Ran};

/// Folders that hold commands: those of PICKET_LANGUAGES first.
fn path() -> OsString {
    let tools = std::env::var_os("PICKET_LANGUAGES")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/languages"), PathBuf::from);
    let own = [tools.join("npm/node_modules/.bin"), tools.join("venv/bin")];
    let system = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(own.into_iter().chain(std::env::split_paths(&system))).unwrap()
}

/// Whether one of these commands is there. If not, says so, and fails in CI.
fn have(commands: &[&str]) -> bool {
    let found = std::env::split_paths(&path()).any(|folder| commands.iter().any(|name| folder.join(name).is_file()));
    if !found {
        assert!(std::env::var_os("CI").is_none(), "none of {commands:?} is there, and CI must have one");
        println!("SKIPPED: none of {commands:?} is there");
    }
    found
}

fn build(place: &Place, folder: &str) -> Command {
    let mut command = place.command(&["--json", "guard", "build", folder]);
    // What Cargo has built of others' crates is kept from run to run.
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/languages/rust");
    command.env("PATH", path()).env("CARGO_TARGET_DIR", target);
    command
}

#[track_caller]
fn built(place: &Place, folder: &str) -> Value {
    Ran::of(build(place, folder).output().unwrap()).expect(0).json().remove(0)
}

/// From nothing to a judged output.
fn exercise(lang: &str, largest: u64) -> Place {
    let place = Place::new("", "");
    place.picket(&["guard", "new", "words", "--lang", lang]).expect(0);
    let made = built(&place, "words");
    assert_eq!((made["world"].as_str(), made["lang"].as_str()), (Some("validator"), Some(lang)));
    assert!(made["bytes"].as_u64().unwrap() < largest, "{made}");
    let limits = &made["limits"];
    assert!(
        limits["deadline_ms"].as_u64() >= Some(20) && limits["memory_bytes"].as_u64() >= Some(16 << 20),
        "{limits}"
    );

    let inspected = place.picket(&["--json", "guard", "inspect", "words/words.wasm"]).expect(0).json().remove(0);
    assert_eq!(inspected["imports"], serde_json::json!([]));
    assert_eq!(inspected["digest"], made["digest"]);
    assert_eq!(inspected["snapshot"], true, "{inspected}");

    // The limits it asks for are enough, but for the time: tests share their machine.
    let memory = limits["memory_bytes"].as_u64().unwrap();
    let guard = |settings: &str| {
        format!(
            "[[guard]]\nname = \"words\"\ncomponent = \"words/words.wasm\"\ndeadline = \"10s\"\nmemory = \"{memory}B\"\n\
             settings = {settings}\n"
        )
    };
    place.configure(
        "",
        &format!("[trust]\nunsigned = \"allow\"\n{}", guard("{ words = [\"tail\"], action = \"redact\" }")),
    );
    let answer = place.check(&support::inference("a", "Détail and TAIL, dé")).expect(0).json().remove(0);
    assert_eq!(answer["output"]["text"], "Dé[removed] and [removed], dé");
    let spans: Vec<&Value> = answer["findings"].as_array().unwrap().iter().map(|finding| &finding["span"]).collect();
    assert_eq!(spans, [&serde_json::json!([3, 7]), &serde_json::json!([12, 16])]);
    assert_eq!(answer["measurements"]["words.matches"], 2);

    place.configure(
        "",
        &format!("[trust]\nunsigned = \"allow\"\n{}", guard("{ words = [\"a\", \"\"], action = \"flag\" }")),
    );
    place.check("").expect(2).says(&["words", "/words/1"]);
    place
}

/// The cases are the same in every language. Each of their settings is compiled twice, which takes a minute or two where the
/// component brings an interpreter.
fn passes_the_cases(place: &Place) {
    place.picket(&["guard", "test", "words/words.wasm", "--min-coverage", "100"]).expect(0);
}

#[test]
fn a_guard_in_rust() {
    passes_the_cases(&exercise("rust", 400_000));
}

#[test]
fn a_guard_in_c() {
    if have(&["wasm-ld", "zig", "python-zig"]) {
        passes_the_cases(&exercise("c", 30_000));
    }
}

#[test]
fn a_guard_in_javascript() {
    if have(&["componentize-js"]) {
        passes_the_cases(&exercise("js", 20_000_000));
    }
}

#[test]
fn a_guard_in_python() {
    if have(&["componentize-py"]) {
        passes_the_cases(&exercise("python", 30_000_000));
    }
}

#[test]
fn the_same_sources_give_the_same_bytes_in_another_folder() {
    for lang in ["rust", "c"] {
        if lang == "c" && !have(&["wasm-ld", "zig", "python-zig"]) {
            continue;
        }
        let (one, other) = (Place::new("", ""), Place::new("", ""));
        one.picket(&["guard", "new", "same", "--lang", lang]).expect(0);
        other.picket(&["guard", "new", "same", "--lang", lang, "--dir", "deep/er"]).expect(0);
        assert_eq!(built(&one, "same")["digest"], built(&other, "deep/er")["digest"], "{lang}");
        let component = std::fs::read(other.path("deep/er/same.wasm")).unwrap();
        let folder = other.path("").to_str().unwrap().trim_end_matches('/').to_owned();
        assert!(!component.windows(folder.len()).any(|window| window == folder.as_bytes()), "{lang}: holds {folder}");
    }
}

#[test]
fn a_folder_in_use_and_a_bad_name_are_refused() {
    let place = Place::new("", "");
    place.write("words", "a file");
    place.picket(&["guard", "new", "words", "--lang", "c"]).expect(2).says(&["words"]);
    place.picket(&["guard", "new", "other", "--lang", "c", "--dir", "."]).expect(2).says(&["not empty", "--dir"]);
    place.picket(&["guard", "new", "../other", "--lang", "c"]).expect(2).says(&["no name for a guard"]);
    place.picket(&["guard", "new", "other", "--lang", "cobol"]).expect(2).says(&["rust"]);
    assert!(!place.path("other").exists());
}

#[test]
fn a_missing_tool_is_named_with_how_to_get_it() {
    for (lang, words) in [
        ("rust", ["wasm32-unknown-unknown", "rustup target add"]),
        ("c", ["clang", "apt-get install clang lld"]),
        ("js", ["componentize-js", "npm install"]),
        ("python", ["componentize-py", "pip install -r requirements.txt"]),
    ] {
        let place = Place::new("", "");
        place.picket(&["guard", "new", "words", "--lang", lang]).expect(0);
        let mut command = build(&place, "words");
        let ran = Ran::of(command.env("PATH", "/nowhere").output().unwrap());
        // Where a distribution's own compiler can do it, there is no need for a PATH, but for Cargo's.
        let words: &[&str] =
            if lang == "rust" && ran.stderr.contains("cargo cannot be run") { &["Install Rust"] } else { &words };
        ran.expect(2).says(words);
    }
}

#[test]
fn a_guard_that_does_not_build_or_says_nonsense_of_itself_is_refused() {
    let place = Place::new("", "");
    place.picket(&["guard", "build"]).expect(2).says(&["guard.toml", "picket guard new"]);
    place.picket(&["guard", "new", "words", "--lang", "c"]).expect(0);
    place.write("words/guard.toml", "name = \"words\"\nlang = \"c\"\n[limits]\nmemory = \"lots\"\n");
    place.picket(&["guard", "build", "words"]).expect(2).says(&["guard.toml", "limits.memory"]);
    if have(&["wasm-ld", "zig", "python-zig"]) {
        place.write("words/guard.toml", "name = \"words\"\nlang = \"c\"\n");
        place.write("words/src/guard.c", "int broken(void) { return }\n");
        let ran = Ran::of(build(&place, "words").output().unwrap()).expect(2);
        assert!(ran.stderr.contains("guard.c:1") && ran.stderr.contains("failed"), "{ran:?}");
        assert!(!place.path("words/words.wasm").exists());
    }
}
