//! From JSON text to an inference.

use super::tensor::RawTensor;
use super::{BadInference, Received};
use picket_engine::{Attribute, Content, Document, Inference, Message, NamedValue, Scalar};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::marker::PhantomData;

/// Longest id, model, version and name, in bytes.
pub const MAX_ID_BYTES: usize = 256;
/// Most features and most attributes of one inference.
pub const MAX_FEATURES: usize = 4096;
/// Most context documents and most messages of one inference.
pub const MAX_CONTEXT: usize = 4096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInference {
    id: String,
    time: Option<String>,
    model: String,
    model_version: Option<String>,
    prompt_version: Option<String>,
    input: Option<RawContent>,
    #[serde(default)]
    context: Vec<RawDocument>,
    output: Option<RawContent>,
    #[serde(default)]
    features: Members<RawScalar>,
    #[serde(default)]
    attributes: Members<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawContent {
    text: Option<String>,
    json: Option<Box<RawValue>>,
    messages: Option<Vec<RawMessage>>,
    tensors: Option<Vec<RawTensor>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMessage {
    role: String,
    name: Option<String>,
    content: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDocument {
    id: String,
    text: String,
}

/// Reads one JSON object.
///
/// # Errors
/// [`BadInference`] names the field.
pub fn parse(bytes: &[u8]) -> Result<Received, BadInference> {
    let text = std::str::from_utf8(bytes).map_err(|error| BadInference {
        field: String::new(),
        message: format!("not UTF-8 from byte {} on", error.valid_up_to()),
    })?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let raw: RawInference = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        BadInference {
            field: if matches!(path.as_str(), "." | "?") { String::new() } else { path },
            message: error.inner().to_string(),
        }
    })?;
    deserializer.end().map_err(|error| wrong("", format!("something follows the object: {error}")))?;
    let inference = checked(raw)?;
    let trace_id = inference
        .attributes
        .iter()
        .find(|attribute| attribute.name == "traceparent")
        .and_then(|attribute| trace_id(&attribute.value));
    Ok(Received { bytes: bytes.to_vec(), inference, trace_id })
}

fn wrong(field: impl Into<String>, message: impl Into<String>) -> BadInference {
    BadInference { field: field.into(), message: message.into() }
}

fn checked(raw: RawInference) -> Result<Inference, BadInference> {
    bounded("id", &raw.id, 1)?;
    bounded("model", &raw.model, 1)?;
    for (field, value) in [("model_version", &raw.model_version), ("prompt_version", &raw.prompt_version)] {
        value.as_deref().map_or(Ok(()), |value| bounded(field, value, 0))?;
    }
    if raw.context.len() > MAX_CONTEXT {
        return Err(wrong("context", format!("more than {MAX_CONTEXT} documents")));
    }
    let time = raw.time.as_deref().map(milliseconds).transpose().map_err(|message| wrong("time", message))?;
    Ok(Inference {
        id: raw.id,
        time,
        model: raw.model,
        model_version: raw.model_version,
        prompt_version: raw.prompt_version,
        input: raw.input.map(|content| self::content("input", content)).transpose()?,
        context: raw.context.into_iter().map(|document| Document { id: document.id, text: document.text }).collect(),
        output: raw.output.map(|content| self::content("output", content)).transpose()?,
        features: raw.features.0.into_iter().map(|(name, value)| NamedValue { name, value: value.0 }).collect(),
        attributes: raw.attributes.0.into_iter().map(|(name, value)| Attribute { name, value }).collect(),
        measurements: Vec::new(),
    })
}

fn bounded(field: &str, value: &str, least: usize) -> Result<(), BadInference> {
    if value.len() < least || value.len() > MAX_ID_BYTES {
        return Err(wrong(field, format!("{} bytes long; {least} to {MAX_ID_BYTES} are allowed", value.len())));
    }
    if value.chars().any(char::is_control) {
        return Err(wrong(field, "holds a control character"));
    }
    Ok(())
}

/// RFC 3339 to milliseconds since 1970; years before that are refused.
fn milliseconds(text: &str) -> Result<u64, String> {
    let time: jiff::Timestamp =
        text.parse().map_err(|_| format!("`{text}` is not an RFC 3339 time such as 2026-11-23T09:00:00Z"))?;
    u64::try_from(time.as_millisecond()).map_err(|_| format!("`{text}` is before 1970"))
}

fn content(field: &str, raw: RawContent) -> Result<Content, BadInference> {
    match (raw.text, raw.json, raw.messages, raw.tensors) {
        (Some(text), None, None, None) => Ok(Content::Text(text)),
        (None, Some(json), None, None) => Ok(Content::Json(String::from(Box::<str>::from(json)))),
        (None, None, Some(messages), None) => {
            if messages.len() > MAX_CONTEXT {
                return Err(wrong(format!("{field}.messages"), format!("more than {MAX_CONTEXT} messages")));
            }
            let message = |raw: RawMessage| Message { role: raw.role, name: raw.name, content: raw.content };
            Ok(Content::Messages(messages.into_iter().map(message).collect()))
        }
        (None, None, None, Some(tensors)) => {
            let mut names = BTreeSet::new();
            let mut checked = Vec::with_capacity(tensors.len());
            for (index, raw) in tensors.into_iter().enumerate() {
                let field = format!("{field}.tensors[{index}]");
                let tensor = raw.checked().map_err(|(key, message)| wrong(format!("{field}.{key}"), message))?;
                if !names.insert(tensor.name.clone()) {
                    return Err(wrong(format!("{field}.name"), format!("`{}` is there twice", tensor.name)));
                }
                checked.push(tensor);
            }
            Ok(Content::Tensors(checked))
        }
        _ => Err(wrong(field, "wants exactly one of `text`, `json`, `messages`, `tensors`")),
    }
}

/// The trace id of a W3C `traceparent` header: version, 32 hex digits, 16 hex digits, flags.
pub fn trace_id(traceparent: &str) -> Option<String> {
    let mut parts = traceparent.split('-');
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let valid = hex(version, 2) && hex(id, 32) && hex(parent, 16) && hex(flags, 2) && id.bytes().any(|b| b != b'0');
    valid.then(|| id.to_owned())
}

/// A JSON object whose members keep their order and must differ in name.
struct Members<T>(Vec<(String, T)>);

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<T> {
            type Value = Members<T>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object of names and values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                let mut names = BTreeSet::new();
                while let Some((name, value)) = map.next_entry::<String, T>()? {
                    if members.len() == MAX_FEATURES {
                        return Err(A::Error::custom(format_args!("more than {MAX_FEATURES} members")));
                    }
                    if name.is_empty() || name.len() > MAX_ID_BYTES {
                        return Err(A::Error::custom(format_args!("a name has 1 to {MAX_ID_BYTES} bytes")));
                    }
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format_args!("`{name}` is there twice")));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each(PhantomData))
    }
}

