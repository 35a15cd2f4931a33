//! Answers: statuses and bodies. Errors are `{"kind": …, "message": …}`.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::AuditorError;
use crate::ingest::{Answer, Conflict};

/// Answers with a value as JSON.
pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => response(status, "application/json", bytes),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, "fault", &format!("writing the answer: {error}")),
    }
}

/// Answers with plain text.
pub(super) fn text(status: StatusCode, text: String) -> Response {
    response(status, "text/plain; charset=utf-8", text.into_bytes())
}

/// Answers with metrics.
pub(super) fn metrics(text: String) -> Response {
    response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text.into_bytes())
}

/// Answers that something is wrong.
pub(super) fn problem(status: StatusCode, kind: &str, message: &str) -> Response {
    json(status, &json!({ "kind": kind, "message": message }))
}

/// Answers that no box of this name is enrolled.
pub(super) fn unknown(origin: &str) -> Response {
    problem(StatusCode::NOT_FOUND, "unknown", &format!("no box {origin:?} is enrolled here"))
}

/// Answers that all permits are taken.
pub(super) fn busy() -> Response {
    again(problem(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many requests at once; try again"))
}

/// Answers that the work took too long. What it changed stays changed: sending again is safe.
pub(super) fn late() -> Response {
    again(problem(StatusCode::SERVICE_UNAVAILABLE, "deadline", "the work took too long; try again"))
}

/// Answers that the auditor failed, not the client.
pub(super) fn fault(error: &AuditorError) -> Response {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        message.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    eprintln!("fault: {message}");
    match error {
        AuditorError::Evidence { .. } => problem(StatusCode::INTERNAL_SERVER_ERROR, "damaged", &message),
        AuditorError::Input(_) => problem(StatusCode::BAD_REQUEST, "input", &message),
        // A full disk and the like may pass: the box keeps its segments and comes back.
        _ => again(problem(StatusCode::SERVICE_UNAVAILABLE, "fault", &message)),
    }
}

/// Answers a segment: the receipt as text, or why there is none.
pub(super) fn segment(answer: Answer) -> Response {
    match answer {
        Answer::Receipt(receipt) => text(StatusCode::OK, receipt),
        other => refusal(other),
    }
}

/// Answers a declared checkpoint: where to go on.
pub(super) fn checkpoint(answer: Answer) -> Response {
    match answer {
        Answer::Next(next) => json(StatusCode::OK, &json!({ "next": next })),
        other => refusal(other),
    }
}

fn refusal(answer: Answer) -> Response {
    match answer {
        Answer::Receipt(receipt) => text(StatusCode::OK, receipt),
        Answer::Next(next) => json(StatusCode::OK, &json!({ "next": next })),
        Answer::Unknown(origin) => unknown(&origin),
        Answer::Invalid(message) => problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid", &message),
        Answer::Conflict(Conflict { kind, next, message, receipt }) => {
            let mut body = json!({ "kind": kind.as_str(), "next": next, "message": message });
            if let (Some(receipt), Some(object)) = (receipt, body.as_object_mut()) {
                object.insert("receipt".into(), Value::String(receipt));
            }
            json(StatusCode::CONFLICT, &body)
        }
    }
}

fn again(mut response: Response) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn response(status: StatusCode, media_type: &'static str, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
