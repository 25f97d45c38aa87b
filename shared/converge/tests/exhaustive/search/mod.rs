//! The search: every order in which two workers, the builds, the events and the faults take steps.

mod liveness;
mod steps;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use patchwave::trigger::Trigger;

use crate::diamond::Diamond;
use crate::model::{Answer, ModelState, Violation};
use crate::passes::Passes;
use steps::Step;

/// Both workers have this name. It is written into claims and nothing reads it, so the workers are
/// interchangeable.
const WORKER: &str = "worker";

/// Longer than a lease, and so longer than any invocation.
pub(crate) const LEASE_PASSES: i64 = 17 * 60;

/// How much happens at most.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bounds {
    /// Passes between two moments at which no worker is busy. The number of such moments is not
    /// limited. Two of these passes are the workers' own, and each further one is an event that is
    /// delivered again while a worker pauses.
    pub(crate) overlapping: u8,
    /// Events that are delivered again, or ticks, in addition to the scan of `b` and the ends of
    /// builds.
    pub(crate) extras: u8,
    /// Workers that crash in the middle of a pass.
    pub(crate) crashes: u8,
    /// Calls without an answer.
    pub(crate) losses: u8,
    /// Builds that fail.
    pub(crate) failures: u8,
    /// Times that a person pushes the base.
    pub(crate) pushes: u8,
}

/// One state: the model, the workers by the answers that they got, and what may still happen.
#[derive(Debug, Clone, Hash)]
struct State {
    model: ModelState,
    workers: [Option<u32>; 2],
    /// How many passes may still begin before both workers are idle.
    passes: u8,
    /// Events that are still to be delivered, with those that are delivered again.
    events: u8,
    crashes: u8,
    losses: u8,
    failures: u8,
    pushes: u8,
}

/// How much a search explored.
#[derive(Debug)]
#[expect(dead_code, reason = "it is printed")]
pub(crate) struct Explored {
    /// Distinct states.
    states: usize,
    /// Steps between them.
    steps: u64,
    /// Distinct passes, by the answers so far.
    passes: usize,
    /// Distinct model states from which the sweep and the ticks alone converge.
    model_states: usize,
}

pub(crate) struct Search {
    diamond: Rc<Diamond>,
    passes: Passes,
    /// The fingerprints of all states that were visited.
    seen: BTreeSet<u128>,
    steps: u64,
    bounds: Bounds,
    /// The fingerprints of model states from which ticks alone converge.
    converging: BTreeSet<u128>,
    /// The steps that led to a violation, the last one first.
    trace: Vec<String>,
}

/// Hashes twice 64 bits, without a random key.
pub(crate) fn fingerprint(value: &impl Hash) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, value).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

impl Search {
    pub(crate) fn new(diamond: Diamond, bounds: Bounds) -> Self {
        let diamond = Rc::new(diamond);
        Self {
            passes: Passes::new(Rc::clone(&diamond)),
            diamond,
            seen: BTreeSet::new(),
            steps: 0,
            bounds,
            converging: BTreeSet::new(),
            trace: Vec::new(),
        }
    }

    /// Visits every state within the bounds. An error names the broken invariant and the steps that
    /// led to it.
    pub(crate) fn run(mut self) -> Result<Explored, Violation> {
        let first = State {
            model: ModelState::first(&self.diamond),
            workers: [None; 2],
            passes: self.bounds.overlapping,
            events: 1 + self.bounds.extras,
            crashes: self.bounds.crashes,
            losses: self.bounds.losses,
            failures: self.bounds.failures,
            pushes: self.bounds.pushes,
        };
        self.visit(&first).map_err(|broken| {
            self.trace.reverse();
            format!("{broken}, after:\n{}", self.trace.join("\n"))
        })?;
        Ok(Explored {
            states: self.seen.len(),
            steps: self.steps,
            passes: self.passes.len(),
            model_states: self.converging.len(),
        })
    }

    fn visit(&mut self, state: &State) -> Result<(), Violation> {
        if !self.seen.insert(fingerprint(state)) {
            return Ok(());
        }
        state.model.check(&self.diamond)?;
        if state.workers == [None; 2] {
            self.check_liveness(&state.model)?;
        }
        for step in self.steps(state) {
            self.steps += 1;
            let after = self.take(state, step).and_then(|after| self.visit(&after));
            after.inspect_err(|_| self.trace.push(self.describe(state, step)))?;
        }
        Ok(())
    }

    /// Takes a step and returns the state after it.
    fn take(&mut self, state: &State, step: Step) -> Result<State, Violation> {
        let mut state = state.clone();
        match step {
            Step::Begin(worker) => self.begin(&mut state, worker)?,
            Step::Answer(worker) => {
                let answer = self.perform(&mut state, worker)?;
                self.answer(&mut state, worker, answer);
            }
            Step::Crash(worker) => {
                self.perform(&mut state, worker)?;
                state.crashes -= 1;
                state.workers[worker] = None;
            }
            Step::LoseAnswer(worker) => {
                self.perform(&mut state, worker)?;
                state.losses -= 1;
                self.answer(&mut state, worker, Answer::Lost);
            }
            Step::LoseCall(worker) => {
                state.losses -= 1;
                self.answer(&mut state, worker, Answer::Lost);
            }
            Step::End(run) => {
                state.model.end(&self.diamond, run)?;
                state.events += 1;
            }
            Step::Fail(run) => {
                state.model.fail(run);
                state.failures -= 1;
                state.events += 1;
            }
            Step::Push => {
                state.model.push_by_hand(&self.diamond);
                state.pushes -= 1;
                state.events += 1;
            }
            Step::Scan => {
                state.model.complete_scan();
                state.events += 1;
            }
            Step::LeasePasses => state.model.now += LEASE_PASSES,
        }
        if state.workers == [None; 2] {
            state.passes = self.bounds.overlapping;
        }
        // The workers are interchangeable.
        state.workers.sort_unstable();
        Ok(state)
    }

    /// Begins a pass, and answers its first reads.
    fn begin(&mut self, state: &mut State, worker: usize) -> Result<(), Violation> {
        state.workers[worker] = Some(self.passes.begin(Trigger::Sweep, WORKER));
        state.passes -= 1;
        state.events -= 1;
        for _ in 0..2 {
            let answer = self.perform(state, worker)?;
            self.answer(state, worker, answer);
        }
        Ok(())
    }

    fn perform(&self, state: &mut State, worker: usize) -> Result<Answer, Violation> {
        let call = state.workers[worker].and_then(|node| self.passes.call(node));
        state.model.perform(&self.diamond, call.expect("only a worker that waits is answered"))
    }

    fn answer(&mut self, state: &mut State, worker: usize, answer: Answer) {
        let node = state.workers[worker].expect("only a worker that waits is answered");
        let after = self.passes.answer(node, (state.model.now, answer));
        state.workers[worker] = self.passes.call(after).map(|_| after);
    }
}
