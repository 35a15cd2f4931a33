//! Verification of what is on disk: the tail at every opening, everything on demand.

use picket_ledger::hash::{Hash, leaf_hash, to_hex};
use picket_ledger::tree::{CompactRange, NodeSource, root_at};
use picket_ledger::{Entry, SignedCheckpoint, VerifyingKey, checkpoint};

use crate::StoreError;
use crate::layout::{Head, TILE};
use crate::reader::{Reader, StoredCheckpoint, Walk};

/// Problems that a report tells at most.
const MAX_PROBLEMS: usize = 100;
/// Checkpoints read at once.
const PAGE: usize = 256;

/// What [`Reader::fsck`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Entries in the log.
    pub size: u64,
    /// Entries below this index were pruned and could not be verified here.
    pub pruned_to: u64,
    /// Entries that were read.
    pub entries: u64,
    /// Checkpoints that were read.
    pub checkpoints: u64,
    /// Sealed segments that were read.
    pub segments: u64,
    /// The lowest index at which something is wrong.
    pub first_bad: Option<u64>,
    /// What is wrong, a sentence each, at most 100.
    pub problems: Vec<String>,
}

impl Report {
    /// True when nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, index: u64, message: String) {
        self.first_bad = Some(self.first_bad.map_or(index, |first| first.min(index)));
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(message);
        }
    }
}

/// Verifies the tail: the entries of the last tile and the stored roots give the head, and the latest
/// checkpoint speaks of this log.
pub(crate) fn verify_tail(reader: &Reader) -> Result<(), StoreError> {
    let head = reader.head();
    let size = head.tree.size();
    let mut bytes = 0;
    let mut entries = 0;
    if size > head.pruned_to || !size.is_multiple_of(TILE) {
        let tile = size.saturating_sub(1) / TILE;
        let mut walk = Walk::new(reader, tile * TILE..size);
        while let Some(entry) = walk.next()? {
            entries += 1;
            bytes += 4 + u64::try_from(entry.len()).unwrap_or(u64::MAX);
        }
        let expected = size - tile * TILE;
        if entries != expected {
            return Err(reader.damaged(format!("the last tile has {entries} entries, and should have {expected}")));
        }
    }
    if !size.is_multiple_of(TILE) && bytes != head.tail_bytes {
        return Err(reader.damaged(format!("the last tile has {bytes} bytes, and should have {}", head.tail_bytes)));
    }
    // Each root of the head again from what lies below it: hashes of the last entries, or stored roots.
    let mut start = 0;
    for (peak, level) in head.tree.peaks().iter().zip(levels(size)) {
        if reader.node(level, start >> level)? != *peak {
            return Err(reader.damaged(format!(
                "entries {start} to {} do not have the root that the head says",
                start + (1 << level) - 1
            )));
        }
        start += 1 << level;
    }
    verify_latest_checkpoint(reader, &head)
}

fn verify_latest_checkpoint(reader: &Reader, head: &Head) -> Result<(), StoreError> {
    let Some(StoredCheckpoint { size, text }) = reader.latest_checkpoint()? else {
        return Ok(());
    };
    let wrong = |message: String| Err(reader.damaged(message));
    let Ok(said) = checkpoint::peek(&text) else {
        // Whoever opens the log with another kind of note verifies it by itself.
        return Ok(());
    };
    if said.size != size || size > head.tree.size() {
        return wrong(format!(
            "the checkpoint of size {} is kept for size {size} in a log of {} entries",
            said.size,
            head.tree.size()
        ));
    }
    if size < head.pruned_to {
        return Ok(());
    }
    if root_at(reader, size)? != said.root {
        return wrong(format!(
            "the first {size} entries do not have the root {} that the checkpoint says",
            to_hex(&said.root)
        ));
    }
    Ok(())
}

/// Levels of the complete subtrees of a tree, largest first.
fn levels(size: u64) -> impl Iterator<Item = u8> {
    (0u8..64).rev().filter(move |level| size >> level & 1 == 1)
}

/// See [`Reader::fsck`].
pub(crate) fn run(reader: &Reader, key: Option<&VerifyingKey>) -> Result<Report, StoreError> {
    let head = reader.head();
    let size = head.tree.size();
    let mut report = Report { size, pruned_to: head.pruned_to, ..Report::default() };
    let mut checkpoints = Checkpoints::new(reader, key);
    checkpoints.before(head.pruned_to, &mut report);
    let mut tree = match reader.tree_at(head.pruned_to) {
        Ok(tree) => Some(tree),
        Err(error) => {
            report.problem(head.pruned_to, format!("the roots of the pruned entries cannot be read: {error}"));
            None
        }
    };
    checkpoints.at(head.pruned_to, tree.as_ref(), &mut report);
    for tile in head.pruned_to / TILE..size.div_ceil(TILE) {
        walk_tile(reader, tile, size, &mut tree, &mut checkpoints, &mut report);
    }
    if let Some(tree) = tree
        && tree != head.tree
    {
        report.problem(
            head.pruned_to,
            format!("the {size} entries do not have the root {} of the head", to_hex(&head.tree.root())),
        );
    }
    checkpoints.beyond(size, &mut report);
    verify_files(reader, &mut report);
    Ok(report)
}

