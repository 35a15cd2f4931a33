//! `[trust]`: who may sign which guards.

use super::{Place, Wanted, Written};
use crate::config::raw::{RawConfig, RawKey, RawRule};
use crate::config::{ConfigError, CosignKey, Key, Rule, Trust, TrustedKey, Unsigned, WrittenLimits};
use picket_ledger::entry::MAX_SIGNERS;
use picket_ledger::note::VerifyingKey;
use toml::Spanned;

pub(super) fn trust(place: &Place, raw: &RawConfig) -> Result<Trust, ConfigError> {
    let choices = [("refuse", Unsigned::Refuse), ("allow", Unsigned::Allow)];
    let trust = &raw.trust;
    let revoked = trust.revoked.as_ref();
    let keys = keys(place, raw)?;
    Ok(Trust {
        unsigned: place.choice("trust.unsigned", trust.unsigned.as_ref(), &choices, Unsigned::Refuse)?,
        revoked: revoked.map(|path| place.existing("trust.revoked".into(), path, Wanted::File)).transpose()?,
        rules: trust.rules.iter().map(|rule| check_rule(place, raw, rule, &keys)).collect::<Result<_, _>>()?,
        keys,
    })
}

/// Which limits of a guard the operator decided on: others are not granted beyond their default.
pub(super) fn explicit(written: &Written<'_>) -> WrittenLimits {
    WrittenLimits {
        deadline: written.deadline.is_some(),
        memory: written.memory.is_some(),
        answer: written.answer.is_some(),
        findings: written.findings.is_some(),
    }
}

fn keys(place: &Place, raw: &RawConfig) -> Result<Vec<TrustedKey>, ConfigError> {
    let mut keys: Vec<TrustedKey> = Vec::new();
    for (name, written) in &raw.trust.keys {
        let path = format!("trust.keys.{name}");
        let wrong = |message: String| place.wrong(&written.span(), path.clone(), message);
        place.name(&path, &Spanned::new(written.span(), name.clone()))?;
        let key = match written.get_ref() {
            RawKey::Note(text) => VerifyingKey::parse(text).map(Key::Note).map_err(|error| {
                wrong(format!("is not a public key: {error}; `picket guard keygen` prints it as name+id+base64"))
            })?,
            RawKey::Cosign { cosign } => {
                let file = place.existing(path.clone(), &Spanned::new(written.span(), cosign.clone()), Wanted::File)?;
                let pem = std::fs::read(&file).map_err(|error| wrong(format!("{}: {error}", file.display())))?;
                let key = CosignKey::parse(&pem).map_err(|error| wrong(format!("{} {error}", file.display())))?;
                Key::Cosign(key)
            }
        };
        // One key under two names would be two people to `all_of`.
        if let Some(twin) = keys.iter().find(|known| same(&known.key, &key)) {
            return Err(wrong(format!("is the same key as `{}`", twin.name)));
        }
        if keys.len() == MAX_SIGNERS {
            return Err(wrong(format!("is one key too many; at most {MAX_SIGNERS} are taken")));
        }
        keys.push(TrustedKey { name: name.clone(), key });
    }
    Ok(keys)
}

/// By the bytes of the key: another name makes another `name+id` of it, and no other person.
fn same(one: &Key, other: &Key) -> bool {
    match (one, other) {
        (Key::Note(one), Key::Note(other)) => one.as_bytes() == other.as_bytes(),
        (one, other) => one == other,
    }
}

fn check_rule(place: &Place, raw: &RawConfig, rule: &RawRule, keys: &[TrustedKey]) -> Result<Rule, ConfigError> {
    let key = |field: &str| format!("trust.rule.{field}");
    let names = |field: &str, written: &Option<Vec<Spanned<String>>>| {
        let written = written.as_deref().unwrap_or_default();
        let known = |name: &Spanned<String>| {
            if keys.iter().any(|known| known.name == *name.get_ref()) {
                return Ok(name.get_ref().clone());
            }
            let message = format!("there is no key called `{}` in [trust.keys]", name.get_ref());
            Err(place.wrong(&name.span(), key(field), message))
        };
        written.iter().map(known).collect::<Result<Vec<_>, _>>()
    };
    let (any_of, all_of) = (names("any_of", &rule.any_of)?, names("all_of", &rule.all_of)?);
    let empty = |list: &Option<Vec<_>>| list.as_ref().is_some_and(Vec::is_empty);
    if (any_of.is_empty() && all_of.is_empty()) || empty(&rule.any_of) || empty(&rule.all_of) {
        let message = "says nobody who must have signed; give `any_of` or `all_of`, with at least one key in it";
        return Err(place.wrong(&rule.guards.span(), "trust.rule", message));
    }
    let guards = rule.guards.get_ref();
    if guards.is_empty() {
        return Err(place.wrong(&rule.guards.span(), key("guards"), "is empty; `[\"*\"]` are all"));
    }
    let mut named = Vec::new();
    for guard in guards {
        let name = guard.get_ref();
        if name == "*" {
            return Ok(Rule { guards: None, any_of, all_of });
        }
        let known =
            raw.guards.iter().map(|guard| &guard.name).chain(raw.detectors.iter().map(|detector| &detector.name));
        // A rule with a slip of the pen in it would silently leave the guard to a weaker one.
        if !known.into_iter().any(|known| known.get_ref() == name) {
            let message = format!("there is no [[guard]] or [[detector]] called `{name}`");
            return Err(place.wrong(&guard.span(), key("guards"), message));
        }
        named.push(name.clone());
    }
    Ok(Rule { guards: Some(named), any_of, all_of })
}
