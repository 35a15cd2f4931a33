//! The 518 proof cases of transparency-dev/merkle: inclusion and consistency, and both for subtrees.
//!
//! The cases are not part of this repository. `PICKET_DATA` names the folder that holds `merkle/`; without
//! it the test says that it was skipped.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use picket_ledger::hash::{Hash, sha256};
use picket_ledger::proof::{
    ProofError, verify_consistency, verify_inclusion, verify_subtree_consistency, verify_subtree_inclusion,
};
use serde_json::Value;

#[test]
fn every_case_is_judged_as_its_authors_say() {
    let Some(folder) = std::env::var_os("PICKET_DATA") else {
        // Not with eprintln!, which the test harness keeps to itself when a test passes.
        let reason = "skipped: PICKET_DATA does not name the folder that holds merkle/ with the 518 proof cases";
        writeln!(std::io::stderr(), "{reason}").unwrap();
        return;
    };
    let folder = Path::new(&folder).join("merkle");
    let (mut cases, mut valid, mut wrong) = (0, 0, Vec::new());
    for group in ["inclusion", "consistency", "subtreeinclusion", "subtreeconsistency"] {
        for path in json_files(&folder.join(group)) {
            let case: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let refuse = case["wantErr"].as_bool().unwrap();
            let result = judge(group, &case);
            if result.is_err() != refuse {
                wrong.push(format!("{}: {result:?}", path.display()));
            }
            cases += 1;
            valid += u32::from(!refuse);
        }
    }
    assert!(wrong.is_empty(), "{} cases are judged wrongly:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!((cases, valid), (518, 36), "cases, and those among them that hold");
}

fn judge(group: &str, case: &Value) -> Result<(), String> {
    let number = |field: &str| case[field].as_u64().unwrap_or_else(|| panic!("{field} of {case}"));
    let proof = case["proof"].as_array().map_or(Ok(Vec::new()), |hashes| hashes.iter().map(hash).collect())?;
    let text = |error: ProofError| error.to_string();
    match group {
        "inclusion" => {
            let (leaf, root) = (hash(&case["leafHash"])?, hash(&case["root"])?);
            verify_inclusion(number("leafIdx"), number("treeSize"), &leaf, &proof, &root).map_err(text)
        }
        "subtreeinclusion" => {
            let (leaf, root) = (hash(&case["leafHash"])?, hash(&case["root"])?);
            let (index, start, end) = (number("leafIdx"), number("start"), number("end"));
            verify_subtree_inclusion(index, start, end, &leaf, &proof, &root).map_err(text)
        }
        "consistency" => {
            let (root1, root2) = (hash(&case["root1"])?, hash(&case["root2"])?);
            verify_consistency(number("size1"), number("size2"), &proof, &root1, &root2).map_err(text)
        }
        _ => {
            let (root1, root2) = (hash(&case["root1"])?, hash(&case["root2"])?);
            let (start, end, size) = (number("start"), number("end"), number("size"));
            verify_subtree_consistency(start, end, size, &proof, &root1, &root2).map_err(text)
        }
    }
}

/// Some cases have words in place of roots that play no part or are only compared. Their digests stand in for
/// them, which keeps equal ones equal. An empty string is no hash at all: our types cannot hold one, and the
/// cases that have one are to be refused.
fn hash(value: &Value) -> Result<Hash, String> {
    let bytes = STANDARD.decode(value.as_str().unwrap_or_default()).map_err(|error| error.to_string())?;
    if bytes.is_empty() {
        return Err("an empty hash".to_owned());
    }
    Ok(Hash::try_from(bytes.as_slice()).unwrap_or_else(|_| sha256(&bytes)))
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for item in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = item.unwrap().path();
        if path.is_dir() {
            files.extend(json_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files
}
