//! `POST /v1/check` under load: requests a second, p50 and p99, and where the time goes.
//!
//! The box runs in this process, with real guards and a durable ledger on disk; 64 clients keep a connection each and
//! send 2 KB outputs one after the other. In the same run the same clients ask `/healthz`, which costs HTTP alone.
//!
//! Guards must have been built (`cargo xtask guards`). Run with `cargo bench --bench gateway`; `PICKET_BENCH_SECONDS` sets
//! how long each part takes (default 10). Not criterion: it measures a loaded system, not a function.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use picket::config;
use picket::gateway::Gateway;
use picket::service::{Recording, Service};

const CONNECTIONS: usize = 64;
const OUTPUT_BYTES: usize = 2048;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `cargo test --benches` asks whether there is anything to test; there is not.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return Ok(());
    }
    let seconds = std::env::var("PICKET_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let part = Duration::from_secs(seconds);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let config = configure(folder.path())?;
    let service = Service::start(&config, Recording::Ledger, Box::new(|_, _| {}))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0)))?;
    let address = listener.local_addr()?;
    let gateway = Gateway::new(service.edge.clone(), service.workers.clone(), config.edge.max_inference, None);
    gateway.set_ready(true);
    runtime.spawn(async move { axum::serve(listener, gateway.router()).await });

    let request = request(&body());
    load(address, &request, Duration::from_secs(1));
    let before = Sums::read(address);
    let checks = load(address, &request, part);
    let after = Sums::read(address);
    let health = load(address, b"GET /healthz HTTP/1.1\r\nhost: box\r\n\r\n", part);

    println!("{CONNECTIONS} connections, {OUTPUT_BYTES}-byte outputs, three guards, durable");
    report("POST /v1/check", &checks);
    report("GET /healthz", &health);
    println!("check/healthz  {:.3} of the rate", checks.rate() / health.rate());
    let requests = (after.judged - before.judged).max(1.0);
    let mean = |after: f64, before: f64| (after - before) / requests * 1e6;
    let latency = checks.mean().as_secs_f64() * 1e6;
    let guards = mean(after.judge_seconds, before.judge_seconds);
    let ledger = mean(after.durable_seconds, before.durable_seconds);
    let rest = latency - guards - ledger;
    println!(
        "a request      {latency:.0} µs: guards {guards:.0}, ledger {ledger:.0}, HTTP, queue and client {rest:.0}"
    );
    let share = |part: f64| part / latency * 100.0;
    println!(
        "shares         guards {:.0} %, ledger {:.0} %, the rest {:.0} %",
        share(guards),
        share(ledger),
        share(rest)
    );
    println!(
        "group size     {:.1} entries a commit",
        (after.entries - before.entries) / (after.commits - before.commits).max(1.0)
    );
    runtime.shutdown_timeout(Duration::from_secs(1));
    service.stop();
    Ok(())
}

fn configure(folder: &Path) -> Result<config::Config, Box<dyn std::error::Error>> {
    let guards = std::env::var_os("PICKET_GUARDS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/guards"), PathBuf::from);
    let guard = |name: &str, component: &str, settings: &str| {
        let component = guards.join(component);
        format!("[[guard]]\nname = \"{name}\"\ncomponent = \"{}\"\nsettings = {settings}\n", component.display())
    };
    let text = [
        "[edge]\nid = \"bench\"\n[trust]\nunsigned = \"allow\"\n".to_owned(),
        guard("structure", "structure.wasm", "{}"),
        guard("pii", "pii.wasm", "{ action = \"redact\" }"),
        guard("pii-strict", "pii.wasm", "{ action = \"block\", entities = [\"card\", \"iban\"] }"),
    ];
    let file = folder.join("picket.toml");
    std::fs::write(&file, text.concat())?;
    Ok(config::load(&file)?)
}

