//! The search: every order in which two workers, the builds, the events and the faults can take their steps.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use patchwave::trigger::Trigger;

use crate::diamond::{Diamond, IMAGES};
use crate::passes::Passes;
use crate::town::{Answer, Ask, Images, Town, Violation};

/// Both workers have one name: it is written into claims and read by nobody, and so they can change places.
const WORKER: &str = "worker";

/// Longer than a lease, and so than any invocation lives.
const LEASE_PASSES: i64 = 17 * 60;

/// More rounds than the whole diamond needs, one level after another, with every lease waited for.
const ROUNDS: u32 = 24;

/// How much happens at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Passes between two moments at which nobody works; there are as many such moments as there are. Two of these passes
    /// are the workers' own, and every further one is an event delivered again while a worker stands still.
    pub(crate) overlapping: u8,
    /// Events delivered again, or ticks, beside the scan of `b` and the end of each build.
    pub(crate) extras: u8,
    /// Workers that are gone in the middle of a pass.
    pub(crate) crashes: u8,
    /// Calls without an answer.
    pub(crate) losses: u8,
}

/// One state: the town, the workers by what they were answered, and what may still happen.
#[derive(Debug, Clone, Hash)]
struct State {
    town: Town,
    workers: [Option<u32>; 2],
    /// How many passes may still begin before all workers rest.
    passes: u8,
    /// Events that were not delivered yet, and those that can be delivered again.
    events: u8,
    crashes: u8,
    losses: u8,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// An event is delivered, and the worker makes its first call.
    Begin(usize),
    /// The world answers.
    Answer(usize),
    /// The world does it, and the worker is gone.
    Crash(usize),
    /// The world does it, and its answer is lost.
    LoseAnswer(usize),
    /// What the worker asked for is lost.
    LoseCall(usize),
    End(u8),
    LeasePasses,
}

/// What a whole search looked at.
#[derive(Debug)]
#[expect(dead_code, reason = "it is printed")]
pub(crate) struct Explored {
    /// Distinct states.
    states: usize,
    /// Steps between them.
    steps: u64,
    /// Distinct passes, by what they were answered so far.
    passes: usize,
    /// Distinct towns from which the sweep and the ticks alone converged.
    towns: usize,
}

pub(crate) struct Search {
    diamond: Rc<Diamond>,
    passes: Passes,
    /// Every state seen, by its fingerprint.
    seen: BTreeSet<u128>,
    steps: u64,
    bounds: Bounds,
    /// Towns from which ticks alone are known to converge.
    converging: BTreeSet<u128>,
    story: Vec<String>,
}

