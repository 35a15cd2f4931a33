//! Components that came from registries, kept so that a box starts without them.
//!
//! `<data>/components/` holds manifests and components under the names of their digests, `sha256-<hex>`, and beside a
//! manifest the signature that referred to it, `sha256-<hex>.sig`. Names are promises that are kept by looking: whatever is
//! read is held against its digest first. The signature has none, and needs none: it is verified or it is nothing.

use crate::oci::{Digest, MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES, OciError, Pulled, component_of};
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The folder.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// A component out of the cache; component and manifest have the digests that they were asked for by.
#[derive(Debug)]
pub struct Cached {
    /// The component.
    pub component: Vec<u8>,
    /// What claims to be a signature over it.
    pub signature: Option<Vec<u8>>,
}

/// What is in the cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what its name says.
    #[error("{} is not what its name says", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// A manifest of something else than a guard.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// Which file.
        path: PathBuf,
        /// What it is instead.
        source: OciError,
    },
}

impl Cache {
    /// The cache of a box with this data folder; nothing is made yet.
    #[must_use]
    pub fn of(data: &Path) -> Self {
        Self { folder: data.join("components") }
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The component whose manifest has this digest; `None` if it was never kept.
    ///
    /// # Errors
    /// [`CacheError`]: it was, and is no longer what it was. Fetching and keeping it again mends that.
    pub fn get(&self, manifest: Digest) -> Result<Option<Cached>, CacheError> {
        let Some(bytes) = self.blob(manifest, MAX_MANIFEST_BYTES)? else { return Ok(None) };
        let path = self.path(manifest);
        let (component, size) = component_of(&bytes).map_err(|source| CacheError::Manifest { path, source })?;
        let Some(component) = self.blob(component, size)? else {
            let source = std::io::Error::from(ErrorKind::NotFound);
            return Err(CacheError::Unreadable { path: self.path(component), source });
        };
        let signature = self.read(&self.signature(manifest), MAX_SIGNATURE_BYTES)?;
        Ok(Some(Cached { component, signature }))
    }

    /// Keeps what came from a registry. A crash at any point leaves what was there, or the new, whole: the manifest comes
    /// last, and nothing is looked for that no manifest names.
    ///
    /// # Errors
    /// What the file system says.
    pub fn keep(&self, pulled: &Pulled) -> std::io::Result<()> {
        let fresh = !self.folder.exists();
        std::fs::create_dir_all(&self.folder)?;
        if let Some(data) = self.folder.parent().filter(|_| fresh) {
            File::open(data)?.sync_all()?;
        }
        // A command may keep what the service keeps at the same moment. Released when the file is closed.
        let lock = File::create(self.folder.join(".lock"))?;
        lock.lock()?;
        let manifest = pulled.pinned.digest;
        self.write(&self.path(Digest::of(&pulled.component)), &pulled.component)?;
        // A registry that has no signature any more does not take away the one that was kept.
        if let Some(signature) = &pulled.signature {
            self.write(&self.signature(manifest), signature)?;
        }
        self.write(&self.path(manifest), &pulled.manifest)
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("sha256-{}", digest.hex()))
    }

    fn signature(&self, manifest: Digest) -> PathBuf {
        self.folder.join(format!("sha256-{}.sig", manifest.hex()))
    }

    fn blob(&self, digest: Digest, limit: usize) -> Result<Option<Vec<u8>>, CacheError> {
        let path = self.path(digest);
        match self.read(&path, limit)? {
            Some(bytes) if Digest::of(&bytes) != digest => Err(CacheError::Damaged { path }),
            bytes => Ok(bytes),
        }
    }

    fn read(&self, path: &Path, limit: usize) -> Result<Option<Vec<u8>>, CacheError> {
        let unreadable = |source| CacheError::Unreadable { path: path.to_path_buf(), source };
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(unreadable)?,
        };
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() > limit { Err(CacheError::Damaged { path: path.to_path_buf() }) } else { Ok(Some(bytes)) }
    }

    /// In place of what was there. After a crash either of the two is there, whole; what is left of the new one is
    /// written over by the next.
    fn write(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        let temporary = self.folder.join(".new");
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(&self.folder)?.sync_all()
    }
}
