//! How a registry is reached, and as whom.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// Longest password or token in bytes.
const MAX_PASSWORD_BYTES: usize = 4096;

/// How a registry is reached.
#[derive(Debug, Clone)]
pub struct Access {
    /// With or without TLS.
    pub link: Link,
    /// Who we are; `None`: nobody.
    pub credentials: Option<Credentials>,
    /// `host:port` of a token server that may see the credentials although it is not the registry.
    pub token_server: Option<String>,
    /// Longest time to connect, and without any progress.
    pub timeout: Duration,
}

/// With or without TLS.
#[derive(Debug, Clone)]
pub enum Link {
    /// Plain HTTP.
    Plain,
    /// HTTPS, to whoever this configuration trusts.
    Tls(Box<rustls::ClientConfig>),
}

/// A name and its password. Neither is ever printed.
#[derive(Clone)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password, or a token that takes its place.
    pub password: Zeroizing<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Credentials(…)")
    }
}

/// A password file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", path.display())]
#[non_exhaustive]
pub struct PasswordError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it, and what to do.
    pub message: String,
}

/// Reads a password: the first line of a file that only its owner can read.
///
/// # Errors
/// [`PasswordError`]: a file that cannot be read, that others can read, or that is empty, too long or not UTF-8.
pub fn read_password(path: &Path) -> Result<Zeroizing<String>, PasswordError> {
    let wrong = |message: String| PasswordError { path: path.to_path_buf(), message };
    let unreadable = |error: std::io::Error| wrong(format!("cannot be read: {error}"));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(wrong(format!("mode {mode:04o} lets others at this password; run `chmod 600` on it")));
    }
    // All at once: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_PASSWORD_BYTES + 1));
    file.take(MAX_PASSWORD_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_PASSWORD_BYTES {
        return Err(wrong(format!("has more than {MAX_PASSWORD_BYTES} bytes")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("is not UTF-8".into()))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Zeroizing::new(line.to_owned())),
        _ => Err(wrong("begins with an empty line; the password is wanted there".into())),
    }
}
