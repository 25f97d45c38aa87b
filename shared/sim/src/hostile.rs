//! Plays small worlds in which everything goes wrong, and sees whether the promises hold.

use std::collections::BTreeMap;

use patchwave::finding::Severity;
use patchwave::hierarchy::{Hierarchy, HierarchyErrors, Image, Parent};
use patchwave::time::{Span, Timestamp};
use patchwave_converge::Report;

use crate::build::is_annotated;
use crate::draw::Seed;
use crate::faults::{Faults, Level, Trouble};
use crate::hamlet::{Hamlet, hamlet};
use crate::moment::{Build, Function, Moment};
use crate::packages::{OF_APPLICATIONS, OF_RUNTIMES, OF_THE_SYSTEM, Vulnerability};
use crate::rivals::Handler;
use crate::simulation::{Broken, Simulation};
use crate::size::Size;
use crate::sketch::Sketch;

/// How many seeds in a row play in the same hierarchy: reading one takes nearly as long as a small history.
const OF_ONE_HIERARCHY: u64 = 32;

/// How long things go wrong in the few worlds in which they do for days.
const DAYS: Span = Span::days(3);

/// How long the world may take to become quiet afterwards. Three failures in a row make a back-off of up to 32 hours, and
/// a limit of starts a day may stretch what is left.
const LONGEST_AFTERMATH: Span = Span::days(12);

/// How many sweeps are made at most to see one after which nothing is built.
const MOST_SWEEPS: u32 = 5;

/// How long a simpler handler is given to become quiet: by then the last fix has been out for hours.
const RIVALS_REST: Span = Span::hours(36);

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
    /// How large it is.
    pub size: Size,
    /// How hostile it is.
    pub level: Level,
    /// Who handles its events.
    pub handler: Handler,
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

/// What the world of a seed is played in: a hierarchy, which the seeds next to it share.
#[derive(Debug)]
struct Stage {
    size: Size,
    hamlet: Hamlet,
    hierarchy: Hierarchy,
    edited: Hierarchy,
    level: Level,
    number: u64,
}

impl Stage {
    fn of(play: Play) -> Result<Self, NotPlayed> {
        let number = play.seed / OF_ONE_HIERARCHY;
        let hamlet = hamlet(Seed(number), play.size, play.level);
        let parse = |yaml: &str| {
            Hierarchy::parse("hamlet.yaml", yaml).map_err(|errors| NotPlayed::Hierarchy(play.seed, errors))
        };
        let (hierarchy, edited) = (parse(&hamlet.yaml)?, parse(&hamlet.edited)?);
        Ok(Self { size: play.size, hamlet, hierarchy, edited, level: play.level, number })
    }

    fn is_of(&self, play: Play) -> bool {
        self.size == play.size && self.level == play.level && self.number == play.seed / OF_ONE_HIERARCHY
    }
}

/// Where one world after another is played.
#[derive(Debug, Default)]
pub struct Theatre {
    stage: Option<Stage>,
    states: Sketch,
}

impl Theatre {
    /// Plays the world of a seed: the same whatever was played before.
    pub fn play(&mut self, play: Play) -> Result<Outcome, NotPlayed> {
        let stage = match self.stage.take().filter(|stage| stage.is_of(play)) {
            Some(same) => self.stage.insert(same),
            None => self.stage.insert(Stage::of(play)?),
        };
        let (outcome, shapes) = play.run_on(stage)?;
        for shape in shapes {
            self.states.add(shape);
        }
        Ok(outcome)
    }

    /// Returns the different states that were seen.
    pub(crate) fn take_states(self) -> Sketch {
        self.states
    }
}

impl Play {
    /// Plays the world of a seed.
    pub fn run(self) -> Result<Outcome, NotPlayed> {
        Theatre::default().play(self)
    }

    fn run_on(self, stage: &Stage) -> Result<(Outcome, Vec<u64>), NotPlayed> {
        let simulation = Simulation::new(stage.hierarchy.clone(), self.seed);
        let mut simulation = simulation.with(self.handler, stage.edited.clone());
        let begins = simulation.now();
        if self.level == Level::Silence {
            return self.run_in_silence(simulation, stage);
        }
        let ends = self.hostile_time().after(begins);
        self.prepare(&mut simulation, stage, begins, ends);
        let mut seen = Seen::default();
        let broken = |broken| NotPlayed::Broken(self.seed, broken);
        simulation.run_until(ends, &mut |_, moment| seen.see(moment)).map_err(broken)?;
        simulation.calm_down();
        if self.handler != Handler::Patchwave {
            // It may go round in circles for ever.
            simulation.run_until_quiet(RIVALS_REST, &mut |_, _| ()).map_err(broken)?;
            return self.end(simulation, seen, stage);
        }
        self.rest(&mut simulation, &mut seen)?;
        self.end(simulation, seen, stage)
    }

