//! Many histories, on all processors, and what they add up to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde::Serialize;

use crate::faults::{Level, Trouble};
use crate::hostile::{NotPlayed, Outcome, Play, Theatre};
use crate::rivals::Handler;
use crate::size::Size;
use crate::sketch::Sketch;

/// How many seeds a thread takes at once: all of a few hierarchies.
const AT_ONCE: u64 = 64;

/// A run of seeds in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first world.
    pub first: u64,
    /// How many.
    pub seeds: u64,
    /// How large they are.
    pub size: Size,
    /// How hostile they are.
    pub level: Level,
    /// Whether two simpler handlers play the same worlds.
    pub rivals: bool,
    /// How many threads play. The tally does not depend on it.
    pub threads: usize,
}

/// What a simpler handler made of the same worlds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rival {
    /// Builds that succeeded.
    pub builds: u64,
    /// Findings that it forgot and a rebuild could fix.
    pub lost: u64,
    /// Builds that ran twice at once, or twice for the same.
    pub duplicates: u64,
}

/// What a run adds up to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// How many worlds.
    pub seeds: u64,
    /// Invocations.
    pub passes: u64,
    /// Events that reached a function.
    pub events: u64,
    /// Builds that succeeded.
    pub builds: u64,
    /// Images that were forgotten with a finding that a rebuild could fix.
    pub lost: u64,
    /// Builds that ran twice.
    pub duplicates: u64,
    /// How often something was that should never be.
    pub violations: u64,
    /// How often each kind of fault struck.
    pub faults: BTreeMap<Trouble, u64>,
    /// The seeds with violations, and which.
    pub failing: BTreeMap<u64, Vec<String>>,
    /// What simpler handlers made of the same worlds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rivals: BTreeMap<Handler, Rival>,
    /// Different states of ledger and world after each step.
    #[serde(rename = "distinctStates")]
    pub states: Sketch,
}

impl Run {
    /// Plays all worlds, and tells `progress` of each number of them that is done.
    pub fn play(self, progress: &(dyn Fn(u64) + Sync)) -> Result<Tally, NotPlayed> {
        let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let work = || {
            let (mut tally, mut theatre) = (Tally::default(), Theatre::default());
            loop {
                let from = next.fetch_add(AT_ONCE, Ordering::Relaxed);
                if from >= self.seeds {
                    tally.states = theatre.take_states();
                    return Ok(tally);
                }
                let seeds = AT_ONCE.min(self.seeds - from);
                for seed in (self.first.saturating_add(from)..).take(usize::try_from(seeds).unwrap_or(0)) {
                    let (size, level, handler) = (self.size, self.level, Handler::Patchwave);
                    let play = Play { seed, size, level, handler, planted: None, tell: false };
                    tally.add(theatre.play(play)?);
                    for handler in [Handler::Naive, Handler::ByEventId].into_iter().filter(|_| self.rivals) {
                        let outcome = theatre.play(Play { handler, ..play })?;
                        tally.rivals.entry(handler).or_default().add(&outcome);
                    }
                }
                progress(done.fetch_add(seeds, Ordering::Relaxed) + seeds);
            }
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads.max(1)).map(|_| scope.spawn(work)).collect();
            let mut tally = Tally::default();
            for thread in threads {
                // A panic is a defect of the simulator, and goes on here.
                tally.merge(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            Ok(tally)
        })
    }
}

impl Rival {
    fn add(&mut self, outcome: &Outcome) {
        self.builds += outcome.builds;
        self.lost += outcome.lost;
        self.duplicates += outcome.duplicates;
    }
}

impl Tally {
    /// Adds one world.
    pub fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.passes += outcome.passes;
        self.events += outcome.events;
        self.builds += outcome.builds;
        self.lost += outcome.lost;
        self.duplicates += outcome.duplicates;
        self.violations += outcome.violations.len() as u64;
        for (trouble, times) in outcome.faults {
            *self.faults.entry(trouble).or_default() += times;
        }
        if !outcome.violations.is_empty() {
            self.failing.insert(outcome.seed, outcome.violations);
        }
    }

    /// Adds what another thread played.
    fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.passes += other.passes;
        self.events += other.events;
        self.builds += other.builds;
        self.lost += other.lost;
        self.duplicates += other.duplicates;
        self.violations += other.violations;
        for (trouble, times) in other.faults {
            *self.faults.entry(trouble).or_default() += times;
        }
        self.failing.extend(other.failing);
        for (handler, theirs) in other.rivals {
            let ours = self.rivals.entry(handler).or_default();
            ours.builds += theirs.builds;
            ours.lost += theirs.lost;
            ours.duplicates += theirs.duplicates;
        }
        self.states.merge(&other.states);
    }
}
