//! Names of artifacts: `oci://host:port/repository:tag@sha256:digest`.
//!
//! The grammar of host, repository and tag is that of the OCI distribution specification 1.1 ("Pulling manifests"), with
//! one difference: the host is always written. A default registry would be somebody that the operator has not named.

use picket_ledger::Hash;
use picket_ledger::hash::{from_hex, to_hex};
use std::fmt;

/// What a reference may begin with, and what ours are printed with.
const SCHEME: &str = "oci://";

/// Longest repository name in bytes: registries commonly take 255 with the host.
const MAX_REPOSITORY_BYTES: usize = 255;

/// A SHA-256, as registries write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(pub Hash);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(picket_ledger::hash::sha256(bytes))
    }

    /// Reads `sha256:` and 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?;
        let lower = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if lower { from_hex(hex).ok().map(Self) } else { None }
    }

    /// The 64 digits alone.
    #[must_use]
    pub fn hex(&self) -> String {
        to_hex(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sha256:{}", self.hex())
    }
}

/// An artifact in a registry, by tag, by digest, or by both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `host` or `host:port`.
    pub host: String,
    /// Such as `guards/pii`.
    pub repository: String,
    /// The tag, if one is written.
    pub tag: Option<String>,
    /// The digest of the manifest, if one is written.
    pub digest: Option<Digest>,
}

/// An artifact whose digest is known: it cannot become another one. The tag is only there for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// As written.
    pub reference: Reference,
    /// The digest of the manifest.
    pub digest: Digest,
}

/// What is wrong with a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{written}` {problem}")]
pub struct BadReference {
    /// As it was given.
    pub written: String,
    /// What is wrong with it, and what a good one looks like.
    pub problem: String,
}

impl Reference {
    /// Whether `text` is meant as a reference and not as a file.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// Reads a reference; `oci://` may be left out.
    ///
    /// # Errors
    /// [`BadReference`] names the part that is wrong.
    pub fn parse(written: &str) -> Result<Self, BadReference> {
        let wrong = |problem: String| BadReference { written: written.escape_debug().to_string(), problem };
        let text = written.strip_prefix(SCHEME).unwrap_or(written);
        let (text, digest) = match text.split_once('@') {
            None => (text, None),
            Some((text, digest)) => {
                let parsed = Digest::parse(digest).ok_or_else(|| {
                    wrong("has a digest that is not `sha256:` and 64 lower-case hexadecimal digits".into())
                })?;
                (text, Some(parsed))
            }
        };
        let Some((host, path)) = text.split_once('/') else {
            return Err(wrong(
                "names no registry and repository, such as `registry.example:5000/guards/pii:1.2`".into(),
            ));
        };
        let (repository, tag) = match path.split_once(':') {
            None => (path, None),
            Some((repository, tag)) => (repository, Some(tag)),
        };
        if !is_host(host) {
            return Err(wrong(format!("begins with `{host}`, which is no `host` or `host:port` of a registry")));
        }
        if repository.len() > MAX_REPOSITORY_BYTES || !repository.split('/').all(is_component) {
            return Err(wrong(format!(
                "has the repository `{repository}`; lower-case letters, digits and single `.`, `_`, `-` between them are \
                 allowed, in parts with `/` between them"
            )));
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(wrong(format!("has the tag `{tag}`; 1 to 128 letters, digits, `.`, `_` and `-` are allowed")));
        }
        let tag = tag.map(str::to_owned);
        Ok(Self { host: host.to_owned(), repository: repository.to_owned(), tag, digest })
    }

    /// The same artifact, under its digest.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Pinned {
        Pinned { reference: Self { digest: Some(digest), ..self.clone() }, digest }
    }

    /// What follows `/manifests/` in its address: the digest before the tag, for a tag may have been moved.
    pub(super) fn name(&self) -> Option<String> {
        self.digest.map(|digest| digest.to_string()).or_else(|| self.tag.clone())
    }
}

