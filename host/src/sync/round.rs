//! One round of sync: everything up to the newest checkpoint, or as far as the auditor takes it.
//!
//! A file of over 400 lines because what can happen in a round is read as one story.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use picket_ledger::mirror::{Header, MirrorInfo};
use picket_ledger::receipt::{CosignerKey, Receipt};
use picket_ledger::{Hash, SignedCheckpoint};
use serde::Serialize;

use super::answer::{CheckpointAnswer, Seen, UploadAnswer, printable};
use super::{
    ACKNOWLEDGED_NAME, ALARM_NAME, Alarm, AlarmKind, Client, CutLimits, Outbox, OutboxError, State, SyncError,
};
use crate::evidence::RECEIPT_NAME;
use crate::keys::Keyring;

/// Where a receipt goes that the auditor no longer stands by: it is the evidence.
const BROKEN_RECEIPT_NAME: &str = "sync/receipt-broken";

/// The smallest that a slow link makes segments, in bytes of entries: 10 s for it are 13 kbit/s.
const SLOWEST_BYTES: usize = 16 << 10;

/// How often the auditor may send us elsewhere without taking anything.
const MAX_STALLS: u32 = 8;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Stores small named values durably, beside the ledger. Called on threads that may block.
pub trait Keeper: Send + Sync {
    /// Stores all or none; durable when it returns. `None` removes.
    ///
    /// # Errors
    /// What the store says; then nothing was stored.
    fn put(&self, named: Vec<(String, Option<Vec<u8>>)>) -> Result<(), BoxError>;
}

impl Keeper for crate::sequencer::Sequencer {
    fn put(&self, named: Vec<(String, Option<Vec<u8>>)>) -> Result<(), BoxError> {
        self.put_named_blocking(named).map_err(Into::into)
    }
}

/// For a ledger that no service has open.
impl Keeper for std::sync::Mutex<picket_store::Log> {
    fn put(&self, named: Vec<(String, Option<Vec<u8>>)>) -> Result<(), BoxError> {
        let mut log = self.lock().map_err(|_| "an earlier write to the ledger panicked")?;
        let commit = picket_store::Commit { named, ..picket_store::Commit::default() };
        log.commit(commit).map(|_| ()).map_err(Into::into)
    }
}

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Size of the newest checkpoint when the round began.
    pub signed: u64,
    /// Entries below this size have a verified receipt.
    pub acknowledged: u64,
    /// Segments that the auditor took.
    pub segments: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes handed to the link, as they were packed, repetitions included.
    pub bytes: u64,
}

/// The way from one ledger to its auditor.
pub struct Uplink {
    outbox: Outbox,
    keeper: Arc<dyn Keeper>,
    client: Client,
    origin: String,
    keys: Keyring,
    auditor: CosignerKey,
    limits: CutLimits,
    /// Bytes of a segment now, at most those of `limits`: halved by each request that takes too long, doubled by
    /// each segment that arrives. So a link of any speed gets through within the deadline.
    bytes: AtomicUsize,
    /// The size of the newest checkpoint that the auditor is thought to know.
    known: AtomicU64,
    state: Arc<State>,
}

