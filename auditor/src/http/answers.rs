//! Answers: statuses and bodies. Errors are `{"kind": …, "message": …}`.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use picket_ledger::mirror::{self, MirrorInfo};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::AuditorError;
use crate::ingest::{Answer, Conflict, ConflictKind, UploadAnswer};

/// The longest note that is put into a header.
const MAX_HEADER_NOTE_BYTES: usize = 4096;

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

/// Answers a checkpoint, as C2SP tlog-witness says: 200 without a body, or where we are.
pub(super) fn checkpoint(answer: Answer) -> Response {
    match answer {
        Answer::Conflict(conflict) => {
            let body = mirror::size_text(conflict.size).into_bytes();
            told(response(StatusCode::CONFLICT, mirror::SIZE_MEDIA_TYPE, body), &conflict)
        }
        other => refusal(other),
    }
}

/// Answers an upload, as C2SP tlog-mirror says.
pub(super) fn upload(answer: UploadAnswer) -> Response {
    let info = |status, info: &MirrorInfo| response(status, mirror::INFO_MEDIA_TYPE, info.encode().into_bytes());
    let mut response = match answer {
        UploadAnswer::Receipt(lines) => text(StatusCode::OK, lines),
        UploadAnswer::Partial(next) => info(StatusCode::ACCEPTED, &next),
        UploadAnswer::Elsewhere(next, conflict) => told(info(StatusCode::CONFLICT, &next), &conflict),
        UploadAnswer::Malformed(message) => problem(StatusCode::BAD_REQUEST, "malformed", &message),
        UploadAnswer::Invalid(message) => problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid", &message),
        UploadAnswer::TooLarge(message) => problem(StatusCode::PAYLOAD_TOO_LARGE, "too-large", &message),
        UploadAnswer::Unknown(origin) => unknown(&origin),
    };
    response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

/// Adds what a box needs to see for itself: its own newest checkpoint, and what was found.
fn told(mut response: Response, conflict: &Conflict) -> Response {
    let headers = response.headers_mut();
    if conflict.kind != ConflictKind::Known {
        headers.insert(mirror::CONFLICT_HEADER, HeaderValue::from_static(conflict.kind.as_str()));
    }
    // A header has its limits in every HTTP library. The notes of boxes have some two hundred bytes.
    let note = conflict.newest.as_deref().filter(|note| note.len() <= MAX_HEADER_NOTE_BYTES);
    if let Some(value) = note.and_then(|note| HeaderValue::from_str(&mirror::note_to_header(note)).ok()) {
        headers.insert(mirror::CHECKPOINT_HEADER, value);
    }
    response
}

fn refusal(answer: Answer) -> Response {
    match answer {
        Answer::Receipt(receipt) => text(StatusCode::OK, receipt),
        Answer::Added => text(StatusCode::OK, String::new()),
        Answer::Unknown(origin) => unknown(&origin),
        Answer::Malformed(message) => problem(StatusCode::BAD_REQUEST, "malformed", &message),
        Answer::Forbidden(message) => problem(StatusCode::FORBIDDEN, "signature", &message),
        Answer::Invalid(message) => problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid", &message),
        Answer::Conflict(Conflict { kind, next, message, receipt, .. }) => {
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
