//! One round of sync: everything up to the newest checkpoint, or as far as the auditor takes it.
//!
//! A file of over 400 lines because what can happen in a round is read as one story.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use picket_ledger::Segment;
use picket_ledger::receipt::{CosignerKey, Receipt};
use serde::Serialize;

use super::answer::{CheckpointAnswer, Conflict, ConflictKind, SegmentAnswer, printable};
use super::{
    ACKNOWLEDGED_NAME, ALARM_NAME, Alarm, AlarmKind, Client, CutLimits, Outbox, OutboxError, State, SyncError,
};
use crate::evidence::RECEIPT_NAME;
use crate::keys::Keyring;

/// Where a receipt goes that the auditor no longer stands by: it is the evidence.
const BROKEN_RECEIPT_NAME: &str = "sync/receipt-broken";

/// The smallest that a slow link makes segments, in bytes of entries: 10 s for it are 13 kbit/s.
const SLOWEST_BYTES: usize = 16 << 10;

/// How often the auditor may send us elsewhere without taking a segment.
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
    /// Their bytes.
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
        Ok(Self { outbox, keeper, client, origin, keys, auditor, limits, bytes, state })
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
            let size = self.send_epoch(report).await?;
            if size >= newest || self.acknowledged() < size {
                return Ok(());
            }
        }
    }

    /// Sends up to the next hand-over of the key, or to the newest checkpoint; returns how far that was.
    async fn send_epoch(&self, report: &mut Report) -> Result<u64, SyncError> {
        let Some((size, answer)) = self.show().await? else { return Ok(u64::MAX) };
        let mut next = match answer {
            CheckpointAnswer::Next(next) => next,
            CheckpointAnswer::Conflict(conflict) => self.conflict(conflict, size).await?,
        };
        next = self.resume(next, size, report).await?;
        let mut limits = self.limits;
        let mut stalls = 0;
        while next < size {
            limits.bytes = limits.bytes.min(self.bytes.load(Ordering::Relaxed));
            let Some(segment) = self.cut(next, limits).await? else { break };
            match self.ship(&segment, report).await? {
                Shipped::Acknowledged(end) => {
                    next = end;
                    stalls = 0;
                }
                Shipped::Conflict(conflict) => {
                    stalls += 1;
                    if stalls >= MAX_STALLS {
                        return Err(SyncError::NoProgress { times: stalls });
                    }
                    next = self.conflict(conflict, size).await?;
                }
                Shipped::TooLarge(bytes) => limits = self.smaller(&segment, bytes).await?,
            }
        }
        Ok(size)
    }

    /// Shows the auditor where this ledger stands. One that lost what it knew may know earlier keys alone.
    async fn show(&self) -> Result<Option<(u64, CheckpointAnswer)>, SyncError> {
        let Some((mut size, mut note)) = self.outbox.shown(self.acknowledged())? else { return Ok(None) };
        loop {
            match self.client.checkpoint(&self.origin, &note).await {
                Ok(answer) => return Ok(Some((size, answer))),
                Err(error @ SyncError::Refused { .. }) => {
                    (size, note) = self.outbox.shown_before(size)?.ok_or(error)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Settles where the auditor wants to go on with what we know to be acknowledged.
    async fn resume(&self, next: u64, size: u64, report: &mut Report) -> Result<u64, SyncError> {
        if next > size {
            let message = "it wants entries beyond the end of this ledger".to_owned();
            return Err(self.raise(AlarmKind::Rollback, size, next, message, None).await?);
        }
        let acknowledged = self.acknowledged();
        if next < acknowledged {
            let message = format!("it signed for {acknowledged} entries");
            let _stands = self.raise(AlarmKind::AuditorRollback, size, next, message, None).await?;
            self.take_back(next).await?;
        } else if next > acknowledged {
            // It took a segment whose receipt did not reach us. The same bytes again give the same receipt.
            let outbox = self.outbox.clone();
            let segment = blocking(move || outbox.cut_exactly(acknowledged..next)).await?;
            let Some(segment) = segment else { return Ok(next) };
            return match self.ship(&segment, report).await {
                // Several segments may lie there, cut elsewhere. The next receipt covers them too.
                Ok(Shipped::Conflict(conflict)) => self.conflict(conflict, size).await,
                Ok(_) => Ok(next),
                // Too large for a link that has become slow; the next, smaller one brings a receipt for both.
                Err(error) if error.is_timeout() && next < size => Ok(next),
                Err(error) => Err(error),
            };
        }
        Ok(next)
    }

    async fn cut(&self, first: u64, limits: CutLimits) -> Result<Option<Segment>, SyncError> {
        let outbox = self.outbox.clone();
        blocking(move || outbox.cut(first, limits)).await
    }

    async fn ship(&self, segment: &Segment, report: &mut Report) -> Result<Shipped, SyncError> {
        let first = segment.first;
        let end = first + segment.entries.len() as u64;
        let bytes = segment.encode().map_err(|source| OutboxError::Segment { first, source })?;
        let length = bytes.len();
        self.state.bytes.fetch_add(length as u64, Ordering::Relaxed);
        let answer = self.client.segment(&self.origin, bytes).await;
        self.adapt(&answer);
        match answer? {
            SegmentAnswer::Receipt(text) => {
                self.accept(segment, end, text).await?;
                report.segments += 1;
                report.entries += segment.entries.len() as u64;
                report.bytes += length as u64;
                self.state.segments.fetch_add(1, Ordering::Relaxed);
                self.state.entries.fetch_add(segment.entries.len() as u64, Ordering::Relaxed);
                Ok(Shipped::Acknowledged(end))
            }
            SegmentAnswer::Conflict(conflict) => Ok(Shipped::Conflict(conflict)),
            SegmentAnswer::TooLarge => Ok(Shipped::TooLarge(length)),
        }
    }

    fn adapt(&self, answer: &Result<SegmentAnswer, SyncError>) {
        let now = self.bytes.load(Ordering::Relaxed);
        let next = match answer {
            Ok(_) => now.saturating_mul(2).min(self.limits.bytes),
            Err(error) if error.is_timeout() => (now / 2).max(SLOWEST_BYTES.min(self.limits.bytes)),
            Err(_) => now,
        };
        self.bytes.store(next, Ordering::Relaxed);
    }

    /// Counts a receipt only if both signatures hold and it speaks of the very checkpoint that was sent.
    async fn accept(&self, segment: &Segment, size: u64, text: String) -> Result<(), SyncError> {
        let keys = self.keys.chain();
        let sent = keys
            .open(&segment.checkpoint)
            .map_err(|source| OutboxError::Segment { first: segment.first, source: source.into() })?;
        let receipt = Receipt::open(&text, keys.key_at(size), &self.auditor).map_err(|source| {
            self.state.bad_receipts.fetch_add(1, Ordering::Relaxed);
            SyncError::Receipt { size, source }
        })?;
        if receipt.checkpoint != sent.checkpoint {
            self.state.bad_receipts.fetch_add(1, Ordering::Relaxed);
            return Err(SyncError::OtherReceipt { size, found: receipt.checkpoint.size });
        }
        // A crash before this is durable sends the same segment again and gets the same receipt.
        self.put(vec![
            (ACKNOWLEDGED_NAME.to_owned(), Some(size.to_be_bytes().to_vec())),
            (RECEIPT_NAME.to_owned(), Some(text.into_bytes())),
        ])
        .await?;
        self.state.acknowledged.store(size, Ordering::Relaxed);
        self.state.receipts.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Where to go on after a 409, or the alarm that it means.
    async fn conflict(&self, conflict: Conflict, size: u64) -> Result<u64, SyncError> {
        let Conflict { kind, next, message, receipt } = conflict;
        let held = receipt.filter(|note| self.proves(note));
        match kind {
            ConflictKind::Gap | ConflictKind::Known if next <= size => Ok(next),
            ConflictKind::Gap | ConflictKind::Known => {
                let message = "it wants entries beyond the end of this ledger".to_owned();
                Err(self.raise(AlarmKind::Rollback, size, next, message, held).await?)
            }
            ConflictKind::Rollback => Err(self.raise(AlarmKind::Rollback, size, next, message, held).await?),
            ConflictKind::Fork => Err(self.raise(AlarmKind::Fork, size, next, message, held).await?),
        }
    }

    /// Whether a note is signed by this box and by the auditor: no network can make one up.
    fn proves(&self, note: &str) -> bool {
        let keys = self.keys.chain();
        let size = picket_ledger::checkpoint::peek(note).map_or(0, |checkpoint| checkpoint.size);
        Receipt::open(note, keys.key_at(size), &self.auditor).is_ok()
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
        Ok(())
    }

    /// Limits that cut a smaller segment at the same place.
    async fn smaller(&self, segment: &Segment, bytes: usize) -> Result<CutLimits, SyncError> {
        let count = segment.entries.len() as u64;
        let limits = CutLimits { bytes: (bytes / 2).max(1), entries: (count / 2).max(1) };
        let again = self.cut(segment.first, limits).await?;
        match again {
            Some(again) if (again.entries.len() as u64) < count => Ok(limits),
            _ => Err(SyncError::TooLarge { first: segment.first, bytes }),
        }
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
    /// With a verified receipt, durable, up to this size.
    Acknowledged(u64),
    Conflict(Conflict),
    /// Its encoded bytes.
    TooLarge(usize),
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
