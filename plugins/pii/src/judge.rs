//! The guard: looks at the parts it was told to, and turns hits into a verdict.

use std::collections::HashSet;

use picket_sdk::json::escape_token;
use picket_sdk::{
    Content, Decision, Descriptor, Edit, Finding, Guard, Inference, Location, NamedValue, Part, Parts, Problem, Rule,
    Scalar, Severity, TextView, Verdict, span_of, text_views,
};

use crate::json::{self, Offsets};
use crate::scan::{Entity, Hit, Scanner};
use crate::settings::{Action, Place, SCHEMA, Settings};

/// Deeper or longer places in a JSON document are told as bytes of the whole document: hosts follow pointers so far only.
const MAX_POINTER_DEPTH: usize = 128;
const MAX_POINTER_BYTES: usize = 1024;

/// The rule of a verdict on an inference with more hits than the settings allow.
const TOO_MANY: &str = "too-many";

/// The guard as configured.
#[derive(Debug)]
pub struct Pii {
    settings: Settings,
    scanner: Scanner,
}

impl Guard for Pii {
    fn describe() -> Descriptor {
        let rule = |entity: Entity| Rule::held(entity.name(), entity.summary());
        Descriptor {
            name: "pii".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Finds personal data and redacts, masks, flags or blocks it".to_owned(),
            settings_schema: SCHEMA.to_owned(),
            // The same whatever the settings, so every part that they may name.
            needs: Parts::INPUT | Parts::CONTEXT | Parts::OUTPUT | Parts::FEATURES | Parts::ATTRIBUTES,
            rules: Entity::ALL
                .into_iter()
                .map(rule)
                .chain([Rule::held(TOO_MANY, "More personal data than the settings allow in one inference")])
                .collect(),
        }
    }

    fn configure(settings: &str) -> Result<Self, Vec<Problem>> {
        let settings = Settings::parse(settings)?;
        let scanner = Scanner { entities: settings.entities, min_score: settings.min_score };
        Ok(Self { settings, scanner })
    }

    fn check(&self, inference: &Inference) -> Result<Verdict, String> {
        let mut search = Search { guard: self, hits: Vec::new(), count: 0, verdict: Verdict::allow(), overflow: None };
        for place in &self.settings.parts {
            match place {
                Place::Input => search.content(Part::Input, inference.input.as_ref())?,
                Place::Output => search.content(Part::Output, inference.output.as_ref())?,
                Place::Context => {
                    for (index, document) in inference.context.iter().enumerate() {
                        search.text(&TextView::new(Part::Context, format!("/{index}"), document.text.as_str()), "");
                    }
                }
                Place::Features => {
                    let texts = inference.features.iter().filter_map(|feature| match &feature.value {
                        Scalar::Text(text) => Some((feature.name.as_str(), text.as_str())),
                        _ => None,
                    });
                    search.named(Part::Features, texts);
                }
                Place::Attributes => {
                    let texts = inference
                        .attributes
                        .iter()
                        .map(|attribute| (attribute.name.as_str(), attribute.value.as_str()));
                    search.named(Part::Attributes, texts);
                }
            }
        }
        Ok(search.finish())
    }
}

/// One check under way.
struct Search<'g> {
    guard: &'g Pii,
    /// Room for the hits of one text.
    hits: Vec<Hit>,
    count: usize,
    verdict: Verdict,
    /// The part in which there were too many.
    overflow: Option<Part>,
}

