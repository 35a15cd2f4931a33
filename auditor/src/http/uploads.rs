//! `POST /add-entries`: the body is read, unpacked, verified and stored a package at a time.
//!
//! An upload holds in memory what is needed for one package. It has the request's deadline for each of them, so a slow
//! link gets through and one that has stalled is let go; what arrived before stays. Work on a package takes one of the
//! permits that all requests share, and only for as long as it lasts.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use flate2::write::GzDecoder;
use picket_ledger::mirror::{Decoder, ENTRIES_MEDIA_TYPE, Event, MirrorError};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::{App, answers, drain, next_chunk};
use crate::auditor::Auditor;
use crate::error::Result;
use crate::ingest::{Upload, UploadAnswer};
use crate::metrics::Refused;

/// How long, and how many bytes of, a refused upload is read on for the sake of a client that is still writing.
const DRAIN: (Duration, usize) = (Duration::from_secs(2), 4 << 20);

/// Takes in an upload.
pub(super) async fn add_entries(State(app): State<App>, request: Request) -> Response {
    let Ok(_slot) = Arc::clone(&app.uploads).try_acquire_owned() else {
        app.auditor.metrics().refused(Refused::Busy);
        return answers::busy();
    };
    let (parts, mut body) = request.into_parts();
    let unpack = match Unpack::of(&parts.headers) {
        Ok(unpack) => unpack,
        Err(message) => return answers::problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", &message),
    };
    let mut incoming = Incoming {
        until: Instant::now() + app.limits().deadline,
        decoder: Decoder::new(app.limits().segment),
        upload: None,
        app,
    };
    match incoming.receive(&mut body, unpack).await {
        // The body may have more than was looked at.
        Ok(answer) | Err(answer) => {
            drain(&mut body, DRAIN.1, Instant::now() + DRAIN.0).await;
            answer
        }
    }
}

/// Why reading ended before the body did.
enum Broken {
    /// The connection broke, or what was packed is not.
    Off(String),
    /// Nothing whole arrived in time.
    Late,
}

struct Incoming {
    app: App,
    decoder: Decoder,
    /// After the header. Moved into the work and back.
    upload: Option<Upload>,
    /// When the package under way must be here.
    until: Instant,
}

impl Incoming {
    /// Reads to the end. Both sides of the result are the answer; an error came before the end.
    async fn receive(&mut self, body: &mut Body, mut unpack: Unpack) -> Result<Response, Response> {
        loop {
            let piece = match timeout_at(self.until, next_chunk(body)).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => break,
                Ok(Err(message)) => return self.broken(Broken::Off(message)).await,
                Err(_) => return self.broken(Broken::Late).await,
            };
            let mut rest = piece.as_ref();
            while !rest.is_empty() {
                match unpack.some(&mut rest) {
                    Ok(bytes) => self.feed(&bytes).await?,
                    Err(message) => return self.broken(Broken::Off(message)).await,
                }
            }
        }
        match unpack.end() {
            Ok(bytes) => self.feed(&bytes).await?,
            Err(message) => return self.broken(Broken::Off(message)).await,
        }
        match self.upload.take() {
            Some(upload) if self.decoder.is_complete() || upload.progressed() => self.finish(upload).await,
            _ => Err(malformed("it ends before its first package does")),
        }
    }

    async fn feed(&mut self, bytes: &[u8]) -> Result<(), Response> {
        self.decoder.feed(bytes);
        loop {
            match self.decoder.next_event() {
                Ok(None) => return Ok(()),
                Ok(Some(event)) => self.event(event).await?,
                Err(error @ MirrorError::TooLong { .. }) if self.upload.is_some() => {
                    self.app.auditor.metrics().refused(Refused::TooLarge);
                    return Err(answers::upload(UploadAnswer::TooLarge(crate::words(&error))));
                }
                Err(error) => return Err(malformed(&crate::words(&error))),
            }
        }
    }

    async fn event(&mut self, event: Event) -> Result<(), Response> {
        match (event, self.upload.take()) {
            (Event::Header(header), _) => {
                let begun = self.work(move |auditor| auditor.begin_upload(&header)).await?;
                self.upload = Some(begun.map_err(answers::upload)?);
            }
            (Event::Package(package), Some(mut upload)) => {
                let work = move |auditor: &Auditor| {
                    let answer = auditor.upload_package(&mut upload, &package)?;
                    Ok((upload, answer))
                };
                let (upload, answer) = self.work(work).await?;
                self.upload = Some(upload);
                if let Some(answer) = answer {
                    return Err(answers::upload(answer));
                }
                self.until = Instant::now() + self.app.limits().deadline;
            }
            (Event::Package(_), None) => return Err(malformed("a package without a header")),
        }
        Ok(())
    }

    /// What is here stays; who still listens is told where to go on.
    async fn broken(&mut self, why: Broken) -> Result<Response, Response> {
        if let Some(upload) = self.upload.take().filter(Upload::progressed) {
            // The client has gone, or stands still: this needs no longer than the disk.
            self.until = Instant::now() + self.app.limits().deadline;
            return self.finish(upload).await;
        }
        match why {
            Broken::Off(message) => Err(malformed(&message)),
            Broken::Late => {
                self.app.auditor.metrics().refused(Refused::Deadline);
                let message = "no package arrived in time";
                Err(answers::problem(StatusCode::REQUEST_TIMEOUT, "deadline", message))
            }
        }
    }

    async fn finish(&self, upload: Upload) -> Result<Response, Response> {
        let complete = self.decoder.is_complete();
        let answer = self.work(move |auditor| auditor.finish_upload(&upload, complete)).await?;
        Ok(answers::upload(answer))
    }

    /// Runs work on a blocking thread, under one of the permits that bound all work, within the deadline.
    async fn work<T, F>(&self, work: F) -> Result<T, Response>
    where
        T: Send + 'static,
        F: FnOnce(&Auditor) -> Result<T> + Send + 'static,
    {
        let permit = timeout_at(self.until, Semaphore::acquire_owned(Arc::clone(&self.app.work))).await;
        let Ok(Ok(permit)) = permit else {
            self.app.auditor.metrics().refused(Refused::Busy);
            return Err(answers::busy());
        };
        let auditor = Arc::clone(&self.app.auditor);
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&auditor);
            drop(permit);
            done
        });
        match timeout_at(self.until.max(Instant::now() + Duration::from_secs(1)), done).await {
            Ok(Ok(Ok(done))) => Ok(done),
            Ok(Ok(Err(error))) => Err(answers::fault(&error)),
            Ok(Err(_)) => {
                Err(answers::problem(StatusCode::INTERNAL_SERVER_ERROR, "fault", "the work ended in a panic"))
            }
            Err(_) => {
                self.app.auditor.metrics().refused(Refused::Deadline);
                Err(answers::late())
            }
        }
    }
}

