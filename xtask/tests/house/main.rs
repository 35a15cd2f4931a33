//! The house rules, checked: who may import whom, where the store's name may stand, how long files may be, no paths
//! of anyone's machine, no dead links. Each checker is tried on a bad sample first, so that it cannot pass by
//! seeing nothing.

#![expect(clippy::unwrap_used, reason = "tests")]

mod floors;
mod source;
mod text;

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of the repository: path relative to its root with `/`, and its text.
struct File {
    path: String,
    text: String,
}

/// Every text file that Git knows or would add. Files that are not UTF-8 carry no prose and no code.
fn files() -> Vec<File> {
    let root = root();
    let listing = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(&root)
        .output()
        .unwrap();
    assert!(listing.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listing.stderr));
    let listing = String::from_utf8(listing.stdout).unwrap();
    listing
        .split_terminator('\0')
        .filter_map(|path| {
            let text = String::from_utf8(std::fs::read(root.join(path)).ok()?).ok()?;
            Some(File { path: path.to_owned(), text })
        })
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn ending<'files>(files: &'files [File], end: &str) -> Vec<&'files File> {
    files.iter().filter(|file| file.path.ends_with(end)).collect()
}

fn assert_none(what: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{what}:\n{}", complaints.join("\n"));
}

#[test]
fn manifests_depend_downwards() {
    let files = files();
    let manifests: Vec<_> =
        files.iter().filter(|file| file.path == "Cargo.toml" || file.path.ends_with("/Cargo.toml")).collect();
    assert!(manifests.len() > 8, "only {} manifests found", manifests.len());
    let complaints: Vec<_> = manifests.iter().flat_map(|file| floors::manifest(&file.path, &file.text)).collect();
    assert_none("dependencies that point up", &complaints);
}

#[test]
fn modules_of_the_host_import_downwards() {
    let files = files();
    let host: Vec<_> = ending(&files, ".rs").into_iter().filter(|file| file.path.starts_with("host/src/")).collect();
    assert!(!host.is_empty());
    let complaints: Vec<_> = host.iter().flat_map(|file| floors::host_module(&file.path, &file.text)).collect();
    assert_none("modules that name a higher floor", &complaints);
    let table = host.iter().find(|file| file.path == "host/src/lib.rs").unwrap();
    assert_none("the table in host/src/lib.rs", &floors::host_table(&table.text));
}

#[test]
fn one_file_names_the_store() {
    let files = files();
    let naming: Vec<_> = ending(&files, ".rs")
        .into_iter()
        .filter(|file| floors::names_sled(&file.text))
        .map(|file| file.path.as_str())
        .collect();
    assert_none("sled is named outside of the store", &floors::sled_files(&naming));
}

#[test]
fn long_files_say_why() {
    let files = files();
    let complaints: Vec<_> = files.iter().filter_map(|file| text::length(&file.path, &file.text)).collect();
    assert_none("files over 400 lines whose header does not say why", &complaints);
}

#[test]
fn no_file_names_a_machine() {
    let files = files();
    let complaints: Vec<_> = files.iter().flat_map(|file| text::machine_paths(&file.path, &file.text)).collect();
    assert_none("paths of a machine", &complaints);
}

#[test]
fn links_in_documents_lead_somewhere() {
    let files = files();
    let root = root();
    let exists = |path: &str| root.join(path).exists();
    let documents = ending(&files, ".md");
    assert!(!documents.is_empty());
    let complaints: Vec<_> =
        documents.iter().flat_map(|file| text::dead_links(&file.path, &file.text, &exists)).collect();
    assert_none("links that lead nowhere", &complaints);
}
