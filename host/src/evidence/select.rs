//! Selecting entries, in bounded pieces: of a folder, or over the control socket.

use std::ops::Range;
use std::time::{Duration, Instant};

use picket_ledger::entry::{Decision, FailureCause, Kind};
use picket_store::StoreError;
use picket_store::lookup::{Hit, Id, Query as Selection, Select, Step};
use serde::{Deserialize, Serialize};

use super::{Evidence, EvidenceError};

/// The most bytes of entries in a piece, but for a piece of one entry.
const PIECE_BYTES: usize = 1 << 20;

/// The most entries in a piece.
const PIECE_HITS: usize = 4096;

/// The longest that one piece is looked for.
const PIECE_TIME: Duration = Duration::from_millis(500);

/// The decisions that can be asked for.
pub const DECISIONS: [Decision; 4] = [Decision::Allow, Decision::Flag, Decision::Redact, Decision::Block];

/// The causes of failure that can be asked for.
pub const CAUSES: [FailureCause; 6] = [
    FailureCause::Trap,
    FailureCause::Deadline,
    FailureCause::Memory,
    FailureCause::Answer,
    FailureCause::Refused,
    FailureCause::Unavailable,
];

/// Some of the entries that fit, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// In the order of the query; may be none though there are more.
    pub hits: Vec<Hit>,
    /// The indexes that were not looked at; empty at the end.
    pub rest: Range<u64>,
}

impl Piece {
    /// Takes at most `limit` entries, and no more than fit a piece.
    ///
    /// # Errors
    /// As [`Select::step`].
    pub(crate) fn take(mut select: Select<'_>, newest_first: bool, limit: usize) -> Result<Self, StoreError> {
        let begun = Instant::now();
        let mut piece = Self { hits: Vec::new(), rest: 0..0 };
        let mut bytes = 0;
        loop {
            match select.step()? {
                Step::Hit(hit) => {
                    if bytes + hit.bytes.len() > PIECE_BYTES && !piece.hits.is_empty() {
                        let rest = select.rest();
                        piece.rest = if newest_first { rest.start..hit.index + 1 } else { hit.index..rest.end };
                        return Ok(piece);
                    }
                    bytes += hit.bytes.len();
                    piece.hits.push(hit);
                }
                Step::Looked => (),
                Step::End => break,
            }
            if piece.hits.len() >= limit.min(PIECE_HITS) || begun.elapsed() > PIECE_TIME {
                break;
            }
        }
        piece.rest = select.rest();
        Ok(piece)
    }

    /// The rest (2 × 8 bytes), then for each entry its index (8 bytes), its length (4 bytes) and itself; big-endian.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = [self.rest.start.to_be_bytes(), self.rest.end.to_be_bytes()].concat();
        for hit in &self.hits {
            // An entry is far below 4 GiB; a length that did not fit would be found as cut off.
            let length = u32::try_from(hit.bytes.len()).unwrap_or(u32::MAX);
            body.extend_from_slice(&hit.index.to_be_bytes());
            body.extend_from_slice(&length.to_be_bytes());
            body.extend_from_slice(&hit.bytes);
        }
        body
    }

    /// Reads what [`encode`](Self::encode) wrote, for a question about `asked`.
    pub(super) fn decode(body: &[u8], asked: &Selection) -> Result<Self, EvidenceError> {
        let piece = Self::split(body).ok_or_else(|| EvidenceError::Answer("the entries are cut off".into()))?;
        let ordered = piece.hits.windows(2).all(|pair| (pair[0].index < pair[1].index) != asked.newest_first);
        let inside = |range: &Range<u64>| {
            range.is_empty() || (asked.indexes.start <= range.start && range.end <= asked.indexes.end)
        };
        let moved = piece.rest.is_empty() || piece.rest != asked.indexes;
        let hits_inside = piece.hits.iter().all(|hit| asked.indexes.contains(&hit.index));
        if !ordered || !inside(&piece.rest) || !moved || !hits_inside {
            return Err(EvidenceError::Answer("entries that were not asked for".into()));
        }
        Ok(piece)
    }

    fn split(body: &[u8]) -> Option<Self> {
        let (start, body) = number(body)?;
        let (end, mut body) = number(body)?;
        let mut hits = Vec::new();
        while !body.is_empty() {
            let (index, rest) = number(body)?;
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let (bytes, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
            hits.push(Hit { index, bytes: bytes.to_vec() });
            body = rest;
        }
        Some(Self { hits, rest: start..end })
    }
}

