//! What a detector is made from, and whether it is the same as another one.

use crate::config::{self, Config};
use crate::guards::{self, Granted};
use crate::pipeline::{PipelineError, read_file};
use picket_ledger::{Hash, hash};

/// What a detector is made from, read and not loaded yet.
pub(super) struct Source {
    pub(super) admitted: guards::Admitted,
    pub(super) granted: Granted,
    pub(super) reference: Vec<u8>,
}

/// What makes a detector the one it is. With another one its instances end, and others begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) name: String,
    component: Hash,
    settings: String,
    reference: Hash,
    limits: config::Limits,
    vouched: guards::Vouched,
}

impl Identity {
    /// Whether both are the same detector, by whomever they are vouched for and under whatever limits.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let what = |identity: &Self| {
            (identity.name.clone(), identity.component, identity.settings.clone(), identity.reference)
        };
        what(self) == what(other)
    }
}

impl Source {
    pub(super) fn read(config: &Config, detector: &config::Detector) -> Result<Self, PipelineError> {
        let admitted = guards::admit(config, &detector.name, detector.line, &detector.component)?;
        let granted = admitted.grant(&detector.limits, &detector.written)?;
        let reference = match &detector.reference {
            Some(path) => read_file(config, detector.line, path)?,
            None => Vec::new(),
        };
        Ok(Self { admitted, granted, reference })
    }

    pub(super) fn identity(&self, detector: &config::Detector) -> Identity {
        Identity {
            name: detector.name.clone(),
            component: hash::sha256(&self.admitted.bytes),
            settings: detector.settings.clone(),
            reference: hash::sha256(&self.reference),
            limits: self.granted.limits,
            vouched: self.admitted.vouched.clone(),
        }
    }
}
