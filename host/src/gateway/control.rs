//! The control socket: how commands reach the ledger that the running service holds.
//!
//! HTTP on a Unix socket that only the service's user can open; whoever can, may read the ledger and hand
//! in records. Every answer is bounded.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/ledger/head` | `{"origin","size","pruned_to","root","checkpoint"}` |
//! | `GET /v1/ledger/entries?from&to` | entries, each after its length (4 bytes, big-endian); at most 1 MiB or 4096 of them, at least one |
//! | `POST /v1/ledger/select` | the entries that fit a query: where to go on (from and to, 8 bytes each), then for each its index (8 bytes), its length (4 bytes) and itself; at most 1 MiB or 4096 of them, or what is found in 500 ms |
//! | `GET /v1/ledger/checkpoint?at` | the first checkpoint of at least that size; 404 if there is none |
//! | `GET /v1/ledger/proof?index&size` | the inclusion proof, 32 bytes a hash |
//! | `GET /v1/ledger/frontier?size` | the peaks of the tree of that size, 32 bytes a hash |
//! | `GET /v1/ledger/payload/{invocation}` | what is stored of the payload; 404 if nothing |
//! | `GET /v1/ledger/named/sync/…` | a value that sync keeps; 404 if there is none |
//! | `POST /v1/records/{kind}` | takes a record document; `{"index","leaf"}` once it is durable |
//! | `POST /v1/keys/rotate` | hands the ledger over to a new key; `{"epoch","key","start"}` |
//! | `POST /v1/erase` | `{"ranges":[[from,to]],"reason"}`: erases payloads; `{"payloads","entries"}` |
//! | `POST /v1/reload` | `{"config"}`, a path or null for the file in force: puts another configuration in force; what was done, or 422 and why it is refused |
//! | `GET /v1/policy` | `{"policy","guards":[{"name","component","candidate","open"}]}`: what is in force |
//! | `GET /v1/sync` | counters and alarm |
//! | `POST /v1/sync` | makes a round now; its report |
//! | `DELETE /v1/sync/alarm` | takes the alarm back |
//!
//! Errors are `{"message"}`.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use picket_ledger::entry::Body;
use picket_ledger::hash::to_hex;
use picket_store::lookup::Lookup;
use picket_store::{Reader, StoreError};
use serde_json::{Value, json};

use crate::evidence::{Piece, Recorded, SelectRequest, origin_of};
use crate::provenance::{MAX_DOCUMENT_BYTES, parse_record, record_kind};
use crate::sequencer::{Sequencer, SequencerError};
use crate::service::{Edge, ReloadError, Reloader};
use crate::sync::SyncHandle;

/// Where a piece of entries ends, in bytes.
const PIECE_BYTES: usize = 1 << 20;

/// And in entries.
const PIECE_ENTRIES: u64 = 4096;

/// Entries are read to the end of a tile of the store at most.
const TILE: u64 = 256;

/// What the control socket reaches.
#[derive(Clone)]
pub struct Control {
    /// Takes records.
    pub sequencer: Sequencer,
    /// Finds entries.
    pub lookup: Arc<Lookup>,
    /// What is in force.
    pub edge: Arc<Edge>,
    /// Puts other configurations in force.
    pub reloader: Arc<Reloader>,
    /// `None` without an auditor in the configuration.
    pub sync: Option<SyncHandle>,
}

/// The routes of the control socket.
pub fn router(control: Control) -> Router {
    Router::new()
        .route("/v1/ledger/head", get(head))
        .route("/v1/ledger/entries", get(entries))
        .route("/v1/ledger/select", post(select))
        .route("/v1/ledger/checkpoint", get(checkpoint))
        .route("/v1/ledger/proof", get(proof))
        .route("/v1/ledger/frontier", get(frontier))
        .route("/v1/ledger/payload/{invocation}", get(payload))
        .route("/v1/ledger/named/{*name}", get(named))
        .route("/v1/records/{kind}", post(record))
        .route("/v1/keys/rotate", post(rotate_key))
        .route("/v1/erase", post(erase))
        .route("/v1/reload", post(reload))
        .route("/v1/policy", get(policy))
        .route("/v1/sync", get(sync_status).post(sync_now))
        .route("/v1/sync/alarm", delete(clear_alarm))
        // One byte more than a document, so that a larger one is refused in the document's own words.
        .layer(DefaultBodyLimit::max(MAX_DOCUMENT_BYTES + 1))
        .with_state(control)
}

/// An error as the answer to a request.
struct Refusal(StatusCode, String);

