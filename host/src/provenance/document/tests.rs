#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use picket_ledger::hash::to_hex;

const A: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const B: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

fn parse(kind: RecordKind, text: &str) -> Result<Record, String> {
    parse_record(kind, text.as_bytes(), "f.json").map_err(|error| error.to_string())
}

fn links(record: &Record) -> Vec<(&str, String)> {
    record.links.iter().map(|link| (link.relation.as_str(), to_hex(&link.digest)[..4].to_owned())).collect()
}

#[test]
fn a_model_version_stands_for_its_weights_and_links_its_slices() {
    let text = format!(r#"{{"model":"credit","version":"3","weights":"{A}","trained_on":["{B}"],"notes":"x"}}"#);
    let record = parse(RecordKind::ModelVersion, &text).unwrap();
    assert_eq!((record.name.as_str(), record.version.as_str(), record.digest), ("credit", "3", [0x11; 32]));
    assert_eq!(links(&record), [("trained-on", "2222".to_owned())]);
    assert_eq!(record.document, text);
    assert_eq!(record.source, Source::Recorded);
}

#[test]
fn an_evaluation_stands_for_its_document_and_links_weights_and_slice() {
    let text = format!(
        r#"{{"model":"credit","version":"3","weights":"{A}","slice":"{B}","metrics":{{"accuracy":"0.9649","loss":"1e-3"}},"tool":"t"}}"#
    );
    let record = parse(RecordKind::Evaluation, &text).unwrap();
    assert_eq!(record.digest, sha256(text.as_bytes()));
    assert_eq!(links(&record), [("model", "1111".to_owned()), ("slice", "2222".to_owned())]);
}

#[test]
fn the_other_kinds() {
    let slice =
        format!(r#"{{"name":"loans","version":"2026-10","digest":"{A}","rows":5000,"filter":"x > 1","source":"s"}}"#);
    assert_eq!(parse(RecordKind::DatasetSlice, &slice).unwrap().digest, [0x11; 32]);
    let features = r#"{"name":"credit","version":"4","features":[{"name":"age","type":"integer","definition":"years","unit":"a"}],"change":"rollback"}"#;
    assert_eq!(parse(RecordKind::FeatureDefinition, features).unwrap().digest, sha256(features.as_bytes()));
    let prompts = format!(r#"{{"name":"p","version":"1","digest":"{A}","weights":"{B}","change":"shorter"}}"#);
    assert_eq!(links(&parse(RecordKind::PromptLibrary, &prompts).unwrap()), [("weights", "2222".to_owned())]);
    let approval = format!(
        r#"{{"subject":"{A}","approver":"R. Vale","role":"risk","decision":"approve","reason":"ok","time":"2026-11-23T09:00:00Z"}}"#
    );
    let record = parse(RecordKind::Approval, &approval).unwrap();
    assert_eq!((record.name.as_str(), record.version.as_str()), ("R. Vale", "approve"));
    assert_eq!(links(&record), [("subject", "1111".to_owned())]);
}

#[test]
fn errors_name_file_line_and_field() {
    let unknown = format!("{{\"model\":\"m\",\n\"version\":\"1\",\n\"weights\":\"{A}\",\n\"author\":\"x\"}}");
    let message = parse(RecordKind::ModelVersion, &unknown).unwrap_err();
    assert!(message.starts_with("f.json:4:") && message.contains("unknown field `author`"), "{message}");

    let digest =
        format!("{{\"model\":\"m\",\"version\":\"1\",\n\"weights\":\"{A}\",\"trained_on\":[\"{B}\",\n\"md5:12\"]}}");
    let message = parse(RecordKind::ModelVersion, &digest).unwrap_err();
    assert!(message.starts_with("f.json:3:") && message.contains("field `trained_on[1]`"), "{message}");
    assert!(message.contains("\"md5:12\" is no digest"), "{message}");

    let message = parse(RecordKind::ModelVersion, "{\"model\":\"m\",\n\"version\":\"1\"}").unwrap_err();
    assert!(message.starts_with("f.json:2:") && message.contains("missing field `weights`"), "{message}");

    let message = parse(RecordKind::ModelVersion, "{\"model\":\"m\",\n\"model\":\"n\"}").unwrap_err();
    assert!(message.contains("duplicate field `model`"), "{message}");
}

#[test]
fn values_of_the_wrong_form_are_refused() {
    let version = |weights: &str| format!(r#"{{"model":"m","version":"1","weights":"{weights}"}}"#);
    assert!(parse(RecordKind::ModelVersion, &version(A)).is_ok());
    for weights in [&A[7..], &A[..70], &format!("{A}0"), &A.replace('1', "A"), "sha256:", "", &A.replace("256", "1")] {
        assert!(parse(RecordKind::ModelVersion, &version(weights)).is_err(), "{weights}");
    }
    for model in ["", " m", "m ", "a\\u0007b", "a\\nb", &"x".repeat(257)] {
        let text = version(A).replace("\"m\"", &format!("\"{model}\""));
        assert!(parse(RecordKind::ModelVersion, &text).is_err(), "{model:?}");
    }
    let evaluation =
        |metrics: &str| format!(r#"{{"model":"m","version":"1","weights":"{A}","slice":"{B}","metrics":{metrics}}}"#);
    assert!(parse(RecordKind::Evaluation, &evaluation(r#"{"a":"-0.5"}"#)).is_ok());
    for metrics in [
        r#"{"a":0.5}"#,
        r#"{"a":"NaN"}"#,
        r#"{"a":"inf"}"#,
        r#"{"a":"1e999"}"#,
        r#"{"a":".5"}"#,
        r#"{"a":""}"#,
        r#"{"a":"1","a":"2"}"#,
        "[]",
        r#"{"a":"1.2.3"}"#,
    ] {
        assert!(parse(RecordKind::Evaluation, &evaluation(metrics)).is_err(), "{metrics}");
    }
    let approval = |decision: &str, time: &str| {
        format!(r#"{{"subject":"{A}","approver":"a","role":"r","decision":"{decision}","time":"{time}"}}"#)
    };
    assert!(parse(RecordKind::Approval, &approval("reject", "2026-11-23T09:00:00Z")).is_ok());
    assert!(parse(RecordKind::Approval, &approval("maybe", "2026-11-23T09:00:00Z")).is_err());
    assert!(parse(RecordKind::Approval, &approval("reject", "yesterday")).is_err());
}

#[test]
fn trailing_text_large_and_foreign_documents_are_refused() {
    let good = format!(r#"{{"model":"m","version":"1","weights":"{A}"}}"#);
    assert!(parse(RecordKind::ModelVersion, &format!("{good}\n\n")).is_ok());
    assert!(parse(RecordKind::ModelVersion, &format!("{good} {{}}")).unwrap_err().contains("trailing"));
    let large = format!("{good}{}", " ".repeat(MAX_DOCUMENT_BYTES));
    assert!(parse(RecordKind::ModelVersion, &large).unwrap_err().contains("at most 65536 bytes"));
    let latin = parse_record(RecordKind::ModelVersion, b"{\n \"model\":\"\xe9\"}", "f.json").unwrap_err().to_string();
    assert!(latin.starts_with("f.json:2:11: ") && latin.contains("UTF-8"), "{latin}");
    let message = record_kind("weights").unwrap_err().to_string();
    assert!(message.contains("`weights`") && message.contains("model-version"), "{message}");
    let message = parse(RecordKind::ModelVersion, "{\n\"model\":\"\u{9b}\"}").unwrap_err();
    assert!(message.starts_with("f.json:2:10: control character U+009B"), "{message}");
    let many = format!(
        r#"{{"model":"m","version":"1","weights":"{A}","trained_on":[{}]}}"#,
        vec![format!("\"{B}\""); 870].join(",")
    );
    assert!(many.len() < MAX_DOCUMENT_BYTES && parse(RecordKind::ModelVersion, &many).is_ok());
}

#[test]
fn the_example_documents_parse_and_name_the_example_prompts() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut seen = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(examples.join("records")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // `01-dataset-slice-….json`
        let Some(kind) = RecordKind::ALL.into_iter().find(|kind| name.get(3..).unwrap_or("").starts_with(kind.name()))
        else {
            continue;
        };
        let record = read_record(kind, &path).unwrap();
        seen.insert(kind.name());
        if kind == RecordKind::PromptLibrary {
            let folder = examples.join("prompts").join(&record.version);
            let limits = crate::provenance::FolderLimits::default();
            let folder = crate::provenance::hash_folder(&folder, &limits, &mut |_, _| ()).unwrap();
            assert_eq!(record.digest, folder.digest, "{name}");
        }
    }
    assert_eq!(seen.len(), RecordKind::ALL.len(), "{seen:?}");
}
