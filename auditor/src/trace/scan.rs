//! Finding an id without the index: by reading everything.

use std::sync::atomic::{AtomicBool, Ordering};

use picket_ledger::entry::{Body, Entry};

use crate::error::{AuditorError, Result};
use crate::evidence;
use crate::index::Place;
use crate::vault::Vault;

/// The places of an id in all evidence, at most `limit` and one more.
pub(super) fn places(
    vault: &Vault,
    id: &str,
    limit: usize,
    cancel: &AtomicBool,
    problems: &mut Vec<String>,
) -> Result<Vec<(Place, &'static str)>> {
    let mut places = Vec::new();
    for origin in vault.boxes.enrolled()? {
        let Some(keys) = vault.boxes.chain(&origin, &vault.archive)? else { continue };
        for first in vault.archive.firsts(&origin)? {
            if cancel.load(Ordering::Relaxed) {
                return Err(AuditorError::Cancelled);
            }
            let held = match evidence::read(&vault.archive, &origin, &keys, first) {
                Ok(held) => held,
                Err(error @ AuditorError::Evidence { .. }) => {
                    problems.push(error.to_string());
                    continue;
                }
                Err(other) => return Err(other),
            };
            for (index, bytes) in (first..).zip(&held.segment().entries) {
                let Ok(Entry { body: Body::Verdict(verdict), .. }) = Entry::decode(bytes) else { continue };
                if super::names(&verdict, id) {
                    let word = if verdict.inference_id == id { "inference" } else { "trace" };
                    places.push((Place { origin: origin.clone(), first, index }, word));
                    if places.len() > limit {
                        return Ok(places);
                    }
                }
            }
        }
    }
    Ok(places)
}
