//! How what a guard says differs from what was expected.

use super::cases::{Expect, ExpectFinding, ExpectOutput, ExpectProblem, ExpectVerdict};
use super::show;
use crate::cli::text::{clean, shortened};
use crate::inference::{scalar_json, severity_name};
use picket_engine::{
    Content, Decision, Failure, Finding, Inference, LoadError, Problem, Scalar, Verdict, apply_edits, part_name,
};

/// Scores are told to a millionth; the ledger keeps no more.
const SCORE: f64 = 1e-6;

/// One line each; empty when all is as expected.
pub(super) fn of_outcome(expect: &Expect, outcome: &Result<Verdict, Failure>, inference: &Inference) -> Vec<String> {
    match (expect, outcome) {
        (Expect::Problems(_), _) => vec!["the settings are accepted; problems were expected".to_owned()],
        (Expect::Failure(cause), Err(failure)) if *cause == failure.cause.to_string() => Vec::new(),
        (Expect::Failure(cause), Err(failure)) => vec![format!("expected failure {cause}, got {failure}")],
        (Expect::Failure(cause), Ok(verdict)) => {
            vec![format!("expected failure {cause}, got {}", show::verdict(verdict))]
        }
        (Expect::Verdict(_), Err(failure)) => vec![format!("expected a verdict, got failure {failure}")],
        (Expect::Verdict(expect), Ok(verdict)) => of_verdict(expect, verdict, inference),
    }
}

/// The settings were refused, or the guard failed while it was loaded.
pub(super) fn of_load(expect: Option<&Expect>, error: &LoadError) -> Vec<String> {
    match (expect, error) {
        (Some(Expect::Problems(expected)), LoadError::Settings { problems, .. }) => of_problems(expected, problems),
        _ => vec![clean(&error.to_string())],
    }
}

fn of_problems(expected: &[ExpectProblem], got: &[Problem]) -> Vec<String> {
    let fits = |expected: &ExpectProblem, got: &Problem| {
        expected.pointer == got.pointer && expected.message.as_ref().is_none_or(|part| got.message.contains(part))
    };
    let (missing, beyond) = unmatched(expected, got, fits);
    let missing = missing.into_iter().map(|problem| {
        let message = problem.message.as_ref().map(|part| format!(" with \"{part}\"")).unwrap_or_default();
        format!("expected a problem at `{}`{message}: there is none", problem.pointer)
    });
    let beyond = beyond.into_iter().map(|problem| {
        format!("got beyond that a problem at `{}`: {}", clean(&problem.pointer), clean(&problem.message))
    });
    missing.chain(beyond).collect()
}

fn of_verdict(expect: &ExpectVerdict, verdict: &Verdict, inference: &Inference) -> Vec<String> {
    let mut differences = Vec::new();
    let decision = show::decision(&verdict.decision);
    if let Some(expected) = expect.decision.as_ref().filter(|expected| *expected != decision) {
        differences.push(format!("decision: expected {expected}, got {decision}"));
    }
    if let Some(expected) = &expect.findings {
        let (missing, beyond) = unmatched(expected, &verdict.findings, |expected, got| fits(expected, got, inference));
        differences.extend(missing.into_iter().map(|it| format!("finding: expected {}: there is none", wanted(it))));
        if !expect.more {
            for finding in beyond {
                differences.push(format!("finding: got beyond that {}", show::finding(finding, inference)));
                differences
                    .extend(show::pointed(finding, inference).into_iter().flatten().map(|line| format!("  | {line}")));
            }
        }
    }
    if let Some(expected) = &expect.output {
        match output(verdict, inference) {
            Ok(got) if got == *expected => {}
            Ok(got) => {
                differences.push(format!("output: expected {}", content(expected)));
                differences.push(format!("             got {}", content(&got)));
            }
            Err(why) => differences.push(format!("output: expected {}, got none: {why}", content(expected))),
        }
    }
    for (name, expected) in &expect.measurements {
        let got = verdict.measurements.iter().find(|measurement| measurement.name == *name);
        if !got.is_some_and(|got| same(expected, &got.value)) {
            let got = got.map_or_else(|| "none".to_owned(), |got| scalar_json(&got.value).to_string());
            differences.push(format!("measurement {}: expected {}, got {got}", clean(name), scalar_json(expected)));
        }
    }
    differences
}

/// TOML writes `1` and `1.0`, which are the same to whoever reads them.
fn same(expected: &Scalar, got: &Scalar) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a count that large is no test case")]
    let number = |scalar: &Scalar| match scalar {
        Scalar::Integer(value) => Some(*value as f64),
        Scalar::Number(value) => Some(*value),
        _ => None,
    };
    match (number(expected), number(got)) {
        (Some(expected), Some(got)) => {
            (expected - got).abs() <= SCORE || (expected.is_nan() && got.is_nan()) || expected == got
        }
        _ => expected == got,
    }
}

