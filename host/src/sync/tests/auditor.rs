//! An auditor in a thread, that can be told how to misbehave.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use picket_ledger::hash::leaf_hash;
use picket_ledger::mirror::{
    ADD_CHECKPOINT, AddCheckpoint, Decoder, Event, Header, MirrorInfo, Package, PackageVerifier, note_to_header,
    size_text,
};
use picket_ledger::proof::verify_consistency;
use picket_ledger::receipt::{CosignerKey, cosign};
use picket_ledger::tree::CompactRange;
use picket_ledger::{Checkpoint, SignedCheckpoint, SigningKey};

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
    /// This status, 90, and a checkpoint of that size that the box's key signed; whether it is called a fork.
    Later(u16, bool),
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
    notes: BTreeMap<u64, String>,
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
            notes: BTreeMap::new(),
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
        let mut state = self.state.lock().unwrap();
        state.entries.clear();
        state.notes.clear();
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
                ADD_CHECKPOINT => state.checkpoints.pop_front(),
                _ => state.segments.pop_front(),
            };
            let manner = manner.unwrap_or(Manner::Good);
            (manner, answer(&mut state, &path, &body, manner))
        };
        if matches!(manner, Manner::Slow | Manner::StoreThenSlow) {
            std::thread::sleep(TIMEOUT * 2);
            return;
        }
        let Some((status, headers, body)) = answer else { return };
        let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len());
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
    let (mut length, mut chunked, mut gzip) = (0, false, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        chunked |= header == "transfer-encoding: chunked";
        gzip |= header == "content-encoding: gzip";
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    while chunked {
        let mut size = String::new();
        reader.read_line(&mut size).ok()?;
        let mut chunk = vec![0; usize::from_str_radix(size.trim(), 16).ok()? + 2];
        reader.read_exact(&mut chunk).ok()?;
        chunk.truncate(chunk.len() - 2);
        chunked = !chunk.is_empty();
        body.extend(chunk);
    }
    if gzip {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain).ok()?;
        body = plain;
    }
    Some((path, body))
}

type Reply = (u16, String, Vec<u8>);

/// `None` closes the connection.
fn answer(state: &mut State, path: &str, body: &[u8], manner: Manner) -> Option<Reply> {
    let plain = |status, body: &[u8]| Some((status, String::new(), body.to_vec()));
    match manner {
        Manner::Good => Some(good(state, path, body)),
        Manner::Drop | Manner::Slow => None,
        Manner::StoreThenDrop | Manner::StoreThenSlow => {
            good(state, path, body);
            None
        }
        Manner::Status(status, text) => plain(status, text.as_bytes()),
        Manner::Oversized => plain(200, &vec![b'x'; 1 << 20]),
        Manner::ForeignReceipt => {
            let other = SigningKey::from_seed("auditor-1", &[9; 32]).unwrap();
            let note = state.note(read_upload(body).0.end)?;
            let receipt = cosign(&note, &other, 1_800_000_000).unwrap();
            plain(200, receipt.strip_prefix(&note).unwrap().as_bytes())
        }
        Manner::OlderReceipt => {
            let note = Checkpoint::new("box-1", 1, [5; 32]).sign(&of_the_box());
            let receipt = cosign(&note, &signing(), 1_800_000_000).unwrap();
            plain(200, receipt.strip_prefix(&note).unwrap().as_bytes())
        }
        Manner::Later(status, fork) => {
            let note = Checkpoint::new("box-1", 90, [5; 32]).sign(&of_the_box());
            let fork = if fork { "picket-conflict: fork\r\n" } else { "" };
            let headers = format!("picket-checkpoint: {}\r\n{fork}", note_to_header(&note));
            Some((status, headers, b"90\n".to_vec()))
        }
    }
}

fn read_upload(body: &[u8]) -> (Header, Vec<Package>, bool) {
    let mut decoder = Decoder::new(16 << 20);
    decoder.feed(body);
    let Some(Event::Header(header)) = decoder.next_event().unwrap() else { panic!("no header") };
    let mut packages = Vec::new();
    while let Some(Event::Package(package)) = decoder.next_event().unwrap() {
        packages.push(package);
    }
    (header, packages, decoder.is_complete())
}

impl State {
    fn note(&self, size: u64) -> Option<String> {
        self.notes.get(&size).cloned()
    }

    fn tree(&self) -> CompactRange {
        let mut tree = CompactRange::new();
        self.entries.iter().for_each(|entry| tree.push(leaf_hash(entry)));
        tree
    }
}

fn good(state: &mut State, path: &str, body: &[u8]) -> Reply {
    let held = state.entries.len() as u64;
    let key = of_the_box().verifier();
    let newest = state.notes.last_key_value().map_or(0, |(size, _)| *size);
    if path == ADD_CHECKPOINT {
        let request = AddCheckpoint::parse(body).unwrap();
        let note = SignedCheckpoint::open_alone(&request.note, &key).unwrap();
        let size = note.checkpoint.size;
        let fits = if size > newest { request.old == newest } else { request.old <= held };
        if !fits && !state.notes.contains_key(&size) {
            let shown = state.note(newest).map(|note| format!("picket-checkpoint: {}\r\n", note_to_header(&note)));
            return (409, shown.unwrap_or_default(), size_text(newest).into_bytes());
        }
        if let Some(old) = state.note(request.old).filter(|_| request.old < size) {
            let old = SignedCheckpoint::open_alone(&old, &key).unwrap().checkpoint;
            verify_consistency(old.size, size, &request.proof, &old.root, &note.checkpoint.root).unwrap();
        }
        state.notes.insert(size, request.note);
        return (200, String::new(), Vec::new());
    }
    let (header, packages, complete) = read_upload(body);
    let info = |next, size| MirrorInfo { size, next, ticket: Vec::new() }.encode().into_bytes();
    let Some(note) = state.note(header.end) else { return (409, String::new(), info(held, newest)) };
    if header.start > held || (header.start < held && header.start != header.end) {
        return (409, String::new(), info(held, header.end));
    }
    let checkpoint = SignedCheckpoint::open_alone(&note, &key).unwrap().checkpoint;
    let mut verifier = PackageVerifier::new(&state.tree(), &checkpoint);
    for package in packages {
        verifier.verify(&package).unwrap();
        state.entries.extend(package.entries);
    }
    let held = state.entries.len() as u64;
    if !complete || held < header.end {
        return (202, String::new(), info(held, header.end));
    }
    state.taken += usize::from(header.start < header.end);
    let receipt = cosign(&note, &signing(), 1_800_000_000).unwrap();
    (200, String::new(), receipt.strip_prefix(&note).unwrap().as_bytes().to_vec())
}