impl std::fmt::Debug for Uplink {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Uplink").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Uplink {
    /// The way from the ledger behind `reader`, signed by `keys`, to the auditor behind `client`, whose
    /// receipts `auditor` verifies. Takes up the stored acknowledgement and alarm.
    ///
    /// # Errors
    /// [`OutboxError::Store`] when the stored state cannot be read.
    pub fn new(
        reader: picket_store::Reader,
        keeper: Arc<dyn Keeper>,
        client: Client,
        keys: Keyring,
        auditor: CosignerKey,
        limits: CutLimits,
    ) -> Result<Self, OutboxError> {
        let state = Arc::new(State::default());
        let acknowledged = reader.named(ACKNOWLEDGED_NAME)?.and_then(|bytes| bytes.try_into().ok());
        state.acknowledged.store(acknowledged.map_or(0, u64::from_be_bytes), Ordering::Relaxed);
        state.set_alarm(reader.named(ALARM_NAME)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()));
        let origin = keys.chain().origin().to_owned();
        let outbox = Outbox::new(reader, &origin);
        if let Some((size, _)) = outbox.latest()? {
            state.signed.store(size, Ordering::Relaxed);
        }
        let bytes = AtomicUsize::new(limits.bytes);
        let known = AtomicU64::new(state.acknowledged.load(Ordering::Relaxed));
        Ok(Self { outbox, keeper, client, origin, keys, auditor, limits, bytes, known, state })
    }

    /// Counters and alarm, shared.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.state.clone()
    }

    /// Takes back the alarm that stands, after somebody looked into it; sending goes on. Returns it.
    ///
    /// # Errors
    /// [`SyncError::Keep`]; then it stands.
    pub async fn clear_alarm(&self) -> Result<Option<Alarm>, SyncError> {
        let alarm = self.state.alarm();
        if alarm.is_some() {
            self.put(vec![(ALARM_NAME.to_owned(), None)]).await?;
            self.state.set_alarm(None);
        }
        Ok(alarm)
    }

    /// Sends everything up to the newest checkpoint. One round runs at a time: the caller sees to that.
    ///
    /// # Errors
    /// [`SyncError`]; what was acknowledged before it stays so.
    pub async fn round(&self) -> Result<Report, SyncError> {
        self.state.rounds.fetch_add(1, Ordering::Relaxed);
        let mut report = Report::default();
        let outcome = self.send_all(&mut report).await;
        report.acknowledged = self.acknowledged();
        match outcome {
            Ok(()) => {
                self.state.last_success_ms.store(now_ms(), Ordering::Relaxed);
                self.state.set_error(None);
                Ok(report)
            }
            Err(error) => {
                self.state.failed_rounds.fetch_add(1, Ordering::Relaxed);
                self.state.set_error(Some(error.full()));
                Err(error)
            }
        }
    }

    async fn send_all(&self, report: &mut Report) -> Result<(), SyncError> {
        if let Some(alarm) = self.state.alarm().filter(|alarm| alarm.kind.stops()) {
            return Err(SyncError::Alarm(alarm));
        }
        let Some((newest, _)) = self.outbox.latest()? else { return Ok(()) };
        self.state.signed.store(newest, Ordering::Relaxed);
        report.signed = newest;
        // One epoch of keys after the other; usually there is one.
        loop {
            let shown = self.show(newest).await?;
            self.send_to(shown, newest, report).await?;
            if shown >= newest || self.acknowledged() < shown {
                return Ok(());
            }
        }
    }

    /// Shows the auditor the newest checkpoint whose key it can know; returns its size.
    async fn show(&self, newest: u64) -> Result<u64, SyncError> {
        let Some(mut size) = self.outbox.shown(self.acknowledged())? else { return Ok(0) };
        loop {
            match self.declare(size, newest).await {
                // One that lost what it knew may know earlier keys alone.
                Err(error @ SyncError::Refused { .. }) => size = self.outbox.shown_before(size)?.ok_or(error)?,
                other => return other.map(|()| size),
            }
        }
    }

    /// Makes the checkpoint of `size` one to which the auditor takes entries; or finds that it knows a later one of ours.
    async fn declare(&self, size: u64, newest: u64) -> Result<(), SyncError> {
        let mut old = self.known.load(Ordering::Relaxed).min(size);
        // A size that no signature vouches for counts once it was said twice.
        let mut said = None;
        for _ in 0..MAX_STALLS {
            let (found, seen) = match self.add(old, size).await? {
                CheckpointAnswer::Added => {
                    self.known.store(size, Ordering::Relaxed);
                    return Ok(());
                }
                CheckpointAnswer::Conflict { size, seen } => (size, seen),
            };
            let proven = self.proven(found, &seen);
            let again = said.replace((found, seen.fork)) == Some((found, seen.fork));
            if let Some(note) = proven {
                self.known.store(found.min(newest), Ordering::Relaxed);
                if found > newest || self.root(found).await? != Some(note.checkpoint.root) {
                    return Err(self.diverged(found, newest, seen.fork, note).await?);
                }
                // It has our own checkpoint, or a later one of ours, where this round goes on.
                if found >= size {
                    return Ok(());
                }
            } else if again && (found > newest || seen.fork) {
                let kind = if seen.fork { AlarmKind::Fork } else { AlarmKind::Rollback };
                let message = format!("it knows a checkpoint of size {found}, without showing it");
                return Err(self.raise(kind, newest, found, message, None).await?);
            }
            if found < self.acknowledged() {
                self.look_again(newest).await?;
            }
            old = if found <= size { found } else { old };
        }
        Err(SyncError::NoProgress { times: MAX_STALLS })
    }

    async fn add(&self, old: u64, size: u64) -> Result<CheckpointAnswer, SyncError> {
        let outbox = self.outbox.clone();
        let request = blocking(move || outbox.request(old, size)).await?;
        self.client.add_checkpoint(&self.origin, &request).await
    }

    /// The checkpoint that the auditor shows, if this box's own key signed it.
    fn proven(&self, size: u64, seen: &Seen) -> Option<SignedCheckpoint> {
        let note = seen.newest.as_deref()?;
        self.keys.chain().open(note).ok().filter(|note| note.checkpoint.size == size)
    }

    async fn root(&self, size: u64) -> Result<Option<Hash>, SyncError> {
        let outbox = self.outbox.clone();
        blocking(move || outbox.root(size)).await
    }

    /// The auditor holds a checkpoint that this box signed, and that is not of this ledger. Says so to it as well, and
    /// raises the alarm with that checkpoint as the evidence.
    async fn diverged(
        &self,
        found: u64,
        newest: u64,
        fork: bool,
        note: SignedCheckpoint,
    ) -> Result<SyncError, SyncError> {
        // What the auditor answers to these plays no part: they are for its records.
        let _noted = self.add(found, newest).await;
        let rollback = found > newest && !fork;
        if !rollback && let Some(own) = self.outbox.checkpoint_before(found)? {
            let _noted = self.add(0, own).await;
        }
        let kind = if rollback { AlarmKind::Rollback } else { AlarmKind::Fork };
        let message = if rollback {
            "it holds a later checkpoint that this box signed".to_owned()
        } else {
            "it holds a checkpoint that this box signed over other entries".to_owned()
        };
        self.raise(kind, newest, found, message, Some(note.text)).await
    }

    /// Sends what lies below `size`, a checkpoint that the auditor knows, as segments that end at checkpoints.
    async fn send_to(&self, size: u64, newest: u64, report: &mut Report) -> Result<(), SyncError> {
        let mut limits = self.limits;
        let mut stalls = 0;
        // Where the auditor goes on; it may be beyond what it has acknowledged.
        let mut next = self.acknowledged();
        let mut end = None;
        while self.acknowledged() < size {
            let first = self.acknowledged();
            limits.bytes = limits.bytes.min(self.bytes.load(Ordering::Relaxed));
            let to = match end {
                Some(to) => to,
                None => match self.end(first, next, size, limits).await? {
                    Some(to) => to,
                    // All of it is there, and the receipt is what is missing.
                    None if next >= size => size,
                    None => break,
                },
            };
            end = Some(to);
            if stalls > MAX_STALLS {
                return Err(SyncError::NoProgress { times: stalls });
            }
            if to != size && !self.declare_end(first, to).await? {
                // It lies below what the auditor has sealed: the receipt for that got lost.
                stalls += 1;
                next = self.look_again(newest).await?;
                end = None;
                continue;
            }
            match self.ship(next.min(to), to, report).await? {
                Shipped::Acknowledged => {
                    next = next.max(to);
                    (end, stalls) = (None, 0);
                }
                Shipped::Partial(info) if (next.min(to) + 1..=to).contains(&info.next) => next = info.next,
                Shipped::Partial(info) => {
                    stalls += 1;
                    next = self.go_on(info.next, newest).await?;
                }
                Shipped::Elsewhere(info, seen) => {
                    stalls += 1;
                    if seen.fork {
                        self.declare(size, newest).await?;
                    }
                    next = self.go_on(info.next, newest).await?;
                    // Another end, or the same one shown again.
                    end = None;
                }
                Shipped::TooLarge => {
                    limits = self.smaller(first, next, to, size).await?;
                    end = None;
                }
            }
        }
        Ok(())
    }

    async fn end(&self, first: u64, least: u64, size: u64, limits: CutLimits) -> Result<Option<u64>, SyncError> {
        let outbox = self.outbox.clone();
        // What is pending at the auditor ends nowhere before its checkpoint, which may be any.
        blocking(move || outbox.end(first, least.min(size).max(first), size, limits)).await
    }

    /// Shows a checkpoint between what is acknowledged and the one that was shown, where a segment is to end. False when
    /// the auditor wants none there.
    async fn declare_end(&self, first: u64, end: u64) -> Result<bool, SyncError> {
        Ok(self.add(first, end).await? == CheckpointAnswer::Added)
    }

    /// Asks where the auditor goes on.
    async fn ask(&self) -> Result<u64, SyncError> {
        let header = Header { origin: self.origin.clone(), start: 0, end: 0, ticket: Vec::new() };
        match self.client.add_entries(&self.origin, self.outbox.clone(), header).await.0? {
            UploadAnswer::Elsewhere { info, .. } | UploadAnswer::Partial(info) => Ok(info.next),
            _ => Err(nonsense("an answer to a question for the next entry")),
        }
    }

    async fn look_again(&self, newest: u64) -> Result<u64, SyncError> {
        let next = self.ask().await?;
        self.go_on(next, newest).await
    }

    /// Goes on at `next`, if that can be. An auditor that wants what it has acknowledged lost it; it says so twice before
    /// that is believed.
    async fn go_on(&self, next: u64, newest: u64) -> Result<u64, SyncError> {
        let acknowledged = self.acknowledged();
        if next > newest {
            return Err(nonsense("it wants entries beyond every checkpoint that it knows"));
        }
        if next < acknowledged {
            if self.ask().await? != next {
                return Err(nonsense("it wants entries from two places"));
            }
            let message = format!("it signed for {acknowledged} entries");
            let _stands = self.raise(AlarmKind::AuditorRollback, newest, next, message, None).await?;
            self.take_back(next).await?;
        }
        Ok(next)
    }

    /// Sends packages from `start` on, and counts the receipt if all of them are there.
    async fn ship(&self, start: u64, end: u64, report: &mut Report) -> Result<Shipped, SyncError> {
        let first = self.acknowledged();
        let header = Header { origin: self.origin.clone(), start, end, ticket: Vec::new() };
        let (answer, sent) = self.client.add_entries(&self.origin, self.outbox.clone(), header).await;
        self.state.bytes.fetch_add(sent, Ordering::Relaxed);
        report.bytes += sent;
        self.adapt(&answer);
        let answer = match answer {
            Err(unknown @ SyncError::Unknown { .. }) if first == 0 && self.origin.contains('~') => {
                self.introduce(end, unknown).await
            }
            other => other,
        };
        match answer? {
            UploadAnswer::Receipt(lines) => {
                self.accept(end, &lines).await?;
                report.segments += 1;
                report.entries += end - first;
                self.state.segments.fetch_add(1, Ordering::Relaxed);
                self.state.entries.fetch_add(end - first, Ordering::Relaxed);
                Ok(Shipped::Acknowledged)
            }
            UploadAnswer::Partial(info) => Ok(Shipped::Partial(info)),
            UploadAnswer::Elsewhere { info, seen } => Ok(Shipped::Elsewhere(info, seen)),
            UploadAnswer::TooLarge => Ok(Shipped::TooLarge),
        }
    }

    /// The first segment of a new incarnation is brought whole: its first entry decides whether the auditor takes the log on.
    async fn introduce(&self, end: u64, unknown: SyncError) -> Result<UploadAnswer, SyncError> {
        let outbox = self.outbox.clone();
        let (note, bytes) = blocking(move || outbox.first_segment(end)).await?;
        let receipt = self.client.bring(&self.origin, bytes).await?;
        receipt.strip_prefix(&note).map(|lines| UploadAnswer::Receipt(lines.to_owned())).ok_or(unknown)
    }

    fn adapt(&self, answer: &Result<UploadAnswer, SyncError>) {
        let now = self.bytes.load(Ordering::Relaxed);
        let next = match answer {
            Ok(_) => now.saturating_mul(2).min(self.limits.bytes),
            Err(error) if error.is_timeout() => (now / 2).max(SLOWEST_BYTES.min(self.limits.bytes)),
            Err(_) => now,
        };
        self.bytes.store(next, Ordering::Relaxed);
    }

    /// Counts a receipt only if both signatures hold over the very checkpoint to which the entries were sent.
    async fn accept(&self, size: u64, lines: &str) -> Result<(), SyncError> {
        let outbox = self.outbox.clone();
        let sent = blocking(move || outbox.checkpoint(size)).await?;
        let text = format!("{sent}{lines}");
        let keys = self.keys.chain();
        let receipt = Receipt::open(&text, keys.key_at(size), &self.auditor).map_err(|source| {
            self.state.bad_receipts.fetch_add(1, Ordering::Relaxed);
            SyncError::Receipt { size, source }
        })?;
        if receipt.checkpoint.size != size {
            self.state.bad_receipts.fetch_add(1, Ordering::Relaxed);
            return Err(SyncError::OtherReceipt { size, found: receipt.checkpoint.size });
        }
        // A crash before this is durable asks again and gets the same receipt.
        self.put(vec![
            (ACKNOWLEDGED_NAME.to_owned(), Some(size.to_be_bytes().to_vec())),
            (RECEIPT_NAME.to_owned(), Some(text.into_bytes())),
        ])
        .await?;
        self.state.acknowledged.store(size, Ordering::Relaxed);
        self.known.fetch_max(size, Ordering::Relaxed);
        self.state.receipts.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Raises an alarm and keeps it across restarts. Returns the error that ends the round.
    async fn raise(
        &self,
        kind: AlarmKind,
        size: u64,
        auditor_size: u64,
        message: String,
        held: Option<String>,
    ) -> Result<SyncError, SyncError> {
        let message = if message.is_empty() { "without further words".to_owned() } else { printable(&message) };
        let known = self.state.alarm().filter(|alarm| alarm.kind == kind);
        let since_ms = known.map_or_else(now_ms, |alarm| alarm.since_ms);
        let alarm = Alarm { kind, size, auditor_size, message, held, since_ms };
        // Loud before it is stored: if storing fails, it was still said.
        tracing::error!(kind = kind.name(), size, auditor_size, "{alarm}");
        self.state.set_alarm(Some(alarm.clone()));
        let json = serde_json::to_vec(&alarm).map_err(|error| SyncError::Keep(error.into()))?;
        self.put(vec![(ALARM_NAME.to_owned(), Some(json))]).await?;
        Ok(SyncError::Alarm(alarm))
    }

    /// The auditor no longer holds what it signed for: entries from `next` on are unacknowledged again.
    async fn take_back(&self, next: u64) -> Result<(), SyncError> {
        let outbox = self.outbox.clone();
        let receipt = blocking(move || outbox.named(RECEIPT_NAME)).await?;
        self.put(vec![
            (ACKNOWLEDGED_NAME.to_owned(), Some(next.to_be_bytes().to_vec())),
            (BROKEN_RECEIPT_NAME.to_owned(), receipt),
        ])
        .await?;
        self.state.acknowledged.store(next, Ordering::Relaxed);
        self.known.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Limits that end the segment from `first` earlier than at `end`.
    async fn smaller(&self, first: u64, next: u64, end: u64, size: u64) -> Result<CutLimits, SyncError> {
        let mut limits = self.limits;
        limits.bytes = limits.bytes.min(self.bytes.load(Ordering::Relaxed));
        while limits.entries > 1 || limits.bytes > 1 {
            limits = CutLimits { bytes: (limits.bytes / 2).max(1), entries: (limits.entries / 2).max(1) };
            match self.end(first, next.min(end - 1), size, limits).await? {
                Some(again) if again < end => return Ok(limits),
                _ => {}
            }
        }
        Err(SyncError::TooLarge { first, end })
    }

    fn acknowledged(&self) -> u64 {
        self.state.acknowledged.load(Ordering::Relaxed)
    }

    async fn put(&self, named: Vec<(String, Option<Vec<u8>>)>) -> Result<(), SyncError> {
        let keeper = self.keeper.clone();
        tokio::task::spawn_blocking(move || keeper.put(named))
            .await
            .map_err(|error| SyncError::Keep(error.into()))?
            .map_err(SyncError::Keep)
    }
}

enum Shipped {
    /// With a verified receipt, durable.
    Acknowledged,
    Partial(MirrorInfo),
    Elsewhere(MirrorInfo, Seen),
    TooLarge,
}

fn nonsense(what: &str) -> SyncError {
    SyncError::Answer { request: "POST /add-entries", what: what.to_owned() }
}

/// Reads of the ledger may wait for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OutboxError> + Send + 'static,
) -> Result<T, SyncError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| SyncError::Keep(error.into()))?;
    Ok(done?)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