impl Search<'_> {
    fn content(&mut self, part: Part, content: Option<&Content>) -> Result<(), String> {
        match content {
            None => {}
            Some(Content::Text(text)) => self.text(&TextView::new(part, "", text.as_str()), ""),
            Some(Content::Json(document)) => self.document(part, document),
            Some(other) => {
                for view in text_views(part, other).map_err(|error| error.to_string())? {
                    let label = view.path().strip_prefix('/').filter(|_| !view.can_edit()).unwrap_or("").to_owned();
                    self.text(&view, &label);
                }
            }
        }
        Ok(())
    }

    /// Features and attributes; their names are context.
    fn named<'a>(&mut self, part: Part, texts: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut seen = HashSet::new();
        for (name, text) in texts {
            let mut path = "/".to_owned();
            escape_token(&mut path, name);
            self.scan(text, name);
            let first = seen.insert(name);
            for hit in std::mem::take(&mut self.hits) {
                // A name that occurs twice stands for its first value: a span would point into that.
                let span = if first { span_of(text, hit.start..hit.end) } else { None };
                self.report(hit, Location { part, path: path.clone(), span }, None);
            }
        }
    }

    fn text(&mut self, view: &TextView<'_>, label: &str) {
        self.scan(view.text(), label);
        for hit in std::mem::take(&mut self.hits) {
            let location = view.location(hit.start..hit.end);
            let edit = view.can_edit().then(|| Edit {
                location: location.clone(),
                replacement: self.replacement(hit.entity, &view.text()[hit.start..hit.end]),
            });
            self.report(hit, location, edit);
        }
    }

    /// A JSON document. Edits speak of bytes of the document's text: these name every place, also in a member that
    /// stands twice, deep inside, or in the name of a member, where a pointer would not do.
    fn document(&mut self, part: Part, document: &str) {
        let mut found: Vec<(Hit, Location, Edit)> = Vec::new();
        let most = self.guard.settings.max_hits + 1;
        json::walk(document, |spot| {
            if found.len() >= most {
                return;
            }
            self.scan(spot.text, spot.label);
            let mut offsets = Offsets::new(spot.raw);
            for hit in std::mem::take(&mut self.hits) {
                let (start, end) = match spot.place {
                    json::Place::Value => (offsets.encoded(hit.start), offsets.encoded(hit.end)),
                    json::Place::Name | json::Place::Number => (hit.start, hit.end),
                };
                let bytes = spot.start + start..spot.start + end;
                let inside = Location { part, path: String::new(), span: span_of(document, bytes) };
                let replacement = self.replacement(hit.entity, &spot.text[hit.start..hit.end]);
                let replacement = match spot.place {
                    json::Place::Number => format!("\"{replacement}\""),
                    json::Place::Value | json::Place::Name => replacement,
                };
                let pointer = if spot.depth() <= MAX_POINTER_DEPTH { spot.pointer() } else { String::new() };
                let location = match spot.place {
                    json::Place::Value if (1..=MAX_POINTER_BYTES).contains(&pointer.len()) => {
                        Location { part, path: pointer, span: span_of(spot.text, hit.start..hit.end) }
                    }
                    json::Place::Number if (1..=MAX_POINTER_BYTES).contains(&pointer.len()) => {
                        Location::of_path(part, pointer)
                    }
                    _ => inside.clone(),
                };
                found.push((hit, location, Edit { location: inside, replacement }));
            }
        });
        let ambiguous = !found.is_empty() && json::has_repeated_members(document);
        for (hit, location, edit) in found {
            let location = if ambiguous { edit.location.clone() } else { location };
            self.report(hit, location, Some(edit));
        }
    }

    fn scan(&mut self, text: &str, label: &str) {
        self.hits.clear();
        self.guard.scanner.scan(text, label, &mut self.hits);
    }

    /// What takes the place of a datum; safe inside a JSON string.
    fn replacement(&self, entity: Entity, datum: &str) -> String {
        match self.guard.settings.actions[entity as usize] {
            Action::Mask => mask(entity, datum),
            _ => self.guard.settings.placeholders[entity as usize].clone(),
        }
    }

    fn report(&mut self, hit: Hit, location: Location, edit: Option<Edit>) {
        self.count += 1;
        if self.count > self.guard.settings.max_hits {
            self.overflow.get_or_insert(location.part);
            return;
        }
        let action = self.guard.settings.actions[hit.entity as usize];
        // Only the output can be edited; what was found elsewhere has been seen by the model already.
        let editable = location.part == Part::Output;
        let severity = hit.entity.severity();
        let message = |done: &str| format!("{} {done}", hit.entity.summary());
        let finding = |done: &str| {
            Finding::new(hit.entity.name(), severity, message(done)).at(location.clone()).with_score(hit.score)
        };
        match (action, edit) {
            (Action::Block, _) => self.verdict.block(finding("found")),
            (Action::Flag, _) => self.verdict.flag(finding("found")),
            (Action::Redact | Action::Mask, _) if !editable => {
                self.verdict.flag(finding("found in a part that cannot be edited"))
            }
            (Action::Redact, Some(edit)) => self.verdict.redact(finding("redacted"), edit),
            (Action::Mask, Some(edit)) => self.verdict.redact(finding("masked"), edit),
            (Action::Redact | Action::Mask, None) => {
                self.verdict.block(finding("found in a tensor, which cannot be edited"))
            }
        }
    }

    fn finish(mut self) -> Verdict {
        if let Some(part) = self.overflow {
            let message = format!("more than {} personal data", self.guard.settings.max_hits);
            // The host takes so many findings only.
            self.verdict.findings.pop();
            let finding = Finding::new(TOO_MANY, Severity::High, message).at(Location::of_part(part));
            self.verdict.block(finding);
        }
        let count = i64::try_from(self.count).unwrap_or(i64::MAX);
        self.verdict.measurements.push(NamedValue::new("hits", Scalar::Integer(count)));
        if matches!(self.verdict.decision, Decision::Block) {
            self.verdict.findings.truncate(self.guard.settings.max_hits);
        }
        self.verdict
    }
}

/// Letters and digits become `*`, all but the last four; of an e-mail address, all before the `@`.
fn mask(entity: Entity, datum: &str) -> String {
    let kept = match entity {
        Entity::Email => datum.find('@').map_or(0, |at| datum[at..].chars().filter(|c| c.is_alphanumeric()).count()),
        Entity::Ip => 0,
        _ => 4,
    };
    let hidden = datum.chars().filter(|c| c.is_alphanumeric()).count().saturating_sub(kept);
    let mut seen = 0;
    datum
        .chars()
        .map(|c| {
            if !c.is_alphanumeric() {
                return c;
            }
            seen += 1;
            if seen <= hidden { '*' } else { c }
        })
        .collect()
}

#[cfg(test)]
mod tests;
