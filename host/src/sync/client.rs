//! The two requests to the auditor, with deadlines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use picket_ledger::mirror::{ADD_CHECKPOINT, ADD_ENTRIES, AddCheckpoint, ENTRIES_MEDIA_TYPE, Header};
use picket_ledger::segment::MAX_SEGMENT_BYTES;

use super::answer::{Answer, CheckpointAnswer, UploadAnswer};
use super::bandwidth::Bandwidth;
use super::upload::{PIECE_BYTES, Packer};
use super::{Outbox, SyncError};
use crate::config;

const CHECKPOINT: &str = "POST /add-checkpoint";
const ENTRIES: &str = "POST /add-entries";
const SEGMENT: &str = "POST /v1/segments";

/// An upload may take this many times the time that it may stand still.
const WHOLE_UPLOAD: u32 = 60;

/// How requests are made.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// The auditor's address, `https://host:port` or `http://host:port`, without a slash at the end.
    pub url: String,
    /// From the beginning of a short request to the last byte of its answer; and how long an upload may go without any
    /// progress, which ends it after twice this at the latest. Default of the configuration: 10 s.
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
    compress: bool,
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
        let http = builder(options).build()?;
        Ok(Self { http, url: options.url.clone(), timeout: options.timeout, bandwidth, compress: true })
    }

    /// Sends entries as they are, without gzip.
    #[must_use]
    pub fn uncompressed(self) -> Self {
        Self { compress: false, ..self }
    }

    /// Shows a checkpoint with the proof that it continues an earlier one.
    pub(super) async fn add_checkpoint(
        &self,
        origin: &str,
        request: &AddCheckpoint,
    ) -> Result<CheckpointAnswer, SyncError> {
        let answer = self.post(ADD_CHECKPOINT, CHECKPOINT, "text/plain; charset=utf-8", request.encode());
        answer.await?.checkpoint(CHECKPOINT, origin)
    }

    /// Brings a whole segment; the text of its receipt.
    pub(super) async fn bring(&self, origin: &str, segment: Vec<u8>) -> Result<String, SyncError> {
        let answer = self.post("/v1/segments", SEGMENT, picket_ledger::segment::MEDIA_TYPE, segment);
        answer.await?.receipt(SEGMENT, origin)
    }

    /// Sends the entries that a header names, at most 32 packages of them, made while the link takes them. Returns the
    /// answer with the bytes that were handed to the link.
    pub(super) async fn add_entries(
        &self,
        origin: &str,
        outbox: Outbox,
        header: Header,
    ) -> (Result<UploadAnswer, SyncError>, u64) {
        let packer = Packer::start(outbox, header, self.compress);
        let (sent, failed) = (packer.sent(), packer.failure());
        let whole = self.timeout.saturating_mul(WHOLE_UPLOAD).saturating_add(self.held_back(MAX_SEGMENT_BYTES));
        let mut request = self
            .http
            .post(format!("{}{ADD_ENTRIES}", self.url))
            .header("content-type", ENTRIES_MEDIA_TYPE)
            .timeout(whole);
        if self.compress {
            request = request.header("content-encoding", "gzip");
        }
        let request = request.body(self.metered(packer));
        let exchange = async {
            let unreachable = |source| SyncError::Unreachable { url: self.url.clone(), source };
            let response = request.send().await.map_err(unreachable)?;
            Answer::read(response, ENTRIES, &self.url).await?.upload(ENTRIES, origin)
        };
        let answer = self.while_it_moves(exchange, &sent).await;
        // A ledger that cannot be read breaks the body off; what it says is the reason.
        let own = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let answer = match (answer, own) {
            (Err(_), Some(error)) => Err(error.into()),
            (answer, _) => answer,
        };
        (answer, sent.load(Ordering::Relaxed))
    }

    /// Gives up once nothing has moved for the timeout, and for the time that the bandwidth takes for one piece.
    async fn while_it_moves<T>(
        &self,
        exchange: impl Future<Output = Result<T, SyncError>>,
        sent: &Arc<AtomicU64>,
    ) -> Result<T, SyncError> {
        let patience = self.timeout.saturating_add(self.held_back(PIECE_BYTES));
        let mut exchange = std::pin::pin!(exchange);
        let mut before = sent.load(Ordering::Relaxed);
        loop {
            tokio::select! {
                done = &mut exchange => return done,
                () = tokio::time::sleep(patience) => {
                    let now = sent.load(Ordering::Relaxed);
                    if now == before {
                        return Err(SyncError::Stalled { request: ENTRIES, after: patience });
                    }
                    before = now;
                }
            }
        }
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
