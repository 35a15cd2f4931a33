//! `cargo xtask guards`: every guard crate becomes a component in `target/guards`.
//!
//! The same sources and the same compiler give the same bytes on any machine: one Cargo call for each guard (so that
//! one guard's features do not reach another), and no machine path in what is built. A file is only written when its
//! bytes differ, so that caches keyed by the file stay warm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use crate::toolchain::{TARGET, Toolchain};
use crate::{cargo, workspace};

/// Packages of that name, with a `cdylib`, are guards; what follows the prefix is the guard's name.
const PREFIX: &str = "picket-guard-";

/// Runs the step with the arguments of the command line.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let workspace = workspace()?;
    let mut folder = default_folder(&workspace);
    let mut names = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--out" => folder = PathBuf::from(rest.next().context("--out takes a folder")?),
            option if option.starts_with('-') => bail!("`guards` has no option {option}"),
            name => names.push(name.to_owned()),
        }
    }
    build(&workspace, &names, &folder)
}

/// Where tests and the demo look for guards.
pub(crate) fn default_folder(workspace: &Path) -> PathBuf {
    workspace.join("target/guards")
}

/// Builds the guards of these names, or all when there are none, into `folder`.
pub(crate) fn build(workspace: &Path, names: &[String], folder: &Path) -> Result<()> {
    let all = find_guards(workspace)?;
    let chosen: Vec<&Guard> = if names.is_empty() {
        all.iter().collect()
    } else {
        names.iter().map(|name| find(&all, name)).collect::<Result<_>>()?
    };
    let toolchain = Toolchain::find()?;
    eprintln!("guards: {}", toolchain.describe());
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for guard in chosen {
        let module = build_module(workspace, &toolchain, guard)?;
        let component = componentize(&module).with_context(|| format!("guard {}", guard.name))?;
        let path = folder.join(format!("{}.wasm", guard.name));
        let changed = write_if_changed(&path, &component)?;
        println!(
            "{:<18} {:>8} bytes  sha256 {}{}",
            guard.name,
            component.len(),
            hex(&Sha256::digest(&component)),
            if changed { "" } else { "  (unchanged)" }
        );
    }
    Ok(())
}

struct Guard {
    name: String,
    package: String,
    /// The library's name, which is the file's name too.
    library: String,
}

fn find<'a>(all: &'a [Guard], name: &str) -> Result<&'a Guard> {
    all.iter().find(|guard| guard.name == name).with_context(|| {
        let known: Vec<&str> = all.iter().map(|guard| guard.name.as_str()).collect();
        format!("no guard is called `{name}`; there are {}", known.join(", "))
    })
}

fn find_guards(workspace: &Path) -> Result<Vec<Guard>> {
    let output = Command::new(cargo())
        .current_dir(workspace)
        .args(["metadata", "--no-deps", "--format-version=1"])
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata gave no JSON")?;
    let mut guards: Vec<Guard> = array(&metadata["packages"]).filter_map(guard_of_package).collect();
    guards.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(guards)
}

