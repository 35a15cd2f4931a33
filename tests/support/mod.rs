//! A box in a temporary folder, driven through the real `picket` as a user would.

#![allow(dead_code, reason = "each test binary uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(unreachable_pub, missing_docs, reason = "a part of each test binary, not a library")]

pub(crate) mod files;
pub(crate) mod full;
pub mod service;
pub mod vetting;

use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take before a test gives up: generous, because machines under test are busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Path of a guard that `cargo xtask guards` has built.
pub fn guard(name: &str) -> String {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/guards");
    let path = std::env::var_os("PICKET_GUARDS").map_or(built, PathBuf::from).join(format!("{name}.wasm"));
    assert!(path.exists(), "{} is missing: run `cargo xtask guards`", path.display());
    path.to_str().unwrap().to_owned()
}

/// A `[[guard]]` that attacks; `more` are further lines of its table. Five seconds: no honest check runs into it.
pub fn hostile(name: &str, attack: &str, more: &str) -> String {
    let deadline = if more.contains("deadline") { "" } else { "deadline = \"5s\"\n" };
    let settings =
        if more.contains("settings") { String::new() } else { format!("settings = {{ attack = \"{attack}\" }}") };
    let component = guard("hostile");
    format!("\n[[guard]]\nname = \"{name}\"\ncomponent = \"{component}\"\n{deadline}{settings}\n{more}\n")
}

/// One line: an inference of model `m`.
pub fn inference(id: &str, text: &str) -> String {
    json!({ "id": id, "model": "m", "output": { "text": text } }).to_string() + "\n"
}

/// Inferences `first-0`, `first-1`, …
pub fn inferences(first: &str, count: usize) -> String {
    (0..count).map(|number| inference(&format!("{first}-{number}"), "a short answer")).collect()
}

/// A folder with a configuration.
pub struct Place {
    folder: TempDir,
}

impl Place {
    /// `edge` are further lines of `[edge]`, `rest` what follows. Unsigned guards run, unless `rest` has a `[trust]` of its own.
    pub fn new(edge: &str, rest: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.configure(edge, rest);
        place
    }

    pub fn configure(&self, edge: &str, rest: &str) {
        let listen = if edge.contains("listen") { "" } else { "listen = \"127.0.0.1:0\"\n" };
        // At the end, so that lines are where a test counts them.
        let trust = if rest.contains("[trust") { "" } else { "\n[trust]\nunsigned = \"allow\"\n" };
        self.write("picket.toml", format!("[edge]\nid = \"box-1\"\n{listen}{edge}\n{rest}{trust}"));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_picket"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    pub fn picket(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Runs with `input` on standard input.
    pub fn pipe(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        // From a thread: with much input both pipes fill. A command that ends early closes ours.
        let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Ran::of(output)
    }

    /// Judges these lines, and returns the answers.
    pub fn check(&self, input: &str) -> Ran {
        self.pipe(&["check"], input)
    }

    /// All entries of a kind, oldest first, with bodies.
    #[track_caller]
    pub fn entries(&self, kind: &str) -> Vec<Value> {
        self.picket(&["--json", "log", "--limit", "0", "--kind", kind]).expect(0).json()
    }

    /// The body of the verdict entry of an inference.
    #[track_caller]
    pub fn verdict(&self, id: &str) -> Value {
        let shown = self.picket(&["--json", "show", id]).expect(0).json().remove(0);
        shown["body"]["verdict"].clone()
    }

    /// The whole ledger holds together.
    #[track_caller]
    pub fn verify(&self) {
        self.picket(&["verify", "data"]).expect(0);
    }
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    #[track_caller]
    pub fn of(output: Output) -> Self {
        let ran = Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
        ran
    }

    /// It must have ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Standard error must hold all of these words.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in {self:#?}");
        }
        self
    }

    /// The JSON lines of standard output.
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// `decision` of each answer.
    #[track_caller]
    pub fn decisions(&self) -> Vec<String> {
        self.json().iter().map(|answer| answer["decision"].as_str().unwrap_or("none").to_owned()).collect()
    }
}

/// Waits until `condition` gives something.
#[track_caller]
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
