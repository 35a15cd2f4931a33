//! Checked configuration.
//!
//! [`load`] turns a TOML file into a [`Config`] in which every value is in range and every name resolves, or into an
//! error that names the file, the line and the key. Nothing after this module checks configuration again.

mod check;
mod cosign;
mod live;
mod raw;
mod trust;
pub(crate) mod units;

pub use cosign::CosignKey;
pub(crate) use live::restart_keys;
pub use trust::{Key, Rule, Trust, TrustedKey, Unsigned};
pub(crate) use units::{bytes, duration};

use crate::oci::{Access, Pinned};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything an operator has decided, checked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The file it came from, for messages.
    pub file: PathBuf,
    /// This box.
    pub edge: Edge,
    /// Where segments go; `None`: nowhere, they stay here.
    pub auditor: Option<Auditor>,
    /// When checkpoints are signed.
    pub ledger: Ledger,
    /// Whose guards may run.
    pub trust: Trust,
    /// Registries by `host` or `host:port`, as references write it.
    pub registries: BTreeMap<String, Access>,
    /// Whether components that are fetched stay in the data folder. Only who must leave no trace says no.
    pub keep_fetched: bool,
    /// The models that are known; empty: any.
    pub models: Vec<Model>,
    /// Guards in the order in which they run. Those that are off are not here.
    pub guards: Vec<Guard>,
    /// Detectors.
    pub detectors: Vec<Detector>,
}

/// This box.
#[derive(Debug, Clone)]
pub struct Edge {
    /// Name of the box and origin of its checkpoints.
    pub id: String,
    /// Data folder, absolute or relative to the working folder.
    pub data: PathBuf,
    /// Address of the HTTP service.
    pub listen: SocketAddr,
    /// Which payloads are kept.
    pub retention: Retention,
    /// Guard threads; at least 1.
    pub workers: usize,
    /// Inferences that may wait; at least 1.
    pub queue: usize,
    /// Largest inference in bytes of JSON.
    pub max_inference: usize,
    /// Most bytes of linear memory for all instances together; none: the default, within what the control group allows.
    pub guard_memory: Option<u64>,
    /// Most memory for compiling one guard, in bytes; none: as with `guard_memory`.
    pub compile_memory: Option<u64>,
    /// Most processor time for compiling one guard.
    pub compile_time: Duration,
    /// Pause between two looks at weights, prompts and features.
    pub watch_every: Duration,
    /// Where the newest checkpoint is put too, outside of the data folder.
    pub witness: Option<PathBuf>,
}

/// Which payloads stay on the box. Every payload is committed to in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// None.
    None,
    /// Those of blocked and redacted inferences.
    Blocked,
    /// All.
    All,
}

/// The upstream.
#[derive(Debug, Clone)]
pub struct Auditor {
    /// `https://host:port` or `http://host:port`, without a slash at the end.
    pub url: String,
    /// Whom to trust and who we are; always there for `https`, never for `http`.
    pub tls: Option<rustls::ClientConfig>,
    /// Public key of the auditor, as text.
    pub key: String,
    /// Pause between two syncs.
    pub every: Duration,
    /// Time for one request.
    pub timeout: Duration,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Most bytes sent in a second; none: no limit.
    pub bandwidth: Option<u64>,
}

/// When checkpoints are signed.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// After this many entries.
    pub checkpoint_entries: u64,
    /// After this time with unsigned entries.
    pub checkpoint_every: Duration,
    /// After this time without entries a heartbeat is appended.
    pub heartbeat_every: Duration,
    /// Page cache of the store in bytes.
    pub cache: u64,
    /// After this time a new key takes over; `None`: only when told to.
    pub key_lifetime: Option<Duration>,
    /// Most bytes that the ledger's folder may take on disk.
    pub disk_budget: Option<u64>,
    /// Bytes set aside for a full disk.
    pub reserve: u64,
    /// What happens to verdicts for which there is no space.
    pub on_full: OnFull,
    /// Age at which payloads are erased.
    pub keep_payloads: Option<Duration>,
    /// Age at which entries behind a receipt are removed.
    pub keep_entries: Option<Duration>,
}

/// What happens to an inference whose verdict cannot be recorded for lack of space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    /// It gets no answer.
    Block,
    /// It gets its answer, and is counted in a drop entry later.
    Drop,
}

/// A model and the files that stand behind it.
#[derive(Debug, Clone)]
pub struct Model {
    /// Its name in inferences.
    pub name: String,
    /// Version for inferences that name none.
    pub version: Option<String>,
    /// Weights file.
    pub weights: Option<PathBuf>,
    /// Prompt folder.
    pub prompts: Option<PathBuf>,
    /// Feature definition file.
    pub features: Option<PathBuf>,
}