/// A summary of 2 KB with one e-mail address in it: every guard has something to read and one something to do.
fn body() -> String {
    let sentence =
        "The committee met on the second floor and went through the budget of the coming year item by item. ";
    let mut text = String::from("Minutes were taken by jo@example.org. ");
    while text.len() < OUTPUT_BYTES {
        text.push_str(sentence);
    }
    text.truncate(OUTPUT_BYTES);
    format!(r#"{{"id":"bench","model":"m","output":{{"text":"{text}"}}}}"#)
}

fn request(body: &str) -> Vec<u8> {
    let head = format!("POST /v1/check HTTP/1.1\r\nhost: box\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body.as_bytes()].concat()
}

/// Latencies of everything that was answered, sorted.
struct Load {
    latencies: Vec<Duration>,
    /// Answers that were not 200.
    refused: usize,
    took: Duration,
}

impl Load {
    #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
    fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }

    fn mean(&self) -> Duration {
        self.latencies.iter().sum::<Duration>() / u32::try_from(self.latencies.len().max(1)).unwrap_or(u32::MAX)
    }

    fn percentile(&self, percent: usize) -> Duration {
        self.latencies.get(self.latencies.len() * percent / 100).copied().unwrap_or_default()
    }
}

fn report(name: &str, load: &Load) {
    let micros = |duration: Duration| duration.as_micros();
    println!(
        "{name:14} {:.0} requests/s, p50 {} µs, p99 {} µs, {} refused",
        load.rate(),
        micros(load.percentile(50)),
        micros(load.percentile(99)),
        load.refused
    );
}

fn load(address: SocketAddr, request: &[u8], duration: Duration) -> Load {
    let stop = AtomicBool::new(false);
    let started = Instant::now();
    let parts: Vec<(Vec<Duration>, usize)> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(|| client(address, request, &stop))).collect();
        std::thread::sleep(duration);
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect()
    });
    let took = started.elapsed();
    let refused = parts.iter().map(|(_, refused)| refused).sum();
    let mut latencies: Vec<Duration> = parts.into_iter().flat_map(|(latencies, _)| latencies).collect();
    latencies.sort_unstable();
    Load { latencies, refused, took }
}

fn client(address: SocketAddr, request: &[u8], stop: &AtomicBool) -> (Vec<Duration>, usize) {
    let stream = TcpStream::connect(address).expect("the box listens");
    stream.set_nodelay(true).expect("a TCP socket");
    let mut reader = BufReader::new(stream);
    let (mut latencies, mut refused) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        let sent = Instant::now();
        reader.get_mut().write_all(request).expect("the box reads");
        if answer(&mut reader).0 == 200 {
            latencies.push(sent.elapsed());
        } else {
            refused += 1;
        }
    }
    (latencies, refused)
}

/// Status and body of one answer.
fn answer(reader: &mut BufReader<TcpStream>) -> (u16, Vec<u8>) {
    let mut line = String::new();
    reader.read_line(&mut line).expect("the box answers");
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).expect("the box answers");
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a whole body");
    (status, body)
}

/// Sums from `/metrics`.
struct Sums {
    judged: f64,
    judge_seconds: f64,
    durable_seconds: f64,
    entries: f64,
    commits: f64,
}

impl Sums {
    fn read(address: SocketAddr) -> Self {
        let mut reader = BufReader::new(TcpStream::connect(address).expect("the box listens"));
        reader.get_mut().write_all(b"GET /metrics HTTP/1.1\r\nhost: box\r\n\r\n").expect("the box reads");
        let text = String::from_utf8(answer(&mut reader).1).expect("text");
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("/metrics has no {name}"))
        };
        Self {
            judged: value("picket_judge_seconds_count"),
            judge_seconds: value("picket_judge_seconds_sum"),
            durable_seconds: value("picket_durable_seconds_sum"),
            entries: value("picket_ledger_entries_total"),
            commits: value("picket_ledger_commits_total"),
        }
    }
}
