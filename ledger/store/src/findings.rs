//! What opening a log found out.

use crate::StoreError;

/// What was repaired, what was lost, and whether a loss may be accepted.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Set by the operator: go on without what cannot be read.
    pub(crate) accept_loss: bool,
    /// Repairs without loss.
    pub(crate) repaired: Vec<String>,
    /// Losses that were accepted, and where a damaged journal is kept.
    pub(crate) lost: Vec<String>,
}

impl Findings {
    /// A loss: noted when losses are accepted, else an error.
    pub(crate) fn loss(&mut self, error: StoreError) -> Result<(), StoreError> {
        if !self.accept_loss {
            return Err(error);
        }
        self.lost.push(error.to_string());
        Ok(())
    }
}
