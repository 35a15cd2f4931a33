//! The detector's settings.

use picket_sdk::{Problem, settings};
use serde::{Deserialize, Serialize};

/// See `docs/guards/drift.md` for what each does.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Names of the streams to watch; `*` stands for any characters, `?` for one.
    pub streams: Vec<String>,
    /// Rows of a window, 50 to 1,000,000.
    pub window: u64,
    /// Probability of a false alarm for each window of the whole box, 1e-9 to 0.5.
    pub alpha: f64,
    /// Rows without change until the sequential test's first false alarm on the whole box, on average at least; 100 to 1e12.
    pub average_run_length: f64,
    /// Rows from which a stream without reference learns one, 30 to 10,000.
    pub warmup: u64,
    /// A population stability index below it is no alarm, however sure; 0 to 10.
    pub psi_min: f64,
    /// A change of the mean rank or of a share by less than this is not bet on; 0 to 0.4.
    pub tolerance: f64,
    /// Probability that a stream's reference sample is so unlucky that the promises do not hold, 1e-9 to 0.5.
    pub reference_error: f64,
    /// Bins of a numeric stream, 2 to 32.
    pub bins: u64,
    /// An alarm closes after so many rows without cause, 1 to 1e9.
    pub cool_down: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            streams: vec!["*".to_owned()],
            window: 500,
            alpha: 0.001,
            average_run_length: 100_000.0,
            warmup: 1_000,
            psi_min: 0.02,
            tolerance: 0.01,
            reference_error: 0.01,
            bins: 10,
            cool_down: 1_000,
        }
    }
}

/// The JSON Schema of the settings.
pub const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "streams": { "type": "array", "items": { "type": "string", "minLength": 1, "maxLength": 512 }, "minItems": 1, "maxItems": 1024, "default": ["*"], "description": "Names; * stands for any characters, ? for one." },
    "window": { "type": "integer", "minimum": 50, "maximum": 1000000, "default": 500, "description": "Rows." },
    "alpha": { "type": "number", "minimum": 1e-9, "maximum": 0.5, "default": 0.001, "description": "False alarms for each window of the whole box." },
    "average_run_length": { "type": "number", "minimum": 100, "maximum": 1e12, "default": 100000, "description": "Rows until a false alarm of the sequential test on the whole box, on average at least." },
    "warmup": { "type": "integer", "minimum": 30, "maximum": 10000, "default": 1000, "description": "Rows from which a reference is learned where none is given." },
    "psi_min": { "type": "number", "minimum": 0, "maximum": 10, "default": 0.02 },
    "tolerance": { "type": "number", "minimum": 0, "maximum": 0.4, "default": 0.01 },
    "reference_error": { "type": "number", "minimum": 1e-9, "maximum": 0.5, "default": 0.01 },
    "bins": { "type": "integer", "minimum": 2, "maximum": 32, "default": 10 },
    "cool_down": { "type": "integer", "minimum": 1, "maximum": 1000000000, "default": 1000, "description": "Rows without cause after which an alarm closes." }
  }
}"#;

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
        let settings: Self = settings::parse(text)?;
        let mut problems = Vec::new();
        let mut check = |good: bool, pointer: &str, message: &str| {
            if !good {
                problems.push(Problem::new(pointer, message));
            }
        };
        check((1..=1024).contains(&settings.streams.len()), "/streams", "must have 1 to 1024 names");
        for (index, name) in settings.streams.iter().enumerate() {
            let pointer = format!("/streams/{index}");
            check((1..=crate::codec::MAX_NAME).contains(&name.len()), &pointer, "must have 1 to 512 bytes");
        }
        check((50..=1_000_000).contains(&settings.window), "/window", "must be from 50 to 1000000 rows");
        check((1e-9..=0.5).contains(&settings.alpha), "/alpha", "must be from 1e-9 to 0.5");
        let run = (100.0..=1e12).contains(&settings.average_run_length);
        check(run, "/average_run_length", "must be from 100 to 1e12 rows");
        check((30..=10_000).contains(&settings.warmup), "/warmup", "must be from 30 to 10000 rows");
        check((0.0..=10.0).contains(&settings.psi_min), "/psi_min", "must be from 0 to 10");
        check((0.0..=0.4).contains(&settings.tolerance), "/tolerance", "must be from 0 to 0.4");
        check((1e-9..=0.5).contains(&settings.reference_error), "/reference_error", "must be from 1e-9 to 0.5");
        check((2..=32).contains(&settings.bins), "/bins", "must be from 2 to 32");
        check((1..=1_000_000_000).contains(&settings.cool_down), "/cool_down", "must be from 1 to 1000000000 rows");
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    /// Whether a stream of this name is watched.
    pub(crate) fn watches(&self, name: &str) -> bool {
        self.streams.iter().any(|pattern| matches(pattern.as_bytes(), name.as_bytes()))
    }
}

/// Whether the pattern covers the whole name, in time at most the product of their lengths.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut next) = (0, 0);
    // Where the last star stands and the first byte after what it covers.
    let mut star: Option<(usize, usize)> = None;
    while next < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, next));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[next] => {
                at += 1;
                next += 1;
            }
            _ => match star {
                Some((place, covered)) => {
                    star = Some((place, covered + 1));
                    (at, next) = (place + 1, covered + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(text: &str) -> Vec<String> {
        Settings::parse(text).unwrap_err().into_iter().map(|problem| problem.pointer).collect()
    }

    #[test]
    fn each_mistake_is_named_by_its_place() {
        assert_eq!(pointers(r#"{"windows":5}"#), ["/windows"]);
        assert_eq!(pointers("[]"), [""]);
        let text = r#"{"streams":["a",""],"window":49,"alpha":0,"average_run_length":99,"warmup":29,"psi_min":-1,
            "tolerance":0.5,"reference_error":1,"bins":33,"cool_down":0}"#;
        assert_eq!(
            pointers(text),
            [
                "/streams/1",
                "/window",
                "/alpha",
                "/average_run_length",
                "/warmup",
                "/psi_min",
                "/tolerance",
                "/reference_error",
                "/bins",
                "/cool_down",
            ]
        );
        assert_eq!(pointers(r#"{"streams":[]}"#), ["/streams"]);
    }

    #[test]
    fn the_schema_names_every_setting_and_its_default() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        let defaults = serde_json::to_value(Settings::default()).unwrap();
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), defaults.as_object().unwrap().len());
        for (name, default) in defaults.as_object().unwrap() {
            let stated = &properties[name]["default"];
            assert!(stated == default || stated.as_f64() == default.as_f64(), "{name}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, name) in
            [("*", ""), ("*", "x"), ("a*c", "abbc"), ("a?c", "abc"), ("*.chars", "text.chars"), ("a*b*c", "aXbYbZc")]
        {
            assert!(matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("a?", "a"), ("*.chars", "text.char"), ("a*b", "ac"), ("", "x")] {
            assert!(!matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
    }
}
