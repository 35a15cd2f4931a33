//! `candidate` of a guard.

use super::registry::{Registries, component};
use super::{Place, settings};
use crate::config::raw::RawCandidate;
use crate::config::{Candidate, ConfigError, Guard};
use toml::Spanned;

const MILLION: f64 = 1e6;

pub(super) fn candidate(
    place: &Place,
    key: &str,
    written: &Spanned<RawCandidate>,
    guard: &Guard,
    registries: &Registries,
) -> Result<Candidate, ConfigError> {
    let raw = written.get_ref();
    let field = |name: &str| format!("{key}.{name}");
    if raw.component.is_none() && raw.settings.is_none() {
        let message = "names neither a component nor settings, so it would be the guard itself";
        return Err(place.wrong(&written.span(), key, message));
    }
    let component = match &raw.component {
        Some(written) => component(place, field("component"), written, registries)?,
        None => guard.component.clone(),
    };
    let settings = match &raw.settings {
        Some(written) => settings(place, &field("settings"), Some(written))?,
        None => guard.settings.clone(),
    };
    let share = match &raw.share {
        None => 100_000,
        Some(written) => millionths(*written.get_ref()).ok_or_else(|| {
            let message = format!("{} is not a share: at least 0.000001, and 1 at most", written.get_ref());
            place.wrong(&written.span(), field("share"), message)
        })?,
    };
    Ok(Candidate { component, settings, share })
}

/// A share in millionths, so that every machine draws the same line.
fn millionths(share: f64) -> Option<u32> {
    let millionths = (share * MILLION).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range by the line before")]
    (1.0..=MILLION).contains(&millionths).then_some(millionths as u32)
}
