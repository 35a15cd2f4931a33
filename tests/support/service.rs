//! `picket run`, and a caller of it.

use super::{PATIENCE, Place, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

/// A running service, killed when dropped.
pub struct Service {
    child: Child,
    /// Host and port.
    pub address: String,
    /// Standard error so far.
    log: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Service {
    /// Starts it and waits until it says where it listens.
    #[track_caller]
    pub fn start(place: &Place) -> Self {
        let mut child = place.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let kept = log.clone();
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                *kept.lock().unwrap() += &(line + "\n");
            }
        });
        let mut service = Self { child, address: String::new(), log, reader: Some(reader) };
        service.address = wait_for("the service listens", || {
            let log = service.log();
            let ended = service.child.try_wait().unwrap();
            assert!(ended.is_none(), "the service has ended: {ended:?}\n{log}");
            log.lines().find_map(|line| line.strip_prefix("listening on http://").map(str::to_owned))
        });
        service
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end: exit code (none after a signal) and all that it said.
    #[track_caller]
    pub fn wait(mut self) -> (Option<i32>, String) {
        let status = wait_for("the service ends", || self.child.try_wait().unwrap());
        self.reader.take().unwrap().join().unwrap();
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
        (status.code(), log)
    }

    /// Ends it as a supervisor does.
    #[track_caller]
    pub fn stop(self) -> String {
        self.signal(Signal::TERM);
        let (code, log) = self.wait();
        assert_eq!(code, Some(0), "{log}");
        log
    }

    pub fn caller(&self) -> Caller {
        let agent =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into();
        Caller { agent, base: format!("http://{}", self.address) }
    }

    #[track_caller]
    pub fn post(&self, body: &str) -> Reply {
        self.caller().post(body).unwrap()
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.caller().get(path).unwrap()
    }

    /// Value of a metric without labels, or the sum over its labels.
    #[track_caller]
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text;
        let of_name =
            |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'));
        let values: Vec<f64> =
            text.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        assert!(!values.is_empty(), "no metric {name} in {text}");
        values.iter().sum()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _may_have_ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Speaks HTTP with one service; keeps its connection.
#[derive(Clone)]
pub struct Caller {
    agent: ureq::Agent,
    base: String,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub text: String,
    pub retry_after: Option<String>,
}

impl Caller {
    pub fn post(&self, body: &str) -> Result<Reply, ureq::Error> {
        reply(self.agent.post(format!("{}/v1/check", self.base)).send(body)?)
    }

    pub fn get(&self, path: &str) -> Result<Reply, ureq::Error> {
        reply(self.agent.get(format!("{}{path}", self.base)).call()?)
    }
}

fn reply(mut response: ureq::http::Response<ureq::Body>) -> Result<Reply, ureq::Error> {
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let text = response.body_mut().with_config().limit(256 << 20).read_to_string()?;
    Ok(Reply { status: response.status().as_u16(), text, retry_after })
}

impl Reply {
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:#?}");
        self.json()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:#?}"))
    }
}