impl Refusal {
    fn bad(message: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, message.into())
    }

    fn missing(message: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, message.into())
    }

    /// What was asked for and is not there is the caller's mistake; the rest is ours.
    fn store(error: StoreError) -> Self {
        match error {
            StoreError::OutOfRange { .. } | StoreError::Tree { .. } => Self::bad(error.to_string()),
            StoreError::Pruned { .. } => Self(StatusCode::GONE, error.to_string()),
            error => Self::fault(error),
        }
    }

    fn fault(error: impl std::fmt::Display) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, [(header::CONTENT_TYPE, "application/json")], json!({ "message": self.1 }).to_string()).into_response()
    }
}

type Answer = Result<Response, Refusal>;

fn json_answer(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

fn bytes_answer(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
}

/// Reads of the store may wait for the disk, which must not hold up the runtime.
async fn read<T: Send + 'static>(
    control: &Control,
    work: impl FnOnce(&Reader) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let reader = control.sequencer.reader();
    tokio::task::spawn_blocking(move || work(&reader)).await.map_err(Refusal::fault)?
}

async fn head(State(control): State<Control>) -> Answer {
    let value = read(&control, |reader| {
        let checkpoint = reader.latest_checkpoint().map_err(Refusal::store)?.map(|found| found.text);
        let origin = checkpoint.as_deref().map(origin_of).unwrap_or_default();
        Ok(json!({
            "origin": origin,
            "size": reader.size(),
            "pruned_to": reader.pruned_to(),
            "root": to_hex(&reader.root()),
            "checkpoint": checkpoint,
        }))
    });
    Ok(json_answer(&value.await?))
}

async fn entries(State(control): State<Control>, RawQuery(query): RawQuery) -> Answer {
    let range = number(query.as_deref(), "from")?..number(query.as_deref(), "to")?;
    let body = read(&control, |reader| piece(reader, range)).await?;
    Ok(bytes_answer(body))
}

/// The entries of `range` as far as they fit.
fn piece(reader: &Reader, range: Range<u64>) -> Result<Vec<u8>, Refusal> {
    let end = range.end.min(reader.size()).min(range.start.saturating_add(PIECE_ENTRIES));
    let mut body = Vec::new();
    let mut next = range.start;
    while next < end {
        let entries = reader.read(next..end.min((next / TILE + 1) * TILE)).map_err(Refusal::store)?;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            if !body.is_empty() && body.len() + 4 + entry.len() > PIECE_BYTES {
                return Ok(body);
            }
            let length = u32::try_from(entry.len()).map_err(Refusal::fault)?;
            body.extend_from_slice(&length.to_be_bytes());
            body.extend_from_slice(&entry);
            next += 1;
        }
    }
    Ok(body)
}

async fn select(State(control): State<Control>, body: Bytes) -> Answer {
    let request: SelectRequest = serde_json::from_slice(&body).map_err(|error| Refusal::bad(error.to_string()))?;
    let (query, limit) = request.query().map_err(Refusal::bad)?;
    let lookup = Arc::clone(&control.lookup);
    let newest_first = query.newest_first;
    let work = move || Piece::take(lookup.select(query), newest_first, limit);
    let piece = tokio::task::spawn_blocking(work).await.map_err(Refusal::fault)?.map_err(Refusal::store)?;
    Ok(bytes_answer(piece.encode()))
}

async fn checkpoint(State(control): State<Control>, RawQuery(query): RawQuery) -> Answer {
    let at = number(query.as_deref(), "at")?;
    let found = read(&control, move |reader| reader.checkpoint_at_or_after(at).map_err(Refusal::store)).await?;
    let found = found.ok_or_else(|| Refusal::missing(format!("no checkpoint covers {at} entries yet")))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], found.text).into_response())
}

async fn proof(State(control): State<Control>, RawQuery(query): RawQuery) -> Answer {
    let (index, size) = (number(query.as_deref(), "index")?, number(query.as_deref(), "size")?);
    let hashes = read(&control, move |reader| reader.inclusion_proof(index, size).map_err(Refusal::store));
    Ok(bytes_answer(hashes.await?.concat()))
}

async fn frontier(State(control): State<Control>, RawQuery(query): RawQuery) -> Answer {
    let size = number(query.as_deref(), "size")?;
    let hashes = read(&control, move |reader| Ok(reader.tree_at(size).map_err(Refusal::store)?.peaks().concat()));
    Ok(bytes_answer(hashes.await?))
}

async fn payload(State(control): State<Control>, Path(invocation): Path<u64>) -> Answer {
    let found = read(&control, move |reader| reader.payload(invocation).map_err(Refusal::store)).await?;
    Ok(bytes_answer(found.ok_or_else(|| Refusal::missing("nothing is kept of this payload"))?))
}

