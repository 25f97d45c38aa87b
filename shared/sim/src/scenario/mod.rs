//! A scenario: one random world with faults, and the checks that Patchwave keeps its guarantees.
//!
//! First faults are injected for a while. Then they stop, and the world must become quiet with
//! nothing forgotten. This mirrors safety and liveness: a violation during the first phase is about
//! safety, one at the end about liveness.

mod runner;
mod vulnerabilities;

use patchwave::hierarchy::{Hierarchy, HierarchyErrors, Image, Parent};
use patchwave::time::{Span, Timestamp};
use patchwave_converge::{Budget, Report};

pub use runner::Runner;

use crate::baselines::Handler;
use crate::build::is_annotated;
use crate::draw::Seed;
use crate::faults::{FaultPlan, InjectedFault, Level};
use crate::observation::{Build, Function, Observation};
use crate::outcome::{Outcome, PlantedDefect};
use crate::pipelines::Mode;
use crate::simulation::{Broken, Simulation};
use crate::size::Size;
use runner::Setup;

/// How long faults are injected in the few worlds in which they are for days.
const DAYS: Span = Span::days(3);

/// How long the world may take to become quiet afterwards. Three failures in a row make a back-off
/// of up to 32 hours, and a limit of starts a day may stretch what is left.
const LONGEST_AFTERMATH: Span = Span::days(12);

/// How many sweeps are made at most to see one after which nothing is built.
const MOST_SWEEPS: u32 = 32;

/// How long a baseline handler gets to become quiet: by then the last fix has been out for hours.
const BASELINE_AFTERMATH: Span = Span::hours(36);

/// What to simulate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    /// Everything random in the world comes from this number.
    pub seed: u64,
    pub size: Size,
    pub level: Level,
    /// Who handles the events.
    pub handler: Handler,
    /// What is broken on purpose.
    pub planted: Option<PlantedDefect>,
    /// Whether to log everything that happens.
    pub with_log: bool,
}

/// Why a scenario could not finish. Either is a defect.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    #[error("the hierarchy of seed {0} is not valid: {1}")]
    Hierarchy(u64, HierarchyErrors),
    #[error("seed {0}: {1}")]
    Broken(u64, Broken),
}

/// One scenario on its way: the world, and what was observed in it so far.
struct ScenarioRun<'s> {
    scenario: Scenario,
    setup: &'s Setup,
    simulation: Simulation,
    observed: Observed,
}

/// The outcome, and the fingerprints of the states that the world was in.
type Ended = (Outcome, Vec<u64>);

impl Scenario {
    /// Runs the scenario.
    pub fn run(self) -> Result<Outcome, ScenarioError> {
        Runner::default().run(self)
    }

    fn run_in(self, setup: &Setup) -> Result<Ended, ScenarioError> {
        let simulation = Simulation::new(setup.hierarchy.clone(), self.seed)
            .with_page_size(self.images_of_a_page())
            .with_pages(self.pages_of_a_pass());
        let editions = [setup.edited.clone(), setup.reorganised.clone()];
        let simulation = simulation.with(self.handler, editions);
        let run = ScenarioRun { scenario: self, setup, simulation, observed: Observed::default() };
        let ended = match (self.level, self.handler) {
            (Level::NoEvents, _) => run.run_without_events(),
            (_, Handler::Patchwave) => run.run_with_faults(),
            _ => run.run_baseline(),
        };
        ended.map_err(|broken| ScenarioError::Broken(self.seed, broken))
    }

    fn fault_time(self) -> Span {
        let mut draws = Seed(self.seed).draws("hostile time", "");
        if draws.between(1, self.size.days_in()) == 1 {
            return DAYS;
        }
        let [shortest, longest] = self.size.fault_time();
        draws.span(shortest, longest)
    }
}

impl Scenario {
    /// With faults a pass may be cut off after two pages.
    fn pages_of_a_pass(self) -> u32 {
        let is_cut_off = Seed(self.seed).draws("pages of a pass", "").percent(30);
        if self.level.has_faults() && is_cut_off { 2 } else { Budget::default().pages }
    }

    /// With faults a page may be as small as one image, so that every pass of a small world takes
    /// many.
    fn images_of_a_page(self) -> usize {
        if !self.level.has_faults() || self.size == Size::Huge {
            return Budget::default().images;
        }
        let drawn = Seed(self.seed).draws("images of a page", "").between(0, 2);
        [1, 2, Budget::default().images].get(drawn as usize).copied().unwrap_or(1)
    }
}

