//! Requests to one registry: with deadlines, bounded bodies, and an eye on who gets to see the credentials.

use super::layout::shown;
use super::{Access, Digest, Link, OciError, Reference, auth};
use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, Response, Url};
use serde::Deserialize;
use std::error::Error as _;
use std::time::Duration;

/// How often a registry may send us on; storage behind a registry takes one, a mirror one more.
const MAX_REDIRECTS: usize = 5;

/// A whole request may take this many times the time that it may stand still.
const WHOLE: u32 = 30;

/// Most bytes of an answer that says what went wrong.
const MAX_COMPLAINT_BYTES: usize = 4096;

/// One request.
pub(super) struct Ask {
    pub method: Method,
    pub url: Url,
    /// For messages.
    pub what: &'static str,
    pub accept: Option<&'static str>,
    /// Media type and content.
    pub body: Option<(&'static str, Bytes)>,
}

impl Ask {
    pub(super) fn new(method: Method, url: Url, what: &'static str) -> Self {
        Self { method, url, what, accept: None, body: None }
    }
}

/// One repository of one registry.
pub(super) struct Session<'a> {
    pub access: &'a Access,
    pub host: String,
    http: reqwest::Client,
    /// `https://host/v2/repository/`.
    base: Url,
    /// What the registry wanted to see last.
    authorization: Option<HeaderValue>,
}

impl<'a> Session<'a> {
    pub(super) fn open(access: &'a Access, reference: &Reference) -> Result<Self, OciError> {
        let (scheme, tls) = match &access.link {
            Link::Plain => ("http", crate::tls::trusts_nobody()),
            Link::Tls(tls) => ("https", tls.as_ref().clone()),
        };
        let problem = "is no address that a registry can have";
        let base = Url::parse(&format!("{scheme}://{}/v2/{}/", reference.host, reference.repository))
            .map_err(|_| OciError::Reference { reference: reference.to_string(), problem })?;
        let http = reqwest::Client::builder()
            .connect_timeout(access.timeout)
            .no_proxy()
            // Followed by us, who know what may go where.
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(OciError::Client)?;
        Ok(Self { access, host: reference.host.clone(), http, base, authorization: None })
    }