/// Where a component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// A file.
    File(PathBuf),
    /// An artifact in a registry that `Config::registries` knows.
    Oci(Box<Pinned>),
}

impl std::fmt::Display for Component {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(formatter),
            Self::Oci(pinned) => pinned.fmt(formatter),
        }
    }
}

/// Whether a guard's verdict has an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It has.
    Enforce,
    /// It is recorded, marked, and has none.
    Shadow,
}

/// What a failure of a guard means for the inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Fail closed.
    Block,
    /// Fail open.
    Allow,
}

/// When a guard that fails is not asked any more, and what stands in for it then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row that open it; at least 1.
    pub failures: usize,
    /// The time within which they must come.
    pub within: Duration,
    /// How long the guard is left alone before one check tries it.
    pub pause: Duration,
    /// What its checks come to meanwhile.
    pub then: OnFailure,
}

/// A guard.
#[derive(Debug, Clone)]
pub struct Guard {
    /// Its name in findings.
    pub name: String,
    /// Where the component comes from.
    pub component: Component,
    /// Line of the table in the file, for messages at load time.
    pub line: usize,
    /// Models it judges; `None`: all.
    pub models: Option<Vec<String>>,
    /// Enforce or shadow.
    pub mode: Mode,
    /// Block or allow.
    pub on_failure: OnFailure,
    /// None: it is asked however often it fails.
    pub breaker: Option<Breaker>,
    /// Limits for each call.
    pub limits: Limits,
    /// Which of the limits the operator wrote down.
    pub written: WrittenLimits,
    /// Settings as JSON text.
    pub settings: String,
    /// Another version that is tried beside it.
    pub candidate: Option<Candidate>,
}

/// A version of a guard that runs in shadow beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where the component comes from.
    pub component: Component,
    /// Settings as JSON text.
    pub settings: String,
    /// The share of inferences that it judges too, in millionths; 1 to 1,000,000.
    pub share: u32,
}

/// A detector.
#[derive(Debug, Clone)]
pub struct Detector {
    /// Its name in alarms.
    pub name: String,
    /// Where the component comes from.
    pub component: Component,
    /// Line of the table in the file.
    pub line: usize,
    /// Models it watches; `None`: all.
    pub models: Option<Vec<String>>,
    /// Reference profile file.
    pub reference: Option<PathBuf>,
    /// Rows in a batch.
    pub batch: usize,
    /// Longest wait for a batch.
    pub every: Duration,
    /// Limits for each call.
    pub limits: Limits,
    /// Which of the limits the operator wrote down.
    pub written: WrittenLimits,
    /// Settings as JSON text.
    pub settings: String,
}

/// Which [`Limits`] an operator wrote down; the others are defaults, which nobody decided on for this guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WrittenLimits {
    /// `deadline`.
    pub deadline: bool,
    /// `memory`.
    pub memory: bool,
    /// `answer`.
    pub answer: bool,
    /// `findings`.
    pub findings: bool,
}

/// Limits of one guard or detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest time for one call.
    pub deadline: Duration,
    /// Most bytes of linear memory.
    pub memory: u64,
    /// Most bytes in one answer.
    pub answer: usize,
    /// Most findings in one answer.
    pub findings: usize,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: cannot be read: {source}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{}:{line}: {message}", file.display())]
    Syntax {
        /// Which file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A value that is out of range or names something that is not there.
    #[error("{}:{line}: {key}: {message}", file.display())]
    Value {
        /// Which file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The key, such as `guard.pii.deadline`.
        key: String,
        /// What is wrong and what to do.
        message: String,
    },
}

/// Reads and checks `file`.
///
/// # Errors
/// [`ConfigError`] names the first thing that is wrong.
pub fn load(file: &Path) -> Result<Config, ConfigError> {
    let text =
        std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable { file: file.to_path_buf(), source })?;
    check::check(file, &text)
}

/// The data folder that a file names, for who only reads what is in it: nothing else of the file is checked but its form.
///
/// # Errors
/// As [`load`].
pub fn data_folder(file: &Path) -> Result<PathBuf, ConfigError> {
    let text =
        std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable { file: file.to_path_buf(), source })?;
    check::data_folder(file, &text)
}

/// The data folder and the registries that a file names, for who fetches guards and judges nothing: nothing else of the file
/// is checked but its form.
///
/// # Errors
/// As [`load`].
pub fn registries(file: &Path) -> Result<(PathBuf, BTreeMap<String, Access>), ConfigError> {
    let text =
        std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable { file: file.to_path_buf(), source })?;
    check::registries(file, &text)
}

impl Config {
    /// The model called `name`, if it is configured.
    pub fn model(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.name == name)
    }
}

#[cfg(test)]
mod tests;
