//! Chains of keys as text.

use picket_ledger::VerifyingKey;
use picket_ledger::keychain::KeyChain;

use super::seeds::{BOX, signer};

/// Any bytes as a chain of keys, from the key that its first line names and from one of ours.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let ours = signer(BOX).expect("a name").verifier();
    let named = text.lines().next().and_then(|line| VerifyingKey::parse(line).ok());
    for key in [Some(ours), named].into_iter().flatten() {
        let Ok(chain) = KeyChain::parse(text, &key) else { continue };
        assert_eq!(chain.first(), &key);
        assert_eq!(chain.to_text(), text, "a chain has one form");
        let mut next = 0;
        for (number, epoch) in chain.epochs().iter().enumerate() {
            assert_eq!(epoch.key.name(), key.name());
            assert_eq!(epoch.start, next, "epoch {number}");
            assert_eq!(chain.epoch_of(epoch.start), epoch);
            assert_eq!(chain.key_for(epoch.start, epoch.start + 1), Ok(&epoch.key));
            if epoch.start > 0 {
                assert!(chain.key_for(epoch.start - 1, epoch.start + 1).is_err(), "two epochs have no key in common");
            }
            match epoch.end {
                Some(end) => next = end,
                None => assert_eq!(number + 1, chain.epochs().len(), "only the last is open"),
            }
        }
    }
}
