//! Guards in OCI registries: references, the layout, and a client that believes nothing but digests.
//!
//! [`pull`] and [`push`] speak the OCI distribution specification 1.1. Everything that comes from a registry is bounded,
//! has a deadline, and is held against the digest that it was asked for by. Credentials go to the registry that they are
//! for and to nobody else.

mod access;
mod auth;
mod error;
mod layout;
mod pull;
mod push;
mod reference;
mod transport;

pub use access::{Access, Credentials, Link, PasswordError, read_password};
pub use error::OciError;
pub use layout::ComponentNames;
pub use pull::{Pulled, pull};
pub use push::{Push, Pushed, push};
pub use reference::{BadReference, Digest, Pinned, Reference, is_host, is_loopback};

/// Largest component in bytes; the engine takes no larger one either.
pub const MAX_COMPONENT_BYTES: usize = 64 << 20;

/// Largest signature in bytes: a text note with a line for each signer.
pub const MAX_SIGNATURE_BYTES: usize = 64 << 10;

/// Largest manifest, index or configuration in bytes; the distribution specification asks registries for 4 MiB.
pub const MAX_MANIFEST_BYTES: usize = 4 << 20;

/// The component that a manifest names, if that is a guard's: its digest and size in bytes.
///
/// # Errors
/// [`OciError`] when the manifest is not that of one component.
pub fn component_of(manifest: &[u8]) -> Result<(Digest, usize), OciError> {
    layout::read_guard(manifest)?.0.checked("the component", MAX_COMPONENT_BYTES)
}

/// Runs a future to its end, from whatever thread: within an asynchronous one as well, where a runtime of ours could not
/// be entered.
fn wait<T: Send>(work: impl Future<Output = Result<T, OciError>> + Send) -> Result<T, OciError> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(OciError::Runtime)?;
        runtime.block_on(work)
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}
