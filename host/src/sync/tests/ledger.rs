//! A small ledger on disk.

use std::sync::{Arc, Mutex};

use picket_ledger::entry::{Body, Heartbeat};
use picket_ledger::{Checkpoint, Entry, Hash, KeyChain, SigningKey, VerifyingKey};
use picket_store::{Commit, Log, Options, Reader};

use crate::keys::Keyring;

use super::super::{Client, ClientOptions, CutLimits, Uplink};
use super::auditor::{Fake, TIMEOUT};

pub(super) struct Ledger {
    log: Arc<Mutex<Log>>,
    reader: Reader,
    signing: SigningKey,
    what: u64,
    _folder: tempfile::TempDir,
}

impl Ledger {
    /// With a checkpoint at each of these sizes.
    pub(super) fn with(sizes: &[u64]) -> Self {
        Self::of(7, sizes)
    }

    /// The same with entries that differ from those of another `what`.
    pub(super) fn of(what: u64, sizes: &[u64]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (log, _) = Log::open(&folder.path().join("ledger"), &Options::default()).unwrap();
        let reader = log.reader();
        let signing = SigningKey::from_seed("box-1", &[1; 32]).unwrap();
        let ledger = Self { log: Arc::new(Mutex::new(log)), reader, signing, what, _folder: folder };
        for size in sizes {
            ledger.grow(*size);
        }
        ledger
    }

    /// Appends up to `size` and signs.
    pub(super) fn grow(&self, size: u64) {
        let entries = (self.reader.size()..size).map(|index| entry(index, self.what)).collect();
        let sign = |size: u64, root: &Hash| Checkpoint::new("box-1", size, *root).sign(&self.signing);
        let commit = Commit { entries, checkpoint: Some(&sign), ..Commit::default() };
        self.log.lock().unwrap().commit(commit).unwrap();
    }

    pub(super) fn reader(&self) -> Reader {
        self.reader.clone()
    }

    pub(super) fn key(&self) -> VerifyingKey {
        self.signing.verifier()
    }

    pub(super) fn entries(&self) -> Vec<Vec<u8>> {
        self.reader.read(0..self.reader.size()).unwrap()
    }

    pub(super) fn stored(&self, name: &str) -> Option<Vec<u8>> {
        self.reader.named(name).unwrap()
    }

    pub(super) fn uplink(&self, auditor: &Fake, limits: CutLimits) -> Uplink {
        self.make(&auditor.url(), auditor, limits)
    }

    pub(super) fn uplink_to(&self, url: &str, auditor: &Fake) -> Uplink {
        self.make(url, auditor, CutLimits::default())
    }

    fn make(&self, url: &str, auditor: &Fake, limits: CutLimits) -> Uplink {
        let options = ClientOptions { url: url.to_owned(), timeout: TIMEOUT, ..ClientOptions::default() };
        let client = Client::new(&options).unwrap();
        let keys = Keyring::new(KeyChain::new(self.key()));
        Uplink::new(self.reader(), self.log.clone(), client, keys, auditor.key(), limits).unwrap()
    }
}

fn entry(index: u64, next_invocation: u64) -> Vec<u8> {
    let body = Body::Heartbeat(Heartbeat { next_invocation });
    // Constant lengths make limits in bytes exact.
    let wall_ms = 1_795_424_400_000;
    Entry { incarnation: 1, index, wall_ms, monotonic_ns: 1 << 40, boot: [3; 16], body }.encode().unwrap()
}
