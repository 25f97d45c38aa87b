//! What a scenario checks and counts at its end.

use patchwave::time::Timestamp;
use patchwave_converge::Report;

use super::clock::TICK;
use super::{Broken, Simulation};
use crate::coverage::Coverage;
use crate::no_events::latest_end;
use crate::observation::Build;
use crate::outcome::Outcome;

impl Simulation {
    pub(crate) fn violation(&mut self, violation: &str) {
        let now = self.now();
        self.world.state.borrow_mut().checker.violation(now, violation.to_owned());
    }

    /// From now on the daily sweep is left out, or made again.
    pub(crate) fn leave_sweeps_out(&mut self, leaves_out: bool) {
        self.clock.leaves_sweeps_out = leaves_out;
    }

    /// Checks that the ticks alone have forgotten nothing that a pass has seen.
    pub(crate) fn check_ticks(&mut self) -> Result<(), Broken> {
        let (facts, now) = (self.facts()?, self.now());
        self.world.state.borrow_mut().check_ticks(self.world.hierarchy(), &facts, now);
        Ok(())
    }

    /// Returns how many starts were refused so far.
    pub(crate) fn refused_starts(&self) -> u64 {
        self.world.state.borrow().truth.refused_starts
    }

    /// Checks that nothing was forgotten, with the report of the last sweep.
    pub(crate) fn check_liveness(&mut self, report: &Report) -> Result<(), Broken> {
        let (facts, now) = (self.facts()?, self.now());
        self.world.state.borrow_mut().check_liveness(self.world.hierarchy(), &facts, report, now);
        let wrong = self.world.state.borrow().wrong_notices_of_owners();
        for difference in self.world.differences_of_inventory().into_iter().chain(wrong) {
            self.violation(&difference);
        }
        Ok(())
    }

    /// Checks that without events all builds end in time after the sweep at `swept`.
    pub(crate) fn check_bound(&mut self, builds: &[Build], swept: Timestamp) {
        let unrequested = self.world.state.borrow().checker.waited_for_unrequested_scan;
        let waited = unrequested.is_some_and(|at| at >= swept);
        let end = latest_end(self.hierarchy(), builds, swept, TICK, self.batching_window(), waited);
        for late in builds.iter().filter(|build| build.finished_at > end) {
            self.violation(&format!("{} was built at {}, after {end}", late.image, late.finished_at));
        }
    }

    /// Counts the findings that a handler without a ledger forgot.
    pub(crate) fn count_losses(&mut self) {
        let (hierarchy, now) = (self.world.hierarchy(), self.now());
        let mut state = self.world.state.borrow_mut();
        let lost: u64 = hierarchy.images().map(|image| state.curable(hierarchy, image, now)).sum();
        state.checker.lost += lost;
    }

    pub(crate) fn outcome(&self, seed: u64, passes: u64, yaml: &str) -> Outcome {
        let state = self.world.state.borrow();
        let checker = &state.checker;
        let hierarchy = yaml.lines().map(str::to_owned);
        Outcome {
            seed,
            passes,
            events: self.queues.delivered,
            builds: checker.builds,
            lost: checker.lost,
            duplicates: checker.duplicates,
            faults: state.faults.injected.clone(),
            coverage: Coverage {
                executions: state.truth.executions,
                executions_met: state.truth.executions_met(),
                actions: state.truth.actions,
                actions_in_builds: state.truth.actions_in_builds,
                not_yet: state.truth.not_yet.clone(),
                ..checker.occurred.coverage()
            },
            violations: checker.violations.clone(),
            log: if checker.is_logging {
                hierarchy.chain(checker.log.iter().cloned()).collect()
            } else {
                Vec::new()
            },
        }
    }
}
