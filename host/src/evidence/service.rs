//! The ledger of the running service, through its control socket.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use picket_ledger::Hash;
use picket_ledger::hash::from_hex;
use serde::Deserialize;

use super::{CONTROL_SOCKET, EvidenceError, Head, Ledger, Piece, SelectRequest, Selection};
use crate::sequencer::{Erased, Rotated};

/// The service answers from memory or disk, so this is generous.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A sync now may send a week of segments.
const SYNC_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// A reload may compile every guard, and waits for the one before it.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// The largest answer that is read: a payload of 128 MiB and its salt.
const MAX_ANSWER_BYTES: usize = 129 << 20;

/// Where a record has come to stand.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct Recorded {
    /// Index of its entry.
    pub index: u64,
    /// Leaf hash, in hexadecimal.
    pub leaf: String,
}

/// A connection to the running service of a data folder.
#[derive(Debug)]
pub struct ControlClient {
    http: reqwest::Client,
    /// Drives one request at a time; the callers are command lines.
    runtime: tokio::runtime::Runtime,
    socket: PathBuf,
}

impl ControlClient {
    /// Connects to the service that holds `data`. `None` if none listens there: no socket, or one that a
    /// killed service left behind.
    ///
    /// # Errors
    /// [`EvidenceError`] if something listens and does not answer.
    pub fn connect(data: &Path) -> Result<Option<Self>, EvidenceError> {
        let socket = data.join(CONTROL_SOCKET);
        match std::os::unix::net::UnixStream::connect(&socket) {
            Ok(_) => (),
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) =>
            {
                return Ok(None);
            }
            Err(source) => return Err(EvidenceError::Io { what: "connecting to the running service", source }),
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| EvidenceError::Io { what: "starting a runtime", source })?;
        let http = reqwest::Client::builder()
            .unix_socket(socket.as_path())
            .timeout(TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            // No TLS goes over this socket; without a configuration the client would look for a provider, and panic.
            .tls_backend_preconfigured(crate::tls::trusts_nobody())
            .build()
            .map_err(EvidenceError::Request)?;
        Ok(Some(Self { http, runtime, socket }))
    }

    /// The control socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Hands a record document to the service.
    ///
    /// # Errors
    /// [`EvidenceError::Refused`] with the service's words when the document is wrong.
    pub fn record(&self, kind: &str, document: Vec<u8>) -> Result<Recorded, EvidenceError> {
        let request = self.http.post(address(&format!("/v1/records/{kind}"))).body(document);
        json(&self.send(request)?.1)
    }

    /// Asks the service to hand the ledger over to a new key.
    ///
    /// # Errors
    /// [`EvidenceError::Refused`] with the reason when it could not.
    pub fn rotate_key(&self) -> Result<Rotated, EvidenceError> {
        json(&self.send(self.http.post(address("/v1/keys/rotate")))?.1)
    }

    /// Asks the service to erase the payloads of invocations.
    ///
    /// # Errors
    /// [`EvidenceError::Refused`] with the reason when it could not.
    pub fn erase(&self, ranges: &[Range<u64>], reason: &str) -> Result<Erased, EvidenceError> {
        let ranges: Vec<_> = ranges.iter().map(|range| (range.start, range.end)).collect();
        let body = serde_json::json!({ "ranges": ranges, "reason": reason }).to_string();
        json(&self.send(self.http.post(address("/v1/erase")).body(body))?.1)
    }

    /// Asks the service to sync now; returns its report as JSON.
    ///
    /// # Errors
    /// [`EvidenceError::Refused`] with the reason when the round failed.
    pub fn sync(&self) -> Result<serde_json::Value, EvidenceError> {
        json(&self.send(self.http.post(address("/v1/sync")).timeout(SYNC_TIMEOUT))?.1)
    }

    /// Asks the service to put the configuration `file` in force; returns what it did, as JSON.
    ///
    /// # Errors
    /// [`EvidenceError::Refused`] with the reason; then what was in force stays.
    pub fn reload(&self, file: &Path) -> Result<serde_json::Value, EvidenceError> {
        let body = serde_json::json!({ "config": file }).to_string();
        json(&self.send(self.http.post(address("/v1/reload")).body(body).timeout(RELOAD_TIMEOUT))?.1)
    }

