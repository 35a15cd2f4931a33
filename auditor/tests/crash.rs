//! SIGKILL in the middle of ingest: whatever has a receipt is there, and the auditor goes on.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::{Edge, PATIENCE, Place, Server};

/// Entries in one segment.
const STEP: u64 = 3;

/// Sends segments from `next` on until the auditor is gone; the receipts with the entry that each starts at.
fn send(address: &str, edge: &Edge, mut next: u64, given: &AtomicU64) -> Vec<(u64, String)> {
    let mut receipts = Vec::new();
    while next + STEP <= edge.size() {
        let Some(receipt) = Server::try_segment(address, &edge.segment(next..next + STEP)) else { break };
        receipts.push((next, receipt));
        given.fetch_add(1, Ordering::Relaxed);
        next += STEP;
    }
    receipts
}

fn held(server: &Server, origin: &str) -> u64 {
    let list = server.get("/v1/boxes").json();
    let item = list["boxes"].as_array().unwrap().iter().find(|item| item["origin"] == *origin).unwrap().clone();
    item["next"].as_u64().unwrap()
}

#[test]
fn a_receipt_outlives_the_auditor() {
    let place = Place::new("");
    let edges = [Edge::with("box-1", 900), Edge::with("box-2", 900)];
    edges.iter().for_each(|edge| place.enrol(edge));
    let mut receipts: Vec<Vec<(u64, String)>> = vec![Vec::new(); 2];
    for round in 0..15_u64 {
        let server = place.serve();
        let address = server.address.clone();
        let count = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let mut senders = Vec::new();
            for (edge, given) in edges.iter().zip(&receipts) {
                let next = held(&server, &edge.origin);
                // Everything below the last receipt was promised.
                assert!(given.last().is_none_or(|(first, _)| first + STEP <= next), "round {round}");
                let (address, count) = (address.clone(), &count);
                senders.push(scope.spawn(move || send(&address, edge, next, count)));
            }
            // Another moment in each round: after some receipts, and then somewhere in the next segments.
            let started = Instant::now();
            while count.load(Ordering::Relaxed) < 1 + round % 4 {
                assert!(started.elapsed() < PATIENCE, "no receipts: {}", server.log());
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(round * 11 % 40));
            server.kill();
            for (sender, given) in senders.into_iter().zip(&mut receipts) {
                given.extend(sender.join().unwrap());
            }
        });
    }
    let server = place.serve();
    for (edge, given) in edges.iter().zip(&receipts) {
        assert!(!given.is_empty());
        for (first, receipt) in given {
            let segment = edge.segment(*first..first + STEP);
            assert_eq!(std::fs::read(place.evidence(&edge.origin, *first)).unwrap(), segment);
            // The same bytes, the same receipt.
            assert_eq!(server.accepted(&segment), *receipt);
        }
        // The rest arrives as if nothing had happened, and can be found.
        send(&server.address, edge, held(&server, &edge.origin), &AtomicU64::new(0));
        assert_eq!(held(&server, &edge.origin), edge.size());
    }
    let found = server.get("/v1/trace/req-900").json();
    assert_eq!((found["matches"].as_array().unwrap().len(), &found["verified"]), (2, &true.into()), "{found}");
    let verification = server.get("/v1/verify").json();
    assert_eq!(verification["verified"], true, "{verification}");
    assert_eq!(std::fs::read_dir(place.data().join("tmp")).unwrap().count(), 0);
}
