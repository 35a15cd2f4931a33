//! Components named by reference: out of the cache, or else out of the registry and into the cache.

use super::AdmitError;
use super::cache::{Cache, Cached};
use crate::config::{Component, Config, Unsigned};
use crate::oci::{self, OciError, Pinned};

/// The component behind a reference, and what claims to be a signature over it.
///
/// What is in the cache and holds against the pinned digest is taken without a look at the network; whoever wants a newer
/// signature fetches it with `picket guard pull --cache`. Only where there is no signature at all and the trust policy wants
/// one, so that the guard could not run, is the registry asked whether there is one by now.
///
/// # Errors
/// [`AdmitError::Unfetched`]: it is not in the cache, and the registry does not give it.
pub(super) fn fetch(config: &Config, name: &str, line: usize, pinned: &Pinned) -> Result<Cached, AdmitError> {
    let cache = Cache::of(&config.edge.data);
    let missing = match cache.get(pinned.digest) {
        Ok(Some(cached)) if cached.signature.is_some() || config.trust.unsigned == Unsigned::Allow => {
            return Ok(cached);
        }
        Ok(Some(cached)) => return Ok(pull(config, &cache, name, pinned).unwrap_or(cached)),
        Ok(None) => format!("it is not in {}", cache.folder().display()),
        Err(error) => {
            tracing::warn!(guard = name, %error, "a cached component is damaged, and is fetched again");
            format!("what is cached is damaged ({error})")
        }
    };
    pull(config, &cache, name, pinned).map_err(|source| AdmitError::Unfetched {
        config: config.file.clone(),
        line,
        guard: name.to_owned(),
        component: Component::Oci(Box::new(pinned.clone())),
        missing,
        source: Box::new(source),
    })
}

/// Out of the registry and into the cache.
fn pull(config: &Config, cache: &Cache, name: &str, pinned: &Pinned) -> Result<Cached, OciError> {
    let Some(access) = config.registries.get(&pinned.reference.host) else {
        let problem = "is in a registry that the configuration does not name";
        return Err(OciError::Reference { reference: pinned.to_string(), problem });
    };
    let pulled = oci::pull(access, &pinned.reference)?;
    tracing::info!(guard = name, component = %pinned, bytes = pulled.component.len(), "fetched a component");
    if config.keep_fetched {
        // It can run all the same; the next start needs the registry again.
        cache.keep(&pulled).unwrap_or_else(|error| {
            tracing::warn!(guard = name, folder = %cache.folder().display(), %error, "a component could not be kept");
        });
    }
    Ok(Cached { component: pulled.component, signature: pulled.signature })
}
