//! The configuration file as it is written: every key, before it is checked.
//!
//! Values that can be wrong carry their place in the file, so that a message can name the line. Unknown keys are refused
//! by serde. What each key means, its unit, default and consequence stands here, and `docs/configuration.md` repeats it.

use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub edge: RawEdge,
    pub auditor: Option<RawAuditor>,
    #[serde(default)]
    pub ledger: RawLedger,
    #[serde(default)]
    pub trust: RawTrust,
    #[serde(default, rename = "registry")]
    pub registries: BTreeMap<String, Spanned<RawRegistry>>,
    #[serde(default, rename = "model")]
    pub models: Vec<RawModel>,
    #[serde(default, rename = "guard")]
    pub guards: Vec<RawGuard>,
    #[serde(default, rename = "detector")]
    pub detectors: Vec<RawDetector>,
}

/// `[edge]`: this box.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEdge {
    /// Name of this box; the origin of its checkpoints. ASCII letters, digits, `.`, `_`, `-`, the first a letter or digit; 1 to 64 bytes. Changing it
    /// starts another ledger in the eyes of the auditor.
    pub id: Spanned<String>,
    /// Folder of ledger, keys and caches, relative to the configuration file. Default `data`.
    pub data: Option<String>,
    /// `commit`: an answer leaves only after its entry is durable. The only value today.
    pub durability: Option<Spanned<String>>,
    /// Address of the HTTP service. Default `127.0.0.1:7300`. Port 0 takes a free one.
    pub listen: Option<Spanned<String>>,
    /// Which payloads are kept beside the ledger: `none`, `blocked` (redacted ones too) or `all`. Default `none`.
    pub retention: Option<Spanned<String>>,
    /// Threads that run guards. Default: one for each processor.
    pub workers: Option<Spanned<i64>>,
    /// Inferences that may wait for a worker; more are answered with 503. Default 256.
    pub queue: Option<Spanned<i64>>,
    /// Largest inference, as JSON. Default `16MiB`.
    pub max_inference: Option<Spanned<String>>,
    /// Most memory that all guard instances together may map at a time; two instances are always allowed. Default `512MiB`.
    pub guard_memory: Option<Spanned<String>>,
    /// Most memory that the process which compiles one guard may use, `128MiB` to `64GiB`. Default `1GiB`. A guard that
    /// needs more is refused.
    pub compile_memory: Option<Spanned<String>>,
    /// Most processor time for compiling one guard, its `configure` included, `1s` to `1h`. Default `2m`. A guard that
    /// needs more is refused.
    pub compile_time: Option<Spanned<String>>,
    /// How often weights, prompts and features are looked at for changes. Default `30s`.
    pub watch_every: Option<Spanned<String>>,
    /// A file outside of the data folder, best on another disk, for the newest checkpoint: a data folder that is older
    /// than it was rolled back. Relative to the configuration file. Default: none.
    pub witness: Option<Spanned<String>>,
}

/// `[auditor]`: where segments go.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAuditor {
    /// Base address, `https://host:port` or `http://host:port`.
    pub url: Spanned<String>,
    /// PEM file of the authorities, or of the very certificate, that the auditor's certificate is held against. Needed for
    /// `https`; no other authority is trusted.
    pub ca: Option<Spanned<String>>,
    /// PEM file of this box's certificate and those above it, for an auditor that demands one.
    pub client_certificate: Option<Spanned<String>>,
    /// PEM file of its private key, mode 0600 or stricter.
    pub client_key: Option<Spanned<String>>,
    /// The auditor's public key, `name+hash+base64`, which its `keygen` prints. A receipt counts only if it verifies.
    pub key: Spanned<String>,
    /// Pause between two syncs while there is a link. Default `5s`.
    pub every: Option<Spanned<String>>,
    /// Time that one request may take. Default `10s`.
    pub timeout: Option<Spanned<String>>,
    /// Time that connecting may take, TLS included. Default: `timeout`, but at most `5s`.
    pub connect_timeout: Option<Spanned<String>>,
    /// Most bytes sent in a second, `1KiB/s` to `1GiB/s`. Default: no limit.
    pub bandwidth: Option<Spanned<String>>,
}