    /// Policy and guards in force, as JSON.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub fn policy(&self) -> Result<serde_json::Value, EvidenceError> {
        json(&self.send(self.http.get(address("/v1/policy")))?.1)
    }

    /// The state of sync, as JSON.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub fn sync_status(&self) -> Result<serde_json::Value, EvidenceError> {
        json(&self.send(self.http.get(address("/v1/sync")))?.1)
    }

    /// Clears the alarm of sync.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub fn clear_alarm(&self) -> Result<serde_json::Value, EvidenceError> {
        json(&self.send(self.http.delete(address("/v1/sync/alarm")))?.1)
    }

    fn get(&self, path: &str) -> Result<Vec<u8>, EvidenceError> {
        Ok(self.send(self.http.get(address(path)))?.1)
    }

    /// As [`get`](Self::get); `None` for 404.
    fn find(&self, path: &str) -> Result<Option<Vec<u8>>, EvidenceError> {
        match self.send(self.http.get(address(path))) {
            Ok((_, body)) => Ok(Some(body)),
            Err(EvidenceError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Result<(u16, Vec<u8>), EvidenceError> {
        self.runtime.block_on(async {
            let mut response = request.send().await.map_err(EvidenceError::Request)?;
            let status = response.status().as_u16();
            let mut body = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(EvidenceError::Request)? {
                if body.len() + piece.len() > MAX_ANSWER_BYTES {
                    return Err(EvidenceError::Answer(format!("more than {MAX_ANSWER_BYTES} bytes")));
                }
                body.extend_from_slice(&piece);
            }
            if status == 200 { Ok((status, body)) } else { Err(refused(status, &body)) }
        })
    }
}

fn refused(status: u16, body: &[u8]) -> EvidenceError {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let text = serde_json::from_slice::<Message>(body)
        .map_or_else(|_| String::from_utf8_lossy(body).into_owned(), |found| found.message);
    let message = text.chars().take(2000).map(|one| if one.is_control() { ' ' } else { one }).collect();
    EvidenceError::Refused { status, message }
}

impl Ledger for ControlClient {
    fn head(&self) -> Result<Head, EvidenceError> {
        #[derive(Deserialize)]
        struct HeadAnswer {
            origin: String,
            size: u64,
            pruned_to: u64,
            root: String,
            checkpoint: Option<String>,
        }
        let answer: HeadAnswer = json(&self.get("/v1/ledger/head")?)?;
        let root = from_hex(&answer.root).map_err(|_| EvidenceError::Answer("root".into()))?;
        let HeadAnswer { origin, size, pruned_to, checkpoint, .. } = answer;
        Ok(Head { origin, size, pruned_to, root, checkpoint })
    }

    fn entries(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>, EvidenceError> {
        let asked = range.end - range.start;
        let body = self.get(&format!("/v1/ledger/entries?from={}&to={}", range.start, range.end))?;
        let entries = split_entries(&body)?;
        if entries.len() as u64 > asked {
            return Err(EvidenceError::Answer("more entries than were asked for".into()));
        }
        Ok(entries)
    }

    fn select(&self, query: &Selection, limit: usize) -> Result<Piece, EvidenceError> {
        let request = serde_json::json!(SelectRequest::of(query, limit)).to_string();
        Piece::decode(&self.send(self.http.post(address("/v1/ledger/select")).body(request))?.1, query)
    }

    fn checkpoint_at_or_after(&self, size: u64) -> Result<Option<String>, EvidenceError> {
        self.find(&format!("/v1/ledger/checkpoint?at={size}"))?.map(text).transpose()
    }

    fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, EvidenceError> {
        split_hashes(&self.get(&format!("/v1/ledger/proof?index={index}&size={size}"))?)
    }

    fn frontier(&self, size: u64) -> Result<Vec<Hash>, EvidenceError> {
        split_hashes(&self.get(&format!("/v1/ledger/frontier?size={size}"))?)
    }

    fn payload(&self, invocation: u64) -> Result<Option<Vec<u8>>, EvidenceError> {
        self.find(&format!("/v1/ledger/payload/{invocation}"))
    }

    fn named(&self, name: &str) -> Result<Option<Vec<u8>>, EvidenceError> {
        self.find(&format!("/v1/ledger/named/{name}"))
    }
}

/// The host name is a formality: the socket decides where this goes.
fn address(path: &str) -> String {
    format!("http://picket{path}")
}

fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, EvidenceError> {
    serde_json::from_slice(body).map_err(|error| EvidenceError::Answer(error.to_string()))
}

fn text(body: Vec<u8>) -> Result<String, EvidenceError> {
    String::from_utf8(body).map_err(|_| EvidenceError::Answer("no text".into()))
}

/// Entries, each with its length before it as 4 bytes, big-endian.
fn split_entries(mut body: &[u8]) -> Result<Vec<Vec<u8>>, EvidenceError> {
    let broken = || EvidenceError::Answer("the entries are cut off".into());
    let mut entries = Vec::new();
    while !body.is_empty() {
        let (length, rest) = body.split_first_chunk::<4>().ok_or_else(broken)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| broken())?;
        let (entry, rest) = rest.split_at_checked(length).ok_or_else(broken)?;
        entries.push(entry.to_vec());
        body = rest;
    }
    Ok(entries)
}

fn split_hashes(body: &[u8]) -> Result<Vec<Hash>, EvidenceError> {
    let (hashes, rest) = body.as_chunks::<32>();
    if rest.is_empty() { Ok(hashes.to_vec()) } else { Err(EvidenceError::Answer("a hash is cut off".into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_off_answers_are_refused() {
        let body = [0, 0, 0, 2, 7, 8, 0, 0, 0, 0];
        assert!(
            matches!(split_entries(&body).as_deref(), Ok([first, second]) if *first == [7, 8] && second.is_empty())
        );
        for end in [1, 3, 5, 7, 9] {
            assert!(split_entries(&body[..end]).is_err(), "{end}");
        }
        assert!(split_hashes(&[0; 64]).is_ok_and(|hashes| hashes.len() == 2));
        assert!(split_hashes(&[0; 63]).is_err());
    }
}
