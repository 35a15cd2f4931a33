//! Which ledger a command is about.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use picket_ledger::KeyChain;
use picket_ledger::receipt::CosignerKey;

use super::BadInput;
use crate::evidence::{Evidence, EvidenceError, Found, Query, find};

/// The arguments that say where the ledger is.
#[derive(clap::Args, Debug, Clone)]
pub(super) struct LedgerArgs {
    /// The configuration file, which names the data folder.
    #[arg(long, default_value = "picket.toml", value_name = "FILE")]
    pub(super) config: PathBuf,
    /// The data folder itself; the configuration is not needed then.
    #[arg(long, value_name = "FOLDER")]
    pub(super) data: Option<PathBuf>,
}

impl LedgerArgs {
    /// The data folder.
    pub(super) fn data(&self) -> anyhow::Result<PathBuf> {
        match &self.data {
            Some(data) => Ok(data.clone()),
            None => Ok(crate::config::data_folder(self.existing()?)?),
        }
    }

    pub(super) fn load(&self) -> anyhow::Result<crate::config::Config> {
        Ok(crate::config::load(self.existing()?)?)
    }

    fn existing(&self) -> anyhow::Result<&Path> {
        if self.data.is_none() && !self.config.exists() {
            let message =
                format!("there is no {}; name it with --config, or the data folder with --data", self.config.display());
            return Err(BadInput(message).into());
        }
        Ok(&self.config)
    }

    pub(super) fn evidence(&self) -> anyhow::Result<Evidence> {
        open(&self.data()?)
    }

    /// The box's own public keys, from its data folder.
    pub(super) fn own_keys(&self) -> anyhow::Result<KeyChain> {
        Ok(crate::keys::load_chain(&self.data()?)?)
    }

    /// The auditor's key, if there is a configuration that names one.
    pub(super) fn auditor_key(&self) -> Option<CosignerKey> {
        let config = crate::config::load(&self.config).ok()?;
        CosignerKey::parse(&config.auditor?.key).ok()
    }
}

/// Opens the ledger of a data folder, with advice when that fails.
pub(super) fn open(data: &Path) -> anyhow::Result<Evidence> {
    match Evidence::open(data) {
        Ok(evidence) => Ok(evidence),
        Err(error @ EvidenceError::Missing(_)) => {
            Err(BadInput(format!("{error}; `picket run` or `picket check` makes one")).into())
        }
        Err(error @ EvidenceError::Held { .. }) => {
            Err(anyhow::Error::new(error).context("wait until it is ready or has ended, and try again"))
        }
        Err(error) => {
            Err(anyhow::Error::new(error)).with_context(|| format!("opening the ledger in {}", data.display()))
        }
    }
}

/// The entry that `id` means, or an error that says how to find it.
pub(super) fn find_entry(evidence: &Evidence, id: &str) -> anyhow::Result<Found> {
    let query = Query::parse(id);
    if let Some(found) = find(evidence, &query)? {
        return Ok(found);
    }
    let gone = match evidence.head()?.pruned_to {
        0 => "`picket log` lists what there is".to_owned(),
        pruned => format!("entries below {pruned} were removed behind a receipt, so ask the auditor for older ones"),
    };
    Err(BadInput(format!("there is no {query} in this ledger; {gone}")).into())
}
