//! What a commit is made of, its limits, and what its entries write.

use picket_ledger::entry::MAX_ENTRY_BYTES;
use picket_ledger::hash::{Hash, leaf_hash};

use crate::StoreError;
use crate::batch::Batch;
use crate::layout::{Head, TILE, entry_key, write_hash, write_stream};
use picket_ledger::tree::CompactRange;

/// Largest payload in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 128 * 1024 * 1024;
/// Largest named value in bytes.
pub const MAX_NAMED_BYTES: usize = 16 * 1024 * 1024;
/// Longest name of a named value in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// Bytes of entries in one commit after which it gets one more checkpoint: a segment holds at most 16 MiB, and can end only
/// at a checkpoint.
const SIGN_BYTES: usize = 6 * 1024 * 1024;

/// A payload that is kept apart from the entries, so that it can be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The invocation that it belongs to. A second payload of an invocation replaces the first.
    pub invocation: u64,
    /// At most [`MAX_PAYLOAD_BYTES`].
    pub bytes: Vec<u8>,
}

/// Signs a checkpoint of a size and root, and returns the note.
pub type Sign<'a> = dyn Fn(u64, &Hash) -> String + 'a;

/// What a commit makes durable together.
#[derive(Default)]
pub struct Commit<'a> {
    /// Entries in order, each at most [`MAX_ENTRY_BYTES`].
    pub entries: Vec<Vec<u8>>,
    /// Payloads.
    pub payloads: Vec<Payload>,
    /// Named values to set, or to remove with `None`.
    pub named: Vec<(String, Option<Vec<u8>>)>,
    /// Signs a checkpoint of the size and root after the entries are added; returns the note. When the entries cross
    /// multiples of 256, it is called for the largest of them as well, and before that: there a sealed segment
    /// can end.
    pub checkpoint: Option<&'a Sign<'a>>,
    /// The size after this commit is a boundary: no segment may span it, neither a sealed one nor one that is cut
    /// for an auditor. Set for the entry with which a key hands the log over to the next.
    pub boundary: bool,
}

/// Where the log stands after a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Index of the first entry that was added (the size before).
    pub first: u64,
    /// Entries in the log.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// The checkpoint, when one was asked for.
    pub checkpoint: Option<String>,
}

pub(super) fn check(commit: &Commit<'_>) -> Result<(), StoreError> {
    let at_most = |what, bytes: usize, limit: usize| {
        if bytes > limit {
            return Err(StoreError::TooLarge { what, bytes, limit });
        }
        Ok(())
    };
    for entry in &commit.entries {
        at_most("entry", entry.len(), MAX_ENTRY_BYTES)?;
    }
    for payload in &commit.payloads {
        at_most("payload", payload.bytes.len(), MAX_PAYLOAD_BYTES)?;
    }
    for (name, value) in &commit.named {
        at_most("name", name.len(), MAX_NAME_BYTES)?;
        at_most("named value", value.as_ref().map_or(0, Vec::len), MAX_NAMED_BYTES)?;
    }
    Ok(())
}

/// Adds entries to a head, and what that writes to a batch. `passed` gets each tree at which a sealed segment should be
/// able to end.
pub(super) fn append(
    head: &mut Head,
    batch: &mut Batch,
    entries: &[Vec<u8>],
    mut passed: impl FnMut(&CompactRange, &mut Batch),
) {
    let mut stream = Vec::new();
    let mut start = head.tail_bytes;
    let end = head.tree.size() + u64::try_from(entries.len()).expect("a commit is small");
    let last_tile = end.saturating_sub(1) / TILE * TILE;
    let mut since = 0;
    for entry in entries {
        // The largest multiple of a tile inside of the commit; and before a segment would grow too large.
        if head.tree.size() == last_tile || since > SIGN_BYTES {
            if since > 0 {
                passed(&head.tree, batch);
            }
            since = 0;
        }
        since += entry.len();
        let index = head.tree.size();
        head.tree.push_with(leaf_hash(entry), |level, index, hash| {
            if level > 0 && level.is_multiple_of(8) {
                write_hash(batch, level / 8, index, hash);
            }
        });
        let length = u32::try_from(entry.len()).expect("entries are at most MAX_ENTRY_BYTES long");
        stream.extend_from_slice(&length.to_le_bytes());
        stream.extend_from_slice(entry);
        if index % TILE == TILE - 1 {
            write_stream(batch, |piece| entry_key(index / TILE, piece), start, &stream);
            stream.clear();
            start = 0;
        }
    }
    let tile = head.tree.size() / TILE;
    write_stream(batch, |piece| entry_key(tile, piece), start, &stream);
    head.tail_bytes = start + u64::try_from(stream.len()).expect("a tile is far below 2^64 bytes");
}
