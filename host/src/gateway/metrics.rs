//! `/metrics`: what the parts count, in the Prometheus text format.

use crate::service::{Edge, Workers};
use crate::sync::SyncHandle;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The registry of everything that is exported.
#[derive(Clone)]
pub(super) struct Exporter(Arc<Registry>);

impl Exporter {
    pub(super) fn new(edge: &Arc<Edge>, workers: Workers, sync: Option<SyncHandle>) -> Self {
        let mut registry = Registry::default();
        edge.metrics().register(&mut registry);
        registry.register_collector(Box::new(Parts { edge: edge.clone(), workers, sync }));
        Self(Arc::new(registry))
    }

    pub(super) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

/// Parts that count for themselves, read when somebody asks.
struct Parts {
    edge: Arc<Edge>,
    workers: Workers,
    sync: Option<SyncHandle>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Parts")
    }
}

impl Collector for Parts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut counter = |name: &str, help: &str, value: u64| {
            let metric = ConstCounter::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None::<&Unit>, metric.metric_type())?)
        };
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        if let Some(sequencer) = self.edge.sequencer() {
            let counters = sequencer.counters();
            counter("picket_ledger_entries", "Entries committed since the start", load(&counters.entries))?;
            counter("picket_ledger_commits", "Durable commits since the start", load(&counters.commits))?;
            counter("picket_ledger_commit_nanoseconds", "Time spent in commits", load(&counters.commit_nanos))?;
            counter("picket_ledger_failures", "Commits that failed", load(&counters.failures))?;
            counter("picket_ledger_dropped", "Verdicts answered without an entry", load(&counters.dropped))?;
            counter("picket_payloads_erased", "Payloads and salts erased since the start", load(&counters.erased))?;
            let failed = load(&self.edge.retention().failed_rounds);
            counter("picket_retention_failed_rounds", "Times that the ledger could not be tidied", failed)?;
        }
        let reloads = self.edge.reloads();
        counter("picket_reloads", "Configurations put in force while running", load(&reloads.done))?;
        counter("picket_reloads_refused", "Configurations refused while running", load(&reloads.refused))?;
        let detectors = self.edge.detectors().counters();
        counter("picket_detector_rows", "Rows handed to detectors", load(&detectors.rows))?;
        counter("picket_drift_alarms_opened", "Drift alarms opened", load(&detectors.opened))?;
        counter("picket_drift_alarms_closed", "Drift alarms closed", load(&detectors.closed))?;
        counter("picket_detector_rows_lost", "Rows that a failing detector lost", load(&detectors.lost))?;
        let mut gauge = |name: &str, help: &str, value: u64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None::<&Unit>, metric.metric_type())?)
        };
        let guards = self.edge.pipeline().guards();
        let open = guards.iter().filter(|guard| guard.open.is_some()).count();
        gauge("picket_breakers_open", "Guards that are not asked, because they kept failing", open as u64)?;
        gauge("picket_queue_length", "Inferences that wait for a worker", self.workers.backlog() as u64)?;
        if let Some(sequencer) = self.edge.sequencer() {
            gauge("picket_ledger_size", "Entries in the ledger", sequencer.reader().size())?;
            gauge(
                "picket_ledger_pruned",
                "Entries below this index are not here any more",
                sequencer.reader().pruned_to(),
            )?;
            gauge(
                "picket_ledger_disk_bytes",
                "What the ledger takes on disk",
                load(&self.edge.retention().disk_bytes),
            )?;
            gauge(
                "picket_ledger_over_budget",
                "1: the disk budget is reached and nothing may go",
                u64::from(sequencer.is_over_budget()),
            )?;
            gauge("picket_ledger_backlog", "Entries that wait for a commit", sequencer.backlog() as u64)?;
        }
        if let Some(sync) = &self.sync {
            let status = sync.state().status();
            gauge("picket_sync_acknowledged", "Entries below this size have a verified receipt", status.acknowledged)?;
            gauge(
                "picket_sync_outbox",
                "Signed entries without a receipt",
                status.signed.saturating_sub(status.acknowledged),
            )?;
            gauge("picket_sync_last_success_milliseconds", "When a round last went well", status.last_success_ms)?;
            gauge("picket_sync_bad_receipts", "Receipts that did not verify", status.bad_receipts)?;
            gauge("picket_sync_failed_rounds", "Rounds that ended with an error", status.failed_rounds)?;
            gauge("picket_sync_alarm", "1: the auditor reports a rollback or fork", u64::from(status.alarm.is_some()))?;
        }
        Ok(())
    }
}
