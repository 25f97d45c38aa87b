//! Runs many scenarios on all processors, and adds up their outcomes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde::Serialize;

use crate::baselines::Handler;
use crate::cardinality::CardinalityEstimate;
use crate::coverage::Coverage;
use crate::faults::{InjectedFault, Level};
use crate::outcome::Outcome;
use crate::scenario::{Runner, Scenario, ScenarioError};
use crate::size::Size;

/// How many seeds a thread takes at once: all seeds of two hierarchies.
const AT_ONCE: u64 = 64;

/// Scenarios of consecutive seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first seed.
    pub first: u64,
    /// The number of seeds.
    pub seeds: u64,
    pub size: Size,
    pub level: Level,
    /// Whether the baseline handlers run in the same worlds.
    pub baselines: bool,
    /// The tally does not depend on the number of threads.
    pub threads: usize,
}

/// What a baseline handler did in the same worlds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Baseline {
    /// Builds that succeeded.
    pub builds: u64,
    /// Findings that a rebuild could fix and that the handler forgot.
    pub lost: u64,
    /// Builds that ran twice at once, or twice for the same reasons.
    pub duplicates: u64,
}

/// The sum of the outcomes of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// The number of worlds.
    pub seeds: u64,
    /// Invocations that ended with a report.
    pub passes: u64,
    /// Events that reached a function.
    pub events: u64,
    /// Builds that succeeded.
    pub builds: u64,
    /// Findings that a rebuild could fix and that nothing holds or rebuilds.
    pub lost: u64,
    /// Builds that ran twice at once, or twice with one idempotency key.
    pub duplicates: u64,
    pub violations: u64,
    /// How often each fault was injected.
    pub faults: BTreeMap<InjectedFault, u64>,
    #[serde(flatten)]
    pub coverage: Coverage,
    /// The seeds with violations.
    pub failing: BTreeMap<u64, Vec<String>>,
    /// What the baseline handlers did in the same worlds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub baselines: BTreeMap<Handler, Baseline>,
    /// Distinct states of ledger and world.
    #[serde(rename = "distinctStates")]
    pub states: CardinalityEstimate,
}

impl Run {
    /// Runs all scenarios. Calls `progress` with how many are done, again and again.
    pub fn run(self, progress: &(dyn Fn(u64) + Sync)) -> Result<Tally, ScenarioError> {
        let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let work = || self.run_in_thread(&next, &done, progress);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads.max(1)).map(|_| scope.spawn(work)).collect();
            let mut tally = Tally::default();
            for thread in threads {
                // A panic is a defect of the simulator, and it continues here.
                tally.merge(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            Ok(tally)
        })
    }

    /// Takes seeds until none is left. `next` and `done` count those of all threads.
    fn run_in_thread(
        self,
        next: &AtomicU64,
        done: &AtomicU64,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Tally, ScenarioError> {
        let (mut tally, mut runner) = (Tally::default(), Runner::default());
        let at_once = if self.size == Size::Huge { 1 } else { AT_ONCE };
        loop {
            let from = next.fetch_add(at_once, Ordering::Relaxed);
            if from >= self.seeds {
                tally.states = runner.into_states();
                return Ok(tally);
            }
            let seeds = at_once.min(self.seeds - from);
            for seed in (self.first.saturating_add(from)..).take(usize::try_from(seeds).unwrap_or(0)) {
                self.run_seed(seed, &mut runner, &mut tally)?;
            }
            progress(done.fetch_add(seeds, Ordering::Relaxed) + seeds);
        }
    }

    fn run_seed(self, seed: u64, runner: &mut Runner, tally: &mut Tally) -> Result<(), ScenarioError> {
        let (size, level, handler) = (self.size, self.level, Handler::Patchwave);
        let scenario = Scenario { seed, size, level, handler, planted: None, with_log: false };
        tally.add(runner.run(scenario)?);
        for handler in [Handler::Naive, Handler::ByEventId].into_iter().filter(|_| self.baselines) {
            let outcome = runner.run(Scenario { handler, ..scenario })?;
            tally.baselines.entry(handler).or_default().add(&outcome);
        }
        Ok(())
    }
}

impl Baseline {
    fn add(&mut self, outcome: &Outcome) {
        self.builds += outcome.builds;
        self.lost += outcome.lost;
        self.duplicates += outcome.duplicates;
    }
}

impl Tally {
    /// Adds the outcome of one scenario.
    pub fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.passes += outcome.passes;
        self.events += outcome.events;
        self.builds += outcome.builds;
        self.lost += outcome.lost;
        self.duplicates += outcome.duplicates;
        self.violations += outcome.violations.len() as u64;
        self.coverage.add(&outcome.coverage);
        for (fault, times) in outcome.faults {
            *self.faults.entry(fault).or_default() += times;
        }
        if !outcome.violations.is_empty() {
            self.failing.insert(outcome.seed, outcome.violations);
        }
    }

    /// Adds the tally of another thread.
    fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.passes += other.passes;
        self.events += other.events;
        self.builds += other.builds;
        self.lost += other.lost;
        self.duplicates += other.duplicates;
        self.violations += other.violations;
        self.coverage.add(&other.coverage);
        for (fault, times) in other.faults {
            *self.faults.entry(fault).or_default() += times;
        }
        self.failing.extend(other.failing);
        for (handler, theirs) in other.baselines {
            let ours = self.baselines.entry(handler).or_default();
            ours.builds += theirs.builds;
            ours.lost += theirs.lost;
            ours.duplicates += theirs.duplicates;
        }
        self.states.merge(&other.states);
    }
}
