//! The commands of docs/guards.md, in their order, in an empty folder, as a reader would copy them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::Ran;

/// The shell commands of a page.
fn commands(page: &str) -> Vec<&str> {
    page.split("```sh\n").skip(1).map(|block| block.split_once("```").expect("a block ends").0).collect()
}

#[test]
fn the_guide_to_a_signed_guard_works_as_written() {
    let page = include_str!("../docs/guards.md");
    let blocks = commands(page);
    assert!(blocks.len() >= 6, "{} blocks", blocks.len());
    let folder = tempfile::tempdir().unwrap();
    let picket = PathBuf::from(env!("CARGO_BIN_EXE_picket"));
    let system = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(picket.parent().unwrap().to_owned()).chain(std::env::split_paths(&system));
    // What Cargo has built of others' crates is kept from run to run.
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/languages/rust");
    let output = Command::new("sh")
        .args(["-euxc", &blocks.concat()])
        .current_dir(folder.path())
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("CARGO_TARGET_DIR", target)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let ran = Ran::of(output).expect(0);
    assert!(ran.stdout.contains("The [removed] has landed.") && ran.stdout.contains("\"span\":[4,10]"), "{ran:#?}");
    let load = ran.stdout.lines().find(|line| line.contains("guard-load")).expect("an entry of the load");
    assert!(load.contains("sec-team+"), "{load}");
    // What was changed after it was signed did not run, and the guide says what a reader then sees.
    assert!(!ran.stdout.contains("\"second\""), "{ran:#?}");
    // The policy that `check` and the service began with, and the one that took its place while the service ran.
    let configurations = ran.stdout.lines().filter(|line| line.contains(" config ") && line.contains("sha256:"));
    let policies: BTreeSet<&str> = configurations.filter_map(|line| line.rsplit("sha256:").next()).collect();
    assert_eq!(policies.len(), 2, "{ran:#?}");
    assert!(folder.path().join("words/words.wasm.sig").exists());
}
