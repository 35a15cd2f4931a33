//! The body of an upload: packages read from the ledger, proven and packed while the link takes them.
//!
//! A thread that may block makes the pieces, one ahead of the link. In memory are one package, what gzip holds back, and
//! two pieces.

use std::io::Write as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Body, Frame};
use picket_ledger::mirror::{Header, MAX_REQUEST_PACKAGES, package_end};
use tokio::sync::mpsc;

use super::{Outbox, OutboxError};

/// Bytes of a piece: small enough that a slow link shows progress with each.
pub(super) const PIECE_BYTES: usize = 16 << 10;

/// A body that makes itself.
pub(super) struct Packer {
    pieces: mpsc::Receiver<Result<Bytes, Broken>>,
    sent: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<OutboxError>>>,
}

/// The ledger could not be read. Which way, is in [`Packer::failure`].
#[derive(Debug, thiserror::Error)]
#[error("the outbox cannot be read")]
pub(super) struct Broken;

impl Packer {
    /// Starts to make the body of the upload that `header` names, of [`MAX_REQUEST_PACKAGES`] packages at most.
    pub(super) fn start(outbox: Outbox, header: Header, compress: bool) -> Self {
        let (sender, pieces) = mpsc::channel(1);
        let failure = Arc::new(Mutex::new(None));
        let told = failure.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = make(&outbox, &header, compress, &sender) {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                // Nobody listens any more, or the request breaks off.
                let _told = sender.blocking_send(Err(Broken));
            }
        });
        Self { pieces, sent: Arc::default(), failure }
    }

    /// Bytes that the link has taken.
    pub(super) fn sent(&self) -> Arc<AtomicU64> {
        self.sent.clone()
    }

    pub(super) fn failure(&self) -> Arc<Mutex<Option<OutboxError>>> {
        self.failure.clone()
    }
}

impl Body for Packer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.pieces.poll_recv(context).map(|piece| {
            let piece = piece?;
            if let Ok(bytes) = &piece {
                self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            Some(piece.map(Frame::data))
        })
    }
}

type Sender = mpsc::Sender<Result<Bytes, Broken>>;

fn make(outbox: &Outbox, header: &Header, compress: bool, sender: &Sender) -> Result<(), OutboxError> {
    let unsendable = |source| OutboxError::Package { first: header.start, source };
    let mut pack = Pack::new(compress);
    let mut bytes = Vec::new();
    header.encode(&mut bytes).map_err(unsendable)?;
    let mut next = header.start;
    for _ in 0..MAX_REQUEST_PACKAGES {
        if next >= header.end {
            break;
        }
        let end = package_end(next, header.end);
        let package = outbox.package(next..end, header.end)?;
        package.encode(&mut bytes).map_err(unsendable)?;
        // Each package leaves whole, so that the auditor can take it before the next one is made.
        if !send(sender, &pack.take(&bytes)) {
            return Ok(());
        }
        bytes.clear();
        next = end;
    }
    let mut rest = pack.take(&bytes);
    rest.extend(pack.end());
    send(sender, &rest);
    Ok(())
}

/// False once nobody listens.
fn send(sender: &Sender, bytes: &[u8]) -> bool {
    bytes.chunks(PIECE_BYTES).all(|piece| sender.blocking_send(Ok(Bytes::copy_from_slice(piece))).is_ok())
}

enum Pack {
    Plain,
    Gzip(GzEncoder<Vec<u8>>),
}

impl Pack {
    fn new(compress: bool) -> Self {
        if compress { Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast())) } else { Self::Plain }
    }

    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => bytes.to_vec(),
            Self::Gzip(encoder) => {
                // Writing into memory does not fail.
                let _written = encoder.write_all(bytes).and_then(|()| encoder.flush());
                std::mem::take(encoder.get_mut())
            }
        }
    }

    fn end(self) -> Vec<u8> {
        match self {
            Self::Plain => Vec::new(),
            Self::Gzip(encoder) => encoder.finish().unwrap_or_default(),
        }
    }
}
