//! Running a language's tools.

use crate::cli::BadInput;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The file that a command of this name runs: in one of `folders`, else on the `PATH`.
pub(super) fn find(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = folders.iter().cloned().chain(std::env::split_paths(&path)).map(|folder| folder.join(name));
    candidates.into_iter().find(|candidate| candidate.is_file())
}

/// Runs a tool to its end. Whatever it prints goes to standard error, where it belongs beside a result of ours.
pub(super) fn run(command: &mut Command, folder: &Path) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::from(std::io::stderr()))
        .status()
        .map_err(|error| BadInput(format!("{name} cannot be run: {error}")))?;
    if !status.success() {
        return Err(BadInput(format!("{name} failed ({status}); what it said stands above")).into());
    }
    Ok(())
}

/// Reads what a tool has made.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    Ok(std::fs::read(path).map_err(|error| BadInput(format!("{}: cannot be read: {error}", path.display())))?)
}

/// The folder for what is made on the way.
pub(super) fn scratch(folder: &Path) -> anyhow::Result<PathBuf> {
    let scratch = folder.join("target");
    std::fs::create_dir_all(&scratch)
        .map_err(|error| BadInput(format!("{}: cannot be made: {error}", scratch.display())))?;
    Ok(scratch)
}
