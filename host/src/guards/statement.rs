//! What the signers of a guard sign: a text that says what the component is, field by field.
//!
//! `docs/guard-signatures.md` gives the form to those who write it in another language.

use picket_engine::{Declared, Descriptor, Guarantee, NotAComponent, Parts, World};
use picket_ledger::Hash;
use picket_ledger::hash::{from_hex, sha256, to_hex};
use serde_json::{Value, json};

/// The first line.
pub const HEADER: &str = "picket-guard-statement/v1";

/// A statement, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// SHA-256 of the component.
    pub component: Hash,
    /// Its size in bytes.
    pub size: u64,
    /// The world that it exports.
    pub world: String,
    /// The name in its descriptor.
    pub name: String,
    /// The version in its descriptor.
    pub version: String,
    /// SHA-256 of its descriptor in canonical form, the schema left out.
    pub descriptor: Hash,
    /// SHA-256 of its settings schema, as the descriptor has it.
    pub settings_schema: Hash,
    /// The limits that it declares.
    pub limits: Declared,
}

/// Why a text is no statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// Another header: another version, or something else.
    #[error("the signed text does not begin with `{HEADER}`")]
    Header,
    /// A field is missing, malformed, or out of its place.
    #[error("line {line} of the statement is no `{field}`")]
    Field {
        /// Counted from 1.
        line: usize,
        /// The field that belongs there.
        field: &'static str,
    },
    /// It says what a statement says, in another form than the one that it has.
    #[error("the statement is not in its canonical form")]
    Form,
}

impl Statement {
    /// What is to be said of `wasm`, whose descriptor is `descriptor`.
    ///
    /// # Errors
    /// When its declared limits cannot be read.
    pub fn of(wasm: &[u8], world: World, descriptor: &Descriptor) -> Result<Self, NotAComponent> {
        Ok(Self {
            component: sha256(wasm),
            size: wasm.len() as u64,
            world: world.name().to_owned(),
            name: descriptor.name.clone(),
            version: descriptor.version.clone(),
            descriptor: sha256(canonical_descriptor(descriptor).as_bytes()),
            settings_schema: sha256(descriptor.settings_schema.as_bytes()),
            limits: Declared::read(wasm)?.unwrap_or_default(),
        })
    }

    /// The text that is signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { component, size, world, name, version, descriptor, settings_schema, limits } = self;
        let (component, descriptor, schema) = (to_hex(component), to_hex(descriptor), to_hex(settings_schema));
        let limits = canonical_limits(limits);
        format!(
            "{HEADER}\ncomponent sha256:{component}\nsize {size}\nworld {world}\nname {name}\nversion {version}\n\
             descriptor sha256:{descriptor}\nsettings-schema sha256:{schema}\nlimits {limits}\n"
        )
    }

    /// Reads what [`Self::to_text`] writes, and nothing else.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn parse(text: &str) -> Result<Self, StatementError> {
        let mut lines = text.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(StatementError::Header);
        }
        let mut line = 1;
        let mut field = |field: &'static str| {
            line += 1;
            let value = lines.next().and_then(|line| line.strip_prefix(field)?.strip_prefix(' '));
            value.ok_or(StatementError::Field { line, field })
        };
        let values = [
            field("component")?,
            field("size")?,
            field("world")?,
            field("name")?,
            field("version")?,
            field("descriptor")?,
            field("settings-schema")?,
            field("limits")?,
        ];
        let [component, size, world, name, version, descriptor, schema, limits] = values;
        let hash = |line, field, text: &str| {
            let hash = text.strip_prefix("sha256:").and_then(|text| from_hex(text).ok());
            hash.ok_or(StatementError::Field { line, field })
        };
        let statement = Self {
            component: hash(2, "component", component)?,
            size: size.parse().map_err(|_| StatementError::Field { line: 3, field: "size" })?,
            world: world.to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
            descriptor: hash(7, "descriptor", descriptor)?,
            settings_schema: hash(8, "settings-schema", schema)?,
            limits: serde_json::from_str(limits).map_err(|_| StatementError::Field { line: 9, field: "limits" })?,
        };
        // One meaning, one text: what two signers signed can be compared byte by byte.
        if statement.to_text() == text { Ok(statement) } else { Err(StatementError::Form) }
    }

    /// The first field in which this statement and another, made from the component at hand, differ.
    #[must_use]
    pub fn difference(&self, found: &Self) -> Option<&'static str> {
        let fields = [
            ("component", self.component == found.component && self.size == found.size),
            ("world", self.world == found.world),
            ("name", self.name == found.name),
            ("version", self.version == found.version),
            ("descriptor", self.descriptor == found.descriptor),
            ("settings-schema", self.settings_schema == found.settings_schema),
            ("limits", self.limits == found.limits),
        ];
        fields.into_iter().find(|(_, equal)| !equal).map(|(field, _)| field)
    }
}