    /// Lets the world become quiet, and be swept: that sees what no event told. Once all is quiet again, one more sweep tells
    /// whether anything is left.
    fn rest(self, simulation: &mut Simulation, seen: &mut Seen) -> Result<(), NotPlayed> {
        let broken = |broken| NotPlayed::Broken(self.seed, broken);
        if self.become_quiet(simulation, seen)? {
            let swept = Span::hours(25).after(simulation.now());
            simulation.run_until(swept, &mut |_, moment| seen.see(moment)).map_err(broken)?;
        }
        // An image may come of age just then: what a sweep said before a build is no longer so.
        for _ in 0..MOST_SWEEPS {
            seen.sweep = None;
            if self.become_quiet(simulation, seen)? {
                simulation.sweep_now(&mut |_, moment| seen.see(moment)).map_err(broken)?;
            }
            let soon = Span::minutes(10).after(simulation.now());
            simulation.run_until(soon, &mut |_, moment| seen.see(moment)).map_err(broken)?;
            if seen.sweep.is_some() && !simulation.is_busy() {
                break;
            }
        }
        Ok(())
    }

    fn become_quiet(self, simulation: &mut Simulation, seen: &mut Seen) -> Result<bool, NotPlayed> {
        let watch = &mut |_: &Simulation, moment: &Moment| seen.see(moment);
        let is_quiet = simulation.run_until_quiet(LONGEST_AFTERMATH, watch);
        let is_quiet = is_quiet.map_err(|broken| NotPlayed::Broken(self.seed, broken))?;
        if !is_quiet {
            simulation.accuse("it does not become quiet");
        }
        Ok(is_quiet)
    }

    fn end(
        self,
        mut simulation: Simulation,
        mut seen: Seen,
        stage: &Stage,
    ) -> Result<(Outcome, Vec<u64>), NotPlayed> {
        match seen.sweep.take() {
            _ if self.handler != Handler::Patchwave => simulation.count_losses(),
            Some(report) => {
                simulation.witness_end(&report).map_err(|broken| NotPlayed::Broken(self.seed, broken))?;
            }
            None => simulation.accuse("no sweep ended"),
        }
        let outcome = simulation.outcome(self.seed, seen.passes, &stage.hamlet.yaml);
        Ok((outcome, simulation.shapes().to_vec()))
    }

    /// Plays a world in which all works and no event is ever delivered, and looks at how long it takes.
    fn run_in_silence(
        self,
        mut simulation: Simulation,
        stage: &Stage,
    ) -> Result<(Outcome, Vec<u64>), NotPlayed> {
        let broken = |broken| NotPlayed::Broken(self.seed, broken);
        let (begins, mut seen) = (simulation.now(), Seen::default());
        // The first day's sweep sees what was founded; by the second's all scans are there.
        let swept = Span::days(1).after(begins);
        self.prepare(&mut simulation, stage, begins, self.size.hostile_time()[0].after(begins));
        simulation.run_until(swept, &mut |_, moment| seen.see(moment)).map_err(broken)?;
        seen.builds.clear();
        let last = Span::days(1).plus(Span::hours(1)).after(swept);
        simulation.run_until(last, &mut |_, moment| seen.see(moment)).map_err(broken)?;
        simulation.witness_silence(&seen.builds, swept);
        self.rest(&mut simulation, &mut seen)?;
        self.end(simulation, seen, stage)
    }

    fn hostile_time(self) -> Span {
        let mut draws = Seed(self.seed).draws("hostile time", "");
        if draws.between(1, self.size.days_in()) == 1 {
            return DAYS;
        }
        let [shortest, longest] = self.size.hostile_time();
        draws.span(shortest, longest)
    }

    fn prepare(self, simulation: &mut Simulation, stage: &Stage, begins: Timestamp, ends: Timestamp) {
        let mut faults = Faults::new(self.level, Seed(self.seed), begins, ends);
        if self.level.is_hostile() {
            for trouble in &stage.hamlet.troubles {
                faults.note(*trouble);
            }
            faults.note_times(Trouble::Unannotated, unannotated(simulation.hierarchy(), Seed(self.seed)));
        }
        simulation.trouble(faults, self.planted, self.tell, begins, ends);
        let mut draws = Seed(self.seed).draws("vulnerabilities", "");
        let packages: Vec<&str> =
            OF_THE_SYSTEM.into_iter().chain(OF_RUNTIMES).chain(OF_APPLICATIONS).collect();
        let mut revisions: BTreeMap<&str, u32> = BTreeMap::new();
        let latest = Span::between(begins, ends).share(5, 6);
        let [fewest, most] = self.size.vulnerabilities();
        for number in 0..draws.between(fewest, most) {
            let package = draws.pick(&packages).copied().unwrap_or("openssl");
            let severity = draws
                .pick(&[Severity::Medium, Severity::High, Severity::Critical])
                .copied()
                .unwrap_or(Severity::High);
            let known_from = draws.span(Span::minutes(10), latest).after(begins);
            let fixed_at = match draws.between(1, 10) {
                1 => None,
                2..=4 if self.level != Level::Silence => {
                    Some(draws.span(Span::hours(1), Span::hours(30)).after(known_from))
                }
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
    builds: Vec<Build>,
    sweep: Option<Report>,
}

impl Seen {
    fn see(&mut self, moment: &Moment) {
        match moment {
            Moment::Passed { function, report, .. } => {
                self.passes += 1;
                if *function == Function::Inventory {
                    self.sweep = Some((**report).clone());
                }
            }
            Moment::Built(build) => {
                self.builds.push((**build).clone());
                // What it said is no longer so.
                self.sweep = None;
            }
            Moment::Delivered { .. } | Moment::Deployed { .. } => {}
        }
    }
}