fn number(body: &[u8]) -> Option<(u64, &[u8])> {
    body.split_first_chunk().map(|(bytes, rest)| (u64::from_be_bytes(*bytes), rest))
}

/// What `POST /v1/ledger/select` takes. What is left out does not narrow the answer.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SelectRequest {
    from: Option<u64>,
    to: Option<u64>,
    /// Milliseconds since 1970.
    since: Option<u64>,
    until: Option<u64>,
    kinds: Vec<String>,
    decisions: Vec<String>,
    model: Option<String>,
    model_version: Option<String>,
    guard: Option<String>,
    rule: Option<String>,
    failures: Vec<String>,
    /// An inference id or trace id.
    id: Option<String>,
    invocation: Option<u64>,
    newest_first: bool,
    limit: Option<usize>,
}

impl SelectRequest {
    pub(super) fn of(query: &Selection, limit: usize) -> Self {
        let words = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let (id, invocation) = match &query.id {
            Some(Id::Text(text)) => (Some(text.clone()), None),
            Some(Id::Invocation(invocation)) => (None, Some(*invocation)),
            None => (None, None),
        };
        Self {
            from: Some(query.indexes.start),
            to: Some(query.indexes.end),
            since: Some(query.times.start),
            until: Some(query.times.end),
            kinds: words(query.kinds.iter().map(|kind| kind.name()).collect()),
            decisions: words(query.decisions.iter().map(|decision| decision.name()).collect()),
            model: query.model.clone(),
            model_version: query.model_version.clone(),
            guard: query.guard.clone(),
            rule: query.rule.clone(),
            failures: words(query.failures.iter().map(|cause| cause.name()).collect()),
            id,
            invocation,
            newest_first: query.newest_first,
            limit: Some(limit),
        }
    }

    /// The query, and how many entries at most; or what is wrong, with what is allowed.
    pub(crate) fn query(self) -> Result<(Selection, usize), String> {
        let mut query = Selection::default();
        query.indexes = self.from.unwrap_or(0)..self.to.unwrap_or(u64::MAX);
        query.times = self.since.unwrap_or(0)..self.until.unwrap_or(u64::MAX);
        query.kinds = each("kinds", &self.kinds, kind_named)?;
        query.decisions = each("decisions", &self.decisions, decision_named)?;
        query.failures = each("failures", &self.failures, cause_named)?;
        query.model = self.model;
        query.model_version = self.model_version;
        query.guard = self.guard;
        query.rule = self.rule;
        query.id = match (self.id, self.invocation) {
            (Some(_), Some(_)) => return Err("either `id` or `invocation`, not both".into()),
            (id, invocation) => id.map(Id::Text).or(invocation.map(Id::Invocation)),
        };
        query.newest_first = self.newest_first;
        Ok((query, self.limit.unwrap_or(usize::MAX).max(1)))
    }
}

fn each<T>(field: &str, names: &[String], read: fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    names.iter().map(|name| read(name).map_err(|message| format!("`{field}`: {message}"))).collect()
}

/// The kind of this name, or words that say which there are.
///
/// # Errors
/// The names there are.
pub fn kind_named(name: &str) -> Result<Kind, String> {
    let names = || Kind::ALL.map(Kind::name).join(", ");
    Kind::from_name(name).ok_or_else(|| format!("{name:?}: the kinds are {}", names()))
}