/// `[ledger]`: when checkpoints are signed.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLedger {
    /// Entries after which a checkpoint is signed. Default 256.
    pub checkpoint_entries: Option<Spanned<i64>>,
    /// Time after which unsigned entries get a checkpoint. Default `5s`.
    pub checkpoint_every: Option<Spanned<String>>,
    /// Time without any entry after which a heartbeat entry is appended and signed. Default `60s`.
    pub heartbeat_every: Option<Spanned<String>>,
    /// Memory for the store's page cache. Default `16MiB`.
    pub cache: Option<Spanned<String>>,
    /// Time after which a new signing key takes over and the old one is destroyed; at least `1d`, or `off`: only with
    /// `picket key rotate`. Default `30d`.
    pub key_lifetime: Option<Spanned<String>>,
    /// Most disk space that the ledger's folder may take; at least `64MiB`. Above it old payloads go first, then entries
    /// that the auditor gave a receipt for, and then `on_full` counts. Default: as much as there is.
    pub disk_budget: Option<Spanned<String>>,
    /// Space set aside in the ledger's folder, released when the disk is full, so that what frees space or says why nothing
    /// more is recorded can still be written. Default `16MiB`.
    pub reserve: Option<Spanned<String>>,
    /// What happens to an inference whose verdict cannot be recorded for lack of space: `block` (default: no answer) or
    /// `drop` (an answer without an entry, and a signed entry with the count of them as soon as there is space).
    pub on_full: Option<Spanned<String>>,
    /// Age at which payloads and their salts are erased. Default: kept as long as their entry.
    pub keep_payloads: Option<Spanned<String>>,
    /// Age at which entries are removed from the box, provided that the auditor gave a receipt for them. Default: kept.
    pub keep_entries: Option<Spanned<String>>,
}

/// `[trust]`: whose guards may run.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrust {
    /// What becomes of a guard or detector without a signature: `refuse` (default) or `allow`.
    pub unsigned: Option<Spanned<String>>,
    /// Revocation list: components and keys that count for nothing any more. Read at start and watched. Default: none.
    pub revoked: Option<Spanned<String>>,
    /// Public keys by the names that rules give them.
    #[serde(default)]
    pub keys: BTreeMap<String, Spanned<RawKey>>,
    /// Who must have signed which guards; the first rule that names a guard counts.
    #[serde(default, rename = "rule")]
    pub rules: Vec<RawRule>,
}

/// A key of `[trust.keys]`.
#[derive(Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "a key is a text as `picket guard keygen` prints it, or `{ cosign = \"key.pub\" }`"
)]
pub(super) enum RawKey {
    /// `name+id+base64`.
    Note(String),
    /// A public key of cosign: a PEM file, ECDSA on P-256.
    Cosign { cosign: String },
}

/// `[[trust.rule]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    /// Names of guards and detectors, or `*` for all.
    pub guards: Spanned<Vec<Spanned<String>>>,
    /// One of these keys must have signed.
    pub any_of: Option<Vec<Spanned<String>>>,
    /// All of these keys must have signed.
    pub all_of: Option<Vec<Spanned<String>>>,
}

/// `[registry."host:port"]`: how guards are fetched from there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRegistry {
    /// PEM file of the authorities, or of the very certificate, that the registry's certificate is held against. Needed
    /// unless `insecure`; no other authority is trusted.
    pub ca: Option<Spanned<String>>,
    /// Plain HTTP. Default `false`. A digest is verified all the same; without one, whoever is on the way chooses what comes.
    pub insecure: Option<Spanned<bool>>,
    /// Name that is shown when the registry asks for one. Default: none.
    pub username: Option<Spanned<String>>,
    /// File whose first line is the password, mode 0600 or stricter.
    pub password_file: Option<Spanned<String>>,
    /// `host:port` of a token server, other than the registry itself, that may see name and password. Default: none.
    pub token_server: Option<Spanned<String>>,
    /// Time to connect, and without any progress; a whole request may take 30 times this. Default `10s`.
    pub timeout: Option<Spanned<String>>,
}

