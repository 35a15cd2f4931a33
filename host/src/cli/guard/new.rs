//! `picket guard new`: a folder with a guard that builds, passes its cases and can be read in a few minutes.
//!
//! The guard is the same in every language, and so are its cases: what differs between the folders is the language.

mod files;

use super::build::Lang;
use crate::cli::{Answer, BadInput, Exit, Output, print};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of the guard: lower-case letters, digits and `-`.
    name: String,
    /// Language of the guard.
    #[arg(long, value_enum)]
    lang: Lang,
    /// Folder to make. Default: the name, in the working folder.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    check_name(&args.name).map_err(BadInput)?;
    let folder = args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    let made = files::render(&args.name, args.lang);
    create(&folder, &made)?;
    if output.json {
        let names: Vec<&str> = made.iter().map(|(name, _)| *name).collect();
        print(serde_json::json!({ "name": args.name, "lang": args.lang.name(), "folder": folder, "files": names }))?;
    } else {
        print(format_args!("made {} with {} files; next:", folder.display(), made.len()))?;
        print(format_args!("  cd {}", folder.display()))?;
        if let Some(command) = args.lang.setup() {
            print(format_args!("  {command}"))?;
        }
        print("  picket guard build")?;
        print(format_args!("  picket guard test {}.wasm", args.name))?;
    }
    Ok(Exit::Done)
}

/// A name that serves as a guard's name, a file's name and a package's name in each language.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let good = name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if good {
        return Ok(());
    }
    Err(format!("{name:?} is no name for a guard: use a lower-case letter, then letters, digits and `-`, 64 at most"))
}

fn create(folder: &Path, files: &[(&str, String)]) -> anyhow::Result<()> {
    let path = folder.display();
    let refused = |error: std::io::Error| BadInput(format!("{path}: cannot be made: {error}"));
    std::fs::create_dir_all(folder).map_err(refused)?;
    if std::fs::read_dir(folder).map_err(refused)?.next().is_some() {
        return Err(
            BadInput(format!("{path} is not empty; nothing was written. Name another folder with --dir")).into()
        );
    }
    for (name, text) in files {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(refused)?;
        }
        std::fs::write(&path, text).map_err(refused)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_serve_everywhere() {
        for name in ["a", "words", "no-2", &"a".repeat(64)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "2a", "-a", "Words", "a_b", "a.b", "a/b", "..", "wörter", &"a".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_folder_in_use_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("kept"), "").unwrap();
        let error = create(place.path(), &[("new", String::new())]).unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
        assert!(!place.path().join("new").exists());
    }
}
