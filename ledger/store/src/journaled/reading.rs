//! Reading: the active overlay, then the frozen one, then the base.

use std::collections::BTreeMap;

use crate::StoreError;
use crate::batch::{Batch, Change};
use crate::store::Pair;

use super::Journaled;
use super::applier::{missing_start, read};

impl Journaled {
    /// The value of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        // A put or delete in an overlay hides what lies below; a splice needs it.
        let mut pending = Vec::new();
        let mut covered = false;
        {
            let overlays = read(&self.shared.overlays);
            let frozen = overlays.frozen.as_ref().map(|frozen| &frozen.batch);
            for batch in [Some(&overlays.active), frozen].into_iter().flatten() {
                if let Some(change) = batch.changes().get(key) {
                    covered = !matches!(change, Change::Splice { .. });
                    pending.push(change.clone());
                    if covered {
                        break;
                    }
                }
            }
        }
        // The base may have got the frozen overlay by now: changes are idempotent.
        let mut value = if covered { None } else { self.shared.with_base(|base| base.get(key))? };
        for change in pending.into_iter().rev() {
            value = self.settle(key, &change, value)?;
        }
        Ok(value)
    }

    /// The first `limit` pairs with `from <= key < to`, ascending.
    pub(crate) fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        let mut found = Vec::new();
        let mut from = from.to_vec();
        while found.len() < limit && from.as_slice() < to {
            let (older, newer) = {
                let overlays = read(&self.shared.overlays);
                let frozen = overlays.frozen.as_ref();
                (frozen.map(|frozen| within(&frozen.batch, &from, to)), within(&overlays.active, &from, to))
            };
            let page = self.shared.with_base(|base| base.range(&from, to, limit))?;
            // Beyond a full page the base has more keys, which come before overlay keys of the same place.
            let end = match page.last() {
                Some((key, _)) if page.len() == limit => [key.as_slice(), &[0]].concat(),
                _ => to.to_vec(),
            };
            let mut merged: BTreeMap<Vec<u8>, Vec<u8>> = page.into_iter().collect();
            for (key, change) in older.into_iter().flatten().chain(newer) {
                if key < end {
                    let before = merged.remove(&key);
                    if let Some(value) = self.settle(&key, &change, before)? {
                        merged.insert(key, value);
                    }
                }
            }
            found.extend(merged);
            from = end;
        }
        found.truncate(limit);
        Ok(found)
    }

    fn settle(&self, key: &[u8], change: &Change, before: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, StoreError> {
        change.apply(before).ok_or_else(|| missing_start(&self.journal_path, key))
    }
}

fn within(batch: &Batch, from: &[u8], to: &[u8]) -> Vec<(Vec<u8>, Change)> {
    batch
        .changes()
        .range::<[u8], _>((std::ops::Bound::Included(from), std::ops::Bound::Excluded(to)))
        .map(|(key, change)| (key.clone(), change.clone()))
        .collect()
}
