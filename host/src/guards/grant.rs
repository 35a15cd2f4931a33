//! Limits: what a component declares that it needs, what its signers looked at, and what the operator gives.
//!
//! A guard declares, the operator grants. What a component does not declare is the operator's to decide; what it declares
//! is the most that a signature vouches for; and where the operator wrote nothing, a guard gets the default or what it
//! declares, whichever is less.

use super::trust::{Refusal, Vouched, declared};
use crate::config::{Limits, WrittenLimits};
use picket_engine::Declared;
use std::time::Duration;

/// What a guard gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// The limits of the configuration, narrowed to what is declared where nothing was written.
    pub limits: Limits,
    /// Elements of all tables together, for which the configuration has no key.
    pub table_elements: u64,
}

/// What the guard gets whose configuration gives it `limits`, those in `written` explicitly.
pub(super) fn grant(
    bytes: &[u8],
    vouched: &Vouched,
    limits: &Limits,
    written: &WrittenLimits,
) -> Result<Granted, Refusal> {
    let asked = declared(bytes)?;
    let signed = vouched.statement.is_some();
    let whole = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    let millis = u64::try_from(limits.deadline.as_millis()).unwrap_or(u64::MAX);
    let Declared { deadline_ms, memory_bytes, table_elements, answer_bytes, findings } = asked;
    let deadline = one("deadline", " ms", millis, written.deadline, deadline_ms, signed)?;
    let memory = one("memory", " bytes", limits.memory, written.memory, memory_bytes, signed)?;
    let answer = one("answer", " bytes", whole(limits.answer), written.answer, answer_bytes, signed)?;
    let findings = one("findings", "", whole(limits.findings), written.findings, findings, signed)?;
    let most = picket_engine::Limits::default().table_elements;
    let table_elements = table_elements.unwrap_or(most);
    if table_elements > most {
        return Err(Refusal::Declared(format!(
            "it asks for {table_elements} table elements; at most {most} are given"
        )));
    }
    Ok(Granted {
        limits: Limits {
            deadline: if deadline < millis { Duration::from_millis(deadline) } else { limits.deadline },
            memory,
            answer: usize::try_from(answer).unwrap_or(limits.answer),
            findings: usize::try_from(findings).unwrap_or(limits.findings),
        },
        table_elements,
    })
}

fn one(
    key: &'static str,
    unit: &str,
    given: u64,
    written: bool,
    asked: Option<u64>,
    signed: bool,
) -> Result<u64, Refusal> {
    let Some(asked) = asked else { return Ok(given) };
    let in_words = |value: u64| format!("{value}{unit}");
    match written {
        true if signed && given > asked => {
            Err(Refusal::BeyondSigned { key, given: in_words(given), signed: in_words(asked) })
        }
        true => Ok(given),
        false if asked > given => Err(Refusal::NotGranted { key, asked: format!("{} of {key}", in_words(asked)) }),
        false => Ok(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_counts_up_to_what_was_signed_and_defaults_shrink_to_what_is_asked_for() {
        let one = |given, written, asked, signed| one("memory", " bytes", given, written, asked, signed);
        // Nothing declared: the operator decides.
        assert_eq!(one(64, true, None, true), Ok(64));
        assert_eq!(one(32, false, None, false), Ok(32));
        // Declared and written.
        assert_eq!(one(16, true, Some(16), true), Ok(16));
        assert_eq!(one(8, true, Some(16), true), Ok(8));
        assert_eq!(one(17, true, Some(16), false), Ok(17));
        assert!(matches!(one(17, true, Some(16), true), Err(Refusal::BeyondSigned { key: "memory", .. })));
        // Declared and not written.
        assert_eq!(one(32, false, Some(16), false), Ok(16));
        assert!(matches!(one(32, false, Some(33), true), Err(Refusal::NotGranted { key: "memory", .. })));
        assert!(matches!(one(32, false, Some(33), false), Err(Refusal::NotGranted { .. })));
    }
}
