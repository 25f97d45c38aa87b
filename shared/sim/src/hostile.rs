//! Plays small worlds in which everything goes wrong, and sees whether the promises hold.

use std::collections::BTreeMap;

use patchwave::finding::Severity;
use patchwave::hierarchy::{Hierarchy, HierarchyErrors, Image, Parent};
use patchwave::time::{Span, Timestamp};
use patchwave_converge::Report;

use crate::build::is_annotated;
use crate::draw::Seed;
use crate::faults::{Faults, Level, Trouble};
use crate::hamlet::hamlet;
use crate::moment::{Function, Moment};
use crate::packages::{OF_APPLICATIONS, OF_RUNTIMES, OF_THE_SYSTEM, Vulnerability};
use crate::simulation::{Broken, Simulation};

/// How long things go wrong.
const HOSTILE_DAYS: Span = Span::days(3);

/// How long the world may take to become quiet afterwards. Three failures in a row make a back-off of up to 32 hours, and
/// a limit of starts a day may stretch what is left.
const LONGEST_AFTERMATH: Span = Span::days(12);

/// A defect that is planted to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// The ledger lets everybody overwrite everybody.
    NoFences,
}

/// What to play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Play {
    /// The world: everything in it comes from this number.
    pub seed: u64,
    /// How hostile it is.
    pub level: Level,
    /// What is broken on purpose.
    pub planted: Option<Planted>,
    /// Whether to remember the story.
    pub tell: bool,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The world.
    pub seed: u64,
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
    /// How often each kind of fault struck.
    pub faults: BTreeMap<Trouble, u64>,
    /// What should never be.
    pub violations: Vec<String>,
    /// What happened, if it was to be told.
    #[serde(skip)]
    pub story: Vec<String>,
}

/// Why a world could not be played. Either is a defect.
#[derive(Debug, thiserror::Error)]
pub enum NotPlayed {
    /// The random hierarchy is not valid.
    #[error("the hierarchy of seed {0} is not valid: {1}")]
    Hierarchy(u64, HierarchyErrors),
    /// The simulation broke.
    #[error("seed {0}: {1}")]
    Broken(u64, Broken),
}

impl Play {
    /// Plays the world of a seed.
    pub fn run(self) -> Result<Outcome, NotPlayed> {
        let small = hamlet(Seed(self.seed), self.level);
        let hierarchy = Hierarchy::parse("hamlet.yaml", &small.yaml)
            .map_err(|errors| NotPlayed::Hierarchy(self.seed, errors))?;
        let mut simulation = Simulation::new(hierarchy, self.seed);
        let (begins, ends) = (simulation.now(), HOSTILE_DAYS.after(simulation.now()));
        self.prepare(&mut simulation, &small.troubles, begins, ends);
        let mut seen = Seen::default();
        let broken = |broken| NotPlayed::Broken(self.seed, broken);
        simulation.run_until(ends, &mut |_, moment| seen.see(moment)).map_err(broken)?;
        let quiet = simulation
            .run_until_quiet(LONGEST_AFTERMATH, &mut |_, moment| seen.see(moment))
            .map_err(broken)?;
        if !quiet {
            simulation.accuse("it does not become quiet");
        }
        // One more sweep sees what no event told.
        seen.sweep = None;
        let last = Span::hours(26).after(simulation.now());
        simulation.run_until(last, &mut |_, moment| seen.see(moment)).map_err(broken)?;
        let quiet = simulation
            .run_until_quiet(LONGEST_AFTERMATH, &mut |_, moment| seen.see(moment))
            .map_err(broken)?;
        if !quiet {
            simulation.accuse("it does not become quiet after the last sweep");
        }
        seen.sweep = None;
        let last = Span::hours(25).after(simulation.now());
        simulation.run_until(last, &mut |_, moment| seen.see(moment)).map_err(broken)?;
        match seen.sweep.take() {
            Some(report) => simulation.witness_end(&report).map_err(broken)?,
            None => simulation.accuse("no sweep ended"),
        }
        Ok(simulation.outcome(self.seed, seen.passes, seen.events, &small.yaml))
    }

    fn prepare(self, simulation: &mut Simulation, troubles: &[Trouble], begins: Timestamp, ends: Timestamp) {
        let mut faults = Faults::new(self.level, Seed(self.seed), begins, ends);
        for trouble in troubles {
            faults.note(*trouble);
        }
        if self.level != Level::None {
            faults.note_times(Trouble::Unannotated, unannotated(simulation.hierarchy(), Seed(self.seed)));
        }
        simulation.trouble(faults, self.planted, self.tell, begins, ends);
        let mut draws = Seed(self.seed).draws("vulnerabilities", "");
        let packages: Vec<&str> =
            OF_THE_SYSTEM.into_iter().chain(OF_RUNTIMES).chain(OF_APPLICATIONS).collect();
        let mut revisions: BTreeMap<&str, u32> = BTreeMap::new();
        for number in 0..draws.between(3, 8) {
            let package = draws.pick(&packages).copied().unwrap_or("openssl");
            let severity = draws
                .pick(&[Severity::Medium, Severity::High, Severity::Critical])
                .copied()
                .unwrap_or(Severity::High);
            let known_from = draws.span(Span::minutes(30), Span::hours(60)).after(begins);
            let fixed_at = match draws.between(1, 10) {
                1 => None,
                2..=4 => Some(draws.span(Span::hours(1), Span::hours(30)).after(known_from)),
                _ => Some(Span::hours(1).before(known_from)),
            };
            let revision = revisions.entry(package).or_insert(1);
            *revision += 1;
            let vulnerability = Vulnerability {
                id: format!("CVE-2026-{}", 40_000 + number),
                package: package.to_owned(),
                installed_by: None,
                severity,
                exploited: draws.percent(15),
                known_from,
                fixed: fixed_at.map(|at| (*revision, at)),
            };
            simulation.plan_vulnerability(vulnerability);
        }
    }
}

/// How many images are built on another and do not say on which version.
fn unannotated(hierarchy: &Hierarchy, seed: Seed) -> u64 {
    let silent = |image: &&Image| matches!(image.from, Parent::Image(_)) && !is_annotated(seed, image);
    hierarchy.images().filter(silent).count() as u64
}

/// What a run counts.
#[derive(Default)]
struct Seen {
    passes: u64,
    events: u64,
    sweep: Option<Report>,
}

impl Seen {
    fn see(&mut self, moment: &Moment) {
        match moment {
            Moment::Delivered { .. } => self.events += 1,
            Moment::Passed { function, report, .. } => {
                self.passes += 1;
                if *function == Function::Inventory {
                    self.sweep = Some((**report).clone());
                }
            }
            Moment::Built(_) | Moment::Deployed { .. } => {}
        }
    }
}
