//! What the trust in a ledger hangs on: the life of its keys, and the witness of its head.

use super::{Place, data};
use crate::config::ConfigError;
use crate::config::raw::RawEdge;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// A chain of keys has at most 4096: with a key a day that is eleven years.
pub(super) fn key_lifetime(place: &Place, written: Option<&Spanned<String>>) -> Result<Option<Duration>, ConfigError> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const KEY: &str = "ledger.key_lifetime";
    if written.is_some_and(|written| written.get_ref() == "off") {
        return Ok(None);
    }
    let lifetime = place.duration(KEY, written, DAY * 30)?;
    match written {
        Some(written) if lifetime < DAY => {
            Err(place.wrong(&written.span(), KEY, format!("`{}` is shorter than `1d`", written.get_ref())))
        }
        _ => Ok(Some(lifetime)),
    }
}

/// In the data folder it would be restored and copied with it.
pub(super) fn witness(place: &Place, raw: &RawEdge) -> Result<Option<PathBuf>, ConfigError> {
    let Some(written) = &raw.witness else { return Ok(None) };
    let path = place.path(written.get_ref());
    let wrong = |message: String| place.wrong(&written.span(), "edge.witness", message);
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    if absolute(&path).starts_with(absolute(&data(place, raw))) {
        return Err(wrong(format!("`{}` lies in the data folder; put it elsewhere", written.get_ref())));
    }
    if path.is_dir() || path.file_name().is_none() {
        return Err(wrong(format!("`{}` is a folder; a file is wanted", written.get_ref())));
    }
    Ok(Some(path))
}
