//! `[trust]`: who may sign which guards.

use super::Place;
use crate::config::raw::RawTrust;
use crate::config::{ConfigError, Trust, Unsigned};

pub(super) fn trust(place: &Place, raw: &RawTrust) -> Result<Trust, ConfigError> {
    let choices = [("refuse", Unsigned::Refuse), ("allow", Unsigned::Allow)];
    Ok(Trust { unsigned: place.choice("trust.unsigned", raw.unsigned.as_ref(), &choices, Unsigned::Refuse)? })
}
