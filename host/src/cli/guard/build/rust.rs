//! Guards in Rust: Cargo, for `wasm32-unknown-unknown`.
//!
//! The same sources and the same compiler give the same bytes on any machine: no machine path gets in, and the crate's
//! lock file stands in its folder.

use super::manifest::Manifest;
use super::tool;
use crate::cli::BadInput;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TARGET: &str = "wasm32-unknown-unknown";

/// Runs Cargo and returns the core module. The world is in it: the SDK's export macro sees to that.
pub(super) fn build(manifest: &Manifest) -> anyhow::Result<Vec<u8>> {
    let folder = &manifest.folder;
    let toolchain = Toolchain::find(folder)?;
    let mut command = toolchain.cargo();
    let mut flags = toolchain.flags();
    flags.extend(remap_flags(folder, &toolchain.sysroot));
    // Text search is most of what guards do, and fixed-width SIMD makes it several times faster; it is deterministic.
    flags.push("-Ctarget-feature=+simd128".to_owned());
    // There is no randomness; a crate that wants some must be told where from, or fails to link.
    flags.push("--cfg=getrandom_backend=\"custom\"".to_owned());
    let output = command
        .args(["build", "--release", "--lib", "--target", TARGET, "--message-format=json-render-diagnostics"])
        .current_dir(folder)
        // Flags from outside would change the bytes, and flags with a space in a path need this form.
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| BadInput(format!("cargo cannot be run: {error}. Install Rust, 1.95 or later")))?;
    if !output.status.success() {
        return Err(BadInput(format!("{} does not build; what cargo said stands above", manifest.name)).into());
    }
    let module = module(&output.stdout).ok_or_else(|| {
        BadInput("cargo made no module: Cargo.toml needs `crate-type = [\"cdylib\", \"rlib\"]` under [lib]".to_owned())
    })?;
    tool::read(&module)
}

/// The last module that Cargo reports: what it was asked for comes after what that needs.
fn module(messages: &[u8]) -> Option<PathBuf> {
    let messages = String::from_utf8_lossy(messages);
    let files = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).flat_map(|message| {
        let files = message["filenames"].as_array().cloned().unwrap_or_default();
        files.into_iter().filter_map(|file| Some(PathBuf::from(file.as_str()?)))
    });
    let mut modules = files.filter(|file| file.extension().is_some_and(|extension| extension == "wasm"));
    modules.next_back()
}

/// Panic messages hold source paths; these flags make them the same on every machine.
fn remap_flags(folder: &Path, sysroot: &Path) -> Vec<String> {
    // Of several prefixes that match, the compiler takes the last.
    let mut prefixes = vec![(folder.to_path_buf(), "guard")];
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    if let Some(home) = home {
        let sources = std::fs::read_dir(home.join("registry/src"));
        prefixes.push((home, "cargo"));
        // The folder below is named after the registry, which differs between mirrors. Sorted, so that the flags are the
        // same each time; others would build everything anew.
        let mut folders: Vec<PathBuf> = sources.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        folders.sort();
        prefixes.extend(folders.into_iter().map(|folder| (folder, "crates")));
    }
    prefixes.push((sysroot.to_path_buf(), "rust"));
    prefixes.into_iter().map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display())).collect()
}

/// A compiler that can build for [`TARGET`].
struct Toolchain {
    sysroot: PathBuf,
    /// Debian's compiler and a linker: the standard library is then built from its source, because Debian does not
    /// package it for this target.
    debian: Option<(PathBuf, PathBuf)>,
}

impl Toolchain {
    fn find(folder: &Path) -> anyhow::Result<Self> {
        if let Some(sysroot) = sysroot("rustc".as_ref(), folder)
            && sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir()
        {
            return Ok(Self { sysroot, debian: None });
        }
        let debian = PathBuf::from("/usr/bin/rustc");
        if let Some(sysroot) = sysroot(&debian, folder)
            && sysroot.join("lib/rustlib/src/rust/library/Cargo.lock").is_file()
            && let Some(linker) = linker(&sysroot)
        {
            return Ok(Self { sysroot, debian: Some((debian, linker)) });
        }
        let message = format!(
            "a guard in Rust needs Rust with the target {TARGET}, and this machine has none. One of these helps:\n  \
             rustup target add {TARGET}\n  \
             apt-get install rustc-web rust-web-src rust-web-llvm lld-22 (Debian; rustc 1.96 or later)"
        );
        Err(BadInput(message).into())
    }

    fn cargo(&self) -> Command {
        let mut command = Command::new("cargo");
        if let Some((rustc, _)) = &self.debian {
            // Building the standard library is an unstable option of Cargo; the variable allows it.
            command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", rustc).env_remove("RUSTUP_TOOLCHAIN");
            command.arg("-Zbuild-std=std,panic_abort");
        }
        command
    }

    fn flags(&self) -> Vec<String> {
        self.debian.iter().map(|(_, linker)| format!("-Clinker={}", linker.display())).collect()
    }
}

/// A linker that knows WebAssembly; Debian's compiler comes without one.
fn linker(sysroot: &Path) -> Option<PathBuf> {
    let host = format!("lib/rustlib/{}-unknown-linux-gnu/bin", std::env::consts::ARCH);
    tool::find("rust-lld", &[sysroot.join(host)]).or_else(|| tool::find("wasm-ld", &[]))
}

/// Asked in the guard's folder, which may name a toolchain of its own.
fn sysroot(rustc: &Path, folder: &Path) -> Option<PathBuf> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).current_dir(folder).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success()).then(|| PathBuf::from(text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_the_last_that_cargo_reports() {
        let messages = concat!(
            "{\"reason\":\"compiler-artifact\",\"filenames\":[\"/t/first.wasm\"]}\n",
            "not json\n",
            "{\"reason\":\"compiler-artifact\",\"filenames\":[\"/t/guard.wasm\",\"/t/libguard.rlib\"]}\n",
            "{\"reason\":\"build-finished\",\"success\":true}\n",
        );
        assert_eq!(module(messages.as_bytes()), Some(PathBuf::from("/t/guard.wasm")));
        assert_eq!(module(b"{\"reason\":\"build-finished\"}"), None);
    }
}
