//! From a registry to here.

use super::layout::{self, INDEX, MANIFEST, SIGNATURE};
use super::transport::{Ask, Session, same};
use super::{
    Access, Digest, MAX_COMPONENT_BYTES, MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES, OciError, Pinned, Reference, wait,
};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};

/// A guard that came out of a registry, every part of it held against its digest.
#[derive(Debug)]
pub struct Pulled {
    /// The reference with the digest of the manifest.
    pub pinned: Pinned,
    /// The manifest, byte for byte.
    pub manifest: Vec<u8>,
    /// The component.
    pub component: Vec<u8>,
    /// The newest signature that refers to it; nobody has verified it yet.
    pub signature: Option<Vec<u8>>,
    /// How many signatures refer to it.
    pub signatures: usize,
}

/// Pulls a guard and the newest signature that refers to it.
///
/// # Errors
/// [`OciError`]: a registry that is not there, does not let us, or gives something else than what it was asked for.
pub fn pull(access: &Access, reference: &Reference) -> Result<Pulled, OciError> {
    wait(async {
        let Some(name) = reference.name() else {
            let problem = "names neither a tag nor a digest";
            return Err(OciError::Reference { reference: reference.to_string(), problem });
        };
        let mut session = Session::open(access, reference)?;
        let found = session.manifest(&name, "the manifest").await?;
        let missing = || OciError::NotFound { host: reference.host.clone(), what: reference.to_string() };
        let (manifest, digest) = found.ok_or_else(missing)?;
        let (layer, config) = layout::read_guard(&manifest)?;
        // Small, and about the component: whoever made the artifact wrongly shows here, before megabytes are fetched.
        let (wanted, size) = config.checked("the configuration", MAX_MANIFEST_BYTES)?;
        let config = session.blob("the configuration", wanted, size).await?;
        layout::check_config(&config, &layer)?;
        let (wanted, size) = layer.checked("the component", MAX_COMPONENT_BYTES)?;
        let component = session.blob("the component", wanted, size).await?;
        let (signature, signatures) = session.signature(digest).await?;
        Ok(Pulled { pinned: reference.pinned(digest), manifest, component, signature, signatures })
    })
}

impl Session<'_> {
    /// A manifest or index by tag or digest; `None` if there is none.
    pub(super) async fn manifest(
        &mut self,
        name: &str,
        what: &'static str,
    ) -> Result<Option<(Vec<u8>, Digest)>, OciError> {
        let mut ask = Ask::new(Method::GET, self.url(&format!("manifests/{name}")), what);
        // An index is never what is wanted; without asking for it, some registries hide that there is one.
        ask.accept = Some("application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json");
        let response = self.get(ask).await?;
        if response.status().as_u16() == 404 {
            return Ok(None);
        }
        if !response.status().is_success() {
            return Err(self.failed(response, what).await);
        }
        let written =
            |value: &HeaderValue| value.to_str().unwrap_or("").split(';').next().unwrap_or("").trim().to_owned();
        let media_type = response.headers().get(CONTENT_TYPE).map(written).unwrap_or_default();
        if media_type != MANIFEST && media_type != INDEX {
            return Err(OciError::MediaType { what, wanted: MANIFEST, got: layout::shown(&media_type) });
        }
        let announced = response.headers().get("docker-content-digest").cloned();
        let bytes = self.read(response, what, MAX_MANIFEST_BYTES).await?;
        if let Some(wanted) = Digest::parse(name) {
            same(what, wanted, &bytes)?;
        } else if let Some(announced) = announced.and_then(|value| Digest::parse(value.to_str().ok()?)) {
            same(what, announced, &bytes)?;
        }
        let digest = Digest::of(&bytes);
        Ok(Some((bytes, digest)))
    }

    /// The newest signature that refers to a guard, and how many do.
    async fn signature(&mut self, guard: Digest) -> Result<(Option<Vec<u8>>, usize), OciError> {
        const WHAT: &str = "what refers to the guard";
        let Some(index) = self.referrers(guard, WHAT).await? else { return Ok((None, 0)) };
        let index = layout::read_index(WHAT, &index)?;
        let of_type = index.manifests.iter().filter(|entry| entry.artifact_type.as_deref() == Some(SIGNATURE));
        let signatures = of_type.clone().count();
        let Some(newest) = of_type.max_by_key(|entry| (entry.created().to_owned(), entry.digest.clone())) else {
            return Ok((None, 0));
        };
        let what = "the signature's manifest";
        let (digest, _) = newest.checked(what, MAX_MANIFEST_BYTES)?;
        let found = self.manifest(&digest.to_string(), what).await?;
        let missing = || OciError::NotFound { host: self.host.clone(), what: format!("{what}, {digest}") };
        let layer = layout::read_signature(&found.ok_or_else(missing)?.0, guard)?;
        let (wanted, size) = layer.checked("the signature", MAX_SIGNATURE_BYTES)?;
        Ok((Some(self.blob("the signature", wanted, size).await?), signatures))
    }

    /// The index of what refers to a manifest: of the registry, or, where it keeps none, under the tag that stands for it.
    pub(super) async fn referrers(&mut self, guard: Digest, what: &'static str) -> Result<Option<Vec<u8>>, OciError> {
        let mut url: Url = self.url(&format!("referrers/{guard}"));
        url.query_pairs_mut().append_pair("artifactType", SIGNATURE);
        let mut ask = Ask::new(Method::GET, url, what);
        ask.accept = Some(INDEX);
        let response = self.get(ask).await?;
        match response.status().as_u16() {
            200 => Ok(Some(self.read(response, what, MAX_MANIFEST_BYTES).await?)),
            // Registries from before the interface know no such address, each in its way.
            400 | 404 | 405 | 501 => Ok(self.manifest(&fallback_tag(guard), what).await?.map(|(bytes, _)| bytes)),
            _ => Err(self.failed(response, what).await),
        }
    }
}

/// The "referrers tag schema" of the distribution specification.
pub(super) fn fallback_tag(guard: Digest) -> String {
    format!("sha256-{}", guard.hex())
}
