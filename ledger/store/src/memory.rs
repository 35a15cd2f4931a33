//! A base store in memory: the reference that the others are compared with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::StoreError;
use crate::store::{Pair, Store, Write};

/// A store in memory.
///
/// Clones share their content, so that a clone plays the disk under a store that is "opened again".
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryStore {
    content: Arc<Mutex<Content>>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    applied: u64,
    /// What a loss of power leaves: pairs, and what was applied.
    durable: (BTreeMap<Vec<u8>, Vec<u8>>, u64),
}

impl MemoryStore {
    /// Plays a loss of power: everything after the last [`Store::sync`] is gone.
    pub(crate) fn lose_power(&self) {
        let mut content = self.lock();
        let (pairs, applied) = content.durable.clone();
        content.pairs = pairs;
        content.applied = applied;
    }

    /// Takes the content of another, applied and durable.
    pub(crate) fn copy_from(&self, other: &Self) {
        let copy = other.lock().clone();
        *self.lock() = copy;
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().pairs.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let content = self.lock();
        let pairs = content.pairs.range(from.to_vec()..to.to_vec());
        Ok(pairs.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn apply(&self, sequence: u64, writes: &[Write]) -> Result<(), StoreError> {
        let mut content = self.lock();
        for (key, value) in writes {
            match value {
                Some(value) => {
                    content.pairs.insert(key.clone(), value.clone());
                }
                None => {
                    content.pairs.remove(key);
                }
            }
        }
        content.applied = sequence;
        Ok(())
    }

    fn applied(&self) -> Result<u64, StoreError> {
        Ok(self.lock().applied)
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut content = self.lock();
        content.durable = (content.pairs.clone(), content.applied);
        Ok(())
    }
}
