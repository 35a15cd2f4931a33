//! The HTTP side: routes, limits, and answers as JSON.
//!
//! Every request that reads or writes evidence takes one of `requests` permits *before* its body is read, so that
//! memory is bounded; it is answered within its deadline; and its work runs on a blocking thread, which keeps the
//! permit until it is really done, also when nobody waits for it any more. Uploads of entries (`uploads`) are the
//! exception: they last, so they have permits of their own, and take one for work only while there is a package to work
//! on.

mod answers;
mod server;
mod uploads;

pub use server::serve;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use picket_ledger::mirror;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::auditor::Auditor;
use crate::config::Limits;
use crate::error::Result;
use crate::metrics::Refused;

/// What the handlers share.
#[derive(Clone)]
pub struct App {
    auditor: Arc<Auditor>,
    /// Permits for work; see the module's documentation.
    work: Arc<Semaphore>,
    /// Permits for uploads, which last.
    uploads: Arc<Semaphore>,
    /// Set once the shutdown has begun: `/readyz` says so.
    closing: Arc<AtomicBool>,
}

impl App {
    /// Serves this auditor within its configured limits.
    pub fn new(auditor: Arc<Auditor>) -> Self {
        let work = Arc::new(Semaphore::new(auditor.limits().requests));
        let uploads = Arc::new(Semaphore::new(auditor.limits().uploads));
        Self { auditor, work, uploads, closing: Arc::new(AtomicBool::new(false)) }
    }

    fn limits(&self) -> &Limits {
        self.auditor.limits()
    }

    /// The routes of the service.
    pub fn router(self) -> Router {
        Router::new()
            .route(mirror::ADD_CHECKPOINT, post(add_checkpoint))
            .route(mirror::ADD_ENTRIES, post(uploads::add_entries))
            .route("/v1/segments", post(segments))
            .route("/v1/boxes", get(boxes))
            .route("/v1/trace/{*id}", get(trace))
            .route("/v1/verify", get(verify_all))
            .route("/v1/verify/{origin}", get(verify_one))
            .route("/healthz", get(async || answers::text(StatusCode::OK, "ok\n".into())))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .fallback(async || answers::problem(StatusCode::NOT_FOUND, "not-found", "there is nothing here"))
            .method_not_allowed_fallback(async || {
                answers::problem(StatusCode::METHOD_NOT_ALLOWED, "method", "this method is not answered here")
            })
            .with_state(self)
    }
}

async fn segments(State(app): State<App>, request: Request) -> Response {
    let Some(turn) = Turn::take(&app, app.limits().deadline) else { return answers::busy() };
    let body = match turn.body(&app, request, app.limits().segment).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    turn.run(&app, move |auditor, _| Ok(answers::segment(auditor.segment(&body)?))).await
}

async fn add_checkpoint(State(app): State<App>, request: Request) -> Response {
    let Some(turn) = Turn::take(&app, app.limits().deadline) else { return answers::busy() };
    let body = match turn.body(&app, request, mirror::MAX_ADD_CHECKPOINT_BYTES).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    turn.run(&app, move |auditor, _| Ok(answers::checkpoint(auditor.add_checkpoint(&body)?))).await
}

async fn boxes(State(app): State<App>) -> Response {
    let deadline = app.limits().deadline;
    answer(&app, deadline, |auditor, _| Ok(answers::json(StatusCode::OK, &auditor.boxes()?))).await
}

async fn trace(State(app): State<App>, Path(id): Path<String>) -> Response {
    let deadline = app.limits().deadline;
    answer(&app, deadline, move |auditor, cancel| {
        Ok(answers::json(StatusCode::OK, &auditor.trace(&id, false, cancel)?))
    })
    .await
}

async fn verify_all(State(app): State<App>) -> Response {
    let deadline = app.limits().verify_deadline;
    answer(&app, deadline, |auditor, cancel| Ok(answers::json(StatusCode::OK, &auditor.verify(None, cancel)?))).await
}

async fn verify_one(State(app): State<App>, Path(origin): Path<String>) -> Response {
    let deadline = app.limits().verify_deadline;
    answer(&app, deadline, move |auditor, cancel| match auditor.enrolled(&origin)? {
        Some(origin) => Ok(answers::json(StatusCode::OK, &auditor.verify(Some(&origin), cancel)?)),
        None => Ok(answers::unknown(&origin)),
    })
    .await
}

async fn ready(State(app): State<App>) -> Response {
    if app.closing.load(Ordering::Relaxed) {
        answers::problem(StatusCode::SERVICE_UNAVAILABLE, "closing", "shutting down")
    } else {
        answers::text(StatusCode::OK, "ready\n".into())
    }
}

