//! Compiled guards on disk, under a key of the box.
//!
//! Loading native code is running it: whoever can write into the cache folder could otherwise run code in the host. A
//! file is `HMAC-SHA256(key, name ‖ contents) ‖ contents`, named by the hash of all that its contents depend on. A file
//! whose code does not verify is as good as none: the guard is compiled again and the file replaced. The name is in the
//! HMAC so that a genuine file moved to another name does not verify.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::engine::CacheOptions;
use crate::error::EngineError;
use crate::settings::Digest32;

/// Raised whenever contents or naming change.
const FORMAT: u32 = 1;
const TAG_BYTES: usize = 32;
/// Larger files are not ours and are not read into memory.
const MAX_FILE_BYTES: u64 = 1 << 30;

pub(crate) struct Cache {
    folder: PathBuf,
    key: [u8; 32],
    next_temporary: AtomicU64,
}

/// What was found under a name.
pub(crate) enum Found {
    /// Bytes that this box wrote under this name.
    Contents(Contents),
    Nothing,
    /// A file that this box did not write so, or that cannot be read. Says why.
    Unusable(String),
}

/// A file whose code was verified. The code is kept before the contents: moving many megabytes would take time.
pub(crate) struct Contents(Vec<u8>);

impl Contents {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.get(TAG_BYTES..).unwrap_or_default()
    }
}

impl Cache {
    pub(crate) fn open(options: &CacheOptions) -> Result<Self, EngineError> {
        fs::create_dir_all(&options.folder)
            .map_err(|source| EngineError::Cache { folder: options.folder.display().to_string(), source })?;
        Ok(Self { folder: options.folder.clone(), key: options.key, next_temporary: AtomicU64::new(0) })
    }

    pub(crate) fn get(&self, name: &Digest32) -> Found {
        let path = self.path(name);
        let length = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Found::Nothing,
            Err(error) => return Found::Unusable(format!("unreadable: {error}")),
        };
        if length > MAX_FILE_BYTES {
            return Found::Unusable(format!("{length} bytes long"));
        }
        let file = match fs::read(&path) {
            Ok(file) => file,
            Err(error) => return Found::Unusable(format!("unreadable: {error}")),
        };
        let Some((tag, contents)) = file.split_at_checked(TAG_BYTES) else {
            return Found::Unusable("truncated".into());
        };
        // Compares in constant time: a local writer must not learn the code byte by byte.
        if self.mac(name, contents).verify_slice(tag).is_err() {
            return Found::Unusable("not written by this box, or altered since".into());
        }
        Found::Contents(Contents(file))
    }

    /// Puts `contents` in place of whatever is there. A crash leaves the old file or the new one, or a temporary file
    /// that nothing reads; not durable, because what is lost is compiled again.
    pub(crate) fn put(&self, name: &Digest32, contents: &[u8]) -> std::io::Result<()> {
        let temporary = self.folder.join(format!(
            "{}-{}.tmp",
            std::process::id(),
            self.next_temporary.fetch_add(1, Ordering::Relaxed)
        ));
        let written = fs::File::create(&temporary).and_then(|mut file| {
            file.write_all(&self.mac(name, contents).finalize().into_bytes())?;
            file.write_all(contents)
        });
        let renamed = written.and_then(|()| fs::rename(&temporary, self.path(name)));
        if renamed.is_err() {
            // Best effort: what is left behind is a small untrusted file.
            let _ = fs::remove_file(&temporary);
        }
        renamed
    }

    fn path(&self, name: &Digest32) -> PathBuf {
        let mut file = String::with_capacity(80);
        for byte in name {
            file.push_str(&format!("{byte:02x}"));
        }
        self.folder.join(file + ".guard")
    }

    fn mac(&self, name: &Digest32, contents: &[u8]) -> Hmac<Sha256> {
        // A key shorter than the hash's block of 64 bytes is padded with zeros (RFC 2104, section 2).
        let mut block = [0; 64];
        block[..self.key.len()].copy_from_slice(&self.key);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(name);
        mac.update(contents);
        mac
    }
}

/// The name of a cache entry: SHA-256 over everything the compiled bytes depend on.
pub(crate) struct Name(Sha256);

impl Name {
    /// Starts a name with the cache format and `engine`'s version, target and compile settings.
    pub(crate) fn new(engine: &wasmtime::Engine, kind: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"picket compile cache\0");
        hash.update(FORMAT.to_be_bytes());
        std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut IntoSha(&mut hash));
        Self(hash).with(kind.as_bytes())
    }

    /// Adds a part, with its length before it so that no two lists of parts run together.
    pub(crate) fn with(mut self, part: &[u8]) -> Self {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
        self
    }

    pub(crate) fn finish(self) -> Digest32 {
        self.0.finalize().into()
    }
}

/// Feeds what is hashed into SHA-256, where the standard hashers are too weak to name code.
struct IntoSha<'a>(&'a mut Sha256);

impl std::hash::Hasher for IntoSha<'_> {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}
