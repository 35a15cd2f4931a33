//! The HTTP service: inferences in, verdicts out.
//!
//! | route | answers |
//! |---|---|
//! | `POST /v1/check` | one inference as JSON → 200 and its verdict; 400 bad inference; 413 too large; 503 busy, with `Retry-After`; 507 the ledger cannot be written |
//! | `GET /healthz` | 200 while the process lives |
//! | `GET /readyz` | 200 while inferences are taken, 503 while starting, stopping, or when the ledger fails |
//! | `GET /metrics` | Prometheus text |
//!
//! An answer leaves only after its entry is durable. Without an entry there is no answer but an error, which carries no
//! output: a caller that treats errors as refusals is never handed an unjudged or unrecorded output.

pub mod control;
mod metrics;
pub mod socket;

use crate::inference::{self, BadInference};
use crate::service::{Edge, Job, ProcessError, Workers};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use picket_ledger::hash;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// Longest that a request may take from its first byte to the end of its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What the routes share.
#[derive(Clone)]
pub struct Gateway {
    edge: Arc<Edge>,
    workers: Workers,
    ready: Arc<AtomicBool>,
    max_inference: usize,
    metrics: metrics::Exporter,
}

impl Gateway {
    /// A gateway that is not ready yet.
    pub fn new(edge: Arc<Edge>, workers: Workers, max_inference: usize, sync: Option<crate::sync::SyncHandle>) -> Self {
        let metrics = metrics::Exporter::new(&edge, workers.clone(), sync);
        Self { edge, workers, ready: Arc::new(AtomicBool::new(false)), max_inference, metrics }
    }

    /// Says whether `/readyz` answers 200.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// The routes of the public address.
    pub fn router(self) -> Router {
        Router::new()
            .route("/v1/check", post(check))
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .layer(DefaultBodyLimit::max(self.max_inference))
            .with_state(self)
    }
}

async fn check(State(gateway): State<Gateway>, headers: HeaderMap, request: axum::extract::Request) -> Response {
    use axum::extract::FromRequest as _;
    let body = match tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => body,
        Ok(Err(rejected)) if rejected.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!("an inference has at most {} bytes (edge.max_inference)", gateway.max_inference);
            return error(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "", &message);
        }
        Ok(Err(rejected)) => return error(rejected.status(), "body", "", &rejected.body_text()),
        Err(_) => return error(StatusCode::REQUEST_TIMEOUT, "timeout", "", "the body did not arrive in time"),
    };
    let mut received = match inference::parse(&body) {
        Ok(received) => received,
        Err(BadInference { field, message }) => {
            return error(StatusCode::BAD_REQUEST, "bad-inference", &field, &message);
        }
    };
    let pipeline = gateway.edge.pipeline();
    if let Err(message) = pipeline.admit(&received.inference.model) {
        return error(StatusCode::BAD_REQUEST, "unknown-model", "model", &message);
    }
    // A trace id in the header counts when the inference itself names none.
    if received.trace_id.is_none() {
        let header = headers.get("traceparent").and_then(|value| value.to_str().ok());
        received.trace_id = header.and_then(inference::trace_id);
    }
    let (sender, receiver) = oneshot::channel();
    let respond = Box::new(move |outcome| drop(sender.send(outcome)));
    gateway.workers.try_submit(Job { received, pipeline, feed: true, respond });
    match receiver.await {
        Ok(Ok(outcome)) => match serde_json::to_vec(&outcome.answer) {
            Ok(body) => (json_type(), body).into_response(),
            Err(problem) => error(StatusCode::INTERNAL_SERVER_ERROR, "fault", "", &problem.to_string()),
        },
        Ok(Err(problem)) => refusal(&problem),
        Err(_) => refusal(&ProcessError::Closed),
    }
}

fn refusal(problem: &ProcessError) -> Response {
    let message = problem.to_string();
    match problem {
        ProcessError::Busy | ProcessError::Closed => {
            let mut response = error(StatusCode::SERVICE_UNAVAILABLE, "busy", "", &message);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
        ProcessError::Ledger(_) => error(StatusCode::INSUFFICIENT_STORAGE, "ledger", "", &message),
        ProcessError::Randomness => error(StatusCode::INTERNAL_SERVER_ERROR, "fault", "", &message),
    }
}

fn error(status: StatusCode, kind: &str, field: &str, message: &str) -> Response {
    let mut body = json!({ "error": { "kind": kind, "message": message } });
    if !field.is_empty() {
        body["error"]["field"] = field.into();
    }
    (status, json_type(), body.to_string()).into_response()
}

fn json_type() -> [(header::HeaderName, HeaderValue); 1] {
    [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]
}

async fn readyz(State(gateway): State<Gateway>) -> Response {
    if !gateway.ready.load(Ordering::Acquire) {
        return error(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "", "starting or stopping");
    }
    let pipeline = gateway.edge.pipeline();
    let policy = hash::to_hex(pipeline.policy());
    let size = gateway.edge.sequencer().map(|sequencer| sequencer.reader().size());
    let guards = pipeline.guards();
    let open: Vec<_> = guards.into_iter().filter(|guard| guard.open.is_some()).map(|guard| guard.name).collect();
    let body = json!({ "ready": true, "policy": policy, "entries": size, "open_breakers": open });
    (json_type(), body.to_string()).into_response()
}

async fn metrics(State(gateway): State<Gateway>) -> Response {
    match gateway.metrics.text() {
        Ok(text) => {
            let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(problem) => error(StatusCode::INTERNAL_SERVER_ERROR, "fault", "", &problem.to_string()),
    }
}
