//! The two requests to the auditor, with deadlines.

use std::time::Duration;

use bytes::Bytes;
use http_body::Body;

use super::SyncError;
use super::answer::{Answer, CheckpointAnswer, SegmentAnswer};
use super::bandwidth::Bandwidth;
use crate::config;

const CHECKPOINT: &str = "POST /v1/checkpoint";
const SEGMENT: &str = "POST /v1/segments";

/// How requests are made.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// The auditor's address, `https://host:port` or `http://host:port`, without a slash at the end.
    pub url: String,
    /// From the beginning of a request to the last byte of its answer. Default of the configuration: 10 s.
    pub timeout: Duration,
    /// Longest time to connect, TLS included. Zero: the timeout, but at most 5 s.
    pub connect_timeout: Duration,
    /// Whom to trust and who we are; needed for `https://`.
    pub tls: Option<rustls::ClientConfig>,
    /// Most bytes of bodies that are sent in a second; none: no limit. Time that the limit takes comes on top of the
    /// timeout.
    pub bandwidth: Option<u64>,
}

impl From<&config::Auditor> for ClientOptions {
    fn from(auditor: &config::Auditor) -> Self {
        Self {
            url: auditor.url.clone(),
            timeout: auditor.timeout,
            connect_timeout: auditor.connect_timeout,
            tls: auditor.tls.clone(),
            bandwidth: auditor.bandwidth,
        }
    }
}

/// A connection to the auditor, kept open between requests.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    timeout: Duration,
    bandwidth: Option<(u64, Bandwidth)>,
}

impl Client {
    /// A client that follows no redirects and uses no proxy of the environment: evidence goes where the
    /// configuration says.
    ///
    /// # Errors
    /// What the HTTP client says to its own settings.
    pub fn new(options: &ClientOptions) -> Result<Self, reqwest::Error> {
        if let Some(host) = options.url.strip_prefix("http://").filter(|host| !local(host)) {
            tracing::warn!(
                host,
                "evidence leaves this machine without TLS: signed, but anybody on the way can read it"
            );
        }
        let bandwidth = options.bandwidth.map(|rate| (rate, Bandwidth::new(rate)));
        Ok(Self { http: builder(options).build()?, url: options.url.clone(), timeout: options.timeout, bandwidth })
    }

    /// Shows the newest checkpoint and asks what the auditor wants next.
    pub(super) async fn checkpoint(&self, origin: &str, note: &str) -> Result<CheckpointAnswer, SyncError> {
        let answer = self.post("/v1/checkpoint", CHECKPOINT, "text/plain; charset=utf-8", note.as_bytes().to_vec());
        answer.await?.checkpoint(CHECKPOINT, origin)
    }

    /// Sends an encoded segment.
    pub(super) async fn segment(&self, origin: &str, bytes: Vec<u8>) -> Result<SegmentAnswer, SyncError> {
        let answer = self.post("/v1/segments", SEGMENT, picket_ledger::segment::MEDIA_TYPE, bytes);
        answer.await?.segment(SEGMENT, origin)
    }

    async fn post(
        &self,
        path: &str,
        request: &'static str,
        media_type: &'static str,
        body: Vec<u8>,
    ) -> Result<Answer, SyncError> {
        let response = self
            .http
            .post(format!("{}{path}", self.url))
            .header("content-type", media_type)
            .timeout(self.timeout.saturating_add(self.held_back(body.len())))
            .body(self.metered(reqwest::Body::from(body)))
            .send()
            .await
            .map_err(|source| SyncError::Unreachable { url: self.url.clone(), source })?;
        Answer::read(response, request, &self.url).await
    }

    /// A body that keeps to the bandwidth.
    fn metered<B>(&self, body: B) -> reqwest::Body
    where
        B: Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match &self.bandwidth {
            None => reqwest::Body::wrap(body),
            Some((_, bandwidth)) => reqwest::Body::wrap(bandwidth.limit(body)),
        }
    }

    /// The time that the bandwidth takes for so many bytes.
    fn held_back(&self, bytes: usize) -> Duration {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bandwidth.as_ref().map_or(Duration::ZERO, |(rate, _)| Duration::from_secs(bytes.div_ceil(*rate)))
    }
}

/// Whether an address, without its scheme, is on this machine.
fn local(address: &str) -> bool {
    let host = address.split('/').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, port)| if port.contains(']') { address } else { host });
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The settings of all connections to the auditor: one place, whatever is sent over them.
fn builder(options: &ClientOptions) -> reqwest::ClientBuilder {
    let connect = match options.connect_timeout {
        Duration::ZERO => options.timeout.min(Duration::from_secs(5)),
        time => time,
    };
    let builder = reqwest::Client::builder()
        .timeout(options.timeout)
        .connect_timeout(connect)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(1)
        .user_agent(concat!("picket/", env!("CARGO_PKG_VERSION")));
    // Without one, an empty store of authorities: https without a configured authority must never work, and reqwest must
    // not look for a provider of its own.
    let tls = options.tls.clone().unwrap_or_else(crate::tls::trusts_nobody);
    builder.tls_backend_preconfigured(tls)
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn only_addresses_of_this_machine_are_local() {
        for here in ["127.0.0.1:7400", "127.9.9.9", "localhost:1", "[::1]:7400", "[::1]", "localhost/a"] {
            assert!(local(here), "{here}");
        }
        for away in ["10.0.0.1:7400", "auditor.example", "localhost.example:7400", "[2001:db8::1]:7400", "", ":1"] {
            assert!(!local(away), "{away}");
        }
    }
}