/// What may be used of the output.
pub(super) fn output(verdict: &Verdict, inference: &Inference) -> Result<ExpectOutput, String> {
    let Some(output) = &inference.output else { return Err("the inference has no output".into()) };
    let edited = match &verdict.decision {
        Decision::Block => return Err("it is blocked".into()),
        Decision::Redact(edits) => apply_edits(output, edits).map_err(|error| error.to_string())?,
        Decision::Allow | Decision::Flag => output.clone(),
    };
    match edited {
        Content::Text(text) | Content::Json(text) => Ok(ExpectOutput::Text(text)),
        Content::Messages(messages) => {
            Ok(ExpectOutput::Messages(messages.into_iter().map(|message| message.content).collect()))
        }
        Content::Tensors(_) => Err("it is tensors, which are compared by their findings".into()),
    }
}

fn content(output: &ExpectOutput) -> String {
    match output {
        ExpectOutput::Text(text) => format!("\"{}\"", shortened(text, 400)),
        ExpectOutput::Messages(contents) => {
            let quoted: Vec<_> = contents.iter().map(|content| format!("\"{}\"", shortened(content, 200))).collect();
            format!("[{}]", quoted.join(", "))
        }
    }
}

/// Whether `got` is what was meant by `expected`.
fn fits(expected: &ExpectFinding, got: &Finding, inference: &Inference) -> bool {
    let location = got.location.as_ref();
    let is = |expected: &Option<String>, got: Option<&str>| expected.as_deref().is_none_or(|it| got == Some(it));
    is(&expected.rule, Some(&got.rule))
        && is(&expected.severity, Some(severity_name(got.severity)))
        && is(&expected.part, location.map(|location| part_name(location.part)))
        && is(&expected.path, location.map(|location| location.path.as_str()))
        && expected.span.is_none_or(|span| {
            location.and_then(|location| location.span).is_some_and(|got| (got.start, got.end) == span)
        })
        && expected.text.as_ref().is_none_or(|text| {
            location.and_then(|location| show::spanned(location, inference)).is_some_and(|got| got == *text)
        })
        && expected.message.as_ref().is_none_or(|part| got.message.contains(part))
        && expected.score.is_none_or(|score| got.score.is_some_and(|got| (got - score).abs() <= SCORE))
}

fn wanted(expected: &ExpectFinding) -> String {
    let mut parts = Vec::new();
    let texts = [
        ("rule", &expected.rule),
        ("severity", &expected.severity),
        ("part", &expected.part),
        ("path", &expected.path),
        ("text", &expected.text),
        ("message", &expected.message),
    ];
    parts.extend(
        texts.into_iter().filter_map(|(key, text)| Some(format!("{key} \"{}\"", shortened(text.as_ref()?, 60)))),
    );
    parts.extend(expected.span.map(|(start, end)| format!("span [{start}, {end}]")));
    parts.extend(expected.score.map(|score| format!("score {score}")));
    if parts.is_empty() { "any finding".to_owned() } else { parts.join(", ") }
}

/// Pairs as many of `expected` and `got` as can be, each at most once, and returns what is left of both: the largest
/// matching, by augmenting paths, so that a loose expectation never takes what a strict one needs.
fn unmatched<'a, E, G>(expected: &'a [E], got: &'a [G], fits: impl Fn(&E, &G) -> bool) -> (Vec<&'a E>, Vec<&'a G>) {
    let candidates: Vec<Vec<usize>> =
        expected.iter().map(|one| (0..got.len()).filter(|index| fits(one, &got[*index])).collect()).collect();
    let mut taken: Vec<Option<usize>> = vec![None; got.len()];
    let mut missing = Vec::new();
    for (index, one) in expected.iter().enumerate() {
        if !augment(index, &candidates, &mut taken, &mut vec![false; got.len()]) {
            missing.push(one);
        }
    }
    let beyond = got.iter().zip(&taken).filter(|(_, taken)| taken.is_none()).map(|(got, _)| got).collect();
    (missing, beyond)
}

fn augment(one: usize, candidates: &[Vec<usize>], taken: &mut [Option<usize>], seen: &mut [bool]) -> bool {
    for &candidate in &candidates[one] {
        if std::mem::replace(&mut seen[candidate], true) {
            continue;
        }
        if taken[candidate].is_none_or(|other| augment(other, candidates, taken, seen)) {
            taken[candidate] = Some(one);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loose_expectation_leaves_a_strict_one_what_it_needs() {
        // The first fits both, the second only the first of those that came.
        let fits = |expected: &&str, got: &&str| expected.is_empty() || expected == got;
        assert_eq!(unmatched(&["", "a"], &["a", "b"], fits), (vec![], vec![]));
        assert_eq!(unmatched(&["", "a"], &["a"], fits), (vec![&"a"], vec![]));
        assert_eq!(unmatched(&["a"], &["a", "a"], fits), (vec![], vec![&"a"]));
    }

    #[test]
    fn numbers_are_the_same_however_they_are_written() {
        assert!(same(&Scalar::Integer(1), &Scalar::Number(1.0)));
        assert!(same(&Scalar::Number(f64::NAN), &Scalar::Number(f64::NAN)));
        assert!(same(&Scalar::Number(f64::INFINITY), &Scalar::Number(f64::INFINITY)));
        assert!(!same(&Scalar::Integer(1), &Scalar::Text("1".into())));
        assert!(!same(&Scalar::Number(0.1), &Scalar::Number(0.2)));
    }
}
