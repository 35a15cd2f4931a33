//! The values of a stream whose reference is still being learned.

use std::collections::BTreeMap;

use crate::codec::MAX_NAME;
use crate::reference::Reference;
use crate::settings::Settings;

use super::Value;

/// Categories that are counted one by one while a reference is learned.
pub(super) const MAX_LEARNED_CATEGORIES: usize = 1024;

/// What a reference will be made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    pub(crate) numbers: Vec<f64>,
    pub(crate) categories: BTreeMap<String, u64>,
    /// Values of categories beyond those that are counted one by one.
    pub(crate) untold: u64,
    pub(crate) missing: u64,
}

impl Sample {
    pub(super) fn rows(&self) -> u64 {
        self.numbers.len() as u64 + self.categories.values().sum::<u64>() + self.untold + self.missing
    }

    /// Whether its values are numbers; none while it has none.
    pub(super) fn is_numeric(&self) -> Option<bool> {
        if !self.numbers.is_empty() {
            Some(true)
        } else if !self.categories.is_empty() || self.untold > 0 {
            Some(false)
        } else {
            None
        }
    }

    /// Takes in a value of the sample's own kind.
    pub(crate) fn take(&mut self, value: Value<'_>) {
        match value {
            Value::Number(number) if number.is_finite() => self.numbers.push(number + 0.0),
            Value::Number(_) | Value::Null => self.missing += 1,
            Value::Category(name, _) => self.take_category(name, 1),
        }
    }

    pub(super) fn take_category(&mut self, name: &str, times: u64) {
        let name = shortened(name);
        if let Some(count) = self.categories.get_mut(name) {
            *count += times;
        } else if self.categories.len() < MAX_LEARNED_CATEGORIES {
            self.categories.insert(name.to_owned(), times);
        } else {
            self.untold += times;
        }
    }

    pub(crate) fn reference(self, settings: &Settings) -> Reference {
        match self.is_numeric() {
            Some(false) => Reference::of_categories(&self.categories, self.untold, self.missing),
            _ => Reference::of_numbers(self.numbers, self.missing, settings.bins, settings.window),
        }
    }
}

/// A category's name as it is kept.
pub(crate) fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME)]
}
