//! The logs of one box: the first has its name, the n-th is called `<name>~<n>`.

use super::{KeyError, files, load, malformed};
use picket_ledger::entry::Head;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The intent to open the next incarnation, durable before anything of it is done. Its first entry repeats it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reopening {
    /// The incarnation that ends.
    pub(crate) from: u32,
    /// The size of its log, as it was found.
    pub(crate) previous_size: u64,
    /// The root of it, in hexadecimal.
    pub(crate) previous_root: String,
    /// Invocations go on with this number.
    pub(crate) first_invocation: u64,
    /// Why, a sentence each.
    pub(crate) found: Vec<String>,
    /// Heads that contradict it: origin, size, root in hexadecimal.
    pub(crate) heads: Vec<(String, u64, String)>,
}

impl Reopening {
    /// The heads, as the entry has them.
    pub(crate) fn heads(&self) -> Vec<Head> {
        let head = |(origin, size, root): &(String, u64, String)| {
            let root = picket_ledger::hash::from_hex(root).ok()?;
            Some(Head { origin: origin.clone(), size: *size, root })
        };
        self.heads.iter().filter_map(head).collect()
    }

    /// Makes the intent durable. From here on every start goes on with it.
    ///
    /// # Errors
    /// [`KeyError::Io`]; then nothing has changed.
    pub(crate) fn begin(&self, data: &Path) -> Result<(), KeyError> {
        let path = intent(data);
        let json = serde_json::to_vec_pretty(self).map_err(malformed(&path))?;
        files::replace(&path, &json, 0o600)
    }

    /// Ends it: the first entry of the new log is durable.
    ///
    /// # Errors
    /// [`KeyError::Io`]; the next start finds it again, and the entry there.
    pub(crate) fn end(data: &Path) -> Result<(), KeyError> {
        files::remove(&intent(data))
    }
}

fn intent(data: &Path) -> PathBuf {
    data.join("keys").join("incarnation.next")
}

/// Does what an intent that was begun asks for, as far as it is not done: the old log's folder and public keys get their
/// number, and the same private key the next name. Each step looks whether it was done, so a crash between any two does
/// no harm.
pub(super) fn resume(data: &Path, id: &str) -> Result<Option<Reopening>, KeyError> {
    let path = intent(data);
    if !files::exists(&path)? {
        return Ok(None);
    }
    let reopening: Reopening = serde_json::from_slice(&files::read_private(&path)?).map_err(malformed(&path))?;
    let from = reopening.from;
    let (ledger, kept) = (data.join("ledger"), data.join(format!("ledger-{from}")));
    if !files::exists(&kept)? && files::exists(&ledger)? {
        files::rename(&ledger, &kept)?;
    }
    let keys = data.join("keys");
    let [key, public, chain] = ["box.key", "box.pub", "keys.chain"].map(|name| keys.join(name));
    let old = load(&key)?;
    if old.name() != origin_of(id, from) {
        return Ok(Some(reopening));
    }
    for (source, target) in [(&public, format!("box-{from}.pub")), (&chain, format!("keys-{from}.chain"))] {
        let target = keys.join(target);
        if files::exists(source)? && !files::exists(&target)? {
            files::rename(source, &target)?;
        }
    }
    let new = old.renamed(&origin_of(id, from.saturating_add(1))).map_err(malformed(&key))?;
    files::replace(&public, format!("{}\n", new.verifier()).as_bytes(), 0o644)?;
    // The last step: by its name the next start knows that the others are done.
    files::replace(&key, new.to_secret_text().as_bytes(), 0o600)?;
    Ok(Some(reopening))
}

/// The number of the incarnation whose log is called `origin`, if it is one of the box `id`.
#[must_use]
pub fn incarnation_of(origin: &str, id: &str) -> Option<u32> {
    let rest = origin.strip_prefix(id)?;
    if rest.is_empty() {
        return Some(1);
    }
    let number: u32 = rest.strip_prefix('~')?.parse().ok()?;
    (number > 1 && origin_of(id, number) == origin).then_some(number)
}

/// What the log of this incarnation of the box `id` is called.
#[must_use]
pub fn origin_of(id: &str, incarnation: u32) -> String {
    if incarnation <= 1 { id.to_owned() } else { format!("{id}~{incarnation}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_name_their_incarnation_in_one_way_only() {
        for incarnation in [1, 2, 17, u32::MAX] {
            assert_eq!(incarnation_of(&origin_of("box-1", incarnation), "box-1"), Some(incarnation));
        }
        for origin in ["box-1~1", "box-1~0", "box-1~02", "box-1~+2", "box-1~", "box-1~4294967296", "box-10", "box", ""]
        {
            assert_eq!(incarnation_of(origin, "box-1"), None, "{origin}");
        }
    }
}