fn malformed(message: &str) -> Response {
    answers::upload(UploadAnswer::Malformed(message.to_owned()))
}

/// Unpacks a body in steps of some 32 KiB, however far the next bytes expand.
enum Unpack {
    Plain,
    Gzip(Box<GzDecoder<Vec<u8>>>),
}

impl Unpack {
    fn of(headers: &HeaderMap) -> Result<Self, String> {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
        let media = text(header::CONTENT_TYPE).unwrap_or_default();
        if !media.eq_ignore_ascii_case(ENTRIES_MEDIA_TYPE) {
            return Err(format!("the content type must be {ENTRIES_MEDIA_TYPE}"));
        }
        match text(header::CONTENT_ENCODING) {
            None | Some("" | "identity") => Ok(Self::Plain),
            Some(name) if name.eq_ignore_ascii_case("gzip") => Ok(Self::Gzip(Box::new(GzDecoder::new(Vec::new())))),
            Some(_) => Err("the content encoding must be gzip, or none".to_owned()),
        }
    }

    /// Takes some of `rest`, and returns what it stands for.
    fn some(&mut self, rest: &mut &[u8]) -> Result<Vec<u8>, String> {
        match self {
            Self::Plain => Ok(std::mem::take(rest).to_vec()),
            Self::Gzip(decoder) => {
                let taken = decoder.write(rest).map_err(|error| format!("the gzip stream: {error}"))?;
                if taken == 0 {
                    return Err("there are bytes after the gzip stream".to_owned());
                }
                *rest = rest.get(taken..).unwrap_or_default();
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }

    /// What was held back for more.
    fn end(&mut self) -> Result<Vec<u8>, String> {
        match self {
            Self::Plain => Ok(Vec::new()),
            Self::Gzip(decoder) => {
                decoder.try_finish().map_err(|error| format!("the gzip stream: {error}"))?;
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    #[test]
    fn a_bomb_is_unpacked_in_small_steps() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        for _ in 0..64 {
            encoder.write_all(&vec![0; 1 << 20]).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 100_000);
        let mut unpack = Unpack::Gzip(Box::new(GzDecoder::new(Vec::new())));
        let (mut total, mut largest) = (0, 0);
        let mut rest = bomb.as_slice();
        while !rest.is_empty() {
            let bytes = unpack.some(&mut rest).unwrap();
            largest = largest.max(bytes.len());
            total += bytes.len();
        }
        let last = unpack.end().unwrap();
        assert_eq!(total + last.len(), 64 << 20);
        assert!(largest.max(last.len()) <= 128 << 10, "{largest} {}", last.len());
    }

    #[test]
    fn what_is_no_gzip_is_an_error() {
        let unpack = || Unpack::Gzip(Box::new(GzDecoder::new(Vec::new())));
        assert!(unpack().some(&mut &b"rubbish, all of it"[..]).is_err());
        let mut cut = unpack();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"some bytes").unwrap();
        let whole = encoder.finish().unwrap();
        let mut rest = &whole[..whole.len() - 3];
        while !rest.is_empty() {
            cut.some(&mut rest).unwrap();
        }
        assert!(cut.end().is_err());
        let mut more = unpack();
        let trailing = [&whole[..], b"more"].concat();
        let mut rest = trailing.as_slice();
        let outcome = loop {
            match more.some(&mut rest) {
                Ok(_) if rest.is_empty() => break Ok(()),
                Ok(_) => {}
                Err(message) => break Err(message),
            }
        };
        assert!(outcome.is_err());
    }
}
