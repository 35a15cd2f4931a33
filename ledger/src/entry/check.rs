//! Whether bytes are the body of a verdict, in its one form, without building anything: verdicts are nearly all
//! that a log holds, and whoever verifies a million of them needs to know that they are well formed, not what
//! they say.
//!
//! This only ever says yes early. What is refused here goes through [`Entry::decode`](super::Entry::decode),
//! which decides and names the error; so all that must hold is that nothing passes here which would not pass
//! there. The tests bend entries in every byte and compare, and so does a fuzz target.

use super::guard_result::{MAX_FINDINGS, MAX_PART, MAX_SEVERITY};
use super::text::{MAX_MESSAGE_BYTES, MAX_NAME_BYTES, MAX_PATH_BYTES, is_message_space, refused_character};
use super::{Decision, FailureCause, MAX_GUARDS, Mode};
use crate::cbor::{CborError, Reader};

/// Stands for any reason: `decode` finds the one to tell.
pub(super) struct Refused;

impl From<CborError> for Refused {
    #[inline]
    fn from(_: CborError) -> Self {
        Self
    }
}

type Checked = Result<(), Refused>;

pub(super) fn verdict(reader: &mut Reader<'_>) -> Checked {
    reader.array(15)?;
    reader.unsigned()?;
    name(reader)?;
    reader.optional(name)?;
    reader.optional(Reader::unsigned)?;
    name(reader)?;
    reader.optional(name)?;
    reader.optional(name)?;
    reader.optional(hash)?;
    reader.optional(hash)?;
    reader.optional(hash)?;
    hash(reader)?;
    let decision = number(reader, 0, Decision::Block as u64)?;
    let guards = reader.list()?;
    holds(guards <= MAX_GUARDS)?;
    for _ in 0..guards {
        guard_result(reader)?;
    }
    hash(reader)?;
    let released = reader.optional(hash)?.is_some();
    holds(decision != Decision::Block as u64 || !released)
}

fn guard_result(reader: &mut Reader<'_>) -> Checked {
    reader.array(6)?;
    name(reader)?;
    hash(reader)?;
    hash(reader)?;
    number(reader, Mode::Enforce as u64, Mode::Shadow as u64)?;
    reader.boolean()?;
    match reader.list()? {
        5 => {
            number(reader, 1, 1)?;
            number(reader, 0, Decision::Block as u64)?;
            hash(reader)?;
            let findings = reader.list()?;
            holds(findings <= MAX_FINDINGS)?;
            for _ in 0..findings {
                finding(reader)?;
            }
            number(reader, 0, u32::MAX.into())?;
            Ok(())
        }
        4 => {
            number(reader, 2, 2)?;
            number(reader, FailureCause::Trap as u64, FailureCause::Unavailable as u64)?;
            message(reader)?;
            let action = reader.unsigned()?;
            holds(action == Decision::Allow as u64 || action == Decision::Block as u64)
        }
        _ => Err(Refused),
    }
}

fn finding(reader: &mut Reader<'_>) -> Checked {
    reader.array(7)?;
    name(reader)?;
    number(reader, 0, MAX_SEVERITY.into())?;
    message(reader)?;
    reader.optional(|reader| number(reader, 0, MAX_PART.into()))?;
    text(reader, 0, MAX_PATH_BYTES, |_| false)?;
    reader.optional(|reader| {
        reader.array(2)?;
        let start = number(reader, 0, u32::MAX.into())?;
        number(reader, start, u32::MAX.into())
    })?;
    reader.optional(Reader::signed)?;
    Ok(())
}

#[inline]
fn name(reader: &mut Reader<'_>) -> Checked {
    text(reader, 1, MAX_NAME_BYTES, |_| false)
}

fn message(reader: &mut Reader<'_>) -> Checked {
    text(reader, 0, MAX_MESSAGE_BYTES, is_message_space)
}

#[inline]
fn text(reader: &mut Reader<'_>, least: usize, most: usize, allowed: fn(char) -> bool) -> Checked {
    let text = reader.text()?;
    holds((least..=most).contains(&text.len()) && refused_character(text, allowed).is_none())
}

#[inline]
fn hash(reader: &mut Reader<'_>) -> Checked {
    holds(reader.bytes()?.len() == 32)
}

#[inline]
fn number(reader: &mut Reader<'_>, least: u64, most: u64) -> Result<u64, Refused> {
    let number = reader.unsigned()?;
    holds((least..=most).contains(&number))?;
    Ok(number)
}

#[inline]
fn holds(condition: bool) -> Checked {
    if condition { Ok(()) } else { Err(Refused) }
}
