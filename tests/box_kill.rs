//! Killed at random moments under load: every entry that was acknowledged is there afterwards.
//!
//! Twenty kills; `PICKET_KILLS=200 cargo test --release --test box_kill` does more.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use rustix::process::Signal;
use serde_json::Value;
use std::sync::Mutex;
use std::time::Duration;
use support::service::Service;
use support::{Place, hostile, inference};

/// An answered inference.
struct Acknowledged {
    id: String,
    index: u64,
    leaf: String,
}

#[test]
fn no_acknowledged_entry_is_lost_when_the_box_is_killed() {
    let kills: u64 = std::env::var("PICKET_KILLS").map_or(20, |kills| kills.parse().unwrap());
    let config = hostile("g", "flag", "") + "[ledger]\ncheckpoint_entries = 16\ncheckpoint_every = \"50ms\"\n";
    let place = Place::new("retention = \"all\"", &config);
    let acknowledged = Mutex::new(Vec::new());
    let mut random = Random::new();
    for kill in 0..kills {
        let service = Service::start(&place);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (caller, acknowledged) = (service.caller(), &acknowledged);
                scope.spawn(move || {
                    for number in 0.. {
                        let id = format!("{kill}-{thread}-{number}");
                        // Until it is killed. What was asked and not answered may be there or not.
                        let Ok(reply) = caller.post(&inference(&id, "hello")) else { return };
                        let entry = reply.expect(200)["entry"].clone();
                        let (index, leaf) =
                            (entry["index"].as_u64().unwrap(), entry["leaf"].as_str().unwrap().to_owned());
                        acknowledged.lock().unwrap().push(Acknowledged { id, index, leaf });
                    }
                });
            }
            // The moment is random; the wait is the test's subject, not a condition that could be awaited.
            std::thread::sleep(Duration::from_micros(random.below(400_000)));
            service.signal(Signal::KILL);
        });
        let (code, _) = service.wait();
        assert_eq!(code, None, "ended by the signal, not by itself");
        // Each tenth time, and the last, look at everything; looking costs more than killing.
        if kill % 10 == 9 || kill + 1 == kills {
            assert_all_there(&place, &acknowledged.lock().unwrap());
        }
    }
    let acknowledged = acknowledged.into_inner().unwrap();
    eprintln!("{} entries acknowledged in {kills} runs, all there (random seed {})", acknowledged.len(), random.seed);
    assert!(acknowledged.len() as u64 >= kills, "the load was no load: {} entries", acknowledged.len());
    assert_holes_are_explained(&place);
}

#[track_caller]
fn assert_all_there(place: &Place, acknowledged: &[Acknowledged]) {
    place.verify();
    let entries = place.entries("verdict");
    let mut found = entries
        .iter()
        .map(|entry| (entry["index"].as_u64().unwrap(), entry))
        .collect::<std::collections::BTreeMap<_, _>>();
    for Acknowledged { id, index, leaf } in acknowledged {
        let entry = found.remove(index).unwrap_or_else(|| panic!("entry {index} of {id} is lost"));
        assert_eq!(entry["leaf"], **leaf, "entry {index}");
        assert_eq!(entry["body"]["verdict"]["inference_id"], **id, "entry {index}");
    }
}

/// Invocation ids never come twice, and each start says from where on ids may be missing.
fn assert_holes_are_explained(place: &Place) {
    let verdicts = place.entries("verdict");
    let mut ids: Vec<u64> =
        verdicts.iter().map(|entry| entry["body"]["verdict"]["invocation"].as_u64().unwrap()).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "an invocation id was given twice");
    let recoveries = place.entries("recovery");
    let dirty = |entry: &&Value| entry["body"]["recovery"]["clean"] == false;
    assert!(recoveries.iter().filter(dirty).count() + 1 >= recoveries.len(), "only the first start was clean");
}

/// SplitMix64 (Steele, Lea, Flood 2014), seeded by the clock.
struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    fn new() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = since.as_secs() ^ u64::from(since.subsec_nanos());
        Self { seed, state: seed }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
