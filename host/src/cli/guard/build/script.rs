//! Guards in JavaScript and Python: their tools make a component with a whole engine inside.

use super::manifest::Manifest;
use super::tool;
use crate::cli::BadInput;
use std::process::Command;

/// `guard.js` through componentize-js. Without all of these the component would import what guards may not have.
pub(super) fn build_js(manifest: &Manifest) -> anyhow::Result<Vec<u8>> {
    let folder = &manifest.folder;
    let tool = tool::find("componentize-js", &[folder.join("node_modules/.bin")]).ok_or_else(|| {
        let message = "a guard in JavaScript needs componentize-js, which package.json names: run `npm install` in";
        BadInput(format!("{message} {}", folder.display()))
    })?;
    let component = tool::scratch(folder)?.join(format!("{}.component.wasm", manifest.name));
    let mut command = Command::new(tool);
    command.args(["guard.js", "--wit", "wit", "--world-name", &manifest.world]);
    command.args(["--disable", "stdio", "random", "clocks", "http", "fetch-event", "--out"]).arg(&component);
    tool::run(&mut command, folder)?;
    tool::read(&component)
}

/// `guard.py` through componentize-py, with its imports of WASI replaced by traps.
pub(super) fn build_python(manifest: &Manifest) -> anyhow::Result<Vec<u8>> {
    let folder = &manifest.folder;
    let tool = tool::find("componentize-py", &[folder.join(".venv/bin")]).ok_or_else(|| {
        let setup = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt";
        BadInput(format!("a guard in Python needs componentize-py: run `{setup}` in {}", folder.display()))
    })?;
    let component = tool::scratch(folder)?.join(format!("{}.component.wasm", manifest.name));
    let mut command = Command::new(tool);
    command.args(["--quiet", "--wit-path", "wit", "--world", &manifest.world]);
    command.args(["componentize", "--stub-wasi", "guard", "--output"]).arg(&component);
    tool::run(&mut command, folder)?;
    tool::read(&component)
}
