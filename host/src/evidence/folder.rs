//! The ledger of a data folder that no other process holds.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use picket_ledger::Hash;
use picket_store::lookup::{Lookup, Query as Selection, Select};
use picket_store::{Log, Options, Reader, StoreError};

use super::{EvidenceError, Head, LOOKUP_FOLDER, Ledger, Piece, origin_of};

/// Entries are read to the end of a tile of the store at most: with usual entries 100 KiB, with the largest 64 MiB.
const PIECE_ENTRIES: u64 = 256;

/// Page cache while only reading, in bytes.
const CACHE_BYTES: u64 = 16 << 20;

/// How long a command brings the index up to date before it answers; it goes on with what there is then.
const CATCH_UP: Duration = Duration::from_secs(1);

pub(super) struct FolderLedger {
    reader: Reader,
    /// Where the index is; `None` if somebody else in this process has the ledger open.
    folder: Option<PathBuf>,
    /// Opened by the first question that it can answer.
    lookup: OnceLock<Lookup>,
    /// Keeps the folder locked while its reader is used; `None` if somebody else in this process has it open.
    _log: Option<Log>,
}

impl FolderLedger {
    pub(super) fn open(ledger: &Path) -> Result<Self, EvidenceError> {
        let mut options = Options::default();
        options.cache_bytes = CACHE_BYTES;
        match Log::open(ledger, &options) {
            Ok((log, opened)) => {
                for repair in &opened.repaired {
                    tracing::warn!("the ledger was mended on opening: {repair}");
                }
                let folder = Some(ledger.join(LOOKUP_FOLDER));
                Ok(Self { reader: log.reader(), folder, lookup: OnceLock::new(), _log: Some(log) })
            }
            Err(StoreError::Locked { pid, .. }) => Err(EvidenceError::Held { path: ledger.to_owned(), pid }),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn of(reader: Reader) -> Self {
        Self { reader, folder: None, lookup: OnceLock::new(), _log: None }
    }

    fn lookup(&self) -> Option<&Lookup> {
        let folder = self.folder.as_ref()?;
        Some(self.lookup.get_or_init(|| {
            let lookup = Lookup::open(self.reader.clone(), folder);
            let begun = Instant::now();
            // Without a file that can be written, what no index speaks of is read entry by entry.
            if let Err(error) = lookup.catch_up(|_| begun.elapsed() < CATCH_UP) {
                tracing::debug!(%error, "the index beside the ledger is not brought up to date");
            }
            lookup
        }))
    }
}

impl Ledger for FolderLedger {
    fn head(&self) -> Result<Head, EvidenceError> {
        let checkpoint = self.reader.latest_checkpoint()?.map(|checkpoint| checkpoint.text);
        let origin = checkpoint.as_deref().map(origin_of).unwrap_or_default();
        let pruned_to = self.reader.pruned_to();
        Ok(Head { origin, size: self.reader.size(), pruned_to, root: self.reader.root(), checkpoint })
    }

    fn entries(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>, EvidenceError> {
        let tile_end = (range.start / PIECE_ENTRIES + 1).saturating_mul(PIECE_ENTRIES);
        let end = range.end.min(self.reader.size()).min(tile_end);
        if range.start >= end {
            return Ok(Vec::new());
        }
        Ok(self.reader.read(range.start..end)?)
    }

    fn select(&self, query: &Selection, limit: usize) -> Result<Piece, EvidenceError> {
        let select = match self.lookup() {
            Some(lookup) => lookup.select(query.clone()),
            None => Select::scan(&self.reader, query.clone()),
        };
        Ok(Piece::take(select, query.newest_first, limit)?)
    }

    fn checkpoint_at_or_after(&self, size: u64) -> Result<Option<String>, EvidenceError> {
        Ok(self.reader.checkpoint_at_or_after(size)?.map(|checkpoint| checkpoint.text))
    }

    fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, EvidenceError> {
        Ok(self.reader.inclusion_proof(index, size)?)
    }

    fn frontier(&self, size: u64) -> Result<Vec<Hash>, EvidenceError> {
        Ok(self.reader.tree_at(size)?.peaks().to_vec())
    }

    fn payload(&self, invocation: u64) -> Result<Option<Vec<u8>>, EvidenceError> {
        Ok(self.reader.payload(invocation)?)
    }

    fn named(&self, name: &str) -> Result<Option<Vec<u8>>, EvidenceError> {
        Ok(self.reader.named(name)?)
    }
}
