//! Random components and random inferences against the engine.
//!
//! Whatever the bytes, the engine refuses the component or runs it; each call ends within its deadline; and after it an
//! honest guard, in the same pool of two places, still gives the verdict that it gave before. Three kinds of component:
//! any that wasm-smith makes, which are refused at the door; guards of the contract whose functions have random bodies,
//! which get as far as their checks; and those with some of their bytes changed.

mod inference;
mod module;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Result, Unstructured};
use picket_engine::{Cause, Engine, EngineOptions, Failure, Inference, Limits, LoadError, Validator, Verdict, inspect};

/// What a random guard may use. Short, so that endless loops, which are many, do not fill the time.
const LIMITS: Limits = Limits {
    deadline: Duration::from_millis(5),
    load_deadline: Duration::from_millis(20),
    memory: 4 << 20,
    table_elements: 10_000,
    instances: 8,
    answer_bytes: 1 << 16,
    state_bytes: 1 << 16,
    findings: 16,
};
/// How much later than its deadline a call may end: ticks, and the machine's other work. A guard that escaped from its
/// deadline would run for ever.
const LATE: Duration = Duration::from_secs(2);

/// Panics when the engine does not keep what it promises.
pub fn run(data: &[u8]) {
    // Bytes that are too few to make anything of are no finding.
    let _enough = attack(&mut Unstructured::new(data));
}

fn attack(bytes: &mut Unstructured<'_>) -> Result<()> {
    let component = component(bytes)?;
    let honest = honest();
    // Reading never runs anything, and what it says must not stop the load from saying no.
    let inspection = inspect(&component);
    match engine().load_validator("random", &component, "{}", LIMITS) {
        Ok(guard) => {
            assert!(inspection.is_ok_and(|found| found.imports.is_empty()), "loaded with an import");
            for _ in 0..4 {
                check(&guard, &inference::any(bytes)?);
            }
            stream(&guard, bytes)?;
        }
        Err(LoadError::Failed { failure, .. }) => unsurprising(&failure),
        Err(_) => {}
    }
    assert_eq!(honest.guard.check(&honest.inference).as_ref(), Ok(&honest.verdict), "an honest guard was harmed");
    Ok(())
}

/// Twice: what a check left behind must not be seen by the next.
fn check(guard: &Validator, inference: &Inference) {
    let first = timed(|| guard.check(inference));
    let second = timed(|| guard.check(inference));
    match (&first, &second) {
        (Ok(first), Ok(second)) => {
            // Not by `==`: a NaN in a measurement is no difference.
            assert_eq!(format!("{first:?}"), format!("{second:?}"), "two verdicts on one inference");
        }
        // A deadline depends on the machine, everything else on guard and inference.
        (Err(failure), other) | (other, Err(failure)) if failure.cause != Cause::Deadline => {
            assert!(
                matches!(other, Err(other) if other == failure || other.cause == Cause::Deadline),
                "{first:?} and then {second:?}"
            );
        }
        _ => {}
    }
}

fn stream(guard: &Validator, bytes: &mut Unstructured<'_>) -> Result<()> {
    let Some(stream) = timed_option(|| guard.open_stream(&Inference::default())) else { return Ok(()) };
    let Ok(mut stream) = stream else { return Ok(()) };
    for _ in 0..3 {
        let chunk = inference::text(bytes)?;
        if timed(|| stream.push(&chunk)).is_err() {
            return Ok(());
        }
    }
    let _verdict_or_failure = timed(|| stream.finish());
    Ok(())
}

fn timed<T>(call: impl FnOnce() -> std::result::Result<T, Failure>) -> std::result::Result<T, Failure> {
    let started = Instant::now();
    let result = call();
    let took = started.elapsed();
    assert!(took < LIMITS.deadline + LATE, "{took:?} for a call with a deadline of {:?}", LIMITS.deadline);
    if let Err(failure) = &result {
        unsurprising(failure);
    }
    result
}

fn timed_option<T>(
    call: impl FnOnce() -> Option<std::result::Result<T, Failure>>,
) -> Option<std::result::Result<T, Failure>> {
    let mut none = false;
    let result = timed(|| {
        call().unwrap_or_else(|| {
            none = true;
            Err(Failure { cause: Cause::Refused, message: String::new() })
        })
    });
    if none { None } else { Some(result) }
}

/// A failure is told in one line without control characters; and no guard may exhaust the pool for itself.
fn unsurprising(failure: &Failure) {
    assert!(failure.message.len() <= Failure::MAX_MESSAGE_BYTES && !failure.message.contains(char::is_control));
    assert_ne!(failure.cause, Cause::Unavailable, "{failure}");
}

fn component(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    match bytes.int_in_range(0..=15)? {
        0 => Ok(wasm_smith::Component::new(wasm_smith::Config::arbitrary(bytes)?, bytes)?.to_bytes()),
        1 => Ok(wasm_smith::Module::new(wasm_smith::Config::arbitrary(bytes)?, bytes)?.to_bytes()),
        2..=4 => changed(module::guard(bytes)?, bytes),
        _ => module::guard(bytes),
    }
}

/// A few bytes changed, or the end cut off.
fn changed(mut component: Vec<u8>, bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    for _ in 0..bytes.int_in_range(1..=4)? {
        let at = bytes.choose_index(component.len())?;
        component[at] = bytes.arbitrary()?;
    }
    if bytes.ratio(1, 8)? {
        component.truncate(bytes.choose_index(component.len())?);
    }
    Ok(component)
}

/// A guard that keeps the contract, with what it says of one inference.
struct Honest {
    guard: Validator,
    inference: Inference,
    verdict: Verdict,
}

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let options = EngineOptions { instances: 2, streams: 1, max_memory: 4 << 20, ..EngineOptions::default() };
        Engine::new(options).expect("the engine starts")
    })
}

fn honest() -> &'static Honest {
    static HONEST: OnceLock<Honest> = OnceLock::new();
    HONEST.get_or_init(|| {
        // Its deadline is that of a busy machine.
        let limits = Limits { deadline: Duration::from_secs(10), load_deadline: Duration::from_secs(60), ..LIMITS };
        let guard = engine().load_validator("honest", &module::honest(), "{}", limits).expect("it keeps the contract");
        let inference = Inference::default();
        let verdict = guard.check(&inference).expect("a verdict");
        Honest { guard, inference, verdict }
    })
}

/// Inputs to start from: bytes enough for each kind of component.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut state = 1_u64;
    let mut byte = move || {
        // Knuth's MMIX generator; the high bits are the good ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    [0_u8, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15]
        .map(|kind| std::iter::once(kind).chain((0..2048).map(|_| byte())).collect())
        .to_vec()
}
