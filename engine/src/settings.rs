//! Settings in canonical form, so that their digest and what the guard reads are one and the same.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// A SHA-256 digest.
pub type Digest32 = [u8; 32];

/// Settings of a guard: one JSON document in canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// What the guard is given. Never the operator's own spelling: two spellings with one digest must not differ for
    /// the guard.
    pub(crate) text: String,
    pub(crate) digest: Digest32,
}

impl Settings {
    /// Those of a guard that is not configured.
    pub(crate) fn none() -> Self {
        Self { text: "{}".into(), digest: sha256(b"{}") }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let mut canonical = String::with_capacity(text.len());
        write(&serde_json::from_str(text)?, &mut canonical);
        let digest = sha256(canonical.as_bytes());
        Ok(Self { text: canonical, digest })
    }
}

/// SHA-256 over the canonical form of `settings`: members sorted by name (by code point), no white space, the last of
/// members with one name, numbers in the shortest form that reads back as the same 64-bit number.
///
/// # Errors
/// When `settings` is not one JSON document.
pub fn settings_digest(settings: &str) -> Result<Digest32, serde_json::Error> {
    Ok(Settings::parse(settings)?.digest)
}

/// SHA-256 over the bytes of a component: its name for ever.
pub fn component_digest(wasm: &[u8]) -> Digest32 {
    sha256(wasm)
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest32 {
    Sha256::digest(bytes).into()
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (index, (name, member)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write(member, out);
            }
            out.push('}');
        }
        Value::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(element, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn canonical_form_sorts_members_and_drops_white_space() {
        let settings =
            Settings::parse(" { \"b\" : [1, 2.50, \"x\\u0041\"], \"a\": {\"d\": null, \"c\": true} } ").unwrap();
        assert_eq!(settings.text, r#"{"a":{"c":true,"d":null},"b":[1,2.5,"xA"]}"#);
    }

    #[test]
    fn spelling_does_not_change_the_digest_and_values_do() {
        assert_eq!(settings_digest(r#"{"a":1,"b":2}"#).unwrap(), settings_digest("{\"b\":2,\n\"a\":1}").unwrap());
        assert_ne!(settings_digest(r#"{"a":1}"#).unwrap(), settings_digest(r#"{"a":2}"#).unwrap());
        assert_eq!(settings_digest("{}").unwrap(), sha256(b"{}"));
    }

    #[test]
    fn anything_but_one_document_is_refused() {
        for text in ["", "{", "{} {}", "nul", "{\"a\":}"] {
            assert!(settings_digest(text).is_err(), "{text:?}");
        }
    }
}
