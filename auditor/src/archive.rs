//! The evidence: raw segments as they arrived, and the receipts given for them.
//!
//! | path under the data folder | holds | written |
//! |---|---|---|
//! | `ev/<origin>/<first>` | the bytes of the segment whose first entry is number `first` | create-only |
//! | `receipts/<origin>/<first>` | the receipt given for it | create-only |
//!
//! `first` is written with twenty digits, so that the order of names is the order of entries. Everything that the
//! auditor knows about a box is derived from these files; the index only says where to look.

use std::path::{Path, PathBuf};

use crate::durable::{self, Put, Writer};
use crate::error::{AuditorError, Result};
use crate::origin::Origin;

/// The evidence folder of one auditor.
#[derive(Debug)]
pub struct Archive {
    evidence: PathBuf,
    receipts: PathBuf,
}

impl Archive {
    /// Names the folders under `data`; creates nothing.
    pub fn new(data: &Path) -> Self {
        Self { evidence: data.join("ev"), receipts: data.join("receipts") }
    }

    /// Where the segment of `origin` that starts at entry `first` is kept.
    pub fn segment_path(&self, origin: &Origin, first: u64) -> PathBuf {
        self.evidence.join(origin.as_str()).join(number_name(first))
    }

    /// Stores a segment's bytes for good.
    pub fn put_segment(&self, writer: &Writer, origin: &Origin, first: u64, bytes: &[u8]) -> Result<Put> {
        let path = self.segment_path(origin, first);
        put(writer, &path, bytes)
    }

    /// A segment's bytes, as found on disk: not verified.
    pub fn segment(&self, origin: &Origin, first: u64) -> Result<Option<Vec<u8>>> {
        durable::read(&self.segment_path(origin, first))
    }

    /// When a segment was stored, in milliseconds since 1970, by the time of its file. Nothing is proven by it.
    pub fn stored_ms(&self, origin: &Origin, first: u64) -> Result<Option<u64>> {
        let path = self.segment_path(origin, first);
        match std::fs::metadata(&path).and_then(|metadata| metadata.modified()) {
            Ok(time) => {
                let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Ok(u64::try_from(since.as_millis()).ok())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(AuditorError::io("reading", &path, error)),
        }
    }

    /// The first entries of all segments held for a box, ascending. Reads the folder: one name per segment.
    pub fn firsts(&self, origin: &Origin) -> Result<Vec<u64>> {
        let names = durable::names(&self.evidence.join(origin.as_str()))?;
        Ok(names.iter().filter_map(|name| parse_number_name(name)).collect())
    }

    /// Names in the evidence folder of a box that the auditor never writes: somebody else did.
    pub fn strangers(&self, origin: &Origin) -> Result<Vec<PathBuf>> {
        let folder = self.evidence.join(origin.as_str());
        let names = durable::names(&folder)?;
        Ok(names.iter().filter(|name| parse_number_name(name).is_none()).map(|name| folder.join(name)).collect())
    }

    /// The origins that have evidence, whether they are enrolled or not.
    pub fn origins(&self) -> Result<Vec<Origin>> {
        Ok(durable::names(&self.evidence)?.iter().filter_map(|name| Origin::parse(name).ok()).collect())
    }

    /// Stores the receipt for a segment, unless one is stored; returns the one that is stored.
    ///
    /// A second call for the same segment returns the first call's text: the same bytes have the same receipt.
    pub fn put_receipt(&self, writer: &Writer, origin: &Origin, first: u64, text: &str) -> Result<String> {
        let path = self.receipts.join(origin.as_str()).join(number_name(first));
        match put(writer, &path, text.as_bytes())? {
            Put::Stored | Put::Same => Ok(text.to_owned()),
            Put::Other => Ok(self.receipt(origin, first)?.unwrap_or_else(|| text.to_owned())),
        }
    }

    /// The receipt given for a segment, or `None` when the auditor died between storing and signing: the box sends the
    /// segment again and gets one.
    pub fn receipt(&self, origin: &Origin, first: u64) -> Result<Option<String>> {
        let path = self.receipts.join(origin.as_str()).join(number_name(first));
        Ok(durable::read(&path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }
}

fn put(writer: &Writer, path: &Path, bytes: &[u8]) -> Result<Put> {
    if let Some(folder) = path.parent() {
        durable::create_folder(folder)?;
    }
    writer.create_only(path, bytes)
}

/// An entry number as a file name: twenty digits, enough for any `u64`.
pub fn number_name(number: u64) -> String {
    format!("{number:020}")
}

fn parse_number_name(name: &str) -> Option<u64> {
    let number = name.parse().ok()?;
    (number_name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_numbers() {
        assert_eq!(parse_number_name("00000000000000000000"), Some(0));
        assert_eq!(parse_number_name("18446744073709551615"), Some(u64::MAX));
        for name in ["0", "+0000000000000000000", "99999999999999999999", "00000000000000000000.bak", ""] {
            assert_eq!(parse_number_name(name), None, "{name}");
        }
    }
}
