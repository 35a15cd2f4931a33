//! Guards before they run: where the bytes of a component come from, and who vouches for them.
//!
//! Whatever a box loads, guard or detector, goes through [`admit`]: nothing else reads a component that is to judge. Tools
//! that work on one guard (`picket guard test`, `bench`, `inspect`, `sign`) ask nobody whether they may.

pub mod cache;
mod engine;
mod fetch;
mod grant;
mod memory;
mod read;
mod revocation;
mod standing;
mod statement;
mod trust;

pub use engine::{compile_with_this_program, engine_options, notes, tool_options};
pub use grant::Granted;
pub use memory::Memory;
pub(crate) use read::bounded;
pub use revocation::{List, ListError};
pub use standing::{Revocations, Standing};
pub use statement::{HEADER, Statement, StatementError};
pub use trust::{Refusal, Signatures, Vouched, note_path, vouch};

use crate::config::{Component, Config, Limits, WrittenLimits};
use crate::oci::OciError;
use picket_engine::{Descriptor, World};
use picket_ledger::Hash;
use std::path::PathBuf;

/// A component that may be loaded, and why it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The component.
    pub bytes: Vec<u8>,
    /// The keys, `name+id`, whose signatures over it were verified.
    pub signers: Vec<String>,
    /// SHA-256 of what they signed.
    pub statement: Option<Hash>,
    /// The rule of the trust policy that let it in, in words.
    pub rule: String,
    /// All of that, to be held against later revocation lists.
    pub vouched: Vouched,
    place: Place,
}

/// Where the configuration names a component, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    config: PathBuf,
    line: usize,
    guard: String,
    component: Component,
}

/// Why a component may not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdmitError {
    /// The component cannot be read.
    #[error("{}:{line}: guard `{guard}`: {component}: {source}", config.display())]
    Unreadable {
        /// The configuration file.
        config: PathBuf,
        /// Line of the guard's table.
        line: usize,
        /// The guard's name in the configuration.
        guard: String,
        /// What was to be read.
        component: Component,
        /// Why it could not.
        source: std::io::Error,
    },
    /// A signature is there and cannot be read.
    #[error("{}:{line}: guard `{guard}`: {}: {source}", config.display(), path.display())]
    Signature {
        /// The configuration file.
        config: PathBuf,
        /// Line of the guard's table.
        line: usize,
        /// The guard's name in the configuration.
        guard: String,
        /// The file of the signature.
        path: PathBuf,
        /// Why it could not be read.
        source: std::io::Error,
    },
    /// The component is larger than any that is taken. It was not read to its end.
    #[error(
        "{}:{line}: guard `{guard}`: {component} has more than {} MiB, and no component may; leave debug information and \
         data out of it",
        config.display(),
        MAX_COMPONENT >> 20
    )]
    TooLarge {
        /// The configuration file.
        config: PathBuf,
        /// Line of the guard's table.
        line: usize,
        /// The guard's name in the configuration.
        guard: String,
        /// What was to be read.
        component: Component,
    },
    /// The trust policy does not let it in.
    #[error("{}:{line}: guard `{guard}`: {component}: {refusal}", config.display())]
    Refused {
        /// The configuration file.
        config: PathBuf,
        /// Line of the guard's table.
        line: usize,
        /// The guard's name in the configuration.
        guard: String,
        /// What was refused.
        component: Component,
        /// Why.
        refusal: Box<Refusal>,
    },
    /// The component is neither cached nor to be had from its registry.
    #[error("{}:{line}: guard `{guard}`: {component}: {missing}, and {source}", config.display())]
    Unfetched {
        /// The configuration file.
        config: PathBuf,
        /// Line of the guard's table.
        line: usize,
        /// The guard's name in the configuration.
        guard: String,
        /// What was to be fetched.
        component: Component,
        /// Why it did not come from the cache.
        missing: String,
        /// Why it did not come from the registry.
        source: Box<OciError>,
    },
    /// What is revoked cannot be known.
    #[error(transparent)]
    List(#[from] ListError),
}

