//! `[trust]`: whose guards may run.

use super::CosignKey;
use picket_ledger::note::VerifyingKey;
use serde_json::{Value, json};
use std::fmt;
use std::path::PathBuf;

/// Who vouches for guards, and what becomes of those for whom nobody does.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// What becomes of a guard or detector without a signature.
    pub unsigned: Unsigned,
    /// The revocation list.
    pub revoked: Option<PathBuf>,
    /// Keys in the order of their names; no key is there twice.
    pub keys: Vec<TrustedKey>,
    /// Rules in the order of the file. Every key that they name is in `keys`.
    pub rules: Vec<Rule>,
}

/// What becomes of a guard or detector without a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unsigned {
    /// It does not run.
    #[default]
    Refuse,
    /// It runs, and its entry says so.
    Allow,
}

/// A key whose signatures count.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    /// What rules call it.
    pub name: String,
    /// The key.
    pub key: Key,
}

/// A key of one of the two kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Signs statements.
    Note(VerifyingKey),
    /// Signs components.
    Cosign(CosignKey),
}

impl TrustedKey {
    /// `name+id`: of a statement's key its own name, of cosign's, which has none, the configuration's.
    #[must_use]
    pub fn name_and_id(&self) -> String {
        match &self.key {
            Key::Note(key) => key.name_and_id(),
            Key::Cosign(key) => format!("{}+{}", self.name, key.id()),
        }
    }
}

/// Who must have signed a guard: all of `all_of`, and one of `any_of` unless that is empty. Not both are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// Names of guards and detectors; `None`: all.
    pub guards: Option<Vec<String>>,
    /// Names of keys.
    pub any_of: Vec<String>,
    /// Names of keys.
    pub all_of: Vec<String>,
}

impl Rule {
    /// Whether the signatures of these keys are enough.
    #[must_use]
    pub fn is_met_by(&self, signers: &[&str]) -> bool {
        let signed = |name: &String| signers.contains(&name.as_str());
        let any = self.any_of.is_empty() || self.any_of.iter().any(signed);
        let nobody = self.any_of.is_empty() && self.all_of.is_empty();
        any && self.all_of.iter().all(signed) && !nobody
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.all_of.as_slice(), self.any_of.as_slice()) {
            ([], any) => write!(formatter, "any of {}", any.join(", ")),
            (all, []) => write!(formatter, "all of {}", all.join(", ")),
            (all, any) => write!(formatter, "all of {} and any of {}", all.join(", "), any.join(", ")),
        }
    }
}

impl Trust {
    /// The rule for the guard or detector of this name. Where no rule names it, any one of the keys is enough.
    #[must_use]
    pub fn rule(&self, guard: &str) -> Rule {
        let named = |rule: &&Rule| rule.guards.as_ref().is_none_or(|guards| guards.iter().any(|name| name == guard));
        self.rules.iter().find(named).cloned().unwrap_or_else(|| Rule {
            any_of: self.keys.iter().map(|key| key.name.clone()).collect(),
            ..Rule::default()
        })
    }

    /// What the policy document says of it.
    #[must_use]
    pub fn document(&self) -> Value {
        let key = |key: &TrustedKey| match &key.key {
            Key::Note(note) => (key.name.clone(), note.to_string().into()),
            Key::Cosign(cosign) => (key.name.clone(), json!({ "cosign": cosign.to_hex() })),
        };
        let keys: serde_json::Map<String, Value> = self.keys.iter().map(key).collect();
        let rules: Vec<Value> = self
            .rules
            .iter()
            .map(|rule| json!({ "guards": rule.guards, "any_of": rule.any_of, "all_of": rule.all_of }))
            .collect();
        json!({
            "keys": keys,
            "revocation_list": self.revoked.is_some(),
            "rules": rules,
            "unsigned": match self.unsigned { Unsigned::Refuse => "refuse", Unsigned::Allow => "allow" },
        })
    }
}
