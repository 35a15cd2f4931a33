//! The body of `add-checkpoint`, C2SP tlog-witness.

use super::{MAX_ADD_CHECKPOINT_BYTES, MAX_PROOF_HASHES, MirrorError};
use crate::checkpoint::{decimal, peek};
use crate::hash::{Hash, hash_from_base64, to_base64};

/// A checkpoint with the proof that it continues an earlier one.
///
/// The old size may be larger than the checkpoint's here: what that means is for the auditor to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size from which the proof leads.
    pub old: u64,
    /// The consistency proof of RFC 6962 from `old` to the checkpoint's size; empty when `old` is zero or that size.
    pub proof: Vec<Hash>,
    /// The signed note, not yet verified.
    pub note: String,
}

impl AddCheckpoint {
    /// Reads a body, canonical form only. The note is well formed then, and no signature has been looked at.
    ///
    /// # Errors
    /// [`MirrorError::Line`], [`MirrorError::TooLong`], [`MirrorError::Note`].
    pub fn parse(body: &[u8]) -> Result<Self, MirrorError> {
        if body.len() > MAX_ADD_CHECKPOINT_BYTES {
            let (found, limit) = (body.len(), MAX_ADD_CHECKPOINT_BYTES);
            return Err(MirrorError::TooLong { what: "the request", found, limit });
        }
        let text = std::str::from_utf8(body).map_err(|_| MirrorError::Line { line: 1, what: "it is not UTF-8" })?;
        let missing = MirrorError::Line { line: 1, what: "`old`, a space and a size in decimal belong there" };
        let (first, mut rest) = text.split_once('\n').ok_or_else(|| missing.clone())?;
        let old = first.strip_prefix("old ").and_then(decimal).ok_or(missing)?;
        let mut proof = Vec::new();
        loop {
            let line = proof.len() + 2;
            let what = "a hash in base64 or an empty line belongs there";
            let (hash, after) = rest.split_once('\n').ok_or(MirrorError::Line { line, what })?;
            rest = after;
            if hash.is_empty() {
                break;
            }
            if proof.len() == MAX_PROOF_HASHES {
                return Err(MirrorError::Line { line, what: "a proof has at most 63 hashes" });
            }
            proof.push(hash_from_base64(hash).ok_or(MirrorError::Line { line, what })?);
        }
        peek(rest)?;
        Ok(Self { old, proof, note: rest.to_owned() })
    }

    /// The bytes of the body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("old {}\n", self.old);
        for hash in &self.proof {
            text.push_str(&to_base64(hash));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.note);
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Checkpoint, SigningKey};

    fn note() -> String {
        let key = SigningKey::from_seed("box-17", &[1; 32]).unwrap();
        Checkpoint::new("box-17", 20, [7; 32]).sign(&key)
    }

    #[test]
    fn what_is_written_is_read() {
        for proof in [Vec::new(), vec![[1; 32]], vec![[9; 32]; 63]] {
            let request = AddCheckpoint { old: 17, proof, note: note() };
            assert_eq!(AddCheckpoint::parse(&request.encode()), Ok(request));
        }
    }

    #[test]
    fn every_other_form_is_refused_by_its_line() {
        let note = note();
        let hash = to_base64(&[1; 32]);
        let long = format!("old 1\n{}\n{note}", format!("{hash}\n").repeat(64));
        for (body, line) in [
            (String::new(), 1),
            (format!("old 01\n\n{note}"), 1),
            (format!("old  1\n\n{note}"), 1),
            (format!("old -1\n\n{note}"), 1),
            (format!("old 18446744073709551616\n\n{note}"), 1),
            (format!("Old 1\n\n{note}"), 1),
            (format!("old 1\r\n\n{note}"), 1),
            ("old 1\n".to_owned(), 2),
            (format!("old 1\n{hash}"), 2),
            (format!("old 1\n{hash}=\n\n{note}"), 2),
            (format!("old 1\n{hash}\n{}\n\n{note}", &hash[1..]), 3),
            (long, 65),
        ] {
            match AddCheckpoint::parse(body.as_bytes()) {
                Err(MirrorError::Line { line: found, .. }) => assert_eq!(found, line, "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
        assert!(matches!(AddCheckpoint::parse(b"old 1\n\nrubbish"), Err(MirrorError::Note(_))));
        assert!(matches!(AddCheckpoint::parse(b"\xff"), Err(MirrorError::Line { .. })));
        let huge = vec![b'a'; MAX_ADD_CHECKPOINT_BYTES + 1];
        assert!(matches!(AddCheckpoint::parse(&huge), Err(MirrorError::TooLong { .. })));
    }
}
