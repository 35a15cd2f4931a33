//! The keys of each box: which one speaks for which entries.
//!
//! | path under the data folder | holds | written |
//! |---|---|---|
//! | `chains/<origin>/<epoch>` | the hand-over to that key: the `.tlog-proof` of its rotation entry | create-only |
//!
//! A hand-over is learned from the segment that ends with it, after that is durable. The files are a short cut: each is
//! verified when it is read, and what a crash kept out of the folder is learned again from the evidence.

use std::path::{Path, PathBuf};

use picket_ledger::bundle::Bundle;
use picket_ledger::segment::{SegmentRef, VerifiedSegment};
use picket_ledger::{KeyChain, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::archive::{Archive, number_name};
use crate::durable::{self, Writer};
use crate::error::Result;
use crate::origin::Origin;

/// The folder of hand-overs of one auditor.
#[derive(Debug)]
pub struct Epochs {
    root: PathBuf,
}

/// One key of a box, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Its number, from 0.
    pub epoch: u64,
    /// The public key.
    pub key: String,
    /// The first entry that it speaks for.
    pub start: u64,
    /// The entry behind its last; absent for the key that speaks now.
    pub end: Option<u64>,
}

impl Epochs {
    /// Names the folder under `data`; creates nothing.
    pub fn new(data: &Path) -> Self {
        Self { root: data.join("chains") }
    }

    /// The keys of a box from its first one on, as far as the evidence goes.
    ///
    /// # Errors
    /// Faults. A file that does not hold ends the short cut; the evidence is read from there on.
    pub fn load(&self, origin: &Origin, first: VerifyingKey, archive: &Archive) -> Result<KeyChain> {
        let mut chain = KeyChain::new(first);
        let folder = self.root.join(origin.as_str());
        for name in durable::names(&folder)? {
            let bytes = durable::read(&folder.join(name))?.unwrap_or_default();
            let bundle = String::from_utf8(bytes).ok().and_then(|text| Bundle::parse(&text).ok());
            if bundle.is_none_or(|bundle| chain.learn(&bundle).is_err()) {
                break;
            }
        }
        let firsts = archive.firsts(origin)?;
        let Some(last) = firsts.last() else { return Ok(chain) };
        // Usually the last segment is of the newest key; if not, hand-overs are missing from the folder.
        if !follow(&mut chain, archive, origin, *last)? {
            let start = chain.current_epoch().start;
            for first in firsts.iter().filter(|first| **first >= start) {
                if !follow(&mut chain, archive, origin, *first)? {
                    break;
                }
            }
        }
        Ok(chain)
    }

    /// Learns the hand-over that a segment ends with, and keeps it. The segment is durable.
    ///
    /// # Errors
    /// Faults; what was not kept is learned again at the next start.
    pub fn learn(
        &self,
        writer: &Writer,
        origin: &Origin,
        chain: &mut KeyChain,
        segment: &SegmentRef<'_>,
        verified: &VerifiedSegment,
    ) -> Result<()> {
        match chain.learn_segment(segment, verified) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                // The old key signed a hand-over that is none: it goes on speaking.
                eprintln!("{origin}: a hand-over of its key does not hold: {}", crate::words(&error));
                return Ok(());
            }
        }
        let folder = self.root.join(origin.as_str());
        durable::create_folder(&folder)?;
        let epoch = chain.current_epoch();
        let text = epoch.hand_over().map(Bundle::encode).unwrap_or_default();
        // Crash before this: the evidence teaches the same again.
        writer.create_only(&folder.join(number_name(epoch.number)), text.as_bytes())?;
        eprintln!("{origin}: from entry {} on it signs with key {} ({})", epoch.start, epoch.number, epoch.key_id());
        Ok(())
    }
}

/// Reads one segment for what it teaches. False when it does not hold under the keys known so far.
fn follow(chain: &mut KeyChain, archive: &Archive, origin: &Origin, first: u64) -> Result<bool> {
    let Some(bytes) = archive.segment(origin, first)? else { return Ok(false) };
    let Ok(segment) = SegmentRef::parse(&bytes) else { return Ok(false) };
    match chain.verify_segment(&segment) {
        Ok(verified) => Ok(chain.learn_segment(&segment, &verified).is_ok()),
        Err(_) => Ok(false),
    }
}

/// All keys of a chain, for answers.
pub fn report(chain: &KeyChain) -> Vec<EpochReport> {
    let one = |epoch: &picket_ledger::keychain::Epoch| EpochReport {
        epoch: epoch.number,
        key: epoch.key.to_string(),
        start: epoch.start,
        end: epoch.end,
    };
    chain.epochs().iter().map(one).collect()
}
