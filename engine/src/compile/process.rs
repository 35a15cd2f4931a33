//! The engine's side: starts the compiler, and holds it to its limits.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::child::TARGET;
use super::wire::{self, Allowance, Header, Refusal};
use super::{Job, decode};
use crate::cache::Name;
use crate::engine::Inner;
use crate::error::{CompileLimit, LoadError};
use crate::load::Role;
use crate::text;

/// What is read of what the compiler says on standard error.
const SAID: usize = 4096;

/// A program that compiles guards in a process of its own, under limits that the kernel enforces.
///
/// It must call [`super::compile_for_parent`], in the same version of this crate. What it answers is native code that
/// this process will run: it is confined so that a component cannot exhaust or crash the host, and as trusted as the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompilerProcess {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Most memory that it may use for one guard, in bytes (`RLIMIT_DATA`: what it can write to, its heap and stacks).
    pub memory: u64,
    /// Most processor time for one guard; whole seconds, rounded up (`RLIMIT_CPU`).
    pub cpu: Duration,
    /// Longest time for one guard, at which it is killed. To be longer than `cpu`: the machine has other things to do.
    pub wall: Duration,
}

impl CompilerProcess {
    /// Has `job` compiled for the engine of its role.
    pub(crate) fn compile(&self, engine: &Inner, job: &Job<'_>) -> Result<Vec<u8>, LoadError> {
        let conversation = Conversation { process: self, guard: job.guard, role: job.role };
        let allowance = Allowance { memory: self.memory, cpu_seconds: seconds(self.cpu) };
        let header = Header {
            detector: job.role == Role::Detector,
            plain: job.plain,
            guard: job.guard.into(),
            settings: job.settings.text.clone(),
            limits: *job.limits,
            max_memory: engine.options.max_memory,
            max_stack: engine.options.max_stack,
            tick_micros: u64::try_from(engine.options.tick.as_micros()).unwrap_or(u64::MAX),
            reservation: engine.sizing.reservation,
            target: Name::new(job.role.runtime(engine), TARGET).finish(),
        };
        let question = wire::question(allowance, &header, job.wasm.len())
            .map_err(|error| conversation.fault(format!("it cannot be asked: {error}")))?;
        conversation.run(question, job.wasm)
    }
}

struct Conversation<'a> {
    process: &'a CompilerProcess,
    guard: &'a str,
    role: Role,
}

impl Conversation<'_> {
    fn run(&self, mut question: Vec<u8>, wasm: &[u8]) -> Result<Vec<u8>, LoadError> {
        let deadline = Instant::now() + self.process.wall;
        let started = Command::new(&self.process.program)
            .args(&self.process.arguments)
            // It needs none, and what is not there cannot leak into what it does.
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child =
            Killed(started.map_err(|error| {
                self.fault(format!("`{}` does not start: {error}", self.process.program.display()))
            })?);
        let (Some(mut stdin), Some(mut stdout), Some(stderr)) =
            (child.0.stdin.take(), child.0.stdout.take(), child.0.stderr.take())
        else {
            return Err(self.fault("it has no pipes".into()));
        };
        // Threads of their own, and none waited for: whatever the child does with its pipes, the deadline holds.
        question.extend_from_slice(wasm);
        self.thread(move || drop(stdin.write_all(&question)))?;
        let (tell, answers) = mpsc::channel();
        self.thread(move || drop(tell.send(wire::read_answer(&mut stdout))))?;
        let (tell, said) = mpsc::channel();
        self.thread(move || drop(tell.send(first_of(stderr))))?;

        match answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Ok(answer)) => self.answered(answer),
            Ok(Err(error)) => {
                let ended = child.wait_until(deadline);
                Err(self.broken(ended, &error, &said))
            }
            Err(RecvTimeoutError::Timeout) => Err(self.limit(CompileLimit::Time)),
            Err(RecvTimeoutError::Disconnected) => Err(self.fault("its answer was not read".into())),
        }
    }

    fn answered(&self, answer: Result<Vec<u8>, Refusal>) -> Result<Vec<u8>, LoadError> {
        match answer {
            Ok(code) => match decode(&code) {
                Ok(_) => Ok(code),
                Err(message) => Err(self.fault(format!("its answer is no guard: {message}"))),
            },
            Err(Refusal::Memory) => Err(self.limit(CompileLimit::Memory)),
            Err(refusal) => Err(refusal.of(self.guard, self.role).unwrap_or_else(|| {
                self.fault("it is another version than the one that runs; start the service anew".into())
            })),
        }
    }

    /// There is no answer: why, from the way it ended.
    fn broken(&self, ended: Option<ExitStatus>, error: &std::io::Error, said: &Receiver<String>) -> LoadError {
        let Some(status) = ended else { return self.limit(CompileLimit::Time) };
        let mut said = said.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
        // `abort` follows where Rust finds no memory; the kernel's own killer comes where the whole machine has none.
        if said.contains("memory allocation of") {
            return self.limit(CompileLimit::Memory);
        }
        // SIGXCPU, by number: 24 on every Linux but MIPS and its like.
        if status.signal() == Some(24) {
            return self.limit(CompileLimit::Cpu);
        }
        said = said.trim().replace(char::is_control, " ");
        text::cut(&mut said, 300);
        let ended = match (status.signal(), status.code()) {
            (Some(9), _) => "it was killed, as the kernel does when the machine has no memory left".to_owned(),
            (Some(signal), _) => format!("it ended by signal {signal}"),
            (_, Some(code)) => format!("it ended with code {code}"),
            _ => error.to_string(),
        };
        self.fault(if said.is_empty() { ended } else { format!("{ended}: {said}") })
    }

    fn thread(&self, work: impl FnOnce() + Send + 'static) -> Result<(), LoadError> {
        match std::thread::Builder::new().name("compiler-pipe".into()).stack_size(256 << 10).spawn(work) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.fault(format!("no thread: {error}"))),
        }
    }

    fn limit(&self, limit: CompileLimit) -> LoadError {
        let allowed = match limit {
            CompileLimit::Memory => format!("{} MiB", self.process.memory >> 20),
            CompileLimit::Cpu => format!("{} s", seconds(self.process.cpu)),
            CompileLimit::Time => format!("{} s", seconds(self.process.wall)),
        };
        LoadError::CompileLimit { guard: self.guard.into(), limit, allowed }
    }

    fn fault(&self, message: String) -> LoadError {
        LoadError::Compiler { guard: self.guard.into(), message }
    }
}

/// Gone when this is, in whatever way.
struct Killed(Child);

impl Killed {
    /// How it ended; `None` when it has not by `deadline`.
    fn wait_until(&mut self, deadline: Instant) -> Option<ExitStatus> {
        // Its answer has come to an end, so it is about to, in all likelihood.
        loop {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // Fails when it has ended already; waiting then only takes its status, so that no zombie stays.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The beginning of what comes; the rest is read and dropped, so that nobody waits for a full pipe.
fn first_of(mut from: impl Read) -> String {
    let mut said = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        let room = SAID.saturating_sub(said.len()).min(count);
        said.extend_from_slice(piece.get(..room).unwrap_or_default());
    }
    String::from_utf8_lossy(&said).into_owned()
}

fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
