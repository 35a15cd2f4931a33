//! `serve`: from the open data folder to the last answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::auditor::Auditor;
use crate::client;
use crate::config::Config;
use crate::durable;
use crate::error::AuditorError;
use crate::http::{self, App};

/// How long work that nobody waits for any more may hold up the end of the process.
const LEFT_OVER: Duration = Duration::from_secs(5);

pub(super) fn serve(config: &Config, json: bool) -> anyhow::Result<u8> {
    let auditor = Arc::new(Auditor::open(config)?);
    auditor.start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let finished = runtime.block_on(listen(config, &auditor, json));
    // Blocking work keeps its permit and its box; give it a moment, so that what it stores gets its receipt.
    runtime.shutdown_timeout(LEFT_OVER);
    durable::remove(&client::address_path(&config.data))?;
    auditor.end()?;
    if !finished? {
        eprintln!("some requests did not finish in time; their boxes will send them again");
    }
    Ok(0)
}

async fn listen(config: &Config, auditor: &Arc<Auditor>, json: bool) -> anyhow::Result<bool> {
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| AuditorError::Input(format!("[auditor] listen = \"{}\": {error}", config.listen)))?;
    let address = listener.local_addr()?;
    let mut terminate = signal(SignalKind::terminate()).context("catching SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("catching SIGINT")?;
    // For the command line beside us. A stale one does no harm: it is read only while the ledger is locked.
    let path = client::address_path(&config.data);
    std::fs::write(&path, local(address).to_string()).map_err(|e| AuditorError::io("writing", &path, e))?;
    eprintln!("listening on http://{address}");
    if json {
        println!("{}", serde_json::json!({ "listening": format!("http://{address}") }));
    }
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        eprintln!("stopping: finishing the requests in flight");
    };
    Ok(http::serve(listener, App::new(Arc::clone(auditor)), stop).await)
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
