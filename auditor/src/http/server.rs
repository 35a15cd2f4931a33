//! The accept loop: bounded connections, a deadline for headers, and an orderly end.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::App;

/// The time that a client has for the header of a request, which is also how long an idle connection stays open.
const HEADER_DEADLINE: Duration = Duration::from_secs(30);

/// The time that a client has for the handshake of TLS.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Of handshakes that fail, one in this time is told: a port scan must not fill the log.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// How long the shutdown waits beyond the longest deadline that a request in flight may have.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(2);

/// Accepts until `stop` completes, then lets the requests in flight finish. Returns whether all of them did. With `tls`,
/// a connection that does not shake hands gets nothing at all.
pub async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, app: App, stop: impl Future<Output = ()>) -> bool {
    let connections = Arc::new(Semaphore::new(app.limits().connections));
    let deadline = app.limits().deadline;
    let closing = Arc::clone(&app.closing);
    let router = app.router();
    let open = GracefulShutdown::new();
    let complaints = Arc::new(Mutex::new(None));
    let mut stop = std::pin::pin!(stop);
    loop {
        // The permit comes before the connection: beyond the limit, clients wait in the listen queue of the system.
        let permit = tokio::select! {
            permit = Arc::clone(&connections).acquire_owned() => permit.expect("this semaphore is never closed"),
            () = &mut stop => break,
        };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
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
        let watcher = open.watcher();
        let (tls, complaints) = (tls.clone(), Arc::clone(&complaints));
        tokio::spawn(async move {
            // An error of a connection is the client's: it went away or sent no HTTP. There is nobody to tell.
            match tls {
                None => drop(watcher.watch(connection(stream, service)).await),
                Some(tls) => match handshake(&tls, stream).await {
                    Ok(stream) => drop(watcher.watch(connection(stream, service)).await),
                    Err(error) => complain(&complaints, peer, &error),
                },
            }
            drop(permit);
        });
    }
    closing.store(true, Ordering::Relaxed);
    drop(listener);
    tokio::time::timeout(deadline + SHUTDOWN_MARGIN, open.shutdown()).await.is_ok()
}

type Connection<S> = http1::Connection<TokioIo<S>, TowerToHyperService<Router>>;

fn connection<S>(stream: S, service: TowerToHyperService<Router>) -> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        // A client that has sent all may close its half; it still waits for the receipt.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
}

async fn handshake(tls: &TlsAcceptor, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "the handshake took too long");
    tokio::time::timeout(HANDSHAKE_DEADLINE, tls.accept(stream)).await.map_err(|_| late())?
}

fn complain(last: &Mutex<Option<Instant>>, peer: SocketAddr, error: &std::io::Error) {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
        eprintln!("TLS with {peer}: {error}");
        *last = Some(Instant::now());
    }
}