async fn metrics(State(app): State<App>) -> Response {
    // Listing the boxes takes their locks, which an ingest may hold for a while: not on the runtime's threads.
    let auditor = Arc::clone(&app.auditor);
    match tokio::task::spawn_blocking(move || auditor.metrics_text()).await {
        Ok(Ok(text)) => answers::metrics(text),
        Ok(Err(error)) => answers::fault(&error),
        Err(_) => answers::problem(StatusCode::INTERNAL_SERVER_ERROR, "fault", "the work ended in a panic"),
    }
}

async fn answer<F>(app: &App, deadline: Duration, work: F) -> Response
where
    F: FnOnce(&Auditor, &AtomicBool) -> Result<Response> + Send + 'static,
{
    match Turn::take(app, deadline) {
        Some(turn) => turn.run(app, work).await,
        None => answers::busy(),
    }
}

/// One request's permit and the time it has.
struct Turn {
    permit: OwnedSemaphorePermit,
    until: Instant,
}

impl Turn {
    /// A permit, or `None` while all are taken.
    fn take(app: &App, deadline: Duration) -> Option<Self> {
        match Arc::clone(&app.work).try_acquire_owned() {
            Ok(permit) => Some(Self { permit, until: Instant::now() + deadline }),
            Err(_) => {
                app.auditor.metrics().refused(Refused::Busy);
                None
            }
        }
    }

    /// The whole body, or the answer that it is too long, too slow or broken.
    async fn body(&self, app: &App, request: Request, limit: usize) -> Result<Bytes, Response> {
        let body = request.into_body();
        if body.size_hint().lower() > limit as u64 {
            return Err(too_large(app, limit, body, self.until).await);
        }
        match tokio::time::timeout_at(self.until, collect(body, limit)).await {
            Ok(Ok(Collected::All(bytes))) => Ok(bytes),
            Ok(Ok(Collected::TooLong(rest))) => Err(too_large(app, limit, rest, self.until).await),
            Ok(Err(message)) => Err(answers::problem(StatusCode::BAD_REQUEST, "body", &message)),
            Err(_) => {
                app.auditor.metrics().refused(Refused::Deadline);
                Err(answers::problem(StatusCode::REQUEST_TIMEOUT, "deadline", "the body did not arrive in time"))
            }
        }
    }

    async fn run<F>(self, app: &App, work: F) -> Response
    where
        F: FnOnce(&Auditor, &AtomicBool) -> Result<Response> + Send + 'static,
    {
        let auditor = Arc::clone(&app.auditor);
        let cancel = Arc::new(AtomicBool::new(false));
        let cancelled = Arc::clone(&cancel);
        let permit = self.permit;
        let task = tokio::task::spawn_blocking(move || {
            let answer = work(&auditor, &cancelled);
            drop(permit);
            answer
        });
        match tokio::time::timeout_at(self.until, task).await {
            Ok(Ok(Ok(answer))) => answer,
            Ok(Ok(Err(error))) => answers::fault(&error),
            Ok(Err(_)) => answers::problem(StatusCode::INTERNAL_SERVER_ERROR, "fault", "the work ended in a panic"),
            Err(_) => {
                cancel.store(true, Ordering::Relaxed);
                app.auditor.metrics().refused(Refused::Deadline);
                answers::late()
            }
        }
    }
}

enum Collected {
    All(Bytes),
    TooLong(Body),
}

async fn collect(mut body: Body, limit: usize) -> Result<Collected, String> {
    let mut bytes = Vec::with_capacity(usize::try_from(body.size_hint().lower()).unwrap_or(0).min(limit));
    while let Some(chunk) = next_chunk(&mut body).await? {
        if bytes.len() + chunk.len() > limit {
            return Ok(Collected::TooLong(body));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Collected::All(bytes.into()))
}

async fn next_chunk(body: &mut Body) -> Result<Option<Bytes>, String> {
    loop {
        let frame = std::future::poll_fn(|context| std::pin::Pin::new(&mut *body).poll_frame(context)).await;
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Err(format!("the body broke off: {error}")),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Answers 413. Reads on for a while first: a client that is still writing when the connection is closed sees a reset
/// and never the answer.
async fn too_large(app: &App, limit: usize, mut body: Body, until: Instant) -> Response {
    app.auditor.metrics().refused(Refused::TooLarge);
    drain(&mut body, limit, until).await;
    let message = format!("a request may have {limit} bytes");
    answers::problem(StatusCode::PAYLOAD_TOO_LARGE, "too-large", &message)
}

/// Reads on, so that the client comes to reading the answer; at most so many bytes, and so long.
async fn drain(body: &mut Body, limit: usize, until: Instant) {
    let mut left = limit;
    let _ = tokio::time::timeout_at(until, async {
        while let Ok(Some(chunk)) = next_chunk(body).await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
    })
    .await;
}
