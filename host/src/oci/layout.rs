//! What lies in a registry: the "Wasm OCI Artifact layout" of CNCF's TAG Runtime, and signatures that refer to it.
//!
//! A guard is an OCI image manifest with one layer, the component, and a configuration that describes it; any tool that
//! knows the layout reads ours, and ours reads theirs. A signature is a manifest of its own whose `subject` is the guard's.

use super::{Digest, MAX_COMPONENT_BYTES, MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES, OciError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const CONFIG: &str = "application/vnd.wasm.config.v0+json";
pub(super) const COMPONENT: &str = "application/wasm";
/// Type of the artifact, and of its one layer.
pub(super) const SIGNATURE: &str = "application/vnd.picket.guard.signature.v1";
/// For artifacts without a configuration; its content is [`EMPTY_CONTENT`].
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
pub(super) const EMPTY_CONTENT: &[u8] = b"{}";

const TITLE: &str = "org.opencontainers.image.title";
const CREATED: &str = "org.opencontainers.image.created";

/// Points at a blob or a manifest. What we do not know is kept, for an index of others may be written back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub schema_version: u32,
    pub media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    pub schema_version: u32,
    pub media_type: Option<String>,
    pub manifests: Vec<Descriptor>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The configuration blob of a guard.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    created: String,
    architecture: String,
    os: String,
    #[serde(default)]
    layer_digests: Vec<String>,
    component: Option<ComponentNames>,
}

/// What a component takes and gives, for indexes of registries; the bytes alone decide what runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ComponentNames {
    /// Names of what it exports.
    pub exports: Vec<String>,
    /// Names of what it imports.
    pub imports: Vec<String>,
    /// The world that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl Descriptor {
    pub(super) fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes).to_string(),
            size: bytes.len() as u64,
            artifact_type: None,
            annotations: None,
            other: Map::new(),
        }
    }

    fn annotated(mut self, key: &str, value: &str) -> Self {
        self.annotations.get_or_insert_default().insert(key.to_owned(), value.to_owned());
        self
    }

    /// The digest, and the size if it is at most `limit`.
    pub(super) fn checked(&self, what: &'static str, limit: usize) -> Result<(Digest, usize), OciError> {
        let digest = Digest::parse(&self.digest).ok_or_else(|| {
            let digest: String = self.digest.chars().take(80).flat_map(char::escape_debug).collect();
            OciError::Malformed { what, message: format!("`{digest}` is no SHA-256 digest") }
        })?;
        let size = usize::try_from(self.size).ok().filter(|size| *size <= limit);
        Ok((digest, size.ok_or(OciError::TooLarge { what, limit })?))
    }

    /// When a signature says that it was made; for choosing among several, not for believing.
    pub(super) fn created(&self) -> &str {
        self.annotations.as_ref().and_then(|notes| notes.get(CREATED)).map_or("", String::as_str)
    }
}

/// A manifest and the blobs that it names, ready to be sent.
pub(super) struct Artifact<'a> {
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    pub layer: &'a [u8],
}

/// A guard called `title`, made at `created` (RFC 3339). The same arguments give the same bytes, and so the same digest.
pub(super) fn guard<'a>(component: &'a [u8], names: ComponentNames, title: &str, created: &str) -> Artifact<'a> {
    let layer = Descriptor::of(COMPONENT, component).annotated(TITLE, title);
    let config = Config {
        created: created.to_owned(),
        architecture: "wasm".into(),
        // The layout's word for a component of any kind; a guard imports nothing of WASI.
        os: "wasip2".into(),
        layer_digests: vec![layer.digest.clone()],
        component: Some(names),
    };
    let config = json(&config);
    let manifest = json(&Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST.into()),
        artifact_type: None,
        config: Descriptor::of(CONFIG, &config),
        layers: vec![layer],
        subject: None,
        annotations: None,
    });
    Artifact { manifest, config, layer: component }
}

/// A signature over the guard whose manifest is `subject`.
pub(super) fn signature<'a>(signature: &'a [u8], subject: &[u8], title: &str, created: &str) -> Artifact<'a> {
    let manifest = json(&Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST.into()),
        artifact_type: Some(SIGNATURE.into()),
        config: Descriptor::of(EMPTY, EMPTY_CONTENT),
        layers: vec![Descriptor::of(SIGNATURE, signature).annotated(TITLE, title)],
        subject: Some(Descriptor::of(MANIFEST, subject)),
        annotations: Some(BTreeMap::from([(CREATED.to_owned(), created.to_owned())])),
    });
    Artifact { manifest, config: EMPTY_CONTENT.to_vec(), layer: signature }
}

/// The entry of a signature's manifest in an index of what refers to its guard.
pub(super) fn referrer(manifest: &[u8], created: &str) -> Descriptor {
    let entry = Descriptor::of(MANIFEST, manifest).annotated(CREATED, created);
    Descriptor { artifact_type: Some(SIGNATURE.into()), ..entry }
}

