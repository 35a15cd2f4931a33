//! Taking the figures of one check.

use picket_engine::{Content, Failure, Inference, Validator, answer_bytes};
use std::time::{Duration, Instant};

/// What is the same on every machine.
pub(super) struct Measured {
    pub(super) instructions: u64,
    pub(super) memory: u64,
    pub(super) answer_bytes: usize,
}

/// An inference with `bytes` of prose as its output, in which there is something to find now and then.
pub(super) fn text(bytes: usize) -> Inference {
    const PROSE: &str = "The loan was granted on 12.03.2024 for 1,500 euros; the rate of 4.2 % holds for five years. \
                         Questions go to the branch in the Karlstraße or to office@example.org, by the end of May. ";
    let mut text = PROSE.repeat(bytes / PROSE.len() + 1);
    text.truncate(text.floor_char_boundary(bytes));
    let mut inference = Inference {
        id: "bench".into(),
        model: "test".into(),
        output: Some(Content::Text(text)),
        ..Inference::default()
    };
    inference.measurements = crate::measure::measure(&inference);
    inference
}

/// Times of as many calls as fit into `time`, at most `rounds` and at least three, after one that does not count.
pub(super) fn repeat(
    time: Duration,
    rounds: usize,
    mut call: impl FnMut() -> Result<Duration, Failure>,
) -> Result<Vec<Duration>, Failure> {
    call()?;
    let started = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3 || (times.len() < rounds && started.elapsed() < time) {
        times.push(call()?);
    }
    Ok(times)
}

/// One check in a fresh instance of `metered`, a guard whose engine counts instructions.
pub(super) fn measure(metered: &Validator, inference: &Inference) -> Result<Measured, Failure> {
    let mut instance = metered.warm()?;
    let before = instance.instructions().unwrap_or_default();
    let (verdict, _) = instance.check(inference)?;
    Ok(Measured {
        instructions: instance.instructions().unwrap_or_default() - before,
        memory: instance.memory(),
        answer_bytes: answer_bytes(&verdict),
    })
}
