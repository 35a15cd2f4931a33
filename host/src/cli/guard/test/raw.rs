//! A cases file as it is written; `docs/guard-test.md` says what each key means.

use serde::Deserialize;
use toml::{Spanned, Table, Value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    pub(super) settings: Option<Spanned<Table>>,
    pub(super) deadline: Option<Spanned<String>>,
    pub(super) memory: Option<Spanned<String>>,
    pub(super) answer: Option<Spanned<String>>,
    pub(super) findings: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) case: Vec<Spanned<RawCase>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCase {
    pub(super) name: String,
    pub(super) text: Option<String>,
    pub(super) json: Option<Spanned<String>>,
    pub(super) inference: Option<Spanned<Value>>,
    pub(super) measurements: Option<Spanned<Table>>,
    pub(super) settings: Option<Spanned<Table>>,
    pub(super) expect: Option<Spanned<RawExpect>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExpect {
    pub(super) decision: Option<Spanned<String>>,
    pub(super) findings: Option<Vec<Spanned<RawFinding>>>,
    #[serde(default)]
    pub(super) more: bool,
    pub(super) output: Option<Spanned<Value>>,
    pub(super) measurements: Option<Spanned<Table>>,
    pub(super) failure: Option<Spanned<String>>,
    pub(super) problems: Option<Vec<RawProblem>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFinding {
    pub(super) rule: Option<String>,
    pub(super) severity: Option<String>,
    pub(super) part: Option<String>,
    pub(super) path: Option<String>,
    pub(super) span: Option<(u32, u32)>,
    pub(super) text: Option<String>,
    pub(super) message: Option<String>,
    pub(super) score: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProblem {
    pub(super) pointer: String,
    pub(super) message: Option<String>,
}
