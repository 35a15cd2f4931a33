//! What an engine and its compiler say to each other, over the child's standard input and output.
//!
//! All numbers are big-endian.
//!
//! ```text
//! question   "picketQ1"  u64 memory in bytes  u64 processor time in seconds
//!            u32 length  header, JSON          u64 length  component
//! answer     "picketA1"  u8 1: compiled, 2: refused        u64 length  native code, or the refusal as JSON
//! ```

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::error::{Cause, Failure, LoadError};
use crate::limits::Limits;
use crate::load::Role;
use crate::pool::Reservation;
use crate::settings::Digest32;
use crate::types::Problem;

const QUESTION: &[u8; 8] = b"picketQ1";
const ANSWER: &[u8; 8] = b"picketA1";
/// Settings are the larger part of it.
const MAX_HEADER: u64 = 64 << 20;
/// More than any refusal has: 64 problems of 2 KiB.
const MAX_REFUSAL: u64 = 1 << 20;
/// As much as the compile cache takes.
const MAX_CODE: u64 = 1 << 30;

/// Everything that the compiled code depends on, but the component.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) detector: bool,
    /// Without `configure`.
    pub(super) plain: bool,
    pub(super) guard: String,
    pub(super) settings: String,
    pub(super) limits: Limits,
    pub(super) max_memory: u64,
    pub(super) max_stack: usize,
    pub(super) tick_micros: u64,
    pub(super) reservation: Reservation,
    /// Stands for the settings of the engine that is to run the code.
    pub(super) target: Digest32,
}

impl Header {
    pub(super) fn role(&self) -> Role {
        if self.detector { Role::Detector } else { Role::Validator }
    }
}

/// What the compiler may use; it holds itself to that before it reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    pub(super) memory: u64,
    pub(super) cpu_seconds: u64,
}

/// A question, but for the component that follows.
pub(super) fn question(allowance: Allowance, header: &Header, component: usize) -> Result<Vec<u8>, serde_json::Error> {
    let header = serde_json::to_vec(header)?;
    let mut out = Vec::with_capacity(header.len() + 36);
    out.extend_from_slice(QUESTION);
    out.extend_from_slice(&allowance.memory.to_be_bytes());
    out.extend_from_slice(&allowance.cpu_seconds.to_be_bytes());
    out.extend_from_slice(&u32::try_from(header.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(&(component as u64).to_be_bytes());
    Ok(out)
}

pub(super) fn read_allowance(from: &mut impl Read) -> io::Result<Allowance> {
    if &read_array(from)? != QUESTION {
        return Err(malformed("it does not begin as one"));
    }
    Ok(Allowance { memory: read_u64(from)?, cpu_seconds: read_u64(from)? })
}

pub(super) fn read_job(from: &mut impl Read) -> io::Result<(Header, Vec<u8>)> {
    let length = u64::from(u32::from_be_bytes(read_array(from)?));
    let header = serde_json::from_slice(&read_bytes(from, length, MAX_HEADER)?)?;
    let length = read_u64(from)?;
    Ok((header, read_bytes(from, length, MAX_CODE)?))
}

pub(super) fn write_answer(to: &mut impl Write, answer: &Result<Vec<u8>, Refusal>) -> io::Result<()> {
    let refusal;
    let (kind, body) = match answer {
        Ok(code) => (1, code.as_slice()),
        Err(refused) => {
            refusal = serde_json::to_vec(refused)?;
            (2, refusal.as_slice())
        }
    };
    to.write_all(ANSWER)?;
    to.write_all(&[kind])?;
    to.write_all(&(body.len() as u64).to_be_bytes())?;
    to.write_all(body)?;
    to.flush()
}

/// Reads no more than an answer may have, whatever comes.
pub(super) fn read_answer(from: &mut impl Read) -> io::Result<Result<Vec<u8>, Refusal>> {
    if &read_array(from)? != ANSWER {
        return Err(malformed("it does not begin as one"));
    }
    let [kind] = read_array(from)?;
    let length = read_u64(from)?;
    match kind {
        1 => Ok(Ok(read_bytes(from, length, MAX_CODE)?)),
        2 => Ok(Err(serde_json::from_slice(&read_bytes(from, length, MAX_REFUSAL)?)?)),
        _ => Err(malformed("its kind is unknown")),
    }
}

fn read_array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_u64(from: &mut impl Read) -> io::Result<u64> {
    Ok(u64::from_be_bytes(read_array(from)?))
}

/// Grows as bytes come, so that a length alone costs nothing.
fn read_bytes(from: &mut impl Read, length: u64, most: u64) -> io::Result<Vec<u8>> {
    if length > most {
        return Err(malformed("it is too long"));
    }
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn malformed(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// A [`LoadError`] on its way from the child; the guard's name is known on the other side.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Refusal {
    NotAComponent(String),
    Imports(Vec<String>),
    World(String),
    Settings(Vec<(String, String)>),
    Failed {
        during: During,
        cause: Cause,
        message: String,
    },
    Compile(String),
    /// The child had no memory left.
    Memory,
    /// The child has other settings than the engine that asks.
    OtherTarget,
}

/// [`LoadError::Failed`]'s `during`, of the calls that a compiler makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum During {
    Instantiate,
    Configure,
}

impl From<LoadError> for Refusal {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::NotAComponent { message, .. } => Self::NotAComponent(message),
            LoadError::Imports { imports, .. } => Self::Imports(imports),
            LoadError::World { message, .. } => Self::World(message),
            LoadError::Settings { problems, .. } => {
                Self::Settings(problems.into_iter().map(|problem| (problem.pointer, problem.message)).collect())
            }
            LoadError::Failed { during, failure: Failure { cause, message }, .. } => {
                let during = if during == "configure" { During::Configure } else { During::Instantiate };
                Self::Failed { during, cause, message }
            }
            LoadError::Compile { message, .. } if says_no_memory(&message) => Self::Memory,
            LoadError::Compile { message, .. } => Self::Compile(message),
            other => Self::Compile(other.to_string()),
        }
    }
}

