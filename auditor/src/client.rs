//! Asking a running auditor, because its ledger and index belong to one process at a time.
//!
//! `serve` leaves its address in the data folder. A GET with `Connection: close` over loopback is all that is needed,
//! so there is no HTTP library here.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::durable;
use crate::error::{AuditorError, Result};

/// The longest answer that is read: a `verify` of very many boxes.
const MAX_ANSWER_BYTES: u64 = 256 << 20;

/// Where the address of the running auditor is kept.
pub fn address_path(data: &Path) -> PathBuf {
    data.join("serving")
}

/// What stands there instead of an address when the port wants TLS: the server is asked over its socket.
pub const BY_SOCKET: &str = "socket";

/// Name of that socket in its folder, which only the server's user can enter.
pub const SOCKET: &str = "sock";

/// The folder of that socket.
pub fn socket_folder(data: &Path) -> PathBuf {
    data.join("local")
}

/// Asks the auditor that serves `data` for `path` (percent-encoded, starts with `/`); the body of its answer.
///
/// # Errors
/// [`AuditorError::Remote`] when nobody answers, or with anything else than 200; the message of the answer is kept.
pub fn get(data: &Path, path: &str, deadline: Duration) -> Result<String> {
    let held = durable::read(&address_path(data))?.unwrap_or_default();
    let address = String::from_utf8_lossy(&held).trim().to_owned();
    let remote = |message: String| AuditorError::Remote { address: address.clone(), message };
    if address.is_empty() {
        return Err(remote("another process holds the data folder, and it is no server".into()));
    }
    let answer = exchange(data, &address, path, deadline).map_err(|error| remote(error.to_string()))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| remote("the answer has no header".into()))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status == "200" { Ok(body.to_owned()) } else { Err(remote(format!("{status}: {}", body.trim()))) }
}

fn exchange(data: &Path, address: &str, path: &str, deadline: Duration) -> std::io::Result<String> {
    if address == BY_SOCKET {
        let stream = UnixStream::connect(socket_folder(data).join(SOCKET))?;
        stream.set_read_timeout(Some(deadline))?;
        stream.set_write_timeout(Some(deadline))?;
        return ask(stream, "localhost", path);
    }
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(deadline))?;
    stream.set_write_timeout(Some(deadline))?;
    ask(stream, address, path)
}

fn ask(mut stream: impl Read + Write, address: &str, path: &str) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Percent-encodes an id for one path of a URL.
pub fn encode(id: &str) -> String {
    let mut out = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_a_url() {
        assert_eq!(encode("a-1_b.c~d"), "a-1_b.c~d");
        assert_eq!(encode("a/b?c#d é"), "a%2Fb%3Fc%23d%20%C3%A9");
    }
}
