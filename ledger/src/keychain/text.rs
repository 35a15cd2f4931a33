//! The text of a chain of keys, `keys.chain`: the first key in a line, then one `.tlog-proof` for each hand-over.

use super::{KeyChain, KeyChainError, MAX_CHAIN_BYTES, MAX_EPOCHS};
use crate::bundle::{Bundle, HEADER};
use crate::note::VerifyingKey;

/// Characters of a wrong first line that are repeated in an error.
const SHOWN: usize = 400;

impl KeyChain {
    /// Reads and verifies a chain that must start with the key `trusted`.
    ///
    /// # Errors
    /// [`KeyChainError`] names the line of what cannot be read, or the rotation entry that does not hold.
    pub fn parse(text: &str, trusted: &VerifyingKey) -> Result<Self, KeyChainError> {
        if text.len() > MAX_CHAIN_BYTES {
            return Err(KeyChainError::TooLarge(text.len()));
        }
        let (first, mut rest) =
            text.split_once('\n').ok_or(KeyChainError::Text { line: 1, reason: "it does not end in a line feed" })?;
        if first != trusted.to_string() {
            let found = first.chars().take(SHOWN).collect();
            return Err(KeyChainError::FirstKey { found, trusted: trusted.to_string() });
        }
        // Before any signature is looked at.
        if rest.split('\n').filter(|line| *line == HEADER).count() >= MAX_EPOCHS {
            return Err(KeyChainError::TooMany);
        }
        let mut chain = Self::new(trusted.clone());
        let mut line = 2;
        while !rest.is_empty() {
            let (part, behind) = split_bundle(rest);
            let bundle = Bundle::parse(part).map_err(|source| KeyChainError::HandOver { line, source })?;
            chain.learn(&bundle)?;
            line += part.split_inclusive('\n').count();
            rest = behind;
        }
        Ok(chain)
    }

    /// Writes the text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.first());
        for bundle in self.epochs.iter().filter_map(super::Epoch::hand_over) {
            text.push_str(&bundle.encode());
        }
        text
    }

    /// The first line of a text: the key that it claims to start with. Nothing is verified; whoever trusts it
    /// decides so.
    ///
    /// # Errors
    /// [`KeyChainError::Text`] if it is no key.
    pub fn peek_first(text: &str) -> Result<VerifyingKey, KeyChainError> {
        let first = text.split('\n').next().unwrap_or_default();
        VerifyingKey::parse(first).map_err(|_| KeyChainError::Text { line: 1, reason: "not a public key" })
    }
}

/// The first bundle, and what comes behind it. A checkpoint ends where the header of the next bundle stands;
/// none of its own lines can be that, as the origin is the name of the key.
fn split_bundle(text: &str) -> (&str, &str) {
    let mut at = text.find('\n').map_or(text.len(), |end| end + 1);
    while at < text.len() {
        let line = text[at..].split('\n').next().unwrap_or_default();
        if line == HEADER {
            break;
        }
        at = (at + line.len() + 1).min(text.len());
    }
    text.split_at(at)
}
