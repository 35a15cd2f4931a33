//! TLS towards the auditor and registries: from PEM files to a configuration, and from errors to words.
//!
//! The auditor is one machine that the operator knows, so nothing is trusted that the operator has not named: there is no
//! list of public authorities in this program, and none of the platform is asked. TLS 1.2 and 1.3, with ring.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use std::error::Error;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest PEM file that is read, in bytes; a chain has a few thousand.
const MAX_PEM_BYTES: u64 = 1 << 20;

/// Which of the files is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The authorities that the auditor's certificate may come from.
    Ca,
    /// The box's own certificate chain.
    Certificate,
    /// Its private key.
    Key,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", path.display())]
#[non_exhaustive]
pub struct TlsError {
    /// Which of the files.
    pub which: Which,
    /// Its path.
    pub path: PathBuf,
    /// What is wrong with it, and what to do.
    pub message: String,
}

/// A client that trusts the certificates in `ca` alone, and shows `identity` (certificate chain and key) when asked.
///
/// # Errors
/// [`TlsError`]: a file that cannot be read, is not PEM, holds nothing of the kind, or is a key that others may read; a
/// key that is not the certificate's.
pub fn client_config(ca: &Path, identity: Option<(&Path, &Path)>) -> Result<ClientConfig, TlsError> {
    let wrong = |which, path: &Path, message: String| TlsError { which, path: path.to_path_buf(), message };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(Which::Ca, ca)? {
        roots.add(certificate).map_err(|error| wrong(Which::Ca, ca, format!("cannot be trusted: {error}")))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(Which::Ca, ca, error.to_string()))?
        .with_root_certificates(roots);
    let Some((certificate, key)) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(Which::Certificate, certificate)?;
    builder.with_client_auth_cert(chain, private_key(key)?).map_err(|error| {
        let message = format!("does not go with {}: {error}", certificate.display());
        wrong(Which::Key, key, message)
    })
}

/// A client that trusts nobody: no TLS connection succeeds.
///
/// # Panics
/// Never: ring supports the default versions.
#[must_use]
pub fn trusts_nobody() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

fn certificates(which: Which, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |message: String| TlsError { which, path: path.to_path_buf(), message };
    let bytes = read(which, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| wrong(format!("is not PEM: {error}")))?;
    if found.is_empty() {
        return Err(wrong("holds no certificate: `-----BEGIN CERTIFICATE-----` is looked for".into()));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let wrong = |message: String| TlsError { which: Which::Key, path: path.to_path_buf(), message };
    let meta = std::fs::metadata(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let mode = meta.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(wrong(format!("mode {mode:04o} lets others at this key; run `chmod 600` on it")));
    }
    let bytes = zeroize::Zeroizing::new(read(Which::Key, path)?);
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| wrong(format!("holds no private key in PEM: {error}")))
}

fn read(which: Which, path: &Path) -> Result<Vec<u8>, TlsError> {
    let wrong = |message: String| TlsError { which, path: path.to_path_buf(), message };
    let meta = std::fs::metadata(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if meta.len() > MAX_PEM_BYTES {
        return Err(wrong(format!("has {} bytes; at most {MAX_PEM_BYTES} are read", meta.len())));
    }
    std::fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))
}

/// What a failed connection means, where TLS is the reason, and what to do.
#[must_use]
pub fn explain(error: &(dyn Error + 'static)) -> Option<String> {
    use rustls::{AlertDescription, Error as Tls};
    let tls = cause(error)?;
    Some(match tls {
        Tls::InvalidCertificate(reason) => match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired, or this machine's clock is wrong".into()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet, or this machine's clock is wrong".into()
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate does not come from an authority in auditor.ca".into()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is not for the host in auditor.url".into()
            }
            other => format!("its certificate is refused: {other}"),
        },
        Tls::AlertReceived(AlertDescription::CertificateRequired) => {
            "it demands a certificate of this box: set auditor.client_certificate and auditor.client_key".into()
        }
        Tls::AlertReceived(alert) => format!(
            "it refuses this box's TLS ({alert:?}); is auditor.client_certificate one of its client_ca, and not expired?"
        ),
        Tls::InvalidMessage(_) => "it does not speak TLS; is auditor.url to begin with http:// ?".into(),
        other => format!("TLS: {other}"),
    })
}

/// The TLS error in a chain of causes. It hides inside of I/O errors, whose `source` skips what they wrap.
pub(crate) fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(tls) = wrapped.and_then(|inner| cause(inner)) {
            return Some(tls);
        }
        next = error.source();
    }
    None
}
