//! How `push` and `pull` reach a registry: what is said on the command line, or else in the configuration.

use crate::cli::BadInput;
use crate::config;
use crate::oci::{Access, BadReference, Credentials, Link, OciError, Reference, is_host, is_loopback, read_password};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(clap::Args)]
pub(super) struct RegistryArgs {
    /// PEM file of the authority that the registry's certificate comes from, or of that certificate itself.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Speak plain HTTP.
    #[arg(long)]
    insecure: bool,
    /// Name to show when the registry asks for one.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    username: Option<String>,
    /// File whose first line is the password, mode 0600.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// A token server, other than the registry itself, that may see name and password.
    #[arg(long, value_name = "HOST:PORT")]
    token_server: Option<String>,
    /// Longest time to connect and without any progress, such as `10s`.
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// The configuration file whose `[registry]` tables say how registries are reached; what is said here comes before them.
    #[arg(long, default_value = CONFIG, value_name = "FILE")]
    config: PathBuf,
}

const CONFIG: &str = "picket.toml";

impl RegistryArgs {
    /// How the registry of `reference` is reached.
    pub(super) fn access(&self, reference: &Reference) -> anyhow::Result<Access> {
        let host = &reference.host;
        let configured = self.configured(host)?;
        let link = match (&self.ca, self.insecure) {
            (Some(ca), _) => {
                let tls = crate::tls::client_config(ca, None);
                Some(Link::Tls(Box::new(tls.map_err(|error| BadInput(format!("--ca: {error}")))?)))
            }
            (None, true) => Some(Link::Plain),
            (None, false) => None,
        };
        let Some(mut access) = configured.or_else(|| link.clone().map(access)) else {
            return Err(BadInput(format!(
                "nothing says how {host} is reached: give --ca FILE, the PEM file of the authority that its certificate comes \
                 from, or --insecure for plain HTTP, or a [registry.\"{host}\"] in {}",
                self.config.display()
            ))
            .into());
        };
        access.link = link.unwrap_or(access.link);
        if let (Some(username), Some(file)) = (&self.username, &self.password_file) {
            let password = read_password(file).map_err(|error| BadInput(format!("--password-file: {error}")))?;
            access.credentials = Some(Credentials { username: username.clone(), password });
        }
        if access.credentials.is_some() && matches!(access.link, Link::Plain) && !is_loopback(host) {
            let message = "the password would cross the network in the clear; give the registry TLS, and --ca here";
            return Err(BadInput(message.into()).into());
        }
        if let Some(server) = &self.token_server {
            if !is_host(server) {
                return Err(BadInput(format!("--token-server: `{server}` is not `host:port`")).into());
            }
            access.token_server = Some(server.clone());
        }
        if let Some(timeout) = &self.timeout {
            access.timeout = config::duration(timeout).map_err(|error| BadInput(format!("--timeout: {error}")))?;
        }
        Ok(access)
    }

    /// The data folder of the box that the configuration is of.
    pub(super) fn data(&self) -> anyhow::Result<PathBuf> {
        Ok(config::registries(&self.config)?.0)
    }

    /// The default file need not be there; one that is named must be.
    fn configured(&self, host: &str) -> anyhow::Result<Option<Access>> {
        if self.config == Path::new(CONFIG) && !self.config.exists() {
            return Ok(None);
        }
        Ok(config::registries(&self.config)?.1.remove(host))
    }
}

fn access(link: Link) -> Access {
    Access { link, credentials: None, token_server: None, timeout: Duration::from_secs(10) }
}

/// Reads the reference of the command line.
pub(super) fn reference(written: &str) -> anyhow::Result<Reference> {
    Reference::parse(written).map_err(|error: BadReference| BadInput(error.to_string()).into())
}

/// A reference that says too little is the caller's to mend; everything else is a fault of network or registry.
pub(super) fn explained(error: OciError) -> anyhow::Error {
    match error {
        OciError::Reference { .. } => BadInput(error.to_string()).into(),
        other => other.into(),
    }
}
