//! Scratch.
use picket_engine::*;
use std::time::{Duration, Instant};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let path = &args[1];
    let settings = args.get(2).map(String::as_str).unwrap_or("{}");
    let t = Instant::now();
    let key = [7u8; 32];
    let engine = Engine::new(EngineOptions {
        cache: Some(CacheOptions { folder: "/tmp/probe-cache".into(), key }),
        ..EngineOptions::default()
    })
    .unwrap();
    println!("engine {:?}", t.elapsed());
    let wasm = std::fs::read(path).unwrap();
    let t = Instant::now();
    let v = engine
        .load_validator("probe", &wasm, settings, Limits { deadline: Duration::from_secs(5), ..Limits::default() })
        .unwrap();
    println!("load {:?} {:?}", t.elapsed(), v.report());
    let size: usize = args.get(3).map(|s| s.parse().unwrap()).unwrap_or(1024);
    let text: String = "The quick brown fox jumps over the lazy dog, and back. ".chars().cycle().take(size).collect();
    let inf = Inference { id: "a".into(), model: "m".into(), output: Some(Content::Text(text)), ..Default::default() };
    println!("{:?}", v.check(&inf));
    for _ in 0..5 {
        let n = 20000;
        let t = Instant::now();
        for _ in 0..n {
            v.check(&inf).unwrap();
        }
        println!("check {:?}", t.elapsed() / n);
    }
    let mut times: Vec<Duration> = (0..20000)
        .map(|_| {
            let t = Instant::now();
            v.check(&inf).unwrap();
            t.elapsed()
        })
        .collect();
    times.sort();
    println!("min {:?} p50 {:?} p99 {:?}", times[0], times[10000], times[19800]);
}
