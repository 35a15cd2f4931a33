//! `picket guard bench`: what a check costs, by the size of the output.
//!
//! Instructions, memory and answer bytes are the same on every machine, so these decide whether a guard has become
//! slower than a baseline; times are told beside them.

mod baseline;
mod figures;

use super::test::{component, limits_of, options};
use crate::cli::{Answer, BadInput, Exit, Output, print};
use baseline::{Baseline, Row, Times};
use figures::{Measured, text};
use picket_engine::{CacheOptions, Engine, EngineOptions, Limits, Profile, Start, Validator, World};
use picket_ledger::hash::to_hex;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Bytes of the outputs that are judged.
const SIZES: [usize; 4] = [64, 1 << 10, 16 << 10, 256 << 10];
/// Longest time for the checks of one size in one manner.
const TIME: Duration = Duration::from_millis(400);
/// Most checks of one size in one manner.
const ROUNDS: usize = 2000;

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The component.
    component: PathBuf,
    /// The guard's settings, as JSON.
    #[arg(long, default_value = "{}", value_name = "JSON")]
    settings: String,
    /// Write the figures to this file.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Compare with the figures in this file; more instructions, memory or answer bytes are a regression.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// How much more than the baseline is none.
    #[arg(long, default_value_t = 2, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=1000))]
    tolerance: u32,
}

pub(in crate::cli) fn run(args: &Args, output: Output) -> Answer {
    let (wasm, inspection) = component(&args.component)?;
    if inspection.world == Some(World::Detector) {
        let message = "is a detector; what is measured are checks of inferences";
        return Err(BadInput(format!("{}: {message}", args.component.display())).into());
    }
    let old = args.baseline.as_deref().map(Baseline::read).transpose().map_err(BadInput)?;
    let limits = limits_of(inspection.declared.as_ref());
    let measured = measure(&args.component, &wasm, &args.settings, limits)?;
    if output.json {
        print(serde_json::to_string(&measured)?)?;
    } else {
        tell(&measured)?;
    }
    if let Some(file) = &args.save {
        let text = serde_json::to_string_pretty(&measured)? + "\n";
        std::fs::write(file, text).map_err(|error| BadInput(format!("{}: {error}", file.display())))?;
    }
    let Some(old) = old else { return Ok(Exit::Done) };
    let compared = measured.against(&old, args.tolerance);
    for line in &compared.lines {
        if output.json { eprintln!("{line}") } else { print(line)? }
    }
    Ok(if compared.regressions == 0 { Exit::Done } else { Exit::Found })
}

/// A folder for compiled guards, gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("picket-bench-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is a folder for temporary files.
        let _left = std::fs::remove_dir_all(&self.0);
    }
}

fn measure(path: &Path, wasm: &[u8], settings: &str, limits: Limits) -> anyhow::Result<Baseline> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let scratch = Scratch::new()?;
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| anyhow::anyhow!("no random bytes for a key: {error}"))?;
    let cache = Some(CacheOptions { folder: scratch.0.clone(), key });
    let engine = Engine::new(EngineOptions { cache, ..options(&limits) })?;
    let load = |engine: &Engine| {
        let started = Instant::now();
        let guard =
            engine.load_validator(&name, wasm, settings, limits).map_err(|error| BadInput(error.to_string()))?;
        Ok::<_, anyhow::Error>((guard, started.elapsed()))
    };
    let (_, cold) = load(&engine)?;
    let (guard, cached) = load(&engine)?;
    let metered = Engine::new(EngineOptions { profile: Profile::Metered, ..options(&limits) })?;
    let (metered, _) = load(&metered)?;
    let rows = SIZES.into_iter().map(|bytes| row(&guard, &metered, bytes)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Baseline {
        version: baseline::VERSION,
        digest: to_hex(guard.component_digest()),
        settings: to_hex(guard.settings_digest()),
        machine: format!("{} {}", std::env::consts::ARCH, std::env::consts::OS),
        component_bytes: wasm.len(),
        image_bytes: guard.report().compiled_bytes,
        snapshot: guard.start() == Start::Snapshot,
        load_cold_us: micros(cold),
        load_cached_us: micros(cached),
        rows,
    })
}

fn row(guard: &Validator, metered: &Validator, bytes: usize) -> anyhow::Result<Row> {
    let inference = text(bytes);
    let failed = |failure| BadInput(format!("an output of {bytes} bytes cannot be measured: {failure}"));
    let fresh = figures::repeat(TIME, ROUNDS, || {
        let started = Instant::now();
        guard.check(&inference).map(|_| started.elapsed())
    });
    let mut instance = guard.warm().map_err(failed)?;
    let warm = figures::repeat(TIME, ROUNDS, || instance.check(&inference).map(|(_, taken)| taken));
    drop(instance);
    let Measured { instructions, memory, answer_bytes } = figures::measure(metered, &inference).map_err(failed)?;
    Ok(Row {
        bytes,
        fresh: Times::of(fresh.map_err(failed)?),
        warm: Times::of(warm.map_err(failed)?),
        instructions,
        memory,
        answer_bytes,
    })
}

fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e7).round() / 10.0
}

fn tell(measured: &Baseline) -> anyhow::Result<()> {
    print(format_args!("digest   sha256:{}", measured.digest))?;
    let start = if measured.snapshot { "from a snapshot" } else { "configured anew for each check" };
    print(format_args!("image    {} bytes of native code and memory, {start}", measured.image_bytes))?;
    let (cold, cached) = (measured.load_cold_us / 1000.0, measured.load_cached_us / 1000.0);
    print(format_args!("load     {cold:.1} ms compiled, {cached:.1} ms from the cache"))?;
    print("\n   bytes   fresh median      p99   warm median      p99   instructions       memory   answer")?;
    for row in &measured.rows {
        print(format_args!(
            "{:>8}  {:>10.1} µs {:>8.1}  {:>9.1} µs {:>8.1}  {:>13}  {:>11}  {:>7}",
            row.bytes,
            row.fresh.median_us,
            row.fresh.p99_us,
            row.warm.median_us,
            row.warm.p99_us,
            row.instructions,
            row.memory,
            row.answer_bytes
        ))?;
    }
    print(
        "\nfresh: a new instance, as every check has; warm: one instance again. Instructions are WebAssembly's, by fuel.",
    )
}
