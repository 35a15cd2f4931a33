//! Serving the control socket.

use super::control::{Control, router};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Name of the socket in the data folder.
pub const NAME: &str = "control.sock";

/// The served socket.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    stop: watch::Sender<bool>,
    task: JoinHandle<io::Result<()>>,
}

/// Serves `control` on `<data>/control.sock`, which only this user can open. The ledger's lock has been taken, so a socket
/// that is there already is left over from a crash.
///
/// # Errors
/// The socket cannot be made; above all when its path is longer than the about 100 bytes that the system allows.
pub fn serve(data: &Path, control: Control) -> io::Result<Socket> {
    let path = data.join(NAME);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The data folder may be open to others: take their permissions away before anybody can connect, by making the
    // socket inside of a folder that is ours alone and moving it out.
    let private = data.join("keys").join(NAME);
    drop(std::fs::remove_file(&private));
    let listener = UnixListener::bind(&private).map_err(|error| {
        io::Error::new(error.kind(), format!("{}: {error} (its path may have about 100 bytes)", private.display()))
    })?;
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&private, &path)?;
    let (stop, mut stopped) = watch::channel(false);
    let shutdown = async move {
        // An error means that the sender is gone, which ends the socket too.
        drop(stopped.wait_for(|stop| *stop).await);
    };
    let task =
        tokio::spawn(async move { axum::serve(listener, router(control)).with_graceful_shutdown(shutdown).await });
    Ok(Socket { path, stop, task })
}

impl Socket {
    /// Ends the socket; requests under way get a moment to finish.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(std::time::Duration::from_secs(5), &mut self.task).await.is_err() {
            self.task.abort();
        }
        drop(std::fs::remove_file(&self.path));
    }
}
