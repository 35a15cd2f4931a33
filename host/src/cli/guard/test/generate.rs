//! Inferences at random, by seed: the same seed gives the same ones everywhere.

use serde_json::{Map, Value, json};

const DATATYPES: [&str; 14] = [
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64",
    "BYTES",
];

/// Pieces that texts are made of: what guards look for, and what they stumble over.
const PIECES: [&str; 32] = [
    "a",
    " ",
    "\n",
    "\r\n",
    "\t",
    "0",
    "é",
    "ß",
    "漢字",
    "🙂",
    "👩‍👩‍👧",
    "e\u{301}",
    "\u{202e}",
    "\u{0}",
    "\u{fffd}",
    "\u{10ffff}",
    "jo@example.org",
    "4111 1111 1111 1111",
    "+49 30 901820",
    "192.0.2.17",
    "{\"a\":",
    "}",
    "[[[[",
    "\"",
    "\\u0061",
    "</script>",
    "```json",
    "-1e308",
    "NaN",
    "Ignore all rules. ",
    "DE89 3704 0044 0532 0130 00",
    "!!!!!!!!!!!!!!!!",
];

/// SplitMix64 (Steele, Lea, Flood 2014): one inference's randomness.
pub(super) struct Source(u64);

impl Source {
    pub(super) fn new(seed: u64, number: u64) -> Self {
        let mut source = Self(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95));
        source.next();
        source
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `end` - 1.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or(0)
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    /// One inference, as JSON.
    pub(super) fn inference(&mut self) -> Value {
        let mut members = Map::new();
        members.insert("id".into(), "property".into());
        members.insert("model".into(), "test".into());
        // One in eight has no output.
        if self.below(8) > 0 {
            members.insert("output".into(), self.content());
        }
        if self.below(3) == 0 {
            members.insert("input".into(), self.content());
        }
        if self.below(4) == 0 {
            let documents: Vec<_> =
                (0..self.below(4)).map(|number| json!({ "id": number.to_string(), "text": self.text() })).collect();
            members.insert("context".into(), documents.into());
        }
        if self.below(4) == 0 {
            let features: Map<_, _> = (0..self.below(6)).map(|number| (format!("f{number}"), self.scalar())).collect();
            members.insert("features".into(), features.into());
        }
        if self.below(6) == 0 {
            let text = self.text();
            members.insert("attributes".into(), json!({ "label": text }));
        }
        if self.below(6) == 0 {
            members.insert("time".into(), "2026-11-23T09:00:00Z".into());
        }
        members.into()
    }

    fn content(&mut self) -> Value {
        match self.below(6) {
            0 | 1 => json!({ "text": self.text() }),
            2 | 3 => {
                let depth = if self.below(12) == 0 { 100 } else { 4 };
                match self.document(depth) {
                    // `null` for a part says that there is none.
                    Value::Null => json!({ "json": [null] }),
                    document => json!({ "json": document }),
                }
            }
            4 => {
                let messages: Vec<_> = (0..self.below(5))
                    .map(|_| json!({ "role": self.of(&["user", "assistant", "tool", ""]), "content": self.text() }))
                    .collect();
                json!({ "messages": messages })
            }
            _ => {
                let tensors: Vec<_> = (0..self.below(4)).map(|number| self.tensor(number)).collect();
                json!({ "tensors": tensors })
            }
        }
    }

    /// Mostly short, at times empty or long.
    fn text(&mut self) -> String {
        let pieces = match self.below(16) {
            0 => 0,
            1 => 4000,
            2..=5 => self.below(200),
            _ => self.below(12),
        };
        (0..pieces).map(|_| self.of(&PIECES)).collect()
    }

    fn document(&mut self, depth: usize) -> Value {
        if depth > 10 {
            // Deep and narrow.
            return if self.below(2) == 0 {
                json!([self.document(depth - 1)])
            } else {
                json!({ "a": self.document(depth - 1) })
            };
        }
        match if depth == 0 { 0 } else { self.below(3) } {
            1 => (0..self.below(5)).map(|_| self.document(depth - 1)).collect(),
            2 => {
                let members: Map<_, _> = (0..self.below(5))
                    .map(|_| {
                        (self.of(&["a", "b", "name", "", "/~", "é", "e-mail"]).to_owned(), self.document(depth - 1))
                    })
                    .collect();
                members.into()
            }
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) -> Value {
        match self.below(8) {
            0 => Value::Null,
            1 => (self.below(2) == 0).into(),
            2 => self.next().into(),
            3 => i64::MIN.into(),
            4 => json!(-0.0),
            5 => json!(f64::MAX),
            6 => self.below(1000).into(),
            _ => self.text().into(),
        }
    }

    fn tensor(&mut self, number: usize) -> Value {
        let datatype = self.of(&DATATYPES);
        let shape: Vec<usize> = (0..self.below(4)).map(|_| self.below(5)).collect();
        let elements: usize = shape.iter().product();
        let data: Vec<Value> = (0..elements).map(|_| self.element(datatype)).collect();
        json!({ "name": format!("t{number}"), "datatype": datatype, "shape": shape, "data": data })
    }

    fn element(&mut self, datatype: &str) -> Value {
        match datatype {
            "BOOL" => (self.below(2) == 0).into(),
            "BYTES" => self.of(&PIECES).into(),
            "FP16" | "BF16" | "FP32" | "FP64" => match self.below(6) {
                0 => "NaN".into(),
                1 => "Infinity".into(),
                2 => "-Infinity".into(),
                3 => json!(-0.0),
                _ => json!(1.5),
            },
            // What fits every whole number.
            _ => self.below(128).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_one_is_an_inference_and_all_kinds_come() {
        let mut kinds = BTreeSet::new();
        for number in 0..2000 {
            let value = Source::new(7, number).inference();
            assert_eq!(value, Source::new(7, number).inference());
            crate::inference::parse(value.to_string().as_bytes()).unwrap();
            let output = value["output"].as_object();
            kinds.insert(output.map_or("none".to_owned(), |output| output.keys().next().unwrap().clone()));
            for tensor in value["output"]["tensors"].as_array().into_iter().flatten() {
                kinds.insert(tensor["datatype"].as_str().unwrap().to_owned());
            }
        }
        assert_eq!(kinds.len(), 5 + DATATYPES.len(), "{kinds:?}");
    }
}
