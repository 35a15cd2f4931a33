//! Versions of guards that are tried beside those in force.
//!
//! A candidate runs in shadow after all guards, on the very inference that its guard saw: with the measurements that stood there
//! then. Its own reach nobody. Its failures come to nothing, and its result is in the verdict entry under the guard's name.

use super::{Judged, LoadedGuard, OnEvent};
use picket_engine::Inference;
use picket_ledger::hash;
use serde_json::{Value, json};

/// A loaded candidate.
pub(super) struct Candidate {
    pub(super) guard: LoadedGuard,
    /// In millionths.
    share: u32,
}

/// What `share` says of an inference is SHA-256 of this, the guard's name, a line feed and the inference's id: the first eight
/// bytes, as a big-endian number, are below `share` millionths of 2^64.
const DOMAIN: &[u8] = b"picket candidate v1\n";

impl Candidate {
    pub(super) fn new(guard: LoadedGuard, share: u32) -> Self {
        Self { guard, share }
    }

    /// For the policy document.
    pub(super) fn describe(&self) -> Value {
        json!({
            "component": hash::to_hex(self.guard.validator.component_digest()),
            "settings": serde_json::from_str::<Value>(&self.guard.config.settings).unwrap_or(Value::Null),
            "settings_digest": hash::to_hex(self.guard.validator.settings_digest()),
            "share_millionths": self.share,
        })
    }

    /// Whether it judges this inference. Anyone can tell afterwards: by its id, the guard's name and the policy document.
    fn is_chosen(&self, inference: &str) -> bool {
        chosen(&self.guard.config.name, inference, self.share)
    }

    /// Judges the inference as it was when it had `measurements` measurements, if it is one of the chosen.
    pub(super) fn judge<'a>(
        &'a self,
        inference: &mut Inference,
        measurements: usize,
        on_event: OnEvent<'_>,
    ) -> Option<Judged<'a>> {
        if !self.is_chosen(&inference.id) {
            return None;
        }
        let later = inference.measurements.split_off(measurements.min(inference.measurements.len()));
        let (outcome, left_alone) = self.guard.check(inference, on_event);
        inference.measurements.extend(later);
        Some(Judged { guard: &self.guard, outcome, left_alone })
    }
}

fn chosen(guard: &str, inference: &str, share: u32) -> bool {
    let digest = hash::sha256(&[DOMAIN, guard.as_bytes(), b"\n", inference.as_bytes()].concat());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u128::from(u64::from_be_bytes(first)) * 1_000_000 < u128::from(share) << 64
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn the_share_is_kept_and_the_same_for_everybody() {
        let count = |share| (0..100_000).filter(|id| chosen("pii", &format!("inference-{id}"), share)).count();
        assert_eq!(count(1_000_000), 100_000);
        assert_eq!(count(1), 0, "one in a million, and by chance none of these");
        assert!((9_500..10_500).contains(&count(100_000)), "{}", count(100_000));
    }

    /// As `printf 'picket candidate v1\npii\nfirst' | sha256sum` says, it begins with 8e33aa84, which is 0.555476 of all.
    #[test]
    fn whoever_has_a_hash_function_can_tell() {
        assert!(chosen("pii", "first", FIRST + 1));
        assert!(!chosen("pii", "first", FIRST));
    }

    /// The millionth in which the first eight bytes lie.
    const FIRST: u32 = 555_475;
}
