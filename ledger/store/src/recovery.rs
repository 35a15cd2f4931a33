//! Bringing the base store and its journal together when a log is opened.

use crate::StoreError;
use crate::batch::Batch;
use crate::disk::Disk;
use crate::findings::Findings;
use crate::journal::{self, Identity, Journal};
use crate::journaled::{JournalFile, settle_all};
use crate::sealed::Sealed;
use crate::store::Store;

/// In the base store, the identity of the journal that belongs to it.
const IDENTITY_KEY: &[u8] = b"\0journal";
/// In the base store, the length in bytes (u64, little-endian) that the journal was created with. It never changes.
const LENGTH_KEY: &[u8] = b"\0journal-bytes";

/// What can be done about commits that only the journal had.
const ADVICE: &str = "restore the folder from a copy; without one, keep it as evidence and go on with a new box: \
                      another edge id, data folder and key";

/// The base and its journal when there is no journal yet.
pub(crate) fn create(
    base: &dyn Store,
    file: &dyn JournalFile,
    half_bytes: usize,
    findings: &mut Findings,
) -> Result<(Box<dyn Disk>, Identity, u64), StoreError> {
    let applied = base.applied()?;
    if applied > 0 {
        findings.loss(StoreError::damaged(
            file.path(),
            format!(
                "it is missing, and with it every commit after number {applied} that had not reached the index yet"
            ),
            "put it back; without it, keep the folder as evidence and go on with a new box: another edge id, data folder and key",
        ))?;
    }
    let identity = file.identity()?;
    // A crash between these leaves a journal without records and a base without its identity: `recover` goes on.
    let empty = journal::empty(&identity, half_bytes);
    file.create(&empty)?;
    let last = adopt(base, &identity, empty.len(), applied)?;
    let disk = file
        .open()?
        .ok_or_else(|| StoreError::damaged(file.path(), "it vanished after it was created", "open the log again"))?;
    Ok((disk, identity, last))
}

/// Notes in the base which journal belongs to it, and how long that is. Returns the sequence of that commit.
fn adopt(base: &dyn Store, identity: &Identity, bytes: usize, applied: u64) -> Result<u64, StoreError> {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).to_le_bytes();
    let writes = [(IDENTITY_KEY, identity.as_slice()), (LENGTH_KEY, &bytes)];
    base.apply(applied + 1, &writes.map(|(key, value)| (key.to_vec(), Some(value.to_vec()))))?;
    base.sync()?;
    Ok(applied + 1)
}

/// Applies to the base what only the journal has.
pub(crate) fn recover(
    base: &dyn Store,
    sealed: &Sealed,
    disk: Box<dyn Disk>,
    file: &dyn JournalFile,
    half_bytes: usize,
    findings: &mut Findings,
) -> Result<(Box<dyn Disk>, Identity, u64), StoreError> {
    let content = journal::read(disk.as_ref()).map_err(|e| StoreError::io("read", file.path(), e))?;
    let known: Option<Identity> = base.get(IDENTITY_KEY)?.and_then(|bytes| bytes.try_into().ok());
    let identity = match (known, content.identity) {
        (Some(known), Some(found)) if known != found => {
            return Err(StoreError::damaged(
                file.path(),
                "it belongs to another log",
                "put the journal of this log back",
            ));
        }
        (Some(known), _) => known,
        (None, Some(found)) => found,
        (None, None) => {
            return Err(StoreError::damaged(
                file.path(),
                "neither it nor the index says which log it belongs to",
                "restore the folder from a copy, or move it away to start a new log",
            ));
        }
    };
    let applied = base.applied()?;
    let records = content.records(&identity);
    let mut last = applied;
    let mut replay = Batch::default();
    for found in &records.complete {
        if found.sequence == last + 1 {
            let batch = Batch::decode(&found.payload).ok_or_else(|| {
                StoreError::damaged(
                    file.path(),
                    format!("the record of commit {} makes no sense", found.sequence),
                    "it was written by another version of this program: use that one",
                )
            })?;
            replay.extend(batch);
            last = found.sequence;
        }
    }
    let newest = records.complete.last().map_or(0, |found| found.sequence);
    let first_missing = last + 1;
    let said = base.get(LENGTH_KEY)?.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    let found = u64::try_from(content.length()).unwrap_or(u64::MAX);
    // Overwriting never changes its length, so no crash leaves it shorter.
    let cut = said.filter(|said| found < *said);
    if newest > last {
        findings.loss(StoreError::damaged(
            file.path(),
            format!("commits {first_missing} to {newest} cannot be recovered: the index ends with commit {applied}, and the journal lacks number {first_missing}"),
            ADVICE,
        ))?;
    } else if let Some(said) = cut {
        findings.loss(StoreError::damaged(
            file.path(),
            format!("it was cut to {found} of its {said} bytes, and with that went every commit after number {last} that it held"),
            ADVICE,
        ))?;
    } else if records.had(first_missing) {
        findings.repaired.push(format!(
            "{} ends with an incomplete record: commit {first_missing} was cut off by a crash before it was acknowledged, or was damaged since",
            file.path().display()
        ));
    }
    let mut unusable = false;
    if last > applied {
        // What a killed process wrote last may be in memory alone, and is about to be sealed.
        disk.sync().map_err(|e| StoreError::io("sync", file.path(), e))?;
        let writes = settle_all(base, &replay, |tile| sealed.has_tile(tile));
        match writes.and_then(|writes| sealed.seal(base, writes)) {
            Ok(writes) => {
                base.apply(last, &writes)?;
                sealed.confirm();
                // Before this a crash repeats the replay; after it the journal may be overwritten.
                base.sync()?;
                sealed.tidy();
            }
            // Its commits go on from values that are lost.
            Err(error @ StoreError::Damaged { .. }) => {
                findings.loss(error)?;
                unusable = true;
            }
            Err(error) => return Err(error),
        }
    }
    if unusable || newest > last || cut.is_some() {
        // Its records must not be taken for the continuation of this log, and are evidence.
        drop(disk);
        let kept = file.set_aside()?;
        findings.lost.push(format!("the journal is kept as {}", kept.display()));
        return create_again(base, file, half_bytes);
    }
    // Without the length: an earlier version created it.
    if known.is_none() || said.is_none() {
        last = adopt(base, &identity, content.length(), last)?;
    }
    if content.identity.is_none() {
        let journal = Journal::new(disk, identity, 0);
        journal.repair_header().map_err(|e| StoreError::io("write", file.path(), e))?;
        findings.repaired.push(format!("{} had a damaged header: written again", file.path().display()));
        return reopened(file, identity, last);
    }
    Ok((disk, identity, last))
}

fn create_again(
    base: &dyn Store,
    file: &dyn JournalFile,
    half_bytes: usize,
) -> Result<(Box<dyn Disk>, Identity, u64), StoreError> {
    let identity = file.identity()?;
    let empty = journal::empty(&identity, half_bytes);
    file.create(&empty)?;
    let last = adopt(base, &identity, empty.len(), base.applied()?)?;
    reopened(file, identity, last)
}

fn reopened(
    file: &dyn JournalFile,
    identity: Identity,
    last: u64,
) -> Result<(Box<dyn Disk>, Identity, u64), StoreError> {
    let disk = file
        .open()?
        .ok_or_else(|| StoreError::damaged(file.path(), "it vanished while it was opened", "open the log again"))?;
    Ok((disk, identity, last))
}
