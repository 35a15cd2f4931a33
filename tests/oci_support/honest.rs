//! A guard in a registry as it should be, for tests to change one thing of.

use super::scripted::{Reply, Request};
use serde_json::{Value, json};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const SIGNATURE: &str = "application/vnd.picket.guard.signature.v1";
pub(crate) const COMPONENT: &[u8] = b"not looked at before it is loaded";

pub(crate) fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(bytes);
    hash.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
}

pub(crate) fn config() -> Vec<u8> {
    let config = json!({
        "created": "2026-11-25T00:00:00Z", "architecture": "wasm", "os": "wasip2", "layerDigests": [digest(COMPONENT)],
        "component": { "exports": [], "imports": [] },
    });
    config.to_string().into_bytes()
}

pub(crate) fn manifest() -> Value {
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor("application/vnd.wasm.config.v0+json", &config()),
        "layers": [descriptor("application/wasm", COMPONENT)],
    })
}

/// What an honest registry says to a request for a guard of this manifest.
pub(crate) fn honest(request: &Request, manifest: &Value) -> Reply {
    let path = request.path.split('?').next().unwrap();
    if path.ends_with("/manifests/1")
        || path.ends_with(&format!("/manifests/{}", digest(manifest.to_string().as_bytes())))
    {
        return Reply::of(MANIFEST, manifest.to_string());
    }
    for blob in [COMPONENT.to_vec(), config()] {
        if path.ends_with(&format!("/blobs/{}", digest(&blob))) {
            return Reply::of("application/octet-stream", blob);
        }
    }
    Reply::status(404)
}

pub(crate) fn is_component(request: &Request) -> bool {
    request.path.ends_with(&digest(COMPONENT))
}
