//! Uploads as tlog-mirror describes them: every cut arrives and verifies, nothing else does.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::convert::Infallible;

use picket_ledger::Hash;
use picket_ledger::entry::MAX_ENTRY_BYTES;
use picket_ledger::hash::{leaf_hash, node_hash};
use picket_ledger::mirror::{
    AddCheckpoint, Decoder, Event, Header, MirrorError, MirrorInfo, Package, PackageVerifier, package_end,
};
use picket_ledger::proof::ProofError;
use picket_ledger::tree::{CompactRange, NodeSource};
use picket_ledger::{Checkpoint, SigningKey};

struct Log(Vec<Vec<u8>>);

impl NodeSource for Log {
    type Error = Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        if level == 0 {
            return Ok(leaf_hash(&self.0[usize::try_from(index).unwrap()]));
        }
        Ok(node_hash(&self.node(level - 1, index * 2)?, &self.node(level - 1, index * 2 + 1)?))
    }
}

impl Log {
    fn new(size: u64) -> Self {
        Self((0..size).map(|n| vec![u8::try_from(n % 251).unwrap(); 1 + usize::try_from(n % 7).unwrap()]).collect())
    }

    fn tree(&self, size: u64) -> CompactRange {
        let mut tree = CompactRange::new();
        self.0.iter().take(usize::try_from(size).unwrap()).for_each(|entry| tree.push(leaf_hash(entry)));
        tree
    }

    fn checkpoint(&self, size: u64) -> Checkpoint {
        Checkpoint::new("box-17", size, self.tree(size).root())
    }

    fn packages(&self, start: u64, end: u64) -> Vec<Package> {
        let mut packages = Vec::new();
        let mut next = start;
        while next < end {
            let to = package_end(next, end);
            let entries = self.0[usize::try_from(next).unwrap()..usize::try_from(to).unwrap()].to_vec();
            packages.push(Package::prove(self, next, entries, end).unwrap());
            next = to;
        }
        packages
    }

    fn body(&self, start: u64, end: u64) -> Vec<u8> {
        let mut body = Vec::new();
        Header { origin: "box-17".into(), start, end, ticket: vec![1, 2] }.encode(&mut body).unwrap();
        self.packages(start, end).iter().for_each(|package| package.encode(&mut body).unwrap());
        body
    }
}

fn read(body: &[u8], piece: usize) -> Result<(Header, Vec<Package>, bool), MirrorError> {
    let mut decoder = Decoder::new(1 << 20);
    let (mut header, mut packages) = (None, Vec::new());
    for piece in body.chunks(piece) {
        decoder.feed(piece);
        while let Some(event) = decoder.next_event()? {
            match event {
                Event::Header(found) => header = Some(found),
                Event::Package(package) => packages.push(package),
            }
        }
    }
    let complete = decoder.is_complete();
    assert!(!(complete && decoder.is_inside()));
    header.map(|header| (header, packages, complete)).ok_or(MirrorError::Header("it is missing"))
}

#[test]
fn every_cut_arrives_in_any_pieces_and_verifies() {
    let log = Log::new(1300);
    let mut packages_read = 0;
    for (start, end) in [
        (0, 1),
        (0, 255),
        (0, 256),
        (0, 257),
        (1, 2),
        (17, 900),
        (255, 257),
        (256, 512),
        (300, 301),
        (511, 1300),
        (512, 1024),
        (700, 1025),
        (1299, 1300),
        (5, 5),
        (0, 0),
    ] {
        let body = log.body(start, end);
        for piece in [1, 7, 1000, body.len()] {
            let (header, packages, complete) = read(&body, piece).unwrap();
            assert_eq!((header.start, header.end, header.ticket), (start, end, vec![1, 2]));
            assert_eq!(packages, log.packages(start, end));
            assert!(complete);
            let mut verifier = PackageVerifier::new(&log.tree(start), &log.checkpoint(end));
            for package in &packages {
                let leaves = verifier.verify(package).unwrap();
                assert_eq!(leaves.len(), package.entries.len());
                packages_read += 1;
            }
            assert_eq!(verifier.next(), end);
        }
        // A prefix is no error, and is not complete.
        for cut in [1, 20, body.len() / 2, body.len() - 1] {
            match read(&body[..cut], 64) {
                Ok((_, packages, complete)) => assert!(!complete && packages.len() <= log.packages(start, end).len()),
                Err(error) => assert_eq!(error, MirrorError::Header("it is missing")),
            }
        }
        let mut more = body.clone();
        more.push(0);
        assert_eq!(read(&more, 100), Err(MirrorError::Trailing));
    }
    assert!(packages_read > 60);
}

#[test]
fn every_flipped_bit_is_refused_or_changes_what_is_asked() {
    let log = Log::new(300);
    let body = log.body(250, 300);
    let mut header = Vec::new();
    Header { origin: "box-17".into(), start: 250, end: 300, ticket: vec![1, 2] }.encode(&mut header).unwrap();
    for at in header.len()..body.len() {
        let mut bad = body.clone();
        bad[at] ^= 1 << (at % 8);
        let Ok((_, packages, complete)) = read(&bad, 50) else { continue };
        let mut verifier = PackageVerifier::new(&log.tree(250), &log.checkpoint(300));
        let all = packages.iter().try_for_each(|package| verifier.verify(package).map(|_| ()));
        assert!(all.is_err() || !complete, "byte {at}");
        // What was refused left nothing behind: the true package is taken.
        for package in log.packages(verifier.next(), 300) {
            verifier.verify(&package).unwrap();
        }
    }
}

