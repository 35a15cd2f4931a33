//! `picket run`: the service.

use super::{Answer, Exit, GuardsArgs};
use crate::config::Config;
use crate::gateway::control::Control;
use crate::gateway::{Gateway, socket};
use crate::service::{Recording, Reloader, Service};
use crate::sync::{Client, ClientOptions, CutLimits, SyncHandle, Task, TaskOptions, Uplink};
use anyhow::Context as _;
use picket_ledger::entry::Drift;
use picket_ledger::receipt::CosignerKey;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Longest that requests in flight may take to finish once the service has been told to stop.
const GRACE: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: GuardsArgs,
}

pub(super) fn run(args: &Args) -> Answer {
    let config = args.config.load()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the async runtime does not start")?;
    // The address first: a port that is taken should not cost a start of the ledger.
    let listener = runtime
        .block_on(TcpListener::bind(config.edge.listen))
        .with_context(|| format!("edge.listen: cannot listen on {}", config.edge.listen))?;
    let service = Service::start(&config, Recording::Ledger, Box::new(tell))?;
    if args.config.allow_unsigned {
        service.reloader.allow_unsigned();
    }
    report_opening(&service);
    let served = runtime.block_on(serve(&config, &service, listener));
    // Connections that did not end in time end here; what they handed over is still judged and recorded below.
    runtime.shutdown_timeout(Duration::from_secs(1));
    service.stop();
    eprintln!("stopped");
    served.map(|()| Exit::Done)
}

async fn serve(config: &Config, service: &Service, listener: TcpListener) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hangup = signal(SignalKind::hangup())?;
    let sync = start_sync(config, service)?;
    let address = listener.local_addr()?;
    let gateway = Gateway::new(service.edge.clone(), service.workers.clone(), config.edge.max_inference, sync.clone());
    let sequencer = service.edge.sequencer().cloned().context("the service has no ledger")?;
    let lookup = service.lookup().context("the service has no ledger")?;
    let (edge, reloader) = (service.edge.clone(), service.reloader.clone());
    let control = Control { sequencer, lookup, edge, reloader, sync: sync.clone() };
    let control = socket::serve(&config.edge.data, control).context("the control socket")?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let router = gateway.clone().router();
    let shutdown = async move {
        let mut stopped = stopped;
        // The sender outlives the server; if not, stopping is right too.
        drop(stopped.wait_for(|stop| *stop).await);
    };
    let mut server = tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(shutdown).await });
    let reloads = tokio::spawn(reload_on(hangup, service.reloader.clone()));
    gateway.set_ready(true);
    eprintln!("listening on http://{address}");
    tokio::select! {
        () = either(&mut terminate, &mut interrupt) => {}
        ended = &mut server => ended??,
    }
    eprintln!("stopping: no new inferences, those under way are finished");
    gateway.set_ready(false);
    reloads.abort();
    stop.send_replace(true);
    if !server.is_finished() && tokio::time::timeout(GRACE, &mut server).await.is_err() {
        tracing::warn!("some connections did not end in time and are cut");
        server.abort();
    }
    control.stop().await;
    if let Some(sync) = sync {
        sync.stop();
    }
    Ok(())
}

/// Each SIGHUP reads the configuration anew. How it went is logged, and refusals are entries.
async fn reload_on(mut hangup: Signal, reloader: Arc<Reloader>) {
    while hangup.recv().await.is_some() {
        let reloader = reloader.clone();
        drop(tokio::task::spawn_blocking(move || drop(reloader.reload(None))).await);
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn start_sync(config: &Config, service: &Service) -> anyhow::Result<Option<SyncHandle>> {
    let (Some(auditor), Some(sequencer)) = (&config.auditor, service.edge.sequencer()) else {
        return Ok(None);
    };
    let client = Client::new(&ClientOptions::from(auditor))?;
    let cosigner = CosignerKey::parse(&auditor.key).context("auditor.key")?;
    let uplink = Uplink::new(
        sequencer.reader(),
        Arc::new(sequencer.clone()),
        client,
        sequencer.keyring(),
        cosigner,
        CutLimits::default(),
    )?;
    let (handle, _task) = Task::start(uplink, TaskOptions::every(auditor.every), sequencer.signed());
    Ok(Some(handle))
}

fn report_opening(service: &Service) {
    let Some(opening) = &service.opening else { return };
    for repair in &opening.repaired {
        tracing::warn!(repair, "the ledger was mended");
    }
    if !opening.fresh && !opening.clean {
        tracing::warn!(
            entries = opening.size,
            "the last run did not end cleanly; the ledger goes on from its last commit"
        );
    }
}

fn tell(drift: &Drift, entry: u64) {
    let state = if drift.opened { "drift" } else { "drift over" };
    tracing::warn!(entry, model = drift.model, stream = drift.stream, rule = drift.rule, "{state}: {}", drift.message);
}
