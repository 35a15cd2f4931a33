//! The structure guard: JSON that does not meet its schema, tensors with NaN or a wrong shape, texts that loop.
//!
//! It looks at the output alone and knows no language; `docs/guards/structure.md` tells what it catches and misses.

mod document;
mod loops;
mod report;
mod schema;
#[cfg(target_family = "wasm")]
mod seeds;
mod settings;
mod tensors;
mod text;

use picket_sdk::prelude::*;
use picket_sdk::{Location, Part};

use crate::document::Place;
use crate::report::{Actions, Report};
use crate::schema::Schema;
use crate::settings::Settings;

/// The guard, configured.
#[derive(Debug)]
pub struct Structure {
    settings: Settings,
    schema: Option<Schema>,
    actions: Actions,
}

impl Guard for Structure {
    fn describe() -> Descriptor {
        Descriptor {
            name: "structure".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "JSON Schema, nulls, depth and size; tensors; degenerate text".to_owned(),
            settings_schema: include_str!("settings.schema.json").to_owned(),
            needs: Parts::OUTPUT,
            rules: report::rules(),
        }
    }

    fn configure(settings: &str) -> Result<Self, Vec<Problem>> {
        let settings: Settings = picket_sdk::settings::parse(settings)?;
        let mut problems = settings.problems();
        let schema = match settings.schema.as_ref().map(|schema| Schema::new(schema, settings.assert_formats)) {
            Some(Ok(schema)) => Some(schema),
            Some(Err(problem)) => {
                problems.push(problem);
                None
            }
            None => None,
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let actions = Actions::new(settings.action, &settings.actions);
        Ok(Self { settings, schema, actions })
    }

    fn check(&self, inference: &Inference) -> Result<Verdict, String> {
        let mut report = Report::new(&self.actions);
        match &inference.output {
            None => self.check_nothing(&mut report),
            Some(Content::Tensors(tensors)) => self.check_tensors(tensors, &mut report),
            Some(Content::Json(document)) => {
                self.check_document(document, Place::Document, &mut report);
                self.refuse_missing_tensors(&mut report);
            }
            Some(content) => self.check_texts(content, &mut report),
        }
        Ok(report.finish())
    }
}

impl Structure {
    fn check_nothing(&self, report: &mut Report<'_>) {
        if !self.settings.allow_empty {
            report.add("text-empty", Location::of_part(Part::Output), "the inference has no output".to_owned());
        }
        self.refuse_missing_tensors(report);
    }

    fn check_tensors(&self, tensors: &[picket_sdk::Tensor], report: &mut Report<'_>) {
        tensors::check(&self.settings.tensors, tensors, report);
        for tensor in tensors {
            text::check_bytes(&self.settings, tensor, report);
        }
        if self.schema.is_some() {
            let message = "the settings hold a schema, and the output is tensors".to_owned();
            report.add("json-invalid", Location::of_part(Part::Output), message);
        }
    }

    fn check_texts(&self, content: &Content, report: &mut Report<'_>) {
        // Text and messages are read without a parser, so there is no error to speak of.
        let views = text_views(Part::Output, content).unwrap_or_default();
        text::check(&self.settings, &views, report);
        if self.settings.parse_text {
            match views.last() {
                Some(view) => self.check_document(view.text(), Place::Text(view), report),
                None => report.add("json-invalid", Location::of_part(Part::Output), "there is no message".to_owned()),
            }
        } else if self.schema.is_some() {
            let message =
                "the settings hold a schema, and the output is text; `parse_text` reads it as JSON".to_owned();
            report.add("json-invalid", Location::of_part(Part::Output), message);
        }
        self.refuse_missing_tensors(report);
    }

    fn check_document(&self, document: &str, place: Place<'_, '_>, report: &mut Report<'_>) {
        document::check(&self.settings, self.schema.as_ref(), document, place, report);
    }

    /// An output of another kind has none of the tensors that must be there.
    fn refuse_missing_tensors(&self, report: &mut Report<'_>) {
        tensors::check(&self.settings.tensors, &[], report);
    }
}

picket_sdk::export_guard!(Structure);
