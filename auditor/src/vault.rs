//! Everything that is read without a lock: evidence, receipts, incidents, keys of boxes.
//!
//! `verify` and `boxes` work on this alone, beside a running server, because none of these files ever changes.

use std::path::{Path, PathBuf};

use crate::archive::Archive;
use crate::boxes::Boxes;
use crate::error::Result;
use crate::incidents::Incidents;
use crate::origin::Origin;

/// The create-only part of a data folder.
#[derive(Debug)]
pub struct Vault {
    /// The data folder.
    pub data: PathBuf,
    /// Evidence and receipts.
    pub archive: Archive,
    /// Keys and heads of the boxes.
    pub boxes: Boxes,
    /// Incidents.
    pub incidents: Incidents,
}

impl Vault {
    /// Names the folders under `data`; creates and reads nothing.
    pub fn new(data: &Path) -> Self {
        Self {
            data: data.to_path_buf(),
            archive: Archive::new(data),
            boxes: Boxes::new(data),
            incidents: Incidents::new(data),
        }
    }

    /// The origin of this name when such a box is enrolled.
    pub fn enrolled(&self, name: &str) -> Result<Option<Origin>> {
        match Origin::parse(name) {
            Ok(origin) => Ok(self.boxes.key(&origin)?.map(|_| origin)),
            Err(_) => Ok(None),
        }
    }
}
