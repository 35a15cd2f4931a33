//! Finding one entry by what people call it.

use picket_ledger::Entry;

use super::{Evidence, EvidenceError, Id, Selection};

/// How an entry is named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// `17`: the entry at this index.
    Index(u64),
    /// `#17`: the verdict on this invocation.
    Invocation(u64),
    /// Anything else, or `id:17`: the newest verdict on the inference with this id, or with this trace id.
    Inference(String),
}

impl Query {
    /// Reads what was given. An inference id of digits alone needs `id:` before it.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if let Some(id) = text.strip_prefix("id:") {
            return Self::Inference(id.to_owned());
        }
        if let Some(number) = text.strip_prefix('#').and_then(|number| number.parse().ok()) {
            return Self::Invocation(number);
        }
        text.parse().map_or_else(|_| Self::Inference(text.to_owned()), Self::Index)
    }
}

impl std::fmt::Display for Query {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Index(index) => write!(formatter, "entry {index}"),
            Self::Invocation(invocation) => write!(formatter, "invocation #{invocation}"),
            Self::Inference(id) => write!(formatter, "inference {id:?}"),
        }
    }
}

/// An entry that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its index.
    pub index: u64,
    /// As it stands in the ledger.
    pub bytes: Vec<u8>,
    /// Decoded.
    pub entry: Entry,
    /// Indexes of older verdicts that fit the query too, newest last, at most 100.
    pub others: Vec<u64>,
}

/// Older verdicts with the same id that are named.
const MAX_OTHERS: usize = 100;

/// Finds the entry that `query` means; for an id that was used several times, the newest verdict.
///
/// # Errors
/// [`EvidenceError`]; [`EvidenceError::Entry`] if the entry does not decode.
pub fn find(evidence: &Evidence, query: &Query) -> Result<Option<Found>, EvidenceError> {
    if let Query::Index(index) = query {
        let Some(bytes) = evidence.entry(*index)? else { return Ok(None) };
        let entry = decode(*index, &bytes)?;
        return Ok(Some(Found { index: *index, bytes, entry, others: Vec::new() }));
    }
    let mut selection = Selection::default();
    selection.id = match query {
        Query::Invocation(invocation) => Some(Id::Invocation(*invocation)),
        Query::Inference(id) => Some(Id::Text(id.clone())),
        Query::Index(_) => None,
    };
    selection.newest_first = true;
    let mut hits = evidence.select(selection, MAX_OTHERS + 1);
    let Some(newest) = hits.next().transpose()? else { return Ok(None) };
    let mut others = hits.map(|hit| hit.map(|hit| hit.index)).collect::<Result<Vec<u64>, _>>()?;
    others.reverse();
    let entry = decode(newest.index, &newest.bytes)?;
    Ok(Some(Found { index: newest.index, bytes: newest.bytes, entry, others }))
}

/// Decodes the entry at `index`.
///
/// # Errors
/// [`EvidenceError::Entry`] with the index.
pub fn decode(index: u64, bytes: &[u8]) -> Result<Entry, EvidenceError> {
    Entry::decode(bytes).map_err(|source| EvidenceError::Entry { index, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_understood() {
        assert_eq!(Query::parse("17"), Query::Index(17));
        assert_eq!(Query::parse("#17"), Query::Invocation(17));
        assert_eq!(Query::parse("id:17"), Query::Inference("17".to_owned()));
        assert_eq!(Query::parse("loan-17"), Query::Inference("loan-17".to_owned()));
        assert_eq!(Query::parse("#x"), Query::Inference("#x".to_owned()));
        assert_eq!(Query::parse("99999999999999999999"), Query::Inference("99999999999999999999".to_owned()));
    }
}