/// Largest component that is read, in bytes. Compiling takes time and memory in proportion.
pub const MAX_COMPONENT: usize = 64 << 20;

/// Reads the component of the guard or detector `name`, whose table begins at `line` of the configuration, and holds it
/// against the trust policy. Nothing of it has been compiled or run when this returns.
///
/// # Errors
/// [`AdmitError`] names file, line and guard.
pub fn admit(config: &Config, name: &str, line: usize, component: &Component) -> Result<Admitted, AdmitError> {
    let place = Place { config: config.file.clone(), line, guard: name.to_owned(), component: component.clone() };
    let (bytes, signatures) = match component {
        Component::File(path) => {
            let bytes = read::bounded(path, MAX_COMPONENT).map_err(|source| place.unreadable(source))?;
            let bytes = bytes.ok_or_else(|| place.too_large())?;
            let signatures = Signatures::beside(path).map_err(|(path, source)| AdmitError::Signature {
                config: config.file.clone(),
                line,
                guard: name.to_owned(),
                path,
                source,
            })?;
            (bytes, signatures)
        }
        Component::Oci(pinned) => {
            let fetched = fetch::fetch(config, name, line, pinned)?;
            // What is no text is no note, and is refused as one that was altered is.
            let note = fetched.signature.map(|note| String::from_utf8_lossy(&note).into_owned());
            (fetched.component, Signatures { note, cosign: None })
        }
    };
    // Read each time: a guard that is loaded while the box runs is held against the newest list.
    let revoked = revoked(config)?;
    let vouched =
        vouch(&config.trust, name, &bytes, &signatures, &revoked).map_err(|refusal| place.refused(refusal))?;
    Ok(Admitted {
        bytes,
        signers: vouched.signers(),
        statement: vouched.signed,
        rule: vouched.admitted(),
        vouched,
        place,
    })
}

/// The revocation list of the configuration as it is now.
///
/// # Errors
/// [`ListError`].
pub fn revoked(config: &Config) -> Result<List, ListError> {
    config.trust.revoked.as_deref().map_or_else(|| Ok(List::default()), List::read)
}

impl Admitted {
    /// The limits under which it runs, when the configuration gives it `limits`.
    ///
    /// # Errors
    /// When they are beyond what was signed, or less than it needs and nobody said so.
    pub fn grant(&self, limits: &Limits, written: &WrittenLimits) -> Result<Granted, AdmitError> {
        grant::grant(&self.bytes, &self.vouched, limits, written).map_err(|refusal| self.place.refused(refusal))
    }

    /// Holds what the component says of itself, now that it was loaded, against what was signed.
    ///
    /// # Errors
    /// It says something else.
    pub fn confirm(&self, world: World, descriptor: &Descriptor) -> Result<(), AdmitError> {
        let Some(signed) = &self.vouched.statement else { return Ok(()) };
        let refused = |refusal| self.place.refused(refusal);
        let found = Statement::of(&self.bytes, world, descriptor)
            .map_err(|error| refused(Refusal::Declared(error.to_string())))?;
        signed.difference(&found).map_or(Ok(()), |field| Err(refused(Refusal::Difference(field))))
    }
}

impl Place {
    fn unreadable(&self, source: std::io::Error) -> AdmitError {
        let Self { config, line, guard, component } = self.clone();
        AdmitError::Unreadable { config, line, guard, component, source }
    }

    fn too_large(&self) -> AdmitError {
        let Self { config, line, guard, component } = self.clone();
        AdmitError::TooLarge { config, line, guard, component }
    }

    fn refused(&self, refusal: Refusal) -> AdmitError {
        let Self { config, line, guard, component } = self.clone();
        AdmitError::Refused { config, line, guard, component, refusal: Box::new(refusal) }
    }
}

#[cfg(test)]
mod tests;
