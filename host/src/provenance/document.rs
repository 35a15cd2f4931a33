//! Record documents: strict JSON in, a [`Record`] with its links out.
//!
//! Each kind has one shape, given by the structs below. An unknown field, a missing one, one that is
//! there twice, or a value of the wrong form is an error that names file, line and field. Digests are
//! written `sha256:` and 64 lower-case hex digits, and nothing else. The document is kept as it is read,
//! byte for byte, so that `sha256sum` of the file gives the digest of an evaluation or an approval.

use std::path::Path;

use picket_ledger::Hash;
pub use picket_ledger::entry::MAX_DOCUMENT_BYTES;
use picket_ledger::entry::{Link, MAX_LINKS, Record, RecordKind, Source};
use picket_ledger::hash::sha256;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::fields::{Digest, Metrics, Moment, Text};

mod fields;

/// What is wrong with a document, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// Not a kind of record that can be handed in.
    #[error(
        "`{0}` is no kind of record; the kinds are model-version, evaluation, dataset-slice, feature-definition, prompt-library, approval"
    )]
    Kind(String),
    /// The file could not be read.
    #[error("{file}: reading the document")]
    Read {
        /// The file as named by the caller.
        file: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// More than [`MAX_DOCUMENT_BYTES`].
    #[error(
        "{file}: a record document has at most {MAX_DOCUMENT_BYTES} bytes; keep large data outside and record its digest"
    )]
    TooLarge {
        /// The file as named by the caller.
        file: String,
    },
    /// A JSON error, an unknown or missing field, or a value of the wrong form.
    #[error("{file}:{line}:{column}: {}{message}", field_prefix(field))]
    Field {
        /// The file as named by the caller.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
        /// Path of the field, empty for the document itself.
        field: String,
        /// What is wrong there.
        message: String,
    },
}

fn field_prefix(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("field `{field}`: ") }
}

/// The kind of record that `name` stands for.
///
/// # Errors
/// [`DocumentError::Kind`] with the list of kinds.
pub fn record_kind(name: &str) -> Result<RecordKind, DocumentError> {
    RecordKind::from_name(name).ok_or_else(|| DocumentError::Kind(name.chars().take(64).collect()))
}

/// Reads the document at `path`, bounded, and parses it.
///
/// # Errors
/// [`DocumentError`].
pub fn read_record(kind: RecordKind, path: &Path) -> Result<Record, DocumentError> {
    use std::io::Read;
    let file = path.display().to_string();
    let read = |source| DocumentError::Read { file: file.clone(), source };
    let mut bytes = Vec::new();
    let limit = MAX_DOCUMENT_BYTES as u64 + 1;
    std::fs::File::open(path).map_err(read)?.take(limit).read_to_end(&mut bytes).map_err(read)?;
    parse_record(kind, &bytes, &file)
}

/// Parses a document of `kind`. `file` is what messages call it.
///
/// # Errors
/// [`DocumentError`].
pub fn parse_record(kind: RecordKind, bytes: &[u8], file: &str) -> Result<Record, DocumentError> {
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(DocumentError::TooLarge { file: file.to_owned() });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(bytes, error.valid_up_to(), file))?;
    refuse_control_characters(text, file)?;
    let own = sha256(bytes);
    let parts = match kind {
        RecordKind::ModelVersion => read::<ModelVersion>(text, file)?.parts(),
        RecordKind::DatasetSlice => read::<DatasetSlice>(text, file)?.parts(),
        RecordKind::Evaluation => read::<Evaluation>(text, file)?.parts(own),
        RecordKind::FeatureDefinition => read::<FeatureDefinition>(text, file)?.parts(own),
        RecordKind::PromptLibrary => read::<PromptLibrary>(text, file)?.parts(),
        RecordKind::Approval => read::<Approval>(text, file)?.parts(own),
    };
    let (name, version, digest, links) = parts;
    if links.len() > MAX_LINKS {
        let message = format!("{} links, at most {MAX_LINKS} are allowed", links.len());
        return Err(place(text, text.len(), String::new(), message, file));
    }
    let links = links.into_iter().map(|(relation, digest)| Link { relation: relation.to_owned(), digest }).collect();
    Ok(Record { kind, name, version, digest, source: Source::Recorded, links, document: text.to_owned() })
}

