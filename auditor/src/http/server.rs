//! The accept loop: bounded connections, a deadline for headers, and an orderly end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::App;

/// The time that a client has for the header of a request, which is also how long an idle connection stays open.
const HEADER_DEADLINE: Duration = Duration::from_secs(30);

/// How long the shutdown waits beyond the longest deadline that a request in flight may have.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(2);

/// Accepts until `stop` completes, then lets the requests in flight finish. Returns whether all of them did.
pub async fn serve(listener: TcpListener, app: App, stop: impl Future<Output = ()>) -> bool {
    let connections = Arc::new(Semaphore::new(app.limits().connections));
    let deadline = app.limits().deadline;
    let closing = Arc::clone(&app.closing);
    let router = app.router();
    let open = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        // The permit comes before the connection: beyond the limit, clients wait in the listen queue of the system.
        let permit = tokio::select! {
            permit = Arc::clone(&connections).acquire_owned() => permit.expect("this semaphore is never closed"),
            () = &mut stop => break,
        };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, mostly: wait for some to come back instead of spinning.
                    eprintln!("accepting a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        // Answers are written in one piece; waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_DEADLINE)
            // A client that has sent all may close its half; it still waits for the receipt.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        let connection = open.watch(connection);
        tokio::spawn(async move {
            // An error here is the client's: it went away or sent no HTTP. There is nobody to tell.
            let _ = connection.await;
            drop(permit);
        });
    }
    closing.store(true, Ordering::Relaxed);
    drop(listener);
    tokio::time::timeout(deadline + SHUTDOWN_MARGIN, open.shutdown()).await.is_ok()
}
