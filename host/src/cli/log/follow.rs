//! `picket log --follow`: what the running service writes, as soon as it is durable.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};

use super::{Args, BadInput, Printer, existing};
use crate::evidence::{Evidence, Selection};

/// Pause between two questions.
const EVERY: Duration = Duration::from_millis(200);

/// How long the main thread may take to end. It may wait for a reader who does not read.
const GRACE: Duration = Duration::from_secs(1);

pub(super) fn run(evidence: &Evidence, query: Selection, args: &Args, printer: &mut Printer) -> anyhow::Result<()> {
    if !evidence.through_service() {
        let message = "no service runs here: --follow prints what a running service writes. \
                       Start `picket run`, or leave --follow out";
        return Err(BadInput(message.into()).into());
    }
    let (end, ended) = channel();
    std::thread::Builder::new().name("end".into()).spawn(move || wait_for_the_end(end))?;
    let size = evidence.head()?.size;
    let mut before = query.clone();
    before.indexes.end = size;
    existing(evidence, before, args, printer)?;
    let mut next = size.max(query.indexes.start);
    loop {
        printer.lines.flush()?;
        if has_ended(&ended) {
            return Ok(());
        }
        let mut fresh = query.clone();
        fresh.indexes.start = next;
        let mut hits = evidence.select(fresh, usize::MAX);
        for hit in &mut hits {
            printer.print(&hit?)?;
        }
        // Where the ledger ended for this question the next one begins.
        next = next.max(hits.rest().start);
    }
}

fn has_ended(ended: &Receiver<()>) -> bool {
    !matches!(ended.recv_timeout(EVERY), Err(RecvTimeoutError::Timeout))
}

/// Waits until the user has had enough, or whoever reads the output has.
fn wait_for_the_end(end: Sender<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let waited = runtime.and_then(|runtime| {
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = output_closed() => {}
            }
            Ok(())
        })
    });
    if let Err(error) = waited {
        tracing::warn!(%error, "signals are not noticed");
    }
    drop(end);
    std::thread::sleep(GRACE);
    std::process::exit(0);
}

/// Ends when standard output is a pipe or socket that nobody reads any more. For a file this never ends.
#[allow(deprecated, reason = "what is deprecated is to close the descriptor meanwhile; standard output stays open")]
async fn output_closed() {
    match AsyncFd::with_interest(std::io::stdout(), Interest::ERROR) {
        Ok(output) => drop(output.ready(Interest::ERROR).await),
        Err(_) => std::future::pending().await,
    }
}
