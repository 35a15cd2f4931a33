//! The keys and values of the index, as bytes.

use picket_ledger::Hash;
use picket_ledger::entry::Body;
use picket_ledger::hash::sha256;

use crate::origin::Origin;

/// What an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKind {
    /// One inference.
    Inference,
    /// A trace, which may have several inferences.
    Trace,
}

/// Where an entry is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Whose entry.
    pub origin: Origin,
    /// The first entry of the segment that holds it.
    pub first: u64,
    /// The entry.
    pub index: u64,
}

/// Entries of one box that say the same about a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The first of them.
    pub first: Place,
    /// The last of them so far.
    pub last: Place,
    /// How many there are.
    pub times: u64,
}

pub(super) fn cursor(origin: &Origin) -> Vec<u8> {
    [b"c", origin.as_str().as_bytes(), &[0]].concat()
}

pub(super) fn node(origin: &Origin, level: u8, number: u64) -> Vec<u8> {
    [b"n", origin.as_str().as_bytes(), &[0, level], &number.to_be_bytes()].concat()
}

pub(super) fn id_prefix(kind: IdKind, id: &str) -> Vec<u8> {
    let letter = match kind {
        IdKind::Inference => b"i",
        IdKind::Trace => b"t",
    };
    [letter.as_slice(), &sha256(id.as_bytes())].concat()
}

pub(super) fn id(kind: IdKind, id: &str, place: &Place) -> Vec<u8> {
    let mut key = id_prefix(kind, id);
    key.extend_from_slice(place.origin.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(&place.first.to_be_bytes());
    key.extend_from_slice(&place.index.to_be_bytes());
    key
}

pub(super) fn place(suffix: &[u8]) -> Option<Place> {
    let (origin, numbers) = split_origin(suffix)?;
    let [first, index] = numbers_of(numbers)?;
    Some(Place { origin, first, index })
}

pub(super) fn fingerprint(body: &Body) -> [u8; 16] {
    // JSON of the body stands for its content; that of two equal bodies is equal, and no more is asked of it.
    let json = serde_json::to_vec(body).unwrap_or_default();
    let mut short = [0; 16];
    short.copy_from_slice(&sha256(&json)[..16]);
    short
}

pub(super) fn statement_prefix(digest: &Hash) -> Vec<u8> {
    [b"d".as_slice(), digest].concat()
}

pub(super) fn statement(digest: &Hash, fingerprint: &[u8; 16], origin: &Origin) -> Vec<u8> {
    [statement_prefix(digest).as_slice(), fingerprint, origin.as_str().as_bytes(), &[0]].concat()
}

pub(super) fn seen_again(known: Option<&[u8]>, place: &Place) -> Vec<u8> {
    let [first, index, _, _, times] = known.and_then(numbers_of).unwrap_or([place.first, place.index, 0, 0, 0]);
    [first, index, place.first, place.index, times.saturating_add(1)].iter().flat_map(|n| n.to_be_bytes()).collect()
}

pub(super) fn parse_statement(suffix: &[u8], value: &[u8]) -> Option<Statement> {
    let (origin, _) = split_origin(suffix.get(16..)?)?;
    let [first, index, last_first, last_index, times] = numbers_of(value)?;
    Some(Statement {
        first: Place { origin: origin.clone(), first, index },
        last: Place { origin, first: last_first, index: last_index },
        times,
    })
}

pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    numbers_of::<1>(bytes).map(|[number]| number)
}

fn split_origin(bytes: &[u8]) -> Option<(Origin, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let origin = Origin::parse(std::str::from_utf8(&bytes[..end]).ok()?).ok()?;
    Some((origin, &bytes[end + 1..]))
}

fn numbers_of<const N: usize>(bytes: &[u8]) -> Option<[u64; N]> {
    if bytes.len() != N * 8 {
        return None;
    }
    let mut numbers = [0; N];
    for (number, chunk) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
        *number = u64::from_be_bytes(chunk.try_into().ok()?);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {

    use super::*;

    fn at(origin: &str, first: u64, index: u64) -> Place {
        Place { origin: Origin::parse(origin).unwrap(), first, index }
    }

    #[test]
    fn places_come_back_from_their_keys() {
        let here = at("box-17", 64, 100);
        let key = id(IdKind::Inference, "req-1", &here);
        let prefix = id_prefix(IdKind::Inference, "req-1");
        assert_eq!(place(&key[prefix.len()..]), Some(here.clone()));
        assert!(!key.starts_with(&id_prefix(IdKind::Trace, "req-1")));
        assert_eq!(place(&key[prefix.len()..key.len() - 1]), None);
    }

    #[test]
    fn a_statement_keeps_its_first_place_and_counts() {
        let (digest, fingerprint) = ([7; 32], [9; 16]);
        let key = statement(&digest, &fingerprint, &at("b", 0, 0).origin);
        let once = seen_again(None, &at("b", 0, 3));
        let twice = seen_again(Some(&once), &at("b", 8, 11));
        let parsed = parse_statement(&key[statement_prefix(&digest).len()..], &twice).unwrap();
        assert_eq!(parsed, Statement { first: at("b", 0, 3), last: at("b", 8, 11), times: 2 });
    }
}