/// Name, version, digest and links of a record.
type Parts = (String, String, Hash, Vec<(&'static str, Hash)>);

/// A version of a model: which weights, trained on which slices.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelVersion {
    model: Text,
    version: Text,
    weights: Digest,
    #[serde(default)]
    trained_on: Vec<Digest>,
    #[serde(default)]
    #[expect(dead_code, reason = "checked for its form; the document keeps it")]
    notes: Option<String>,
}

impl ModelVersion {
    fn parts(self) -> Parts {
        let links = self.trained_on.iter().map(|slice| ("trained-on", slice.0)).collect();
        (self.model.0, self.version.0, self.weights.0, links)
    }
}

/// A slice of a data set: the digest of its bytes and how it was cut.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "checked for its form; the document keeps it")]
struct DatasetSlice {
    name: Text,
    version: Text,
    digest: Digest,
    rows: u64,
    #[serde(default)]
    filter: Option<String>,
    #[serde(default)]
    source: Option<String>,
}

impl DatasetSlice {
    fn parts(self) -> Parts {
        (self.name.0, self.version.0, self.digest.0, Vec::new())
    }
}

/// What a version of a model scored on a slice. Metrics are decimal numbers in quotes: the ledger keeps
/// what was reported, not what a binary fraction makes of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "checked for its form; the document keeps it")]
struct Evaluation {
    model: Text,
    version: Text,
    weights: Digest,
    slice: Digest,
    metrics: Metrics,
    #[serde(default)]
    tool: Option<String>,
}

impl Evaluation {
    fn parts(self, own: Hash) -> Parts {
        (self.model.0, self.version.0, own, vec![("model", self.weights.0), ("slice", self.slice.0)])
    }
}

/// The features that a model reads, and whether this adds, changes or rolls back their definition.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "checked for its form; the document keeps it")]
struct FeatureDefinition {
    name: Text,
    version: Text,
    features: Vec<Feature>,
    change: FeatureStep,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "checked for its form; the document keeps it")]
struct Feature {
    name: Text,
    r#type: Text,
    definition: String,
    #[serde(default)]
    unit: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum FeatureStep {
    Add,
    Change,
    Rollback,
}

impl FeatureDefinition {
    fn parts(self, own: Hash) -> Parts {
        (self.name.0, self.version.0, own, Vec::new())
    }
}

/// A version of a prompt library, and the weights it was written for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PromptLibrary {
    name: Text,
    version: Text,
    digest: Digest,
    #[serde(default)]
    weights: Option<Digest>,
    #[serde(default)]
    #[expect(dead_code, reason = "checked for its form; the document keeps it")]
    change: Option<String>,
}

impl PromptLibrary {
    fn parts(self) -> Parts {
        let links = self.weights.iter().map(|weights| ("weights", weights.0)).collect();
        (self.name.0, self.version.0, self.digest.0, links)
    }
}

/// Somebody's decision about anything that has a digest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "checked for its form; the document keeps it")]
struct Approval {
    subject: Digest,
    approver: Text,
    role: Text,
    decision: ApprovalDecision,
    #[serde(default)]
    reason: Option<String>,
    time: Moment,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum ApprovalDecision {
    Approve,
    Reject,
    Rollback,
}

impl Approval {
    /// An approval goes by who gave it and what was decided.
    fn parts(self, own: Hash) -> Parts {
        let decision = match self.decision {
            ApprovalDecision::Approve => "approve",
            ApprovalDecision::Reject => "reject",
            ApprovalDecision::Rollback => "rollback",
        };
        (self.approver.0, decision.to_owned(), own, vec![("subject", self.subject.0)])
    }
}

fn read<T: DeserializeOwned>(text: &str, file: &str) -> Result<T, DocumentError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { String::new() } else { path };
        field_error(error.inner(), field, file)
    })?;
    json.end().map_err(|error| field_error(&error, String::new(), file))?;
    Ok(value)
}

fn field_error(error: &serde_json::Error, field: String, file: &str) -> DocumentError {
    let message = error.to_string();
    // serde_json appends the place, which stands in front already.
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = message.strip_suffix(&place).unwrap_or(&message).to_owned();
    DocumentError::Field { file: file.to_owned(), line: error.line(), column: error.column(), field, message }
}

fn not_utf8(bytes: &[u8], at: usize, file: &str) -> DocumentError {
    let before = String::from_utf8_lossy(&bytes[..at]);
    place(&before, before.len(), String::new(), "the document is not UTF-8".to_owned(), file)
}

/// JSON lets DEL and U+0080 to U+009F stand in strings as they are; the ledger does not.
fn refuse_control_characters(text: &str, file: &str) -> Result<(), DocumentError> {
    let odd = |character: char| character.is_control() && !matches!(character, '\n' | '\r' | '\t');
    match text.char_indices().find(|(_, character)| odd(*character)) {
        None => Ok(()),
        Some((at, character)) => {
            let message = format!("control character U+{:04X}; write it as an escape", u32::from(character));
            Err(place(text, at, String::new(), message, file))
        }
    }
}

/// An error at byte `at` of `text`.
fn place(text: &str, at: usize, field: String, message: String, file: &str) -> DocumentError {
    let before = &text.as_bytes()[..at];
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
    DocumentError::Field { file: file.to_owned(), line, column, field, message }
}

#[cfg(test)]
mod tests;
