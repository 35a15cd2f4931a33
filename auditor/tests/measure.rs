//! Figures, on demand: `cargo test --release -p picket-auditor --test measure -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::time::Instant;

use picket_ledger::hash::leaf_hash;
use picket_ledger::tree::CompactRange;
use picket_ledger::{Checkpoint, Segment};
use support::{Edge, Place};

/// Cuts a box's log into segments without computing the tree anew for each.
fn cut(edge: &Edge, step: usize) -> Vec<Vec<u8>> {
    let mut tree = CompactRange::new();
    let mut segments = Vec::new();
    for (number, entries) in edge.entries.chunks(step).enumerate() {
        let frontier = tree.peaks().to_vec();
        entries.iter().for_each(|entry| tree.push(leaf_hash(entry)));
        let segment = Segment {
            origin: edge.origin.clone(),
            first: (number * step) as u64,
            frontier,
            entries: entries.to_vec(),
            checkpoint: Checkpoint::new(&edge.origin, tree.size(), tree.root()).sign(&edge.key),
        };
        segments.push(segment.encode().unwrap());
    }
    segments
}

#[test]
#[ignore = "a measurement, not a test"]
fn throughput() {
    for (step, count) in [(256_usize, 100_u64), (4096, 10)] {
        let place = Place::new("");
        let edges = [Edge::with("box-1", step as u64 * count), Edge::with("box-2", step as u64 * count)];
        edges.iter().for_each(|edge| place.enrol(edge));
        let segments: Vec<_> = edges.iter().map(|edge| cut(edge, step)).collect();
        let bytes: usize = segments.iter().flatten().map(Vec::len).sum();
        let server = place.serve();
        let started = Instant::now();
        std::thread::scope(|scope| {
            for of_box in &segments {
                scope.spawn(|| of_box.iter().for_each(|segment| _ = server.accepted(segment)));
            }
        });
        let seconds = started.elapsed().as_secs_f64();
        let entries = 2 * step as u64 * count;
        println!(
            "ingest, 2 boxes, {step} entries a segment: {:.0} segments/s, {:.0} entries/s, {:.1} MB/s",
            2.0 * count as f64 / seconds,
            entries as f64 / seconds,
            bytes as f64 / 1e6 / seconds
        );
        let started = Instant::now();
        assert_eq!(server.get("/v1/verify").json()["verified"], true);
        println!("verify: {:.0} entries/s", entries as f64 / started.elapsed().as_secs_f64());
        let started = Instant::now();
        for id in 1..=100 {
            assert_eq!(server.get(&format!("/v1/trace/req-{id}")).json()["verified"], true);
        }
        println!("trace: {:.1} ms each, two decisions proven", started.elapsed().as_secs_f64() * 10.0);
        server.kill();
        let started = Instant::now();
        let server = place.serve();
        println!("start after SIGKILL: {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
        drop(server);
        std::fs::remove_dir_all(place.data().join("index")).unwrap();
        let started = Instant::now();
        assert!(place.run(&["reindex"]).status.success());
        println!("reindex: {:.0} entries/s", entries as f64 / started.elapsed().as_secs_f64());
    }
}
