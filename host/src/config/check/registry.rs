//! `[registry."host:port"]`, and components that come from there.

use super::super::raw::RawRegistry;
use super::super::{Component, ConfigError};
use super::{Place, Wanted};
use crate::oci::{Access, Credentials, Link, Pinned, Reference, is_host, is_loopback, read_password};
use crate::tls;
use std::collections::BTreeMap;
use std::time::Duration;
use toml::Spanned;

/// Registries by the name that references write.
pub(super) type Registries = BTreeMap<String, Access>;

pub(super) fn registries(
    place: &Place,
    raw: &BTreeMap<String, Spanned<RawRegistry>>,
) -> Result<Registries, ConfigError> {
    raw.iter().map(|(host, raw)| Ok((host.clone(), registry(place, host, raw)?))).collect()
}

/// A file, or an artifact of a registry that is known.
pub(super) fn component(
    place: &Place,
    key: String,
    written: &Spanned<String>,
    registries: &Registries,
) -> Result<Component, ConfigError> {
    if !Reference::is_meant(written.get_ref()) {
        return place.existing(key, written, Wanted::File).map(Component::File);
    }
    let pinned = Pinned::parse(written.get_ref())
        .map_err(|error| place.wrong(&written.span(), key.clone(), error.to_string()))?;
    let host = &pinned.reference.host;
    if !registries.contains_key(host) {
        let message = format!(
            "there is no [registry.\"{host}\"]; add one with `ca`, the PEM file of the authority that its certificate comes \
             from, or with `insecure = true` for plain HTTP"
        );
        return Err(place.wrong(&written.span(), key, message));
    }
    Ok(Component::Oci(Box::new(pinned)))
}

fn registry(place: &Place, host: &str, table: &Spanned<RawRegistry>) -> Result<Access, ConfigError> {
    let raw = table.get_ref();
    let key = |field: &str| format!("registry.{host}.{field}");
    if !is_host(host) {
        let message = "is no registry; `host` or `host:port` is wanted, in quotes, as references write it";
        return Err(place.wrong(&table.span(), format!("registry.{host}"), message));
    }
    let insecure = raw.insecure.as_ref().is_some_and(|insecure| *insecure.get_ref());
    let link = match &raw.ca {
        Some(ca) if insecure => {
            return Err(place.wrong(
                &ca.span(),
                key("ca"),
                "there is no TLS with `insecure = true`; take one of the two away",
            ));
        }
        Some(ca) => {
            let file = place.existing(key("ca"), ca, Wanted::File)?;
            let tls = tls::client_config(&file, None);
            Link::Tls(Box::new(tls.map_err(|error| place.wrong(&ca.span(), key("ca"), error.to_string()))?))
        }
        None if insecure => Link::Plain,
        None => {
            let message = "needs `ca`, the PEM file of the authority that the registry's certificate comes from, or that \
                           certificate itself; or `insecure = true` for plain HTTP";
            return Err(place.wrong(&table.span(), format!("registry.{host}"), message));
        }
    };
    let credentials = match (&raw.username, &raw.password_file) {
        (None, None) => None,
        (Some(username), Some(file)) => {
            if insecure && !is_loopback(host) {
                let message = "the password would cross the network in the clear; give the registry TLS and a `ca`";
                return Err(place.wrong(&file.span(), key("password_file"), message));
            }
            let path = place.existing(key("password_file"), file, Wanted::File)?;
            let password = read_password(&path)
                .map_err(|error| place.wrong(&file.span(), key("password_file"), error.to_string()))?;
            Some(Credentials { username: username.get_ref().clone(), password })
        }
        (Some(alone), None) => {
            return Err(place.wrong(&alone.span(), key("username"), "needs `password_file` as well"));
        }
        (None, Some(alone)) => {
            return Err(place.wrong(&alone.span(), key("password_file"), "needs `username` as well"));
        }
    };
    if let Some(server) = raw.token_server.as_ref().filter(|server| !is_host(server.get_ref())) {
        let message = format!("`{}` is not `host:port`", server.get_ref());
        return Err(place.wrong(&server.span(), key("token_server"), message));
    }
    let token_server = raw.token_server.as_ref().map(|server| server.get_ref().clone());
    let timeout = place.duration(&key("timeout"), raw.timeout.as_ref(), Duration::from_secs(10))?;
    Ok(Access { link, credentials, token_server, timeout })
}
