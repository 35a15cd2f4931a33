//! The threads that run guards.
//!
//! Guards run on threads of their own, not on the async runtime: a check may keep a processor busy for its whole
//! deadline. The queue in front of them is bounded; the gateway turns callers away when it is full, the command line
//! waits.

use super::Edge;
use crate::detectors::Row;
use crate::inference::{Answer, AnswerEntry, Received};
use crate::payload::Salt;
use crate::pipeline::Pipeline;
use crate::sequencer::{Pending, Sequencer, SequencerError};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use picket_ledger::entry::{Body, GuardEvent};
use picket_ledger::hash;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Why an inference has no answer. Nothing may act on its output.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The queue is full, or the ledger is far behind.
    #[error("the box is busy; try again")]
    Busy,
    /// The judgement could not be made durable.
    #[error("{0}")]
    Ledger(#[from] SequencerError),
    /// The operating system gave no randomness for a salt.
    #[error("no randomness from the operating system")]
    Randomness,
    /// The service is shutting down.
    #[error("the box is shutting down")]
    Closed,
}

/// What is left of an inference after it has been judged: the caller's answer, and the row for detectors.
#[derive(Debug)]
pub struct Outcome {
    /// With its place in the ledger, when there is one.
    pub answer: Answer,
    /// For the detectors, if whoever asked feeds them (see [`Job::feed`]).
    pub row: Option<Row>,
}

/// Called once with the outcome, on the writer's or a worker's thread: it must not block.
pub type Respond = Box<dyn FnOnce(Result<Outcome, ProcessError>) + Send>;

/// An inference to judge.
pub struct Job {
    /// What was received.
    pub received: Received,
    /// What judges it: the guards that were in force when it came, from its beginning to its end.
    pub pipeline: Arc<Pipeline>,
    /// True: the worker feeds the detectors, in whatever order workers finish. False: the row comes back, so that the
    /// caller can feed rows in the order of its input.
    pub feed: bool,
    /// Who waits.
    pub respond: Respond,
}

/// Handle to the threads.
#[derive(Clone)]
pub struct Workers(Sender<Job>);

/// The threads; they end when every [`Workers`] is gone and the queue is empty.
pub(super) struct Threads(Vec<JoinHandle<()>>);

pub(super) fn start(edge: &Arc<Edge>, threads: usize, queue: usize) -> std::io::Result<(Workers, Threads)> {
    let (sender, receiver) = bounded(queue);
    let handles = (0..threads)
        .map(|number| {
            let (edge, receiver) = (edge.clone(), receiver.clone());
            std::thread::Builder::new().name(format!("guards-{number}")).spawn(move || work(&edge, &receiver))
        })
        .collect::<std::io::Result<_>>()?;
    Ok((Workers(sender), Threads(handles)))
}

impl Workers {
    /// Hands over a job, or says at once that there is no room.
    pub fn try_submit(&self, job: Job) {
        match self.0.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => (job.respond)(Err(ProcessError::Busy)),
            Err(TrySendError::Disconnected(job)) => (job.respond)(Err(ProcessError::Closed)),
        }
    }

    /// Hands over a job; waits while the queue is full.
    pub fn submit(&self, job: Job) {
        if let Err(refused) = self.0.send(job) {
            (refused.into_inner().respond)(Err(ProcessError::Closed));
        }
    }

    /// Jobs that wait.
    pub fn backlog(&self) -> usize {
        self.0.len()
    }
}

impl Threads {
    pub(super) fn join(self) {
        for thread in self.0 {
            if thread.join().is_err() {
                tracing::error!("a guard thread panicked");
            }
        }
    }
}

fn work(edge: &Edge, jobs: &Receiver<Job>) {
    for job in jobs {
        process(edge, job);
    }
}

fn process(edge: &Edge, job: Job) {
    let Some(sequencer) = &edge.sequencer else { return judge_only(edge, job) };
    // Before any guard runs: an inference that was begun and has no verdict is a hole in the numbers.
    let Some(invocation) = sequencer.allocate() else { return (job.respond)(Err(ProcessError::Busy)) };
    let mut salt: Salt = [0; 32];
    if getrandom::fill(&mut salt).is_err() {
        return (job.respond)(Err(ProcessError::Randomness));
    }
    // Held until the verdict has been handed over: a pipeline that nobody holds any more has no verdict to come.
    let pipeline = job.pipeline;
    let source = RowSource::of(&job.received);
    let judgement = pipeline.judge(job.received, invocation, &salt, &|event| record(edge, sequencer, event));
    edge.metrics.judged(&judgement);
    let row = source.row(judgement.row);
    let row = if job.feed {
        edge.detectors.feed(row);
        None
    } else {
        Some(row)
    };
    let pending = Pending {
        body: Body::Verdict(judgement.verdict),
        payload: Some((invocation, judgement.stored)),
        named: Vec::new(),
    };
    let mut answer = judgement.answer;
    let respond = job.respond;
    let (metrics, submitted) = (edge.metrics.clone(), Instant::now());
    sequencer.submit(
        pending,
        Box::new(move |placed| {
            metrics.committed(submitted.elapsed());
            let placed = match placed {
                Ok(placed) => Some(AnswerEntry { index: placed.index, leaf: hash::to_hex(&placed.leaf) }),
                // By the operator's policy for a full disk: counted, and answered without a place in the ledger.
                Err(SequencerError::Dropped) => None,
                Err(error) => return respond(Err(error.into())),
            };
            answer.entry = placed;
            respond(Ok(Outcome { answer, row }));
        }),
    );
}

/// Hands over what happened to a guard. The writer keeps the order: it is durable before, or in the same commit as, every
/// verdict that is handed over later.
fn record(edge: &Edge, sequencer: &Sequencer, event: GuardEvent) {
    let (guard, what, message) = (event.guard.clone().unwrap_or_default(), event.event.name(), event.message.clone());
    tracing::warn!(guard, "{what}: {message}");
    edge.metrics.happened(&event);
    let done = move |placed| {
        if let Err(error) = placed {
            tracing::error!(guard, %error, "that its state changed could not be recorded: {what}");
        }
    };
    sequencer.submit(Body::GuardEvent(event).into(), Box::new(done));
}

/// Without a ledger: a dry run, which leaves no trace.
fn judge_only(edge: &Edge, job: Job) {
    let source = RowSource::of(&job.received);
    let judgement = job.pipeline.judge(job.received, 0, &[0; 32], &|event| edge.metrics.happened(&event));
    let row = source.row(judgement.row);
    (job.respond)(Ok(Outcome { answer: judgement.answer, row: Some(row) }));
}

/// What a row has of its inference, which the judgement uses up.
struct RowSource {
    model: String,
    time: u64,
}

impl RowSource {
    fn of(received: &Received) -> Self {
        let inference = &received.inference;
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let time = inference.time.unwrap_or_else(|| u64::try_from(now()).unwrap_or(0));
        Self { model: inference.model.clone(), time }
    }

    fn row(self, values: Vec<picket_engine::NamedValue>) -> Row {
        Row { model: self.model, time: self.time, values }
    }
}
