//! `--property`: random inferences, to which a guard may say what it likes, as long as it says something, always the same
//! and within the contract. An inference that breaks one is made smaller while it still does, and printed as a case.

use super::generate::Source;
use super::judges::Pair;
use crate::inference;
use picket_engine::{Cause, Inference};
use serde_json::Value;

/// Most inferences that are tried to make one smaller.
const MOST_TRIALS: usize = 300;

/// What a guard cannot cope with.
pub(super) struct Found {
    /// Number of the inference, from 0.
    pub(super) number: u64,
    /// The JSON of the smallest inference that still shows it.
    pub(super) inference: String,
    pub(super) why: String,
}

/// Tries `count` inferences; stops at the first that shows something.
pub(super) fn search(pair: &Pair, count: u64, seed: u64) -> Option<Found> {
    (0..count).find_map(|number| {
        let value = Source::new(seed, number).inference();
        let why = wrong(pair, &value)?;
        let (smallest, why) = shrink(value, why, |candidate| wrong(pair, candidate));
        Some(Found { number, inference: smallest.to_string(), why })
    })
}

/// What is wrong with what the guard says to `value`; nothing when it is no inference.
fn wrong(pair: &Pair, value: &Value) -> Option<String> {
    let mut inference: Inference = inference::parse(value.to_string().as_bytes()).ok()?.inference;
    inference.measurements = crate::measure::measure(&inference);
    let judged = pair.judge(&inference);
    if let Some(how) = judged.unstable {
        return Some(format!("not deterministic: {how}"));
    }
    match judged.outcome {
        Err(failure) if failure.cause != Cause::Refused => Some(format!("failure {failure}")),
        // A guard may say that it can give no verdict.
        _ => None,
    }
}

/// The smallest value found that is still wrong, by taking members away and halving texts and lists.
fn shrink(mut value: Value, mut why: String, wrong: impl Fn(&Value) -> Option<String>) -> (Value, String) {
    let mut trials = 0;
    'again: loop {
        for candidate in smaller(&value) {
            trials += 1;
            if trials > MOST_TRIALS {
                return (value, why);
            }
            if let Some(still) = wrong(&candidate) {
                (value, why) = (candidate, still);
                continue 'again;
            }
        }
        return (value, why);
    }
}

/// Values that are a step smaller, the boldest first.
fn smaller(value: &Value) -> Vec<Value> {
    match value {
        Value::Object(members) => {
            let without = members.keys().map(|name| {
                let mut members = members.clone();
                members.shift_remove(name);
                Value::Object(members)
            });
            let inside = members.iter().flat_map(|(name, member)| {
                smaller(member).into_iter().map(|member| {
                    let mut members = members.clone();
                    members.insert(name.clone(), member);
                    Value::Object(members)
                })
            });
            without.chain(inside).collect()
        }
        Value::Array(members) => {
            let halves = [&members[..members.len() / 2], &members[members.len() / 2..]];
            let halves = halves.into_iter().filter(|half| half.len() < members.len());
            let halves = halves.map(|half| Value::Array(half.to_vec()));
            let inside = members.iter().take(8).enumerate().flat_map(|(index, member)| {
                smaller(member).into_iter().map(move |member| {
                    let mut members = members.clone();
                    members[index] = member;
                    Value::Array(members)
                })
            });
            halves.chain(inside).collect()
        }
        Value::String(text) if !text.is_empty() => {
            let middle = text.floor_char_boundary(text.len() / 2);
            let mut halves = vec![Value::from(&text[..middle]), Value::from(&text[middle..])];
            // One character at a time, once halves no longer do.
            if text.len() <= 64 {
                halves.extend(
                    text.char_indices()
                        .map(|(at, one)| Value::from(format!("{}{}", &text[..at], &text[at + one.len_utf8()..]))),
                );
            }
            halves.retain(|half| half.as_str().is_some_and(|half| half.len() < text.len()));
            halves
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_found_becomes_as_small_as_it_can() {
        let value = json!({ "a": [1, "some text with an x in it"], "b": { "c": "x" }, "d": "long" });
        let holds = |value: &Value| {
            value["a"].as_array()?.iter().any(|one| one.as_str().is_some_and(|one| one.contains('x'))).then(String::new)
        };
        let (smallest, _) = shrink(value, String::new(), holds);
        assert_eq!(smallest, json!({ "a": ["x"] }));
    }
}
