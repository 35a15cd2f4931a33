//! The examples hold together: every digest in a record is that of a file beside it, every link leads to a record, ids are
//! unique, and what is expected of the texts speaks of texts that are there.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples")
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Digest of a folder as the host takes it: that of the lines `sha256sum` prints, by path.
fn folder_digest(folder: &Path) -> String {
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let listing: String = names
        .iter()
        .map(|name| {
            let file = digest(&std::fs::read(folder.join(name)).unwrap());
            format!("{}  {}\n", file.trim_start_matches("sha256:"), name.to_str().unwrap())
        })
        .collect();
    digest(listing.as_bytes())
}

fn lines(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(examples().join("recordings").join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Kind, file name and document of each record, in the order of order.txt.
fn records() -> Vec<(String, String, Value)> {
    let folder = examples().join("records");
    let order = std::fs::read_to_string(folder.join("order.txt")).unwrap();
    let listed: Vec<_> = order
        .lines()
        .map(|line| {
            let (kind, file) = line.split_once(' ').unwrap();
            let document = std::fs::read_to_string(folder.join(file)).unwrap();
            (kind.to_owned(), file.to_owned(), serde_json::from_str(&document).unwrap())
        })
        .collect();
    let present = std::fs::read_dir(&folder).unwrap().count() - 1;
    assert_eq!(listed.len(), present, "order.txt and the folder differ");
    listed
}

#[test]
fn digests_in_records_are_those_of_the_files() {
    let folder = examples();
    let mut known = BTreeMap::new();
    for sub in ["models", "slices", "records"] {
        for entry in std::fs::read_dir(folder.join(sub)).unwrap() {
            let path = entry.unwrap().path();
            known.insert(digest(&std::fs::read(&path).unwrap()), path.display().to_string());
        }
    }
    for version in ["1.0.0", "1.1.0"] {
        known.insert(folder_digest(&folder.join("prompts").join(version)), format!("prompts {version}"));
    }
    let mut met = 0;
    for (kind, file, document) in records() {
        // The descriptions that `babble` learned from ship with scikit-learn, not here.
        let elsewhere =
            |field: &str| field == "trained_on" && file.contains("babble") || file.contains("babble-corpus");
        for field in ["weights", "slice", "digest", "subject", "trained_on"] {
            let values = match document.get(field) {
                Some(Value::Array(list)) => list.clone(),
                Some(one) => vec![one.clone()],
                None => continue,
            };
            for value in values {
                let value = value.as_str().unwrap();
                assert!(
                    elsewhere(field) || known.contains_key(value),
                    "{file} ({kind}): {field} {value} is no file here"
                );
                met += 1;
            }
        }
    }
    assert!(met > 30, "only {met} digests were looked at");
}

#[test]
fn links_in_records_lead_to_records_that_stand_before() {
    let mut recorded = BTreeSet::new();
    for (kind, file, document) in records() {
        let text = |field: &str| document[field].as_str().map(str::to_owned);
        let mut links: Vec<String> = match kind.as_str() {
            "evaluation" => [text("weights"), text("slice")].into_iter().flatten().collect(),
            "prompt-library" => text("weights").into_iter().collect(),
            "approval" => text("subject").into_iter().collect(),
            _ => Vec::new(),
        };
        links.extend(
            document["trained_on"].as_array().into_iter().flatten().map(|one| one.as_str().unwrap().to_owned()),
        );
        for link in links {
            assert!(recorded.contains(&link), "{file}: {link} was not recorded before");
        }
        recorded.extend(match kind.as_str() {
            "model-version" => text("weights"),
            "dataset-slice" | "prompt-library" => text("digest"),
            _ => Some(digest(&std::fs::read(examples().join("records").join(&file)).unwrap())),
        });
    }
}

#[test]
fn recordings_have_unique_ids_and_known_versions() {
    let models: BTreeSet<String> = records()
        .into_iter()
        .filter(|(kind, ..)| kind == "model-version")
        .map(|(.., document)| {
            format!("{} {}", document["model"].as_str().unwrap(), document["version"].as_str().unwrap())
        })
        .chain(["clerk hand-written".to_owned(), "clerk-invoices hand-written".to_owned()])
        .collect();
    let mut ids = BTreeSet::new();
    for name in ["tumour-reference", "tumour-live", "progression-live", "babble", "texts"] {
        for line in lines(&format!("{name}.jsonl")) {
            let id = line["id"].as_str().unwrap().to_owned();
            let model = format!("{} {}", line["model"].as_str().unwrap(), line["model_version"].as_str().unwrap());
            assert!(models.contains(&model), "{name}: {id} is of {model}");
            assert!(ids.insert(id.clone()), "{name}: {id} is there twice");
        }
    }
    assert_eq!(ids.len(), 600 + 2000 + 600 + 24 + 53, "as the page counts them");
}

#[test]
fn every_text_says_that_it_is_hand_written_and_what_is_expected() {
    let texts = lines("texts.jsonl");
    let expected = lines("texts.expected.jsonl");
    let ids = |list: &[Value]| list.iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(&texts), ids(&expected));
    for text in &texts {
        assert_eq!(text["attributes"]["origin"], "hand-written", "{}", text["id"]);
    }
    for line in &expected {
        let rules = line["rules"].as_array().unwrap();
        match line["decision"].as_str().unwrap() {
            "allow" => assert!(rules.is_empty(), "{}", line["id"]),
            "flag" | "redact" | "block" => assert!(!rules.is_empty(), "{}", line["id"]),
            other => panic!("{}: {other} is no decision", line["id"]),
        }
    }
}

#[test]
fn the_shift_is_where_the_page_says() {
    let live = lines("tumour-live.jsonl");
    let border = 20.5265;
    let share = |from: usize, to: usize| {
        let above = live[from..to].iter().filter(|line| line["features"]["mean_texture"].as_f64().unwrap() >= border);
        above.count() * 100 / (to - from)
    };
    assert_eq!(share(1000, 1600), 100);
    for (from, to) in [(0, 1000), (1600, 2000)] {
        assert!((25..45).contains(&share(from, to)), "rows {from} to {to}: {} %", share(from, to));
    }
}
