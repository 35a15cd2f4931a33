//! The files of a new guard's folder, out of plugins/templates, with the SDK and the contract as they are now.

use super::Lang;

/// A file of a folder, and its text before names are filled in.
type File = (&'static str, &'static str);

/// A file of plugins/templates.
macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../../../../../plugins/templates/", $path))
    };
}

/// A file of the SDK, under its place in the new folder.
macro_rules! sdk {
    ($($path:literal),*) => {
        &[$((concat!("sdk/", $path), include_str!(concat!("../../../../../plugins/sdk/", $path)))),*]
    };
}

const COMMON: &[File] = &[
    ("wit/guard.wit", include_str!("../../../../../wit/guard.wit")),
    ("guard.toml", template!("common/guard.toml.in")),
    ("cases.toml", template!("common/cases.toml")),
];

const RUST: &[File] = &[
    (".gitignore", template!("rust/gitignore")),
    ("README.md", template!("rust/README.md.in")),
    ("Cargo.toml", template!("rust/Cargo.toml.in")),
    ("Cargo.lock", template!("rust/Cargo.lock.in")),
    ("src/lib.rs", template!("rust/src/lib.rs")),
    ("sdk/Cargo.toml", template!("rust/sdk.Cargo.toml.in")),
];

/// The SDK is not published, so it comes along. A test holds the list complete.
const SDK: &[File] = sdk!(
    "build.rs",
    "src/bindings.rs",
    "src/export.rs",
    "src/guard.rs",
    "src/json.rs",
    "src/json/tests.rs",
    "src/lib.rs",
    "src/settings.rs",
    "src/tensor.rs",
    "src/text.rs",
    "src/types.rs"
);

const C: &[File] = &[
    (".gitignore", template!("c/gitignore")),
    ("README.md", template!("c/README.md.in")),
    ("src/guard.c", template!("c/src/guard.c")),
    ("src/settings.c", template!("c/src/settings.c")),
    ("src/settings.h", template!("c/src/settings.h")),
    ("bindings/validator.c", template!("c/bindings/validator.c")),
    ("bindings/validator.h", template!("c/bindings/validator.h")),
    ("runtime/runtime.c", template!("c/runtime/runtime.c")),
    ("runtime/include/stdlib.h", template!("c/runtime/include/stdlib.h")),
    ("runtime/include/string.h", template!("c/runtime/include/string.h")),
];

const JS: &[File] = &[
    (".gitignore", template!("js/gitignore")),
    ("README.md", template!("js/README.md.in")),
    ("package.json", template!("js/package.json.in")),
    ("guard.js", template!("js/guard.js")),
];

const PYTHON: &[File] = &[
    (".gitignore", template!("python/gitignore")),
    ("README.md", template!("python/README.md.in")),
    ("requirements.txt", template!("python/requirements.txt")),
    ("guard.py", template!("python/guard.py")),
];

/// Every file of the folder with its text, in a fixed order.
pub(super) fn render(name: &str, lang: Lang) -> Vec<(&'static str, String)> {
    // An engine for JavaScript or Python wants room, and takes some milliseconds for what Rust does in microseconds.
    let (deadline, memory) = match lang {
        Lang::Rust | Lang::C => ("20ms", "16MiB"),
        Lang::Js | Lang::Python => ("500ms", "128MiB"),
    };
    let values = [("name", name), ("lang", lang.name()), ("deadline", deadline), ("memory", memory)];
    let own: [&[File]; 2] = match lang {
        Lang::Rust => [RUST, SDK],
        Lang::C => [C, &[]],
        Lang::Js => [JS, &[]],
        Lang::Python => [PYTHON, &[]],
    };
    let files = COMMON.iter().chain(own.into_iter().flatten());
    files
        .map(|(path, text)| {
            let mut text = (*text).to_owned();
            for (key, value) in values {
                text = text.replace(&format!("{{{{{key}}}}}"), value);
            }
            if path.starts_with("sdk/") {
                // In the workspace the contract stands two folders above the SDK.
                text = text.replace("\"../../wit\"", "\"../wit\"");
            }
            (*path, text)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    fn files_below(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                found.extend(files_below(&entry.path()));
            } else {
                found.push(entry.path());
            }
        }
        found
    }

    #[test]
    fn the_whole_sdk_comes_along() {
        let folder = root().join("plugins/sdk");
        let there: BTreeSet<String> = files_below(&folder)
            .iter()
            .map(|path| format!("sdk/{}", path.strip_prefix(&folder).unwrap().display()))
            .collect();
        let made = render("a", Lang::Rust);
        let given = made.iter().map(|(path, _)| (*path).to_owned()).filter(|path| path.starts_with("sdk/"));
        assert_eq!(given.collect::<BTreeSet<_>>(), there);
    }

    /// Otherwise a new guard would be built of other code than ours.
    #[test]
    fn the_sdk_asks_for_what_the_workspace_asks_for() {
        let read = |path: &str| -> toml::Table { std::fs::read_to_string(root().join(path)).unwrap().parse().unwrap() };
        let workspace = read("Cargo.toml")["workspace"]["dependencies"].clone();
        let ours = read("plugins/sdk/Cargo.toml");
        let made: toml::Table = template!("rust/sdk.Cargo.toml.in").parse().unwrap();
        for kind in ["dependencies", "build-dependencies"] {
            let ours = ours[kind].as_table().unwrap();
            let made = made[kind].as_table().unwrap();
            assert_eq!(ours.keys().collect::<BTreeSet<_>>(), made.keys().collect::<BTreeSet<_>>(), "{kind}");
            for (name, value) in made {
                let wanted = if ours[name].is_table() { &workspace[name] } else { &ours[name] };
                assert_eq!(value, wanted, "{kind}: {name}");
            }
        }
    }

    /// So that whoever can build Picket can build a guard without another download.
    #[test]
    fn the_lock_file_names_crates_that_the_workspace_has() {
        let packages = |text: &str| -> BTreeSet<(String, String)> {
            let lock: toml::Table = text.parse().unwrap();
            let list = lock["package"].as_array().unwrap().clone();
            let text = |package: &toml::Value, key: &str| package[key].as_str().unwrap().to_owned();
            list.iter()
                .filter(|package| package.get("source").is_some())
                .map(|package| (text(package, "name"), text(package, "version")))
                .collect()
        };
        let ours = packages(&std::fs::read_to_string(root().join("Cargo.lock")).unwrap());
        let made = packages(template!("rust/Cargo.lock.in"));
        assert_eq!(made.difference(&ours).collect::<Vec<_>>(), Vec::<&(String, String)>::new());
        assert!(!made.is_empty());
    }

    #[test]
    fn every_blank_is_filled() {
        for lang in [Lang::Rust, Lang::C, Lang::Js, Lang::Python] {
            for (path, text) in render("a-name", lang) {
                // In Rust that is how a brace is formatted.
                assert!(path.starts_with("sdk/src/") || !text.contains("{{"), "{lang:?}: {path}");
                assert!(!path.starts_with("sdk/") || !text.contains("\"../../wit\""), "{path}");
            }
        }
    }
}
