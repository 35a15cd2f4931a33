//! An auditor in a thread, that can be told how to misbehave.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use picket_ledger::receipt::{CosignerKey, cosign};
use picket_ledger::{Checkpoint, Segment, SignedCheckpoint, SigningKey};

/// How long the client waits for an answer: long for a loaded machine, short for a test.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// How one request is answered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Manner {
    Good,
    /// Reads the request and closes.
    Drop,
    /// Does what was asked, and closes without an answer.
    StoreThenDrop,
    /// Does what was asked, and answers after the client has given up.
    StoreThenSlow,
    /// Answers after the client has given up.
    Slow,
    Status(u16, &'static str),
    /// 200 and a megabyte.
    Oversized,
    /// A receipt by somebody else. Nothing is stored.
    ForeignReceipt,
    /// A true receipt for another checkpoint of the box. Nothing is stored.
    OlderReceipt,
}

pub(super) struct Fake {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    entries: Vec<Vec<u8>>,
    checkpoints: VecDeque<Manner>,
    segments: VecDeque<Manner>,
    requests: usize,
    taken: usize,
}

fn signing() -> SigningKey {
    SigningKey::from_seed("auditor-1", &[2; 32]).unwrap()
}

fn of_the_box() -> SigningKey {
    SigningKey::from_seed("box-1", &[1; 32]).unwrap()
}

impl Fake {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            entries: Vec::new(),
            checkpoints: VecDeque::new(),
            segments: VecDeque::new(),
            requests: 0,
            taken: 0,
        };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { address, state }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn key(&self) -> CosignerKey {
        CosignerKey::of(&signing())
    }

    pub(super) fn next_segments(&self, manners: impl IntoIterator<Item = Manner>) {
        let mut state = self.state.lock().unwrap();
        state.segments.clear();
        state.segments.extend(manners);
    }

    pub(super) fn next_checkpoints(&self, manners: impl IntoIterator<Item = Manner>) {
        self.state.lock().unwrap().checkpoints.extend(manners);
    }

    pub(super) fn forget(&self) {
        self.state.lock().unwrap().entries.clear();
    }

    pub(super) fn entries(&self) -> Vec<Vec<u8>> {
        self.state.lock().unwrap().entries.clone()
    }

    pub(super) fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }

    /// Segments that were taken.
    pub(super) fn segments(&self) -> usize {
        self.state.lock().unwrap().taken
    }
}

/// One connection, several requests.
fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    while let Some((path, body)) = read_request(&mut reader) {
        let (manner, answer) = {
            let mut state = state.lock().unwrap();
            state.requests += 1;
            let manner = match path.as_str() {
                "/v1/checkpoint" => state.checkpoints.pop_front(),
                _ => state.segments.pop_front(),
            };
            let manner = manner.unwrap_or(Manner::Good);
            (manner, answer(&mut state, &path, &body, manner))
        };
        if matches!(manner, Manner::Slow | Manner::StoreThenSlow) {
            std::thread::sleep(TIMEOUT * 2);
            return;
        }
        let Some((status, body)) = answer else { return };
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
        let mut stream = stream;
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).is_err() {
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, body))
}

/// `None` closes the connection.
fn answer(state: &mut State, path: &str, body: &[u8], manner: Manner) -> Option<(u16, Vec<u8>)> {
    match manner {
        Manner::Good => Some(good(state, path, body)),
        Manner::Drop | Manner::Slow => None,
        Manner::StoreThenDrop | Manner::StoreThenSlow => {
            good(state, path, body);
            None
        }
        Manner::Status(status, text) => Some((status, text.as_bytes().to_vec())),
        Manner::Oversized => Some((200, vec![b'x'; 1 << 20])),
        Manner::ForeignReceipt => {
            let other = SigningKey::from_seed("auditor-1", &[9; 32]).unwrap();
            let note = Segment::decode(body).unwrap().checkpoint;
            Some((200, cosign(&note, &other, 1_800_000_000).unwrap().into_bytes()))
        }
        Manner::OlderReceipt => {
            let note = Checkpoint::new("box-1", 1, [5; 32]).sign(&of_the_box());
            Some((200, cosign(&note, &signing(), 1_800_000_000).unwrap().into_bytes()))
        }
    }
}

fn good(state: &mut State, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let held = state.entries.len() as u64;
    let key = of_the_box().verifier();
    if path == "/v1/checkpoint" {
        SignedCheckpoint::open(std::str::from_utf8(body).unwrap(), &key).unwrap();
        return (200, format!("{{\"next\":{held}}}").into_bytes());
    }
    let segment = Segment::decode(body).unwrap();
    segment.verify(&key).unwrap();
    let end = segment.first + segment.entries.len() as u64;
    if segment.first > held {
        return (409, format!("{{\"kind\":\"gap\",\"next\":{held},\"message\":\"gap\"}}").into_bytes());
    }
    if end > held {
        let known = usize::try_from(held - segment.first).unwrap();
        state.entries.extend_from_slice(&segment.entries[known..]);
        state.taken += 1;
    }
    (200, cosign(&segment.checkpoint, &signing(), 1_800_000_000).unwrap().into_bytes())
}
