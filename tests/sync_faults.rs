//! A box and the real auditor with a link between them that loses, repeats, delays, reorders, cuts and damages what it
//! carries. Everything arrives exactly once, and nobody is accused. Set `PICKET_SYNC_FAULTS` to a number of segments for a
//! long run.

#![allow(clippy::unwrap_used, reason = "tests")]

mod evidence_support;
#[path = "support/link.rs"]
mod link;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use evidence_support::{Auditor, Server};
use link::{Faults, Link};
use picket::keys::Keyring;
use picket::sync::{Client, ClientOptions, CutLimits, Uplink};
use picket_ledger::entry::{Body, Heartbeat};
use picket_ledger::receipt::CosignerKey;
use picket_ledger::{Checkpoint, Entry, Hash, KeyChain, SigningKey};
use picket_store::{Commit, Log, Options};

fn segments() -> u64 {
    std::env::var("PICKET_SYNC_FAULTS").ok().and_then(|text| text.parse().ok()).unwrap_or(120)
}

struct Edge {
    log: Arc<Mutex<Log>>,
    signing: SigningKey,
    _folder: tempfile::TempDir,
}

impl Edge {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (log, _) = Log::open(&folder.path().join("ledger"), &Options::default()).unwrap();
        let signing = SigningKey::from_seed("box-1", &[1; 32]).unwrap();
        Self { log: Arc::new(Mutex::new(log)), signing, _folder: folder }
    }

    /// Commits of some entries, each with its checkpoint.
    fn grow(&self, commits: u64, random: &mut Random) {
        let mut log = self.log.lock().unwrap();
        let sign = |size: u64, root: &Hash| Checkpoint::new("box-1", size, *root).sign(&self.signing);
        for _ in 0..commits {
            let from = log.size();
            let entries = (from..from + 1 + random.below(40)).map(entry).collect();
            log.commit(Commit { entries, checkpoint: Some(&sign), ..Commit::default() }).unwrap();
        }
    }

    fn size(&self) -> u64 {
        self.log.lock().unwrap().size()
    }

    fn uplink(&self, url: &str, auditor: &Auditor, compress: bool) -> Uplink {
        let timeout = Duration::from_secs(5);
        let options = ClientOptions { url: url.to_owned(), timeout, ..ClientOptions::default() };
        let mut client = Client::new(&options).unwrap();
        if !compress {
            client = client.uncompressed();
        }
        let reader = self.log.lock().unwrap().reader();
        let keys = Keyring::new(KeyChain::new(self.signing.verifier()));
        let cosigner = CosignerKey::parse(&auditor.key).unwrap();
        // Some two or three commits make a segment, so that checkpoints on the way are shown, too.
        let limits = CutLimits { bytes: 1 << 20, entries: 64 };
        Uplink::new(reader, self.log.clone(), client, keys, cosigner, limits).unwrap()
    }
}

fn entry(index: u64) -> Vec<u8> {
    let body = Body::Heartbeat(Heartbeat { next_invocation: 0 });
    Entry { incarnation: 1, index, wall_ms: 1_795_424_400_000 + index, monotonic_ns: index, boot: [3; 16], body }
        .encode()
        .unwrap()
}

/// The same faults in each run.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn box_1(auditor: &Auditor) -> serde_json::Value {
    auditor.run(&["boxes", "--json"]).json()[0]["boxes"][0].clone()
}

#[test]
fn over_a_bad_link_everything_arrives_exactly_once_and_nobody_is_accused() {
    let auditor = Auditor::new();
    let edge = Edge::new();
    auditor.run(&["enrol", "--origin", "box-1", "--key", &edge.signing.verifier().to_string()]).ok();
    let mut server: Option<Server> = Some(auditor.serve());
    let link = Link::start(&server.as_ref().unwrap().address, Faults::all(7));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut random = Random(42);
    let started = Instant::now();
    let (wanted, mut sent, mut rounds, mut failed, mut kills) = (segments(), 0, 0_u64, 0_u64, 0_u64);
    let mut uplink = edge.uplink(&link.url(), &auditor, true);
    while sent < wanted {
        edge.grow(1 + random.below(12), &mut random);
        while uplink.state().status().acknowledged < edge.size() {
            let before = uplink.state().status().receipts;
            // Now and then the auditor is killed in the middle of it.
            let dying = (random.below(12) == 0).then(|| {
                let (server, wait) = (server.take(), random.below(25));
                kills += 1;
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(wait));
                    drop(server);
                })
            });
            failed += u64::from(runtime.block_on(uplink.round()).is_err());
            if let Some(dying) = dying {
                dying.join().unwrap();
                server = Some(auditor.serve());
                link.lead_to(&server.as_ref().unwrap().address);
            }
            sent += uplink.state().status().receipts - before;
            rounds += 1;
            assert!(uplink.state().status().alarm.is_none(), "{:?}", uplink.state().status());
            assert!(rounds < 200 * wanted, "no progress: {:?}", uplink.state().status());
            if random.below(20) == 0 {
                // A box that starts again knows what it stored, and nothing else.
                uplink = edge.uplink(&link.url(), &auditor, random.below(2) == 0);
            }
        }
    }
    let faults = link.faults();
    println!(
        "{sent} segments, {} entries, {rounds} rounds of which {failed} failed, {faults} faults, {kills} kills, {:.1} s",
        edge.size(),
        started.elapsed().as_secs_f64()
    );
    assert!(faults > wanted / 2, "the faults did happen: {faults}");
    let status = uplink.state().status();
    assert_eq!((status.acknowledged, status.alarm), (edge.size(), None));
    let held = box_1(&auditor);
    assert_eq!((held["next"].as_u64(), &held["disputed"]), (Some(edge.size()), &false.into()), "{held}");
    for kind in ["fork", "rollback", "gap", "invalid"] {
        assert_eq!(held["incidents"][kind], 0, "{held}");
    }
    drop(server);
    // Every entry once, every segment and every receipt true.
    let verified = &auditor.run(&["verify", "--json"]).json()[0];
    assert_eq!(verified["verified"], true, "{verified}");
    assert_eq!(verified["boxes"][0]["size"], edge.size());
}
