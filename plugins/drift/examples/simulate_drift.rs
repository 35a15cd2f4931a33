//! Realised false alarms and delays on simulated streams, for `docs/guards/drift.md`.
//!
//! ```text
//! cargo run --release -p picket-guard-drift --example simulate_drift
//! ```

use picket_guard_drift::Drift;
use picket_sdk::{Alarm, AlarmState, Batch, Column, ColumnValues, Detector};

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normals(&mut self, count: usize, shift: f64) -> Vec<f64> {
        let mut one = || {
            let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
            radius * (std::f64::consts::TAU * self.uniform()).cos() + shift
        };
        (0..count).map(|_| one()).collect()
    }
}

fn batch(first_row: u64, values: Vec<f64>) -> Batch {
    let times = vec![0; values.len()];
    let column = Column { name: "x".to_owned(), values: ColumnValues::Numbers(values), nulls: Vec::new() };
    Batch { first_row, times, columns: vec![column] }
}

fn opened(alarms: &[Alarm], sequential: bool) -> impl Iterator<Item = &Alarm> {
    let opened = alarms.iter().filter(|alarm| alarm.state == AlarmState::Opened);
    opened.filter(move |alarm| (alarm.rule == "sequential") == sequential)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const STREAMS: usize = 100;
    let mut random = Random(42);
    println!(
        "settings | reference | shift | false alarms sequential (promised) | windows (promised) | median delay | since, median error"
    );
    for (run, alpha, sample) in
        [(2_000.0, 0.01, 1_000), (2_000.0, 0.01, 10_000), (100_000.0, 0.001, 1_000), (100_000.0, 0.001, 10_000)]
    {
        for shift in [0.25, 0.5, 1.0] {
            let settings =
                format!(r#"{{"average_run_length":{run},"alpha":{alpha},"psi_min":0,"tolerance":0,"cool_down":1}}"#);
            let (mut sequential, mut windows) = (0, 0);
            let (mut delays, mut errors) = (Vec::new(), Vec::new());
            for _ in 0..STREAMS {
                let mut learner = Drift::configure(&settings, &[]).map_err(|problems| problems[0].message.clone())?;
                let profile = learner.fit(&batch(0, random.normals(sample, 0.0)))?;
                let mut drift =
                    Drift::configure(&settings, &profile).map_err(|problems| problems[0].message.clone())?;
                let calm = drift.observe(&batch(0, random.normals(20_000, 0.0)))?;
                sequential += opened(&calm, true).count();
                windows += opened(&calm, false).count();
                let moved = drift.observe(&batch(20_000, random.normals(5_000, shift)))?;
                if let Some(alarm) = opened(&moved, true).next() {
                    delays.push(alarm.row - 20_000 + 1);
                    errors.push(alarm.since_row.unwrap_or(0).abs_diff(20_000));
                } else {
                    delays.push(u64::MAX);
                    errors.push(u64::MAX);
                }
            }
            delays.sort_unstable();
            errors.sort_unstable();
            let rows = (STREAMS * 20_000) as f64;
            println!(
                "ARL {run}, alpha {alpha} | {sample} | {shift} σ | {sequential} ({}) | {windows} ({}) | {} | {}",
                rows / run,
                rows / 500.0 * alpha,
                delays[STREAMS / 2],
                errors[STREAMS / 2]
            );
        }
    }

    let settings = r#"{}"#;
    let mut learner = Drift::configure(settings, &[]).map_err(|problems| problems[0].message.clone())?;
    let profile = learner.fit(&batch(0, random.normals(10_000, 0.0)))?;
    let mut drift = Drift::configure(settings, &profile).map_err(|problems| problems[0].message.clone())?;
    let batches: Vec<Batch> = (0..1_000).map(|part| batch(part * 1_000, random.normals(1_000, 0.0))).collect();
    let started = std::time::Instant::now();
    for batch in &batches {
        drift.observe(batch)?;
    }
    println!(
        "{:.1} ns a value natively, batches of 1,000; state {} bytes",
        started.elapsed().as_nanos() as f64 / 1e6,
        drift.snapshot().len()
    );
    Ok(())
}
