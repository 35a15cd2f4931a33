//! A validator that attacks its host. `{"attack": "<name>"}` in the settings chooses how; [`Attack`] lists the names.
//!
//! Each attack is what a broken or malicious guard could do within the contract's types. Attacks on the binary format
//! are not here: a compiler does not write them.

mod answers;
mod resources;

use std::sync::Mutex;

use picket_sdk::prelude::*;
use serde::Deserialize;

/// The one rule that the descriptor declares.
pub const RULE: &str = "attack";

/// What the guard does to its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Attack {
    /// None: allows.
    None,
    /// None: blocks, with one correct finding on the whole output.
    Block,
    /// None: flags, with one correct finding whose span is the first character of the output.
    Flag,
    /// None: replaces the first character of the output by `*`.
    Redact,
    /// None: measures how much of each part it was given, so that a test sees what the host passed.
    Echo,

    /// `check` never returns.
    Loop,
    /// `check` calls itself until the stack is used up.
    Recurse,
    /// `check` allocates until it is refused, then traps as Rust does.
    Memory,
    /// `check` grows its memory until it is refused, keeps what it got and allows.
    MemoryPolite,
    /// `check` panics.
    Panic,
    /// `check` panics when the output's text contains `crash`, and allows otherwise.
    PanicOnWord,
    /// `check` executes `unreachable`.
    Unreachable,
    /// `check` reads beyond its memory.
    OutOfBounds,
    /// `check` divides by zero.
    DivideByZero,

    /// `check` answers with an error.
    Refuse,
    /// `check` answers with an error of `bytes` bytes.
    RefuseHuge,
    /// One finding with a message of `bytes` bytes.
    HugeAnswer,
    /// `count` findings.
    ManyFindings,
    /// `count` measurements.
    ManyMeasurements,
    /// A finding whose span ends before it starts.
    BadSpan,
    /// A finding whose span lies behind the output's end.
    SpanPastEnd,
    /// A finding whose span cuts a character of the output (which must hold one of several bytes).
    SpanOffBorder,
    /// A finding at a path that is no JSON Pointer.
    BadPath,
    /// A finding with a rule that the descriptor does not declare.
    UndeclaredRule,
    /// A finding whose score is NaN.
    NanScore,
    /// A finding whose score is infinite.
    InfiniteScore,
    /// A redaction without edits.
    EmptyRedaction,
    /// An edit of the input.
    EditInput,
    /// Two edits of the same bytes.
    OverlappingEdits,
    /// An edit whose span cuts a character of the output.
    EditOffBorder,
    /// An edit behind the output's end.
    EditPastEnd,
    /// An edit that replaces one character by `bytes` bytes.
    HugeEdit,

    /// Grows its memory until it is refused and reports how much it got: a verdict that depends on the host's limits.
    TellMemory,
    /// `check` panics when the output's text holds a character of four bytes.
    PanicAtWide,

    /// Keeps the output's text in static memory and reports at the next check what the last one left there: flags with
    /// the text as message when something was there, allows otherwise.
    Remember,

    /// `configure` never returns.
    ConfigureLoop,
    /// `configure` panics.
    ConfigurePanic,
    /// `configure` uses up the stack.
    ConfigureRecurse,
    /// `configure` allocates until it is refused.
    ConfigureMemory,
    /// `configure` reports two problems.
    ConfigureProblems,
    /// `configure` reports `count` problems.
    ConfigureManyProblems,
    /// `configure` fills `bytes` bytes, so that the memory image is large; checks allow.
    ConfigureLarge,
}

/// The guard's settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    attack: Attack,
    /// How many bytes the large answers have.
    #[serde(default = "default_bytes")]
    bytes: usize,
    /// How many members the long lists have.
    #[serde(default = "default_count")]
    count: usize,
}

fn default_bytes() -> usize {
    16 << 20
}

fn default_count() -> usize {
    100_000
}

/// The guard, configured.
#[derive(Debug)]
pub struct Hostile {
    settings: Settings,
    /// Holds the memory of [`Attack::ConfigureLarge`].
    _ballast: Vec<u8>,
}

/// What [`Attack::Remember`] leaves behind.
static MEMORY: Mutex<Option<String>> = Mutex::new(None);

impl Guard for Hostile {
    fn describe() -> Descriptor {
        Descriptor {
            name: "hostile".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Attacks its host in the way its settings say".to_owned(),
            settings_schema: include_str!("settings.schema.json").to_owned(),
            needs: Parts::all(),
            rules: vec![Rule::held(RULE, "What an attack reports")],
        }
    }

    fn configure(settings: &str) -> Result<Self, Vec<Problem>> {
        let settings: Settings = settings::parse(settings)?;
        let mut ballast = Vec::new();
        match settings.attack {
            Attack::ConfigureLoop => resources::never_return(),
            Attack::ConfigurePanic => panic!("configured to panic"),
            Attack::ConfigureRecurse => resources::use_up_stack(),
            Attack::ConfigureMemory => resources::use_up_memory(),
            Attack::ConfigureProblems => {
                return Err(vec![
                    Problem::new("/attack", "first of two problems"),
                    Problem::new("/count", "second of two problems"),
                ]);
            }
            Attack::ConfigureManyProblems => {
                return Err((0..settings.count).map(|_| Problem::new("/attack", "one of many problems")).collect());
            }
            Attack::ConfigureLarge => ballast = resources::noise(settings.bytes),
            _ => {}
        }
        Ok(Self { settings, _ballast: ballast })
    }

    fn check(&self, inference: &Inference) -> Result<Verdict, String> {
        match self.settings.attack {
            Attack::Loop => resources::never_return(),
            Attack::Recurse => resources::use_up_stack(),
            Attack::Memory => resources::use_up_memory(),
            Attack::MemoryPolite => resources::take_all_memory(),
            Attack::Panic => panic!("told to panic"),
            Attack::PanicOnWord if answers::output_text(inference).contains("crash") => panic!("told to panic"),
            Attack::Unreachable => resources::unreachable(),
            Attack::OutOfBounds => resources::read_out_of_bounds(),
            Attack::DivideByZero => resources::divide_by_zero(),
            Attack::Refuse => return Err("told to refuse".to_owned()),
            Attack::RefuseHuge => return Err("x".repeat(self.settings.bytes)),
            Attack::TellMemory => return Ok(tell_memory()),
            Attack::PanicAtWide if answers::output_text(inference).chars().any(|one| one.len_utf8() == 4) => {
                panic!("told to panic at such a character")
            }
            Attack::Remember => return Ok(remember(inference)),
            _ => {}
        }
        Ok(answers::answer(self.settings.attack, self.settings.bytes, self.settings.count, inference))
    }
}

fn tell_memory() -> Verdict {
    let mut verdict = Verdict::allow();
    verdict.measure("pages", Scalar::Integer(i64::try_from(resources::pages_to_be_had()).unwrap_or(i64::MAX)));
    verdict
}

fn remember(inference: &Inference) -> Verdict {
    let mut verdict = Verdict::allow();
    let mut memory = MEMORY.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(text) = memory.replace(answers::output_text(inference).to_owned()) {
        verdict.flag(Finding::new(RULE, Severity::Critical, text));
    }
    verdict
}

picket_sdk::export_guard!(Hostile);

#[cfg(test)]
mod tests;
