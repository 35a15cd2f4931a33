//! Finding entries without reading all of them.
//!
//! An index beside the log, in a folder of its own: immutable files (*runs*), each about a range of entries inside of a
//! block of 65,536. It is never trusted: every answer reads the entry from the log and looks again whether it
//! fits. A run also names the root of the tree up to its end, so one that is about another log, or an
//! older state of this one, is found out before it is used. What is damaged, torn, or missing is built again from the
//! entries; what no run speaks of is read entry by entry. So nothing here is synced to disk: after a loss of power a
//! run is there whole, or is built again.
//!
//! Whoever can write into the folder can hide entries from a search, as he could by other means; verification
//! does not look here.

mod bits;
mod build;
mod query;
mod run;
mod select;
mod terms;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::StoreError;
use crate::layout::TILE;
use crate::reader::Reader;

use build::Builder;
use run::Run;

pub use query::{Id, Query};
pub use select::{Hit, Select, Step};

/// Entries of a block: the largest run.
pub(crate) const BLOCK: u64 = 65_536;

/// Entries of the smallest run. Fewer at the end of the log are read entry by entry.
pub const CHUNK: u64 = 1024;

/// So many runs of one size become one.
const MERGE: usize = 4;

/// The index of a log. May be used from many threads.
pub struct Lookup {
    reader: Reader,
    folder: PathBuf,
    /// By start; they do not overlap.
    runs: RwLock<Vec<Arc<Run>>>,
    /// One thread builds.
    building: Mutex<()>,
}

impl Lookup {
    /// Opens the index in a folder. There need not be one: it then starts empty, and [`Lookup::catch_up`] builds it.
    #[must_use]
    pub fn open(reader: Reader, folder: &Path) -> Self {
        let lookup = Self { reader, folder: folder.to_owned(), runs: RwLock::default(), building: Mutex::default() };
        *lookup.runs.write().unwrap_or_else(PoisonError::into_inner) = lookup.load();
        lookup
    }