/// A feature's value. The strings `NaN`, `Infinity` and `-Infinity` stay texts: JSON has no such numbers, and a feature
/// store that writes them so has written a text.
struct RawScalar(Scalar);

impl<'de> Deserialize<'de> for RawScalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = RawScalar;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("null, a boolean, a number or a text")
            }

            fn visit_unit<E>(self) -> Result<RawScalar, E> {
                Ok(RawScalar(Scalar::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<RawScalar, E> {
                Ok(RawScalar(Scalar::Boolean(value)))
            }

            fn visit_i64<E>(self, value: i64) -> Result<RawScalar, E> {
                Ok(RawScalar(Scalar::Integer(value)))
            }

            fn visit_u64<E>(self, value: u64) -> Result<RawScalar, E> {
                #[expect(clippy::cast_precision_loss, reason = "above 2^63 a feature is a measure, not a count")]
                Ok(RawScalar(i64::try_from(value).map_or(Scalar::Number(value as f64), Scalar::Integer)))
            }

            fn visit_f64<E>(self, value: f64) -> Result<RawScalar, E> {
                Ok(RawScalar(Scalar::Number(value)))
            }

            fn visit_str<E>(self, value: &str) -> Result<RawScalar, E> {
                Ok(RawScalar(Scalar::Text(value.to_owned())))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
