//! A box and an auditor for tests: the box signs with the ledger's own code, the auditor is the real binary on loopback.

#![allow(dead_code, reason = "each test binary uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(unreachable_pub, missing_docs, reason = "a part of each test binary, not a library")]

pub mod edge;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use picket_ledger::mirror::{
    ADD_CHECKPOINT, ADD_ENTRIES, CHECKPOINT_HEADER, CONFLICT_HEADER, ENTRIES_MEDIA_TYPE, MirrorInfo, note_from_header,
    parse_size,
};
use picket_ledger::receipt::{CosignerKey, Receipt};
use serde_json::Value;
use tempfile::TempDir;

pub use edge::Edge;

/// How long anything may take before a test gives up: generous, because machines under test are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a configuration and a key.
pub struct Place {
    folder: TempDir,
}

impl Place {
    /// With these lines after `[auditor]`'s.
    pub fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!("[auditor]\nid = \"auditor-1\"\nlisten = \"127.0.0.1:0\"\n{more}\n");
        std::fs::write(folder.path().join("auditor.toml"), config).unwrap();
        let place = Self { folder };
        let made = place.run(&["keygen"]);
        assert!(made.status.success(), "{made:?}");
        place
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub fn evidence(&self, origin: &str, first: u64) -> PathBuf {
        self.data().join(format!("ev/{origin}/{first:020}"))
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_picket-auditor"));
        command.args(arguments).arg("--config").arg(self.path().join("auditor.toml"));
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs with `--json` and returns exit code and answer.
    pub fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.run(&[arguments, &["--json"]].concat());
        let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        (output.status.code().unwrap(), value)
    }

    pub fn enrol(&self, edge: &Edge) {
        let output = self.run(&["enrol", "--origin", &edge.origin, "--key", &edge.key.verifier().to_string()]);
        assert!(output.status.success(), "{output:?}");
    }

    pub fn cosigner(&self) -> CosignerKey {
        let (_, value) = self.json(&["keygen", "--public"]);
        CosignerKey::parse(value["key"].as_str().unwrap()).unwrap()
    }

    /// Checks a receipt for a box's checkpoint of this size.
    pub fn check_receipt(&self, edge: &Edge, text: &str, size: u64) {
        let receipt = Receipt::open(text, &edge.key.verifier(), &self.cosigner()).unwrap();
        assert_eq!(receipt.checkpoint.size, size);
        assert_eq!(receipt.checkpoint.root, edge.root_at(size));
    }

    pub fn serve(&self) -> Server {
        Server::start(self)
    }
}

/// A running auditor. Killed when dropped.
pub struct Server {
    child: Child,
    pub address: String,
    log: Arc<Mutex<String>>,
}

impl Server {
    fn start(place: &Place) -> Self {
        Self::start_by(place.command(&["serve"]))
    }

    /// By a command that becomes the auditor.
    pub fn start_by(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let mut address = None;
        for line in lines.by_ref() {
            let line = line.unwrap();
            *log.lock().unwrap() += &format!("{line}\n");
            if let Some(found) = line.strip_prefix("listening on http://") {
                address = Some(found.to_owned());
                break;
            }
        }
        let Some(address) = address else { panic!("it did not start: {}", log.lock().unwrap()) };
        let more = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *more.lock().unwrap() += &format!("{line}\n");
            }
        });
        Self { child, address, log }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Asks it to stop, as an init system does, and waits until it has.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    pub fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "it did not stop: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    pub fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[])
    }

    pub fn post(&self, path: &str, body: &[u8]) -> Reply {
        self.request("POST", path, body)
    }

    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        self.request_with(method, path, "", body)
    }

    /// With more header lines, each with its end.
    pub fn request_with(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
        let mut stream = self.connect();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: auditor\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // A refusal may come before the body is through: what counts is the answer.
        let _ = stream.write_all(body);
        read_reply(stream)
    }

    /// Sends a segment to an auditor that may die at any moment: the receipt, if a whole one arrives.
    pub fn try_segment(address: &str, segment: &[u8]) -> Option<String> {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let length = segment.len();
        let head = format!(
            "POST /v1/segments HTTP/1.1\r\nHost: auditor\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(segment).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse::<usize>().ok()?;
        (head.starts_with("http/1.1 200") && body.len() == length).then(|| body.to_owned())
    }

    /// Sends a segment that must be taken; its receipt.
    pub fn accepted(&self, segment: &[u8]) -> String {
        let reply = self.post("/v1/segments", segment);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body
    }

    /// Shows a checkpoint.
    pub fn add(&self, body: &[u8]) -> Reply {
        self.post(ADD_CHECKPOINT, body)
    }

    /// Sends entries.
    pub fn upload(&self, body: &[u8]) -> Reply {
        self.request_with("POST", ADD_ENTRIES, &format!("Content-Type: {ENTRIES_MEDIA_TYPE}\r\n"), body)
    }

    /// Sends a segment that must be refused with 409; its kind and where to go on.
    pub fn conflict(&self, path: &str, body: &[u8]) -> (String, u64) {
        let reply = self.post(path, body);
        assert_eq!(reply.status, 409, "{reply:?}");
        let json = reply.json();
        assert!(json["message"].is_string());
        (json["kind"].as_str().unwrap().to_owned(), json["next"].as_u64().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// In lower case.
    pub head: String,
    lines: String,
    pub body: String,
}

impl Reply {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.lines.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Status, what was found, and where to go on, of an answer to an upload.
    pub fn info(&self) -> (u16, Option<&str>, u64, u64) {
        let info = MirrorInfo::parse(&self.body).unwrap_or_else(|_| panic!("{self:?}"));
        (self.status, self.header(CONFLICT_HEADER), info.size, info.next)
    }

    /// Status, what was found, and the size of an answer to a checkpoint.
    pub fn size(&self) -> (u16, Option<&str>, u64) {
        let size = parse_size(&self.body).unwrap_or_else(|_| panic!("{self:?}"));
        (self.status, self.header(CONFLICT_HEADER), size)
    }

    /// The newest checkpoint that the auditor holds.
    pub fn newest(&self) -> Option<String> {
        note_from_header(self.header(CHECKPOINT_HEADER)?)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

pub fn read_reply(mut stream: TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head: head.to_ascii_lowercase(), lines: head.to_owned(), body: body.to_owned() }
}
