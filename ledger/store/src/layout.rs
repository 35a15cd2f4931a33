//! Which keys the log has in the store, and what their values are. Integers in keys are big-endian, so that
//! keys sort as numbers do; integers in values are little-endian.
//!
//! | key | value |
//! |---|---|
//! | `h` | the head: see [`Head::encode`] |
//! | `e` tile (u64) piece (u32) | a piece of the stream of a tile's entries: length (u32) and bytes of each |
//! | `n` level (u8) tile (u64) | up to 256 roots (32 bytes each) of complete subtrees of 256^level leaves |
//! | `c` size (u64) | the signed checkpoint of that size, as text |
//! | `b` size (u64) | nothing: no segment may span that size |
//! | `p` invocation (u64) piece (u32) | a piece of a payload: its length (u64), then its bytes |
//! | `s` size (u64) | the sealed file that ends at that size: see `sealed/row.rs` |
//! | `v` name | a small named value |
//!
//! A tile is 256 leaves, as in C2SP tlog-tiles; the hashes of level 0 are those of the entries and not kept.
//! A stream is cut into pieces of [`PIECE_BYTES`], all but the last of them full.

use picket_ledger::hash::Hash;
use picket_ledger::tree::CompactRange;

use crate::batch::Batch;

/// Leaves of a tile, and hashes of a hash tile. Sealed segments end at multiples of it, and at boundaries.
pub const TILE: u64 = 256;
/// Bytes of a piece.
pub(crate) const PIECE_BYTES: usize = 32 * 1024;
pub(crate) const HEAD_KEY: &[u8] = b"h";
const HEAD_VERSION: u8 = 1;

/// Where the log stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The tree over all entries: size, and the roots of its complete subtrees.
    pub(crate) tree: CompactRange,
    /// Entries below this index are gone. A multiple of [`TILE`].
    pub(crate) pruned_to: u64,
    /// Size of the latest checkpoint.
    pub(crate) checkpoint: Option<u64>,
    /// Bytes in the stream of the last tile; 0 when that is full.
    pub(crate) tail_bytes: u64,
}

impl Head {
    /// Version (u8), size, pruned_to, size of the latest checkpoint plus one or 0, tail_bytes (u64 each), then
    /// the roots of the complete subtrees, largest first.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let checkpoint = self.checkpoint.map_or(0, |size| size + 1);
        let mut bytes = vec![HEAD_VERSION];
        for number in [self.tree.size(), self.pruned_to, checkpoint, self.tail_bytes] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for peak in self.tree.peaks() {
            bytes.extend_from_slice(peak);
        }
        bytes
    }

    /// Reads what [`Head::encode`] wrote; `None` for anything else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&version, bytes) = bytes.split_first()?;
        let (numbers, peaks) = bytes.split_at_checked(32)?;
        let number = |place: usize| {
            let bytes = numbers.get(place * 8..)?.first_chunk()?;
            Some(u64::from_le_bytes(*bytes))
        };
        let (peaks, rest) = peaks.as_chunks::<32>();
        if version != HEAD_VERSION || !rest.is_empty() {
            return None;
        }
        Some(Self {
            tree: CompactRange::from_parts(number(0)?, peaks.to_vec()).ok()?,
            pruned_to: number(1)?,
            checkpoint: number(2)?.checked_sub(1),
            tail_bytes: number(3)?,
        })
    }
}

/// Key of a piece of a tile's entries.
pub(crate) fn entry_key(tile: u64, piece: u32) -> Vec<u8> {
    [b"e", tile.to_be_bytes().as_slice(), &piece.to_be_bytes()].concat()
}

/// The tile that the key of a piece names; `None` for other keys.
pub(crate) fn entry_tile(key: &[u8]) -> Option<u64> {
    let tile = key.strip_prefix(b"e")?.first_chunk()?;
    Some(u64::from_be_bytes(*tile))
}

/// Key of a hash tile.
pub(crate) fn hash_key(level: u8, tile: u64) -> Vec<u8> {
    [b"n", [level].as_slice(), &tile.to_be_bytes()].concat()
}

/// Key of a checkpoint.
pub(crate) fn checkpoint_key(size: u64) -> Vec<u8> {
    [b"c", size.to_be_bytes().as_slice()].concat()
}

/// The first key after all checkpoints.
pub(crate) const CHECKPOINTS_END: &[u8] = b"d";

/// The size that a checkpoint's key names.
pub(crate) fn checkpoint_size(key: &[u8]) -> Option<u64> {
    let size = key.strip_prefix(b"c")?.try_into().ok()?;
    Some(u64::from_be_bytes(size))
}

/// Key of a boundary between segments.
pub(crate) fn boundary_key(size: u64) -> Vec<u8> {
    [b"b", size.to_be_bytes().as_slice()].concat()
}

/// The first key after all boundaries.
pub(crate) const BOUNDARIES_END: &[u8] = b"c";

/// The size that a boundary's key names.
pub(crate) fn boundary_size(key: &[u8]) -> Option<u64> {
    let size = key.strip_prefix(b"b")?.try_into().ok()?;
    Some(u64::from_be_bytes(size))
}

/// Whether a key is that of a piece of a payload.
pub(crate) fn is_payload_key(key: &[u8]) -> bool {
    key.starts_with(b"p")
}

/// Key of a piece of a payload.
pub(crate) fn payload_key(invocation: u64, piece: u32) -> Vec<u8> {
    [b"p", invocation.to_be_bytes().as_slice(), &piece.to_be_bytes()].concat()
}

/// Key of a named value.
pub(crate) fn named_key(name: &str) -> Vec<u8> {
    [b"v", name.as_bytes()].concat()
}

/// Writes bytes at a place of a stream that is kept in pieces, and cuts the stream after them.
pub(crate) fn write_stream(batch: &mut Batch, key: impl Fn(u32) -> Vec<u8>, start: u64, mut bytes: &[u8]) {
    let piece_bytes = u64::try_from(PIECE_BYTES).expect("a piece is small");
    let mut place = start;
    while !bytes.is_empty() {
        let piece = u32::try_from(place / piece_bytes).expect("a stream is far below 2^47 bytes");
        let at = usize::try_from(place % piece_bytes).expect("a piece is small");
        let (part, rest) = bytes.split_at(bytes.len().min(PIECE_BYTES - at));
        batch.splice(key(piece), at, part.to_vec());
        place += u64::try_from(part.len()).expect("a part is small");
        bytes = rest;
    }
}

/// Appends a hash to its hash tile. `index` counts the subtrees of 256^level leaves.
pub(crate) fn write_hash(batch: &mut Batch, level: u8, index: u64, hash: &Hash) {
    let place = usize::try_from(index % TILE).expect("a tile is small");
    batch.splice(hash_key(level, index / TILE), place * 32, hash.to_vec());
}
