//! `serve`: from the open data folder to the last answer.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use crate::auditor::Auditor;
use crate::client;
use crate::config::Config;
use crate::durable;
use crate::error::AuditorError;
use crate::http::{self, App};

/// How long work that nobody waits for any more may hold up the end of the process.
const LEFT_OVER: Duration = Duration::from_secs(5);

pub(super) fn serve(config: &Config, json: bool) -> anyhow::Result<u8> {
    let tls = acceptor(config)?;
    let auditor = Arc::new(Auditor::open(config)?);
    auditor.start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let finished = runtime.block_on(listen(config, &auditor, tls, json));
    // Blocking work keeps its permit and its box; give it a moment, so that what it stores gets its receipt.
    runtime.shutdown_timeout(LEFT_OVER);
    durable::remove(&client::address_path(&config.data))?;
    auditor.end()?;
    if !finished? {
        eprintln!("some requests did not finish in time; their boxes will send them again");
    }
    Ok(0)
}

/// Reads certificates before anything is opened, so that a wrong one leaves no trace.
fn acceptor(config: &Config) -> anyhow::Result<Option<TlsAcceptor>> {
    Ok(config.tls.as_ref().map(crate::tls::Tls::acceptor).transpose()?)
}

async fn listen(config: &Config, auditor: &Arc<Auditor>, tls: Option<TlsAcceptor>, json: bool) -> anyhow::Result<bool> {
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| AuditorError::Input(format!("[auditor] listen = \"{}\": {error}", config.listen)))?;
    let address = listener.local_addr()?;
    let mut terminate = signal(SignalKind::terminate()).context("catching SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("catching SIGINT")?;
    // For the command line beside us. A stale one does no harm: it is read only while the ledger is locked.
    let path = client::address_path(&config.data);
    let app = App::new(Arc::clone(auditor));
    let here = if tls.is_some() { local_socket(config, app.clone())? } else { local(address).to_string() };
    std::fs::write(&path, here).map_err(|e| AuditorError::io("writing", &path, e))?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    if tls.is_none() && !address.ip().is_loopback() {
        eprintln!(
            "warning: without [tls], anybody on the way reads what boxes send; it is signed, so nobody can change it"
        );
    }
    eprintln!("listening on {scheme}://{address}");
    if json {
        println!("{}", serde_json::json!({ "listening": format!("{scheme}://{address}") }));
    }
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        eprintln!("stopping: finishing the requests in flight");
    };
    Ok(http::serve(listener, tls, app, stop).await)
}

/// Serves the command line beside us where only our own user comes, because the port wants TLS. Returns what
/// [`client`] finds it by. It ends with the runtime.
fn local_socket(config: &Config, app: App) -> anyhow::Result<String> {
    let folder = client::socket_folder(&config.data);
    match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(AuditorError::io("creating", &folder, error).into());
        }
        _ => {}
    }
    let path = folder.join(client::SOCKET);
    durable::remove(&path)?;
    let listener = UnixListener::bind(&path).map_err(|e| AuditorError::io("listening on", &path, e))?;
    tokio::spawn(async move { axum::serve(listener, app.router()).await });
    Ok(client::BY_SOCKET.to_owned())
}

/// The address under which a process on this machine reaches us.
fn local(address: SocketAddr) -> SocketAddr {
    let mut local = address;
    if address.ip().is_unspecified() {
        local.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    local
}