/// `ENOMEM`, as std and wasmtime word it.
fn says_no_memory(message: &str) -> bool {
    message.contains("os error 12") || message.contains("out of memory")
}

impl Refusal {
    /// The refusal as the engine gives it; `None` for those that only make sense between the two.
    pub(super) fn of(self, guard: &str, role: Role) -> Option<LoadError> {
        let guard = guard.to_owned();
        Some(match self {
            Self::NotAComponent(message) => LoadError::NotAComponent { guard, message },
            Self::Imports(imports) => LoadError::Imports { guard, imports },
            Self::World(message) => LoadError::World { guard, world: role.world(), message },
            Self::Settings(problems) => {
                let problems = problems.into_iter().map(|(pointer, message)| Problem { pointer, message }).collect();
                LoadError::Settings { guard, problems }
            }
            Self::Failed { during, cause, message } => LoadError::Failed {
                guard,
                during: match during {
                    During::Instantiate => "instantiate",
                    During::Configure => "configure",
                },
                failure: Failure::new(cause, message),
            },
            Self::Compile(message) => LoadError::Compile { guard, message },
            Self::Memory | Self::OtherTarget => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn header() -> Header {
        Header {
            detector: false,
            plain: false,
            guard: "g".into(),
            settings: "{}".into(),
            limits: Limits::default(),
            max_memory: 1 << 20,
            max_stack: 1 << 19,
            tick_micros: 1000,
            reservation: Reservation::Tight,
            target: [7; 32],
        }
    }

    #[test]
    fn a_question_is_read_as_it_was_asked() {
        let allowance = Allowance { memory: 1 << 30, cpu_seconds: 9 };
        let mut bytes = question(allowance, &header(), 3).unwrap();
        bytes.extend_from_slice(b"abc");
        let mut from = bytes.as_slice();
        assert_eq!(read_allowance(&mut from).unwrap(), allowance);
        assert_eq!(read_job(&mut from).unwrap(), (header(), b"abc".to_vec()));
        for end in 0..bytes.len() {
            let mut from = &bytes[..end];
            assert!(read_allowance(&mut from).and_then(|_| read_job(&mut from)).is_err(), "{end}");
        }
    }

    #[test]
    fn an_answer_is_read_as_it_was_given() {
        let refusals = [
            Refusal::Imports(vec!["wasi:cli/run".into()]),
            Refusal::Settings(vec![("/a".into(), "wrong".into())]),
            Refusal::Failed { during: During::Configure, cause: Cause::Deadline, message: "late".into() },
            Refusal::OtherTarget,
        ];
        for answer in refusals.into_iter().map(Err).chain([Ok(vec![1, 2, 3])]) {
            let mut bytes = Vec::new();
            write_answer(&mut bytes, &answer).unwrap();
            assert_eq!(read_answer(&mut bytes.as_slice()).unwrap(), answer);
            assert!((0..bytes.len()).all(|end| read_answer(&mut &bytes[..end]).is_err()));
        }
    }

    #[test]
    fn nonsense_is_no_answer_and_costs_no_memory() {
        let huge = [ANSWER.as_slice(), &[1], &u64::MAX.to_be_bytes()].concat();
        let long = [ANSWER.as_slice(), &[1], &MAX_CODE.to_be_bytes(), b"short"].concat();
        let kind = [ANSWER.as_slice(), &[9], &0_u64.to_be_bytes()].concat();
        let json = [ANSWER.as_slice(), &[2], &2_u64.to_be_bytes(), b"{}"].concat();
        for bytes in [b"".as_slice(), b"running 0 tests", &huge, &long, &kind, &json] {
            assert!(read_answer(&mut &*bytes).is_err());
        }
    }
}
