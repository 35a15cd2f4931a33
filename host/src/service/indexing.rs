//! The thread that brings the index beside the ledger up to date.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use picket_store::Reader;
use picket_store::lookup::Lookup;

/// Pause between two pieces of work.
const EVERY: Duration = Duration::from_secs(1);

pub(super) struct Indexing {
    stop: crossbeam_channel::Sender<()>,
    thread: JoinHandle<()>,
    lookup: Arc<Lookup>,
}

impl Indexing {
    pub(super) fn start(reader: Reader, folder: &Path) -> std::io::Result<Self> {
        let lookup = Arc::new(Lookup::open(reader, folder));
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let index = Arc::clone(&lookup);
        let work = move || {
            let mut failed = false;
            // First the pause: a start is busy with other things, and an answer is right without the index too.
            while matches!(stopped.recv_timeout(EVERY), Err(RecvTimeoutError::Timeout)) {
                // One run at a time, of 65,536 entries at most, so that judging and stopping never wait for long.
                match index.catch_up(|_| false) {
                    Ok(()) => failed = false,
                    Err(error) if !failed => {
                        failed = true;
                        tracing::warn!(%error, "the index beside the ledger is not up to date; searches take longer");
                    }
                    Err(_) => (),
                }
            }
        };
        let thread = std::thread::Builder::new().name("indexing".into()).spawn(work)?;
        Ok(Self { stop, thread, lookup })
    }

    pub(super) fn lookup(&self) -> Arc<Lookup> {
        Arc::clone(&self.lookup)
    }

    /// Waits for the run under way and ends.
    pub(super) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the indexing thread panicked");
        }
    }
}
