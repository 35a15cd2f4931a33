//! `guard.toml`: what a guard's folder says of itself.

use crate::cli::BadInput;
use crate::cli::guard::new::check_name;
use crate::config::{bytes, duration};
use picket_engine::Declared;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Languages with a template and a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli::guard) enum Lang {
    /// Rust, through Cargo.
    Rust,
    /// C, through clang and wasm-ld, or zig.
    C,
    /// JavaScript, through componentize-js.
    Js,
    /// Python, through componentize-py.
    Python,
}

impl Lang {
    /// As `--lang` and `guard.toml` have it.
    pub(in crate::cli::guard) fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Js => "js",
            Self::Python => "python",
        }
    }

    /// What to run once in a new folder.
    pub(in crate::cli::guard) fn setup(self) -> Option<&'static str> {
        match self {
            Self::Rust | Self::C => None,
            Self::Js => Some("npm install"),
            Self::Python => Some("python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"),
        }
    }
}

/// A guard's folder, checked.
#[derive(Debug)]
pub(super) struct Manifest {
    /// The folder, absolute, without links.
    pub(super) folder: PathBuf,
    pub(super) name: String,
    pub(super) lang: Lang,
    /// A world of the contract, for tools that do not put it into what they make.
    pub(super) world: String,
    pub(super) limits: Declared,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    lang: Lang,
    #[serde(default = "validator")]
    world: String,
    #[serde(default)]
    limits: RawLimits,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    deadline: Option<String>,
    memory: Option<String>,
    answer: Option<String>,
    table_elements: Option<u64>,
    findings: Option<u64>,
}

fn validator() -> String {
    "validator".to_owned()
}

impl Manifest {
    /// Reads `guard.toml` in `folder`.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("guard.toml");
        let wrong = |message: String| BadInput(format!("{}: {message}", path.display()));
        let text = std::fs::read_to_string(&path)
            .map_err(|error| wrong(format!("cannot be read: {error}. `picket guard new` makes a folder with one")))?;
        let folder = folder.canonicalize().map_err(|error| wrong(error.to_string()))?;
        Ok(Self::parse(folder, &text).map_err(wrong)?)
    }

    fn parse(folder: PathBuf, text: &str) -> Result<Self, String> {
        let raw: Raw = toml::from_str(text).map_err(|error| error.to_string())?;
        check_name(&raw.name).map_err(|error| format!("name: {error}"))?;
        let worlds = ["validator", "streaming-validator", "detector"];
        if !worlds.contains(&raw.world.as_str()) {
            return Err(format!("world: `{}` is none of {}", raw.world, worlds.join(", ")));
        }
        let RawLimits { deadline, memory, answer, table_elements, findings } = raw.limits;
        let size = |key: &str, value: Option<String>| {
            value.map(|text| bytes(&text)).transpose().map_err(|error| format!("limits.{key}: {error}"))
        };
        let deadline = deadline.map(|text| duration(&text)).transpose();
        let limits = Declared {
            deadline_ms: deadline
                .map_err(|error| format!("limits.deadline: {error}"))?
                .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            memory_bytes: size("memory", memory)?,
            table_elements,
            answer_bytes: size("answer", answer)?,
            findings,
        };
        for (key, value) in [("table_elements", table_elements), ("findings", findings)] {
            if value == Some(0) {
                return Err(format!("limits.{key}: nothing of something cannot be asked for; leave the key out"));
            }
        }
        Ok(Self { folder, name: raw.name, lang: raw.lang, world: raw.world, limits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Manifest, String> {
        Manifest::parse(PathBuf::from("/guard"), text)
    }

    #[test]
    fn a_manifest_is_read() {
        let text = "name = \"a\"\nlang = \"c\"\n[limits]\ndeadline = \"20ms\"\nmemory = \"16MiB\"\nfindings = 8";
        let manifest = parse(text).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.lang, manifest.world.as_str()), ("a", Lang::C, "validator"));
        assert_eq!(manifest.limits.to_json(), r#"{"deadline_ms":20,"memory_bytes":16777216,"findings":8}"#);
    }

    #[test]
    fn mistakes_are_named_by_their_key() {
        for (text, word) in [
            ("lang = \"c\"", "name"),
            ("name = \"a\"\nlang = \"cobol\"", "cobol"),
            ("name = \"../a\"\nlang = \"c\"", "name"),
            ("name = \"a\"\nlang = \"c\"\nwrold = \"validator\"", "wrold"),
            ("name = \"a\"\nlang = \"c\"\nworld = \"everything\"", "world"),
            ("name = \"a\"\nlang = \"c\"\n[limits]\nmemory = \"16MB\"", "limits.memory"),
            ("name = \"a\"\nlang = \"c\"\n[limits]\ndeadline = \"soon\"", "limits.deadline"),
            ("name = \"a\"\nlang = \"c\"\n[limits]\nfindings = 0", "limits.findings"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