async fn named(State(control): State<Control>, Path(name): Path<String>) -> Answer {
    if !name.starts_with("sync/") || name.len() > 64 {
        return Err(Refusal::missing("only the values of sync are shown"));
    }
    let found = read(&control, move |reader| reader.named(&name).map_err(Refusal::store)).await?;
    Ok(bytes_answer(found.ok_or_else(|| Refusal::missing("no such value"))?))
}

async fn record(State(control): State<Control>, Path(kind): Path<String>, document: Bytes) -> Answer {
    let kind = record_kind(&kind).map_err(|error| Refusal::bad(error.to_string()))?;
    let record = parse_record(kind, &document, "document").map_err(|error| Refusal::bad(error.to_string()))?;
    let placed = control.sequencer.append(Body::Record(record).into()).await.map_err(Refusal::fault)?;
    let recorded = Recorded { index: placed.index, leaf: to_hex(&placed.leaf) };
    Ok(json_answer(&json!(recorded)))
}

async fn rotate_key(State(control): State<Control>) -> Answer {
    Ok(json_answer(&json!(control.sequencer.rotate().await.map_err(Refusal::fault)?)))
}

/// What `POST /v1/erase` takes.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Erasure {
    ranges: Vec<(u64, u64)>,
    reason: String,
}

async fn erase(State(control): State<Control>, body: Bytes) -> Answer {
    let erasure: Erasure = serde_json::from_slice(&body).map_err(|error| Refusal::bad(error.to_string()))?;
    let ranges = erasure.ranges.into_iter().map(|(from, to)| from..to).collect();
    let sequencer = control.sequencer.clone();
    let work = move || sequencer.erase_blocking(ranges, &erasure.reason);
    match tokio::task::spawn_blocking(work).await.map_err(Refusal::fault)? {
        Ok(erased) => Ok(json_answer(&json!(erased))),
        Err(error @ SequencerError::Entry(_)) => Err(Refusal::bad(error.to_string())),
        Err(error) => Err(Refusal::fault(error)),
    }
}

/// What `POST /v1/reload` takes.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Reload {
    config: Option<PathBuf>,
}

async fn reload(State(control): State<Control>, body: Bytes) -> Answer {
    let Reload { config } = serde_json::from_slice(&body).map_err(|error| Refusal::bad(error.to_string()))?;
    let reloader = Arc::clone(&control.reloader);
    match tokio::task::spawn_blocking(move || reloader.reload(config)).await.map_err(Refusal::fault)? {
        Ok(reloaded) => Ok(json_answer(&json!(reloaded))),
        Err(error @ ReloadError::Stopping) => Err(Refusal(StatusCode::CONFLICT, error.to_string())),
        Err(error) if error.is_bad_input() => Err(Refusal(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())),
        Err(error) => Err(Refusal::fault(error)),
    }
}

async fn policy(State(control): State<Control>) -> Answer {
    let pipeline = control.edge.pipeline();
    let guards: Vec<Value> = pipeline
        .guards()
        .into_iter()
        .map(|guard| json!({ "name": guard.name, "component": to_hex(&guard.component), "candidate": guard.candidate, "open": guard.open }))
        .collect();
    Ok(json_answer(&json!({ "policy": to_hex(pipeline.policy()), "guards": guards })))
}

fn sync(control: &Control) -> Result<&SyncHandle, Refusal> {
    control.sync.as_ref().ok_or_else(|| Refusal::missing("the configuration names no auditor"))
}

async fn sync_status(State(control): State<Control>) -> Answer {
    Ok(json_answer(&json!(sync(&control)?.state().status())))
}

async fn sync_now(State(control): State<Control>) -> Answer {
    // What is not yet under a checkpoint cannot be sent, and whoever asks means all of it.
    control.sequencer.checkpoint_now().await.map_err(Refusal::fault)?;
    let report = sync(&control)?.sync_now().await;
    let report = report.map_err(|message| Refusal(StatusCode::BAD_GATEWAY, message))?;
    Ok(json_answer(&json!(report)))
}

async fn clear_alarm(State(control): State<Control>) -> Answer {
    let cleared = sync(&control)?.clear_alarm().await.map_err(Refusal::fault)?;
    Ok(json_answer(&json!({ "cleared": cleared })))
}

/// The number called `name` in a query of plain numbers.
fn number(query: Option<&str>, name: &str) -> Result<u64, Refusal> {
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.parse()).next();
    match value {
        Some(Ok(number)) => Ok(number),
        _ => Err(Refusal::bad(format!("`{name}` is missing or no number"))),
    }
}
