//! The base of the log: an ordered map from bytes to bytes with atomic, sequenced batches.
//!
//! Behind this trait stand sled (`sled.rs`), alone and with values outside of it (`packs.rs`), and for tests
//! memory, which is the reference (`memory.rs`), and the faulty one around it (`faulty.rs`).

use crate::StoreError;

/// One write: a key and its new value, or `None` to remove it.
pub(crate) type Write = (Vec<u8>, Option<Vec<u8>>);

/// A key with its value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// Keys that start with this byte can be made again from elsewhere: a store that rebuilds itself may lose them.
pub(crate) const DERIVED: u8 = b's';

/// An ordered key/value store.
///
/// One thread writes; any number read meanwhile.
pub(crate) trait Store: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// When the store cannot read, or what it reads is damaged.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The first `limit` pairs with `from <= key < to`, ascending.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError>;

    /// The keys of what [`Store::range`] gives; also where values cannot be read.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn keys(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(self.range(from, to, limit)?.into_iter().map(|(key, _)| key).collect())
    }

    /// Applies all the writes and notes `sequence` as applied, or does neither. Not yet durable.
    ///
    /// # Errors
    /// When the store cannot write. It is then unknown whether the batch is applied; [`Store::applied`] of
    /// the store opened again tells.
    fn apply(&self, sequence: u64, writes: &[Write]) -> Result<(), StoreError>;

    /// Writes keys that start with [`DERIVED`], outside of any batch. Not yet durable.
    ///
    /// # Errors
    /// As [`Store::apply`].
    fn derive(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.apply(self.applied()?, writes)
    }

    /// The sequence of the last batch applied; 0 before the first.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn applied(&self) -> Result<u64, StoreError>;

    /// When it returns, everything applied survives a loss of power.
    ///
    /// # Errors
    /// When the system refuses; it is then unknown what is durable.
    fn sync(&self) -> Result<(), StoreError>;

    /// True after an error that the store does not recover from by itself: it must be opened again before it is
    /// written. Reading may still work.
    fn is_broken(&self) -> bool {
        false
    }

    /// Whether opening it again has a chance now. A broken store can still be read, one that is closed and cannot
    /// be opened cannot.
    ///
    /// # Errors
    /// What stands against it.
    fn may_reopen(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Frees what removed keys left behind, where the store does not do so by itself. Everything applied must
    /// be durable. Returns the bytes freed.
    ///
    /// # Errors
    /// As [`Store::get`], and when the system refuses.
    fn reclaim(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}