#[test]
fn a_package_counts_only_in_its_place() {
    let log = Log::new(900);
    let packages = log.packages(100, 900);
    let mut verifier = PackageVerifier::new(&log.tree(100), &log.checkpoint(900));
    assert!(matches!(verifier.verify(&packages[1]), Err(MirrorError::Count { start: 100, .. })));
    verifier.verify(&packages[0]).unwrap();
    assert!(matches!(verifier.verify(&packages[0]), Err(MirrorError::Count { start: 256, .. })));
    let mut short = packages[1].clone();
    short.entries.pop();
    assert!(matches!(verifier.verify(&short), Err(MirrorError::Count { found: 255, expected: 256, .. })));
    // Under another checkpoint, or after other entries, it does not hold.
    let mut other = PackageVerifier::new(&log.tree(100), &log.checkpoint(899));
    assert!(matches!(other.verify(&packages[0]), Err(MirrorError::Proof { start: 100, .. })));
    let mut changed = Log::new(900);
    changed.0[7] = b"other".to_vec();
    let mut other = PackageVerifier::new(&changed.tree(100), &log.checkpoint(900));
    assert!(matches!(other.verify(&packages[0]), Err(MirrorError::Proof { start: 100, .. })));
    for package in &packages[1..] {
        verifier.verify(package).unwrap();
    }
    assert!(matches!(verifier.verify(&packages[3]), Err(MirrorError::Count { start: 900, .. })));
}

#[test]
fn lengths_are_bounded_before_they_are_believed() {
    let header = |origin: &str, start: u64, end: u64| {
        let mut bytes = u16::try_from(origin.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(origin.as_bytes());
        bytes.extend_from_slice(&start.to_be_bytes());
        bytes.extend_from_slice(&end.to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes
    };
    let first = |bytes: &[u8], limit: usize| {
        let mut decoder = Decoder::new(limit);
        decoder.feed(bytes);
        loop {
            match decoder.next_event() {
                Ok(Some(_)) => {}
                other => break other,
            }
        }
    };
    assert!(matches!(first(&[0xff, 0xff], 1), Err(MirrorError::TooLong { what: "the origin", .. })));
    assert!(matches!(first(&header("a b", 0, 1), 1), Err(MirrorError::Header(_))));
    assert!(matches!(first(&header("", 0, 1), 1), Err(MirrorError::Header(_))));
    assert!(matches!(first(&header("box-17", 2, 1), 1), Err(MirrorError::Header(_))));
    let mut ticket = header("box-17", 0, 1);
    let at = ticket.len() - 2;
    ticket[at] = 0xff;
    assert!(matches!(first(&ticket, 1), Err(MirrorError::TooLong { what: "the ticket", .. })));
    for (length, refused) in [(0, true), (1, false), (MAX_ENTRY_BYTES, false), (MAX_ENTRY_BYTES + 1, true)] {
        let mut bytes = header("box-17", 0, 1);
        bytes.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
        assert_eq!(matches!(first(&bytes, 1 << 20), Err(MirrorError::EntryLength { .. })), refused, "{length}");
    }
    let mut bytes = header("box-17", 0, 2);
    bytes.extend_from_slice(&100_u32.to_be_bytes());
    bytes.extend_from_slice(&[1; 100]);
    assert_eq!(first(&bytes, 1000), Ok(None));
    bytes.extend_from_slice(&900_u32.to_be_bytes());
    assert!(matches!(first(&bytes, 1000), Err(MirrorError::TooLong { what: "the package", .. })));
    let mut bytes = header("box-17", 0, 1);
    bytes.extend_from_slice(&[0, 0, 0, 1, 9, 64]);
    assert!(matches!(first(&bytes, 1000), Err(MirrorError::ProofLength { found: 64, .. })));
    // The last package of the largest log does not overflow.
    assert_eq!(package_end(u64::MAX - 1, u64::MAX), u64::MAX);
    assert_eq!(first(&header("box-17", u64::MAX - 1, u64::MAX), 1000), Ok(None));
}

#[test]
fn a_proof_to_the_root_from_another_start_convicts() {
    let (log, mut other) = (Log::new(20), Log::new(20));
    other.0[3] = b"other".to_vec();
    let key = SigningKey::from_seed("box-17", &[1; 32]).unwrap();
    let proof = picket_ledger::tree::consistency_proof(&log, 11, 20).unwrap();
    let request = AddCheckpoint { old: 11, proof, note: log.checkpoint(20).sign(&key) };
    let request = AddCheckpoint::parse(&request.encode()).unwrap();
    let check = |proof: &[Hash], before: &Log| {
        let (old, new) = (before.tree(11).root(), log.tree(20).root());
        picket_ledger::proof::verify_consistency(request.old, 20, proof, &old, &new)
    };
    assert_eq!(check(&request.proof, &log), Ok(()));
    assert_eq!(check(&request.proof, &other), Err(ProofError::EarlierRoot));
    // A damaged proof proves nothing against anybody.
    for at in 0..request.proof.len() {
        let mut proof = request.proof.clone();
        proof[at][5] ^= 4;
        assert_eq!(check(&proof, &log), Err(ProofError::Root));
    }
    let info = MirrorInfo { size: 20, next: 11, ticket: Vec::new() };
    assert_eq!(MirrorInfo::parse(&info.encode()), Ok(info));
}
