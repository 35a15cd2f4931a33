//! The revocation list: components and keys that count for nothing any more.
//!
//! ```toml
//! [[component]]
//! digest = "sha256:…"
//! reason = "leaks e-mail addresses into its findings"
//!
//! [[key]]
//! key = "sec-team+0a1b2c3d"
//! reason = "the laptop was stolen"
//! ```

use picket_ledger::Hash;
use picket_ledger::entry::{self, MAX_DOCUMENT_BYTES};
use picket_ledger::hash::{from_hex, sha256, to_hex};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// A list is read whole and recorded whole. A longer one would not fit its entry.
const MAX_LIST_BYTES: u64 = 256 << 10;
/// Longest reason: it is part of the message of every check that fails for it.
const MAX_REASON_BYTES: usize = 256;

/// A revocation list. The empty one revokes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List {
    digest: Hash,
    /// Reasons by SHA-256 of the component.
    components: BTreeMap<Hash, String>,
    /// Reasons by `name+id`.
    keys: BTreeMap<String, String>,
}

/// Why a list cannot be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// It cannot be read.
    #[error("revocation list {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what a list should be.
    #[error("revocation list {}:{line}: {message}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong and what to do.
        message: String,
    },
    /// It does not fit an entry.
    #[error("revocation list {}: is too long; its entry has room for {MAX_DOCUMENT_BYTES} bytes", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawList {
    #[serde(default, rename = "component")]
    components: Vec<RawComponent>,
    #[serde(default, rename = "key")]
    keys: Vec<RawKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawComponent {
    digest: Spanned<String>,
    reason: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKey {
    key: Spanned<String>,
    reason: Spanned<String>,
}

impl List {
    /// Reads the list in a file.
    ///
    /// # Errors
    /// [`ListError`] names file and line.
    pub fn read(path: &Path) -> Result<Self, ListError> {
        let unreadable = |source| ListError::Unreadable { path: path.to_path_buf(), source };
        let mut text = String::new();
        std::fs::metadata(path).and_then(|metadata| super::trust::plain(&metadata)).map_err(unreadable)?;
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(MAX_LIST_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > MAX_LIST_BYTES {
            return Err(ListError::TooLong { path: path.to_path_buf() });
        }
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ListError> {
        let wrong = |span: Range<usize>, message: String| {
            let before = text.as_bytes().iter().take(span.start);
            let line = 1 + before.filter(|&&byte| byte == b'\n').count();
            ListError::Malformed { path: path.to_path_buf(), line, message }
        };
        let raw: RawList = toml::from_str(text)
            .map_err(|error| wrong(error.span().unwrap_or_default(), error.message().replace('\n', " ")))?;
        let reason = |reason: &Spanned<String>| {
            let text = reason.get_ref().trim();
            if text.is_empty() || text.len() > MAX_REASON_BYTES || text.contains(char::is_control) {
                let message = format!("`reason` is one line of 1 to {} bytes", MAX_REASON_BYTES);
                return Err(wrong(reason.span(), message));
            }
            Ok(text.to_owned())
        };
        let mut list = Self { digest: sha256(text.as_bytes()), ..Self::default() };
        for component in &raw.components {
            let written = component.digest.get_ref();
            let digest = written.strip_prefix("sha256:").and_then(|hex| from_hex(hex).ok()).ok_or_else(|| {
                let message = format!("`{written}` is not `sha256:` and 64 hexadecimal characters");
                wrong(component.digest.span(), message)
            })?;
            if list.components.insert(digest, reason(&component.reason)?).is_some() {
                return Err(wrong(component.digest.span(), "this component is there twice".to_owned()));
            }
        }
        for key in &raw.keys {
            let written = key.key.get_ref();
            let id = written.split_once('+').filter(|(name, _)| !name.is_empty()).map(|(_, id)| id);
            let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            // A whole key, or an id in capitals, would match nothing and revoke nothing.
            if !id.is_some_and(|id| id.len() == 8 && id.bytes().all(hexadecimal)) {
                let message = format!("`{written}` is not `name+id`, the first two parts of a public key");
                return Err(wrong(key.key.span(), message));
            }
            if list.keys.insert(written.clone(), reason(&key.reason)?).is_some() {
                return Err(wrong(key.key.span(), "this key is there twice".to_owned()));
            }
        }
        if list.document().len() > MAX_DOCUMENT_BYTES {
            return Err(ListError::TooLong { path: path.to_path_buf() });
        }
        Ok(list)
    }

    /// SHA-256 of the list as it was read.
    #[must_use]
    pub fn digest(&self) -> &Hash {
        &self.digest
    }

    /// Why the component of this digest is revoked, if it is.
    #[must_use]
    pub fn component(&self, digest: &Hash) -> Option<&str> {
        self.components.get(digest).map(String::as_str)
    }

    /// Why the key of this `name+id` is revoked, if it is.
    #[must_use]
    pub fn key(&self, name_and_id: &str) -> Option<&str> {
        self.keys.get(name_and_id).map(String::as_str)
    }

    /// How many components and keys are revoked.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.components.len(), self.keys.len())
    }

    /// The entry that says which list is in force.
    #[must_use]
    pub fn entry(&self) -> entry::Revocation {
        entry::Revocation { digest: self.digest, document: self.document() }
    }

    fn document(&self) -> String {
        let components: Vec<Value> = self
            .components
            .iter()
            .map(|(digest, reason)| json!({ "digest": format!("sha256:{}", to_hex(digest)), "reason": reason }))
            .collect();
        let keys: Vec<Value> = self.keys.iter().map(|(key, reason)| json!({ "key": key, "reason": reason })).collect();
        json!({ "components": components, "keys": keys }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<List, String> {
        List::parse(Path::new("revoked.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_says_what_is_revoked_and_why() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let text = format!(
            "[[key]]\nkey = \"a+0a1b2c3d\"\nreason = \"stolen\"\n[[component]]\ndigest = \"{digest}\"\nreason = \"leaks\"\n"
        );
        let list = parse(&text).unwrap();
        assert_eq!((list.component(&[0xab; 32]), list.component(&[0; 32])), (Some("leaks"), None));
        assert_eq!((list.key("a+0a1b2c3d"), list.key("b+0a1b2c3d")), (Some("stolen"), None));
        let document = format!(
            r#"{{"components":[{{"digest":"{digest}","reason":"leaks"}}],"keys":[{{"key":"a+0a1b2c3d","reason":"stolen"}}]}}"#
        );
        assert_eq!(list.entry(), entry::Revocation { digest: sha256(text.as_bytes()), document });
        assert_eq!(parse("").unwrap().counts(), (0, 0));
    }

    #[test]
    fn every_mistake_is_named_with_its_line() {
        let component = |digest: &str| format!("\n[[component]]\ndigest = \"{digest}\"\nreason = \"x\"\n");
        let key = |key: &str, reason: &str| format!("[[key]]\nkey = \"{key}\"\nreason = \"{reason}\"\n");
        let twice = key("a+0a1b2c3d", "x") + &key("a+0a1b2c3d", "x");
        let long = key("a+0a1b2c3d", &"x".repeat(600));
        let many: String = (0..700).map(|n| key(&format!("k{n}+0a1b2c3d"), &"x".repeat(90))).collect();
        let cases = [
            ("[[components]]\n".to_owned(), "revoked.toml:1: unknown field `components`"),
            ("[[component]]\n\n".to_owned(), "missing field `digest`"),
            (component("ab"), "revoked.toml:3: `ab` is not `sha256:`"),
            (component(&format!("sha256:{}", "g".repeat(64))), "revoked.toml:3"),
            (
                component(&format!(
                    "sha256:{0}\"\nreason = \"y\"\n[[component]]\ndigest = \"sha256:{0}",
                    "ab".repeat(32)
                )),
                "twice",
            ),
            (key("a", "x"), "revoked.toml:2: `a` is not `name+id`"),
            (key("a+0A1B2C3D", "x"), "is not `name+id`"),
            (key("+0a1b2c3d", "x"), "is not `name+id`"),
            (key("a+0a1b2c3d+AAAA", "x"), "is not `name+id`"),
            (key("a+0a1b2c3d", " "), "revoked.toml:3: `reason` is one line"),
            (long, "`reason` is one line"),
            (twice, "revoked.toml:5: this key is there twice"),
            (many, "is too long"),
        ];
        for (text, expected) in cases {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(expected), "{error}, not {expected}");
        }
    }
}
