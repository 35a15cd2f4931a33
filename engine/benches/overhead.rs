//! What the engine adds to wasmtime: the same component, called through the engine and through nothing but wasmtime, in
//! one run and in turn.
//!
//! *warm* is a call into an instance that is there already, with an argument of 64 bytes; *fresh* a call in an instance of
//! its own. *bare* is `TypedFunc::call`, on a pooled instance of an engine without deadline, limits or accounting.
//! `ratio` lines are medians over rounds in which the two take turns; goal: at most 1.3 each.
#![expect(clippy::unwrap_used, reason = "a bench has nobody to report to")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use picket_engine::{CacheOptions, Content, Engine, EngineOptions, Inference, Limits, Validator};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

#[path = "../tests/engine/guard.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod guard;

#[allow(missing_docs, unreachable_pub, dead_code, reason = "generated code")]
mod bare_bindings {
    wasmtime::component::bindgen!({
        path: "../wit/guard.wit",
        inline: "
            package picket:bench;

            world bare {
                export picket:guard/validation@0.1.0;
            }
        ",
        world: "picket:bench/bare",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

use bare_bindings::picket::guard::types as wit;

const VALIDATION: &str = "picket:guard/validation@0.1.0";
const STREAMING: &str = "picket:guard/streaming@0.1.0";

/// Allows everything, and releases nothing of a stream.
fn component() -> Vec<u8> {
    let fields = format!(
        "(func (export \"{STREAMING}#begin\") (param i32) (result i32) (i32.const 20000))
         (func (export \"{STREAMING}#push\") (param i32 i32) (result i32) (i32.const 20000))
         (func (export \"{STREAMING}#finish\") (result i32) (i32.const {}))",
        guard::ANSWER
    );
    // An argument goes where the last one was: a guard that never frees would grow with each call.
    let before_allocation = "(global.set $next (i32.const 65536))".to_owned();
    guard::Guard { world: "streaming-validator", fields, before_allocation, ..guard::Guard::default() }.component()
}

/// wasmtime and nothing else.
struct Bare {
    engine: wasmtime::Engine,
    pre: InstancePre<()>,
    check: ComponentExportIndex,
    push: ComponentExportIndex,
}

impl Bare {
    fn new(wasm: &[u8]) -> Self {
        let mut pool = PoolingAllocationConfig::new();
        // As the engine has it, so that what is compared is what the engine adds.
        pool.linear_memory_keep_resident(2 << 20).table_keep_resident(64 << 10).pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config
            .wasm_component_model(true)
            .concurrency_support(false)
            .cranelift_nan_canonicalization(true)
            .wasm_backtrace_max_frames(None)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = wasmtime::Engine::new(&config).unwrap();
        let component = Component::new(&engine, wasm).unwrap();
        let export = |interface: &str, name: &str| {
            let interface = component.get_export_index(None, interface).unwrap();
            component.get_export_index(Some(&interface), name).unwrap()
        };
        let (check, push) = (export(VALIDATION, "check"), export(STREAMING, "push"));
        let pre = Linker::new(&engine).instantiate_pre(&component).unwrap();
        Self { engine, pre, check, push }
    }

    fn instantiate(&self) {
        let mut store = Store::new(&self.engine, ());
        black_box(self.pre.instantiate(&mut store).unwrap());
    }

    fn check(&self, text: &str) -> wit::Verdict {
        let mut store = Store::new(&self.engine, ());
        let instance = self.pre.instantiate(&mut store).unwrap();
        let check = instance
            .get_typed_func::<(wit::Inference<'_>,), (Result<wit::Verdict, String>,)>(&mut store, &self.check)
            .unwrap();
        let inference = wit::Inference {
            id: "",
            time: None,
            model: "",
            model_version: None,
            prompt_version: None,
            input: None,
            context: &[],
            output: Some(wit::Content::Text(text)),
            features: &[],
            attributes: &[],
            measurements: &[],
        };
        check.call(&mut store, (inference,)).unwrap().0.unwrap()
    }
}

fn load(engine: &Engine) -> Validator {
    let limits = Limits { deadline: Duration::from_secs(10), ..Limits::default() };
    engine.load_validator("idle", &component(), "{}", limits).unwrap()
}

/// The median of `one`'s time over `other`'s, over rounds in which the two take turns.
fn ratio(label: &str, mut one: impl FnMut(u32), mut other: impl FnMut(u32)) {
    const CALLS: u32 = 500;
    let timed = |work: &mut dyn FnMut(u32)| {
        let start = Instant::now();
        work(CALLS);
        start.elapsed().as_secs_f64() / f64::from(CALLS)
    };
    let mut rounds: Vec<(f64, f64, f64)> = (0..201)
        .map(|_| {
            let (one, other) = (timed(&mut one), timed(&mut other));
            (one / other, one, other)
        })
        .collect();
    rounds.sort_by(|left, right| left.0.total_cmp(&right.0));
    let (ratio, one, other) = rounds[rounds.len() / 2];
    println!("ratio {label}: {ratio:.3} ({:.0} ns against {:.0} ns)", one * 1e9, other * 1e9);
}

fn overhead(criterion: &mut Criterion) {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let guard = load(&engine);
    let bare = Bare::new(&component());
    let text = "x".repeat(64);
    let inference = Inference { output: Some(Content::Text(text.clone())), ..Inference::default() };

    let mut group = criterion.benchmark_group("overhead");
    let mut store = Store::new(&bare.engine, ());
    let instance = bare.pre.instantiate(&mut store).unwrap();
    let push = instance.get_typed_func::<(&str,), (Result<u64, String>,)>(&mut store, &bare.push).unwrap();
    // What was pushed is kept by the engine to the end of the stream: a new one now and then.
    let mut stream = guard.open_stream(&Inference::default()).unwrap().unwrap();
    let mut pushed = 0_u32;
    let mut warm = || {
        pushed += 1;
        if pushed.is_multiple_of(10_000) {
            let taken = guard.open_stream(&Inference::default()).unwrap().unwrap();
            drop(std::mem::replace(&mut stream, taken));
        }
        black_box(stream.push(black_box(&text)).unwrap());
    };
    group.bench_function("warm, 64 bytes, engine", |bencher| bencher.iter(&mut warm));
    group.bench_function("warm, 64 bytes, bare", |bencher| {
        bencher.iter(|| push.call(&mut store, (black_box(&text),)).unwrap().0.unwrap());
    });
    group.bench_function("fresh, 64 bytes, engine", |bencher| {
        bencher.iter(|| guard.check(black_box(&inference)).unwrap());
    });
    group.bench_function("fresh, 64 bytes, bare", |bencher| bencher.iter(|| bare.check(black_box(&text))));
    group.bench_function("instantiation alone, bare", |bencher| bencher.iter(|| bare.instantiate()));
    group.finish();

    ratio(
        "warm, engine over bare",
        |calls| (0..calls).for_each(|_| warm()),
        |calls| {
            for _ in 0..calls {
                black_box(push.call(&mut store, (black_box(&text),)).unwrap().0.unwrap());
            }
        },
    );
    ratio(
        "fresh, engine over bare instantiation and call",
        |calls| (0..calls).for_each(|_| drop(black_box(guard.check(black_box(&inference)).unwrap()))),
        |calls| (0..calls).for_each(|_| drop(black_box(bare.check(black_box(&text))))),
    );
    ratio(
        "fresh, engine over bare instantiation alone",
        |calls| (0..calls).for_each(|_| drop(black_box(guard.check(black_box(&inference)).unwrap()))),
        |calls| (0..calls).for_each(|_| bare.instantiate()),
    );
}

/// From bytes to ready, when the cache knows the guard.
fn loading(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Some(CacheOptions { folder: folder.path().to_owned(), key: [7; 32] });
    let engine = Engine::new(EngineOptions { cache, ..EngineOptions::default() }).unwrap();
    drop(load(&engine));
    criterion.bench_function("load from a warm cache", |bencher| bencher.iter(|| load(&engine)));
}

criterion_group!(benches, overhead, loading);
criterion_main!(benches);
