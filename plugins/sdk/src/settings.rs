//! Settings of guards: one JSON document, and every mistake with its place.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::json::escape_token;
use crate::types::Problem;

/// At most this many mistakes are reported at once.
const MAX_PROBLEMS: usize = 32;

/// Reads settings. Give the type `#[serde(deny_unknown_fields)]`, so that a misspelt key is a mistake.
///
/// Serde stops at the first mistake; the offending member is then taken out and the rest is read again, so that an
/// operator sees all of them at once. What follows from a member that is missing is not looked into.
///
/// # Errors
/// Each mistake with a JSON Pointer to it, at most 32.
pub fn parse<T: DeserializeOwned>(settings: &str) -> Result<T, Vec<Problem>> {
    let mut value: Value = serde_json::from_str(settings)
        .map_err(|error| vec![Problem::new("", format!("the settings are no JSON document: {error}"))])?;
    let mut problems = Vec::new();
    while problems.len() < MAX_PROBLEMS {
        let error = match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(settings) if problems.is_empty() => return Ok(settings),
            Ok(_) => break,
            Err(error) => error,
        };
        let pointer = pointer_to(error.path());
        let message = error.inner().to_string();
        let missing = message.starts_with("missing field");
        // A member that was taken out may now be missing; that mistake is ours.
        if missing && !problems.is_empty() {
            break;
        }
        problems.push(Problem::new(pointer.clone(), message));
        if missing || !remove(&mut value, &pointer) {
            break;
        }
    }
    Err(problems)
}

fn pointer_to(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => push_token(&mut pointer, key),
            // Serde's own names of variants and of what it could not name are no part of the document.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    escape_token(pointer, token);
}

/// Takes the member or element at `pointer` out of `value`; false when nothing is there to take.
fn remove(value: &mut Value, pointer: &str) -> bool {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return false };
    let token = last.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(Value::Object(members)) => members.shift_remove(&token).is_some(),
        // Taking an element out would shift the pointers of those behind it.
        _ => false,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        limit: u32,
        #[serde(default)]
        rules: Vec<Inner>,
        #[serde(default)]
        named: BTreeMap<String, Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only read by serde")]
        action: Action,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Action {
        Flag,
    }

    fn pointers(settings: &str) -> Vec<String> {
        parse::<Outer>(settings).unwrap_err().into_iter().map(|problem| problem.pointer).collect()
    }

    #[test]
    fn good_settings_are_read() {
        let outer = parse::<Outer>(r#"{"limit": 3, "rules": [{"action": "flag"}], "named": {}}"#).unwrap();
        assert_eq!((outer.limit, outer.rules.len(), outer.named.len()), (3, 1, 0));
    }

    #[test]
    fn each_mistake_has_its_place() {
        assert_eq!(pointers(r#"{"limit": -1}"#), ["/limit"]);
        assert_eq!(pointers(r#"{"limit": 1, "limti": 2}"#), ["/limti"]);
        assert_eq!(pointers(r#"{"limit": 1, "rules": [{"action": "flag"}, {"action": "flog"}]}"#), ["/rules/1/action"]);
        assert_eq!(pointers(r#"{"limit": 1, "named": {"a/b~c": {"action": 7}}}"#), ["/named/a~1b~0c/action"]);
        assert_eq!(pointers("{}"), [""]);
        assert_eq!(pointers("[]"), [""]);
        assert_eq!(pointers("{"), [""]);
    }

    #[test]
    fn several_mistakes_come_at_once() {
        assert_eq!(pointers(r#"{"a": 1, "limit": 1, "b": 2, "named": 3}"#), ["/a", "/b", "/named"]);
        // `limit` is wrong, not missing, though it is taken out on the way.
        assert_eq!(pointers(r#"{"limit": "x", "a": 1}"#), ["/limit", "/a"]);
    }

    #[test]
    fn reports_are_bounded() {
        let many: Vec<String> = (0..100).map(|number| format!(r#""x{number}": 1"#)).collect();
        assert_eq!(pointers(&format!(r#"{{"limit": 1, {}}}"#, many.join(","))).len(), MAX_PROBLEMS);
    }
}