fn guard_of_package(package: &Value) -> Option<Guard> {
    let package_name = package["name"].as_str()?;
    let name = package_name.strip_prefix(PREFIX)?;
    let library = array(&package["targets"])
        .find(|target| array(&target["crate_types"]).any(|kind| kind == "cdylib"))?
        .get("name")?
        .as_str()?;
    Some(Guard { name: name.to_owned(), package: package_name.to_owned(), library: library.to_owned() })
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Runs Cargo and returns the core module.
fn build_module(workspace: &Path, toolchain: &Toolchain, guard: &Guard) -> Result<Vec<u8>> {
    let target_folder = workspace.join("target").join(toolchain.folder());
    let (mut command, mut flags) = toolchain.cargo_build();
    flags.extend(reproducible_flags(workspace, toolchain));
    // Text search is most of what guards do, and memchr's vector code is several times faster than its scalar code.
    // Fixed-width SIMD is deterministic; relaxed SIMD would not be.
    flags.push("-Ctarget-feature=+simd128".to_owned());
    // There is no randomness; who links getrandom says what it gives instead (plugins/structure/src/seeds.rs).
    flags.push("--cfg=getrandom_backend=\"custom\"".to_owned());
    command
        .current_dir(workspace)
        .args(["--profile", "guard", "--package", &guard.package, "--lib", "--target-dir"])
        .arg(&target_folder)
        // Flags from outside would change the bytes, and flags with a space in a path need this form.
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    let status = command.status().context("cannot run cargo build")?;
    ensure!(status.success(), "guard {} does not build", guard.name);
    let path = target_folder.join(TARGET).join("guard").join(format!("{}.wasm", guard.library.replace('-', "_")));
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Panic locations hold source paths; these flags make them the same on every machine.
fn reproducible_flags(workspace: &Path, toolchain: &Toolchain) -> Vec<String> {
    // Of several prefixes that match, the compiler takes the last: so the workspace, which may lie below the home
    // folder or hold it, comes first.
    let mut prefixes = vec![(workspace.to_path_buf(), "picket")];
    if let Some(home) = cargo_home() {
        let sources = home.join("registry/src");
        prefixes.push((home, "cargo"));
        // The folder below is named after the registry, which differs between mirrors.
        prefixes.extend(folders_in(&sources).map(|folder| (folder, "crates")));
    }
    prefixes.push((toolchain.sysroot().to_path_buf(), "rust"));
    prefixes.into_iter().map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display())).collect()
}

fn cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
}

/// Sorted, so that the flags are the same each time; an order that changed would build everything anew.
fn folders_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.sort();
    found.into_iter()
}

/// Makes a component of a core module that carries the WIT of its world, and refuses one that imports anything.
fn componentize(module: &[u8]) -> Result<Vec<u8>> {
    let component = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .context("the module does not fit its world")?
        .encode()
        .context("cannot make a component")?;
    let imports = imports(&component)?;
    if !imports.is_empty() {
        bail!("it imports {}, and guards import nothing", imports.join(", "));
    }
    Ok(component)
}

/// Names of the imports of the outermost component. Components inside it import from it alone.
fn imports(component: &[u8]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        match payload.context("cannot read the component back")? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            // The outermost component's own end comes last.
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    names.push(import.context("cannot read an import")?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    // A reader never sees half a component.
    let part = path.with_extension("wasm.part");
    fs::write(&part, bytes).with_context(|| format!("cannot write {}", part.display()))?;
    fs::rename(&part, path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn imports_are_those_of_the_outermost_component() {
        let component = wat::parse_str(
            r#"(component
                (component (import "inner" (func)))
                (core module (import "core" "f" (func)))
                (import "wasi:clocks/wall-clock@0.2.0" (instance))
                (component (component))
                (import "other" (func)))"#,
        );
        assert_eq!(imports(&component.unwrap()).unwrap(), ["wasi:clocks/wall-clock@0.2.0", "other"]);
        assert!(imports(&wat::parse_str("(component (component))").unwrap()).unwrap().is_empty());
    }

    #[test]
    fn a_module_without_a_world_or_with_an_import_is_no_guard() {
        let imports_something = wat::parse_str(r#"(module (import "env" "log" (func)))"#).unwrap();
        let error = componentize(&imports_something).unwrap_err();
        assert!(format!("{error:#}").contains("env"), "{error:#}");
        assert!(componentize(b"not wasm").is_err());
    }

    #[test]
    fn only_new_bytes_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard.wasm");
        assert!(write_if_changed(&path, b"one").unwrap());
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        assert!(!write_if_changed(&path, b"one").unwrap());
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written);
        assert!(write_if_changed(&path, b"two").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn guards_are_packages_of_that_name_with_a_cdylib() {
        let package = |name: &str, kinds: &[&str]| {
            let targets = serde_json::json!([{"name": "lib_name", "crate_types": kinds}]);
            serde_json::json!({"name": name, "targets": targets})
        };
        let guard = guard_of_package(&package("picket-guard-pii", &["cdylib", "rlib"])).unwrap();
        assert_eq!((guard.name.as_str(), guard.library.as_str()), ("pii", "lib_name"));
        assert!(guard_of_package(&package("picket-guard-pii", &["rlib"])).is_none());
        assert!(guard_of_package(&package("picket-sdk", &["cdylib"])).is_none());
    }
}
