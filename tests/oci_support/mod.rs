//! Registries for tests: a real one, and one that answers as a test tells it to.

#![allow(dead_code, reason = "each test binary uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

pub(crate) mod honest;
pub(crate) mod scripted;

use crate::support::{Place, guard, wait_for};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// bcrypt of `correct horse`, as an htpasswd file has it for the user `box`.
const HTPASSWD: &str = "box:$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n";
pub(crate) const PASSWORD: &str = "correct horse";

/// How a registry is set up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Open,
    /// It wants the user `box` with [`PASSWORD`].
    Basic,
}

/// Debian's `docker-registry` on a free port of loopback, with a folder of its own.
pub(crate) struct Registry {
    program: PathBuf,
    child: Option<Child>,
    folder: TempDir,
    pub(crate) host: String,
}

impl Registry {
    /// Starts one; `None`, and a word on standard error, where there is none. `PICKET_REGISTRY` names the program and
    /// makes it a duty.
    pub(crate) fn start(kind: Kind) -> Option<Self> {
        Self::with(kind, None)
    }

    /// The same with TLS: certificate and key in PEM.
    pub(crate) fn with(kind: Kind, tls: Option<(&Path, &Path)>) -> Option<Self> {
        let named = std::env::var_os("PICKET_REGISTRY").map(PathBuf::from);
        let program = named.clone().unwrap_or_else(|| PathBuf::from("docker-registry"));
        let there = Command::new(&program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !there.is_ok_and(|status| status.success()) {
            assert!(named.is_none(), "{} does not run", program.display());
            eprintln!("SKIPPED: there is no docker-registry here");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("127.0.0.1:{port}");
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {host}\n",
            path("storage")
        );
        if let Some((certificate, key)) = tls {
            config += &format!("  tls:\n    certificate: {}\n    key: {}\n", certificate.display(), key.display());
        }
        if kind == Kind::Basic {
            std::fs::write(path("htpasswd"), HTPASSWD).unwrap();
            config += &format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", path("htpasswd"));
        }
        std::fs::write(path("config.yml"), config).unwrap();
        let mut registry = Self { program, child: None, folder, host };
        registry.resume();
        Some(registry)
    }

    /// Starts it again, with what it holds.
    pub(crate) fn resume(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let mut command = Command::new(&self.program);
        let command = command.arg("serve").arg(self.folder.path().join("config.yml"));
        let mut child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        wait_for("the registry listens", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", std::fs::read_to_string(self.folder.path().join("log")).unwrap());
            TcpStream::connect(&self.host).ok()
        });
        self.child = Some(child);
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The file in which it keeps a blob or manifest.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blobs = self.folder.path().join("storage/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// A reference to something in it.
    pub(crate) fn name(&self, rest: &str) -> String {
        format!("oci://{}/{rest}", self.host)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A folder with the guard `pii` in it, and a configuration that lets anybody's guards in.
pub(crate) fn place() -> Place {
    let place = Place::new("", "");
    std::fs::copy(guard("pii"), place.path("pii.wasm")).unwrap();
    place
}

/// Pushes a file; the pinned reference.
#[track_caller]
pub(crate) fn push(place: &Place, reference: &str, file: &str) -> String {
    let pushed = place.picket(&["--json", "guard", "push", reference, file, "--insecure"]).expect(0).json().remove(0);
    pushed["reference"].as_str().unwrap().to_owned()
}

pub(crate) fn digest(pinned: &str) -> &str {
    pinned.split_once('@').unwrap().1
}

pub(crate) fn sha256(path: &Path) -> String {
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(std::fs::read(path).unwrap());
    hash.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// `[registry]` and a guard that is `component`.
pub(crate) fn configured(registry: &Registry, component: &str) -> String {
    let host = &registry.host;
    format!(
        "[registry.\"{host}\"]\ninsecure = true\ntimeout = \"5s\"\n\n[[guard]]\nname = \"pii\"\ncomponent = \"{component}\"\n\
         deadline = \"5s\"\n"
    )
}

/// What the registry serves, as any other tool would ask for it.
pub(crate) fn get(registry: &Registry, path: &str, accept: &str) -> Vec<u8> {
    let request = ureq::get(format!("http://{}/v2/{path}", registry.host)).header("accept", accept);
    request.call().unwrap().body_mut().read_to_vec().unwrap()
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
