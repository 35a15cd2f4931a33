//! From one key to the next.

use super::{KeyError, Keyring, Keys, files, generate, load};
use picket_ledger::SigningKey;
use picket_ledger::bundle::Bundle;
use picket_ledger::keychain::hand_over_bundle;
use picket_store::Reader;
use std::time::{Duration, SystemTime};

/// Boundaries that are looked at in one go.
const BOUNDARIES: usize = 256;

/// The steps of a rotation, in order. Between any two the power may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The next key is in `next.key`. A crash here: the rotation has not happened; the key is destroyed at the start.
    Prepared,
    /// The rotation entry is in the ledger, under a checkpoint by the old key. A crash from here on: it has happened.
    Committed,
    /// The hand-over is in `keys.chain`.
    Chained,
    /// The next key is in `box.key`, and the old one in `old.key` alone.
    Promoted,
    /// The old key is overwritten and removed.
    Destroyed,
}

impl Keys {
    /// The chain of keys as it grows, for who verifies meanwhile.
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        self.shared.clone()
    }

    /// How long the present key has been there, by the wall clock; zero when that was set back.
    ///
    /// # Errors
    /// [`KeyError::Io`].
    pub fn age(&self) -> Result<Duration, KeyError> {
        let path = self.folder.join("box.key");
        let made = std::fs::metadata(&path).and_then(|metadata| metadata.modified()).map_err(files::io(&path))?;
        Ok(SystemTime::now().duration_since(made).unwrap_or_default())
    }

    /// Makes the next key and keeps it beside the present one.
    ///
    /// # Errors
    /// [`KeyError`]; then nothing has changed.
    pub fn prepare(&self) -> Result<SigningKey, KeyError> {
        let path = self.folder.join("next.key");
        let next = generate(&path, self.signing.name())?;
        files::replace(&path, next.to_secret_text().as_bytes(), 0o600)?;
        Ok(next)
    }

    /// Goes on with a key that was [prepared](Self::prepare) and that the ledger was handed over to: from here on it
    /// signs, whatever becomes of the files. What an error leaves undone is done at the next start.
    ///
    /// # Errors
    /// [`KeyError`] of the first step that failed.
    pub fn hand_over(&mut self, next: SigningKey, reader: &Reader, until: Step) -> Result<(), KeyError> {
        self.signing = next;
        if until < Step::Chained {
            return Ok(());
        }
        self.learn(reader)?;
        if until >= Step::Promoted {
            self.promote()?;
        }
        if until >= Step::Destroyed {
            self.destroy_old()?;
        }
        Ok(())
    }

    /// Puts the files in order with the ledger after a start: learns hand-overs that a crash kept out of `keys.chain`,
    /// finishes a rotation that has happened, undoes one that has not.
    ///
    /// # Errors
    /// [`KeyError::NotCurrent`] if the private key is not the one that speaks now; [`KeyError`] otherwise.
    pub fn settle(&mut self, reader: &Reader) -> Result<(), KeyError> {
        self.learn(reader)?;
        let next = self.folder.join("next.key");
        if files::exists(&next)? {
            // One that does not read is one that a crash cut short, before anything relied on it.
            match load(&next) {
                Ok(key) if key.verifier() == *self.chain.current() => {
                    self.promote()?;
                    self.signing = key;
                }
                Err(error @ (KeyError::Loose { .. } | KeyError::Owner { .. } | KeyError::NotPlain { .. })) => {
                    return Err(error);
                }
                _ => files::destroy(&next)?,
            }
        }
        self.destroy_old()?;
        if self.signing.verifier() != *self.chain.current() {
            let epoch = self.chain.current_epoch();
            let path = self.folder.join("box.key");
            return Err(KeyError::NotCurrent { path, epoch: epoch.number, key_id: epoch.key_id() });
        }
        Ok(())
    }

    /// Learns the hand-overs in the ledger behind the present epoch, and keeps them.
    fn learn(&mut self, reader: &Reader) -> Result<(), KeyError> {
        let path = self.folder.join("keys.chain");
        let known = self.chain.epochs().len();
        loop {
            let from = self.chain.current_epoch().start + 1;
            let boundaries = reader.boundaries(from..u64::MAX, BOUNDARIES)?;
            let mut learned = false;
            for size in boundaries {
                let Some(bundle) = hand_over_at(reader, size)? else { continue };
                self.chain.learn(&bundle).map_err(|source| KeyError::Chain { path: path.clone(), source })?;
                learned = true;
            }
            if !learned {
                break;
            }
        }
        if self.chain.epochs().len() > known {
            files::replace(&path, self.chain.to_text().as_bytes(), 0o644)?;
            self.shared.set(self.chain.clone());
        }
        Ok(())
    }

    /// `next.key` becomes `box.key`; at every moment there is a `box.key`.
    fn promote(&self) -> Result<(), KeyError> {
        let [current, next, old] = ["box.key", "next.key", "old.key"].map(|name| self.folder.join(name));
        if !files::exists(&old)? {
            files::link(&current, &old)?;
        } else if !files::same(&current, &old)? {
            // Of a rotation before, whose last step failed.
            files::destroy(&old)?;
            files::link(&current, &old)?;
        }
        files::rename(&next, &current)
    }

    fn destroy_old(&self) -> Result<(), KeyError> {
        let [current, old] = ["box.key", "old.key"].map(|name| self.folder.join(name));
        if !files::exists(&old)? {
            return Ok(());
        }
        if files::same(&current, &old)? {
            // A second name for the key that still signs: overwriting it would be the end of both.
            return files::remove(&old);
        }
        files::destroy(&old)
    }
}

/// The hand-over whose checkpoint is of this size. `None` if the boundary is something else.
fn hand_over_at(reader: &Reader, size: u64) -> Result<Option<Bundle>, KeyError> {
    let Some(index) = size.checked_sub(1) else { return Ok(None) };
    let Some(checkpoint) = reader.checkpoint_at_or_after(size)?.filter(|found| found.size == size) else {
        return Ok(None);
    };
    let entry = reader.entry(index)?;
    let header = picket_ledger::entry::Header::read(&entry);
    if !header.is_ok_and(|header| header.kind == picket_ledger::entry::Kind::KeyRotation) {
        return Ok(None);
    }
    Ok(Some(hand_over_bundle(entry, &reader.tree_at(index)?, checkpoint.text)))
}
