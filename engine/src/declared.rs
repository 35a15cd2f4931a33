//! Limits that a component asks for: what its author, and whoever signs it, say that it needs.
//!
//! They stand in the component's own custom section `picket:limits`, so that its digest covers them: one JSON object
//! with the members `deadline_ms`, `memory_bytes`, `table_elements`, `answer_bytes` and `findings`, all optional,
//! each a whole number from 1. A guard declares, the operator grants: nothing here gives a guard anything.

use serde::{Deserialize, Serialize};
use wasmparser::{Encoding, Parser, Payload};

use crate::inspect::NotAComponent;

/// The name of the custom section.
pub const LIMITS_SECTION: &str = "picket:limits";
/// Longest section, in bytes.
const MAX_BYTES: usize = 4096;

/// What a component asks for; `None` where it asks for nothing in particular.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// Time for one check, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Linear memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Elements of all tables together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_elements: Option<u64>,
    /// Bytes of one answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_bytes: Option<u64>,
    /// Findings of one verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<u64>,
}

impl Declared {
    /// The limits that stand in `wasm`; `None` when it declares none.
    ///
    /// # Errors
    /// When the section is there twice, too long, or not what the module's documentation says. Sections of components and
    /// modules inside do not count.
    pub fn read(wasm: &[u8]) -> Result<Option<Self>, NotAComponent> {
        let mut found = None;
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.map_err(|error| NotAComponent(format!("it is broken: {error}")))? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Ok(None),
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::CustomSection(section) if depth == 0 && section.name() == LIMITS_SECTION => {
                    if found.is_some() {
                        return Err(wrong("is there twice"));
                    }
                    found = Some(Self::parse(section.data())?);
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// The section's contents: the members in the order of the fields, without white space.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Result<Self, NotAComponent> {
        if bytes.len() > MAX_BYTES {
            return Err(wrong(&format!("has {} bytes; at most {MAX_BYTES} are read", bytes.len())));
        }
        let declared: Self = serde_json::from_slice(bytes).map_err(|error| wrong(&format!("is malformed: {error}")))?;
        let Self { deadline_ms, memory_bytes, table_elements, answer_bytes, findings } = declared;
        if [deadline_ms, memory_bytes, table_elements, answer_bytes, findings].contains(&Some(0)) {
            return Err(wrong("asks for nothing of something; leave the member out"));
        }
        Ok(declared)
    }
}

fn wrong(message: &str) -> NotAComponent {
    NotAComponent(format!("its custom section `{LIMITS_SECTION}` {message}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// A component with these custom sections.
    fn component(sections: &[&str]) -> Vec<u8> {
        let mut wasm = b"\0asm\x0d\0\x01\0".to_vec();
        for contents in sections {
            let name = LIMITS_SECTION.as_bytes();
            let body = [&[u8::try_from(name.len()).unwrap()], name, contents.as_bytes()].concat();
            let (low, high) = (body.len() % 128, body.len() / 128);
            wasm.extend([0, u8::try_from(low).unwrap() | 0x80, u8::try_from(high).unwrap()]);
            wasm.extend(body);
        }
        wasm
    }

    #[test]
    fn what_is_declared_is_read_and_written_the_same() {
        let text = r#"{"deadline_ms":20,"memory_bytes":33554432,"findings":16}"#;
        let declared = Declared::read(&component(&[text])).unwrap().unwrap();
        assert_eq!((declared.deadline_ms, declared.findings, declared.answer_bytes), (Some(20), Some(16), None));
        assert_eq!(declared.to_json(), text);
        assert_eq!(Declared::read(&component(&[])).unwrap(), None);
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let long = format!("{{{}}}", " ".repeat(5000));
        let cases: [&[&str]; 6] = [
            &[r#"{"deadline_ms":0}"#],
            &[r#"{"memory":1}"#],
            &[r#"{"memory_bytes":-1}"#],
            &["[]"],
            &["{}", "{}"],
            &[&long],
        ];
        for sections in cases {
            let error = Declared::read(&component(sections)).unwrap_err();
            assert!(error.to_string().contains(LIMITS_SECTION), "{error}");
        }
    }
}
