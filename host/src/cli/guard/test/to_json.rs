//! From TOML to JSON. TOML has what JSON lacks, NaN and times, and lacks `null`.

use picket_engine::Scalar;
use serde_json::{Map, Value as Json};
use toml::Value;

/// `value` as JSON. Times become texts. Numbers that JSON lacks become their names where a tensor has its `data`, as in
/// JSONL, and are an error elsewhere.
pub(super) fn json(value: &Value) -> Result<Json, String> {
    convert(value, false)
}

fn convert(value: &Value, in_data: bool) -> Result<Json, String> {
    Ok(match value {
        Value::String(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) if number.is_finite() => (*number).into(),
        Value::Float(number) if in_data => match *number {
            infinite if infinite == f64::INFINITY => "Infinity",
            infinite if infinite == f64::NEG_INFINITY => "-Infinity",
            _ => "NaN",
        }
        .into(),
        Value::Float(number) => return Err(format!("JSON has no number `{number}`")),
        Value::Boolean(value) => (*value).into(),
        Value::Datetime(time) => time.to_string().into(),
        Value::Array(values) => {
            Json::Array(values.iter().map(|value| convert(value, in_data)).collect::<Result<_, _>>()?)
        }
        Value::Table(members) => {
            let member = |(name, value): (&String, &Value)| Ok((name.clone(), convert(value, name == "data")?));
            Json::Object(members.iter().map(member).collect::<Result<Map<_, _>, String>>()?)
        }
    })
}

/// `value` as a measurement has it; `None` for what none can be.
pub(super) fn scalar(value: &Value) -> Option<Scalar> {
    match value {
        Value::String(text) => Some(Scalar::Text(text.clone())),
        Value::Integer(number) => Some(Scalar::Integer(*number)),
        Value::Float(number) => Some(Scalar::Number(*number)),
        Value::Boolean(value) => Some(Scalar::Boolean(*value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<String, String> {
        json(&Value::Table(toml::from_str(text).unwrap())).map(|json| json.to_string())
    }

    #[test]
    fn order_is_kept_and_numbers_that_json_lacks_are_only_in_tensors() {
        let text = "z = 1\na = 2026-11-23T09:00:00Z\ntensors = [{ data = [1.5, nan, -inf] }]";
        let expected = r#"{"z":1,"a":"2026-11-23T09:00:00Z","tensors":[{"data":[1.5,"NaN","-Infinity"]}]}"#;
        assert_eq!(of(text).unwrap(), expected);
        assert!(of("feature = nan").unwrap_err().contains("NaN"));
    }
}
