//! `picket check`: JSONL inferences in, JSONL verdicts out, in the same order, one line for each.
//!
//! A line that is no inference is answered with `{"line":…,"error":…}`, named on standard error, and the rest goes on.
//! Memory is bounded by the largest inference and a budget for those under way, not by the length of the stream.

mod budget;
mod lines;
mod output;

use super::{Answer, BadInput, Exit, GuardsArgs, Output};
use crate::config::Config;
use crate::inference::{self, BadInference, Received};
use crate::service::{Job, Recording, Service};
use anyhow::Context as _;
use budget::Budget;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lines::Line;
use output::{Event, Summary};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes of inferences that may be under way at a time.
const BUDGET: usize = 64 << 20;
/// Fixed cost that each inference under way is charged with, so that tiny ones are bounded in number too.
const OVERHEAD: usize = 128 << 10;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: GuardsArgs,
    /// File with one inference a line; `-` is standard input.
    #[arg(long, default_value = "-", value_name = "FILE")]
    input: PathBuf,
    /// File for one verdict a line; `-` is standard output.
    #[arg(long, default_value = "-", value_name = "FILE")]
    output: PathBuf,
    /// Judge without writing anything: no entries, no keys, no cache.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let mut config = args.config.load()?;
    config.keep_fetched = !args.dry_run;
    let input = open_input(&args.input)?;
    let writer = open_output(&args.output)?;
    let alarms = Arc::new(AtomicU64::new(0));
    let count = alarms.clone();
    let tell = move |drift: &picket_ledger::entry::Drift, _entry: u64| {
        if drift.opened {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let state = if drift.opened { "drift" } else { "drift over" };
        eprintln!("{state}: model {}, {} ({}): {}", drift.model, drift.stream, drift.rule, drift.message);
    };
    let recording = if args.dry_run { Recording::Dry } else { Recording::Ledger };
    let service = Service::start(&config, recording, Box::new(tell))?;
    let judged = judge(&config, &service, input, writer);
    service.flush_detectors();
    service.stop();
    let mut summary = judged?;
    summary.drift_alarms = alarms.load(Ordering::Relaxed);
    summary.print(output.json);
    if let Some(fault) = summary.fault {
        anyhow::bail!("{fault}; what was answered before is recorded, the rest of the input has not been judged");
    }
    Ok(match () {
        () if summary.bad_lines > 0 => Exit::BadInput,
        () if summary.blocked > 0 || summary.drift_alarms > 0 => Exit::Found,
        () => Exit::Done,
    })
}

/// Standard input or a file, with its length if that is known.
struct Input {
    name: String,
    reader: Box<dyn BufRead>,
    length: Option<u64>,
}

fn open_input(path: &Path) -> anyhow::Result<Input> {
    if path == Path::new("-") {
        let reader = BufReader::with_capacity(1 << 16, io::stdin());
        return Ok(Input { name: "standard input".into(), reader: Box::new(reader), length: None });
    }
    let file = File::open(path).map_err(|error| BadInput(format!("--input {}: {error}", path.display())))?;
    let length = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|meta| meta.len());
    let reader = Box::new(BufReader::with_capacity(1 << 16, file));
    Ok(Input { name: path.display().to_string(), reader, length })
}

fn open_output(path: &Path) -> anyhow::Result<Box<dyn Write + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufWriter::with_capacity(1 << 16, io::stdout())));
    }
    let file = File::create(path).map_err(|error| BadInput(format!("--output {}: {error}", path.display())))?;
    Ok(Box::new(BufWriter::with_capacity(1 << 16, file)))
}

/// Reads, hands over and writes until the input ends or something fails.
fn judge(
    config: &Config,
    service: &Service,
    mut input: Input,
    writer: Box<dyn Write + Send>,
) -> anyhow::Result<Summary> {
    let budget = Arc::new(Budget::new(BUDGET));
    let stop = Arc::new(AtomicBool::new(false));
    let (events, receiver) = crossbeam_channel::unbounded();
    let detectors = service.edge.detectors().clone();
    let stage = output::Stage::new(writer, detectors, budget.clone(), stop.clone());
    let stage = std::thread::Builder::new().name("output".into()).spawn(move || stage.run(&receiver))?;
    let bar = progress(input.length);
    let mut buffer = Vec::new();
    let mut line = 0u64;
    let read = loop {
        if stop.load(Ordering::Acquire) {
            break Ok(());
        }
        let next = match lines::next(&mut input.reader, &mut buffer, config.edge.max_inference) {
            Ok(next) => next,
            Err(error) => break Err(error),
        };
        line += 1;
        let cost = buffer.len() + OVERHEAD;
        let event = match next {
            Line::End => break Ok(()),
            Line::TooLong(length) => {
                bar.inc(length + 1);
                Err(too_long(length, config.edge.max_inference))
            }
            Line::Whole => {
                bar.inc(buffer.len() as u64 + 1);
                if buffer.iter().all(u8::is_ascii_whitespace) {
                    budget.take(cost);
                    send(&events, line, cost, Event::Skipped);
                    continue;
                }
                parse(service, &buffer)
            }
        };
        budget.take(cost);
        match event {
            Err(problem) => {
                eprintln!("{}:{line}: {problem}", input.name);
                send(&events, line, cost, Event::Bad(problem));
            }
            Ok(received) => {
                let events = events.clone();
                let respond = Box::new(move |outcome| send(&events, line, cost, Event::Judged(Box::new(outcome))));
                service.workers.submit(Job { received, pipeline: service.edge.pipeline(), feed: false, respond });
            }
        }
    };
    // The stage ends when every job has answered and nobody can send any more.
    drop(events);
    let summary = stage.join().map_err(|_| anyhow::anyhow!("the output thread panicked"))?;
    bar.finish_and_clear();
    read.with_context(|| format!("{}:{line}: cannot be read", input.name))?;
    summary.context("the output cannot be written")
}

fn send(events: &crossbeam_channel::Sender<output::Numbered>, line: u64, cost: usize, event: Event) {
    // The stage is gone only after a write error, which it has reported.
    drop(events.send(output::Numbered { line, cost, event }));
}

fn parse(service: &Service, buffer: &[u8]) -> Result<Received, BadInference> {
    let received = inference::parse(buffer)?;
    let admitted = service.edge.pipeline().admit(&received.inference.model);
    admitted.map_err(|message| BadInference { field: "model".into(), message })?;
    Ok(received)
}

fn too_long(length: u64, limit: usize) -> BadInference {
    let message = format!("the line has {length} bytes; at most {limit} are allowed (edge.max_inference)");
    BadInference { field: String::new(), message }
}

/// A bar on a terminal; quiet in a pipe.
fn progress(length: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr_with_hz(5));
    let template = match length {
        Some(_) => "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left",
        None => "{spinner} {bytes} {bytes_per_sec}",
    };
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
