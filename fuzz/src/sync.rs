//! What boxes send to the auditor, and what he answers: `add-checkpoint`, `add-entries`, sizes and mirror-infos.

use picket_ledger::Hash;
use picket_ledger::checkpoint::{self, Checkpoint};
use picket_ledger::hash::{leaf_hash, node_hash};
use picket_ledger::mirror::{
    AddCheckpoint, Decoder, Event, Header, MirrorError, MirrorInfo, Package, PackageVerifier, package_end, parse_size,
    size_text,
};
use picket_ledger::tree::{CompactRange, NodeSource};

use super::seeds::BOX;

/// What the decoder may hold of one package here.
const LIMIT: usize = 8 * 1024;

/// Any bytes as each of the messages.
pub fn run(data: &[u8]) {
    if let Ok(request) = AddCheckpoint::parse(data) {
        assert_eq!(request.encode(), data, "a request has one form");
        assert!(checkpoint::peek(&request.note).is_ok());
    }
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(info) = MirrorInfo::parse(text) {
            assert_eq!(info.encode(), text, "an answer has one form");
        }
        if let Ok(size) = parse_size(text) {
            assert_eq!(size_text(size), text, "a size has one form");
        }
    }
    upload(data);
}

/// What a decoder makes of a body that arrives in pieces.
struct Read {
    events: Vec<Event>,
    error: Option<MirrorError>,
    complete: bool,
    inside: bool,
}

fn read(body: &[u8], pieces: impl Iterator<Item = usize>) -> Read {
    let mut decoder = Decoder::new(LIMIT);
    let (mut events, mut rest) = (Vec::new(), body);
    let mut error = None;
    for piece in pieces {
        let (now, later) = rest.split_at(piece.min(rest.len()));
        rest = later;
        decoder.feed(now);
        loop {
            match decoder.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(found) => {
                    error = Some(found);
                    rest = &[];
                    break;
                }
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    Read { events, error, complete: decoder.is_complete(), inside: decoder.is_inside() }
}

fn upload(body: &[u8]) {
    let whole = read(body, std::iter::repeat(body.len().max(1)));
    // The same in pieces whose lengths the body itself gives, whichever they are.
    let lengths = body.iter().map(|byte| 1 + usize::from(byte % 64)).chain(std::iter::repeat(1));
    let pieces = read(body, lengths);
    assert_eq!(whole.events, pieces.events, "it matters how a body is cut");
    assert_eq!(whole.error, pieces.error, "it matters how a body is cut");
    assert_eq!(whole.complete, pieces.complete, "it matters how a body is cut");

    let mut written = Vec::new();
    let (mut header, mut packages) = (None, Vec::new());
    for event in whole.events {
        match event {
            Event::Header(found) => {
                found.encode(&mut written).expect("what was read can be written");
                assert!(header.replace(found).is_none(), "two headers");
            }
            Event::Package(package) => {
                package.encode(&mut written).expect("what was read can be written");
                packages.push(package);
            }
        }
    }
    assert!(body.starts_with(&written), "an upload has one form");
    let Some(header) = header else { return };
    let mut next = header.start;
    for package in &packages {
        assert_eq!((package.start, package.end()), (next, package_end(next, header.end)), "packages in order");
        next = package.end();
    }
    if whole.error.is_none() {
        assert_eq!(whole.complete, next == header.end);
        assert_eq!(whole.inside, written.len() < body.len());
        if whole.complete && header.start == 0 {
            verified(&header, &packages);
        }
    }
}

struct Log(Vec<Hash>);

impl NodeSource for Log {
    type Error = String;

    fn node(&self, level: u8, index: u64) -> Result<Hash, String> {
        if level == 0 {
            let place = usize::try_from(index).map_err(|error| error.to_string())?;
            return self.0.get(place).copied().ok_or_else(|| format!("leaf {index}"));
        }
        Ok(node_hash(&self.node(level - 1, index * 2)?, &self.node(level - 1, index * 2 + 1)?))
    }
}

/// The entries of a whole log, under a checkpoint over them: each package verifies with the proof that is made for it,
/// with the one that was sent only if that is the same, and no longer when its first entry changes.
fn verified(header: &Header, packages: &[Package]) {
    let leaves = packages.iter().flat_map(|package| &package.entries).map(|entry| leaf_hash(entry)).collect();
    let log = Log(leaves);
    let mut tree = CompactRange::new();
    log.0.iter().for_each(|leaf| tree.push(*leaf));
    assert_eq!(tree.size(), header.end);
    let checkpoint = Checkpoint::new(BOX, tree.size(), tree.root());
    let mut verifier = PackageVerifier::new(&CompactRange::new(), &checkpoint);
    for package in packages {
        let proven =
            Package::prove(&log, package.start, package.entries.clone(), header.end).expect("leaves are there");
        let sent = verifier.clone().verify(package);
        assert_eq!(sent.is_ok(), package.proof == proven.proof, "a package has one proof");
        let mut bent = proven.clone();
        bent.entries[0].push(0);
        assert!(verifier.clone().verify(&bent).is_err());
        let mut elsewhere = proven.clone();
        elsewhere.start += 1;
        assert!(verifier.clone().verify(&elsewhere).is_err());
        verifier.verify(&proven).expect("a package with its proof");
        assert!(verifier.verify(&proven).is_err(), "the same package twice");
    }
    assert_eq!(verifier.next(), header.end);
}

/// Bodies of one to 300 entries, whole and from the middle; requests; answers.
pub fn seeds() -> Vec<Vec<u8>> {
    let entries =
        |count: u64| (0..count).map(|n| n.to_be_bytes()[7 - usize::try_from(n % 3).expect("small")..].to_vec());
    let mut seeds = Vec::new();
    for (start, end) in [(0, 0), (0, 1), (0, 3), (0, 256), (0, 300), (2, 5), (250, 300)] {
        let log = Log(entries(end).map(|entry| leaf_hash(&entry)).collect());
        let all: Vec<Vec<u8>> = entries(end).collect();
        let mut body = Vec::new();
        let header = Header { origin: BOX.into(), start, end, ticket: vec![1; usize::from(start > 0)] };
        header.encode(&mut body).expect("a header");
        let mut next = start;
        while next < end {
            let to = package_end(next, end);
            let place = |index| usize::try_from(index).expect("small");
            let package = Package::prove(&log, next, all[place(next)..place(to)].to_vec(), end).expect("leaves");
            package.encode(&mut body).expect("a package");
            next = to;
        }
        seeds.push(body);
    }
    for (number, note) in super::seeds::notes().into_iter().enumerate().take(12) {
        let Ok(note) = String::from_utf8(note) else { continue };
        let old = number as u64 * 7;
        seeds.push(AddCheckpoint { old, proof: vec![[9; 32]; number], note }.encode());
    }
    seeds.push(MirrorInfo { size: 300, next: 256, ticket: vec![1, 2, 3] }.encode().into_bytes());
    seeds.push(size_text(300).into_bytes());
    seeds
}
