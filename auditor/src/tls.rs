//! TLS of the server: from PEM files to an acceptor.
//!
//! TLS 1.2 and 1.3, with ring. With `client_ca` a client without a certificate of that authority gets no further than
//! the handshake; nothing else is derived from its certificate, for evidence is bound to a box by its own signature.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::error::{AuditorError, Result};

/// The longest PEM file that is read, in bytes.
const MAX_PEM_BYTES: u64 = 1 << 20;

/// `[tls]`: the files.
#[derive(Debug, Clone)]
pub struct Tls {
    /// `certificate`: PEM file of the server's certificate and those above it, the server's first.
    pub certificate: PathBuf,
    /// `key`: PEM file of its private key; mode 0600 or stricter.
    pub key: PathBuf,
    /// `client_ca`: PEM file of the authorities that clients' certificates must come from. Default: none is asked for.
    pub client_ca: Option<PathBuf>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`AuditorError::Config`], naming the file and the key of the configuration: it cannot be read, holds nothing of
    /// the kind, or is a private key that others than its owner may read; the key is not the certificate's.
    pub fn acceptor(&self) -> Result<TlsAcceptor> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&self.certificate, "certificate", &error.to_string()))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let of = |error: String| wrong(path, "client_ca", &error);
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path, "client_ca")? {
                    roots.add(certificate).map_err(|error| of(format!("cannot be trusted: {error}")))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| of(error.to_string()))?)
            }
        };
        let chain = certificates(&self.certificate, "certificate")?;
        let config = builder.with_single_cert(chain, private_key(&self.key)?).map_err(|error| {
            wrong(&self.key, "key", &format!("does not go with {}: {error}", self.certificate.display()))
        })?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn certificates(path: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = read(path, key)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| wrong(path, key, &format!("is not PEM: {error}")))?;
    if found.is_empty() {
        return Err(wrong(path, key, "holds no certificate: `-----BEGIN CERTIFICATE-----` is looked for"));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let meta = fs::metadata(path).map_err(|error| wrong(path, "key", &format!("cannot be read: {error}")))?;
    let mode = meta.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let message = format!("has mode {mode:04o}: others than its owner can use it; run `chmod 600`");
        return Err(wrong(path, "key", &message));
    }
    let bytes = Zeroizing::new(read(path, "key")?);
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|error| wrong(path, "key", &format!("holds no private key in PEM: {error}")))
}

fn read(path: &Path, key: &str) -> Result<Vec<u8>> {
    let unreadable = |error: std::io::Error| wrong(path, key, &format!("cannot be read: {error}"));
    if fs::metadata(path).map_err(unreadable)?.len() > MAX_PEM_BYTES {
        return Err(wrong(path, key, "is too long for a PEM file"));
    }
    fs::read(path).map_err(unreadable)
}

fn wrong(path: &Path, key: &str, message: &str) -> AuditorError {
    AuditorError::Config { path: path.to_path_buf(), message: format!("{message} ([tls] {key})") }
}