/// The layer of a guard's manifest, and its configuration.
///
/// # Errors
/// [`OciError`] unless it is exactly one component.
pub(super) fn read_guard(bytes: &[u8]) -> Result<(Descriptor, Descriptor), OciError> {
    const WHAT: &str = "the manifest";
    let manifest = read_manifest(WHAT, bytes)?;
    if manifest.config.media_type != CONFIG {
        return Err(media_type("the configuration", CONFIG, &manifest.config.media_type));
    }
    let layer = one_layer(WHAT, manifest.layers)?;
    if layer.media_type != COMPONENT {
        return Err(media_type("the layer", COMPONENT, &layer.media_type));
    }
    layer.checked("the component", MAX_COMPONENT_BYTES)?;
    Ok((layer, manifest.config))
}

/// The layer of the manifest of a signature over `guard`.
pub(super) fn read_signature(bytes: &[u8], guard: Digest) -> Result<Descriptor, OciError> {
    const WHAT: &str = "the signature's manifest";
    let manifest = read_manifest(WHAT, bytes)?;
    if manifest.subject.as_ref().and_then(|subject| Digest::parse(&subject.digest)) != Some(guard) {
        let message = "it is about another guard than the one that it was found under".to_owned();
        return Err(OciError::Malformed { what: WHAT, message });
    }
    let layer = one_layer(WHAT, manifest.layers)?;
    if layer.media_type != SIGNATURE {
        return Err(media_type("the signature", SIGNATURE, &layer.media_type));
    }
    layer.checked("the signature", MAX_SIGNATURE_BYTES)?;
    Ok(layer)
}

/// The configuration must be about the very layer beside it.
pub(super) fn check_config(bytes: &[u8], layer: &Descriptor) -> Result<(), OciError> {
    const WHAT: &str = "the configuration";
    let config: Config = parse(WHAT, bytes)?;
    let wrong = |message: String| Err(OciError::Malformed { what: WHAT, message });
    if config.architecture != "wasm" {
        return wrong(format!("its architecture is `{}`; `wasm` is wanted", shown(&config.architecture)));
    }
    if !matches!(config.os.as_str(), "wasip1" | "wasip2") {
        return wrong(format!("its os is `{}`; `wasip1` or `wasip2` is wanted", shown(&config.os)));
    }
    if !config.layer_digests.is_empty() && config.layer_digests != [layer.digest.clone()] {
        return wrong("its layerDigests are not those of the manifest".into());
    }
    Ok(())
}

pub(super) fn read_index(what: &'static str, bytes: &[u8]) -> Result<Index, OciError> {
    let index: Index = parse(what, bytes)?;
    if let Some(other) = index.media_type.as_deref().filter(|other| *other != INDEX) {
        return Err(media_type(what, INDEX, other));
    }
    Ok(index)
}

/// An index with one more entry; the same entry is not repeated.
pub(super) fn with_referrer(index: Option<Index>, entry: Descriptor) -> Result<Vec<u8>, OciError> {
    let mut index = index.unwrap_or(Index {
        schema_version: 2,
        media_type: Some(INDEX.into()),
        manifests: Vec::new(),
        other: Map::new(),
    });
    index.manifests.retain(|other| other.digest != entry.digest);
    index.manifests.push(entry);
    let bytes = json(&index);
    let what = "the index of what refers to the guard";
    if bytes.len() > MAX_MANIFEST_BYTES {
        Err(OciError::TooLarge { what, limit: MAX_MANIFEST_BYTES })
    } else {
        Ok(bytes)
    }
}

fn read_manifest(what: &'static str, bytes: &[u8]) -> Result<Manifest, OciError> {
    /// What tells a manifest from an index, which has no configuration.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        schema_version: Option<u32>,
        media_type: Option<String>,
        manifests: Option<Vec<serde::de::IgnoredAny>>,
    }
    let kind: Kind = parse(what, bytes)?;
    if let Some(manifests) = kind.manifests {
        let message = format!("it is an index of {} artifacts; give the digest of one of them", manifests.len());
        return Err(OciError::Malformed { what, message });
    }
    if let Some(other) = kind.media_type.as_deref().filter(|other| *other != MANIFEST) {
        return Err(media_type(what, MANIFEST, other));
    }
    if kind.schema_version != Some(2) {
        return Err(OciError::Malformed { what, message: "its schemaVersion is not 2".into() });
    }
    parse(what, bytes)
}

fn one_layer(what: &'static str, layers: Vec<Descriptor>) -> Result<Descriptor, OciError> {
    let count = layers.len();
    let message = || format!("it has {count} layers; exactly one is wanted");
    let mut layers = layers.into_iter();
    match (layers.next(), layers.next()) {
        (Some(layer), None) => Ok(layer),
        _ => Err(OciError::Malformed { what, message: message() }),
    }
}

fn parse<T: serde::de::DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, OciError> {
    serde_json::from_slice(bytes).map_err(|error| OciError::Malformed { what, message: error.to_string() })
}

fn media_type(what: &'static str, wanted: &'static str, got: &str) -> OciError {
    OciError::MediaType { what, wanted, got: shown(got) }
}

/// Words of a registry, for a message: bounded, and without anything that a terminal would obey.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings and numbers can always be written as JSON")
}
