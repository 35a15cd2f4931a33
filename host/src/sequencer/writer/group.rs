//! What is on its way into a commit.

use super::super::{Done, Placed, SequencerError};
use picket_store::{MAX_NAME_BYTES, MAX_NAMED_BYTES, MAX_PAYLOAD_BYTES, Payload};

/// One group on its way into a commit.
#[derive(Default)]
pub(in crate::sequencer) struct Group {
    pub(in crate::sequencer) entries: Vec<Vec<u8>>,
    pub(in crate::sequencer) payloads: Vec<Payload>,
    pub(in crate::sequencer) named: Vec<(String, Option<Vec<u8>>)>,
    pub(super) waiting: Vec<Waiting>,
    pub(in crate::sequencer) bytes: usize,
    /// What the group's own entries tell: taken back when it fails.
    pub(in crate::sequencer) step_ms: i64,
    pub(in crate::sequencer) dropped: u64,
}

pub(super) struct Waiting {
    pub(in crate::sequencer) placed: Placed,
    pub(in crate::sequencer) done: Done,
    /// A verdict, which the policy for a full disk is about.
    pub(in crate::sequencer) verdict: bool,
}

/// What the store would refuse for its size.
pub(super) fn oversized(
    payload: Option<&(u64, Vec<u8>)>,
    named: &[(String, Option<Vec<u8>>)],
) -> Option<SequencerError> {
    let too_large = |what: &str, bytes: usize, limit: usize| {
        let message = format!("{what} has {bytes} bytes; at most {limit} are kept");
        (bytes > limit).then_some(SequencerError::Entry(message))
    };
    let payload = payload.and_then(|(_, bytes)| too_large("the payload", bytes.len(), MAX_PAYLOAD_BYTES));
    let values = named.iter().filter_map(|(name, value)| Some((name, value.as_ref()?.len())));
    let mut values = values.filter_map(|(name, bytes)| {
        too_large("a name", name.len(), MAX_NAME_BYTES)
            .or_else(|| too_large(&format!("the value `{name}`"), bytes, MAX_NAMED_BYTES))
    });
    payload.or_else(|| values.next())
}
