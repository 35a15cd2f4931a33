//! The secrets of a box: the signing key of its present epoch, and the key that authenticates its compile cache.
//!
//! | file under `<data>/keys` (mode 0700) | holds | mode |
//! |---|---|---|
//! | `box.key` | the private key that signs now: `PRIVATE+KEY+<name>+<id>+<base64(0x01 ‖ seed)>`, one line | 0600 |
//! | `box.pub` | the *first* public key, with which the box is enrolled: `<name>+<id>+<base64(0x01 ‖ public key)>`, one line | 0644 |
//! | `keys.chain` | the hand-overs from that key to the present one, as docs/ledger-format.md says; missing before the first | 0644 |
//! | `next.key`, `old.key` | the next and the last private key, during a rotation | 0600 |
//! | `box-<n>.pub`, `keys-<n>.chain` | the same of the log of an earlier incarnation | 0644 |
//! | `cache.key` | 32 random bytes | 0600 |
//!
//! A rotation has five steps ([`Step`]), and a start after a crash between any two of them goes on correctly
//! ([`Keys::settle`]): what counts is whether the rotation entry is in the ledger.

mod files;
mod incarnation;
mod rotation;
mod signer;

pub use incarnation::{Reopening, incarnation_of, origin_of};
pub use rotation::Step;
pub use signer::{create_signer, read_signer};

use picket_ledger::keychain::MAX_CHAIN_BYTES;
use picket_ledger::note::{SigningKey, VerifyingKey};
use picket_ledger::{KeyChain, KeyChainError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use zeroize::Zeroizing;

/// The keys of a box, loaded.
#[derive(Debug)]
pub struct Keys {
    /// Signs checkpoints now.
    pub signing: SigningKey,
    /// The first public key: what others trust, and verify all later ones from.
    pub verifying: VerifyingKey,
    /// All public keys, each with its range.
    pub chain: KeyChain,
    /// Authenticates files in the compile cache.
    pub cache: [u8; 32],
    /// True when they have just been made.
    pub fresh: bool,
    /// The opening of a new incarnation that has begun and whose first entry is not written yet.
    pub(crate) reopening: Option<Reopening>,
    folder: PathBuf,
    /// For those who verify while the box runs.
    shared: Keyring,
}

/// The chain of keys of a running box, as it grows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Keyring(Arc<RwLock<Arc<KeyChain>>>);

impl Keyring {
    /// Of a chain that does not grow, or not yet.
    #[must_use]
    pub fn new(chain: KeyChain) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(chain))))
    }

    /// The chain now.
    #[must_use]
    pub fn chain(&self) -> Arc<KeyChain> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, chain: KeyChain) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(chain);
    }
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
    #[error("{}: mode {mode:04o} lets others at this key; run `chmod {wanted}` on it if you are sure that nobody has", path.display())]
    Loose {
        /// Which file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        wanted: &'static str,
    },
    /// It belongs to somebody else.
    #[error("{}: belongs to user {owner}, and this runs as user {user}; run as the service's user", path.display())]
    Owner {
        /// Which file or folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// A link, a device or something else where a key should be.
    #[error("{}: is not a plain {wanted}; links to keys are not followed", path.display())]
    NotPlain {
        /// Which.
        path: PathBuf,
        /// `file` or `folder`.
        wanted: &'static str,
    },
    /// Not a key.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The chain of keys does not hold.
    #[error("{}: the chain of keys does not hold", path.display())]
    Chain {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyChainError,
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
    /// The private key is not the one that the ledger was handed over to.
    #[error(
        "{}: is not key {epoch} ({key_id}), which the ledger was handed over to; restore that one: older keys sign no more",
        path.display()
    )]
    NotCurrent {
        /// Which file.
        path: PathBuf,
        /// The epoch now.
        epoch: u64,
        /// The id of its key.
        key_id: String,
    },
    /// The ledger could not be read or written during a rotation.
    #[error("the ledger")]
    Store(#[from] picket_store::StoreError),
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system: {0}")]
    Randomness(getrandom::Error),
}

/// Loads the keys under `data`, and makes those that are not there. `id` is the name of the box; the key may be that of
/// a later incarnation of its log.
///
/// # Errors
/// [`KeyError`]; above all when a key file can be read by others, or is missing beside a ledger.
pub fn load_or_create(data: &Path, id: &str) -> Result<Keys, KeyError> {
    let folder = data.join("keys");
    files::folder(&folder)?;
    let reopening = incarnation::resume(data, id)?;
    let path = folder.join("box.key");
    let fresh = !files::exists(&path)?;
    if fresh {
        if data.join("ledger").exists() {
            return Err(KeyError::Lost { path });
        }
        let key = generate(&path, id)?;
        // A crash before this is durable loses a key that has signed nothing: the ledger is created after it.
        files::replace(&path, key.to_secret_text().as_bytes(), 0o600)?;
    }
    let signing = load(&path)?;
    if incarnation_of(signing.name(), id).is_none() {
        return Err(KeyError::OtherName { path, found: signing.name().to_owned(), wanted: id.to_owned() });
    }
    let public = folder.join("box.pub");
    if !public.exists() {
        // Before the first rotation the present key is the first one; after it this file cannot be made again.
        if folder.join("keys.chain").exists() {
            let chain = folder.join("keys.chain");
            let text = files::read_public(&chain, MAX_CHAIN_BYTES)?;
            let first = KeyChain::peek_first(&text).map_err(|source| KeyError::Chain { path: chain, source })?;
            files::replace(&public, format!("{first}\n").as_bytes(), 0o644)?;
        } else {
            files::replace(&public, format!("{}\n", signing.verifier()).as_bytes(), 0o644)?;
        }
    }
    let chain = load_chain(data)?;
    if chain.origin() != signing.name() {
        let (found, wanted) = (chain.origin().to_owned(), signing.name().to_owned());
        return Err(KeyError::OtherName { path: public, found, wanted });
    }
    let shared = Keyring::new(chain.clone());
    Ok(Keys {
        cache: cache_key(&folder)?,
        signing,
        verifying: chain.first().clone(),
        chain,
        fresh,
        reopening,
        folder,
        shared,
    })
}

