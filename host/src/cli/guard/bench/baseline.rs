//! Figures in a file, and the comparison with it.

use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// Of the file's form.
pub(super) const VERSION: u32 = 1;

/// The figures of one guard with one set of settings.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Baseline {
    pub(super) version: u32,
    /// SHA-256 of the component, hex.
    pub(super) digest: String,
    /// Digest of the settings, hex.
    pub(super) settings: String,
    /// What the times were taken on; for a reader.
    pub(super) machine: String,
    pub(super) component_bytes: usize,
    pub(super) image_bytes: usize,
    pub(super) snapshot: bool,
    pub(super) load_cold_us: f64,
    pub(super) load_cached_us: f64,
    pub(super) rows: Vec<Row>,
}

/// Outputs of one size.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) bytes: usize,
    pub(super) fresh: Times,
    pub(super) warm: Times,
    pub(super) instructions: u64,
    /// Bytes of linear memory.
    pub(super) memory: u64,
    pub(super) answer_bytes: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Times {
    pub(super) median_us: f64,
    pub(super) p99_us: f64,
    pub(super) rounds: usize,
}

impl Times {
    pub(super) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
        let micros = |percent| at(percent).map_or(0.0, |time| super::micros(*time));
        Self { median_us: micros(50), p99_us: micros(99), rounds: times.len() }
    }
}

/// What has changed since a baseline.
pub(super) struct Compared {
    pub(super) lines: Vec<String>,
    pub(super) regressions: usize,
}

impl Baseline {
    /// # Errors
    /// A message that names the file.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| named(&error))?;
        let read: Self = serde_json::from_str(&text).map_err(|error| named(&error))?;
        if read.version != VERSION {
            return Err(named(&format_args!("has version {}; this build reads {VERSION}", read.version)));
        }
        Ok(read)
    }

    /// Holds these figures against `old`.
    pub(super) fn against(&self, old: &Self, tolerance: u32) -> Compared {
        let mut compared = Compared { lines: Vec::new(), regressions: 0 };
        let same = if self.digest == old.digest { "the same component" } else { "another component" };
        let settings = if self.settings == old.settings { "" } else { ", other settings" };
        compared.lines.push(format!(
            "against the baseline ({same}{settings}, taken on {}):",
            crate::cli::text::clean(&old.machine)
        ));
        for row in &self.rows {
            let Some(before) = old.rows.iter().find(|before| before.bytes == row.bytes) else { continue };
            let figures = [
                ("instructions", before.instructions, row.instructions),
                ("memory", before.memory, row.memory),
                ("answer bytes", before.answer_bytes as u64, row.answer_bytes as u64),
            ];
            let mut words = Vec::new();
            for (name, before, now) in figures {
                // Integers: a figure at the border is judged the same everywhere.
                let allowed = u128::from(before) * u128::from(100 + tolerance);
                let is_worse = u128::from(now) * 100 > allowed;
                compared.regressions += usize::from(is_worse);
                let mark = if is_worse { " REGRESSION" } else { "" };
                words.push(format!("{name} {before} to {now}{mark}"));
            }
            let ratio = |now: f64, before: f64| if before > 0.0 { now / before } else { 0.0 };
            let fresh = ratio(row.fresh.median_us, before.fresh.median_us);
            let warm = ratio(row.warm.median_us, before.warm.median_us);
            compared.lines.push(format!(
                "{:>8} bytes: {}; time fresh {fresh:.2}, warm {warm:.2} times as long",
                row.bytes,
                words.join(", ")
            ));
        }
        compared
    }
}
