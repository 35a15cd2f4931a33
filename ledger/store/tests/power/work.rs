//! What a box does with its log, drawn from a seed, and what must be there after each step of it.

use std::collections::BTreeMap;
use std::path::Path;

use picket_ledger::Checkpoint;
use picket_ledger::entry::{Body, Config};
use picket_ledger::hash::Hash;
use picket_store::{Commit, Log, Options, Payload};

use crate::common::{key, of, payload, verdict};
use crate::random::Random;
use crate::recorder::mark;

/// One step. What it needs to be done is in here, and what it led to.
#[derive(Clone)]
pub enum Step {
    Commit {
        entries: Vec<Vec<u8>>,
        payloads: Vec<Payload>,
        named: Vec<(String, Option<Vec<u8>>)>,
        checkpoint: bool,
        boundary: bool,
    },
    Erase(Vec<u64>),
    Prune(u64),
    Flush,
    /// Closing it and opening it again.
    Open,
}

/// What a log holds.
#[derive(Clone, Default)]
pub struct State {
    pub entries: Vec<Vec<u8>>,
    pub root: Option<Hash>,
    pub pruned_to: u64,
    pub checkpoint: Option<u64>,
    pub payloads: BTreeMap<u64, Vec<u8>>,
    pub erased: Vec<u64>,
    pub named: BTreeMap<String, Option<Vec<u8>>>,
}

impl State {
    pub fn size(&self) -> u64 {
        u64::try_from(self.entries.len()).unwrap()
    }

    /// Goes one step on, which led to this root.
    pub fn step(&mut self, step: &Step, root: Hash) {
        match step {
            Step::Commit { entries, payloads, named, checkpoint, .. } => {
                self.entries.extend(entries.iter().cloned());
                self.payloads.extend(payloads.iter().map(|payload| (payload.invocation, payload.bytes.clone())));
                self.named.extend(named.iter().cloned());
                if *checkpoint {
                    self.checkpoint = Some(self.size());
                }
            }
            Step::Erase(invocations) => {
                for invocation in invocations {
                    self.payloads.remove(invocation);
                    self.erased.push(*invocation);
                }
            }
            Step::Prune(up_to) => {
                self.pruned_to = self.pruned_to.max(up_to / 256 * 256);
                // Invocations have the numbers of their entries here.
                self.payloads = self.payloads.split_off(&self.pruned_to);
            }
            Step::Flush | Step::Open => {}
        }
        self.root = Some(root);
    }
}

/// A run over a log.
#[derive(Clone)]
pub struct Work {
    pub seed: u64,
    random: Random,
    options: Options,
    /// What was done, each with the root after it.
    pub done: Vec<(Step, Hash)>,
}

impl Work {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut options = Options::default();
        // From halves of two blocks to such as hold a hundred commits.
        options.journal_bytes = [8, 16, 64, 256][random.below(4)] * 1024;
        options.cache_bytes = 4 << 20;
        Self { seed, random, options, done: Vec::new() }
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Does it, and marks each step once it is acknowledged: mark n says that the first n steps are.
    pub fn run(&mut self, path: &Path, steps: usize) {
        let mut log = Some(Log::open(path, &self.options).unwrap().0);
        let mut state = State::default();
        for _ in 0..steps {
            let step = self.draw(&state);
            if matches!(step, Step::Open) {
                drop(log.take());
            }
            let open = log.get_or_insert_with(|| Log::open(path, &self.options).unwrap().0);
            perform(open, &step);
            self.done.push((step, open.root()));
            mark(self.done.len());
            let (step, root) = self.done.last().unwrap();
            state.step(step, *root);
        }
    }

    /// Does just these steps.
    pub fn run_through(&mut self, path: &Path, steps: Vec<Step>) {
        let mut log = Log::open(path, &self.options).unwrap().0;
        for step in steps {
            self.go_on(&mut log, 1, Some(step));
        }
    }