impl Pinned {
    /// Reads a reference that must carry its digest.
    ///
    /// # Errors
    /// [`BadReference`]; for one without a digest it says how a pinned one is had.
    pub fn parse(written: &str) -> Result<Self, BadReference> {
        let reference = Reference::parse(written)?;
        let Some(digest) = reference.digest else {
            let problem = format!(
                "names no digest, so that whoever may write to the registry could exchange the guard; \
                 `picket guard pull {reference}` prints the pinned form, `{reference}@sha256:…`"
            );
            return Err(BadReference { written: written.to_owned(), problem });
        };
        Ok(Self { reference, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SCHEME}{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        self.digest.iter().try_for_each(|digest| write!(formatter, "@{digest}"))
    }
}

impl fmt::Display for Pinned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reference.fmt(formatter)
    }
}

/// Whether `text` is a host, or a host and a port: a name, an IPv4 address, or an IPv6 address in brackets.
#[must_use]
pub fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let named = |host: &str| {
        !host.is_empty()
            && host.len() <= 253
            && host.split('.').all(|label| {
                let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                plain && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
            })
    };
    // Without a dot or a port, `guards/pii` would be taken for a machine called `guards`.
    let told = host.contains('.') || port.is_some() || host == "localhost" || bracketed.is_some();
    let host = bracketed.map_or_else(|| named(host), |address| address.parse::<std::net::Ipv6Addr>().is_ok());
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    host && told && port.is_none_or(|port| digits(port) && port.parse::<u16>().is_ok_and(|port| port != 0))
}

/// Whether a host, with or without a port, is this machine itself.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, _)) if !host.ends_with(']') => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn is_component(text: &str) -> bool {
    let bytes = text.as_bytes();
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = |byte: Option<&u8>| byte.is_some_and(|byte| word(*byte));
    // Between words: one dot, one or two underscores, or any number of hyphens.
    let separators = text.split(|letter: char| letter.is_ascii() && word(letter as u8)).filter(|part| !part.is_empty());
    ends(bytes.first())
        && ends(bytes.last())
        && separators.into_iter().all(|part| matches!(part, "." | "_" | "__") || part.bytes().all(|byte| byte == b'-'))
}

fn is_tag(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let rest = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    first && rest && text.len() <= 128
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn every_form_is_read_and_printed_alike() {
        for text in [
            "127.0.0.1:5000/pii",
            "127.0.0.1:5000/guards/pii:1.2",
            "localhost/guards/pii",
            "[::1]:5000/a__b/c-d---e.f:_x",
            "registry.example/guards/pii:1.2@DIGEST",
            "registry.example/guards/pii@DIGEST",
        ] {
            let text = text.replace("DIGEST", DIGEST);
            let reference = Reference::parse(&text).unwrap();
            assert_eq!(reference.to_string(), format!("oci://{text}"));
            assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference);
        }
    }

    #[test]
    fn bad_references_are_refused_with_the_part_that_is_wrong() {
        for (text, words) in [
            ("pii", "names no registry"),
            ("guards/pii:1", "`guards`, which is no"),
            ("host:0/pii", "`host:0`"),
            ("host:+1/pii", "`host:+1`"),
            ("user@host.example/pii", "digest that is not"),
            ("host.example/Pii", "the repository `Pii`"),
            ("host.example/../pii", "the repository `../pii`"),
            ("host.example/a/", "the repository `a/`"),
            ("host.example/a..b", "the repository `a..b`"),
            ("host.example/pii:", "the tag ``"),
            ("host.example/pii:a/b", "the tag `a/b`"),
            ("host.example/pii@sha256:AA", "digest that is not"),
            ("host.example/pii@sha512:00", "digest that is not"),
        ] {
            let message = Reference::parse(text).unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
        }
        assert!(Reference::parse(&format!("host.example/{}", "a".repeat(256))).is_err());
        assert!(Reference::parse(&format!("host.example/a:{}", "a".repeat(129))).is_err());
    }

    #[test]
    fn a_tag_alone_is_not_pinned_and_the_message_says_how_it_gets_so() {
        let message = Pinned::parse("oci://127.0.0.1:5000/pii:1").unwrap_err().to_string();
        assert!(message.contains("picket guard pull oci://127.0.0.1:5000/pii:1"), "{message}");
        assert_eq!(Pinned::parse(&format!("127.0.0.1:5000/pii:1@{DIGEST}")).unwrap().digest.to_string(), DIGEST);
    }
}