impl ScenarioRun<'_> {
    fn run_with_faults(mut self) -> Result<Ended, Broken> {
        self.inject_faults()?;
        self.simulation.leave_sweeps_out(true);
        // What a person must make readable is read again within a day.
        self.run_until(Span::hours(25).after(self.simulation.now()))?;
        if self.run_until_quiet()? {
            self.simulation.check_ticks()?;
        }
        self.simulation.leave_sweeps_out(false);
        self.run_to_liveness()?;
        self.check_liveness()?;
        Ok(self.end())
    }

    /// A baseline handler keeps no ledger, and it may rebuild in circles for ever: its losses are
    /// counted after a fixed time.
    fn run_baseline(mut self) -> Result<Ended, Broken> {
        self.inject_faults()?;
        self.simulation.run_until_quiet(BASELINE_AFTERMATH, &mut |_, _| ())?;
        self.simulation.count_losses();
        Ok(self.end())
    }

    /// No event is ever delivered, and there is no other fault: all builds must end in time.
    fn run_without_events(mut self) -> Result<Ended, Broken> {
        let begins = self.simulation.now();
        // The first sweep sees the images as they were bootstrapped. By the second, a day later,
        // all scans have completed.
        let swept = Span::days(1).after(begins);
        self.prepare(begins, self.scenario.size.fault_time()[0].after(begins));
        self.run_until(swept)?;
        self.observed.builds.clear();
        self.run_until(Span::days(1).plus(Span::hours(1)).after(swept))?;
        self.simulation.check_bound(&self.observed.builds, swept);
        self.run_to_liveness()?;
        self.check_liveness()?;
        Ok(self.end())
    }

    fn inject_faults(&mut self) -> Result<(), Broken> {
        let begins = self.simulation.now();
        let ends = self.scenario.fault_time().after(begins);
        self.prepare(begins, ends);
        self.run_until(ends)?;
        self.simulation.stop_faults();
        Ok(())
    }

    /// Plans the faults and vulnerabilities between `begins` and `ends`.
    fn prepare(&mut self, begins: Timestamp, ends: Timestamp) {
        let Scenario { level, seed, planted, with_log, .. } = self.scenario;
        let mut faults = FaultPlan::new(level, Seed(seed), begins, ends);
        if level.has_faults() {
            for fault in &self.setup.random.faults {
                faults.note(*fault);
            }
            let unannotated = unannotated(self.simulation.hierarchy(), Seed(seed));
            faults.note_times(InjectedFault::Unannotated, unannotated);
            let of_mode = |mode| of_mode(self.simulation.hierarchy(), Seed(seed), mode);
            faults.note_times(InjectedFault::Superseding, of_mode(Mode::Superseding));
            faults.note_times(InjectedFault::Parallel, of_mode(Mode::Parallel));
        }
        self.simulation.inject_faults(faults, planted, with_log, (begins, ends));
        for vulnerability in self.scenario.vulnerabilities(begins, ends) {
            self.simulation.schedule_vulnerability(vulnerability);
        }
    }

    fn run_until(&mut self, end: Timestamp) -> Result<(), Broken> {
        let observed = &mut self.observed;
        self.simulation.run_until(end, &mut |_, observation| observed.observe(observation))
    }

    /// Lets the world become quiet and lets the daily sweep see it. Once all is quiet again, one
    /// more sweep shows whether anything is left to do.
    fn run_to_liveness(&mut self) -> Result<(), Broken> {
        if self.run_until_quiet()? {
            self.run_until(Span::hours(25).after(self.simulation.now()))?;
        }
        // An image may reach its maximum age in between, so a sweep before a build tells nothing.
        for _ in 0..MOST_SWEEPS {
            self.observed.sweep = None;
            let refused = self.simulation.refused_starts();
            if self.run_until_quiet()? {
                let observed = &mut self.observed;
                self.simulation.sweep_now(&mut |_, observation| observed.observe(observation))?;
            }
            self.run_until(Span::minutes(10).after(self.simulation.now()))?;
            // After a start that was refused, images wait for one that is not made.
            let is_refused = self.simulation.refused_starts() > refused;
            if self.observed.sweep.is_some() && !is_refused && !self.simulation.is_busy() {
                break;
            }
        }
        Ok(())
    }

    fn run_until_quiet(&mut self) -> Result<bool, Broken> {
        let observed = &mut self.observed;
        let watch = &mut |_: &Simulation, observation: &Observation| observed.observe(observation);
        let is_quiet = self.simulation.run_until_quiet(LONGEST_AFTERMATH, watch)?;
        if !is_quiet {
            self.simulation.violation("it does not become quiet");
        }
        Ok(is_quiet)
    }

    fn check_liveness(&mut self) -> Result<(), Broken> {
        let Some(report) = self.observed.sweep.take() else {
            self.simulation.violation("no sweep ended");
            return Ok(());
        };
        self.simulation.check_liveness(&report)
    }

    fn end(self) -> Ended {
        let (seed, yaml) = (self.scenario.seed, self.setup.random.first.text());
        let outcome = self.simulation.outcome(seed, self.observed.passes, &yaml);
        (outcome, self.simulation.into_fingerprints())
    }
}

/// How many images are built on another and do not say on which version.
fn unannotated(hierarchy: &Hierarchy, seed: Seed) -> u64 {
    let says_nothing = |image: &&Image| matches!(image.from, Parent::Image(_)) && !is_annotated(seed, image);
    hierarchy.images().filter(says_nothing).count() as u64
}

/// How many pipelines have a mode.
fn of_mode(hierarchy: &Hierarchy, seed: Seed, mode: Mode) -> u64 {
    let pipelines = hierarchy.images().filter_map(|image| image.pipeline.as_ref());
    pipelines.filter(|pipeline| Mode::of(seed, &pipeline.name, true) == mode).count() as u64
}

/// What was observed so far.
#[derive(Default)]
struct Observed {
    passes: u64,
    builds: Vec<Build>,
    /// The report of the last sweep, if nothing was built since.
    sweep: Option<Report>,
}

impl Observed {
    fn observe(&mut self, observation: &Observation) {
        match observation {
            Observation::Passed { function, report, .. } => {
                self.passes += 1;
                if *function == Function::Inventory {
                    self.sweep = Some((**report).clone());
                }
            }
            Observation::Built(build) => {
                self.builds.push((**build).clone());
                self.sweep = None;
            }
            Observation::Delivered { .. } | Observation::Deployed { .. } => {}
        }
    }
}
