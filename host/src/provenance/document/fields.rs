//! Field types that check their own form while they are read, so that the error has its line and path.

use std::fmt;

use picket_ledger::Hash;
use picket_ledger::entry::MAX_NAME_BYTES;
use picket_ledger::hash::from_hex;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// More metrics than anyone reads.
const MAX_METRICS: usize = 200;

/// `sha256:` and 64 lower-case hex digits.
pub(super) struct Digest(pub(super) Hash);

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let lower = |hex: &str| !hex.bytes().any(|byte| byte.is_ascii_uppercase());
        let hash = text.strip_prefix("sha256:").filter(|hex| lower(hex)).and_then(|hex| from_hex(hex).ok());
        hash.map(Digest).ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            D::Error::custom(format!("{shown:?} is no digest; write sha256: and 64 lower-case hex digits"))
        })
    }
}

/// A name or version: 1 to [`MAX_NAME_BYTES`] bytes, no control characters, no spaces around it.
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let length = text.len();
        if length == 0 || length > MAX_NAME_BYTES {
            return Err(D::Error::custom(format!("{length} bytes; 1 to {MAX_NAME_BYTES} are allowed")));
        }
        if text.chars().any(char::is_control) || text.trim() != text {
            return Err(D::Error::custom("control characters and spaces around a name are not allowed"));
        }
        Ok(Self(text))
    }
}

/// A time with its offset, RFC 3339.
pub(super) struct Moment;

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let moment: Result<jiff::Timestamp, _> = text.parse();
        moment.map(|_| Self).map_err(|error| D::Error::custom(format!("no RFC 3339 time: {error}")))
    }
}

/// Names with decimal numbers in quotes, none twice.
pub(super) struct Metrics;

impl<'de> Deserialize<'de> for Metrics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MetricsVisitor)
    }
}

struct MetricsVisitor;

impl<'de> Visitor<'de> for MetricsVisitor {
    type Value = Metrics;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of decimal numbers in quotes, as in {\"accuracy\": \"0.9649\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metrics, A::Error> {
        let mut seen = std::collections::BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if seen.len() >= MAX_METRICS {
                return Err(A::Error::custom(format!("more than {MAX_METRICS} metrics")));
            }
            let _decimal: Decimal = map.next_value()?;
            if !seen.insert(name) {
                return Err(A::Error::custom("a metric is there twice"));
            }
        }
        Ok(Metrics)
    }
}

/// `-?digits(.digits)?(e[+-]?digits)?`
struct Decimal;

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong =
            || D::Error::custom(format!("{:?} is no decimal number", text.chars().take(80).collect::<String>()));
        let allowed = |character: char| character.is_ascii_digit() || matches!(character, '.' | '-' | '+' | 'e' | 'E');
        let digit_first = text.trim_start_matches('-').starts_with(|character: char| character.is_ascii_digit());
        if text.len() > 40 || !text.chars().all(allowed) || !digit_first {
            return Err(wrong());
        }
        // The standard parser settles the rest of the grammar; what is stored is the text.
        text.parse::<f64>().ok().filter(|value| value.is_finite()).map(|_| Self).ok_or_else(wrong)
    }
}
