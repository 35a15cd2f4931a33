//! `cargo xtask test`: the guards first, because tests load them as components.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cargo, guards, workspace};

/// Builds every guard and runs the tests of the whole workspace; `arguments` go to `cargo test`.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let workspace = workspace()?;
    let folder = guards::default_folder(&workspace);
    guards::build(&workspace, &[], &folder)?;

    let mut tests = Command::new(cargo());
    tests.current_dir(&workspace).arg("test");
    // Who names packages gets those; everyone else gets all.
    if !arguments.iter().take_while(|argument| *argument != "--").any(|argument| names_packages(argument)) {
        tests.arg("--workspace");
    }
    tests.args(arguments).env("PICKET_GUARDS", &folder);
    let status = tests.status().context("cannot start cargo test")?;
    if !status.success() {
        bail!("the tests failed");
    }
    Ok(())
}

fn names_packages(argument: &str) -> bool {
    argument == "--package"
        || argument.starts_with("--package=")
        || argument == "--workspace"
        || (argument.starts_with("-p") && !argument.starts_with("--"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_arguments_are_told_from_others() {
        for argument in ["-p", "-ppicket", "--package", "--package=picket", "--workspace"] {
            assert!(names_packages(argument), "{argument}");
        }
        for argument in ["--profile", "--release", "picket", "-v", "--test=x"] {
            assert!(!names_packages(argument), "{argument}");
        }
    }
}
