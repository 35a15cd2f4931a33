//! `breaker` of a guard: the word `off`, or a table.

use super::Place;
use crate::config::{Breaker, ConfigError, OnFailure, units};
use std::ops::Range;
use std::time::Duration;
use toml::{Spanned, Table, Value};

pub(super) fn breaker(
    place: &Place,
    key: &str,
    written: Option<&Spanned<Value>>,
    on_failure: OnFailure,
) -> Result<Option<Breaker>, ConfigError> {
    let default =
        Breaker { failures: 5, within: Duration::from_secs(60), pause: Duration::from_secs(30), then: on_failure };
    let Some(written) = written else { return Ok(Some(default)) };
    match written.get_ref() {
        Value::String(word) if word == "off" => Ok(None),
        Value::Table(table) => {
            let fields = Fields { place, key, table, span: written.span() };
            fields.known(&["failures", "within", "pause", "then"])?;
            Ok(Some(Breaker {
                failures: fields.failures(default.failures)?,
                within: fields.duration("within", default.within)?,
                pause: fields.duration("pause", default.pause)?,
                then: fields.then(default.then)?,
            }))
        }
        _ => Err(place.wrong(&written.span(), key, "is neither `\"off\"` nor a table such as `{ failures = 5 }`")),
    }
}

/// The members of the table. They carry no places of their own, so messages name the line on which the table begins.
struct Fields<'a> {
    place: &'a Place<'a>,
    key: &'a str,
    table: &'a Table,
    span: Range<usize>,
}

impl Fields<'_> {
    fn wrong(&self, field: &str, message: impl Into<String>) -> ConfigError {
        self.place.wrong(&self.span, format!("{}.{field}", self.key), message)
    }

    fn known(&self, fields: &[&str]) -> Result<(), ConfigError> {
        match self.table.keys().find(|key| !fields.contains(&key.as_str())) {
            Some(unknown) => Err(self.wrong(unknown, format!("there is no such key; known are {}", fields.join(", ")))),
            None => Ok(()),
        }
    }

    fn failures(&self, default: usize) -> Result<usize, ConfigError> {
        let Some(value) = self.table.get("failures") else { return Ok(default) };
        let number = value.as_integer().and_then(|number| usize::try_from(number).ok());
        number
            .filter(|number| (1..=1000).contains(number))
            .ok_or_else(|| self.wrong("failures", format!("{value} is not a whole number from 1 to 1000")))
    }

    fn duration(&self, field: &str, default: Duration) -> Result<Duration, ConfigError> {
        let Some(value) = self.table.get(field) else { return Ok(default) };
        let text =
            value.as_str().ok_or_else(|| self.wrong(field, format!("{value} is not a duration such as `\"30s\"`")))?;
        units::duration(text).map_err(|message| self.wrong(field, message))
    }

    fn then(&self, default: OnFailure) -> Result<OnFailure, ConfigError> {
        match self.table.get("then").map(Value::as_str) {
            None => Ok(default),
            Some(Some("block")) => Ok(OnFailure::Block),
            Some(Some("allow")) => Ok(OnFailure::Allow),
            Some(_) => Err(self.wrong("then", "is not one of `block`, `allow`")),
        }
    }
}
