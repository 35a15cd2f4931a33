//! Records of what the box sees by itself.
//!
//! Their documents differ from those that people hand in, and say `"observed"` first, so that nobody
//! takes one for the other.

use std::path::Path;

use picket_ledger::Hash;
use picket_ledger::entry::{Link, MAX_NAME_BYTES, MAX_PATH_BYTES, Record, RecordKind, Source, clip};
use picket_ledger::hash::to_hex;
use serde_json::{Value, json};

use super::document::MAX_DOCUMENT_BYTES;
use super::folder::FolderDigest;

/// Room for everything but the list of files in the document of a folder.
const FILE_LIST_BYTES: usize = MAX_DOCUMENT_BYTES - (8 << 10);

/// The version of a record whose configuration names none: the first digits of the digest.
fn version_or_digest(version: Option<&str>, digest: &Hash) -> String {
    version.map_or_else(|| to_hex(&digest[..6]), str::to_owned)
}

/// The weights of `model`: a model-version record.
#[must_use]
pub fn observed_weights(model: &str, version: Option<&str>, path: &Path, digest: &Hash, bytes: u64) -> Record {
    let document = json!({
        "observed": "weights",
        "model": model,
        "version": version,
        "weights": prefixed(digest),
        "path": shown(path),
        "bytes": bytes,
    });
    record(RecordKind::ModelVersion, model, version_or_digest(version, digest), digest, Vec::new(), &document)
}

/// The prompt folder of `model`: a prompt-library record, linked to the weights that were in force.
#[must_use]
pub fn observed_prompts(model: &str, path: &Path, folder: &FolderDigest, weights: Option<&Hash>) -> Record {
    let mut files = Vec::new();
    let mut room = FILE_LIST_BYTES;
    for file in &folder.files {
        let content = file.content.as_ref().map_or_else(|target| format!("link {}", shown(target)), prefixed);
        let line = json!({"path": shown(&file.path), "content": content, "bytes": file.bytes});
        let length = line.to_string().len() + 1;
        if length > room {
            break;
        }
        room -= length;
        files.push(line);
    }
    let document = json!({
        "observed": "prompts",
        "model": model,
        "digest": prefixed(&folder.digest),
        "weights": weights.map(prefixed),
        "path": shown(path),
        "files_total": folder.files.len(),
        "files": files,
    });
    let links = weights.map(|weights| Link { relation: "weights".to_owned(), digest: *weights });
    let version = version_or_digest(None, &folder.digest);
    record(RecordKind::PromptLibrary, model, version, &folder.digest, links.into_iter().collect(), &document)
}

/// The file of feature definitions of `model`: a feature-definition record. The file itself is kept in
/// the document if it is JSON and fits.
#[must_use]
pub fn observed_features(model: &str, path: &Path, digest: &Hash, bytes: &[u8]) -> Record {
    let content = if bytes.len() <= FILE_LIST_BYTES / 2 { json_without_controls(bytes) } else { None };
    let field = |name: &str| content.as_ref().and_then(|value| value.get(name)).and_then(Value::as_str);
    let version = version_or_digest(field("version").filter(|text| fits_a_name(text)), digest);
    let document = json!({
        "observed": "features",
        "model": model,
        "digest": prefixed(digest),
        "path": shown(path),
        "bytes": bytes.len(),
        "content": content,
    });
    record(RecordKind::FeatureDefinition, model, version, digest, Vec::new(), &document)
}

fn record(kind: RecordKind, name: &str, version: String, digest: &Hash, links: Vec<Link>, document: &Value) -> Record {
    Record {
        kind,
        name: name.to_owned(),
        version,
        digest: *digest,
        source: Source::Observed,
        links,
        document: document.to_string(),
    }
}

/// The file as JSON, unless it has control characters that JSON writes as they are and the ledger refuses.
fn json_without_controls(bytes: &[u8]) -> Option<Value> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    (!value.to_string().chars().any(char::is_control)).then_some(value)
}

/// As the ledger can hold it: a path may have any bytes.
fn shown(path: &Path) -> String {
    clip(&path.to_string_lossy(), MAX_PATH_BYTES)
}

fn fits_a_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && !text.chars().any(char::is_control)
}

fn prefixed(digest: &Hash) -> String {
    format!("sha256:{}", to_hex(digest))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::provenance::FolderFile;

    #[test]
    fn a_folder_of_many_files_still_fits_the_ledger_and_says_how_many_there_are() {
        let files = (0..10_000)
            .map(|n| FolderFile { path: format!("prompt-{n}.txt").into(), content: Ok([1; 32]), bytes: 5 })
            .collect();
        let folder = FolderDigest { digest: [2; 32], files };
        let record = observed_prompts("m", Path::new("prompts"), &folder, Some(&[3; 32]));
        assert!(record.document.len() <= MAX_DOCUMENT_BYTES);
        let document: Value = serde_json::from_str(&record.document).unwrap();
        assert_eq!(document["files_total"], 10_000);
        assert!(document["files"].as_array().unwrap().len() > 300);
        assert_eq!(record.links, vec![Link { relation: "weights".to_owned(), digest: [3; 32] }]);
    }

    #[test]
    fn the_version_is_the_configured_one_or_the_digest() {
        let path = Path::new("w.bin");
        assert_eq!(observed_weights("m", Some("1.2"), path, &[0xab; 32], 9).version, "1.2");
        assert_eq!(observed_weights("m", None, path, &[0xab; 32], 9).version, "abababababab");
        let features = observed_features("m", Path::new("f.json"), &[1; 32], br#"{"version":"7"}"#);
        assert_eq!(features.version, "7");
        assert_eq!(observed_features("m", Path::new("f.csv"), &[1; 32], b"a,b").version, "010101010101");
    }
}
