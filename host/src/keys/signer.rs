//! Keys that sign guards: one file each, kept by whoever vets guards and not by a box.

use super::{KeyError, files, load, malformed, random};
use picket_ledger::SigningKey;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use zeroize::Zeroizing;

/// Makes a key of this name and writes it into a new file of mode 0600; it is on disk when this returns.
///
/// # Errors
/// [`KeyError`]; also when there is a file already, which might be another key.
pub fn create_signer(path: &Path, name: &str) -> Result<SigningKey, KeyError> {
    let seed = Zeroizing::new(random()?);
    let key = SigningKey::from_seed(name, &seed).map_err(malformed(path))?;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).map_err(files::io(path))?;
    let text = key.to_secret_text();
    file.write_all(text.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .map_err(files::io(path))?;
    Ok(key)
}

/// Reads a key that [`create_signer`] wrote: a plain file of ours that is closed to others.
///
/// # Errors
/// [`KeyError`].
pub fn read_signer(path: &Path) -> Result<SigningKey, KeyError> {
    load(path)
}
