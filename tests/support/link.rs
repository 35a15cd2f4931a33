//! A link that does to HTTP requests what bad links do, by a seed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Random;

/// Which faults happen; one request in three has one.
pub(crate) struct Faults {
    random: Random,
    /// Requests that were seen, to be delivered again later.
    old: Vec<Vec<u8>>,
}

impl Faults {
    pub(crate) fn all(seed: u64) -> Self {
        Self { random: Random(seed), old: Vec::new() }
    }
}

pub(crate) struct Link {
    address: SocketAddr,
    target: Arc<Mutex<String>>,
    count: Arc<AtomicU64>,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    /// The request never arrives.
    Lose,
    /// Its beginning does.
    CutRequest,
    /// It arrives, and the answer does not.
    LoseAnswer,
    CutAnswer,
    /// It arrives twice, one behind the other; the second answer returns.
    Twice,
    /// It arrives twice at once.
    Beside,
    /// An old one arrives before it.
    Old,
    Delay,
    FlipRequest,
    FlipAnswer,
}

impl Link {
    pub(crate) fn start(target: &str, faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(Mutex::new(target.to_owned()));
        let count = Arc::new(AtomicU64::new(0));
        let faults = Arc::new(Mutex::new(faults));
        let (leads, counted) = (target.clone(), count.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (faults, leads, counted) = (faults.clone(), leads.clone(), counted.clone());
                std::thread::spawn(move || carry(&stream, &faults, &leads, &counted));
            }
        });
        Self { address, target, count }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn lead_to(&self, target: &str) {
        target.clone_into(&mut self.target.lock().unwrap());
    }

    /// How many faults there were.
    pub(crate) fn faults(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

fn carry(stream: &TcpStream, faults: &Mutex<Faults>, target: &Mutex<String>, count: &AtomicU64) {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut reader = BufReader::new(stream);
    // One request: the auditor closes its side after it, and so does this.
    if let Some(request) = read_request(&mut reader) {
        let (fault, mut random, old) = {
            let mut faults = faults.lock().unwrap();
            let fault = match faults.random.below(30) {
                0 => Fault::Lose,
                1 => Fault::CutRequest,
                2 => Fault::LoseAnswer,
                3 => Fault::CutAnswer,
                4 => Fault::Twice,
                5 => Fault::Beside,
                6 => Fault::Old,
                7 => Fault::Delay,
                8 => Fault::FlipRequest,
                9 => Fault::FlipAnswer,
                _ => Fault::None,
            };
            let drawn = faults.random.below(u64::MAX >> 34);
            let place = usize::try_from(drawn).unwrap() % faults.old.len().max(1);
            let old = faults.old.get(place).cloned();
            if faults.old.len() < 64 {
                faults.old.push(request.clone());
            } else {
                faults.old[place] = request.clone();
            }
            (fault, Random(drawn), old)
        };
        count.fetch_add(u64::from(!matches!(fault, Fault::None)), Ordering::Relaxed);
        let target = target.lock().unwrap().clone();
        let answer = match fault {
            Fault::Lose => None,
            Fault::CutRequest => {
                let cut = usize::try_from(random.below(request.len() as u64)).unwrap();
                let _lost = exchange(&target, &request[..cut]);
                None
            }
            Fault::LoseAnswer => {
                let _lost = exchange(&target, &request);
                None
            }
            Fault::Twice => {
                let _first = exchange(&target, &request);
                exchange(&target, &request)
            }
            Fault::Beside => std::thread::scope(|scope| {
                let other = scope.spawn(|| exchange(&target, &request));
                let answer = exchange(&target, &request);
                let _other = other.join();
                answer
            }),
            Fault::Old => {
                let _other = old.and_then(|old| exchange(&target, &old));
                exchange(&target, &request)
            }
            Fault::Delay => {
                std::thread::sleep(Duration::from_millis(random.below(30)));
                exchange(&target, &request)
            }
            Fault::FlipRequest => exchange(&target, &flipped(request, &mut random)),
            Fault::FlipAnswer => exchange(&target, &request).map(|answer| flipped(answer, &mut random)),
            Fault::CutAnswer => exchange(&target, &request).map(|mut answer| {
                answer.truncate(usize::try_from(random.below(answer.len() as u64)).unwrap());
                answer
            }),
            Fault::None => exchange(&target, &request),
        };
        let mut stream = stream;
        let _sent = stream.write_all(&answer.unwrap_or_default());
    }
    let _closed = stream.shutdown(Shutdown::Both);
}

fn flipped(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    let place = usize::try_from(random.below(bytes.len() as u64)).unwrap();
    bytes[place] ^= 1 << random.below(8);
    bytes
}

/// One request with its body, as bytes, made to close the connection.
fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<Vec<u8>> {
    let mut head = String::new();
    let (mut length, mut chunked) = (0, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let lower = line.trim().to_ascii_lowercase();
        if lower.is_empty() {
            break;
        }
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        chunked |= lower == "transfer-encoding: chunked";
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    while chunked {
        let mut size = String::new();
        reader.read_line(&mut size).ok()?;
        let count = usize::from_str_radix(size.trim(), 16).ok()?;
        let mut chunk = vec![0; count + 2];
        reader.read_exact(&mut chunk).ok()?;
        body.extend_from_slice(size.as_bytes());
        body.extend_from_slice(&chunk);
        chunked = count > 0;
    }
    let mut request = format!("{head}connection: close\r\n\r\n").into_bytes();
    request.extend(body);
    Some(request)
}

/// The answer, if there is one.
fn exchange(target: &str, request: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(target).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let _refused_early = stream.write_all(request);
    // Nothing more comes: what is not whole never will be.
    let _closed = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _broken_off = stream.read_to_end(&mut answer);
    (!answer.is_empty()).then_some(answer)
}