    fn load(&self) -> Vec<Arc<Run>> {
        let files = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut found = Vec::new();
        for file in files {
            let path = file.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("run") => match Run::open(&path) {
                    Ok(run) => found.push(run),
                    Err(_) => remove(&path),
                },
                // Begun and not finished when the power or the process ended.
                Some("new") => remove(&path),
                _ => (),
            }
        }
        // The longer first: what was merged may still be there, when the process ended before it was removed.
        found.sort_by_key(|run| (run.start, std::cmp::Reverse(run.end)));
        let mut runs: Vec<Arc<Run>> = Vec::new();
        for run in found {
            let overlaps = runs.last().is_some_and(|last| run.start < last.end);
            if overlaps || run.end > self.reader.size() || run.end <= self.reader.pruned_to() {
                remove(&run.path);
            } else {
                runs.push(Arc::new(run));
            }
        }
        runs
    }

    /// The entries that fit a query.
    #[must_use]
    pub fn select(&self, query: Query) -> Select<'_> {
        Select::new(&self.reader, Some(self), query)
    }

    /// Entries that are in no run and could be: what [`Lookup::catch_up`] has to do.
    #[must_use]
    pub fn behind(&self) -> u64 {
        let runs = self.snapshot();
        let size = self.reader.size() / TILE * TILE;
        let covered: u64 = runs.iter().map(|run| run.end - run.start.max(self.reader.pruned_to()).min(run.end)).sum();
        size.saturating_sub(self.reader.pruned_to()).saturating_sub(covered)
    }

    /// Bytes of the files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.snapshot().iter().map(|run| run.bytes()).sum()
    }

    /// Builds what is missing, a run at a time, and removes what is about pruned entries. `go_on` is told after each
    /// run how many entries it brought in, and ends the work with `false`; what was done stays.
    ///
    /// # Errors
    /// As [`Reader::read`]; [`StoreError::Io`] or [`StoreError::Full`] when a file cannot be written. The index then
    /// stays as it is, and answers stay right.
    pub fn catch_up(&self, mut go_on: impl FnMut(u64) -> bool) -> Result<(), StoreError> {
        let _alone = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        let pruned_to = self.reader.pruned_to();
        for run in self.snapshot() {
            if run.end <= pruned_to || !run.is_of(&self.reader) {
                self.discard(&run);
            }
        }
        while let Some(range) = self.missing() {
            let mut builder = Builder::new(range.start);
            let mut next = range.start;
            while next < range.end {
                let end = range.end.min((next / TILE + 1) * TILE);
                for entry in self.reader.read(next..end)? {
                    builder.push(&entry);
                }
                next = end;
            }
            self.add(builder, &[])?;
            self.merge(range.start / BLOCK)?;
            if !go_on(range.end - range.start) {
                break;
            }
        }
        Ok(())
    }

    /// The first range that should become a run.
    fn missing(&self) -> Option<Range<u64>> {
        let size = self.reader.size() / TILE * TILE;
        let mut start = self.reader.pruned_to();
        let runs = self.snapshot();
        let mut runs = runs.iter().peekable();
        while start < size {
            if let Some(run) = runs.next_if(|run| run.start <= start) {
                start = start.max(run.end);
                continue;
            }
            let block_end = (start / BLOCK + 1) * BLOCK;
            let next = runs.peek().map_or(u64::MAX, |run| run.start);
            let end = size.min(block_end).min(next);
            // The last ones wait until they are enough.
            let last = end == size && end < block_end.min(next);
            return (!last || end - start >= CHUNK).then_some(start..end);
        }
        None
    }

    /// Joins the runs of a block: all of a full block, and the last ones of one size.
    fn merge(&self, block: u64) -> Result<(), StoreError> {
        loop {
            let runs: Vec<_> = self.snapshot().into_iter().filter(|run| run.start / BLOCK == block).collect();
            let touching = runs.windows(2).all(|pair| pair[0].end == pair[1].start);
            let full = runs.last().is_some_and(|run| run.end % BLOCK == 0);
            let size = |run: &Arc<Run>| ((run.end - run.start) / CHUNK).max(1).ilog(4);
            let last = runs.len().saturating_sub(MERGE);
            let alike = runs.len() >= MERGE && runs[last..].windows(2).all(|pair| size(&pair[0]) == size(&pair[1]));
            let joined = match () {
                () if !touching || runs.len() < 2 => return Ok(()),
                () if full => &runs[..],
                () if alike => &runs[last..],
                () => return Ok(()),
            };
            let mut builder: Option<Builder> = None;
            for run in joined {
                let Ok(loaded) = run.load() else {
                    self.discard(run);
                    return Ok(());
                };
                match &mut builder {
                    Some(builder) => builder.join(loaded),
                    None => builder = Some(loaded),
                }
            }
            if let Some(builder) = builder {
                self.add(builder, joined)?;
            }
        }
    }

    /// Writes a run and puts it in the place of others.
    fn add(&self, builder: Builder, instead_of: &[Arc<Run>]) -> Result<(), StoreError> {
        let (start, end) = (builder.start, builder.end);
        let root = self.reader.tree_at(end)?.root();
        let path = self.folder.join(format!("{start:020}-{end:020}.run"));
        let unfinished = path.with_extension("new");
        // No sync: a file that a loss of power left torn or empty fails its checksum and is built again.
        let written = std::fs::create_dir_all(&self.folder)
            .and_then(|()| std::fs::write(&unfinished, builder.encode(&root)))
            .and_then(|()| std::fs::rename(&unfinished, &path));
        if let Err(error) = written {
            remove(&unfinished);
            return Err(StoreError::io("write", &path, error));
        }
        // What was just written and cannot be read will be missing, and is read entry by entry.
        let Ok(run) = Run::open(&path) else { return Ok(()) };
        let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        runs.retain(|run| !instead_of.iter().any(|old| Arc::ptr_eq(run, old)));
        let place = runs.partition_point(|run| run.start < start);
        runs.insert(place, Arc::new(run));
        drop(runs);
        for old in instead_of {
            remove(&old.path);
        }
        Ok(())
    }

    /// The run about an index, and the range around it, inside of `whole`, that no other run is about.
    fn around(&self, at: u64, whole: Range<u64>) -> (Option<Arc<Run>>, Range<u64>) {
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        let behind = runs.partition_point(|run| run.start <= at);
        let before = behind.checked_sub(1).and_then(|place| runs.get(place));
        let next = runs.get(behind).map_or(u64::MAX, |run| run.start);
        match before {
            Some(run) if run.end > at => (Some(Arc::clone(run)), run.start..run.end),
            _ => {
                let start = before.map_or(0, |run| run.end);
                (None, start.max(whole.start)..next.min(whole.end))
            }
        }
    }

    /// Takes a run out that is not what it should be.
    fn discard(&self, run: &Arc<Run>) {
        self.runs.write().unwrap_or_else(PoisonError::into_inner).retain(|other| !Arc::ptr_eq(run, other));
        remove(&run.path);
    }

    fn snapshot(&self) -> Vec<Arc<Run>> {
        self.runs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for Lookup {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Lookup").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Removes a file that nobody needs; one that stays is found again.
fn remove(path: &Path) {
    drop(std::fs::remove_file(path));
}
