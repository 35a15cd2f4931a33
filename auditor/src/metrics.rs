//! Counters, in the text form that Prometheus reads.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// What became of an upload, or of a segment that was brought; the label `result` of `picket_auditor_segments_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the labels, explained in docs/auditor.md")]
pub enum SegmentResult {
    Accepted,
    Partial,
    Known,
    Gap,
    Fork,
    Invalid,
    Unknown,
    Fault,
}

const SEGMENT_RESULTS: [&str; 8] = ["accepted", "partial", "known", "gap", "fork", "invalid", "unknown", "fault"];

/// What became of a checkpoint; the label `result` of `picket_auditor_checkpoints_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the labels, explained in docs/auditor.md")]
pub enum CheckpointResult {
    Accepted,
    Elsewhere,
    Fork,
    Invalid,
    Unknown,
    Fault,
}

const CHECKPOINT_RESULTS: [&str; 6] = ["accepted", "elsewhere", "fork", "invalid", "unknown", "fault"];

/// Why a request was not worked on; the label `reason` of `picket_auditor_refused_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the labels, explained in docs/auditor.md")]
pub enum Refused {
    Busy,
    TooLarge,
    Deadline,
}

const REFUSALS: [&str; 3] = ["busy", "too-large", "deadline"];

/// All counters of one process. They start at zero with it.
#[derive(Debug, Default)]
pub struct Metrics {
    segments: [AtomicU64; 8],
    checkpoints: [AtomicU64; 6],
    refused: [AtomicU64; 3],
    packages: AtomicU64,
    entries: AtomicU64,
    bytes: AtomicU64,
    ingest_micros: AtomicU64,
    index_failures: AtomicU64,
}

impl Metrics {
    /// Counts one segment and the time spent on it.
    pub fn segment(&self, result: SegmentResult, micros: u64) {
        self.segments[result as usize].fetch_add(1, Ordering::Relaxed);
        self.ingest_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Counts one package and the time spent on it.
    pub fn package(&self, micros: u64) {
        self.packages.fetch_add(1, Ordering::Relaxed);
        self.ingest_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Counts the entries and bytes of a segment that was stored.
    pub fn stored(&self, entries: u64, bytes: u64) {
        self.entries.fetch_add(entries, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts one declared checkpoint.
    pub fn checkpoint(&self, result: CheckpointResult) {
        self.checkpoints[result as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one request that was turned away.
    pub fn refused(&self, reason: Refused) {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one failure of the index.
    pub fn index_failure(&self) {
        self.index_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters as text.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let family = |out: &mut String, name: &str, help: &str, label: &str, names: &[&str], values: &[AtomicU64]| {
            let _ = writeln!(out, "# HELP picket_auditor_{name} {help}\n# TYPE picket_auditor_{name} counter");
            for (value, word) in values.iter().zip(names) {
                let value = value.load(Ordering::Relaxed);
                let _ = writeln!(out, "picket_auditor_{name}{{{label}=\"{word}\"}} {value}");
            }
        };
        let segments = "Uploads and segments received, by what became of them.";
        family(&mut out, "segments_total", segments, "result", &SEGMENT_RESULTS, &self.segments);
        let checkpoints = "Checkpoints declared, by what became of them.";
        family(&mut out, "checkpoints_total", checkpoints, "result", &CHECKPOINT_RESULTS, &self.checkpoints);
        let refused = "Requests turned away before they were looked at.";
        family(&mut out, "refused_total", refused, "reason", &REFUSALS, &self.refused);
        for (name, help, value) in [
            ("packages_total", "Packages of uploads looked at.", &self.packages),
            ("entries_total", "Entries in the segments stored.", &self.entries),
            ("bytes_total", "Bytes of the segments stored.", &self.bytes),
            ("index_failures_total", "Times the index failed and was begun anew.", &self.index_failures),
        ] {
            let value = value.load(Ordering::Relaxed);
            sample(&mut out, name, "counter", help, value);
        }
        let micros = self.ingest_micros.load(Ordering::Relaxed);
        let name = "picket_auditor_ingest_seconds_total";
        let _ = writeln!(out, "# HELP {name} Time spent on segments.\n# TYPE {name} counter");
        let _ = writeln!(out, "{name} {}.{:06}", micros / 1_000_000, micros % 1_000_000);
        out
    }
}

/// Appends one metric with one value.
pub fn sample(out: &mut String, name: &str, kind: &str, help: &str, value: u64) {
    let name = format!("picket_auditor_{name}");
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_counts_for_itself() {
        let metrics = Metrics::default();
        metrics.segment(SegmentResult::Fault, 1_500_000);
        metrics.segment(SegmentResult::Accepted, 0);
        metrics.checkpoint(CheckpointResult::Elsewhere);
        metrics.refused(Refused::Deadline);
        let text = metrics.render();
        for line in [
            "picket_auditor_segments_total{result=\"fault\"} 1",
            "picket_auditor_segments_total{result=\"accepted\"} 1",
            "picket_auditor_segments_total{result=\"gap\"} 0",
            "picket_auditor_checkpoints_total{result=\"elsewhere\"} 1",
            "picket_auditor_refused_total{reason=\"deadline\"} 1",
            "picket_auditor_ingest_seconds_total 1.500000",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
    }
}