/// `[[model]]`: a model whose outputs come here. With none at all, any name is let in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawModel {
    pub name: Spanned<String>,
    /// Version that verdicts bind when an inference names none.
    pub version: Option<String>,
    /// Weights file, hashed at start and on change.
    pub weights: Option<Spanned<String>>,
    /// Folder of prompts, hashed at start and on change.
    pub prompts: Option<Spanned<String>>,
    /// Feature definition file, hashed at start and on change.
    pub features: Option<Spanned<String>>,
}

/// `[[guard]]`: a guard, in the order in which they run.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGuard {
    pub name: Spanned<String>,
    /// Component file, relative to the configuration file, or `oci://host:port/repository:tag@sha256:…`.
    pub component: Spanned<String>,
    /// Models it judges. Default: all.
    pub models: Option<Vec<Spanned<String>>>,
    /// `enforce` (default), `shadow` (recorded and marked, without effect) or `off`.
    pub mode: Option<Spanned<String>>,
    /// What a failure means: `block` (default) or `allow`.
    pub on_failure: Option<Spanned<String>>,
    /// When a guard that keeps failing is left alone: `"off"`, or a table of
    /// - `failures`: failures in a row, without a verdict between them, 1 to 1000; default 5;
    /// - `within`: the time within which they come; default `60s`;
    /// - `pause`: how long the guard is then left alone before one check tries it, doubled up to 16 times after each try
    ///   that fails; default `30s`;
    /// - `then`: what its checks come to meanwhile, `block` or `allow`; default: `on_failure`.
    pub breaker: Option<Spanned<toml::Value>>,
    /// Longest time for one call. Default `20ms`.
    pub deadline: Option<Spanned<String>>,
    /// Most linear memory of one instance. Default `32MiB`.
    pub memory: Option<Spanned<String>>,
    /// Most bytes in all strings and lists of one answer. Default `1MiB`.
    pub answer: Option<Spanned<String>>,
    /// Most findings or alarms in one answer. Default 256.
    pub findings: Option<Spanned<i64>>,
    /// Handed to `configure` as JSON. Default: empty.
    pub settings: Option<Spanned<toml::Table>>,
    /// Another version that is tried beside it, in shadow.
    pub candidate: Option<Spanned<RawCandidate>>,
}

/// `candidate` of a guard.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCandidate {
    /// Its component. Default: the guard's.
    pub component: Option<Spanned<String>>,
    /// Its settings. Default: the guard's.
    pub settings: Option<Spanned<toml::Table>>,
    /// The share of the guard's inferences that it judges too, above 0 and up to 1. Default 0.1.
    pub share: Option<Spanned<f64>>,
}

/// `[[detector]]`: a detector, one instance for each model.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDetector {
    pub name: Spanned<String>,
    /// Component file, relative to the configuration file, or `oci://host:port/repository:tag@sha256:…`.
    pub component: Spanned<String>,
    /// Models it watches. Default: all.
    pub models: Option<Vec<Spanned<String>>>,
    /// Reference profile that `picket reference fit` wrote. Default: learn from the first rows.
    pub reference: Option<Spanned<String>>,
    /// Rows that are handed over at a time. Default 256.
    pub batch: Option<Spanned<i64>>,
    /// Longest time that rows wait for a batch to fill. Default `2s`.
    pub every: Option<Spanned<String>>,
    /// Longest time for one call. Default `1s`.
    pub deadline: Option<Spanned<String>>,
    /// Most linear memory of one instance. Default `32MiB`.
    pub memory: Option<Spanned<String>>,
    /// Most bytes in all strings and lists of one answer. Default `1MiB`.
    pub answer: Option<Spanned<String>>,
    /// Most findings or alarms in one answer. Default 256.
    pub findings: Option<Spanned<i64>>,
    /// Handed to `configure` as JSON. Default: empty.
    pub settings: Option<Spanned<toml::Table>>,
}
