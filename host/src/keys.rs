//! The secrets of a box: its signing key, and the key that authenticates its compile cache.
//!
//! | file under `<data>/keys` | holds | mode |
//! |---|---|---|
//! | `box.key` | `PRIVATE+KEY+<name>+<hash>+<base64(0x01 ‖ seed)>`, one line | 0600 |
//! | `box.pub` | `<name>+<hash>+<base64(0x01 ‖ public key)>`, one line, as C2SP signed-note writes it | 0644 |
//! | `cache.key` | 32 random bytes | 0600 |

use picket_ledger::note::{SigningKey, VerifyingKey};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The keys of a box, loaded.
#[derive(Debug)]
pub struct Keys {
    /// Signs checkpoints.
    pub signing: SigningKey,
    /// What others verify them with.
    pub verifying: VerifyingKey,
    /// Authenticates files in the compile cache.
    pub cache: [u8; 32],
    /// True when they have just been made.
    pub fresh: bool,
}

/// Why keys cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A file or folder that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others may read or write it.
    #[error("{}: mode {mode:04o} lets others at this key; run `chmod 600` on it if you are sure that nobody has", path.display())]
    Loose {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a key.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A key of another box.
    #[error("{}: is the key of `{found}`, but edge.id is `{wanted}`; a box keeps its name for life", path.display())]
    OtherName {
        /// Which file.
        path: PathBuf,
        /// Name in the file.
        found: String,
        /// Name in the configuration.
        wanted: String,
    },
    /// The ledger is there and its key is not.
    #[error("{}: is missing, but there is a ledger; restore it, a new key would make another box of this one", path.display())]
    Lost {
        /// Which file.
        path: PathBuf,
    },
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system: {0}")]
    Randomness(getrandom::Error),
}

/// Loads the keys under `data`, and makes those that are not there.
///
/// # Errors
/// [`KeyError`]; above all when a key file can be read by others, or is missing beside a ledger.
pub fn load_or_create(data: &Path, name: &str) -> Result<Keys, KeyError> {
    let folder = data.join("keys");
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|source| KeyError::Io { path: folder.clone(), source })?;
    let path = folder.join("box.key");
    let fresh = !path.exists();
    if fresh {
        if data.join("ledger").exists() {
            return Err(KeyError::Lost { path });
        }
        let seed = Zeroizing::new(random()?);
        let key = SigningKey::from_seed(name, &seed).map_err(malformed(&path))?;
        write_new(&path, key.to_secret_text().as_bytes(), 0o600)?;
    }
    let signing = load(&path)?;
    if signing.name() != name {
        return Err(KeyError::OtherName { path, found: signing.name().to_owned(), wanted: name.to_owned() });
    }
    let verifying = signing.verifier();
    let public = folder.join("box.pub");
    if !public.exists() {
        write_new(&public, format!("{verifying}\n").as_bytes(), 0o644)?;
    }
    Ok(Keys { cache: cache_key(&folder)?, signing, verifying, fresh })
}

/// Reads the public key of the box at `data`.
///
/// # Errors
/// [`KeyError`] when it is missing or malformed.
pub fn load_public(data: &Path) -> Result<VerifyingKey, KeyError> {
    let path = data.join("keys").join("box.pub");
    let text = std::fs::read_to_string(&path).map_err(|source| KeyError::Io { path: path.clone(), source })?;
    VerifyingKey::parse(text.trim_end()).map_err(malformed(&path))
}

/// The key of the compile cache, if the box at `data` has one that can be used.
pub fn existing_cache_key(data: &Path) -> Option<[u8; 32]> {
    let folder = data.join("keys");
    folder.join("cache.key").exists().then(|| cache_key(&folder).ok()).flatten()
}

fn load(path: &Path) -> Result<SigningKey, KeyError> {
    let bytes = read_private(path)?;
    let wrong = |message: &str| KeyError::Malformed { path: path.to_path_buf(), message: message.to_owned() };
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("is not text"))?;
    SigningKey::parse(text.trim_end()).map_err(malformed(path))
}

fn cache_key(folder: &Path) -> Result<[u8; 32], KeyError> {
    let path = folder.join("cache.key");
    if !path.exists() {
        write_new(&path, &random::<32>()?, 0o600)?;
    }
    read_private(&path)?.as_slice().try_into().map_err(|_| KeyError::Malformed {
        path,
        message: "is not 32 bytes long; remove it, the cache is made anew".into(),
    })
}

fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let io = |source| KeyError::Io { path: path.to_path_buf(), source };
    let mode = std::fs::metadata(path).map_err(io)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Loose { path: path.to_path_buf(), mode });
    }
    Ok(Zeroizing::new(std::fs::read(path).map_err(io)?))
}

/// Writes a file that must not be there yet, and makes it durable: a ledger must never outlive its key.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeyError> {
    let io = |source| KeyError::Io { path: path.to_path_buf(), source };
    let temporary = path.with_extension("new");
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    // A crash before the rename leaves `*.new`, which the next start overwrites.
    file.sync_all().map_err(io)?;
    std::fs::rename(&temporary, path).map_err(io)?;
    // A crash before this may lose the name; the ledger is created after it, so no entry is signed by a lost key.
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

fn malformed<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> KeyError + use<E> {
    let path = path.to_path_buf();
    move |error| KeyError::Malformed { path, message: error.to_string() }
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(KeyError::Randomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_found_again() {
        let data = tempfile::tempdir().expect("a folder");
        let first = load_or_create(data.path(), "box-1").expect("made");
        let again = load_or_create(data.path(), "box-1").expect("found");
        assert!(first.fresh && !again.fresh);
        assert_eq!(first.verifying.to_string(), again.verifying.to_string());
        assert_eq!(first.cache, again.cache);
        assert_eq!(load_public(data.path()).expect("public").to_string(), first.verifying.to_string());
    }

    #[test]
    fn loose_damaged_foreign_and_lost_keys_are_refused() {
        let data = tempfile::tempdir().expect("a folder");
        load_or_create(data.path(), "box-1").expect("made");
        let path = data.path().join("keys/box.key");
        assert!(matches!(load_or_create(data.path(), "box-2"), Err(KeyError::OtherName { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("chmod");
        assert!(matches!(load_or_create(data.path(), "box-1"), Err(KeyError::Loose { mode: 0o640, .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        let good = std::fs::read(&path).expect("read");
        for index in 0..good.len() - 1 {
            let mut bad = good.clone();
            bad[index] ^= 1;
            std::fs::write(&path, &bad).expect("write");
            assert!(load_or_create(data.path(), "box-1").is_err(), "flip in byte {index}");
        }
        std::fs::remove_file(&path).expect("remove");
        std::fs::create_dir(data.path().join("ledger")).expect("folder");
        assert!(matches!(load_or_create(data.path(), "box-1"), Err(KeyError::Lost { .. })));
    }
}
