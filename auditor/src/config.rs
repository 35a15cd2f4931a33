//! `auditor.toml`: raw text in, checked settings out.
//!
//! Every key is documented on the field that holds it. Unknown keys are refused, with the line, because a limit that is
//! misspelt is a limit that does not hold. Relative paths are relative to the folder of the configuration file.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::error::{AuditorError, Result};
use crate::origin::Origin;
use crate::tls::Tls;

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[auditor] id`: the auditor's name, 1 to 64 letters, digits, `.`, `_`, `-`. It is the name of the signing key,
    /// and boxes pin both, so changing it makes every box refuse the receipts. Required.
    pub id: Origin,
    /// `[auditor] listen`: `address:port` to listen on; port 0 takes a free one. Default `127.0.0.1:7400`. Without
    /// `[tls]` evidence is signed all the same, but anybody who reaches the port can read answers, and anybody on the way
    /// what boxes send.
    pub listen: SocketAddr,
    /// `[auditor] data`: the folder of evidence, receipts, incidents, own ledger and index. Created when missing.
    /// Default `data`.
    pub data: PathBuf,
    /// `[auditor] key`: the file of the signing key, made by `picket-auditor keygen`; its mode must be 0600 or
    /// stricter. Default `auditor.key`.
    pub key: PathBuf,
    /// `[tls]`: serve TLS instead of plain HTTP. Its files are read when the server starts. Default: plain HTTP.
    pub tls: Option<Tls>,
    /// `[limits]`.
    pub limits: Limits,
}

/// `[limits]`: how much one client, or all of them, can make the auditor spend.
#[derive(Debug, Clone)]
pub struct Limits {
    /// `segment`: the longest request body, in bytes or with `KiB`/`MiB`. Default and most `16MiB`, the longest that a
    /// segment can be. Longer requests are answered with 413.
    pub segment: usize,
    /// `uploads`: uploads under way at once, 1 to 4096. Default 64. More are answered with 503 and `Retry-After`. Each
    /// holds one package of at most 256 entries in memory, and of at most `segment` bytes.
    pub uploads: usize,
    /// `requests`: requests worked on at once, 1 to 1024. Default 16. More are answered with 503 and `Retry-After`.
    /// Memory is bounded by about three times `requests` × `segment`.
    pub requests: usize,
    /// `connections`: open connections at once, 1 to 65536. Default 512. More wait in the listen queue.
    pub connections: usize,
    /// `deadline`: the time a request may take from its first header byte to the answer, `ms`, `s` or `m`; 100 ms to
    /// 1 h. Default `30s`. A body that arrives slower is answered with 408.
    pub deadline: Duration,
    /// `verify_deadline`: the same for `/v1/verify`, which re-reads all evidence. Default `10m`.
    pub verify_deadline: Duration,
    /// `incidents`: incidents kept per box, 1 to 100000. Default 256. Later ones are refused like the first ones but
    /// leave no file, so that a hostile box cannot fill the disk.
    pub incidents: usize,
    /// `matches`: decisions answered for one id by `trace`, 1 to 10000. Default 100; the answer says when it was cut.
    pub matches: usize,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`AuditorError::Config`] naming the file and, where there is one, the line.
    pub fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|error| AuditorError::Config {
            path: path.to_path_buf(),
            message: format!("cannot be read: {error}"),
        })?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self::parse(&text, folder).map_err(|message| AuditorError::Config { path: path.to_path_buf(), message })
    }

    /// Checks the text of a configuration; `folder` is what relative paths are relative to.
    ///
    /// # Errors
    /// A message that names the line, or the key and the range it must be in.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let raw: Raw = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let id = Origin::parse(&raw.auditor.id).map_err(|error| format!("[auditor] id: {error}"))?;
        let listen = raw.auditor.listen.as_deref().unwrap_or("127.0.0.1:7400");
        let listen = listen.parse().map_err(|_| {
            format!("[auditor] listen = {listen:?}: not an address with a port, as in \"127.0.0.1:7400\"")
        })?;
        Ok(Self {
            id,
            listen,
            data: folder.join(raw.auditor.data.unwrap_or_else(|| "data".into())),
            key: folder.join(raw.auditor.key.unwrap_or_else(|| "auditor.key".into())),
            tls: raw.tls.map(|tls| Tls {
                certificate: folder.join(tls.certificate),
                key: folder.join(tls.key),
                client_ca: tls.client_ca.map(|path| folder.join(path)),
            }),
            limits: Limits::check(raw.limits.unwrap_or_default())?,
        })
    }
}

impl Limits {
    fn check(raw: RawLimits) -> Result<Self, String> {
        let most = picket_ledger::segment::MAX_SEGMENT_BYTES;
        let segment = match raw.segment {
            None => most,
            Some(text) => bytes(&text).map_err(|message| format!("[limits] segment: {message}"))?,
        };
        Ok(Self {
            segment: within("segment", segment, 1024, most)?,
            uploads: within("uploads", raw.uploads.unwrap_or(64), 1, 4096)?,
            requests: within("requests", raw.requests.unwrap_or(16), 1, 1024)?,
            connections: within("connections", raw.connections.unwrap_or(512), 1, 65_536)?,
            deadline: deadline("deadline", raw.deadline.as_deref().unwrap_or("30s"))?,
            verify_deadline: deadline("verify_deadline", raw.verify_deadline.as_deref().unwrap_or("10m"))?,
            incidents: within("incidents", raw.incidents.unwrap_or(256), 1, 100_000)?,
            matches: within("matches", raw.matches.unwrap_or(100), 1, 10_000)?,
        })
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::check(RawLimits::default()).expect("the defaults are within their own ranges")
    }
}

fn within(key: &str, value: usize, least: usize, most: usize) -> Result<usize, String> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(format!("[limits] {key} = {value}: must be from {least} to {most}"))
    }
}

fn deadline(key: &str, text: &str) -> Result<Duration, String> {
    let value = duration(text).map_err(|message| format!("[limits] {key}: {message}"))?;
    if (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&value) {
        Ok(value)
    } else {
        Err(format!("[limits] {key} = {text:?}: must be from 100ms to 60m"))
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

fn bytes(text: &str) -> Result<usize, String> {
    let wrong = || format!("{text:?} is not a size, as in \"16MiB\", \"512KiB\" or \"4096B\"");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).and_then(|n| usize::try_from(n).ok()).ok_or_else(wrong)
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration, as in \"500ms\", \"30s\" or \"10m\"");
    match number_and_unit(text).ok_or_else(wrong)? {
        (number, "ms") => Ok(Duration::from_millis(number)),
        (number, "s") => Ok(Duration::from_secs(number)),
        (number, "m") => number.checked_mul(60).map(Duration::from_secs).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    auditor: RawAuditor,
    limits: Option<RawLimits>,
    tls: Option<RawTls>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAuditor {
    id: String,
    listen: Option<String>,
    data: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    segment: Option<String>,
    uploads: Option<usize>,
    requests: Option<usize>,
    connections: Option<usize>,
    deadline: Option<String>,
    verify_deadline: Option<String>,
    incidents: Option<usize>,
    matches: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("/srv"))
    }

    #[test]
    fn the_least_configuration_has_the_documented_defaults() {
        let config = parse("[auditor]\nid = \"auditor-1\"\n").expect("parses");
        assert_eq!(config.listen.to_string(), "127.0.0.1:7400");
        assert_eq!(config.data, Path::new("/srv/data"));
        assert_eq!(config.key, Path::new("/srv/auditor.key"));
        assert_eq!(config.limits.segment, 16 << 20);
        assert!(config.tls.is_none());
        assert_eq!(config.limits.deadline, Duration::from_secs(30));
    }

    #[test]
    fn unknown_keys_are_named_with_their_line() {
        let message = parse("[auditor]\nid = \"a\"\nlissten = \"x\"\n").unwrap_err();
        assert!(message.contains("line 3") && message.contains("lissten"), "{message}");
        let message = parse("[auditor]\nid = \"a\"\n[limits]\nrequest = 1\n").unwrap_err();
        assert!(message.contains("line 4") && message.contains("request"), "{message}");
    }

    #[test]
    fn tls_needs_certificate_and_key() {
        let config =
            parse("[auditor]\nid = \"a\"\n[tls]\ncertificate = \"c.pem\"\nkey = \"/k.pem\"\n").expect("parses");
        let tls = config.tls.expect("is there");
        assert_eq!((tls.certificate, tls.key, tls.client_ca), ("/srv/c.pem".into(), "/k.pem".into(), None));
        let message = parse("[auditor]\nid = \"a\"\n[tls]\ncertificate = \"c.pem\"\n").unwrap_err();
        assert!(message.contains("line 3") && message.contains("key"), "{message}");
    }

    #[test]
    fn each_value_is_checked() {
        for (line, word) in [
            ("[limits]\nsegment = \"17MiB\"", "segment"),
            ("[limits]\nsegment = \"99999999999999999999MiB\"", "segment"),
            ("[limits]\nuploads = 0", "uploads"),
            ("[limits]\nrequests = 0", "requests"),
            ("[limits]\nconnections = 70000", "connections"),
            ("[limits]\ndeadline = \"1ms\"", "deadline"),
            ("[limits]\ndeadline = \"soon\"", "deadline"),
            ("[limits]\nverify_deadline = \"2h\"", "verify_deadline"),
            ("[limits]\nincidents = 0", "incidents"),
            ("[limits]\nmatches = 0", "matches"),
        ] {
            let message = parse(&format!("[auditor]\nid = \"a\"\n{line}\n")).unwrap_err();
            assert!(message.contains(word), "{line}: {message}");
        }
        assert!(parse("[auditor]\nid = \"../a\"\n").unwrap_err().contains("id"));
        assert!(parse("[auditor]\nid = \"a\"\nlisten = \"localhost\"\n").unwrap_err().contains("listen"));
    }
}
