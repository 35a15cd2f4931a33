//! The two requests to the auditor, with deadlines.

use std::time::Duration;

use super::SyncError;
use super::answer::{Answer, CheckpointAnswer, SegmentAnswer};

const CHECKPOINT: &str = "POST /v1/checkpoint";
const SEGMENT: &str = "POST /v1/segments";

/// How requests are made.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The auditor's address, `http://host:port`, without a slash at the end.
    pub url: String,
    /// From the beginning of a request to the last byte of its answer. Default of the configuration: 10 s.
    pub timeout: Duration,
}

/// A connection to the auditor, kept open between requests.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    /// A client that follows no redirects and uses no proxy of the environment: evidence goes where the
    /// configuration says.
    ///
    /// # Errors
    /// What the HTTP client says to its own settings.
    pub fn new(options: &ClientOptions) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(options.timeout)
            .connect_timeout(options.timeout.min(Duration::from_secs(5)))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(1)
            .user_agent(concat!("picket/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, url: options.url.clone() })
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
            .body(body)
            .send()
            .await
            .map_err(|source| SyncError::Unreachable { url: self.url.clone(), source })?;
        Answer::read(response, request, &self.url).await
    }
}
