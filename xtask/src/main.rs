//! Build steps that Cargo has no word for. `cargo xtask help` lists them.

mod demo;
mod guards;
mod test;
mod toolchain;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const HELP: &str = "\
Usage: cargo xtask <step> [arguments]

  guards [NAME...]      build all guards, or those named, into target/guards/<name>.wasm
      --out DIR         write the components there instead
  demo                  run a box and an auditor on the example recordings, and print what happened
  test [ARGUMENTS...]   build the guards, then run the workspace's tests; arguments go to `cargo test`

PICKET_WASM_TOOLCHAIN=installed|rustup|debian decides where the standard library for
wasm32-unknown-unknown comes from; without it the first of them that works is taken.
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let step = arguments.next();
    let rest: Vec<String> = arguments.collect();
    match step.as_deref() {
        Some("guards") => guards::command(&rest),
        Some("demo") => demo::command(&rest),
        Some("test") => test::command(&rest),
        Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => bail!("there is no step `{other}`\n\n{HELP}"),
        None => bail!("which step?\n\n{HELP}"),
    }
}

/// The folder of the workspace's Cargo.toml.
fn workspace() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).context("xtask lies inside the workspace")
}

/// Cargo as it runs us, so that a toolchain chosen with `cargo +name` stays chosen.
fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}
