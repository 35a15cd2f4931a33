//! The commands of the README, as a newcomer would copy them.

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("the README has {start}"));
    rest.split_once(end).unwrap_or_else(|| panic!("{end} follows {start}")).0
}

fn picket(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_picket"))
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("picket runs");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("picket reads");
    child.wait_with_output().expect("picket ends")
}

#[test]
fn the_first_steps_of_the_readme_work_as_written() {
    let readme = include_str!("../README.md");
    let folder = tempfile::tempdir().expect("a folder");
    let config = between(readme, "cat > picket.toml <<'END'\n", "END\n")
        .replace("target/guards/pii.wasm", &support::guard("pii"));
    std::fs::write(folder.path().join("picket.toml"), config).expect("written");
    let inference = between(readme, "echo '", "' | target/release/picket check");

    let checked = picket(folder.path(), &["check"], &format!("{inference}\n"));
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stderr));
    let answer: serde_json::Value = serde_json::from_slice(&checked.stdout).expect("a verdict");
    assert_eq!(answer["decision"], "redact");
    assert_eq!(answer["output"]["text"], "Write to [EMAIL].");

    let commands = between(readme, "| target/release/picket check\n", "```");
    let mut run = 0;
    for line in commands.lines() {
        let arguments: Vec<&str> = line.strip_prefix("target/release/picket ").expect(line).split(' ').collect();
        let output = picket(folder.path(), &arguments, "");
        assert_eq!(output.status.code(), Some(0), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!output.stdout.is_empty(), "{line} prints something");
        run += 1;
    }
    assert_eq!(run, 3);
}
