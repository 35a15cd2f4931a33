//! From the engine's words to the ledger's.

use super::Judged;
use crate::config::Mode;
use picket_engine::{Cause, verdict_bytes};
use picket_engine::{Decision, Finding, Part};
use picket_ledger::{entry, hash};

pub(super) fn guard_result(judged: &Judged<'_>) -> entry::GuardResult {
    let outcome = match &judged.outcome {
        Ok(verdict) => entry::Outcome::Verdict {
            decision: decision(&verdict.decision),
            digest: hash::sha256(&verdict_bytes(verdict)),
            findings: verdict.findings.iter().map(finding).collect(),
            omitted: 0,
        },
        Err(failure) => entry::Outcome::Failure {
            cause: cause(failure.cause),
            message: failure.message.clone(),
            action: judged.decision(),
        },
    };
    entry::GuardResult {
        name: judged.guard.config.name.clone(),
        component: *judged.guard.validator.component_digest(),
        settings: *judged.guard.validator.settings_digest(),
        mode: match judged.guard.config.mode {
            Mode::Enforce => entry::Mode::Enforce,
            Mode::Shadow => entry::Mode::Shadow,
        },
        warm: false,
        outcome,
    }
}

pub(super) fn decision(decision: &Decision) -> entry::Decision {
    match decision {
        Decision::Allow => entry::Decision::Allow,
        Decision::Flag => entry::Decision::Flag,
        Decision::Redact(_) => entry::Decision::Redact,
        Decision::Block => entry::Decision::Block,
    }
}

pub(super) fn cause(cause: Cause) -> entry::FailureCause {
    match cause {
        Cause::Trap => entry::FailureCause::Trap,
        Cause::Deadline => entry::FailureCause::Deadline,
        Cause::Memory => entry::FailureCause::Memory,
        Cause::Answer => entry::FailureCause::Answer,
        Cause::Refused => entry::FailureCause::Refused,
        Cause::Unavailable => entry::FailureCause::Unavailable,
    }
}

fn finding(finding: &Finding) -> entry::Finding {
    let location = finding.location.as_ref();
    entry::Finding {
        rule: finding.rule.clone(),
        severity: finding.severity as u8,
        message: finding.message.clone(),
        part: location.map(|location| part(location.part)),
        path: location.map(|location| location.path.clone()).unwrap_or_default(),
        span: location.and_then(|location| location.span).map(|span| (span.start, span.end)),
        score: finding.score.map(millionths),
    }
}

fn part(part: Part) -> u8 {
    match part {
        Part::Input => 0,
        Part::Context => 1,
        Part::Output => 2,
        Part::Features => 3,
        Part::Attributes => 4,
    }
}

/// A finite number in millionths, rounded half away from nought, at the ends of the range where it is beyond them. The
/// ledger holds no floats: their text and their rounding differ between tools.
pub(crate) fn millionths(number: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a float-to-integer cast saturates")]
    {
        (number * 1e6).round() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::millionths;

    #[test]
    fn scores_are_rounded_and_saturate() {
        assert_eq!(millionths(0.123_456_5), 123_457);
        assert_eq!(millionths(-0.5), -500_000);
        assert_eq!(millionths(1e300), i64::MAX);
    }
}