    /// An address within the repository.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path()));
        url
    }

    /// Whether an address is the registry's own.
    pub(super) fn is_ours(&self, url: &Url) -> bool {
        url.scheme() == self.base.scheme() && authority(url) == authority(&self.base)
    }

    /// Whether `authority` is that of the token server that the operator named, with or without its port.
    pub(super) fn is_token_server(&self, authority: &str) -> bool {
        let named = self.access.token_server.as_deref().and_then(|server| {
            let url = Url::parse(&format!("{}://{server}/", self.base.scheme())).ok()?;
            Some(self::authority(&url))
        });
        named.is_some_and(|named| named == authority)
    }

    /// Nobody leads us out of TLS, or to another protocol.
    pub(super) fn may_go_to(&self, url: &Url, what: &'static str) -> Result<(), OciError> {
        let refused = |reason| {
            let mut target = url.clone();
            // Signed addresses carry their secret there.
            target.set_query(None);
            Err(OciError::Redirect { host: self.host.clone(), what, target: shown(target.as_str()), reason })
        };
        match (self.base.scheme(), url.scheme()) {
            ("http", "http") | (_, "https") => Ok(()),
            (_, "http") => refused("it would leave TLS"),
            _ => refused("it is neither http nor https"),
        }
    }

    /// Sends a request, and once more with what the registry wants to see. The answer may be any but 401.
    pub(super) async fn send(&mut self, ask: &Ask) -> Result<Response, OciError> {
        let mut asked = false;
        loop {
            let response = self.once(ask, self.authorization.as_ref().filter(|_| self.is_ours(&ask.url))).await?;
            if response.status().as_u16() != 401 {
                return Ok(response);
            }
            let denied = |reason: &str| {
                let (host, reason) = (authority(&ask.url), reason.to_owned());
                OciError::Denied { host, what: ask.what, reason }
            };
            if !self.is_ours(&ask.url) {
                return Err(denied("it wants to know who asks, and is not the registry that the credentials are for"));
            }
            if asked {
                return Err(denied(
                    "it has seen what it wanted, and says no all the same; are name and password right?",
                ));
            }
            self.authorization = Some(auth::answer(self, ask.what, response.headers()).await?);
            asked = true;
        }
    }

    /// Sends a request that reads, and follows where the registry sends it: without credentials once that is somebody else.
    pub(super) async fn get(&mut self, mut ask: Ask) -> Result<Response, OciError> {
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(&ask).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            ask.url = self.location(&response, ask.what)?;
            self.may_go_to(&ask.url, ask.what)?;
        }
        let (host, target) = (self.host.clone(), shown(&authority(&ask.url)));
        Err(OciError::Redirect { host, what: ask.what, target, reason: "it has been sent on too often" })
    }

    /// Where an answer points to.
    pub(super) fn location(&self, response: &Response, what: &'static str) -> Result<Url, OciError> {
        let written = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let joined = written.and_then(|written| response.url().join(written).ok());
        joined
            .ok_or_else(|| OciError::Malformed { what, message: "the answer points nowhere: no valid Location".into() })
    }

    /// Sends a request exactly once, with these credentials.
    pub(super) async fn once(&self, ask: &Ask, authorization: Option<&HeaderValue>) -> Result<Response, OciError> {
        let whole = self.access.timeout.saturating_mul(WHOLE);
        let mut request = self.http.request(ask.method.clone(), ask.url.clone()).timeout(whole);
        if let Some(accept) = ask.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        // A body takes its time; whether it moves is not seen from here.
        let mut patience = self.access.timeout;
        if let Some((media_type, body)) = &ask.body {
            request = request.header(CONTENT_TYPE, *media_type).header(CONTENT_LENGTH, body.len()).body(body.clone());
            patience = whole;
        }
        let host = authority(&ask.url);
        match tokio::time::timeout(patience, request.send()).await {
            Ok(response) => response.map_err(|error| lost(&host, ask.what, error, patience)),
            Err(_) => Err(stalled(&host, ask.what, patience)),
        }
    }

    /// The body of an answer, of at most `limit` bytes.
    pub(super) async fn read(
        &self,
        mut response: Response,
        what: &'static str,
        limit: usize,
    ) -> Result<Vec<u8>, OciError> {
        let host = authority(response.url());
        let mut body = Vec::new();
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(OciError::TooLarge { what, limit });
        }
        loop {
            let piece = match tokio::time::timeout(self.access.timeout, response.chunk()).await {
                Ok(piece) => piece.map_err(|error| lost(&host, what, error, self.access.timeout))?,
                Err(_) => return Err(stalled(&host, what, self.access.timeout)),
            };
            let Some(piece) = piece else { return Ok(body) };
            if body.len() + piece.len() > limit {
                return Err(OciError::TooLarge { what, limit });
            }
            body.extend_from_slice(&piece);
        }
    }

    /// A blob of exactly these bytes.
    pub(super) async fn blob(&mut self, what: &'static str, wanted: Digest, size: usize) -> Result<Vec<u8>, OciError> {
        let response = self.get(Ask::new(Method::GET, self.url(&format!("blobs/{wanted}")), what)).await?;
        if response.status().as_u16() == 404 {
            return Err(OciError::NotFound { host: self.host.clone(), what: format!("{what}, {wanted}") });
        }
        if !response.status().is_success() {
            return Err(self.failed(response, what).await);
        }
        let length = |got| OciError::Length { what, wanted: size, got };
        let bytes = match self.read(response, what, size).await {
            // The size comes from a manifest that was verified, so the limit is this blob's own.
            Err(OciError::TooLarge { .. }) => return Err(length(size.saturating_add(1))),
            other => other?,
        };
        if bytes.len() != size {
            return Err(length(bytes.len()));
        }
        same(what, wanted, &bytes)?;
        Ok(bytes)
    }

    /// What an answer that is none of those wanted says.
    pub(super) async fn failed(&self, response: Response, what: &'static str) -> OciError {
        #[derive(Deserialize)]
        struct Complaint {
            code: Option<String>,
            message: Option<String>,
        }
        #[derive(Deserialize)]
        struct Complaints {
            errors: Vec<Complaint>,
        }
        let (host, status) = (authority(response.url()), response.status().as_u16());
        let body = self.read(response, what, MAX_COMPLAINT_BYTES).await.unwrap_or_default();
        let complaint = serde_json::from_slice::<Complaints>(&body).ok().and_then(|all| all.errors.into_iter().next());
        let words = complaint.map(|complaint| {
            let parts = [complaint.code, complaint.message].into_iter().flatten();
            parts.map(|part| shown(&part)).collect::<Vec<_>>().join(": ")
        });
        if status == 403 {
            let reason = words.unwrap_or_else(|| "not with these credentials".to_owned());
            return OciError::Denied { host, what, reason };
        }
        let detail = words.map_or_else(String::new, |words| format!(": {words}"));
        OciError::Status { host, what, status, detail }
    }
}

/// Fails unless `bytes` have the digest that they were asked for by.
pub(super) fn same(what: &'static str, wanted: Digest, bytes: &[u8]) -> Result<(), OciError> {
    let got = Digest::of(bytes);
    if got == wanted { Ok(()) } else { Err(OciError::Digest { what, wanted, got }) }
}

/// `host:port`, the port also where it is the protocol's own.
pub(super) fn authority(url: &Url) -> String {
    let port = url.port_or_known_default().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}{port}", url.host_str().unwrap_or(""))
}

fn stalled(host: &str, what: &'static str, patience: Duration) -> OciError {
    OciError::Stalled { host: host.to_owned(), what, seconds: patience.as_secs_f64() }
}

fn lost(host: &str, what: &'static str, error: reqwest::Error, patience: Duration) -> OciError {
    use rustls::{CertificateError, Error as Tls};
    if error.is_timeout() {
        return stalled(host, what, patience);
    }
    // Its own words repeat the address, in which a query can be a secret.
    let error = error.without_url();
    let hint = match error.source().and_then(|source| crate::tls::cause(source)) {
        None => String::new(),
        Some(Tls::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            ": its certificate does not come from an authority in the registry's `ca`".into()
        }
        Some(Tls::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => ": its certificate is for another host".into(),
        Some(Tls::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
            ": its certificate has expired, or this machine's clock is wrong".into()
        }
        Some(Tls::InvalidMessage(_)) => ": it does not speak TLS; is it one for `insecure = true`?".into(),
        Some(other) => format!(": TLS: {other}"),
    };
    OciError::Unreachable { host: host.to_owned(), hint, source: error }
}
