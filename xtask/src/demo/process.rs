//! The two programs, as commands and as servers.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A binary and the folder to run it in.
pub(super) struct Program {
    binary: PathBuf,
    folder: PathBuf,
}

impl Program {
    pub(super) fn new(binary: &Path, folder: &Path) -> Self {
        Self { binary: binary.to_path_buf(), folder: folder.to_path_buf() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(&self.folder).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs it to its end and returns what it printed.
    pub(super) fn output(&self, arguments: &[&str]) -> Result<String> {
        let output =
            self.command(arguments).output().with_context(|| format!("{} cannot be run", self.binary.display()))?;
        if !output.status.success() {
            let words = arguments.join(" ");
            bail!("{} {words}: {}\n{}", self.binary.display(), output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// A program that serves, stopped when dropped.
pub(super) struct Server {
    child: Child,
    url: String,
    started_in: Duration,
}

impl Server {
    /// Starts it and waits until it says where it listens. What it says afterwards goes to a log file beside its data.
    pub(super) fn start(program: &Program, arguments: &[&str]) -> Result<Self> {
        let started = Instant::now();
        let mut child = program
            .command(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be run", program.binary.display()))?;
        let stderr = child.stderr.take().context("standard error is not piped")?;
        let name = program.binary.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(program.folder.join(format!("{name}.log")))?;
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || copy(stderr, log, &sender));
        match receiver.recv_timeout(Duration::from_secs(60)) {
            Ok(url) => Ok(Self { child, url, started_in: started.elapsed() }),
            Err(_) => {
                let _already_gone = child.kill();
                let _reaped = child.wait();
                bail!("{name} did not start; see {name}.log in {}", program.folder.display())
            }
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn started_in(&self) -> Duration {
        self.started_in
    }

    pub(super) fn port(&self) -> Result<u16> {
        let port = self.url.rsplit(':').next().context("the address has no port")?;
        port.parse().with_context(|| format!("{} has no port", self.url))
    }

    /// SIGTERM, and waits for a clean end.
    pub(super) fn terminate(mut self) -> Result<()> {
        let status = Command::new("kill").arg(self.child.id().to_string()).status().context("kill cannot be run")?;
        if !status.success() {
            bail!("the process {} is not there any more", self.child.id());
        }
        let status = self.child.wait()?;
        if !status.success() {
            bail!("it ended with {status} after SIGTERM");
        }
        Ok(())
    }

    /// SIGKILL: as if the power had gone.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `terminate` and `kill` there is nothing left to kill.
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn copy(stderr: std::process::ChildStderr, mut log: std::fs::File, found: &mpsc::Sender<String>) {
    use std::io::Write;
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if let Some((_, url)) = line.split_once("listening on ") {
            // The other side may have what it wanted already.
            let _first_only = found.send(url.trim().to_owned());
        }
        if writeln!(log, "{line}").is_err() {
            return;
        }
    }
}
