//! The auditor's signing key: one file, readable by its owner alone.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use picket_ledger::SigningKey;
use zeroize::Zeroizing;

use crate::durable;
use crate::error::{AuditorError, Result};
use crate::origin::Origin;

/// The longest key file that is read, in bytes: a name of 64 and a key of 33 in base64 have about 140.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// Makes a new key with this name and writes it to a new file with mode 0600.
///
/// # Errors
/// [`AuditorError::Config`] when the file exists: a key is never overwritten.
pub fn generate(path: &Path, id: &Origin) -> Result<SigningKey> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed)
        .map_err(|e| AuditorError::io("drawing randomness for", path, std::io::Error::other(e)))?;
    let key = SigningKey::from_seed(id.as_str(), &seed).map_err(|error| AuditorError::Input(error.to_string()))?;
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        durable::create_folder(folder)?;
    }
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(wrong(path, "exists already; a key is never overwritten"));
        }
        Err(error) => return Err(AuditorError::io("creating", path, error)),
    };
    let text = key.to_secret_text();
    file.write_all(text.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .map_err(|e| AuditorError::io("writing", path, e))?;
    durable::sync_folder_of(path)?;
    Ok(key)
}

/// Reads a key file.
///
/// # Errors
/// [`AuditorError::Config`] when it is missing, is no key, belongs to another name than `id`, or when anybody but its
/// owner may read or write it.
pub fn load(path: &Path, id: &Origin) -> Result<SigningKey> {
    let meta = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => wrong(path, "there is no key file here; make one with `picket-auditor keygen`"),
        _ => wrong(path, &format!("cannot be read: {error}")),
    })?;
    let mode = meta.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(wrong(path, &format!("has mode {mode:04o}: others than its owner can use it; run `chmod 600`")));
    }
    if meta.len() > MAX_KEY_FILE_BYTES {
        return Err(wrong(path, "is too long for a key file"));
    }
    let text = fs::read_to_string(path).map_err(|error| wrong(path, &format!("cannot be read: {error}")))?;
    let text = Zeroizing::new(text);
    let key = SigningKey::parse(text.trim_end()).map_err(|error| wrong(path, &error.to_string()))?;
    if key.name() != id.as_str() {
        return Err(wrong(
            path,
            &format!("is the key of {:?}, the configuration says id = {:?}", key.name(), id.as_str()),
        ));
    }
    Ok(key)
}

fn wrong(path: &Path, message: &str) -> AuditorError {
    AuditorError::Config { path: path.to_path_buf(), message: message.to_owned() }
}
