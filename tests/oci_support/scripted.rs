//! A registry whose every answer a test decides: for the lies that no real one tells.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What came in.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path with query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What goes out.
pub(crate) enum Reply {
    /// Status, headers, body with its length.
    Whole(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// A body that never ends.
    Endless(Vec<(&'static str, String)>),
    /// These bytes, and then nothing, with the connection left open.
    Silent(Vec<u8>),
    /// These bytes, and the connection is closed.
    Raw(Vec<u8>),
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self::Whole(status, Vec::new(), Vec::new())
    }

    pub(crate) fn of(media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::Whole(200, vec![("content-type", media_type.to_owned())], body.into())
    }

    pub(crate) fn to(location: impl Into<String>) -> Self {
        Self::Whole(307, vec![("location", location.into())], Vec::new())
    }

    pub(crate) fn challenge(words: impl Into<String>) -> Self {
        Self::Whole(401, vec![("www-authenticate", words.into())], Vec::new())
    }
}

/// A server on loopback; its threads end with the test's process.
pub(crate) struct Scripted {
    pub(crate) host: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Scripted {
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (seen.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, answer) = (kept.clone(), answer.clone());
                // A client that has heard enough hangs up; that is none of the server's business.
                std::thread::spawn(move || drop(serve(stream, &kept, &*answer)));
            }
        });
        Self { host, seen }
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn name(&self, rest: &str) -> String {
        format!("oci://{}/{rest}", self.host)
    }
}

fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Request>>,
    answer: &(dyn Fn(&Request) -> Reply + Send + Sync),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().unwrap_or("").to_owned(), words.next().unwrap_or("").to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let request = Request { method, path, headers, body };
        seen.lock().unwrap().push(request.clone());
        let head = |status: u16, headers: &[(&str, String)], length: Option<usize>| {
            let mut head = format!("HTTP/1.1 {status} Status\r\n");
            headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
            length.iter().for_each(|length| head += &format!("content-length: {length}\r\n"));
            head + "\r\n"
        };
        match answer(&request) {
            Reply::Whole(status, headers, body) => {
                stream.write_all(head(status, &headers, Some(body.len())).as_bytes())?;
                if request.method != "HEAD" {
                    stream.write_all(&body)?;
                }
            }
            Reply::Endless(headers) => {
                stream.write_all(head(200, &headers, None).as_bytes())?;
                loop {
                    stream.write_all(&[b' '; 65_536])?;
                }
            }
            Reply::Silent(bytes) => {
                stream.write_all(&bytes)?;
                // Until the other side has had enough.
                return std::io::copy(&mut reader, &mut std::io::sink()).map(drop);
            }
            Reply::Raw(bytes) => return stream.write_all(&bytes),
        }
    }
}