/// RFC 8785: members sorted, no white space. Every name here is ASCII, so sorting by bytes is sorting as the RFC does.
fn canonical(mut members: Vec<(&str, Value)>) -> Value {
    members.sort_by(|left, right| left.0.cmp(right.0));
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The descriptor without its settings schema, for which the statement has a line of its own.
fn canonical_descriptor(descriptor: &Descriptor) -> String {
    let needs = [
        (Parts::INPUT, "input"),
        (Parts::CONTEXT, "context"),
        (Parts::OUTPUT, "output"),
        (Parts::FEATURES, "features"),
        (Parts::ATTRIBUTES, "attributes"),
    ];
    let needs: Vec<&str> =
        needs.into_iter().filter(|(part, _)| descriptor.needs.contains(*part)).map(|(_, name)| name).collect();
    let rule = |rule: &picket_engine::Rule| {
        let guarantee = match rule.guarantee {
            Guarantee::Held => "held",
            Guarantee::Windowed => "windowed",
            Guarantee::AfterTheFact => "after-the-fact",
        };
        canonical(vec![("id", json!(rule.id)), ("summary", json!(rule.summary)), ("guarantee", json!(guarantee))])
    };
    canonical(vec![
        ("name", json!(descriptor.name)),
        ("version", json!(descriptor.version)),
        ("summary", json!(descriptor.summary)),
        ("needs", json!(needs)),
        ("rules", Value::Array(descriptor.rules.iter().map(rule).collect())),
    ])
    .to_string()
}

fn canonical_limits(limits: &Declared) -> String {
    let Declared { deadline_ms, memory_bytes, table_elements, answer_bytes, findings } = *limits;
    let members = [
        ("answer_bytes", answer_bytes),
        ("deadline_ms", deadline_ms),
        ("findings", findings),
        ("memory_bytes", memory_bytes),
        ("table_elements", table_elements),
    ];
    canonical(members.into_iter().filter_map(|(name, value)| Some((name, json!(value?)))).collect()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        Statement {
            component: [1; 32],
            size: 7,
            world: "validator".into(),
            name: "pii".into(),
            version: "1.0.0".into(),
            descriptor: [2; 32],
            settings_schema: [3; 32],
            limits: Declared { deadline_ms: Some(20), answer_bytes: Some(5), ..Declared::default() },
        }
    }

    #[test]
    fn a_statement_is_read_as_it_was_written() {
        let text = statement().to_text();
        assert!(text.ends_with("\nlimits {\"answer_bytes\":5,\"deadline_ms\":20}\n"), "{text}");
        assert_eq!(Statement::parse(&text), Ok(statement()));
    }

    #[test]
    fn any_other_text_is_refused() {
        let text = statement().to_text();
        let cases = [
            (text.replace("/v1", "/v2"), StatementError::Header),
            (text.replace("size 7\n", ""), StatementError::Field { line: 3, field: "size" }),
            (text.replace("size 7", "size 07"), StatementError::Form),
            (text.replace("size 7", "size -7"), StatementError::Field { line: 3, field: "size" }),
            (text.replace("sha256:01", "sha256:0g"), StatementError::Field { line: 2, field: "component" }),
            (text.replace("{\"answer", "{ \"answer"), StatementError::Form),
            (text.replace("answer_bytes", "answers"), StatementError::Field { line: 9, field: "limits" }),
            (text.clone() + "more\n", StatementError::Form),
            (text.trim_end().to_owned(), StatementError::Form),
        ];
        for (text, expected) in cases {
            assert_eq!(Statement::parse(&text), Err(expected), "{text}");
        }
    }
}
