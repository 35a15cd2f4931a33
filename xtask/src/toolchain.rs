//! Where the standard library for `wasm32-unknown-unknown` comes from.
//!
//! A guard needs `core`, `alloc` and `std` for a target that no operating system stands behind. rustup ships them
//! built; where rustup is not at hand, Debian's `rustc-web` and `rust-web-src` allow building them from source.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo;

/// The target every guard is built for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// How to build for [`TARGET`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The compiler in use has the target.
    Installed {
        /// Its sysroot, so that its path can be kept out of the components.
        sysroot: PathBuf,
    },
    /// Debian's compiler with the standard library's source. The library is built along with each guard.
    Debian {
        /// `rustc` of the package rustc-web.
        rustc: PathBuf,
        /// A `rust-lld` or `wasm-ld`; Debian's own compiler comes without one.
        linker: PathBuf,
        /// Its sysroot.
        sysroot: PathBuf,
    },
}

impl Toolchain {
    /// The first that works, or the one that `PICKET_WASM_TOOLCHAIN` names.
    pub(crate) fn find() -> Result<Self> {
        match env::var("PICKET_WASM_TOOLCHAIN").as_deref() {
            Err(_) | Ok("") => Self::first_that_works(),
            Ok("installed") => installed().with_context(|| format!("the compiler in use has no target {TARGET}")),
            Ok("rustup") => add_with_rustup().with_context(|| format!("rustup could not add {TARGET}")),
            Ok("debian") => debian(),
            Ok(other) => bail!("PICKET_WASM_TOOLCHAIN is `{other}`; it knows `installed`, `rustup` and `debian`"),
        }
    }

    fn first_that_works() -> Result<Self> {
        if let Some(found) = installed().or_else(add_with_rustup) {
            return Ok(found);
        }
        debian().with_context(|| {
            format!(
                "guards need the target {TARGET}, and this machine has none. One of these helps:\n  \
                 rustup target add {TARGET}\n  \
                 apt-get install rustc-web rust-web-src rust-web-llvm lld-22 (Debian; rustc 1.96 or later)"
            )
        })
    }

    /// What to say on the terminal.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Installed { .. } => format!("the installed target {TARGET}"),
            Self::Debian { rustc, .. } => format!("{} with the standard library's source", rustc.display()),
        }
    }

    /// The folder below `target` for what Cargo makes on the way. Builds by one compiler do not evict the other's.
    pub(crate) fn folder(&self) -> &'static str {
        match self {
            Self::Installed { .. } => "wasm",
            Self::Debian { .. } => "wasm-debian",
        }
    }

    /// The sysroot whose path must not get into a component.
    pub(crate) fn sysroot(&self) -> &Path {
        match self {
            Self::Installed { sysroot } | Self::Debian { sysroot, .. } => sysroot,
        }
    }

    /// A `cargo build` for the target, and the compiler flags that the toolchain asks for.
    pub(crate) fn cargo_build(&self) -> (Command, Vec<String>) {
        let mut command = Command::new(cargo());
        command.args(["build", "--target", TARGET]);
        let mut flags = Vec::new();
        if let Self::Debian { rustc, linker, .. } = self {
            // Building std is an unstable option of Cargo; the variable allows it on a stable compiler.
            command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", rustc).env_remove("RUSTUP_TOOLCHAIN");
            command.arg("-Zbuild-std=std,panic_abort");
            flags.push(format!("-Clinker={}", linker.display()));
        }
        (command, flags)
    }
}

fn installed() -> Option<Toolchain> {
    let rustc = env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from);
    let sysroot = sysroot(&rustc).ok()?;
    sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir().then_some(Toolchain::Installed { sysroot })
}

fn add_with_rustup() -> Option<Toolchain> {
    let status = Command::new("rustup").args(["target", "add", TARGET]).stdin(Stdio::null()).status().ok()?;
    if status.success() { installed() } else { None }
}

fn debian() -> Result<Toolchain> {
    let rustc = PathBuf::from("/usr/bin/rustc");
    let sysroot = sysroot(&rustc).context("no /usr/bin/rustc: apt-get install rustc-web")?;
    let library = sysroot.join("lib/rustlib/src/rust/library/Cargo.lock");
    if !library.is_file() {
        bail!("{} is not there: apt-get install rust-web-src", library.display());
    }
    let linker = linker(&sysroot).context("no rust-lld and no wasm-ld: apt-get install rust-web-llvm lld-22")?;
    Ok(Toolchain::Debian { rustc, linker, sysroot })
}

/// A linker that knows WebAssembly: one that came with some Rust toolchain, or one on the path.
fn linker(sysroot: &Path) -> Option<PathBuf> {
    let mut candidates = vec![host_binary(sysroot, "rust-lld")];
    if let Ok(other) = self::sysroot(Path::new("rustc")) {
        candidates.push(host_binary(&other, "rust-lld"));
    }
    if let Some(path) = env::var_os("PATH") {
        for folder in env::split_paths(&path) {
            candidates.push(folder.join("rust-lld"));
            candidates.push(folder.join("wasm-ld"));
        }
    }
    candidates.into_iter().find(|candidate| candidate.is_file())
}

fn host_binary(sysroot: &Path, name: &str) -> PathBuf {
    let host = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    sysroot.join("lib/rustlib").join(host).join("bin").join(name)
}

fn sysroot(rustc: &Path) -> Result<PathBuf> {
    let output = Command::new(rustc)
        .args(["--print", "sysroot"])
        .output()
        .with_context(|| format!("cannot run {}", rustc.display()))?;
    if !output.status.success() {
        bail!("{} --print sysroot failed", rustc.display());
    }
    let text = String::from_utf8(output.stdout).context("a sysroot that is not UTF-8")?;
    Ok(PathBuf::from(text.trim_end()))
}
