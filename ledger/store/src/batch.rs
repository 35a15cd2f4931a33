//! Changes to the key/value space that belong together, and their bytes in the journal.
//!
//! Every change is idempotent: applied twice, it gives what it gives applied once. So recovery may replay
//! a batch of which it is unknown whether it reached the base store.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

const PUT: u8 = 1;
const SPLICE: u8 = 2;
const DELETE: u8 = 3;

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The value becomes these bytes.
    Put(Vec<u8>),
    /// The value keeps its first `at` bytes and goes on with these.
    ///
    /// This is how a tail grows without writing it again; naming the place makes it idempotent.
    Splice { at: usize, bytes: Vec<u8> },
    /// The key is gone.
    Delete,
}

/// Changes by key, in key order; at most one a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    changes: BTreeMap<Vec<u8>, Change>,
}

impl Batch {
    /// Sets a key.
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.push(key, Change::Put(value));
    }

    /// Cuts the value of a key at `at` and appends.
    pub(crate) fn splice(&mut self, key: Vec<u8>, at: usize, bytes: Vec<u8>) {
        self.push(key, Change::Splice { at, bytes });
    }

    /// Removes a key.
    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.push(key, Change::Delete);
    }

    /// The changes, in key order.
    pub(crate) fn changes(&self) -> &BTreeMap<Vec<u8>, Change> {
        &self.changes
    }

    /// True without a change.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Adds the changes of a later batch.
    pub(crate) fn extend(&mut self, later: Batch) {
        for (key, change) in later.changes {
            self.push(key, change);
        }
    }

    fn push(&mut self, key: Vec<u8>, change: Change) {
        match self.changes.entry(key) {
            Slot::Vacant(slot) => {
                slot.insert(change);
            }
            Slot::Occupied(mut slot) => combine(slot.get_mut(), change),
        }
    }

    /// Appends the batch's bytes: for each change its kind (u8), key length (u16), key, and for a splice its
    /// place (u32), and for a put or splice the length (u32) and the bytes. All integers little-endian.
    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        for (key, change) in &self.changes {
            let (kind, at, bytes): (u8, Option<usize>, Option<&[u8]>) = match change {
                Change::Put(bytes) => (PUT, None, Some(bytes)),
                Change::Splice { at, bytes } => (SPLICE, Some(*at), Some(bytes)),
                Change::Delete => (DELETE, None, None),
            };
            out.push(kind);
            let key_length = u16::try_from(key.len()).expect("keys are short: names are at most MAX_NAME_BYTES long");
            out.extend_from_slice(&key_length.to_le_bytes());
            out.extend_from_slice(key);
            if let Some(at) = at {
                out.extend_from_slice(&length(at).to_le_bytes());
            }
            if let Some(bytes) = bytes {
                out.extend_from_slice(&length(bytes.len()).to_le_bytes());
                out.extend_from_slice(bytes);
            }
        }
    }

    /// Reads what [`Batch::encode_into`] wrote; `None` for anything else.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Batch> {
        let mut batch = Batch::default();
        while let Some((&kind, rest)) = bytes.split_first() {
            bytes = rest;
            let key_length = usize::from(u16::from_le_bytes(take(&mut bytes)?));
            let key = take_slice(&mut bytes, key_length)?.to_vec();
            let change = match kind {
                PUT => Change::Put(take_value(&mut bytes)?),
                SPLICE => Change::Splice {
                    at: usize::try_from(u32::from_le_bytes(take(&mut bytes)?)).ok()?,
                    bytes: take_value(&mut bytes)?,
                },
                DELETE => Change::Delete,
                _ => return None,
            };
            batch.push(key, change);
        }
        Some(batch)
    }
}

impl Change {
    /// The value that the key has after this change, when `before` is its value before it.
    ///
    /// `None` when a splice starts beyond the end of the value: then bytes are missing.
    pub(crate) fn apply(&self, before: Option<Vec<u8>>) -> Option<Option<Vec<u8>>> {
        match self {
            Change::Put(bytes) => Some(Some(bytes.clone())),
            Change::Delete => Some(None),
            Change::Splice { at, bytes } => {
                let mut value = before.unwrap_or_default();
                if value.len() < *at {
                    return None;
                }
                value.truncate(*at);
                value.extend_from_slice(bytes);
                Some(Some(value))
            }
        }
    }
}

/// Makes one change of two that follow each other.
fn combine(earlier: &mut Change, later: Change) {
    match (earlier, later) {
        (Change::Put(value), Change::Splice { at, bytes }) if at <= value.len() => {
            value.truncate(at);
            value.extend_from_slice(&bytes);
        }
        (Change::Splice { at: start, bytes: value }, Change::Splice { at, bytes })
            if at >= *start && at - *start <= value.len() =>
        {
            value.truncate(at - *start);
            value.extend_from_slice(&bytes);
        }
        (earlier @ Change::Delete, Change::Splice { at: 0, bytes }) => *earlier = Change::Put(bytes),
        (earlier, later) => *earlier = later,
    }
}

fn length(value: usize) -> u32 {
    u32::try_from(value).expect("values of a batch are far below 4 GiB")
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

fn take_slice<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

fn take_value(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(u32::from_le_bytes(take(bytes)?)).ok()?;
    Some(take_slice(bytes, length)?.to_vec())
}
