//! `[auditor]`: address, keys, TLS and limits of the way there.

use super::super::raw::RawAuditor;
use super::super::{Auditor, ConfigError, units};
use super::{Place, Wanted};
use crate::tls::{self, Which};
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

pub(super) fn auditor(place: &Place, raw: &RawAuditor) -> Result<Auditor, ConfigError> {
    let url = raw.url.get_ref().trim_end_matches('/');
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if host.is_none_or(str::is_empty) {
        let message = format!("`{url}` is not an address such as `https://auditor.example:7400`");
        return Err(place.wrong(&raw.url.span(), "auditor.url", message));
    }
    picket_ledger::receipt::CosignerKey::parse(raw.key.get_ref()).map_err(|error| {
        let message = format!("is not a public key: {error}; `picket-auditor keygen` prints it as name+hash+base64");
        place.wrong(&raw.key.span(), "auditor.key", message)
    })?;
    let timeout = place.duration("auditor.timeout", raw.timeout.as_ref(), Duration::from_secs(10))?;
    let connect = timeout.min(Duration::from_secs(5));
    Ok(Auditor {
        tls: tls(place, raw, url.starts_with("https://"))?,
        url: url.to_owned(),
        key: raw.key.get_ref().clone(),
        every: place.duration("auditor.every", raw.every.as_ref(), Duration::from_secs(5))?,
        timeout,
        connect_timeout: place.duration("auditor.connect_timeout", raw.connect_timeout.as_ref(), connect)?,
        bandwidth: place.unit("auditor.bandwidth", raw.bandwidth.as_ref(), |text| units::rate(text).map(Some), None)?,
    })
}

fn tls(place: &Place, raw: &RawAuditor, https: bool) -> Result<Option<rustls::ClientConfig>, ConfigError> {
    let keys = [
        ("auditor.ca", &raw.ca),
        ("auditor.client_certificate", &raw.client_certificate),
        ("auditor.client_key", &raw.client_key),
    ];
    if !https {
        for (key, written) in keys {
            if let Some(written) = written {
                let message = "needs an `auditor.url` that begins with https://";
                return Err(place.wrong(&written.span(), key, message));
            }
        }
        return Ok(None);
    }
    let Some(ca) = &raw.ca else {
        let message = "https needs `auditor.ca`: the PEM file of the authority that the auditor's certificate comes from, \
                       or that certificate itself; no other authority is trusted";
        return Err(place.wrong(&raw.url.span(), "auditor.url", message));
    };
    let file = |key: &str, written: &Spanned<String>| place.existing(key.into(), written, Wanted::File);
    let ca_file = file("auditor.ca", ca)?;
    let identity: Option<(PathBuf, PathBuf)> = match (&raw.client_certificate, &raw.client_key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => {
            Some((file("auditor.client_certificate", certificate)?, file("auditor.client_key", key)?))
        }
        (Some(alone), None) => {
            return Err(place.wrong(&alone.span(), "auditor.client_certificate", "needs `auditor.client_key` as well"));
        }
        (None, Some(alone)) => {
            return Err(place.wrong(&alone.span(), "auditor.client_key", "needs `auditor.client_certificate` as well"));
        }
    };
    let identity = identity.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
    tls::client_config(&ca_file, identity).map(Some).map_err(|error| {
        let (key, written) = match error.which {
            Which::Ca => keys[0],
            Which::Certificate => keys[1],
            Which::Key => keys[2],
        };
        place.wrong(&written.as_ref().unwrap_or(ca).span(), key, error.to_string())
    })
}