    /// Goes on where a log stands, with a few steps.
    pub fn go_on(&mut self, log: &mut Log, steps: usize, under_way: Option<Step>) {
        let mut state = self.after(self.done.len());
        let mut again = under_way;
        for _ in 0..steps {
            let step = again.take().unwrap_or_else(|| self.draw(&state));
            perform(log, &step);
            self.done.push((step, log.root()));
            mark(self.done.len());
            let (step, root) = self.done.last().unwrap();
            state.step(step, *root);
        }
    }

    /// What must be there after so many steps.
    pub fn after(&self, steps: usize) -> State {
        let mut state = State::default();
        self.done[..steps].iter().for_each(|(step, root)| state.step(step, *root));
        state
    }

    fn draw(&mut self, state: &State) -> Step {
        let random = &mut self.random;
        match random.below(64) {
            0 => Step::Flush,
            1 => Step::Open,
            2 => Step::Prune(state.pruned_to + u64::try_from(random.below(state.entries.len() + 1)).unwrap() / 2)
                .limited(state.size()),
            3 | 4 if !state.payloads.is_empty() => {
                let all: Vec<u64> = state.payloads.keys().copied().collect();
                let count = 1 + random.below(8);
                Step::Erase((0..count).map(|_| all[random.below(all.len())]).collect())
            }
            _ => draw_commit(random, state.size()),
        }
    }
}

impl Step {
    fn limited(self, size: u64) -> Self {
        match self {
            Self::Prune(up_to) => Self::Prune(up_to.min(size)),
            other => other,
        }
    }
}

fn draw_commit(random: &mut Random, size: u64) -> Step {
    // One entry, a group, more than a tile, and some that exceed half of the journal.
    let (count, bytes) = match random.below(16) {
        0 => (300, 200),
        1 => (64 + random.below(200), 300),
        2 => (1 + random.below(3), 40_000),
        3 => (4, 60_000),
        4 => (0, 0),
        5..10 => (1, 300),
        _ => (2 + random.below(40), 50 + random.below(400)),
    };
    let indices = size..size + u64::try_from(count).unwrap();
    let entries: Vec<_> = indices.clone().map(|index| draw_entry(random, index, bytes)).collect();
    let payloads = indices.filter(|_| count < 64 && random.percent(60)).map(|invocation| {
        let length = [10, 700, 5_000, 40_000, 100][usize::try_from(invocation % 5).unwrap()];
        Payload { invocation, bytes: payload(invocation, length / (1 + usize::from(count > 4) * 9)) }
    });
    let payloads = payloads.collect();
    let named = (0..random.below(3)).map(|_| {
        let name = format!("value-{}", random.below(6));
        let length = [8, 200, 3_000, 70_000][random.below(4)];
        (name, random.percent(80).then(|| (0..length).map(|_| random.byte()).collect()))
    });
    Step::Commit {
        entries,
        payloads,
        named: named.collect(),
        checkpoint: random.percent(70),
        boundary: random.percent(3),
    }
}

fn draw_entry(random: &mut Random, index: u64, bytes: usize) -> Vec<u8> {
    if bytes > 1_000 || random.percent(20) {
        return of(index, Body::Config(Config { digest: [7; 32], document: format!("{index:0bytes$}") }));
    }
    let name = |length: usize| "x".repeat(length.clamp(1, 250));
    let mut verdict = verdict();
    verdict.invocation = index;
    verdict.inference_id = name(bytes / 2);
    verdict.model = name(random.below(200));
    of(index, Body::Verdict(verdict))
}

pub fn perform(log: &mut Log, step: &Step) {
    match step {
        Step::Commit { entries, payloads, named, checkpoint, boundary } => {
            let key = key();
            let sign = |size: u64, root: &Hash| Checkpoint::new("box-1", size, *root).sign(&key);
            let commit = Commit {
                entries: entries.clone(),
                payloads: payloads.clone(),
                named: named.clone(),
                checkpoint: checkpoint.then_some(&sign),
                boundary: *boundary,
            };
            log.commit(commit).unwrap();
        }
        Step::Erase(invocations) => {
            log.erase_payloads(invocations).unwrap();
        }
        Step::Prune(up_to) => {
            log.prune(*up_to).unwrap();
        }
        Step::Flush => log.flush().unwrap(),
        Step::Open => {}
    }
}
