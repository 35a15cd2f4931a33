//! Measurements that the host takes of every inference, whatever guards there are.
//!
//! | name | unit | of |
//! |---|---|---|
//! | `text.bytes`, `text.chars` | bytes of UTF-8, Unicode scalar values | a text output, or all messages of one together |
//! | `text.tokens` | runs of letters and digits, and each other character that is no white space | the same |
//! | `json.bytes`, `json.depth`, `json.nulls`, `json.values` | bytes; nesting (a scalar has 0, `[]` has 1); nulls; scalars | a JSON output |
//! | `output.<member>` | the member's value | scalars at the top of a JSON object, at most 32 |
//! | `tensor.<name>.nan` | NaN elements | each floating-point tensor |
//! | `output.<tensor>`, `output.<tensor>.<i>` | the element | tensors of one element; the first 16 of small ones |
//! | `input.chars`, `context.chars`, `context.documents` | as above | input and context, when there are any |
//!
//! `text.tokens` is no model's tokenizer; it is a count that stays comparable between models and needs no vocabulary
//! (`docs/decisions` says why).

use crate::inference::tensor_numbers;
use picket_engine::{Content, Inference, NamedValue, Scalar, Tensor};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Most members of a JSON output that become measurements of their own.
const MAX_MEMBERS: usize = 32;
/// Tensors with at most this many elements have each measured.
const MAX_ELEMENTS: usize = 16;
/// Longest text that is kept as a category.
const MAX_CATEGORY_BYTES: usize = 64;

/// Measures `inference`. Deterministic; linear in its size.
pub fn measure(inference: &Inference) -> Vec<NamedValue> {
    let mut taken = Taken(Vec::with_capacity(16));
    match &inference.output {
        Some(Content::Text(text)) => taken.texts(std::iter::once(text.as_str())),
        Some(Content::Messages(messages)) => taken.texts(messages.iter().map(|message| message.content.as_str())),
        Some(Content::Json(document)) => taken.json(document),
        Some(Content::Tensors(tensors)) => tensors.iter().for_each(|tensor| taken.tensor(tensor)),
        None => {}
    }
    if let Some(input) = &inference.input {
        taken.count("input.chars", chars(input));
    }
    if !inference.context.is_empty() {
        taken.count("context.documents", inference.context.len());
        taken.count("context.chars", inference.context.iter().map(|document| char_count(&document.text)).sum());
    }
    taken.0
}

struct Taken(Vec<NamedValue>);

impl Taken {
    fn push(&mut self, name: impl Into<String>, value: Scalar) {
        self.0.push(NamedValue { name: name.into(), value });
    }

    fn count(&mut self, name: &str, count: usize) {
        self.push(name, Scalar::Integer(i64::try_from(count).unwrap_or(i64::MAX)));
    }

    fn texts<'a>(&mut self, texts: impl Iterator<Item = &'a str>) {
        let (mut bytes, mut chars, mut tokens) = (0, 0, 0);
        for text in texts {
            bytes += text.len();
            chars += char_count(text);
            tokens += token_count(text);
        }
        self.count("text.bytes", bytes);
        self.count("text.chars", chars);
        self.count("text.tokens", tokens);
    }

    fn json(&mut self, document: &str) {
        let shape = shape(document);
        self.count("json.bytes", document.len());
        self.count("json.depth", shape.depth);
        self.count("json.nulls", shape.nulls);
        self.count("json.values", shape.values);
        for (name, value) in members(document) {
            self.push(format!("output.{name}"), value);
        }
    }

    fn tensor(&mut self, tensor: &Tensor) {
        use picket_engine::Datatype;
        if matches!(tensor.datatype, Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 | Datatype::Fp64) {
            let nan = tensor_numbers(tensor).filter(|number| number.is_nan()).count();
            self.count(&format!("tensor.{}.nan", tensor.name), nan);
        }
        let first: Vec<f64> = tensor_numbers(tensor).take(MAX_ELEMENTS + 1).collect();
        match first.as_slice() {
            [single] => self.push(format!("output.{}", tensor.name), Scalar::Number(*single)),
            several if several.len() <= MAX_ELEMENTS => {
                for (index, number) in several.iter().enumerate() {
                    self.push(format!("output.{}.{index}", tensor.name), Scalar::Number(*number));
                }
            }
            _ => {}
        }
    }
}

fn chars(content: &Content) -> usize {
    match content {
        Content::Text(text) | Content::Json(text) => char_count(text),
        Content::Messages(messages) => messages.iter().map(|message| char_count(&message.content)).sum(),
        Content::Tensors(_) => 0,
    }
}

fn char_count(text: &str) -> usize {
    text.chars().count()
}

fn token_count(text: &str) -> usize {
    let mut tokens = 0;
    let mut inside = false;
    for character in text.chars() {
        let word = character.is_alphanumeric();
        if (word && !inside) || (!word && !character.is_whitespace()) {
            tokens += 1;
        }
        inside = word;
    }
    tokens
}

