//! What is kept of a payload, and whether it is what the entry committed to.

use picket_ledger::Hash;

use super::EvidenceError;
use crate::payload::{Salt, commit, decode};

/// A stored payload.
///
/// The salt stays when the payload is not retained: with it, whoever keeps the payload elsewhere can show
/// that it is the one that was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPayload {
    /// The salt of the commitment.
    pub salt: Salt,
    /// The payload, if it was retained.
    pub payload: Option<Vec<u8>>,
}

/// What comparing a payload with its commitment gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadCheck {
    /// It is the payload that the entry committed to.
    Matches,
    /// It is another one: the stored payload was altered.
    Differs,
    /// It was not retained.
    NotRetained,
}

impl PayloadCheck {
    /// The word for output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Matches => "matches",
            Self::Differs => "differs",
            Self::NotRetained => "not-retained",
        }
    }
}

impl StoredPayload {
    /// Reads stored bytes ([`crate::payload`]).
    ///
    /// # Errors
    /// [`EvidenceError::Answer`] for anything but their canonical form.
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let (salt, payload) =
            decode(bytes).ok_or_else(|| EvidenceError::Answer("a stored payload is damaged".into()))?;
        Ok(Self { salt, payload })
    }

    /// Compares with the commitment in the entry of `invocation`.
    #[must_use]
    pub fn check(&self, invocation: u64, committed: &Hash) -> PayloadCheck {
        match &self.payload {
            None => PayloadCheck::NotRetained,
            Some(payload) if commit(&self.salt, invocation, payload) == *committed => PayloadCheck::Matches,
            Some(_) => PayloadCheck::Differs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_tells_a_changed_payload_from_a_missing_one() {
        let committed = commit(&[7; 32], 5, b"text");
        let mut stored = StoredPayload { salt: [7; 32], payload: Some(b"text".to_vec()) };
        assert_eq!(stored.check(5, &committed), PayloadCheck::Matches);
        assert_eq!(stored.check(6, &committed), PayloadCheck::Differs);
        stored.payload = Some(b"texu".to_vec());
        assert_eq!(stored.check(5, &committed), PayloadCheck::Differs);
        stored.payload = None;
        assert_eq!(stored.check(5, &committed), PayloadCheck::NotRetained);
    }
}
