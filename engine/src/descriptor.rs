//! What a guard may say of itself.

use std::collections::HashSet;

use crate::text::{cut, is_name, shown};
use crate::types::Descriptor;

const MAX_RULES: usize = 1024;
const MAX_SUMMARY_BYTES: usize = 1024;
const MAX_SCHEMA_BYTES: usize = 256 << 10;

/// Checks `descriptor`, cuts its summaries to 1024 bytes, and names every mistake.
pub(crate) fn check(descriptor: &mut Descriptor) -> Result<(), Vec<String>> {
    let mut problems = Vec::new();
    if !is_name(&descriptor.name) {
        problems
            .push(format!("its name {} is not 1 to 64 ASCII letters, digits, `.`, `_`, `-`", shown(&descriptor.name)));
    }
    if !is_semantic_version(&descriptor.version) {
        problems.push(format!("its version {} is not a semantic version", shown(&descriptor.version)));
    }
    if descriptor.settings_schema.len() > MAX_SCHEMA_BYTES {
        problems.push(format!("its settings schema is longer than {MAX_SCHEMA_BYTES} bytes"));
    } else if let Err(error) = schema(&descriptor.settings_schema) {
        problems.push(error);
    }
    if descriptor.rules.len() > MAX_RULES {
        problems.push(format!("it declares {} rules, more than {MAX_RULES}", descriptor.rules.len()));
        return Err(problems);
    }
    let mut seen = HashSet::new();
    for rule in &descriptor.rules {
        if !is_name(&rule.id) {
            problems.push(format!("the rule {} is not 1 to 64 ASCII letters, digits, `.`, `_`, `-`", shown(&rule.id)));
        }
        if !seen.insert(rule.id.as_str()) {
            problems.push(format!("it declares the rule {} twice", shown(&rule.id)));
        }
    }
    if !problems.is_empty() {
        problems.truncate(16);
        return Err(problems);
    }
    cut(&mut descriptor.summary, MAX_SUMMARY_BYTES);
    for rule in &mut descriptor.rules {
        cut(&mut rule.summary, MAX_SUMMARY_BYTES);
    }
    Ok(())
}

/// A JSON Schema is an object or a boolean (JSON Schema 2020-12, core, section 4.3).
fn schema(text: &str) -> Result<(), String> {
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Object(_) | serde_json::Value::Bool(_)) => Ok(()),
        Ok(_) => Err("its settings schema is neither a JSON object nor a boolean".into()),
        Err(error) => Err(format!("its settings schema is not JSON: {error}")),
    }
}

/// `major.minor.patch`, with optional pre-release and build parts (Semantic Versioning 2.0.0).
fn is_semantic_version(version: &str) -> bool {
    let (version, build) = split(version, '+');
    let (core, pre_release) = split(version, '-');
    let numeric = |part: &str| {
        !part.is_empty()
            && part.len() <= 10
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part.len() == 1 || !part.starts_with('0'))
    };
    let identifiers = |part: &str| {
        part.len() <= 64
            && part.split('.').all(|identifier| {
                !identifier.is_empty() && identifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            })
    };
    let numbers: Vec<_> = core.split('.').collect();
    numbers.len() == 3
        && numbers.into_iter().all(numeric)
        && pre_release.is_none_or(identifiers)
        && build.is_none_or(identifiers)
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::types::{Guarantee, Parts, Rule};

    fn descriptor() -> Descriptor {
        Descriptor {
            name: "pii".into(),
            version: "1.2.3-rc.1+b7".into(),
            summary: "x".repeat(2000),
            settings_schema: "{}".into(),
            needs: Parts::OUTPUT,
            rules: vec![Rule { id: "email".into(), summary: String::new(), guarantee: Guarantee::Held }],
        }
    }

    #[test]
    fn a_good_one_passes_with_its_summary_cut() {
        let mut good = descriptor();
        check(&mut good).unwrap();
        assert_eq!(good.summary.len(), 1024);
    }

    #[test]
    fn each_mistake_is_named() {
        type Change = fn(&mut Descriptor);
        let cases: [(Change, &str); 9] = [
            (|d| d.name = "a b".into(), "name `a b`"),
            (|d| d.name = String::new(), "name ``"),
            (|d| d.name = "x".repeat(65), "name"),
            (|d| d.version = "1.2".into(), "version `1.2`"),
            (|d| d.version = "01.2.3".into(), "version"),
            (|d| d.settings_schema = "[]".into(), "neither"),
            (|d| d.settings_schema = "{".into(), "not JSON"),
            (|d| d.rules.push(d.rules[0].clone()), "twice"),
            (|d| d.rules[0].id = "e\u{1b}mail".into(), "\\u{1b}"),
        ];
        for (change, expected) in cases {
            let mut bad = descriptor();
            change(&mut bad);
            let problems = check(&mut bad).unwrap_err();
            assert!(problems[0].contains(expected), "{problems:?} lacks {expected}");
        }
    }

    #[test]
    fn all_mistakes_come_at_once() {
        let mut bad = descriptor();
        bad.name.clear();
        bad.version.clear();
        assert_eq!(check(&mut bad).unwrap_err().len(), 2);
    }
}