#[derive(Default)]
struct Shape {
    depth: usize,
    nulls: usize,
    values: usize,
}

/// Depth and counts of a valid JSON document, without recursion: the document may be as deep as it likes.
fn shape(document: &str) -> Shape {
    let mut shape = Shape::default();
    let mut depth = 0usize;
    let mut bytes = document.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                shape.depth = shape.depth.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(inside) = bytes.next() {
                    match inside {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
                while bytes.peek().is_some_and(u8::is_ascii_whitespace) {
                    bytes.next();
                }
                // A name is followed by a colon, a value is not.
                shape.values += usize::from(bytes.peek() != Some(&b':'));
            }
            b't' | b'f' | b'n' | b'-' | b'0'..=b'9' => {
                shape.values += 1;
                shape.nulls += usize::from(byte == b'n');
                while bytes.peek().is_some_and(|next| !b",]} \t\r\n".contains(next)) {
                    bytes.next();
                }
            }
            _ => {}
        }
    }
    shape
}

/// The scalar members of a JSON object, in order; nothing when the document is none.
fn members(document: &str) -> Vec<(String, Scalar)> {
    struct Scalars;
    impl<'de> Visitor<'de> for Scalars {
        type Value = Vec<(String, Scalar)>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut scalars: Vec<(String, Scalar)> = Vec::new();
            while let Some(name) = map.next_key::<String>()? {
                let value: &RawValue = map.next_value()?;
                let Some(value) = scalar(value.get()) else { continue };
                if name.len() <= MAX_CATEGORY_BYTES && scalars.iter().all(|(known, _)| *known != name) {
                    scalars.push((name, value));
                }
                if scalars.len() == MAX_MEMBERS {
                    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                    break;
                }
            }
            Ok(scalars)
        }
    }
    if !document.trim_start().starts_with('{') {
        return Vec::new();
    }
    serde_json::Deserializer::from_str(document).deserialize_map(Scalars).unwrap_or_default()
}

fn scalar(text: &str) -> Option<Scalar> {
    match text.as_bytes().first()? {
        b'n' => Some(Scalar::Null),
        b't' | b'f' => Some(Scalar::Boolean(text == "true")),
        b'"' => serde_json::from_str::<String>(text)
            .ok()
            .filter(|category| category.len() <= MAX_CATEGORY_BYTES)
            .map(Scalar::Text),
        b'{' | b'[' => None,
        _ => serde_json::from_str::<f64>(text).ok().map(Scalar::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(output: Content) -> Vec<(String, Scalar)> {
        let line = br#"{"id":"a","model":"m"}"#;
        let mut inference = crate::inference::parse(line).expect("a minimal inference").inference;
        inference.output = Some(output);
        measure(&inference).into_iter().map(|value| (value.name, value.value)).collect()
    }

    fn integer(values: &[(String, Scalar)], name: &str) -> i64 {
        match values.iter().find(|(known, _)| known == name) {
            Some((_, Scalar::Integer(value))) => *value,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn text_is_counted_in_bytes_characters_and_tokens() {
        let values = taken(Content::Text("Straße 12, don't!".into()));
        assert_eq!(integer(&values, "text.bytes"), 18);
        assert_eq!(integer(&values, "text.chars"), 17);
        // Straße 12 , don ' t !
        assert_eq!(integer(&values, "text.tokens"), 7);
    }

    #[test]
    fn json_shape_counts_values_not_names() {
        let document = r#" {"a": [null, {"b\"]": "x:y"}], "c" : "\\", "d": -1.5e3, "e": {}} "#;
        let values = taken(Content::Json(document.into()));
        assert_eq!(integer(&values, "json.depth"), 3);
        assert_eq!(integer(&values, "json.nulls"), 1);
        assert_eq!(integer(&values, "json.values"), 4);
        assert!(
            values
                .iter()
                .any(|(name, value)| name == "output.d" && matches!(value, Scalar::Number(n) if *n == -1500.0))
        );
        assert!(values.iter().any(|(name, value)| name == "output.c" && matches!(value, Scalar::Text(t) if t == "\\")));
        assert!(!values.iter().any(|(name, _)| name == "output.a" || name == "output.e"));
    }

    #[test]
    fn a_scalar_has_depth_nought_and_deep_documents_do_not_recurse() {
        assert_eq!(integer(&taken(Content::Json("7".into())), "json.depth"), 0);
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(integer(&taken(Content::Json(deep)), "json.depth"), 1_000_000);
    }

    #[test]
    fn members_are_bounded() {
        let many: Vec<String> = (0..100).map(|index| format!("\"m{index}\":{index}")).collect();
        let values = taken(Content::Json(format!("{{{}}}", many.join(","))));
        assert_eq!(values.iter().filter(|(name, _)| name.starts_with("output.")).count(), MAX_MEMBERS);
    }
}
