//! Guards before they run: where the bytes of a component come from, and who vouches for them.
//!
//! Whatever is loaded, guard or detector, goes through [`admit`]: nothing else reads a component that is to run.

use crate::config::{Component, Config, Unsigned};
use picket_ledger::Hash;
use std::path::PathBuf;

/// A component that may be loaded, and why it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The component.
    pub bytes: Vec<u8>,
    /// The keys, `name+id`, whose signatures over it were verified.
    pub signers: Vec<String>,
    /// SHA-256 of the statement that they signed.
    pub statement: Option<Hash>,
    /// The rule of the trust policy that let it in, in words.
    pub rule: String,
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
    /// Nobody signed it.
    #[error(
        "{}:{line}: guard `{guard}`: nobody signed {component}, and unsigned guards do not run here; sign it with \
         `picket guard sign`, or let unsigned guards run with `--allow-unsigned` or `unsigned = \"allow\"` in [trust]",
        config.display()
    )]
    Unsigned {
        /// The configuration file.
        config: PathBuf,
        /// Line of the guard's table.
        line: usize,
        /// The guard's name in the configuration.
        guard: String,
        /// What is not signed.
        component: Component,
    },
}

/// Reads the component of the guard or detector `name`, whose table begins at `line` of the configuration.
///
/// # Errors
/// [`AdmitError`] names file, line and guard.
pub fn admit(config: &Config, name: &str, line: usize, component: &Component) -> Result<Admitted, AdmitError> {
    let Component::File(path) = component;
    let bytes = std::fs::read(path).map_err(|source| AdmitError::Unreadable {
        config: config.file.clone(),
        line,
        guard: name.to_owned(),
        component: component.clone(),
        source,
    })?;
    if config.trust.unsigned == Unsigned::Refuse {
        let (config, guard, component) = (config.file.clone(), name.to_owned(), component.clone());
        return Err(AdmitError::Unsigned { config, line, guard, component });
    }
    Ok(Admitted { bytes, signers: Vec::new(), statement: None, rule: "unsigned allowed".to_owned() })
}
