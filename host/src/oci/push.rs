//! From here to a registry.

use super::layout::{self, Artifact, ComponentNames, MANIFEST};
use super::pull::fallback_tag;
use super::transport::{Ask, Session};
use super::{Access, Digest, MAX_COMPONENT_BYTES, MAX_SIGNATURE_BYTES, OciError, Pinned, Reference, wait};
use bytes::Bytes;
use reqwest::Method;

/// What is pushed.
#[derive(Debug)]
pub struct Push<'a> {
    /// The component.
    pub component: &'a [u8],
    /// What it takes and gives.
    pub names: ComponentNames,
    /// The signature over it.
    pub signature: Option<&'a [u8]>,
    /// The file's name, which tools give it when they pull.
    pub title: &'a str,
    /// When it was made, in RFC 3339. The digest depends on it.
    pub created: &'a str,
}

/// What is in the registry now.
#[derive(Debug)]
pub struct Pushed {
    /// The reference with the digest of the manifest.
    pub pinned: Pinned,
    /// Digest of the manifest of the signature.
    pub signature: Option<Digest>,
    /// The registry had the component already.
    pub known: bool,
}

/// Pushes a guard under a tag, and its signature as what refers to it.
///
/// # Errors
/// [`OciError`]: a registry that is not there, does not let us, or does not take it; a reference without a tag, or with a
/// digest.
pub fn push(access: &Access, reference: &Reference, push: &Push<'_>) -> Result<Pushed, OciError> {
    let wrong = |problem| OciError::Reference { reference: reference.to_string(), problem };
    let tag =
        reference.tag.as_deref().ok_or_else(|| wrong("names no tag; a guard is pushed under one, such as `:1.2`"))?;
    if reference.digest.is_some() {
        return Err(wrong("carries a digest; what is pushed gets its digest from what is in it"));
    }
    if push.component.len() > MAX_COMPONENT_BYTES {
        return Err(OciError::TooLarge { what: "the component", limit: MAX_COMPONENT_BYTES });
    }
    if push.signature.is_some_and(|signature| signature.len() > MAX_SIGNATURE_BYTES) {
        return Err(OciError::TooLarge { what: "the signature", limit: MAX_SIGNATURE_BYTES });
    }
    let guard = layout::guard(push.component, push.names.clone(), push.title, push.created);
    wait(async {
        let mut session = Session::open(access, reference)?;
        let known = session.upload(&guard, "the component").await?;
        // The blobs are there before the manifest names them, and the guard before the signature does.
        session.put_manifest(tag, &guard.manifest, MANIFEST).await?;
        let signature = match push.signature {
            None => None,
            Some(signature) => Some(session.sign(&guard, signature, push).await?),
        };
        Ok(Pushed { pinned: reference.pinned(Digest::of(&guard.manifest)), signature, known })
    })
}

impl Session<'_> {
    async fn sign(&mut self, guard: &Artifact<'_>, signature: &[u8], push: &Push<'_>) -> Result<Digest, OciError> {
        const WHAT: &str = "the index of what refers to the guard";
        let title = format!("{}.sig", push.title);
        let artifact = layout::signature(signature, &guard.manifest, &title, push.created);
        self.upload(&artifact, "the signature").await?;
        let digest = Digest::of(&artifact.manifest);
        let listed = self.put_manifest(&digest.to_string(), &artifact.manifest, MANIFEST).await?;
        if !listed {
            // The registry does not know what a subject is. Two who push at the same moment may lose one of the entries;
            // the specification has no remedy, and pushing once more brings it back.
            let tag = fallback_tag(Digest::of(&guard.manifest));
            let index = self.manifest(&tag, WHAT).await?;
            let index = index.map(|(bytes, _)| layout::read_index(WHAT, &bytes)).transpose()?;
            let index = layout::with_referrer(index, layout::referrer(&artifact.manifest, push.created))?;
            self.put_manifest(&tag, &index, layout::INDEX).await?;
        }
        Ok(digest)
    }

    /// Brings the blobs of an artifact; whether the layer was there already.
    async fn upload(&mut self, artifact: &Artifact<'_>, layer: &'static str) -> Result<bool, OciError> {
        self.put_blob(&artifact.config, "the configuration").await?;
        self.put_blob(artifact.layer, layer).await
    }

    async fn put_blob(&mut self, bytes: &[u8], what: &'static str) -> Result<bool, OciError> {
        let digest = Digest::of(bytes);
        let response = self.get(Ask::new(Method::HEAD, self.url(&format!("blobs/{digest}")), what)).await?;
        match response.status().as_u16() {
            200 => return Ok(true),
            404 => (),
            _ => return Err(self.failed(response, what).await),
        }
        let mut begin = Ask::new(Method::POST, self.url("blobs/uploads/"), what);
        begin.body = Some(("application/octet-stream", Bytes::new()));
        let response = self.send(&begin).await?;
        if response.status().as_u16() != 202 {
            return Err(self.failed(response, what).await);
        }
        let mut url = self.location(&response, what)?;
        if !self.is_ours(&url) {
            let target = layout::shown(&super::transport::authority(&url));
            let reason = "uploads go to the registry itself; does it know its own address?";
            return Err(OciError::Redirect { host: self.host.clone(), what, target, reason });
        }
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let mut ask = Ask::new(Method::PUT, url, what);
        ask.body = Some(("application/octet-stream", Bytes::copy_from_slice(bytes)));
        let response = self.send(&ask).await?;
        if response.status().as_u16() != 201 {
            return Err(self.failed(response, what).await);
        }
        Ok(false)
    }

    /// Whether the registry has understood what a manifest refers to.
    async fn put_manifest(&mut self, name: &str, bytes: &[u8], media_type: &'static str) -> Result<bool, OciError> {
        const WHAT: &str = "the manifest";
        let mut ask = Ask::new(Method::PUT, self.url(&format!("manifests/{name}")), WHAT);
        ask.body = Some((media_type, Bytes::copy_from_slice(bytes)));
        let response = self.send(&ask).await?;
        if response.status().as_u16() != 201 {
            return Err(self.failed(response, WHAT).await);
        }
        let headers = response.headers();
        let stored = headers.get("docker-content-digest").and_then(|value| Digest::parse(value.to_str().ok()?));
        if let Some(got) = stored.filter(|got| *got != Digest::of(bytes)) {
            return Err(OciError::Digest { what: WHAT, wanted: Digest::of(bytes), got });
        }
        Ok(headers.contains_key("oci-subject"))
    }
}