/// The decision of this name, or words that say which there are.
///
/// # Errors
/// The names there are.
pub fn decision_named(name: &str) -> Result<Decision, String> {
    let found = DECISIONS.into_iter().find(|decision| decision.name() == name);
    found.ok_or_else(|| format!("{name:?}: it is allow, flag, redact or block"))
}

/// The cause of failure of this name, or words that say which there are.
///
/// # Errors
/// The names there are.
pub fn cause_named(name: &str) -> Result<FailureCause, String> {
    let names = || CAUSES.map(FailureCause::name).join(", ");
    CAUSES.into_iter().find(|cause| cause.name() == name).ok_or_else(|| format!("{name:?}: the causes are {}", names()))
}

/// The entries that fit a query, read piece by piece.
#[derive(Debug)]
pub struct Selected<'a> {
    pub(super) evidence: &'a Evidence,
    /// What is still asked.
    pub(super) query: Selection,
    /// How many more may come.
    pub(super) limit: usize,
    pub(super) hits: std::vec::IntoIter<Hit>,
    pub(super) done: bool,
}

impl Selected<'_> {
    /// Indexes that are not looked at yet. At the end of a query in the order of the ledger this begins where the
    /// ledger ended.
    #[must_use]
    pub fn rest(&self) -> Range<u64> {
        self.query.indexes.clone()
    }
}

impl Iterator for Selected<'_> {
    type Item = Result<Hit, EvidenceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.limit == 0 {
                return None;
            }
            if let Some(hit) = self.hits.next() {
                self.limit -= 1;
                return Some(Ok(hit));
            }
            if self.done {
                return None;
            }
            match self.evidence.ledger.select(&self.query, self.limit) {
                Ok(piece) => {
                    self.done = piece.rest.is_empty();
                    self.query.indexes = piece.rest;
                    self.hits = piece.hits.into_iter();
                }
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_and_those_that_lie_are_refused() {
        let mut asked = Selection::default();
        asked.indexes = 5..20;
        let hit = |index| Hit { index, bytes: vec![1; 3] };
        let piece = Piece { hits: vec![hit(5), hit(9)], rest: 10..20 };
        let body = piece.encode();
        assert_eq!(Piece::decode(&body, &asked).ok(), Some(piece.clone()));
        for end in 0..body.len() {
            // Cut between two entries it is a shorter answer.
            assert_eq!(Piece::decode(&body[..end], &asked).is_ok(), [16, 31].contains(&end), "{end}");
        }
        for wrong in [
            Piece { hits: vec![hit(9), hit(5)], rest: 10..20 },
            Piece { hits: vec![hit(4)], rest: 10..20 },
            Piece { hits: vec![], rest: 5..20 },
            Piece { hits: vec![], rest: 10..21 },
        ] {
            assert!(Piece::decode(&wrong.encode(), &asked).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_query_goes_over_the_socket_whole() {
        let mut query = Selection::default();
        query.indexes = 3..9;
        query.times = 1..7;
        query.kinds = Kind::ALL.to_vec();
        query.decisions = DECISIONS.to_vec();
        query.failures = CAUSES.to_vec();
        query.model = Some("m".into());
        query.model_version = Some("1".into());
        query.guard = Some("g".into());
        query.rule = Some("r".into());
        query.newest_first = true;
        for id in [None, Some(Id::Invocation(4)), Some(Id::Text("x".into()))] {
            query.id = id;
            let text = serde_json::to_string(&SelectRequest::of(&query, 7)).unwrap_or_default();
            let request: Result<SelectRequest, _> = serde_json::from_str(&text);
            assert_eq!(request.ok().map(SelectRequest::query), Some(Ok((query.clone(), 7))));
        }
        let wrong: Result<SelectRequest, _> = serde_json::from_str(r#"{"decisions":["maybe"]}"#);
        assert!(wrong.is_ok_and(|wrong| wrong.query().is_err_and(|message| message.contains("allow, flag"))));
    }
}
