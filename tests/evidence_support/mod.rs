//! A box and an auditor in a temporary folder, driven through their real binaries.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The command's output, which must have ended with 0.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.stdout
    }

    /// The JSON lines on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[track_caller]
    pub(crate) fn fails(&self, code: i32, words: &str) {
        assert_eq!(self.code, code, "{self:#?}");
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(all.contains(words), "no {words:?} in {self:#?}");
    }
}

/// A box without guards: what is tested here is the evidence.
pub(crate) struct EdgeBox {
    pub(crate) folder: tempfile::TempDir,
}

impl EdgeBox {
    pub(crate) fn new() -> Self {
        let edge = Self { folder: tempfile::tempdir().unwrap() };
        edge.write("weights.bin", "the weights");
        std::fs::create_dir(edge.path("prompts")).unwrap();
        edge.write("prompts/system.txt", "be brief");
        edge.configure("");
        edge
    }

    /// Writes the configuration with `more` at its end.
    pub(crate) fn configure(&self, more: &str) {
        let text = format!(
            r#"
[edge]
id = "box-1"
data = "data"
listen = "127.0.0.1:0"
retention = "all"

[[model]]
name = "m"
weights = "weights.bin"
prompts = "prompts"
{more}"#
        );
        self.write("picket.toml", &text);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn picket(&self, arguments: &[&str]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_picket"))
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran::of(output)
    }

    /// Judges one inference for each of these ids.
    pub(crate) fn judge(&self, ids: &[&str]) {
        let line = |id: &&str| format!("{{\"id\":\"{id}\",\"model\":\"m\",\"output\":{{\"text\":\"hello {id}\"}}}}\n");
        self.write("in.jsonl", &ids.iter().map(line).collect::<String>());
        self.picket(&["check", "--input", "in.jsonl", "--output", "out.jsonl"]).ok();
    }

    pub(crate) fn public_key(&self) -> String {
        std::fs::read_to_string(self.path("data/keys/box.pub")).unwrap().trim().to_owned()
    }
}

/// A process that announces where it listens, ended with SIGTERM.
pub(crate) struct Server {
    child: Child,
    /// What stands behind `listening on http://`.
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(program: &Path, arguments: &[&str], folder: &Path) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; run `cargo build --workspace`", program.display()));
        let (sender, receiver) = std::sync::mpsc::channel();
        for stream in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn std::io::Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let sender = sender.clone();
            // Reads to the end, so that the child never waits for a full pipe.
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if let Some((_, address)) =
                        line.split_once("listening on http").and_then(|(_, url)| url.split_once("://"))
                    {
                        let _received = sender.send(address.trim().to_owned());
                    }
                }
            });
        }
        let address = receiver.recv_timeout(Duration::from_secs(60)).expect("the server did not start in a minute");
        Self { child, address }
    }

    pub(crate) fn stop(mut self) {
        let terminated = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(terminated.success());
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the server did not end in a minute");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The real auditor, with its own folder.
pub(crate) struct Auditor {
    pub(crate) folder: tempfile::TempDir,
    /// Its public key, as boxes are configured with it.
    pub(crate) key: String,
}

impl Auditor {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut auditor = Self { folder, key: String::new() };
        auditor.configure("");
        let made = auditor.run(&["keygen"]).ok();
        let key = made.split_whitespace().find(|word| word.starts_with("auditor-1+"));
        auditor.key = key.unwrap_or_else(|| panic!("no key in {made:?}")).to_owned();
        auditor
    }

    /// Writes the configuration with `more` at its end.
    pub(crate) fn configure(&self, more: &str) {
        let text = format!("[auditor]\nid = \"auditor-1\"\nlisten = \"127.0.0.1:0\"\n{more}");
        std::fs::write(self.folder.path().join("auditor.toml"), text).unwrap();
    }

    fn program() -> PathBuf {
        Path::new(env!("CARGO_BIN_EXE_picket")).with_file_name("picket-auditor")
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let program = Self::program();
        let output = Command::new(&program).args(arguments).current_dir(self.folder.path()).output();
        Ran::of(output.unwrap_or_else(|error| panic!("{}: {error}; run `cargo build --workspace`", program.display())))
    }

    pub(crate) fn serve(&self) -> Server {
        Server::start(&Self::program(), &["serve"], self.folder.path())
    }

    pub(crate) fn enrol(&self, edge: &EdgeBox) {
        self.run(&["enrol", "--origin", "box-1", "--key", &edge.public_key()]).ok();
    }

    /// The `[auditor]` part of a box's configuration.
    pub(crate) fn section(&self, address: &str) -> String {
        format!("\n[auditor]\nurl = \"http://{address}\"\nkey = \"{}\"\nevery = \"1s\"\ntimeout = \"10s\"\n", self.key)
    }
}

/// A service of the box, ready.
pub(crate) fn serve(edge: &EdgeBox) -> Server {
    Server::start(Path::new(env!("CARGO_BIN_EXE_picket")), &["run"], edge.folder.path())
}