/// Two hashes of 64 bits, without a seed.
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
            story: Vec::new(),
        }
    }

    /// Visits every state within the bounds; the error tells the story that broke an invariant.
    pub(crate) fn run(mut self) -> Result<Explored, Violation> {
        let first = State {
            town: Town::found(&self.diamond),
            workers: [None; 2],
            passes: self.bounds.overlapping,
            events: 1 + self.bounds.extras,
            crashes: self.bounds.crashes,
            losses: self.bounds.losses,
        };
        self.visit(&first).map_err(|broken| {
            self.story.reverse();
            format!("{broken}, after:\n{}", self.story.join("\n"))
        })?;
        Ok(Explored {
            states: self.seen.len(),
            steps: self.steps,
            passes: self.passes.len(),
            towns: self.converging.len(),
        })
    }

    fn visit(&mut self, state: &State) -> Result<(), Violation> {
        if !self.seen.insert(fingerprint(state)) {
            return Ok(());
        }
        state.town.check()?;
        if state.workers == [None; 2] {
            self.left_alone(&state.town)?;
        }
        for step in self.steps(state) {
            self.steps += 1;
            let after = self.after(state, step).and_then(|after| self.visit(&after));
            after.inspect_err(|_| self.story.push(self.tell(state, step)))?;
        }
        Ok(())
    }

    /// Everything that can happen next.
    fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        for (worker, node) in state.workers.iter().enumerate() {
            let Some(ask) = node.and_then(|node| self.passes.asks(node)) else { continue };
            let is_settled = state.town.is_settled(&self.diamond, ask);
            if is_settled {
                steps.clear();
            }
            steps.push(Step::Answer(worker));
            if state.crashes > 0 && ask.is_effect() {
                steps.push(Step::Crash(worker));
            }
            if state.losses > 0 && ask.is_effect() {
                steps.push(Step::LoseAnswer(worker));
            }
            if state.losses > 0 && ask.is_survivable() {
                steps.push(Step::LoseCall(worker));
            }
            if is_settled {
                return steps;
            }
        }
        let runs = (0..).zip(&state.town.runs);
        let ends = runs.filter(|(_, run)| !run.is_over && self.is_noticed(state, run.image));
        steps.extend(ends.map(|(run, _)| Step::End(run)));
        // The workers are alike, so that it is the first idle one that begins.
        if let Some(worker) = state.workers.iter().position(Option::is_none) {
            steps.extend((state.passes > 0 && state.events > 0).then_some(Step::Begin(worker)));
        }
        // Nobody lives as long as a lease.
        if state.workers == [None; 2] && state.town.has_unconfirmed_claim(&self.diamond) {
            steps.push(Step::LeasePasses);
        }
        steps
    }

    /// Whether it matters to anybody who works now that a build of `image` ends before they go on. Nobody new may begin, and
    /// all have read what they read: then the end commutes with what is left of them, and comes when they rest. (What they
    /// start meanwhile is wrong on either side of it: beside a build under way, or on a stale parent and for a second time.)
    fn is_noticed(&self, state: &State, image: u8) -> bool {
        let mut asks = state.workers.iter().flatten().filter_map(|node| self.passes.asks(*node)).peekable();
        state.passes > 0
            || asks.peek().is_none()
            || asks.any(|ask| !ask.is_effect() || matches!(ask, Ask::Free(freed, _) if freed == image))
    }

    fn after(&mut self, state: &State, step: Step) -> Result<State, Violation> {
        let mut state = state.clone();
        match step {
            Step::Begin(worker) => {
                state.workers[worker] = Some(self.passes.begin(Trigger::Sweep, WORKER));
                // Whatever the index of the unsettled says, a sweep reads all records.
                self.answer(&mut state, worker, Answer::Unsettled(Images::default()));
                state.passes -= 1;
                state.events -= 1;
                for _ in 0..2 {
                    let answer = self.perform(&mut state, worker)?;
                    self.answer(&mut state, worker, answer);
                }
            }
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
                state.town.end(&self.diamond, run)?;
                state.events += 1;
            }
            Step::LeasePasses => state.town.now += LEASE_PASSES,
        }
        if state.workers == [None; 2] {
            state.passes = self.bounds.overlapping;
        }
        // Which of them is which does not matter.
        state.workers.sort_unstable();
        Ok(state)
    }

    fn perform(&self, state: &mut State, worker: usize) -> Result<Answer, Violation> {
        let ask = state.workers[worker].and_then(|node| self.passes.asks(node));
        state.town.perform(&self.diamond, ask.expect("only a worker that asks is answered"))
    }

    fn answer(&mut self, state: &mut State, worker: usize, answer: Answer) {
        let node = state.workers[worker].expect("only a worker that asks is answered");
        let after = self.passes.answer(node, (state.town.now, answer));
        state.workers[worker] = self.passes.asks(after).map(|_| after);
    }

    /// Nothing goes wrong any more, no event arrives: the daily sweep and the ticks must do it.
    fn left_alone(&mut self, town: &Town) -> Result<(), Violation> {
        let mut town = town.clone();
        let mut visited = Vec::new();
        for round in 0..ROUNDS {
            if round > 0 {
                let fingerprint = fingerprint(&town);
                if self.converging.contains(&fingerprint) {
                    self.converging.extend(visited);
                    return Ok(());
                }
                visited.push(fingerprint);
            }
            self.alone(&mut town, if round == 0 { Trigger::Sweep } else { Trigger::Tick })?;
            if town.is_quiet(&self.diamond) {
                town.check_converged(&self.diamond)?;
                self.converging.extend(visited);
                return Ok(());
            }
            for run in (0..).zip(town.runs.clone()).filter(|(_, run)| !run.is_over).map(|(run, _)| run) {
                town.end(&self.diamond, run)?;
            }
            town.now += LEASE_PASSES;
        }
        Err("it never comes to rest".into())
    }

    fn alone(&mut self, town: &mut Town, trigger: Trigger) -> Result<(), Violation> {
        let mut node = self.passes.begin(trigger, "tick");
        while let Some(ask) = self.passes.asks(node) {
            let answer = town.perform(&self.diamond, ask)?;
            town.check()?;
            node = self.passes.answer(node, (town.now, answer));
        }
        Ok(())
    }

    fn tell(&self, state: &State, step: Step) -> String {
        // They change places, so that it is told what each of them was about to do.
        let of = |worker: usize| match state.workers[worker] {
            Some(node) => format!("in pass {node}: {:?}", self.passes.asks(node)),
            None => "nobody".to_owned(),
        };
        match step {
            Step::Begin(_) => "a pass begins".into(),
            Step::Answer(worker) => of(worker),
            Step::Crash(worker) => format!("{}, and crashes", of(worker)),
            Step::LoseAnswer(worker) => format!("{}, and the answer is lost", of(worker)),
            Step::LoseCall(worker) => format!("{}, which is lost", of(worker)),
            Step::End(run) => {
                format!("the build of {} ends", IMAGES[usize::from(state.town.runs[usize::from(run)].image)])
            }
            Step::LeasePasses => "the lease passes".into(),
        }
    }
}