/// Verifies the entries of one tile. `tree` is what is before it; `None` once an entry is missing, after which
/// it is taken up again from the stored roots.
fn walk_tile(
    reader: &Reader,
    tile: u64,
    size: u64,
    tree: &mut Option<CompactRange>,
    checkpoints: &mut Checkpoints<'_>,
    report: &mut Report,
) {
    if tree.is_none() {
        *tree = reader.tree_at(tile * TILE).ok();
    }
    let end = size.min((tile + 1) * TILE);
    let mut walk = Walk::new(reader, tile * TILE..end);
    for index in tile * TILE..end {
        let entry = match walk.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => {
                report.problem(index, format!("entries {index} to {} are missing", end - 1));
                *tree = None;
                return;
            }
            Err(error) => {
                report.problem(index, format!("entries {index} to {} cannot be read: {error}", end - 1));
                *tree = None;
                return;
            }
        };
        report.entries += 1;
        match Entry::decode(&entry) {
            Ok(decoded) if decoded.index != index => {
                report.problem(index, format!("entry {index} says that it is entry {}", decoded.index))
            }
            Ok(_) => {}
            Err(error) => report.problem(index, format!("entry {index} does not decode: {error}")),
        }
        if let Some(tree) = tree.as_mut() {
            let mut wrong = Vec::new();
            tree.push_with(leaf_hash(&entry), |level, node, hash| {
                if level > 0 && level.is_multiple_of(8) && !stored_is(reader, level, node, hash) {
                    wrong.push((level, node));
                }
            });
            for (level, node) in wrong {
                let first = node << level;
                report.problem(first, format!("entries {first} to {index} do not have the root that is kept for them"));
            }
        }
        checkpoints.at(index + 1, tree.as_ref(), report);
    }
}

/// Verifies that each sealed file has the bytes of its name: the entries were compared above, and this is about what is
/// around them.
fn verify_files(reader: &Reader, report: &mut Report) {
    for row in reader.sealed().within(reader.pruned_to(), u64::MAX) {
        match reader.sealed().read(&row) {
            Ok(_) => report.segments += 1,
            // Pruned meanwhile.
            Err(_) if row.end <= reader.pruned_to() => {}
            Err(error) => report.problem(row.first, error.to_string()),
        }
    }
}

fn stored_is(reader: &Reader, level: u8, index: u64, hash: &Hash) -> bool {
    reader.node(level, index).is_ok_and(|stored| stored == *hash)
}

/// The checkpoints by size, a page at a time.
struct Checkpoints<'a> {
    reader: &'a Reader,
    key: Option<&'a VerifyingKey>,
    page: std::vec::IntoIter<StoredCheckpoint>,
    next: Option<StoredCheckpoint>,
    /// Where the next page starts; `None` after the last.
    from: Option<u64>,
}

impl<'a> Checkpoints<'a> {
    fn new(reader: &'a Reader, key: Option<&'a VerifyingKey>) -> Self {
        Self { reader, key, page: Vec::new().into_iter(), next: None, from: Some(0) }
    }

    /// The next checkpoint whose size is below `end`.
    fn take(&mut self, end: u64, report: &mut Report) -> Option<StoredCheckpoint> {
        if self.next.is_none() {
            self.next = self.page.next();
        }
        if self.next.is_none()
            && let Some(from) = self.from.take()
        {
            match self.reader.checkpoints(from..u64::MAX, PAGE) {
                Ok(page) => {
                    self.from = page.last().map(|last| last.size + 1);
                    self.page = page.into_iter();
                    self.next = self.page.next();
                }
                Err(error) => {
                    report.problem(from, format!("checkpoints from size {from} on cannot be read: {error}"));
                }
            }
        }
        let taken = self.next.take_if(|checkpoint| checkpoint.size < end);
        report.checkpoints += u64::from(taken.is_some());
        taken
    }

    /// Those of pruned entries: only the signature can be verified.
    fn before(&mut self, end: u64, report: &mut Report) {
        while let Some(checkpoint) = self.take(end, report) {
            self.verify(&checkpoint, None, report);
        }
    }

    /// That of the tree at hand, if there is one.
    fn at(&mut self, size: u64, tree: Option<&CompactRange>, report: &mut Report) {
        while let Some(checkpoint) = self.take(size + 1, report) {
            let tree = tree.filter(|tree| tree.size() == checkpoint.size);
            self.verify(&checkpoint, tree, report);
        }
    }

    fn beyond(&mut self, size: u64, report: &mut Report) {
        while let Some(checkpoint) = self.take(u64::MAX, report) {
            report.problem(
                size,
                format!("there is a checkpoint of size {}, and the log has {size} entries", checkpoint.size),
            );
        }
    }

    fn verify(&self, stored: &StoredCheckpoint, tree: Option<&CompactRange>, report: &mut Report) {
        let size = stored.size;
        let said = match self.key {
            Some(key) => SignedCheckpoint::open(&stored.text, key).map(|signed| signed.checkpoint),
            None => checkpoint::peek(&stored.text),
        };
        match said {
            Err(error) => report.problem(size, format!("the checkpoint of size {size} is not valid: {error}")),
            Ok(said) if said.size != size => {
                report.problem(size, format!("the checkpoint kept for size {size} says {}", said.size));
            }
            Ok(said) => {
                if let Some(tree) = tree
                    && tree.root() != said.root
                {
                    report.problem(
                        size.saturating_sub(1),
                        format!("the first {size} entries do not have the root that their checkpoint says"),
                    );
                }
            }
        }
    }
}
