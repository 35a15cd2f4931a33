//! Guards in C: clang and wasm-ld, or zig, which is both in one.

use super::manifest::Manifest;
use super::tool;
use crate::cli::BadInput;
use std::path::{Path, PathBuf};
use std::process::Command;

/// For either compiler. There is no C library: the folder's `runtime` has the little that is needed.
const COMPILE: &[&str] = &[
    "-std=c11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-ffreestanding",
    "-fno-builtin",
    "-mbulk-memory",
    "-msimd128",
    "-Ibindings",
    "-Isrc",
    "-isystem",
    "runtime/include",
];

/// The stack is as large as that of guards in Rust.
const STACK: &str = "stack-size=1048576";

/// Compiles every `.c` file of `src`, `bindings` and `runtime` into a core module.
pub(super) fn build(manifest: &Manifest) -> anyhow::Result<Vec<u8>> {
    let folder = &manifest.folder;
    let module = tool::scratch(folder)?.join(format!("{}.core.wasm", manifest.name));
    let mut files = Vec::new();
    for part in ["src", "bindings", "runtime"] {
        files.extend(sources(folder, part)?);
    }
    match Compiler::find(folder)? {
        Compiler::Clang { clang, linker } => {
            // One after the other, and the linker by itself: clang as a linker would run whatever `wasm-opt` it finds.
            let mut objects = Vec::new();
            for file in &files {
                let object =
                    Path::new("target").join(file.to_string_lossy().replace(['/', '\\'], "-")).with_extension("o");
                let mut command = Command::new(&clang);
                command.args(["--target=wasm32-unknown-unknown", "-c"]).args(COMPILE);
                tool::run(command.arg(file).arg("-o").arg(&object), folder)?;
                objects.push(object);
            }
            let mut command = Command::new(linker);
            // The stack comes first, so that an overflow traps instead of overwriting data.
            command.args(["--no-entry", "--strip-all", "--stack-first", "-z", STACK]).args(objects);
            tool::run(command.arg("-o").arg(&module), folder)?;
        }
        Compiler::Zig(zig) => {
            let mut command = Command::new(zig);
            command.args(["cc", "-target", "wasm32-freestanding", "-nostdlib"]).args(COMPILE);
            command.args(["-Wl,--no-entry", "-Wl,--strip-all", &format!("-Wl,-z,{STACK}")]).args(files);
            tool::run(command.arg("-o").arg(&module), folder)?;
        }
    }
    tool::read(&module)
}

/// Relative to the folder, so that no path of the machine gets into the module; in a fixed order.
fn sources(folder: &Path, part: &str) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder.join(part))
        .map_err(|error| BadInput(format!("{}: cannot be read: {error}", folder.join(part).display())))?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| Path::new(part).join(entry.file_name()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    found.sort();
    Ok(found)
}

enum Compiler {
    Clang { clang: PathBuf, linker: PathBuf },
    Zig(PathBuf),
}

impl Compiler {
    fn find(folder: &Path) -> anyhow::Result<Self> {
        if let (Some(clang), Some(linker)) = (tool::find("clang", &[]), tool::find("wasm-ld", &[])) {
            return Ok(Self::Clang { clang, linker });
        }
        let environment = [folder.join(".venv/bin")];
        // The package ziglang brings its command under the second name.
        let zig = tool::find("zig", &environment).or_else(|| tool::find("python-zig", &environment));
        let message = "a guard in C needs clang and wasm-ld, or zig, and neither is on the PATH. One of these helps:\n  \
                       apt-get install clang lld\n  \
                       python3 -m venv .venv && .venv/bin/pip install ziglang";
        Ok(Self::Zig(zig.ok_or_else(|| BadInput(message.to_owned()))?))
    }
}
