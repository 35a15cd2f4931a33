//! The guard's settings.

use std::collections::BTreeMap;

use picket_sdk::json::escape_token;
use picket_sdk::{Problem, settings};
use serde::Deserialize;

use crate::scan::{Entity, EntitySet};

/// What happens to a datum that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The inference is marked and passes.
    Flag,
    /// All but the last four characters become `*`.
    Mask,
    /// The placeholder takes its place.
    Redact,
    /// The inference does not pass.
    Block,
}

/// A part of the inference that the guard looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// What the model was asked.
    Input,
    /// The documents it was given.
    Context,
    /// What it answered.
    Output,
    /// Its features, those that are text.
    Features,
    /// The caller's attributes.
    Attributes,
}

/// More than this the host does not take from one verdict.
const MOST_HITS: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    entities: Vec<Entity>,
    action: Action,
    // By name, so that a mistake in it has its place.
    actions: BTreeMap<String, Action>,
    parts: Vec<Place>,
    min_score: f64,
    placeholder: String,
    max_hits: usize,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            entities: Entity::ALL.to_vec(),
            action: Action::Redact,
            actions: BTreeMap::new(),
            parts: vec![Place::Output],
            min_score: 0.5,
            placeholder: "[{ENTITY}]".to_owned(),
            max_hits: MOST_HITS,
        }
    }
}

/// Checked settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is looked for.
    pub entities: EntitySet,
    /// What happens to each, by `Entity as usize`.
    pub actions: [Action; 6],
    /// Where it is looked for, each once, in the order of the contract.
    pub parts: Vec<Place>,
    /// How sure the guard must be, 0 to 1.
    pub min_score: f64,
    /// What is put in the place of each, by `Entity as usize`.
    pub placeholders: [String; 6],
    /// With more hits than this in one inference it is blocked: it is a list of personal data.
    pub max_hits: usize,
}

/// The JSON Schema of the settings.
pub const SCHEMA: &str = r##"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "$defs": {
    "entity": { "enum": ["email", "phone", "card", "iban", "ssn", "ip"] },
    "action": { "enum": ["redact", "mask", "flag", "block"] }
  },
  "properties": {
    "entities": { "type": "array", "items": { "$ref": "#/$defs/entity" }, "minItems": 1, "description": "What to look for. Default: all." },
    "action": { "$ref": "#/$defs/action", "default": "redact" },
    "actions": { "type": "object", "propertyNames": { "$ref": "#/$defs/entity" }, "additionalProperties": { "$ref": "#/$defs/action" }, "description": "Another action for single entities." },
    "parts": { "type": "array", "items": { "enum": ["input", "context", "output", "features", "attributes"] }, "minItems": 1, "default": ["output"] },
    "min_score": { "type": "number", "minimum": 0, "maximum": 1, "default": 0.5 },
    "placeholder": { "type": "string", "minLength": 1, "maxLength": 64, "default": "[{ENTITY}]", "description": "{ENTITY} and {entity} become the entity's name." },
    "max_hits": { "type": "integer", "minimum": 1, "maximum": 256, "default": 256, "description": "An inference with more than this is blocked." }
  }
}"##;

impl Settings {
    /// Reads the settings' JSON text.
    ///
    /// # Errors
    /// All mistakes at once, each with its place.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        // Serde takes a list for a struct whose fields have defaults.
        if text.trim_start().starts_with('[') {
            return Err(vec![Problem::new("", "the settings must be an object")]);
        }
        let raw: Raw = settings::parse(text)?;
        let mut problems = Vec::new();
        let mut check = |good: bool, pointer: &str, message: &str| {
            if !good {
                problems.push(Problem::new(pointer, message));
            }
        };
        check(!raw.entities.is_empty(), "/entities", "name at least one entity, or leave it out for all");
        check(!raw.parts.is_empty(), "/parts", "name at least one part, or leave it out for the output");
        check((0.0..=1.0).contains(&raw.min_score), "/min_score", "must be from 0 to 1");
        check((1..=MOST_HITS).contains(&raw.max_hits), "/max_hits", "must be from 1 to 256");
        // It is put into JSON documents as it is.
        let plain = !raw.placeholder.contains(|c: char| c.is_control() || c == '"' || c == '\\');
        let sized = (1..=64).contains(&raw.placeholder.len());
        check(
            plain && sized,
            "/placeholder",
            "must have 1 to 64 bytes, no control characters, quotation marks or backslashes",
        );
        for name in raw.actions.keys().filter(|name| Entity::ALL.iter().all(|entity| entity.name() != **name)) {
            let mut pointer = "/actions/".to_owned();
            escape_token(&mut pointer, name);
            problems.push(Problem::new(pointer, "no such entity; there are email, phone, card, iban, ssn, ip"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut entities = EntitySet::EMPTY;
        raw.entities.iter().for_each(|entity| entities.insert(*entity));
        let mut parts = raw.parts;
        parts.sort_unstable();
        parts.dedup();
        Ok(Self {
            entities,
            actions: Entity::ALL.map(|entity| raw.actions.get(entity.name()).copied().unwrap_or(raw.action)),
            parts,
            min_score: raw.min_score,
            placeholders: Entity::ALL.map(|entity| {
                let upper = entity.name().to_ascii_uppercase();
                raw.placeholder.replace("{ENTITY}", &upper).replace("{entity}", entity.name())
            }),
            max_hits: raw.max_hits,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(text: &str) -> Vec<String> {
        Settings::parse(text).unwrap_err().into_iter().map(|problem| problem.pointer).collect()
    }

    #[test]
    fn each_mistake_is_named_by_its_place() {
        assert_eq!(pointers(r#"{"action":"burn","wanted":true,"a/b":1}"#), ["/action", "/wanted", "/a~1b"]);
        assert_eq!(pointers(r#"{"entities":["email","fax"]}"#), ["/entities/1"]);
        assert_eq!(pointers(r#"{"actions":{"card":1}}"#), ["/actions/card"]);
        assert_eq!(pointers(r#"{"actions":{"fax":"flag"}}"#), ["/actions/fax"]);
        assert_eq!(
            pointers(r#"{"entities":[],"parts":[],"min_score":2,"placeholder":"\"","max_hits":257}"#),
            ["/entities", "/parts", "/min_score", "/max_hits", "/placeholder"]
        );
        assert_eq!(pointers(r#"{"placeholder":""}"#), ["/placeholder"]);
        assert_eq!(pointers("{"), [""]);
        assert_eq!(pointers("[]"), [""]);
    }

    #[test]
    fn single_entities_may_have_their_own_action() {
        let settings =
            Settings::parse(r#"{"action":"mask","actions":{"card":"block"},"placeholder":"<{entity}>"}"#).unwrap();
        assert_eq!(settings.actions[Entity::Card as usize], Action::Block);
        assert_eq!(settings.actions[Entity::Ip as usize], Action::Mask);
        assert_eq!(settings.placeholders[Entity::Ip as usize], "<ip>");
    }

    #[test]
    fn the_schema_names_every_setting() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        for name in ["entities", "action", "actions", "parts", "min_score", "placeholder", "max_hits"] {
            assert!(schema["properties"].get(name).is_some(), "{name}");
        }
        assert_eq!(schema["properties"].as_object().unwrap().len(), 7);
    }
}