/// Reads the first public key of the box at `data`: what it is enrolled with.
///
/// # Errors
/// [`KeyError`] when it is missing or malformed.
pub fn load_public(data: &Path) -> Result<VerifyingKey, KeyError> {
    read_key(&data.join("keys").join("box.pub"))
}

/// Reads all public keys of the box at `data`, from its first one on.
///
/// # Errors
/// [`KeyError`] when they are missing, malformed, or do not hold.
pub fn load_chain(data: &Path) -> Result<KeyChain, KeyError> {
    load_chain_from(data, &load_public(data)?)
}

/// The same from a first key that is trusted, whatever the folder says.
///
/// # Errors
/// [`KeyError::Chain`] if the folder's chain starts with another key, or does not hold.
pub fn load_chain_from(data: &Path, first: &VerifyingKey) -> Result<KeyChain, KeyError> {
    read_chain(first, &data.join("keys/keys.chain"))
}

/// The first key of the log in `data` as far as `trusted` vouches for it: itself, or, when that is the first key of an
/// earlier incarnation, what its chain of keys leads to. Each incarnation starts with the last key of the one before.
///
/// # Errors
/// As [`load_chain`]; a key of another box is given back as it is, and nothing verifies with it.
pub fn trusted_now(data: &Path, trusted: &VerifyingKey) -> Result<VerifyingKey, KeyError> {
    let id = trusted.name().split('~').next().unwrap_or_default().to_owned();
    let Ok(own) = load_public(data) else { return Ok(trusted.clone()) };
    let (from, to) = (incarnation_of(trusted.name(), &id), incarnation_of(own.name(), &id));
    let mut key = trusted.clone();
    if let (Some(from), Some(to)) = (from, to) {
        for incarnation in from..to {
            let chain = load_earlier_chain(data, incarnation, Some(&key))?;
            let path = data.join("keys");
            key = chain.current().renamed(&origin_of(&id, incarnation + 1)).map_err(malformed(&path))?;
        }
    }
    Ok(key)
}

/// Reads all public keys of an earlier incarnation's log, from the first key that is given or that the folder has.
///
/// # Errors
/// As [`load_chain`].
pub fn load_earlier_chain(data: &Path, incarnation: u32, first: Option<&VerifyingKey>) -> Result<KeyChain, KeyError> {
    let own;
    let first = match first {
        Some(first) => first,
        None => {
            own = read_key(&data.join(format!("keys/box-{incarnation}.pub")))?;
            &own
        }
    };
    read_chain(first, &data.join(format!("keys/keys-{incarnation}.chain")))
}

fn read_key(path: &Path) -> Result<VerifyingKey, KeyError> {
    VerifyingKey::parse(files::read_public(path, MAX_CHAIN_BYTES)?.trim_end()).map_err(malformed(path))
}

fn read_chain(first: &VerifyingKey, chain: &Path) -> Result<KeyChain, KeyError> {
    if !chain.exists() {
        return Ok(KeyChain::new(first.clone()));
    }
    let text = files::read_public(chain, MAX_CHAIN_BYTES)?;
    KeyChain::parse(&text, first).map_err(|source| KeyError::Chain { path: chain.to_path_buf(), source })
}

/// The key of the compile cache, if the box at `data` has one that can be used.
pub fn existing_cache_key(data: &Path) -> Option<[u8; 32]> {
    let folder = data.join("keys");
    folder.join("cache.key").exists().then(|| cache_key(&folder).ok()).flatten()
}

fn load(path: &Path) -> Result<SigningKey, KeyError> {
    let bytes = files::read_private(path)?;
    let wrong = |message: &str| KeyError::Malformed { path: path.to_path_buf(), message: message.to_owned() };
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("is not text"))?;
    SigningKey::parse(text.trim_end()).map_err(malformed(path))
}

fn generate(path: &Path, name: &str) -> Result<SigningKey, KeyError> {
    let seed = Zeroizing::new(random()?);
    SigningKey::from_seed(name, &seed).map_err(malformed(path))
}

fn cache_key(folder: &Path) -> Result<[u8; 32], KeyError> {
    let path = folder.join("cache.key");
    if !files::exists(&path)? {
        files::replace(&path, &random::<32>()?, 0o600)?;
    }
    files::read_private(&path)?.as_slice().try_into().map_err(|_| KeyError::Malformed {
        path,
        message: "is not 32 bytes long; remove it, the cache is made anew".into(),
    })
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
mod tests;
